//! Amounts of credits, bounded when they are made (protocol section 2).
//!
//! The bound leaves room: a sum of amounts is a plain `u128`, which two thousand million of the largest do not fill. It
//! becomes an [`Amount`] again by [`Amount::new`], which refuses what is too large. [`Amount::capped`] cuts it: that is
//! for hints and announcements, where less is as true, and for nothing that is paid.

use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use serde::de::{Deserialize, Deserializer, Error};
use std::num::IntErrorKind;

/// A number of credits from 0 to 2^96.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(u128);

/// Why a number or a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// It is above [`Amount::MAX`].
    #[error("the amount is above the largest one possible, 2^96")]
    TooLarge,
    /// It is no number. Holds the text, or its beginning.
    #[error("\"{0}\" is not a whole number of credits, 0 or more")]
    NoNumber(String),
}

impl AmountError {
    fn no_number(text: &str) -> AmountError {
        AmountError::NoNumber(text.chars().take(50).collect())
    }
}

impl Amount {
    /// No credit.
    pub const ZERO: Amount = Amount(0);
    /// The largest amount, 2^96 credits.
    pub const MAX: Amount = Amount(1 << 96);

    /// `None`: that many credits are above [`Amount::MAX`].
    pub const fn new(credits: u128) -> Option<Amount> {
        if credits > Amount::MAX.0 { None } else { Some(Amount(credits)) }
    }

    /// That many credits, or [`Amount::MAX`] where they are more: of a capacity or a hint, never of what is paid.
    pub const fn capped(credits: u128) -> Amount {
        if credits > Amount::MAX.0 { Amount::MAX } else { Amount(credits) }
    }

    /// How many credits.
    pub const fn credits(self) -> u128 {
        self.0
    }

    /// How many credits, as a part of a balance.
    pub const fn signed(self) -> i128 {
        self.0.cast_signed()
    }

    /// Whether it is no credit at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, if it is an amount.
    pub const fn checked_add(self, other: Amount) -> Option<Amount> {
        Amount::new(self.0 + other.0)
    }

    /// What is left, if it is not less than nothing.
    pub const fn checked_sub(self, other: Amount) -> Option<Amount> {
        match self.0.checked_sub(other.0) {
            Some(credits) => Some(Amount(credits)),
            None => None,
        }
    }

    /// What is left; nothing where `other` is more.
    pub const fn saturating_sub(self, other: Amount) -> Amount {
        Amount(self.0.saturating_sub(other.0))
    }
}

impl From<u32> for Amount {
    fn from(credits: u32) -> Self {
        Amount(credits.into())
    }
}

impl From<Amount> for u128 {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}

impl TryFrom<u128> for Amount {
    type Error = AmountError;

    fn try_from(credits: u128) -> Result<Self, AmountError> {
        Amount::new(credits).ok_or(AmountError::TooLarge)
    }
}

/// A sum of amounts is a plain number.
impl std::iter::Sum<Amount> for u128 {
    fn sum<I: Iterator<Item = Amount>>(amounts: I) -> u128 {
        amounts.fold(0, |sum: u128, amount| sum.saturating_add(amount.0))
    }
}

impl PartialEq<u128> for Amount {
    fn eq(&self, credits: &u128) -> bool {
        self.0 == *credits
    }
}

impl PartialOrd<u128> for Amount {
    fn partial_cmp(&self, credits: &u128) -> Option<std::cmp::Ordering> {
        self.0.partial_cmp(credits)
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a person writes.
impl std::str::FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        // Rust would take a "+".
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AmountError::no_number(text));
        }
        let credits: u128 = text.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow => AmountError::TooLarge,
            _ => AmountError::no_number(text),
        })?;
        credits.try_into()
    }
}

/// In files an amount is a decimal number in quotes, because TOML's own integers end at 2^63. Digits only, without leading zeros: one
/// number has one spelling.
impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// 2^96 has 29 digits.
        const DIGITS_MAX: usize = 29;
        let text = String::deserialize(deserializer)?;
        let is_well_formed = (1..=DIGITS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        let amount = text.parse().ok().filter(|_| is_well_formed);
        amount.ok_or_else(|| D::Error::custom("an amount is a whole number from 0 to 2^96 in quotes"))
    }
}

/// 16 bytes, big endian.
impl Canonical for Amount {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.u128(self.0);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Amount::new(decoder.u128()?).ok_or(DecodeError::too_large("an amount"))
    }
}

/// Reads the credits of a balance: at most [`Amount::MAX`] either way.
///
/// # Errors
/// It is more, or the bytes have ended.
pub fn decode_balance(decoder: &mut Decoder<'_>) -> Result<i128, DecodeError> {
    let balance = decoder.i128()?;
    if Amount::new(balance.unsigned_abs()).is_none() {
        return Err(DecodeError::too_large("a balance"));
    }
    Ok(balance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_checked_where_an_amount_is_made() {
        assert_eq!((Amount::new(Amount::MAX.0), Amount::new(Amount::MAX.0 + 1)), (Some(Amount::MAX), None));
        assert_eq!(Amount::capped(u128::MAX), Amount::MAX);
        assert_eq!(Amount::try_from(Amount::MAX.0 + 1), Err(AmountError::TooLarge));
        assert_eq!(Amount::MAX.checked_add(Amount::from(1)), None);
        assert_eq!(Amount::MAX.checked_add(Amount::ZERO), Some(Amount::MAX));
        assert_eq!(Amount::from(5).checked_sub(Amount::from(6)), None);
        assert_eq!(Amount::from(5).checked_sub(Amount::from(5)), Some(Amount::ZERO));
        assert_eq!(Amount::from(5).saturating_sub(Amount::from(6)), Amount::ZERO);
        assert_eq!([Amount::MAX; 3].into_iter().sum::<u128>(), 3 * Amount::MAX.0);
        let bytes = Amount::MAX.0.to_be_bytes();
        assert_eq!(Amount::from_canonical_bytes(&bytes), Ok(Amount::MAX));
        let bytes = (Amount::MAX.0 + 1).to_be_bytes();
        assert_eq!(Amount::from_canonical_bytes(&bytes), Err(DecodeError::too_large("an amount")));
    }

    #[test]
    fn texts() {
        assert_eq!("79228162514264337593543950336".parse(), Ok(Amount::MAX));
        for (text, error) in [
            ("79228162514264337593543950337", AmountError::TooLarge),
            ("999999999999999999999999999999999999999999", AmountError::TooLarge),
            ("", AmountError::NoNumber(String::new())),
            ("-1", AmountError::NoNumber("-1".into())),
            ("+1", AmountError::NoNumber("+1".into())),
            ("1.5", AmountError::NoNumber("1.5".into())),
            (&"x".repeat(60), AmountError::NoNumber("x".repeat(50))),
        ] {
            assert_eq!(text.parse::<Amount>(), Err(error), "{text}");
        }
        assert_eq!(format!("{} {:?} {:>4}", Amount::from(7), Amount::from(7), Amount::from(7)), "7 7    7");
    }
}
