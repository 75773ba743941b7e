//! The group `funds`: paying, and payments.

use super::arguments::{self, load_invoice, positive_amount};
use super::connection::Connection;
use super::cycles::{self, Clear, Rebalance};
use super::history::{self, History, forwards_table, payments_table};
use super::output::OutputFormat;
use super::pages::{List, all_pages};
use super::paying::{failure_with_payment, pay, still_under_way};
use super::payment_options::{PaymentOptions, ReceiptFile};
use super::quote::{self, Quote};
use super::text;
use crate::outcome::{Failure, Outcome};
use clap::Subcommand;
use offst_app::{Destination, Purpose};
use offst_proto::Amount;
use offst_proto::report::{PaymentReport, PaymentStatus};
use offst_proto::{Currency, PaymentId};

#[derive(Debug, Subcommand)]
pub(super) enum Funds {
    /// Pay an invoice
    PayInvoice(PayInvoice),
    /// Send credits without an invoice
    SendFunds(SendFunds),
    /// Show what a payment would cost, and over which routes it would go; nothing is paid
    Quote(Quote),
    /// Move credit around a cycle of friends: it leaves by one friend and comes back by another
    Rebalance(Rebalance),
    /// Find debt cycles, in which each node owes the next, and clear them: every debt in them becomes smaller, without a fee
    Clear(Clear),
    /// Show the status of a payment, and write its receipt
    Status(Status),
    /// Cancel a payment that is not committed yet
    Cancel(OnePayment),
    /// List payments, newest first
    Payments(List),
    /// List what was forwarded for others, newest first
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
    options: PaymentOptions,
}

#[derive(Debug, clap::Args)]
pub(super) struct SendFunds {
    /// How much the receiver gets, in credits
    #[arg(long, value_parser = positive_amount)]
    amount: Amount,
    /// The receiver
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
    options: PaymentOptions,
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

pub(super) fn run(funds: Funds, connection: &Connection, format: OutputFormat) -> Outcome {
    match funds {
        Funds::PayInvoice(PayInvoice { invoice, options }) => {
            let purpose = Purpose::Invoice(load_invoice(&invoice)?);
            pay(purpose, options, connection, format)
        }
        Funds::SendFunds(SendFunds { amount, dest, currency, options }) => {
            pay(Purpose::Spontaneous { destination: dest, currency, amount }, options, connection, format)
        }
        Funds::Quote(arguments) => quote::run(arguments, connection, format),
        Funds::Rebalance(arguments) => cycles::rebalance(arguments, connection, format),
        Funds::Clear(arguments) => cycles::clear(arguments, connection, format),
        Funds::Status(Status { payment, receipt }) => {
            receipt.check()?;
            connection.run(async |app| {
                let payment = app.payment(payment.payment_id).await?;
                if receipt.receipt.is_some() && payment.status != PaymentStatus::Paid {
                    return Err(Failure::failed(format!("there is no receipt: the payment is {}", payment.status)));
                }
                receipt.write(&payment)?;
                format.print(&payment, || details(&payment))
            })
        }
        Funds::Cancel(OnePayment { payment_id }) => {
            connection.run(async |app| cancelled(&app.cancel_payment(payment_id).await?, format))
        }
        Funds::Payments(List { limit }) => connection.run(async |app| {
            let payments = all_pages(limit, async |cursor, limit| app.payments(cursor, limit).await).await?;
            format.print(&payments, || payments_table(&payments))
        }),
        Funds::Forwards(List { limit }) => connection.run(async |app| {
            let forwards = all_pages(limit, async |cursor, limit| app.forwards(cursor, limit).await).await?;
            format.print(&forwards, || forwards_table(&forwards))
        }),
        Funds::History(arguments) => history::run(arguments, connection, format),
    }
}

fn cancelled(payment: &PaymentReport, format: OutputFormat) -> Outcome {
    let message = match payment.status {
        PaymentStatus::Failed => {
            return format.print(payment, || "The payment is cancelled, nothing was paid.\n".into());
        }
        PaymentStatus::Paid => "it is too late to cancel the payment: it is paid".to_owned(),
        PaymentStatus::Pending => {
            let under_way = still_under_way(payment.payment_id);
            format!("it is too late to cancel the payment: it is committed and {under_way}")
        }
    };
    Err(failure_with_payment(&message, payment))
}

fn details(payment: &PaymentReport) -> String {
    let PaymentReport { payment_id, destination, currency, amount, fees, parts, duration_ms, .. } = payment;
    let mut lines = vec![
        format!("payment:     {payment_id}"),
        format!("status:      {}", payment.status),
        format!("kind:        {}", payment.kind),
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
    use super::super::payment_options::tests::payment;
    use super::*;

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

    #[test]
    fn what_is_committed_cannot_be_cancelled() {
        let late = cancelled(&payment(PaymentStatus::Pending, ""), OutputFormat::Text).unwrap_err();
        assert!(
            late.message().ends_with("it is committed and still under way, see `funds status AgICAgICAgICAgICAgICAg`")
        );
    }
}
