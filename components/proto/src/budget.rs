//! What the owner of a node lets an application spend (protocol section 6): a number of credits of one currency, in all or in
//! each day, week or month. The calendar is that of UTC; weeks begin on Monday.
//!
//! As text: `500`, `500/day`, `20:hours/month`.

use crate::Currency;
use crate::amount::Amount;
use crate::app::codec::codec;
use crate::app::field::Field;
use crate::app::message::{Message, MessageError};
use crate::calendar::{DAY_MS, date, time_text};
use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::limits::CURRENCIES_MAX;
use crate::wire::app_capnp as wire;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// How often a budget starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// At midnight.
    Day,
    /// On Monday.
    Week,
    /// On the first of a month.
    Month,
}

impl Period {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
        }
    }

    /// When the period that holds this moment is over, unix ms.
    pub fn end_ms(self, unix_ms: u64) -> u64 {
        let day = unix_ms / DAY_MS;
        let first_day_after = match self {
            Period::Day => day + 1,
            // 1970 began on a Thursday.
            Period::Week => (day + 3) / 7 * 7 + 4,
            Period::Month => (day + 1..).find(|day| date(*day).2 == 1).expect("every month ends"),
        };
        first_day_after.saturating_mul(DAY_MS)
    }
}

impl Canonical for Period {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.u8(match self {
            Period::Day => 0,
            Period::Week => 1,
            Period::Month => 2,
        });
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match decoder.u8()? {
            0 => Period::Day,
            1 => Period::Week,
            2 => Period::Month,
            _ => return Err(DecodeError::invalid("a period")),
        })
    }
}

/// A word that names no period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a period is a day, a week or a month")]
pub struct PeriodError;

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let all = [Period::Day, Period::Week, Period::Month];
        all.into_iter().find(|period| period.as_str() == text).ok_or(PeriodError)
    }
}

/// What may be spent of one currency.
///
/// ```
/// use offst_proto::Amount;
/// use offst_proto::budget::{Budget, Period};
///
/// let budget: Budget = "20:hours/month".parse()?;
/// assert_eq!((budget.amount, budget.period), (Amount::from(20), Some(Period::Month)));
/// assert_eq!(budget.to_string(), "20:hours/month");
/// # Ok::<(), offst_proto::budget::BudgetError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// The currency.
    pub currency: Currency,
    /// Credits, fees included.
    pub amount: Amount,
    /// How often it starts again; none: never.
    pub period: Option<Period>,
}

/// A text that is no budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a budget is a whole number of credits up to 2^96, with a currency and a period if it has them: 500, 500/day, 20:hours/month"
)]
pub struct BudgetError;

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let (text, period) = match text.split_once('/') {
            Some((text, period)) => (text, Some(period.parse().map_err(|_| BudgetError)?)),
            None => (text, None),
        };
        let (digits, currency) = match text.split_once(':') {
            Some((digits, currency)) => (digits, currency.parse().map_err(|_| BudgetError)?),
            None => (text, Currency::default()),
        };
        let amount = digits.parse().map_err(|_| BudgetError)?;
        Ok(Budget { currency, amount, period })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.amount)?;
        if self.currency != Currency::default() {
            write!(f, ":{}", self.currency)?;
        }
        self.period.map_or(Ok(()), |period| write!(f, "/{}", period.as_str()))
    }
}

/// All budgets of one application. One without any spends without a limit; one that has some spends only what they name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Budgets {
    since_ms: u64,
    budgets: Vec<Budget>,
}

/// A currency has two budgets, or there are too many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetsError {
    /// A currency that has two.
    #[error("there are two budgets in {0}: give one for each currency")]
    Twice(Currency),
    /// There are too many.
    #[error("there are too many budgets: at most {CURRENCIES_MAX} are taken")]
    TooMany,
}

impl Budgets {
    /// At most one for each currency. `since_ms`: what was spent under another number does not count; the owner's program takes
    /// the time when the application was first bounded.
    ///
    /// # Errors
    /// See [`BudgetsError`].
    pub fn new(since_ms: u64, budgets: Vec<Budget>) -> Result<Self, BudgetsError> {
        if budgets.len() > CURRENCIES_MAX {
            return Err(BudgetsError::TooMany);
        }
        for (index, budget) in budgets.iter().enumerate() {
            if budgets[..index].iter().any(|other| other.currency == budget.currency) {
                return Err(BudgetsError::Twice(budget.currency.clone()));
            }
        }
        Ok(Budgets { since_ms, budgets })
    }

    /// Tells one time of being bounded from another.
    pub fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// Whether there is no limit at all.
    pub fn are_unlimited(&self) -> bool {
        self.budgets.is_empty()
    }

    /// In the order in which they were given.
    pub fn all(&self) -> &[Budget] {
        &self.budgets
    }

    /// The one in this currency.
    pub fn of(&self, currency: &Currency) -> Option<&Budget> {
        self.budgets.iter().find(|budget| budget.currency == *currency)
    }
}

/// How a budget stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "BudgetDocument")]
pub struct BudgetReport {
    /// The budget.
    pub budget: Budget,
    /// What was paid in this period, fees included, credits.
    pub spent: u128,
    /// What payments in flight may still cost, credits.
    pub under_way: u128,
    /// When the budget starts again, unix ms; none: never.
    pub until_ms: Option<u64>,
}

impl BudgetReport {
    /// What may still be spent, credits.
    pub fn left(&self) -> u128 {
        self.budget.amount.credits().saturating_sub(self.spent).saturating_sub(self.under_way)
    }
}

impl fmt::Display for BudgetReport {
    /// `500 credits a day; 120 are left until 2026-11-24 00:00 UTC, and 80 are held for payments under way`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Budget { currency, amount, period } = &self.budget;
        let name = if *currency == Currency::default() { "credits" } else { currency.as_str() };
        let how_often = period.map_or("in all".to_owned(), |period| format!("a {}", period.as_str()));
        write!(f, "{amount} {name} {how_often}; {} are left", self.left())?;
        if let Some(until_ms) = self.until_ms {
            let time = time_text(until_ms);
            write!(f, " until {} UTC", time.strip_suffix(":00").unwrap_or(&time))?;
        }
        if self.under_way > 0 {
            write!(f, ", and {} are held for payments under way", self.under_way)?;
        }
        Ok(())
    }
}

impl Message for BudgetReport {
    type Wire = wire::budget::Owned;

    fn write(&self, mut builder: wire::budget::Builder<'_>) {
        let Budget { currency, amount, period } = &self.budget;
        builder.set_currency(currency.to_wire());
        builder.set_amount(amount.to_wire());
        builder.set_period(period.map_or("", |period| period.as_str()));
        builder.set_spent(self.spent.to_wire());
        builder.set_under_way(self.under_way.to_wire());
        builder.set_until_ms(self.until_ms.to_wire());
    }

    fn read(reader: wire::budget::Reader<'_>) -> Result<Self, MessageError> {
        let period = match String::from_wire(reader.get_period())?.as_str() {
            "" => None,
            period => Some(period.parse().map_err(|_| DecodeError::invalid("a period"))?),
        };
        Ok(BudgetReport {
            budget: Budget {
                currency: Field::from_wire(reader.get_currency())?,
                amount: Field::from_wire(reader.get_amount())?,
                period,
            },
            spent: Field::from_wire(reader.get_spent())?,
            under_way: Field::from_wire(reader.get_under_way())?,
            until_ms: Field::from_wire(reader.get_until_ms())?,
        })
    }
}

/// The JSON of a [`BudgetReport`].
#[derive(Serialize)]
struct BudgetDocument {
    #[serde(flatten)]
    budget: Budget,
    #[serde(serialize_with = "crate::json::text")]
    spent: u128,
    #[serde(serialize_with = "crate::json::text")]
    under_way: u128,
    #[serde(serialize_with = "crate::json::text")]
    left: u128,
    until_ms: Option<u64>,
}

impl From<BudgetReport> for BudgetDocument {
    fn from(report: BudgetReport) -> Self {
        let left = report.left();
        let BudgetReport { budget, spent, under_way, until_ms } = report;
        BudgetDocument { budget, spent, under_way, left, until_ms }
    }
}

/// What one application may spend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BudgetsReport {
    /// False: all that the friends let the node spend. True: what the budgets say, and nothing of other currencies.
    pub limited: bool,
    /// One for each currency; none without a limit.
    pub budgets: Vec<BudgetReport>,
}

codec! {
    BudgetsReport as reports::budgets_results {
        fields {
            limited: get_limited, set_limited;
        }
        lists { budgets: get_budgets, init_budgets, CURRENCIES_MAX, "the number of budgets"; }
    }
}

impl From<Option<Vec<BudgetReport>>> for BudgetsReport {
    /// None: without a limit.
    fn from(budgets: Option<Vec<BudgetReport>>) -> Self {
        BudgetsReport { limited: budgets.is_some(), budgets: budgets.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn budget(text: &str) -> Budget {
        text.parse().unwrap()
    }

    #[test]
    fn texts() {
        let hours = Budget { currency: "hours".parse().unwrap(), amount: 20.into(), period: Some(Period::Month) };
        assert_eq!(budget("20:hours/month"), hours);
        assert_eq!(budget("500"), Budget { currency: Currency::default(), amount: 500.into(), period: None });
        assert_eq!(budget("0:credit/week").to_string(), "0/week");
        for text in ["500", "500/day", "20:hours/month", "1:x/week", "79228162514264337593543950336"] {
            assert_eq!(budget(text).to_string(), text);
        }
        let too_large = "79228162514264337593543950337";
        for wrong in ["", "/day", ":hours", "-1", "+1", "1.5", "5/year", "5/", "5:", "5:Hours", "5/day/day", too_large]
        {
            assert_eq!(wrong.parse::<Budget>(), Err(BudgetError), "{wrong}");
        }
    }

    #[test]
    fn a_currency_has_one_budget() {
        let budgets = Budgets::new(7, vec![budget("500/day"), budget("20:hours")]).unwrap();
        assert_eq!((budgets.since_ms(), budgets.are_unlimited()), (7, false));
        assert_eq!(budgets.of(&Currency::default()), Some(&budget("500/day")));
        assert_eq!(budgets.of(&"eggs".parse().unwrap()), None);
        let twice = Budgets::new(7, vec![budget("500/day"), budget("20:hours"), budget("3")]).unwrap_err();
        assert_eq!(twice.to_string(), "there are two budgets in credit: give one for each currency");
        let many = (0..=CURRENCIES_MAX).map(|number| budget(&format!("1:c{number}"))).collect();
        assert_eq!(Budgets::new(7, many), Err(BudgetsError::TooMany));
    }

    #[test]
    fn periods_end_at_midnight_on_monday_and_on_the_first() {
        // 2026-11-23 is a Monday.
        let monday = 20_780;
        let ends = |day: u64| [Period::Day, Period::Week, Period::Month].map(|period| period.end_ms(day * DAY_MS + 5));
        let texts = |day| ends(day).map(|end| time_text(end)[..10].to_owned());
        assert_eq!(texts(monday - 1), ["2026-11-23", "2026-11-23", "2026-12-01"]);
        assert_eq!(texts(monday), ["2026-11-24", "2026-11-30", "2026-12-01"]);
        assert_eq!(texts(monday + 6), ["2026-11-30", "2026-11-30", "2026-12-01"]);
        assert_eq!(texts(monday + 8), ["2026-12-02", "2026-12-07", "2027-01-01"]);
        assert_eq!(texts(0), ["1970-01-02", "1970-01-05", "1970-02-01"]);
        assert_eq!(Period::Day.end_ms(DAY_MS - 1), DAY_MS);
        assert_eq!(Period::Day.end_ms(DAY_MS), 2 * DAY_MS);
    }

    #[test]
    fn words() {
        let report = |text: &str, spent, under_way, until_ms| {
            BudgetReport { budget: budget(text), spent, under_way, until_ms }.to_string()
        };
        assert_eq!(report("500", 380, 0, None), "500 credits in all; 120 are left");
        assert_eq!(
            report("20:hours/day", 5, 16, Some(20_781 * DAY_MS)),
            "20 hours a day; 0 are left until 2026-11-24 00:00 UTC, and 16 are held for payments under way"
        );
    }

    proptest! {
        #[test]
        fn a_period_ends_later_and_the_next_begins_there(unix_ms: u64) {
            for period in [Period::Day, Period::Week, Period::Month] {
                let end = period.end_ms(unix_ms);
                prop_assert!(end > unix_ms || end == u64::MAX);
                if end < u64::MAX {
                    prop_assert_eq!(period.end_ms(end - 1), end);
                    prop_assert!(period.end_ms(end) > end || period.end_ms(end) == u64::MAX);
                    prop_assert!(end - unix_ms <= 31 * DAY_MS);
                }
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            if let Ok(budget) = text.parse::<Budget>() {
                prop_assert_eq!(budget.to_string().parse(), Ok(budget));
            }
        }
    }
}
