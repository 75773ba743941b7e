//! Invoices, with the permission `seller`.

use crate::connect::App;
use crate::error::AppError;
use offst_crypto::Ed25519Verifier;
use offst_proto::app::{invoice_status_from_wire, read_text};
use offst_proto::encoding::DecodeError;
use offst_proto::invoice::Invoice;
use offst_proto::order::NewInvoice;
use offst_proto::report::InvoiceStatus;
use offst_proto::wire::app_capnp as wire;
use offst_proto::{InvoiceId, Verified};

fn read_status(result: wire::invoice_status_result::Reader<'_>) -> Result<InvoiceStatus, AppError> {
    match result.which()? {
        wire::invoice_status_result::Status(status) => Ok(invoice_status_from_wire(status?)),
        wire::invoice_status_result::Unknown(()) => Err(AppError::Unknown("invoice")),
        wire::invoice_status_result::Refused(sentence) => Err(AppError::Refused(read_text(sentence)?)),
    }
}

impl App {
    /// Makes an invoice.
    ///
    /// # Errors
    /// [`AppError::PermissionDenied`], [`AppError::Refused`]; the connection is lost.
    pub async fn create_invoice(&self, invoice: &NewInvoice) -> Result<Verified<Invoice>, AppError> {
        let mut request = self.seller_client()?.create_invoice_request();
        let mut call = request.get();
        call.set_amount(invoice.amount.to_string());
        call.set_currency(invoice.currency.as_str());
        call.set_description(invoice.description.as_str());
        call.set_expiry_ms(invoice.expiry_ms.unwrap_or(0));
        let response = request.send().promise.await?;
        match response.get()?.get_result()?.which()? {
            wire::invoice_result::Invoice(invoice) => {
                let text = read_text(invoice?.get_text())?;
                Ok(Invoice::from_text(&text, &Ed25519Verifier).map_err(|_| DecodeError::invalid("the invoice"))?)
            }
            wire::invoice_result::Refused(sentence) => Err(AppError::Refused(read_text(sentence)?)),
        }
    }

    /// Takes an invoice back, and says how it stands then.
    ///
    /// # Errors
    /// [`AppError::Unknown`]; see [`App::create_invoice`].
    pub async fn cancel_invoice(&self, invoice_id: InvoiceId) -> Result<InvoiceStatus, AppError> {
        let mut request = self.seller_client()?.cancel_invoice_request();
        request.get().set_invoice_id(invoice_id.as_bytes());
        read_status(request.send().promise.await?.get()?.get_result()?)
    }

    /// Waits until an invoice is paid, cancelled or expired.
    ///
    /// # Errors
    /// [`AppError::Unknown`]; see [`App::create_invoice`].
    pub async fn wait_invoice(&self, invoice_id: InvoiceId) -> Result<InvoiceStatus, AppError> {
        loop {
            // The node answers now and then although nothing has happened.
            let mut request = self.seller_client()?.wait_invoice_request();
            request.get().set_invoice_id(invoice_id.as_bytes());
            let status = read_status(request.send().promise.await?.get()?.get_result()?)?;
            if status != InvoiceStatus::Open {
                return Ok(status);
            }
        }
    }
}
