//! The group `verify`: checks of files, offline and without a node.

use super::arguments::load_invoice;
use super::output::OutputFormat;
use super::{invitation, statement};
use crate::files::read_text;
use crate::outcome::{Explain, Failure, Outcome};
use clap::Subcommand;
use offst_crypto::{Ed25519Verifier, PublicKey};
use offst_proto::Amount;
use offst_proto::friend_statement::FriendStatement;
use offst_proto::invitation::InvitationText;
use offst_proto::limits::FRIEND_STATEMENT_BYTES_MAX;
use offst_proto::receipt::{RECEIPT_FILE_BYTES_MAX, Receipt, ReceiptError};
use offst_proto::ticket::{Address, FriendTicket, ServerTicket, TICKET_BYTES_MAX, Ticket};
use offst_proto::{Currency, InvoiceId, PaymentId};
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum Verify {
    /// Check that a receipt is valid: it proves that a payment was made
    Receipt(ReceiptCheck),
    /// Check a friend statement, and show what it proves about the accounts
    Statement {
        /// The friend statement
        file: PathBuf,
    },
    /// Check an invitation or the answer to one, and show its terms
    Invitation {
        /// The line of text
        #[arg(value_parser = invitation::line)]
        text: InvitationText,
    },
    /// Check a ticket, and show what it contains
    Ticket {
        /// The ticket
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct ReceiptCheck {
    /// The invoice that was paid: its file or its line of text. Leave it out for a payment without an invoice
    #[arg(short, long, value_name = "INVOICE")]
    invoice: Option<String>,
    /// The receipt
    #[arg(short, long, value_name = "RECEIPT")]
    receipt: PathBuf,
}

pub(super) fn run(verify: Verify, format: OutputFormat) -> Outcome {
    match verify {
        Verify::Receipt(check) => receipt(&check, format),
        Verify::Statement { file } => friend_statement(&file, format),
        Verify::Invitation { text } => invitation::verify(&text, format),
        Verify::Ticket { file } => ticket(&file, format),
    }
}

fn receipt(ReceiptCheck { invoice, receipt: path }: &ReceiptCheck, format: OutputFormat) -> Outcome {
    let invoice = invoice.as_deref().map(load_invoice).transpose()?;
    let text = read_text(path, RECEIPT_FILE_BYTES_MAX)?;
    let receipt = Receipt::from_toml(&text).or_input(path.display())?;
    receipt.verify(&Ed25519Verifier, invoice.as_deref()).map_err(|error| match error {
        ReceiptError::InvoiceNeeded(_) => Failure::input(format!("{} (with -i)", error)),
        error => Failure::failed(format!("the receipt is not valid: {error}")),
    })?;
    format.print(&ReceiptDocument::from(&receipt), || "Receipt is valid!\n".into())
}

/// What programs read of a valid receipt.
#[derive(Debug, Serialize)]
pub(super) struct ReceiptDocument {
    valid: bool,
    payment_id: PaymentId,
    invoice_id: Option<InvoiceId>,
    #[serde(serialize_with = "offst_proto::json::text")]
    destination: PublicKey,
    currency: Currency,
    amount: Amount,
    parts: usize,
}

impl From<&Receipt> for ReceiptDocument {
    fn from(receipt: &Receipt) -> Self {
        ReceiptDocument {
            valid: true,
            payment_id: receipt.payment_id,
            invoice_id: receipt.invoice_id,
            destination: receipt.destination,
            currency: receipt.currency.clone(),
            amount: receipt.total,
            parts: receipt.parts.len(),
        }
    }
}

fn friend_statement(path: &Path, format: OutputFormat) -> Outcome {
    let text = read_text(path, FRIEND_STATEMENT_BYTES_MAX)?;
    let shown = FriendStatement::from_toml(&text).or_input(path.display())?;
    let proven = statement::check(&shown)?;
    format.print(&statement::document(&shown, &proven, None), || {
        format!("The statement is valid!\n{}", statement::text(&shown, &proven))
    })
}

fn ticket(path: &Path, format: OutputFormat) -> Outcome {
    let text = read_text(path, TICKET_BYTES_MAX)?;
    let ticket = Ticket::from_toml(&text).or_input(path.display())?;
    let document = TicketDocument::from(&ticket);
    format.print(&document, || {
        let mut lines =
            vec![format!("This is the ticket of {}.", ticket.kind()), format!("public key: {}", ticket.public_key())];
        lines.extend(document.address.iter().map(|address| format!("address:    {address}")));
        lines.extend(
            document
                .relays
                .iter()
                .map(|ServerTicket { public_key, address }| format!("relay:      {address} {public_key}")),
        );
        lines.join("\n") + "\n"
    })
}

/// What programs read of a ticket.
#[derive(Debug, Serialize)]
pub(super) struct TicketDocument {
    valid: bool,
    kind: &'static str,
    #[serde(serialize_with = "offst_proto::json::text")]
    public_key: PublicKey,
    address: Option<Address>,
    relays: Vec<ServerTicket>,
}

impl From<&Ticket> for TicketDocument {
    fn from(ticket: &Ticket) -> Self {
        let (address, relays) = match ticket {
            Ticket::Relay(server)
            | Ticket::IndexClient(server)
            | Ticket::IndexServer(server)
            | Ticket::Node(server) => (Some(server.address.clone()), vec![]),
            Ticket::App(_) => (None, vec![]),
            Ticket::Friend(FriendTicket { relays, address, .. }) => (address.clone(), relays.clone()),
        };
        TicketDocument { valid: true, kind: ticket.kind(), public_key: ticket.public_key(), address, relays }
    }
}
