//! The group `funds`: paying, and payments.

use super::arguments::{self, load_invoice, positive_amount, whole_number};
use super::circles::{self, Clear, Rebalance};
use super::connection::Connection;
use super::history::{self, History, List, all_pages, forwards_table, payments_table};
use super::progress::with_stages;
use super::quote::{self, Quote};
use super::{Voice, json, text};
use crate::files::{self, Readers};
use crate::outcome::{Failure, Outcome};
use clap::Subcommand;
use offst_app::{App, AppError, Destination, Order, Purpose};
use offst_crypto::SystemRandom;
use offst_proto::limits::PATIENCE_MS_MAX;
use offst_proto::report::{PaymentReport, PaymentStatus};
use offst_proto::{Currency, PaymentId};
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Funds {
    /// Pay an invoice
    PayInvoice(PayInvoice),
    /// Send credits without an invoice
    SendFunds(SendFunds),
    /// Show what a payment would cost and over which ways it would go; nothing is paid
    Quote(Quote),
    /// Move credit around a cycle: it leaves by one friend and comes back by another
    Rebalance(Rebalance),
    /// Find rings in which everybody owes the next, and clear them: all debts in them become smaller, without a fee
    Clear(Clear),
    /// Show how a payment stands, and write its receipt
    Status(Status),
    /// Give up a payment that is not committed yet
    Cancel(OnePayment),
    /// List payments, newest first
    Payments(List),
    /// List what was carried on for others, newest first
    Forwards(List),
    /// List everything that changed the balance, newest first
    History(History),
}

#[derive(Debug, clap::Args)]
pub(super) struct PayInvoice {
    /// The invoice: its file or its line of text
    #[arg(short, long, value_name = "FILE-or-TEXT")]
    invoice: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
pub(super) struct SendFunds {
    /// How much arrives
    #[arg(long, value_parser = positive_amount)]
    amount: u128,
    /// Who gets it
    // A key may begin with "-".
    #[arg(
        long,
        value_name = "PUBLIC-KEY-or-FRIEND-NAME",
        value_parser = arguments::destination,
        allow_hyphen_values = true
    )]
    dest: Destination,
    /// The currency
    #[arg(long, default_value_t)]
    currency: Currency,
    #[command(flatten)]
    how: How,
}

/// How a payment is made.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    #[command(flatten)]
    receipt: ReceiptFile,
    #[command(flatten)]
    pub(super) search: Search,
}

/// How a way is looked for.
#[derive(Debug, clap::Args)]
pub(super) struct Search {
    /// The most that may be taken for carrying it on [default: what the node has set as max_fee_default, at first 10 % of the
    /// amount or 20, whichever is more]
    #[arg(long, value_name = "N", value_parser = arguments::amount)]
    pub(super) max_fee: Option<u128>,
    /// How long to look for a way
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = whole_number(1..=PATIENCE_MS_MAX / 1000))]
    timeout: u64,
}

impl Search {
    /// For credit that comes back: its receipt is of no use.
    pub(super) fn without_receipt(self) -> How {
        How { receipt: ReceiptFile { receipt: None, force: false }, search: self }
    }

    /// The order under a fresh id.
    pub(super) fn order(&self, purpose: Purpose) -> Order {
        Order { payment_id: fresh_payment_id(), purpose, max_fee: self.max_fee, timeout_ms: self.timeout * 1000 }
    }
}

/// Where a receipt is put.
#[derive(Debug, clap::Args)]
pub(super) struct ReceiptFile {
    /// Write the receipt to this file
    #[arg(short, long, value_name = "RECEIPT-FILE")]
    receipt: Option<PathBuf>,
    /// Overwrite the receipt's file if it exists
    #[arg(long)]
    force: bool,
}

impl ReceiptFile {
    fn check(&self) -> Outcome {
        self.receipt.as_ref().map_or(Ok(()), |path| files::check_output(path, self.force))
    }

    /// Writes the receipt of a payment that was paid.
    fn write(&self, payment: &PaymentReport) -> Outcome {
        let (Some(path), PaymentStatus::Paid) = (&self.receipt, payment.status) else { return Ok(()) };
        let written = match &payment.receipt {
            Some(receipt) => files::write(path, receipt.as_bytes(), Readers::Owner, self.force),
            None => Err(Failure::failed("the node does not have the receipt")),
        };
        // Whoever reads this must not pay again.
        written.map_err(|failure| {
            Failure::failed(format!(
                "the payment is made, but its receipt is not written: {}; get it with `funds status {} -r FILE`",
                failure.sentence(),
                payment.payment_id
            ))
        })
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    payment: OnePayment,
    #[command(flatten)]
    receipt: ReceiptFile,
}

#[derive(Debug, clap::Args)]
pub(super) struct OnePayment {
    /// The payment's id
    #[arg(value_name = "PAYMENT-ID", allow_hyphen_values = true)]
    payment_id: PaymentId,
}

pub(super) fn run(funds: Funds, connection: &Connection, voice: Voice) -> Outcome {
    match funds {
        Funds::PayInvoice(PayInvoice { invoice, how }) => {
            let purpose = Purpose::Invoice(load_invoice(&invoice)?);
            pay(purpose, how, connection, voice)
        }
        Funds::SendFunds(SendFunds { amount, dest, currency, how }) => {
            pay(Purpose::Spontaneous { destination: dest, currency, amount }, how, connection, voice)
        }
        Funds::Quote(arguments) => quote::run(arguments, connection, voice),
        Funds::Rebalance(arguments) => circles::rebalance(arguments, connection, voice),
        Funds::Clear(arguments) => circles::clear(arguments, connection, voice),
        Funds::Status(Status { payment, receipt }) => {
            receipt.check()?;
            connection.run(async |app| {
                let payment = app.payment(payment.payment_id).await?;
                if receipt.receipt.is_some() && payment.status != PaymentStatus::Paid {
                    let status = json::payment_status(payment.status);
                    return Err(Failure::failed(format!("there is no receipt: the payment is {status}")));
                }
                receipt.write(&payment)?;
                voice.say(json::payment(&payment), || details(&payment))
            })
        }
        Funds::Cancel(OnePayment { payment_id }) => {
            connection.run(async |app| cancelled(&app.cancel_payment(payment_id).await?, voice))
        }
        Funds::Payments(List { limit }) => connection.run(async |app| {
            let payments = all_pages(limit, async |cursor, limit| app.payments(cursor, limit).await).await?;
            voice.say(payments.iter().map(json::payment).collect(), || payments_table(&payments))
        }),
        Funds::Forwards(List { limit }) => connection.run(async |app| {
            let forwards = all_pages(limit, async |cursor, limit| app.forwards(cursor, limit).await).await?;
            voice.say(forwards.iter().map(json::forward).collect(), || forwards_table(&forwards))
        }),
        Funds::History(arguments) => history::run(arguments, connection, voice),
    }
}

pub(super) fn pay(purpose: Purpose, how: How, connection: &Connection, voice: Voice) -> Outcome {
    how.receipt.check()?;
    let order = how.search.order(purpose);
    connection.run(async |app| {
        let payment = carry_out(&app, &order).await?;
        how.receipt.write(&payment)?;
        report(&payment, voice)
    })
}

/// An id that no command line takes for a flag.
fn fresh_payment_id() -> PaymentId {
    let mut random = SystemRandom::new();
    loop {
        let payment_id = PaymentId::random(&mut random);
        if !payment_id.to_string().starts_with('-') {
            return payment_id;
        }
    }
}

/// Orders the payment. When the connection is lost, it may be under way: then nobody must believe that it failed.
async fn carry_out(app: &App, order: &Order) -> Outcome<PaymentReport> {
    let stage = async || app.payment(order.payment_id).await.ok().map(|payment| stage(&payment));
    with_stages("Paying", stage, app.pay(order)).await.map_err(|error| match error {
        AppError::Disconnected(_) | AppError::Answer(_) => {
            let sentence = format!("{error}; the payment may be {}", still_under_way(order.payment_id));
            Failure::failed(&sentence).with_document(json!({
                "payment_id": order.payment_id.to_string(),
                "status": "pending",
                "reason": sentence,
                "error": sentence,
            }))
        }
        error => error.into(),
    })
}

/// What a payment is doing, in a few words.
fn stage(payment: &PaymentReport) -> String {
    let PaymentReport { parts, reason, .. } = payment;
    match (parts, reason.is_empty()) {
        (0, true) => "looking for a way".into(),
        (0, false) => format!("looking for another way: {}", text::clean(reason)),
        (1, _) => "1 part under way".into(),
        (parts, _) => format!("{parts} parts under way"),
    }
}

fn still_under_way(payment_id: PaymentId) -> String {
    format!("still under way, see `funds status {payment_id}`")
}

/// Tells how a payment ended.
fn report(payment: &PaymentReport, voice: Voice) -> Outcome {
    let reason = if payment.reason.is_empty() { String::new() } else { format!(": {}", payment.reason) };
    let sentence = match payment.status {
        PaymentStatus::Paid => {
            return voice.say(json::payment(payment), || format!("Payment successful!\nFees: {}\n", payment.fees));
        }
        PaymentStatus::Failed => format!("the payment failed{reason}"),
        PaymentStatus::Pending => format!("the payment is {}{reason}", still_under_way(payment.payment_id)),
    };
    Err(failure_with_payment(&sentence, payment))
}

pub(super) fn failure_with_payment(sentence: &str, payment: &PaymentReport) -> Failure {
    let failure = Failure::failed(sentence);
    let mut document = json::payment(payment);
    document["error"] = json!(failure.sentence());
    failure.with_document(document)
}

fn cancelled(payment: &PaymentReport, voice: Voice) -> Outcome {
    let sentence = match payment.status {
        PaymentStatus::Failed => {
            return voice.say(json::payment(payment), || "The payment is cancelled, nothing was paid.\n".into());
        }
        PaymentStatus::Paid => "it is too late to cancel the payment: it is paid".to_owned(),
        PaymentStatus::Pending => {
            let under_way = still_under_way(payment.payment_id);
            format!("it is too late to cancel the payment: it is committed and {under_way}")
        }
    };
    Err(failure_with_payment(&sentence, payment))
}

fn details(payment: &PaymentReport) -> String {
    let PaymentReport { payment_id, destination, currency, amount, fees, parts, duration_ms, .. } = payment;
    let mut lines = vec![
        format!("payment:     {payment_id}"),
        format!("status:      {}", json::payment_status(payment.status)),
        format!("kind:        {}", json::payment_kind(payment.kind)),
        format!("destination: {destination}"),
        format!("amount:      {amount} {currency}"),
        format!("fees:        {fees}"),
        format!("parts:       {parts}"),
        format!("ordered:     {}", text::time(payment.created_ms)),
        format!("duration:    {duration_ms} ms"),
    ];
    if let Some(invoice_id) = payment.invoice_id {
        lines.insert(4, format!("invoice:     {invoice_id}"));
    }
    if let Some(app) = payment.app {
        lines.push(format!("ordered by:  {app}"));
    }
    if !payment.reason.is_empty() {
        lines.insert(2, format!("reason:      {}", text::clean(&payment.reason)));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;
    use offst_proto::report::PaymentKind;

    fn payment(status: PaymentStatus, reason: &str) -> PaymentReport {
        PaymentReport {
            app: None,
            payment_id: PaymentId::from_bytes([2; 16]),
            status,
            kind: PaymentKind::Payment,
            destination: Identity::from_seed([1; 32]).public_key(),
            invoice_id: None,
            currency: Currency::default(),
            amount: 100,
            fees: 3,
            parts: 1,
            reason: reason.into(),
            created_ms: 0,
            duration_ms: 5,
            receipt: Some("the receipt".into()),
        }
    }

    const VOICE: Voice = Voice { json: false };

    #[test]
    fn failed_and_pending_are_told_apart() {
        let failed = report(&payment(PaymentStatus::Failed, "there is no route"), VOICE).unwrap_err();
        assert_eq!((failed.exit_code(), failed.sentence()), (1, "the payment failed: there is no route"));
        let pending = report(&payment(PaymentStatus::Pending, "node1 is away"), VOICE).unwrap_err();
        assert_eq!(pending.exit_code(), 1);
        let expected = "the payment is still under way, see `funds status AgICAgICAgICAgICAgICAg`: node1 is away";
        assert_eq!(pending.sentence(), expected);
        assert!(!pending.sentence().contains("failed"));
        assert_eq!(report(&payment(PaymentStatus::Paid, ""), VOICE), Ok(()));
        let late = cancelled(&payment(PaymentStatus::Pending, ""), VOICE).unwrap_err();
        assert!(
            late.sentence().ends_with("it is committed and still under way, see `funds status AgICAgICAgICAgICAgICAg`")
        );
    }

    #[test]
    fn a_receipt_that_cannot_be_written_does_not_make_the_payment_fail() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.receipt");
        let file = ReceiptFile { receipt: Some(path.clone()), force: false };
        file.check().unwrap();
        file.write(&payment(PaymentStatus::Failed, "")).unwrap();
        assert!(!path.exists());
        file.write(&payment(PaymentStatus::Paid, "")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "the receipt");
        assert_eq!(file.check().unwrap_err().exit_code(), 2);
        let failure = file.write(&payment(PaymentStatus::Paid, "")).unwrap_err();
        assert!(failure.sentence().starts_with("the payment is made, but its receipt is not written: "));
        assert!(failure.sentence().ends_with("`funds status AgICAgICAgICAgICAgICAg -r FILE`"));
    }

    #[test]
    fn an_id_is_no_flag() {
        assert!((0..1000).all(|_| !fresh_payment_id().to_string().starts_with('-')));
    }

    #[test]
    fn details_are_one_a_line() {
        let text = details(&payment(PaymentStatus::Pending, "node1\nis away"));
        assert!(
            text.contains(
                "status:      pending\nreason:      node1\u{fffd}is away\nkind:        payment\ndestination: iojj"
            ),
            "{text}"
        );
        assert!(text.contains("amount:      100 credit\nfees:        3\n"), "{text}");
    }
}
