//! Invoices.

use super::{Context, gone, unexpected, wrong_argument};
use capnp::Error;
use capnp::capability::Rc;
use offst_funder::{Command, Reply};
use offst_proto::InvoiceId;
use offst_proto::app::{invoice_status_to_wire, read_amount, read_currency, read_invoice_id, read_text};
use offst_proto::encoding::DecodeError;
use offst_proto::invoice::EXPIRES_MS_MAX;
use offst_proto::report::InvoiceStatus;
use offst_proto::wire::app_capnp::{self as wire, seller};

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
    /// The answer to a command about an invoice.
    async fn answer(
        &self,
        invoice_id: InvoiceId,
        reply: Reply,
        mut result: wire::invoice_status_result::Builder<'_>,
    ) -> Result<(), Error> {
        let status = match reply {
            Reply::InvoiceStatus(status) => Some(status),
            Reply::Done => Some(InvoiceStatus::Cancelled),
            Reply::Refused(sentence) => {
                result.set_refused(sentence.as_str());
                return Ok(());
            }
            // Not open (any more): the history may tell how it ended.
            Reply::Unknown => {
                let invoice = self.context.backend.invoice(invoice_id).await.map_err(gone)?;
                invoice.map(|invoice| invoice.status)
            }
            reply => return Err(unexpected(&reply)),
        };
        match status {
            Some(status) => result.set_status(invoice_status_to_wire(status)),
            None => result.set_unknown(()),
        }
        Ok(())
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
        let reply = self.context.command(Command::CancelInvoice(invoice_id)).await?;
        self.answer(invoice_id, reply, results.get().init_result()).await
    }

    async fn wait_invoice(
        self: Rc<Self>,
        params: seller::WaitInvoiceParams,
        mut results: seller::WaitInvoiceResults,
    ) -> Result<(), Error> {
        let _wait = self.context.wait()?;
        let invoice_id = read_invoice_id(params.get()?.get_invoice_id()).map_err(wrong_argument)?;
        let reply = self.context.command(Command::WaitInvoice(invoice_id)).await?;
        self.answer(invoice_id, reply, results.get().init_result()).await
    }
}
