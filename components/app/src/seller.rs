//! Invoices, with the permission `seller`.

use crate::connect::App;
use crate::error::AppError;
use offst_proto::app::{Field, Message, Refusal};
use offst_proto::invoice::Invoice;
use offst_proto::order::NewInvoice;
use offst_proto::report::InvoiceStatus;
use offst_proto::wire::app_capnp as wire;
use offst_proto::{InvoiceId, Verified};

/// How the invoice stands, or why that is not known.
fn read_status(result: wire::invoice_status_result::Reader<'_>) -> Result<InvoiceStatus, AppError> {
    Result::<Option<InvoiceStatus>, Refusal>::read(result)??.ok_or(AppError::Unknown("invoice"))
}

impl App {
    /// Makes an invoice.
    ///
    /// # Errors
    /// [`AppError::PermissionDenied`], [`AppError::Refused`]; the connection is lost.
    pub async fn create_invoice(&self, invoice: &NewInvoice) -> Result<Verified<Invoice>, AppError> {
        let mut request = self.seller_client()?.create_invoice_request();
        invoice.write(request.get());
        let response = request.send().promise.await?;
        Ok(Result::<Verified<Invoice>, Refusal>::read(response.get()?.get_result()?)??)
    }

    /// Takes an invoice back, and says how it stands then.
    ///
    /// # Errors
    /// [`AppError::Unknown`]; see [`App::create_invoice`].
    pub async fn cancel_invoice(&self, invoice_id: InvoiceId) -> Result<InvoiceStatus, AppError> {
        let mut request = self.seller_client()?.cancel_invoice_request();
        request.get().set_invoice_id(invoice_id.to_wire());
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
            request.get().set_invoice_id(invoice_id.to_wire());
            let status = read_status(request.send().promise.await?.get()?.get_result()?)?;
            if status != InvoiceStatus::Open {
                return Ok(status);
            }
        }
    }
}
