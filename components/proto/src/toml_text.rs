//! TOML as our files use it: amounts are decimal numbers in quotes, because TOML's own integers end at 2^63, and what is
//! wrong with a file is told on one line.

use crate::limits::AMOUNT_MAX;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serializer};

/// 2^96 has 29 digits.
const DIGITS_MAX: usize = 29;

/// Digits only, without leading zeros: one number has one spelling. At most [`AMOUNT_MAX`].
fn parse(text: &str) -> Option<u128> {
    let well_formed = (1..=DIGITS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    let number: u128 = if well_formed { text.parse().ok()? } else { return None };
    (number <= AMOUNT_MAX).then_some(number)
}

pub(crate) fn serialize<S: Serializer>(amount: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom("an amount is a whole number from 0 to 2^96 in quotes"))
}

/// Reads a TOML text whose length the caller has bounded; the error is one line.
pub(crate) fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| error.message().lines().collect::<Vec<_>>().join(" "))
}
