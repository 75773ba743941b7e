//! Budgets of applications as programs and people read them.

use offst_proto::budget::{Budget, BudgetReport};
use serde_json::{Value, json};

/// How a budget stands.
pub(crate) fn document(report: &BudgetReport) -> Value {
    let Budget { currency, amount, period } = &report.budget;
    json!({
        "currency": currency.as_str(),
        "amount": amount.to_string(),
        "period": period.map(|period| period.as_str()),
        "spent": report.spent.to_string(),
        "under_way": report.under_way.to_string(),
        "left": report.left().to_string(),
        "until_ms": report.until_ms,
    })
}

/// The same in a line for each.
pub(crate) fn lines(reports: &[BudgetReport]) -> impl Iterator<Item = String> {
    reports.iter().map(|report| format!("may spend {report}"))
}
