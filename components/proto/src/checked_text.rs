//! Bytes as one line of text that people paste, mail and scan: a prefix, then base32 of the bytes and of a checksum.
//!
//! Base32 because upper and lower case mean the same: the line survives every keyboard, and in capitals it takes a
//! QR code's compact mode.

use offst_crypto::sha256;

/// The alphabet of RFC 4648, in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// The first bytes of the SHA-256 of prefix and content.
const CHECKSUM_LEN: usize = 4;

/// Why a line of text does not hold what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckedTextError {
    /// It starts differently.
    #[error("the text does not start with \"{expected}\"")]
    Prefix {
        /// How it should start.
        expected: &'static str,
    },
    /// A blank or a line break in the middle.
    #[error("the text has blanks or line breaks in it: paste it as one word")]
    Whitespace,
    /// A character that such a text never has.
    #[error("the text has the character {0:?} in it, which does not belong there")]
    Character(char),
    /// More than any such text has.
    #[error("the text is too long")]
    TooLong,
    /// Characters are missing or changed.
    #[error("the text is damaged: its checksum does not fit")]
    Checksum,
}

fn checksum(prefix: &str, content: &[u8]) -> [u8; CHECKSUM_LEN] {
    let digest = offst_crypto::sha256_parts(&[sha256(prefix.as_bytes()).as_bytes(), content]);
    let mut bytes = [0; CHECKSUM_LEN];
    bytes.copy_from_slice(&digest.as_bytes()[..CHECKSUM_LEN]);
    bytes
}

/// The line of text for `content`.
pub fn to_checked_text(prefix: &'static str, content: &[u8]) -> String {
    let mut text = prefix.to_owned();
    let (mut bits, mut held) = (0u32, 0u32);
    for &byte in content.iter().chain(&checksum(prefix, content)) {
        bits = (bits << 8 | u32::from(byte)) & 0xfff;
        held += 8;
        while held >= 5 {
            held -= 5;
            text.push(char::from(ALPHABET[(bits >> held & 31) as usize]));
        }
    }
    if held > 0 {
        text.push(char::from(ALPHABET[(bits << (5 - held) & 31) as usize]));
    }
    text
}

/// Whether `text` means to be a line with this prefix, damaged or not.
pub fn starts_with_prefix(prefix: &'static str, text: &str) -> bool {
    text.trim_start().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Reads what [`to_checked_text`] wrote, in either case and with blanks around it, at most `content_max` bytes.
///
/// # Errors
/// See [`CheckedTextError`].
pub fn from_checked_text(prefix: &'static str, text: &str, content_max: usize) -> Result<Vec<u8>, CheckedTextError> {
    let text = text.trim();
    if !starts_with_prefix(prefix, text) {
        return Err(CheckedTextError::Prefix { expected: prefix });
    }
    let digits = &text[prefix.len()..];
    if digits.contains(char::is_whitespace) {
        return Err(CheckedTextError::Whitespace);
    }
    if digits.len() > ((content_max + CHECKSUM_LEN) * 8).div_ceil(5) {
        return Err(CheckedTextError::TooLong);
    }
    let mut content = Vec::with_capacity(digits.len() * 5 / 8);
    let (mut bits, mut held) = (0u32, 0u32);
    for character in digits.chars() {
        let digit = match character {
            'a'..='z' => u32::from(character) - u32::from('a'),
            'A'..='Z' => u32::from(character) - u32::from('A'),
            '2'..='7' => u32::from(character) - u32::from('2') + 26,
            _ => return Err(CheckedTextError::Character(character)),
        };
        bits = (bits << 5 | digit) & 0xfff;
        held += 5;
        if held >= 8 {
            held -= 8;
            content.push((bits >> held) as u8);
        }
    }
    // What is left of the last digit holds no data: one text has one spelling.
    let rest_is_empty = held < 5 && bits & ((1 << held) - 1) == 0;
    let content_len = content.len().checked_sub(CHECKSUM_LEN).ok_or(CheckedTextError::Checksum)?;
    let found = content.split_off(content_len);
    if !rest_is_empty || found != checksum(prefix, &content) {
        return Err(CheckedTextError::Checksum);
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PREFIX: &str = "offst1";

    #[test]
    fn snapshot() {
        insta::assert_snapshot!(to_checked_text(PREFIX, b"hello"), @"offst1nbswy3dpk4cuyia");
    }

    #[test]
    fn case_and_blanks_around_do_not_matter() {
        let text = to_checked_text(PREFIX, b"hello");
        for written in [text.to_uppercase(), format!("  {text}\r\n"), text.clone()] {
            assert!(starts_with_prefix(PREFIX, &written));
            assert_eq!(from_checked_text(PREFIX, &written, 5), Ok(b"hello".to_vec()));
        }
    }

    #[test]
    fn wrong_texts_are_refused_in_a_sentence() {
        let text = to_checked_text(PREFIX, b"hello");
        let (start, end) = text.split_at(10);
        for (wrong, error) in [
            (String::new(), CheckedTextError::Prefix { expected: PREFIX }),
            ("offst".into(), CheckedTextError::Prefix { expected: PREFIX }),
            ("öffst1".into(), CheckedTextError::Prefix { expected: PREFIX }),
            (PREFIX.into(), CheckedTextError::Checksum),
            (format!("{start} {end}"), CheckedTextError::Whitespace),
            (format!("{start}\n{end}"), CheckedTextError::Whitespace),
            (format!("{start}é{}", &end[2..]), CheckedTextError::Character('é')),
            (format!("{start}1{}", &end[1..]), CheckedTextError::Character('1')),
            (format!("{text}a"), CheckedTextError::TooLong),
            ("offst1".to_owned() + &"a".repeat(1 << 20), CheckedTextError::TooLong),
            (to_checked_text(PREFIX, b"longer"), CheckedTextError::TooLong),
        ] {
            assert_eq!(from_checked_text(PREFIX, &wrong, 5), Err(error), "{wrong}");
        }
        assert_eq!(from_checked_text(PREFIX, &format!("{text}a"), 50), Err(CheckedTextError::Checksum));
        assert_eq!(CheckedTextError::Checksum.to_string(), "the text is damaged: its checksum does not fit");
    }

    #[test]
    fn every_wrong_lost_or_swapped_character_is_noticed() {
        let text = to_checked_text(PREFIX, b"some content");
        for at in PREFIX.len()..text.len() {
            for digit in ALPHABET.iter().map(|&digit| char::from(digit)) {
                let mut wrong: Vec<char> = text.chars().collect();
                if wrong[at] != digit {
                    wrong[at] = digit;
                    let wrong: String = wrong.into_iter().collect();
                    assert_eq!(from_checked_text(PREFIX, &wrong, 50), Err(CheckedTextError::Checksum));
                }
            }
            let mut lost = text.clone();
            lost.remove(at);
            assert_eq!(from_checked_text(PREFIX, &lost, 50), Err(CheckedTextError::Checksum));
            assert_eq!(from_checked_text(PREFIX, &text[..at], 50), Err(CheckedTextError::Checksum));
        }
        assert_eq!(
            from_checked_text("other1", &to_checked_text(PREFIX, b"hello").replace(PREFIX, "other1"), 50),
            Err(CheckedTextError::Checksum),
            "the prefix is part of the checksum"
        );
    }

    proptest! {
        #[test]
        fn round_trip(content in proptest::collection::vec(any::<u8>(), 0..100)) {
            let text = to_checked_text(PREFIX, &content);
            prop_assert_eq!(from_checked_text(PREFIX, &text, content.len()), Ok(content));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "offst1\\PC{0,50}") {
            let _ = from_checked_text(PREFIX, &text, 100);
        }
    }
}
