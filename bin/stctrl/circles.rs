//! The commands `funds rebalance` and `funds clear`: credit that comes back.

use super::arguments::{name, positive_amount};
use super::connection::Connection;
use super::funds::{Search, failure_with_payment, pay};
use super::progress::with_progress;
use super::quote::Names;
use super::{Voice, json};
use crate::outcome::Outcome;
use clap::Args;
use offst_app::Purpose;
use offst_proto::Currency;
use offst_proto::report::{ClearingReport, PaymentStatus};
use serde_json::{Value, json};

/// Rings that one command clears.
const RINGS_MAX: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Rebalance {
    /// The friend by whom it leaves, by your name
    #[arg(short, long, value_parser = name)]
    name: String,
    /// How much comes back over another friend
    #[arg(long, value_parser = positive_amount)]
    amount: u128,
    /// The currency
    #[arg(long, default_value_t)]
    currency: Currency,
    #[command(flatten)]
    search: Search,
}

#[derive(Debug, Args)]
pub(super) struct Clear {
    /// Clear what is found, although `config set-auto-clear` is off
    #[arg(long)]
    perform: bool,
    /// The currency
    #[arg(long, default_value_t)]
    currency: Currency,
}

pub(super) fn rebalance(arguments: Rebalance, connection: &Connection, voice: Voice) -> Outcome {
    let Rebalance { name, amount, currency, search } = arguments;
    let purpose = Purpose::Rebalance { friend: name, currency, amount };
    pay(purpose, search.without_receipt(), connection, voice)
}

pub(super) fn clear(Clear { perform, currency }: Clear, connection: &Connection, voice: Voice) -> Outcome {
    connection.run(async |app| {
        let mut cleared = vec![];
        let last = loop {
            let report = with_progress("Looking for a ring of debts", app.clear(&currency, perform)).await?;
            let is_cleared = report.payment.as_ref().is_some_and(|payment| payment.status == PaymentStatus::Paid);
            if !is_cleared || cleared.len() + 1 >= RINGS_MAX {
                break report;
            }
            cleared.push(report);
        };
        let names = Names::of(&app).await?;
        let mut document = to_json(&cleared, &last, &names);
        match &last.payment {
            Some(payment) if payment.status != PaymentStatus::Paid && cleared.is_empty() => {
                let failure = failure_with_payment(&format!("the ring was not cleared: {}", payment.reason), payment);
                document["error"] = json!(failure.sentence());
                Err(failure.with_document(document))
            }
            _ => voice.say(document, || to_text(&cleared, &last, &names)),
        }
    })
}

pub(super) fn to_json(cleared: &[ClearingReport], last: &ClearingReport, names: &Names) -> Value {
    let ring = |report: &ClearingReport| report.ring.as_ref().map(|ring| names.part_json(ring));
    let one = |report: &ClearingReport| json!({ "ring": ring(report), "payment": report.payment.as_ref().map(json::payment) });
    json!({
        "auto_clear": last.auto_clear,
        "cleared": cleared.iter().map(one).collect::<Vec<_>>(),
        "found": ring(last),
    })
}

fn to_text(cleared: &[ClearingReport], last: &ClearingReport, names: &Names) -> String {
    let mut lines = vec![];
    for ring in cleared.iter().filter_map(|report| report.ring.as_ref()) {
        lines.push(format!("Cleared {} around you -> {}", ring.amount, names.route(&ring.route)));
    }
    match (&last.ring, &last.payment) {
        (Some(ring), None) => {
            lines.push(format!("{} can be cleared around you -> {}", ring.amount, names.route(&ring.route)));
            lines.push("Do it with --perform, or allow it for good: `config set-auto-clear on`.".into());
        }
        (Some(_), Some(payment)) if payment.status != PaymentStatus::Paid => {
            lines.push(format!("One more ring was not cleared: {}", payment.reason));
        }
        _ if cleared.is_empty() => {
            lines.push("There is no ring in which everybody owes the next and allows clearing.".into());
        }
        _ => {}
    }
    lines.join("\n") + "\n"
}
