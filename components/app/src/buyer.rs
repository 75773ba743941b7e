//! Paying, with the permission `buyer`.

use crate::connect::App;
use crate::error::AppError;
use crate::reports::read_payment_result;
use offst_proto::PaymentId;
use offst_proto::order::{Destination, Order, Purpose};
use offst_proto::report::PaymentReport;
use offst_proto::wire::app_capnp as wire;

fn write_order(order: &Order, mut builder: wire::order::Builder<'_>) {
    builder.set_payment_id(order.payment_id.as_bytes());
    if let Some(max_fee) = order.max_fee {
        builder.set_max_fee(max_fee.to_string());
    }
    builder.set_timeout_ms(order.timeout_ms);
    let mut purpose = builder.init_purpose();
    match &order.purpose {
        Purpose::Invoice(invoice) => purpose.set_invoice(invoice.to_text()),
        Purpose::Spontaneous { destination, currency, amount } => {
            let mut gift = purpose.init_spontaneous();
            gift.set_currency(currency.as_str());
            gift.set_amount(amount.to_string());
            let mut to = gift.init_destination();
            match destination {
                Destination::Key(public_key) => to.set_public_key(public_key.as_bytes()),
                Destination::Friend(name) => to.set_friend(name.as_str()),
            }
        }
    }
}

impl App {
    /// Pays. Returns when the payment has ended or its time is over: look at the status, a payment that failed or is pending
    /// is no error. The same id pays once, however often it is ordered.
    ///
    /// # Errors
    /// [`AppError::PermissionDenied`], [`AppError::Refused`]; the connection is lost.
    pub async fn pay(&self, order: &Order) -> Result<PaymentReport, AppError> {
        let mut request = self.buyer_client()?.pay_request();
        write_order(order, request.get().init_order());
        let response = request.send().promise.await?;
        read_payment_result(response.get()?.get_result()?)
    }

    /// Gives a payment up that is not committed, and says how it stands then.
    ///
    /// # Errors
    /// [`AppError::Unknown`]; see [`App::pay`].
    pub async fn cancel_payment(&self, payment_id: PaymentId) -> Result<PaymentReport, AppError> {
        let mut request = self.buyer_client()?.cancel_payment_request();
        request.get().set_payment_id(payment_id.as_bytes());
        let response = request.send().promise.await?;
        read_payment_result(response.get()?.get_result()?)
    }
}
