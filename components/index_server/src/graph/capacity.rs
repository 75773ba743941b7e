//! A capacity in 24 bits: 17 bits of mantissa and 7 of exponent, rounded down.
//!
//! Codes grow with what they stand for, so two of them compare like capacities, and the smaller of two codes stands for
//! the smaller of two capacities. Below [`EXACT_BELOW`] nothing is lost; above, less than one part in 131,072.

use offst_proto::Amount;

const MANTISSA_BITS: u32 = 17;
const ONE: u32 = 1 << MANTISSA_BITS;

/// Capacities below this are held exactly.
#[cfg(test)]
pub(crate) const EXACT_BELOW: u128 = 2 << MANTISSA_BITS;

/// How many bits a code has.
pub(crate) const CODE_BITS: u32 = 24;

/// The code of the largest capacity that is not above `amount`, limited to [`Amount::MAX`].
pub(crate) fn pack_down(amount: u128) -> u32 {
    let amount = amount.min(Amount::MAX.credits());
    let shift = (128 - amount.leading_zeros()).saturating_sub(MANTISSA_BITS + 1);
    let top = (amount >> shift) as u32;
    // With a shift of 0 the leading bit is where exponent 1 begins: small amounts are their own codes.
    top + (shift << MANTISSA_BITS)
}

/// The code of the smallest capacity that is not below `amount`. Above [`Amount::MAX`] no capacity reaches it.
pub(crate) fn pack_up(amount: u128) -> u32 {
    if amount > Amount::MAX.credits() {
        return u32::MAX;
    }
    let code = pack_down(amount);
    if unpack(code) < amount { code + 1 } else { code }
}

/// What a code stands for, credits.
pub(crate) fn unpack(code: u32) -> u128 {
    let exponent = code >> MANTISSA_BITS;
    if exponent == 0 {
        return code.into();
    }
    u128::from((code & (ONE - 1)) | ONE) << (exponent - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds() {
        assert!(pack_down(Amount::MAX.credits()) < 1 << CODE_BITS);
        assert_eq!(unpack(pack_down(Amount::MAX.credits())), Amount::MAX.credits());
        assert_eq!(pack_down(u128::MAX), pack_down(Amount::MAX.credits()));
        assert!(pack_up(Amount::MAX.credits() + 1) > pack_down(Amount::MAX.credits()));
        for amount in 0..EXACT_BELOW {
            assert_eq!(unpack(pack_down(amount)), amount);
        }
        assert_eq!(unpack(pack_down(EXACT_BELOW + 1)), EXACT_BELOW);
        assert_eq!(unpack(pack_up(EXACT_BELOW + 1)), EXACT_BELOW + 2);
    }

    fn amounts() -> impl Strategy<Value = u128> {
        (0u32..=96, any::<u128>()).prop_map(|(bits, amount)| amount & ((1 << bits) - 1))
    }

    proptest! {
        #[test]
        fn rounded_down_by_little_and_in_order(one in amounts(), other in amounts()) {
            let (down, up) = (unpack(pack_down(one)), unpack(pack_up(one)));
            prop_assert!(down <= one && one - down <= one >> MANTISSA_BITS);
            prop_assert!(up >= one && up - one <= (one >> MANTISSA_BITS) + 1);
            prop_assert_eq!(pack_down(one).min(pack_down(other)), pack_down(one.min(other)));
            // What the search asks: does it hold the amount?
            prop_assert_eq!(pack_down(one) >= pack_up(other), unpack(pack_down(one)) >= other);
        }
    }
}
