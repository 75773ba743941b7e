//! The group `seller`: invoices.

use super::arguments::{Output, description, load_invoice_id, positive_amount, whole_number};
use super::connection::Connection;
use super::drawing::drawing;
use super::output::OutputFormat;
use super::pages::{List, all_pages};
use super::progress::with_progress;
use super::table::Table;
use super::text;
use crate::files::Readers;
use crate::outcome::{Failure, Outcome};
use clap::Subcommand;
use offst_app::{App, NewInvoice};
use offst_proto::Amount;
use offst_proto::invoice::Invoice;
use offst_proto::report::{InvoiceReport, InvoiceStatus};
use offst_proto::{Currency, InvoiceId, Verified};
use serde::Serialize;

#[derive(Debug, Subcommand)]
pub(super) enum Seller {
    /// Make an invoice: write a file, and print one line of text with the same content
    CreateInvoice(CreateInvoice),
    /// Cancel an invoice
    CancelInvoice(Given),
    /// List invoices, newest first
    Invoices(List),
    /// Wait until an invoice is paid
    Wait(Given),
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateInvoice {
    /// How much is to be paid, in credits
    #[arg(short, long, value_parser = positive_amount)]
    amount: Amount,
    /// The currency
    #[arg(long, default_value_t)]
    currency: Currency,
    /// What the invoice is for, in one line
    #[arg(long, default_value = "", value_parser = description)]
    description: String,
    /// How long the invoice can be paid [default: until it is cancelled]
    #[arg(long, value_name = "SECONDS", value_parser = whole_number(1..=EXPIRY_SECONDS_MAX))]
    expiry: Option<u64>,
    #[command(flatten)]
    output: Output,
    /// Also draw the invoice as a QR code
    #[arg(long)]
    qr: bool,
}

/// A hundred years.
const EXPIRY_SECONDS_MAX: u64 = 100 * 366 * 86_400;

#[derive(Debug, clap::Args)]
pub(super) struct Given {
    /// The invoice: its file, its line of text or its id
    // An id may begin with "-".
    #[arg(short, long, value_name = "FILE-or-TEXT", allow_hyphen_values = true)]
    invoice: String,
}

pub(super) fn run(seller: Seller, connection: &Connection, format: OutputFormat) -> Outcome {
    match seller {
        Seller::CreateInvoice(arguments) => {
            arguments.output.check()?;
            connection.run(async |app| create(arguments, &app, format).await)
        }
        Seller::CancelInvoice(Given { invoice }) => {
            let invoice_id = load_invoice_id(&invoice)?;
            connection.run(async |app| match app.cancel_invoice(invoice_id).await? {
                InvoiceStatus::Cancelled => format.done(),
                status => Err(Failure::failed(format!("the invoice cannot be cancelled: it is {status} already"))),
            })
        }
        Seller::Invoices(List { limit }) => connection.run(async |app| {
            let invoices = all_pages(limit, async |cursor, limit| app.invoices(cursor, limit).await).await?;
            format.print(&invoices, || invoices_table(&invoices))
        }),
        Seller::Wait(Given { invoice }) => {
            let invoice_id = load_invoice_id(&invoice)?;
            connection.run(async |app| {
                match with_progress("Waiting for the payment", app.wait_invoice(invoice_id)).await? {
                    status @ InvoiceStatus::Paid => {
                        format.print(&Ended { invoice_id, status }, || "The invoice is paid!\n".into())
                    }
                    status => Err(Failure::failed(format!("the invoice was not paid: it is {status}"))),
                }
            })
        }
    }
}

async fn create(arguments: CreateInvoice, app: &App, format: OutputFormat) -> Outcome {
    let CreateInvoice { amount, currency, description, expiry, output, qr } = arguments;
    let expiry_ms = expiry.map(|seconds| seconds * 1000);
    let invoice = app.create_invoice(&NewInvoice { amount, currency, description, expiry_ms }).await?;
    output.write(&invoice.to_toml(), Readers::Owner)?;
    let drawing = if qr && format == OutputFormat::Text { drawing(&invoice.to_text())? } else { String::new() };
    format.print(&document(&invoice), || format!("{}\n{drawing}", invoice.to_text()))
}

/// What programs read of an invoice that has ended.
#[derive(Debug, Serialize)]
pub(super) struct Ended {
    pub(super) invoice_id: InvoiceId,
    pub(super) status: InvoiceStatus,
}

/// What programs read of a new invoice.
#[derive(Debug, Serialize)]
pub(super) struct NewInvoiceDocument {
    invoice_id: InvoiceId,
    amount: Amount,
    currency: Currency,
    description: String,
    expires_ms: Option<u64>,
    /// The line for the buyer.
    text: String,
}

pub(super) fn document(invoice: &Verified<Invoice>) -> NewInvoiceDocument {
    NewInvoiceDocument {
        invoice_id: invoice.id,
        amount: invoice.amount,
        currency: invoice.currency.clone(),
        description: invoice.description.clone(),
        expires_ms: invoice.expires_ms,
        text: invoice.to_text(),
    }
}

fn invoices_table(invoices: &[InvoiceReport]) -> String {
    let mut table = Table::new(["created", "id", "status", "amount", "currency", "description"]);
    for invoice in invoices {
        table.row([
            &text::time(invoice.created_ms),
            &invoice.invoice_id.to_string(),
            invoice.status.as_str(),
            &invoice.amount.to_string(),
            invoice.currency.as_str(),
            &invoice.description,
        ]);
    }
    table.to_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::{Identity, Secret};

    #[test]
    fn hostile_descriptions_stay_in_their_cell() {
        let invoice = InvoiceReport {
            invoice_id: InvoiceId::from_bytes([2; 16]),
            status: InvoiceStatus::Open,
            currency: Currency::default(),
            amount: 5.into(),
            description: "bread\n\u{1b}[2J".into(),
            created_ms: 0,
            expires_ms: None,
        };
        let expected = "\
            | created             | id                     | status | amount | currency | description |\n\
            | 1970-01-01 00:00:00 | AgICAgICAgICAgICAgICAg | open   | 5      | credit   | bread\u{fffd}\u{fffd}[2J  |\n";
        assert_eq!(invoices_table(&[invoice]), expected);
    }

    #[test]
    fn the_largest_invoice_can_be_drawn() {
        let seller = Identity::from_seed([1; 32]);
        let invoice = Invoice {
            id: InvoiceId::from_bytes([2; 16]),
            destination: seller.public_key(),
            currency: "a-currency-of-16".parse().unwrap(),
            amount: Amount::MAX,
            description: "é".repeat(128),
            expires_ms: Some(1),
            secret: Secret::from_bytes([3; 32]),
        };
        let drawing = drawing(&Verified::sign(invoice, &seller).to_text()).unwrap();
        assert!(drawing.lines().count() > 30 && drawing.lines().all(|line| line.chars().count() > 60));
    }
}
