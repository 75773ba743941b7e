//! The group `verify`: checks of files, offline and without a node.

use super::arguments::load_invoice;
use super::{Voice, invitation, statement};
use crate::files::read_text;
use crate::outcome::{Explain, Failure, Outcome};
use clap::Subcommand;
use offst_crypto::Ed25519Verifier;
use offst_proto::friend_statement::FriendStatement;
use offst_proto::invitation::InvitationText;
use offst_proto::limits::FRIEND_STATEMENT_BYTES_MAX;
use offst_proto::receipt::{RECEIPT_FILE_BYTES_MAX, Receipt, ReceiptError};
use offst_proto::ticket::{FriendTicket, ServerTicket, TICKET_BYTES_MAX, Ticket};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum Verify {
    /// Check that a receipt proves a payment
    Receipt(ReceiptCheck),
    /// Check a friend statement, and show what it proves
    Statement {
        /// The friend statement
        file: PathBuf,
    },
    /// Check an invitation or the answer to one, and show what it says
    Invitation {
        /// The line of text
        #[arg(value_parser = invitation::line)]
        text: InvitationText,
    },
    /// Check a ticket, and show what it says
    Ticket {
        /// The ticket
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct ReceiptCheck {
    /// The invoice that was paid, its file or its line of text; without this, the payment had no invoice
    #[arg(short, long, value_name = "INVOICE")]
    invoice: Option<String>,
    /// The receipt
    #[arg(short, long, value_name = "RECEIPT")]
    receipt: PathBuf,
}

pub(super) fn run(verify: Verify, voice: Voice) -> Outcome {
    match verify {
        Verify::Receipt(check) => receipt(&check, voice),
        Verify::Statement { file } => friend_statement(&file, voice),
        Verify::Invitation { text } => invitation::verify(&text, voice),
        Verify::Ticket { file } => ticket(&file, voice),
    }
}

fn receipt(ReceiptCheck { invoice, receipt: path }: &ReceiptCheck, voice: Voice) -> Outcome {
    let invoice = invoice.as_deref().map(load_invoice).transpose()?;
    let text = read_text(path, RECEIPT_FILE_BYTES_MAX)?;
    let receipt = Receipt::from_toml(&text).or_input(path.display())?;
    receipt.verify(&Ed25519Verifier, invoice.as_deref()).map_err(|error| match error {
        ReceiptError::InvoiceNeeded(_) => Failure::input(format!("{} (with -i)", error)),
        error => Failure::failed(format!("the receipt is not valid: {error}")),
    })?;
    let document = json!({
        "valid": true,
        "payment_id": receipt.payment_id.to_string(),
        "invoice_id": receipt.invoice_id.map(|id| id.to_string()),
        "destination": receipt.destination.to_string(),
        "currency": receipt.currency.as_str(),
        "amount": receipt.total.to_string(),
        "parts": receipt.parts.len(),
    });
    voice.say(document, || "Receipt is valid!\n".into())
}

fn friend_statement(path: &Path, voice: Voice) -> Outcome {
    let text = read_text(path, FRIEND_STATEMENT_BYTES_MAX)?;
    let shown = FriendStatement::from_toml(&text).or_input(path.display())?;
    let proven = statement::check(&shown)?;
    voice.say(statement::document(&shown, &proven), || {
        format!("The statement is valid!\n{}", statement::text(&shown, &proven))
    })
}

fn ticket(path: &Path, voice: Voice) -> Outcome {
    let text = read_text(path, TICKET_BYTES_MAX)?;
    let ticket = Ticket::from_toml(&text).or_input(path.display())?;
    let (address, relays) = match &ticket {
        Ticket::Relay(server) | Ticket::IndexClient(server) | Ticket::IndexServer(server) | Ticket::Node(server) => {
            (Some(server.address.clone()), vec![])
        }
        Ticket::App(_) => (None, vec![]),
        Ticket::Friend(FriendTicket { relays, address, .. }) => (address.clone(), relays.clone()),
    };
    let document = json!({
        "valid": true,
        "kind": ticket.kind(),
        "public_key": ticket.public_key().to_string(),
        "address": address.as_ref().map(|address| address.as_str()),
        "relays": relays.iter().map(super::json::server_ticket).collect::<Vec<_>>(),
    });
    voice.say(document, || {
        let mut lines =
            vec![format!("This is the ticket of {}.", ticket.kind()), format!("public key: {}", ticket.public_key())];
        lines.extend(address.iter().map(|address| format!("address:    {address}")));
        lines.extend(
            relays.iter().map(|ServerTicket { public_key, address }| format!("relay:      {address} {public_key}")),
        );
        lines.join("\n") + "\n"
    })
}
