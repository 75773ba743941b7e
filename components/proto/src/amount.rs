//! Currencies, and the fee a mediator takes (protocol section 2).

use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::limits::{AMOUNT_MAX, CURRENCY_BYTES_MAX};
use serde::Serialize;
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

/// What a mediator takes for forwarding `x` credits: `add + floor(x * mul / 2^32)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Rate {
    /// Share of the amount, in units of 2^-32.
    #[serde(serialize_with = "crate::json::text")]
    pub mul: u32,
    /// Flat part, credits.
    #[serde(serialize_with = "crate::json::text")]
    pub add: u128,
}

impl Default for Rate {
    /// The flat single credit of the announcement.
    fn default() -> Self {
        Rate { mul: 0, add: 1 }
    }
}

const ONE: u128 = 1 << 32;

impl Rate {
    /// The fee for forwarding `x` credits. `None` when `x` or the result is above [`AMOUNT_MAX`].
    pub fn fee(&self, x: u128) -> Option<u128> {
        if x > AMOUNT_MAX || self.add > AMOUNT_MAX {
            return None;
        }
        let fee = self.add + ((x * u128::from(self.mul)) >> 32);
        (fee <= AMOUNT_MAX).then_some(fee)
    }

    /// The `x` for which `x + fee(x) == incoming`: what a mediator forwards of what it receives. `None` when no whole `x`
    /// fits, which means that the buyer reckoned with another rate.
    pub fn forwarded(&self, incoming: u128) -> Option<u128> {
        if incoming > AMOUNT_MAX {
            return None;
        }
        let y = incoming.checked_sub(self.add)?;
        // The smallest x with floor(x * m / 2^32) >= y is ceil(y * 2^32 / m); the product is cut in two to stay in 128 bits.
        let m = ONE + u128::from(self.mul);
        let (quotient, remainder) = (y / m, y % m);
        let x = quotient * ONE + (remainder * ONE).div_ceil(m);
        (x.checked_add(self.fee(x)?)? == incoming).then_some(x)
    }
}

impl Canonical for Rate {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.u32(self.mul);
        encoder.u128(self.add);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Rate { mul: decoder.u32()?, add: decoder.amount()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn currency_names() {
        for good in ["credit", "hours", "a", "eur-2", "abcdefghijklmnop"] {
            assert_eq!(good.parse::<Currency>().unwrap().as_str(), good);
        }
        for bad in ["", "Credit", "a b", "abcdefghijklmnopq", "é"] {
            assert!(bad.parse::<Currency>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_largest_values_do_not_overflow() {
        let rate = Rate { mul: u32::MAX, add: AMOUNT_MAX };
        assert_eq!(rate.fee(AMOUNT_MAX), None);
        assert_eq!(rate.fee(AMOUNT_MAX + 1), None);
        assert_eq!(Rate { mul: u32::MAX, add: 0 }.fee(AMOUNT_MAX), Some(AMOUNT_MAX - (1 << 64)));
    }

    #[test]
    fn unreachable_incoming_amounts_are_refused() {
        // A fee of one half: 2 forwards to 3, 3 to 4, so nothing forwards to 5.
        let half = Rate { mul: 1 << 31, add: 0 };
        assert_eq!((half.forwarded(3), half.forwarded(4), half.forwarded(5)), (Some(2), Some(3), None));
        assert_eq!(Rate { mul: 0, add: 10 }.forwarded(9), None);
    }

    proptest! {
        #[test]
        fn forwarded_inverts_fee(mul: u32, add in 0u128..=1 << 95, x in 0u128..=1 << 94) {
            let rate = Rate { mul, add };
            if let Some(fee) = rate.fee(x) && x + fee <= AMOUNT_MAX {
                prop_assert_eq!(rate.forwarded(x + fee), Some(x));
            }
        }
    }
}
