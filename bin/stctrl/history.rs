//! The command `funds history`, and tables of payments and forwards.

use super::arguments::whole_number;
use super::connection::Connection;
use super::output::OutputFormat;
use super::pages::{ROWS_MAX, all_pages, chosen_pages};
use super::table::Table;
use super::text;
use crate::files::{self, Readers};
use crate::outcome::Outcome;
use offst_app::{App, AppError};
use offst_proto::InvoiceId;
use offst_proto::report::{ForwardReport, PaymentKind, PaymentReport, PaymentStatus, ReceivedReport};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct History {
    /// Write the whole history to a file, as comma-separated values (CSV)
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
    /// Most entries of each kind [default: 1000; with --csv: all]
    #[arg(long, value_name = "N", value_parser = whole_number(0..=usize::MAX))]
    limit: Option<usize>,
}

/// What programs read when the history was written to a file.
#[derive(Debug, Serialize)]
struct Written {
    entries: usize,
}

/// Money that came, went or was earned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    time_ms: u64,
    kind: &'static str,
    id: String,
    currency: String,
    /// What the balance changed by.
    #[serde(serialize_with = "offst_proto::json::text")]
    change: i128,
    #[serde(serialize_with = "offst_proto::json::text")]
    fees: u128,
    description: String,
}

pub(super) fn run(History { csv, force, limit }: History, connection: &Connection, format: OutputFormat) -> Outcome {
    if let Some(path) = &csv {
        files::check_output(path, force)?;
    }
    let limit = limit.unwrap_or(if csv.is_some() { usize::MAX } else { ROWS_MAX });
    connection.run(async |app| {
        let entries = entries(&app, limit).await?;
        match &csv {
            Some(path) => {
                files::write(path, to_csv(&entries).as_bytes(), Readers::Owner, force)?;
                format.print(&Written { entries: entries.len() }, String::new)
            }
            None => format.print(&entries, || to_table(&entries)),
        }
    })
}

async fn entries(app: &App, limit: usize) -> Result<Vec<Entry>, AppError> {
    let is_paid = |payment: &PaymentReport| payment.status == PaymentStatus::Paid;
    let paid = chosen_pages(limit, is_paid, async |cursor, limit| app.payments(cursor, limit).await).await?;
    let parts = all_pages(limit, async |cursor, limit| app.received(cursor, limit).await).await?;
    let sold: BTreeSet<_> = parts.iter().filter_map(|part| part.invoice_id).collect();
    let is_sold = |invoice: &offst_proto::report::InvoiceReport| sold.contains(&invoice.invoice_id);
    let invoices = if sold.is_empty() {
        vec![]
    } else {
        chosen_pages(limit, is_sold, async |cursor, limit| app.invoices(cursor, limit).await).await?
    };
    let descriptions = invoices.into_iter().map(|invoice| (invoice.invoice_id, invoice.description)).collect();
    let forwards = all_pages(limit, async |cursor, limit| app.forwards(cursor, limit).await).await?;
    let paid = paid.iter().map(of_payment);
    let mut entries: Vec<_> =
        paid.chain(of_received(&parts, &descriptions)).chain(forwards.iter().map(of_forward)).collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.time_ms));
    Ok(entries)
}

/// A sum that leaves the range counts as the largest.
fn signed(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

pub(super) fn of_payment(payment: &PaymentReport) -> Entry {
    let is_to_others = payment.kind == PaymentKind::Payment;
    Entry {
        time_ms: payment.created_ms.saturating_add(payment.duration_ms),
        kind: payment.kind.as_str(),
        id: payment.payment_id.to_string(),
        currency: payment.currency.to_string(),
        // What goes around a cycle comes back.
        change: if is_to_others {
            -signed(payment.amount.credits().saturating_add(payment.fees))
        } else {
            -signed(payment.fees)
        },
        fees: payment.fees,
        description: if is_to_others {
            format!("to {}", payment.destination)
        } else {
            format!("{} around a cycle", payment.amount)
        },
    }
}

/// The parts of one payment, which were collected together, make one entry.
pub(super) fn of_received(parts: &[ReceivedReport], descriptions: &BTreeMap<InvoiceId, String>) -> Vec<Entry> {
    let is_same = |one: &ReceivedReport, next: &ReceivedReport| {
        one.payment_id.is_some() && (one.payment_id, one.invoice_id) == (next.payment_id, next.invoice_id)
    };
    let entry = |parts: &[ReceivedReport]| {
        let part = &parts[0];
        let (kind, id, description) = match (part.invoice_id, part.payment_id) {
            (Some(invoice), _) => {
                ("invoice", invoice.to_string(), descriptions.get(&invoice).cloned().unwrap_or_default())
            }
            (None, Some(payment)) => ("gift", payment.to_string(), format!("through {}", part.from)),
            (None, None) => ("recovered", part.request_id.to_string(), format!("through {}", part.from)),
        };
        Entry {
            time_ms: part.time_ms,
            kind,
            id,
            currency: part.currency.to_string(),
            change: parts.iter().map(|part| signed(part.amount.credits())).sum(),
            fees: 0,
            description,
        }
    };
    parts.chunk_by(is_same).map(entry).collect()
}

pub(super) fn of_forward(forward: &ForwardReport) -> Entry {
    let (kind, change, description) = match forward.from {
        Some(from) => {
            ("forward", signed(forward.fee.credits()), format!("{} from {from} to {}", forward.amount, forward.to))
        }
        None => ("written-off", -signed(forward.amount.credits()), format!("collected by {}", forward.to)),
    };
    Entry {
        time_ms: forward.time_ms,
        kind,
        id: forward.request_id.to_string(),
        currency: forward.currency.to_string(),
        change,
        fees: 0,
        description,
    }
}

fn to_table(entries: &[Entry]) -> String {
    let mut table = Table::new(["time", "kind", "id", "change", "fees", "currency", "description"]);
    for entry in entries {
        table.row([
            &text::time(entry.time_ms),
            entry.kind,
            &entry.id,
            &format!("{:+}", entry.change),
            &entry.fees.to_string(),
            &entry.currency,
            &entry.description,
        ]);
    }
    table.to_text()
}

fn to_csv(entries: &[Entry]) -> String {
    let mut csv = "time,kind,id,change,fees,currency,description\r\n".to_owned();
    for entry in entries {
        let Entry { kind, id, change, fees, currency, .. } = entry;
        let (time, description) = (text::time(entry.time_ms), quoted(&entry.description));
        csv.push_str(&format!("{time},{kind},{id},{change},{fees},{currency},{description}\r\n"));
    }
    csv
}

/// A text field. One that a spreadsheet would take for a formula is marked as a text.
fn quoted(text: &str) -> String {
    let text = text::clean(text).replace('"', "\"\"");
    let mark = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    format!("\"{mark}{text}\"")
}

/// The payments of the command `payments`.
pub(super) fn payments_table(payments: &[PaymentReport]) -> String {
    let mut table = Table::new(["created", "id", "status", "amount", "fees", "currency", "reason"]);
    for payment in payments {
        table.row([
            &text::time(payment.created_ms),
            &payment.payment_id.to_string(),
            payment.status.as_str(),
            &payment.amount.to_string(),
            &payment.fees.to_string(),
            payment.currency.as_str(),
            &payment.reason,
        ]);
    }
    table.to_text()
}

/// What was forwarded for others.
pub(super) fn forwards_table(forwards: &[ForwardReport]) -> String {
    let mut table = Table::new(["time", "amount", "fee", "currency", "from", "to"]);
    for forward in forwards {
        table.row([
            &text::time(forward.time_ms),
            &forward.amount.to_string(),
            &forward.fee.to_string(),
            forward.currency.as_str(),
            &forward.from.map_or_else(|| "written off".to_owned(), |from| from.to_string()),
            &forward.to.to_string(),
        ]);
    }
    table.to_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(description: &str) -> Entry {
        Entry {
            time_ms: 1000,
            kind: "invoice",
            id: "id".into(),
            currency: "credit".into(),
            change: 120,
            fees: 0,
            description: description.into(),
        }
    }

    #[test]
    fn csv_is_quoted() {
        let csv = to_csv(&[entry("two \"loaves\", bread"), entry("=cmd()\r\nx")]);
        let expected = "time,kind,id,change,fees,currency,description\r\n\
            1970-01-01 00:00:01,invoice,id,120,0,credit,\"two \"\"loaves\"\", bread\"\r\n\
            1970-01-01 00:00:01,invoice,id,120,0,credit,\"'=cmd()\u{fffd}\u{fffd}x\"\r\n";
        assert_eq!(csv, expected);
    }

    #[test]
    fn what_was_collected_after_it_had_been_written_off_is_a_loss() {
        let key = |seed| offst_crypto::Identity::from_seed([seed; 32]).public_key();
        let forward = ForwardReport {
            request_id: offst_proto::RequestId::from_bytes([1; 16]),
            from: Some(key(1)),
            to: key(2),
            currency: "hours".parse().unwrap(),
            amount: 100.into(),
            fee: 3.into(),
            time_ms: 5,
        };
        let lost = ForwardReport { from: None, fee: 0.into(), ..forward.clone() };
        assert_eq!([&forward, &lost].map(|forward| of_forward(forward).change), [3, -100]);
        assert_eq!([&forward, &lost].map(|forward| of_forward(forward).kind), ["forward", "written-off"]);
        assert!(forwards_table(&[lost]).contains("| written off |"));
    }

    #[test]
    fn tables_show_the_sign() {
        let table = to_table(&[Entry { change: -7, ..entry("") }, entry("")]);
        assert!(table.contains("| -7     |") && table.contains("| +120   |"), "{table}");
    }
}
