//! What is safe and readable on a terminal.

pub(super) use offst_proto::calendar::time_text as time;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_to_the_terminal_do_not_reach_it() {
        assert_eq!(clean("Bread\u{1b}[2J\r\nfor \u{202e}001 é"), "Bread\u{fffd}[2J\u{fffd}\u{fffd}for \u{fffd}001 é");
        assert_eq!(clean("\u{9b}31m\u{7f}\t"), "\u{fffd}31m\u{fffd}\u{fffd}");
    }
}
