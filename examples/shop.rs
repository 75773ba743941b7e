//! A shop's till: makes an invoice, prints its text for the customer, and waits until it is paid.
//!
//! `cargo run --release --example shop -- APP.ident NODE.ticket AMOUNT [DESCRIPTION]`, with an application that the node trusts
//! with the permission `seller`.

use offst_app::NewInvoice;
use offst_crypto::Identity;
use offst_proto::report::InvoiceStatus;
use offst_proto::ticket::Ticket;
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [identity, ticket, amount, description @ ..] = &arguments[..] else {
        eprintln!("shop: give an application's identity file, a node's ticket and an amount");
        return ExitCode::from(2);
    };
    match sell(identity, ticket, amount, description.join(" "), |line| println!("{line}")) {
        Ok(InvoiceStatus::Paid) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("shop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Sells one thing. `say` gets the lines for the customer: the invoice's text, and how it ended.
pub(crate) fn sell(
    identity: &str,
    ticket: &str,
    amount: &str,
    description: String,
    say: impl Fn(String),
) -> Result<InvoiceStatus, Box<dyn Error>> {
    let identity = Identity::from_pem(&std::fs::read_to_string(identity)?, None)?;
    let ticket = Ticket::from_toml(&std::fs::read_to_string(ticket)?)?.into_node()?;
    let amount = amount.parse()?;
    let status = offst_app::block_on(async {
        let node = offst_app::connect(&ticket, &identity).await?;
        // The customer has ten minutes.
        let terms = NewInvoice { amount, currency: Default::default(), description, expiry_ms: Some(600_000) };
        let invoice = node.create_invoice(&terms).await?;
        say(invoice.to_text());
        let status = node.wait_invoice(invoice.id).await?;
        say(if status == InvoiceStatus::Paid { "paid, thank you" } else { "not paid" }.to_owned());
        Ok::<_, offst_app::AppError>(status)
    })??;
    Ok(status)
}
