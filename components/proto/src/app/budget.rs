//! What an application may spend.

use super::{read_amount, read_currency, read_text, read_total, wire};
use crate::budget::{Budget, BudgetReport};
use crate::encoding::DecodeError;

/// Fills in a budget.
pub fn write_budget(report: &BudgetReport, mut builder: wire::budget::Builder<'_>) {
    let Budget { currency, amount, period } = &report.budget;
    builder.set_currency(currency.as_str());
    builder.set_amount(amount.to_string());
    builder.set_period(period.map_or("", |period| period.as_str()));
    builder.set_spent(report.spent.to_string());
    builder.set_under_way(report.under_way.to_string());
    builder.set_until_ms(report.until_ms.unwrap_or(0));
}

/// Reads a budget.
///
/// # Errors
/// A field is not valid.
pub fn read_budget(reader: wire::budget::Reader<'_>) -> Result<BudgetReport, DecodeError> {
    let period = match read_text(reader.get_period())?.as_str() {
        "" => None,
        period => Some(period.parse().map_err(|_| DecodeError::invalid("a period"))?),
    };
    let currency = read_currency(reader.get_currency())?;
    Ok(BudgetReport {
        budget: Budget { currency, amount: read_amount(reader.get_amount())?, period },
        spent: read_total(reader.get_spent())?,
        under_way: read_total(reader.get_under_way())?,
        until_ms: Some(reader.get_until_ms()).filter(|until_ms| *until_ms != 0),
    })
}
