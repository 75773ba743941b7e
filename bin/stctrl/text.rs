//! What is safe and readable on a terminal.

use offst_proto::invoice;

/// Whether a character commands the terminal, or changes how its neighbours are shown: what an invoice's description may not
/// hold, and two marks that nobody sees, by which two names would look the same.
pub(super) fn is_unreadable(character: char) -> bool {
    invoice::is_unreadable(character) || matches!(character, '\u{200e}' | '\u{200f}')
}

/// A text that somebody else wrote, such as a name or a description: on one line and without commands to the terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|character| if is_unreadable(character) { char::REPLACEMENT_CHARACTER } else { character })
        .collect()
}

/// A moment as people read it, in UTC: `2026-01-31 23:59:59`.
pub(super) fn time(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a number of days since 1970. The year is taken to begin in March, so that a leap day is its last.
fn date(days: u64) -> (u64, u64, u64) {
    // Days since the 1st of March of the year 0; 400 years have 146097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year, month + 3);
    if month > 12 { (year + 1, month - 12, day) } else { (year, month, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_to_the_terminal_do_not_reach_it() {
        assert_eq!(clean("Bread\u{1b}[2J\r\nfor \u{202e}001 é"), "Bread\u{fffd}[2J\u{fffd}\u{fffd}for \u{fffd}001 é");
        assert_eq!(clean("\u{9b}31m\u{7f}\t"), "\u{fffd}31m\u{fffd}\u{fffd}");
    }

    #[test]
    fn times() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_767_225_599, "2025-12-31 23:59:59"),
            (1_767_225_600, "2026-01-01 00:00:00"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (253_402_300_799, "9999-12-31 23:59:59"),
        ] {
            assert_eq!(time(seconds * 1000 + 999), expected);
        }
        time(u64::MAX);
    }
}
