//! Fixed-size byte strings that are written as base64 in files and on screens.

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
