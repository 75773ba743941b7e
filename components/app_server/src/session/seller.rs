//! Invoices.

use super::context::{Context, gone, unexpected, wrong_argument};
use crate::backend::BackendGone;
use capnp::Error;
use capnp::capability::Rc;
use offst_funder::{Command, Reply};
use offst_proto::InvoiceId;
use offst_proto::app::{Field, Message, Refusal};
use offst_proto::order::NewInvoice;
use offst_proto::report::{Event, InvoiceStatus};
use offst_proto::wire::app_capnp::seller;
use tokio::sync::broadcast::error::RecvError;

pub(super) struct Seller {
    pub(super) context: Rc<Context>,
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

impl seller::Server for Seller {
    async fn create_invoice(
        self: Rc<Self>,
        params: seller::CreateInvoiceParams,
        mut results: seller::CreateInvoiceResults,
    ) -> Result<(), Error> {
        let invoice = match NewInvoice::read(params.get()?) {
            Ok(NewInvoice { amount, currency, description, expiry_ms }) => {
                let command = Command::CreateInvoice { amount, currency, description, expiry_ms };
                match self.context.command(command).await? {
                    Reply::Invoice(invoice) => Ok(invoice),
                    Reply::Refused(message) => Err(Refusal::from(message)),
                    reply => return Err(unexpected(&reply)),
                }
            }
            Err(error) => Err(error.to_string().into()),
        };
        invoice.write(results.get().init_result());
        Ok(())
    }

    async fn cancel_invoice(
        self: Rc<Self>,
        params: seller::CancelInvoiceParams,
        mut results: seller::CancelInvoiceResults,
    ) -> Result<(), Error> {
        let invoice_id = InvoiceId::from_wire(params.get()?.get_invoice_id()).map_err(wrong_argument)?;
        let status = match self.context.command(Command::CancelInvoice(invoice_id)).await? {
            Reply::Done => Ok(Some(InvoiceStatus::Cancelled)),
            Reply::InvoiceStatus(status) => Ok(Some(status)),
            // Not open (any more): the history may tell how it ended.
            Reply::Unknown => Ok(self.status(invoice_id).await?),
            Reply::Refused(message) => Err(Refusal::from(message)),
            reply => return Err(unexpected(&reply)),
        };
        status.write(results.get().init_result());
        Ok(())
    }

    async fn wait_invoice(
        self: Rc<Self>,
        params: seller::WaitInvoiceParams,
        mut results: seller::WaitInvoiceResults,
    ) -> Result<(), Error> {
        let _wait = self.context.wait()?;
        let invoice_id = InvoiceId::from_wire(params.get()?.get_invoice_id()).map_err(wrong_argument)?;
        let status = match tokio::time::timeout(self.context.wait_time, self.ended(invoice_id)).await {
            Ok(ended) => ended?,
            Err(_) => Some(InvoiceStatus::Open),
        };
        Ok::<_, Refusal>(status).write(results.get().init_result());
        Ok(())
    }
}
