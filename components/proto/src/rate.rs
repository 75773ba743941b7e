//! The fee a mediator takes (protocol section 2).

use crate::amount::Amount;
use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use serde::Serialize;

/// What a mediator takes for forwarding `x` credits: `add + floor(x * mul / 2^32)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Rate {
    /// Share of the amount, in units of 2^-32.
    #[serde(serialize_with = "crate::json::text")]
    pub mul: u32,
    /// Flat part, credits.
    pub add: Amount,
}

impl Default for Rate {
    /// The flat single credit of the announcement.
    fn default() -> Self {
        Rate { mul: 0, add: Amount::from(1) }
    }
}

const ONE: u128 = 1 << 32;

impl Rate {
    /// The fee for forwarding `x` credits. `None` when it is no [`Amount`].
    pub fn fee(&self, x: Amount) -> Option<Amount> {
        Amount::new(self.add.credits() + ((x.credits() * u128::from(self.mul)) >> 32))
    }

    /// The `x` for which `x + fee(x) == incoming`: what a mediator forwards of what it receives. `None` when no whole `x`
    /// fits, which means that the buyer reckoned with another rate.
    pub fn forwarded(&self, incoming: Amount) -> Option<Amount> {
        let y = incoming.checked_sub(self.add)?.credits();
        // The smallest x with floor(x * m / 2^32) >= y is ceil(y * 2^32 / m); the product is cut in two to stay in 128 bits.
        let m = ONE + u128::from(self.mul);
        let (quotient, remainder) = (y / m, y % m);
        let x = Amount::new(quotient * ONE + (remainder * ONE).div_ceil(m))?;
        (x.checked_add(self.fee(x)?)? == incoming).then_some(x)
    }
}

impl Canonical for Rate {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.u32(self.mul);
        encoder.value(&self.add);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Rate { mul: decoder.u32()?, add: decoder.value()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_largest_values_do_not_overflow() {
        let rate = Rate { mul: u32::MAX, add: Amount::MAX };
        assert_eq!(rate.fee(Amount::MAX), None);
        assert_eq!(
            Rate { mul: u32::MAX, add: 0.into() }.fee(Amount::MAX),
            Amount::new(Amount::MAX.credits() - (1 << 64))
        );
    }

    #[test]
    fn unreachable_incoming_amounts_are_refused() {
        // A fee of one half: 2 forwards to 3, 3 to 4, so nothing forwards to 5.
        let half = Rate { mul: 1 << 31, add: 0.into() };
        assert_eq!(
            (half.forwarded(3.into()), half.forwarded(4.into()), half.forwarded(5.into())),
            (Some(2.into()), Some(3.into()), None)
        );
        assert_eq!(Rate { mul: 0, add: 10.into() }.forwarded(9.into()), None);
    }

    proptest! {
        #[test]
        fn forwarded_inverts_fee(mul: u32, add in 0u128..=1 << 95, x in 0u128..=1 << 94) {
            let rate = Rate { mul, add: Amount::capped(add) };
            let x = Amount::capped(x);
            if let Some(incoming) = rate.fee(x).and_then(|fee| x.checked_add(fee)) {
                prop_assert_eq!(rate.forwarded(incoming), Some(x));
            }
        }
    }
}
