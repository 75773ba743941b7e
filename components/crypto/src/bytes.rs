//! Fixed-size byte strings that are written as URL-safe base64 without padding in files and on screens.

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

/// The URL-safe base64 form without padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Parses the form that [`to_base64`] writes. The text is bounded before anything is allocated.
pub(crate) fn from_base64<const N: usize>(text: &str) -> Result<[u8; N], ParseBytesError> {
    let expected = (N * 4).div_ceil(3);
    if text.len() != expected {
        return Err(ParseBytesError::WrongLength { expected: N, found: text.len() * 3 / 4 });
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ParseBytesError::NotBase64)?;
    bytes.try_into().map_err(|_| ParseBytesError::NotBase64)
}

/// The same for at most `most` bytes.
pub(crate) fn from_bounded_base64(text: &str, most: usize) -> Result<Vec<u8>, ParseBytesError> {
    if text.len() > (most * 4).div_ceil(3) {
        return Err(ParseBytesError::TooLong { most });
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| ParseBytesError::NotBase64)
}

/// Defines a byte string of `$length` bytes that shows itself as base64.
#[macro_export]
macro_rules! byte_string {
    ($(#[$meta:meta])* $name:ident, $length:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $length;

            /// Takes the bytes as they are.
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                $name(bytes)
            }

            /// The bytes as they are.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// Takes a slice of exactly the right length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Some($name(bytes.try_into().ok()?))
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&$crate::base64_text(&self.0))
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                let text = $crate::base64_text(&self.0);
                write!(f, "{}({})", stringify!($name), text.get(..8).unwrap_or(&text))
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::ParseBytesError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Ok($name($crate::parse_base64_text(text)?))
            }
        }
    };
}
