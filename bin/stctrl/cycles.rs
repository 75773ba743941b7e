//! The commands `funds rebalance` and `funds clear`: credit that comes back.

use super::arguments::{name, positive_amount};
use super::connection::Connection;
use super::names::{Names, PartDocument};
use super::output::OutputFormat;
use super::paying::pay;
use super::payment_options::SearchOptions;
use super::progress::with_progress;
use crate::outcome::{Failure, Outcome};
use clap::Args;
use offst_app::Purpose;
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::report::{ClearingReport, PaymentReport, PaymentStatus};
use serde::Serialize;

/// Debt cycles that one command clears.
const CYCLES_MAX: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Rebalance {
    /// Your name for the friend by which the credit leaves
    #[arg(short, long, value_parser = name)]
    name: String,
    /// How much comes back by another friend
    #[arg(long, value_parser = positive_amount)]
    amount: Amount,
    /// The currency
    #[arg(long, default_value_t)]
    currency: Currency,
    #[command(flatten)]
    search: SearchOptions,
}

#[derive(Debug, Args)]
pub(super) struct Clear {
    /// Clear the debt cycles that are found, although `config set-auto-clear` is off
    #[arg(long)]
    perform: bool,
    /// The currency
    #[arg(long, default_value_t)]
    currency: Currency,
}

pub(super) fn rebalance(arguments: Rebalance, connection: &Connection, format: OutputFormat) -> Outcome {
    let Rebalance { name, amount, currency, search } = arguments;
    let purpose = Purpose::Rebalance { friend: name, currency, amount };
    pay(purpose, search.without_receipt(), connection, format)
}

pub(super) fn clear(Clear { perform, currency }: Clear, connection: &Connection, format: OutputFormat) -> Outcome {
    connection.run(async |app| {
        let mut cleared = vec![];
        let last = loop {
            let report = with_progress("Looking for a debt cycle", app.clear(&currency, perform)).await?;
            let is_cleared = report.payment.as_ref().is_some_and(|payment| payment.status == PaymentStatus::Paid);
            if !is_cleared || cleared.len() + 1 >= CYCLES_MAX {
                break report;
            }
            cleared.push(report);
        };
        let names = Names::of(&app).await?;
        let document = document(&cleared, &last, &names);
        match &last.payment {
            Some(payment) if payment.status != PaymentStatus::Paid && cleared.is_empty() => {
                let message = format!("the debt cycle was not cleared: {}", payment.reason);
                Err(Failure::failed(message).with_document(&document))
            }
            _ => format.print(&document, || to_text(&cleared, &last, &names)),
        }
    })
}

/// What programs read.
#[derive(Debug, Serialize)]
pub(super) struct ClearingDocument<'a> {
    auto_clear: bool,
    cleared: Vec<ClearedCycle<'a>>,
    found: Option<PartDocument>,
}

#[derive(Debug, Serialize)]
struct ClearedCycle<'a> {
    #[serde(rename = "ring")]
    debt_cycle: Option<PartDocument>,
    payment: Option<&'a PaymentReport>,
}

pub(super) fn document<'a>(
    cleared: &'a [ClearingReport],
    last: &ClearingReport,
    names: &Names,
) -> ClearingDocument<'a> {
    let cycle = |report: &ClearingReport| report.cycle.as_ref().map(|cycle| names.part(cycle));
    let one = |report: &'a ClearingReport| ClearedCycle { debt_cycle: cycle(report), payment: report.payment.as_ref() };
    ClearingDocument { auto_clear: last.auto_clear, cleared: cleared.iter().map(one).collect(), found: cycle(last) }
}

fn to_text(cleared: &[ClearingReport], last: &ClearingReport, names: &Names) -> String {
    let mut lines = vec![];
    for cycle in cleared.iter().filter_map(|report| report.cycle.as_ref()) {
        lines.push(format!("Cleared {} around you -> {}", cycle.amount, names.path(&cycle.path)));
    }
    match (&last.cycle, &last.payment) {
        (Some(cycle), None) => {
            lines.push(format!("{} can be cleared around you -> {}", cycle.amount, names.path(&cycle.path)));
            lines.push(
                "Clear it with --perform, or let the node clear by itself from now on: `config set-auto-clear on`."
                    .into(),
            );
        }
        (Some(_), Some(payment)) if payment.status != PaymentStatus::Paid => {
            lines.push(format!("One more debt cycle was not cleared: {}", payment.reason));
        }
        _ if cleared.is_empty() => {
            lines.push("There is no debt cycle whose nodes all allow clearing.".into());
        }
        _ => {}
    }
    lines.join("\n") + "\n"
}
