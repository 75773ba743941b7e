//! What a node pays mediators at most when an order names no bound of its own (protocol section 2). As text: `10% or 20`, and for
//! one currency `5% or 2:hours`.

use crate::Currency;
use crate::amount::Amount;
use crate::limits::CURRENCIES_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A hundred times the amount: more is not meant.
const PERCENT_MAX: u32 = 10_000;

/// The larger of a share of the amount and a number of credits.
///
/// ```
/// use offst_proto::fee_bound::FeeBound;
///
/// let bound: FeeBound = "10% or 20".parse()?;
/// assert_eq!((bound.of(100.into()), bound.of(1000.into())), (20.into(), 100.into()));
/// # Ok::<(), offst_proto::fee_bound::FeeBoundError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeBound {
    /// Hundredths of the amount, at most 10,000.
    pub percent: u32,
    /// Credits, however small the amount is.
    pub credits: Amount,
}

impl Default for FeeBound {
    fn default() -> Self {
        FeeBound { percent: 10, credits: Amount::from(20) }
    }
}

impl FeeBound {
    /// The most that mediators may take of a payment of `amount` credits, rounded down.
    pub fn of(self, amount: Amount) -> Amount {
        // Neither an amount nor a percentage of one fills 128 bits.
        let share = amount.credits() * u128::from(self.percent.min(PERCENT_MAX)) / 100;
        Amount::capped(share).max(self.credits)
    }
}

impl fmt::Display for FeeBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}% or {}", self.percent, self.credits)
    }
}

/// A text that is no bound of fees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeeBoundError {
    /// It is no bound.
    #[error(
        "a bound of fees is a percentage up to 10000 and a number of credits up to 2^96, of which the larger counts, with a currency \
         if it is for one: \"10% or 20\", \"5% or 2:hours\""
    )]
    Text,
    /// Something has two.
    #[error("there are two bounds of fees for the same currency")]
    Twice,
    /// There are too many.
    #[error("there are bounds of fees for at most {CURRENCIES_MAX} currencies")]
    TooMany,
}

impl FromStr for FeeBound {
    type Err = FeeBoundError;

    fn from_str(text: &str) -> Result<Self, FeeBoundError> {
        let (percent, credits) = text.split_once("% or ").ok_or(FeeBoundError::Text)?;
        // Rust would take a "+".
        if !percent.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(FeeBoundError::Text);
        }
        let percent = percent.parse().ok().filter(|percent| *percent <= PERCENT_MAX).ok_or(FeeBoundError::Text)?;
        let credits = credits.parse().map_err(|_| FeeBoundError::Text)?;
        Ok(FeeBound { percent, credits })
    }
}

/// The bounds for all currencies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct FeeBounds {
    /// For those that have none of their own.
    others: FeeBound,
    currencies: BTreeMap<Currency, FeeBound>,
}

impl FeeBounds {
    /// The most that mediators may take of a payment of so many credits of this currency.
    pub fn of(&self, currency: &Currency, amount: Amount) -> Amount {
        self.currencies.get(currency).copied().unwrap_or(self.others).of(amount)
    }
}

impl TryFrom<Vec<String>> for FeeBounds {
    type Error = FeeBoundError;

    fn try_from(texts: Vec<String>) -> Result<Self, FeeBoundError> {
        let (mut others, mut currencies) = (None, BTreeMap::new());
        for text in texts {
            let is_taken = match text.split_once(':') {
                None => others.replace(text.parse()?).is_some(),
                Some((text, currency)) => {
                    let currency: Currency = currency.parse().map_err(|_| FeeBoundError::Text)?;
                    currencies.insert(currency, text.parse()?).is_some()
                }
            };
            if is_taken {
                return Err(FeeBoundError::Twice);
            }
        }
        if currencies.len() > CURRENCIES_MAX {
            return Err(FeeBoundError::TooMany);
        }
        Ok(FeeBounds { others: others.unwrap_or_default(), currencies })
    }
}

impl From<FeeBounds> for Vec<String> {
    fn from(bounds: FeeBounds) -> Self {
        let named = bounds.currencies.iter().map(|(currency, bound)| format!("{bound}:{currency}"));
        std::iter::once(bounds.others.to_string()).chain(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(texts: &[&str]) -> Result<FeeBounds, FeeBoundError> {
        texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>().try_into()
    }

    #[test]
    fn the_larger_of_the_share_and_the_credits_counts() {
        let bound = FeeBound::default();
        assert_eq!([0, 1, 200, 209, 210, 1000].map(|amount| bound.of(amount.into())), [20, 20, 20, 20, 21, 100]);
        assert_eq!(bound.of(Amount::MAX), Amount::MAX.credits() / 10);
        assert_eq!(FeeBound { percent: PERCENT_MAX, credits: 0.into() }.of(Amount::MAX), Amount::MAX);
        assert_eq!(FeeBound { percent: 0, credits: 0.into() }.of(Amount::MAX), 0);
    }

    #[test]
    fn a_currency_may_have_a_bound_of_its_own() {
        let (credit, hours): (Currency, Currency) = (Currency::default(), "hours".parse().unwrap());
        let both = bounds(&["1% or 5", "50% or 0:hours"]).unwrap();
        assert_eq!((both.of(&credit, 1000.into()), both.of(&hours, 1000.into())), (10.into(), 500.into()));
        let one = bounds(&["50% or 0:hours"]).unwrap();
        assert_eq!((one.of(&credit, 1000.into()), one.of(&hours, 10.into())), (100.into(), 5.into()));
        for texts in [both, one, FeeBounds::default()] {
            assert_eq!(FeeBounds::try_from(Vec::from(texts.clone())), Ok(texts));
        }
    }

    #[test]
    fn what_is_no_bound_is_refused() {
        let most = Amount::MAX.to_string();
        assert!(bounds(&[&format!("10000% or {most}")]).is_ok());
        for text in ["", "10%", "10 or 20", "10001% or 0", "+1% or 0", "1% or -1", "1% or 2:", "1% or 2:HOURS", "% or "]
        {
            assert_eq!(bounds(&[text]), Err(FeeBoundError::Text), "{text}");
        }
        assert_eq!(bounds(&[&format!("1% or {}", Amount::MAX.credits() + 1)]), Err(FeeBoundError::Text));
        assert_eq!(bounds(&["1% or 2", "1% or 3"]), Err(FeeBoundError::Twice));
        assert_eq!(bounds(&["1% or 2:hours", "1% or 3:hours"]), Err(FeeBoundError::Twice));
        let many: Vec<String> = (0..=CURRENCIES_MAX).map(|number| format!("1% or 2:c{number}")).collect();
        assert_eq!(FeeBounds::try_from(many), Err(FeeBoundError::TooMany));
    }
}
