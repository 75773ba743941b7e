//! Budgets of applications as people read them.

use offst_proto::budget::BudgetReport;

/// How budgets stand, in a line for each.
pub(crate) fn lines(reports: &[BudgetReport]) -> impl Iterator<Item = String> {
    reports.iter().map(|report| format!("may spend {report}"))
}
