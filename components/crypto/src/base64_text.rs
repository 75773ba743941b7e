//! URL-safe base64 without padding, as keys and ids are written everywhere.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Why a text is not the base64 form of a value of fixed size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseBytesError {
    /// The text holds a character that URL-safe base64 does not have, or ends in the middle of a byte.
    #[error("it is not URL-safe base64")]
    NotBase64,
    /// The text decodes to another number of bytes.
    #[error("it holds {found} bytes where {expected} are needed")]
    WrongLength {
        /// Bytes the value has.
        expected: usize,
        /// Bytes the text held.
        found: usize,
    },
    /// The text decodes to more bytes than the value may have.
    #[error("it holds more than {most} bytes")]
    TooLong {
        /// Bytes the value may have.
        most: usize,
    },
}

/// URL-safe base64 without padding, as keys and ids are shown everywhere.
pub fn base64_text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Parses [`base64_text`] into exactly `N` bytes. The text is bounded before anything is allocated.
///
/// # Errors
/// The text has another length or is not URL-safe base64.
pub fn parse_base64_text<const N: usize>(text: &str) -> Result<[u8; N], ParseBytesError> {
    let expected = (N * 4).div_ceil(3);
    if text.len() != expected {
        return Err(ParseBytesError::WrongLength { expected: N, found: text.len() * 3 / 4 });
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ParseBytesError::NotBase64)?;
    bytes.try_into().map_err(|_| ParseBytesError::NotBase64)
}

/// Parses [`base64_text`] into at most `most` bytes. The text is bounded before anything is allocated.
///
/// # Errors
/// The text is longer or is not URL-safe base64.
pub fn parse_bounded_base64_text(text: &str, most: usize) -> Result<Vec<u8>, ParseBytesError> {
    if text.len() > (most * 4).div_ceil(3) {
        return Err(ParseBytesError::TooLong { most });
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| ParseBytesError::NotBase64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_have_one_spelling_and_a_bound() {
        for length in 0..20 {
            let bytes: Vec<u8> = (0..length).map(|byte| 255 - byte).collect();
            let text = base64_text(&bytes);
            assert_eq!(parse_bounded_base64_text(&text, bytes.len()), Ok(bytes.clone()));
            if length > 0 {
                let most = bytes.len() - 1;
                assert_eq!(parse_bounded_base64_text(&text, most), Err(ParseBytesError::TooLong { most }));
            }
        }
        for wrong in ["a", "a=", "a+==", "ab\n", "AB"] {
            assert_eq!(parse_bounded_base64_text(wrong, 9), Err(ParseBytesError::NotBase64), "{wrong}");
        }
    }
}
