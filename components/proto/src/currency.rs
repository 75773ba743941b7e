//! The names of currencies (protocol section 2).

use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::limits::CURRENCY_BYTES_MAX;
use std::sync::Arc;

/// The name of a currency: 1 to 16 of `a-z`, `0-9` and `-`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(Arc<str>);

/// Why a text is not the name of a currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a currency's name has 1 to 16 characters out of a-z, 0-9 and -")]
pub struct CurrencyError;

impl Currency {
    /// The currency that is meant when none is named.
    pub const DEFAULT_NAME: &'static str = "credit";

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Currency {
    fn default() -> Self {
        Currency(Currency::DEFAULT_NAME.into())
    }
}

impl std::str::FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        let valid = (1..=CURRENCY_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if valid { Ok(Currency(text.into())) } else { Err(CurrencyError) }
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Currency({})", self.0)
    }
}

impl Canonical for Currency {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.text(&self.0);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        decoder.text(CURRENCY_BYTES_MAX, "a currency")?.parse().map_err(|_| DecodeError::invalid("a currency"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currency_names() {
        for good in ["credit", "hours", "a", "eur-2", "abcdefghijklmnop"] {
            assert_eq!(good.parse::<Currency>().unwrap().as_str(), good);
        }
        for bad in ["", "Credit", "a b", "abcdefghijklmnopq", "é"] {
            assert!(bad.parse::<Currency>().is_err(), "{bad}");
        }
    }
}
