//! Invoices.

use super::{Context, gone, unexpected, wrong_argument};
use crate::backend::BackendGone;
use capnp::Error;
use capnp::capability::Rc;
use offst_funder::{Command, Reply};
use offst_proto::InvoiceId;
use offst_proto::app::{invoice_status_to_wire, read_amount, read_currency, read_invoice_id, read_text};
use offst_proto::encoding::DecodeError;
use offst_proto::invoice::EXPIRES_MS_MAX;
use offst_proto::report::{Event, InvoiceStatus};
use offst_proto::wire::app_capnp::{self as wire, seller};
use tokio::sync::broadcast::error::RecvError;

pub(super) struct Seller {
    pub(super) context: Rc<Context>,
}

fn read_invoice_order(order: seller::create_invoice_params::Reader<'_>) -> Result<Command, DecodeError> {
    let expiry_ms = Some(order.get_expiry_ms()).filter(|expiry_ms| *expiry_ms != 0);
    if expiry_ms.is_some_and(|expiry_ms| expiry_ms > EXPIRES_MS_MAX) {
        return Err(DecodeError::too_large("an invoice's expiry"));
    }
    Ok(Command::CreateInvoice {
        amount: read_amount(order.get_amount())?,
        currency: read_currency(order.get_currency())?,
        description: read_text(order.get_description())?,
        expiry_ms,
    })
}

impl Seller {
    async fn status(&self, invoice_id: InvoiceId) -> Result<Option<InvoiceStatus>, Error> {
        let invoice = self.context.backend.invoice(self.context.app, invoice_id).await.map_err(gone)?;
        Ok(invoice.map(|invoice| invoice.status))
    }

    /// The invoice's status once it is not open any more.
    async fn ended(&self, invoice_id: InvoiceId) -> Result<Option<InvoiceStatus>, Error> {
        // Events are kept from before the look, so that no change is missed in between.
        let mut events = self.context.backend.events();
        loop {
            let status = self.status(invoice_id).await?;
            if status != Some(InvoiceStatus::Open) {
                return Ok(status);
            }
            loop {
                match events.recv().await {
                    Ok(Event::InvoiceChanged { invoice_id: changed, .. }) if changed == invoice_id => break,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return Err(gone(BackendGone)),
                }
            }
        }
    }
}

fn write_status(status: Option<InvoiceStatus>, mut result: wire::invoice_status_result::Builder<'_>) {
    match status {
        Some(status) => result.set_status(invoice_status_to_wire(status)),
        None => result.set_unknown(()),
    }
}

impl seller::Server for Seller {
    async fn create_invoice(
        self: Rc<Self>,
        params: seller::CreateInvoiceParams,
        mut results: seller::CreateInvoiceResults,
    ) -> Result<(), Error> {
        let mut result = results.get().init_result();
        let command = match read_invoice_order(params.get()?) {
            Ok(command) => command,
            Err(error) => {
                result.set_refused(error.to_string());
                return Ok(());
            }
        };
        match self.context.command(command).await? {
            Reply::Invoice(invoice) => {
                let mut answer = result.init_invoice();
                answer.set_invoice_id(invoice.id.as_bytes());
                answer.set_text(invoice.to_text());
                answer.set_file(invoice.to_toml());
            }
            Reply::Refused(sentence) => result.set_refused(sentence.as_str()),
            reply => return Err(unexpected(&reply)),
        }
        Ok(())
    }

    async fn cancel_invoice(
        self: Rc<Self>,
        params: seller::CancelInvoiceParams,
        mut results: seller::CancelInvoiceResults,
    ) -> Result<(), Error> {
        let invoice_id = read_invoice_id(params.get()?.get_invoice_id()).map_err(wrong_argument)?;
        let status = match self.context.command(Command::CancelInvoice(invoice_id)).await? {
            Reply::Done => Some(InvoiceStatus::Cancelled),
            Reply::InvoiceStatus(status) => Some(status),
            // Not open (any more): the history may tell how it ended.
            Reply::Unknown => self.status(invoice_id).await?,
            Reply::Refused(sentence) => {
                results.get().init_result().set_refused(sentence);
                return Ok(());
            }
            reply => return Err(unexpected(&reply)),
        };
        write_status(status, results.get().init_result());
        Ok(())
    }

    async fn wait_invoice(
        self: Rc<Self>,
        params: seller::WaitInvoiceParams,
        mut results: seller::WaitInvoiceResults,
    ) -> Result<(), Error> {
        let _wait = self.context.wait()?;
        let invoice_id = read_invoice_id(params.get()?.get_invoice_id()).map_err(wrong_argument)?;
        let status = match tokio::time::timeout(self.context.wait_time, self.ended(invoice_id)).await {
            Ok(ended) => ended?,
            Err(_) => Some(InvoiceStatus::Open),
        };
        write_status(status, results.get().init_result());
        Ok(())
    }
}
