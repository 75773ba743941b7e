//! Paying, with the permission `buyer`, and asking what it would cost, for which `routes` is enough.

use crate::connect::App;
use crate::error::AppError;
use offst_proto::app::{Field, Message, Refusal};
use offst_proto::order::{ClearOrder, Order};
use offst_proto::report::{ClearingReport, PaymentReport, QuoteReport};
use offst_proto::wire::app_capnp as wire;
use offst_proto::{Currency, PaymentId};

/// The payment, or why there is none.
pub(crate) fn read_payment(result: wire::payment_result::Reader<'_>) -> Result<PaymentReport, AppError> {
    Result::<Option<PaymentReport>, Refusal>::read(result)??.ok_or(AppError::Unknown("payment"))
}

impl App {
    /// Pays. Returns when the payment has ended or its time is over: look at the status, a payment that failed or is pending
    /// is no error. The same id pays once, however often it is ordered.
    ///
    /// # Errors
    /// [`AppError::PermissionDenied`], [`AppError::Refused`]; the connection is lost.
    pub async fn pay(&self, order: &Order) -> Result<PaymentReport, AppError> {
        let mut request = self.buyer_client()?.pay_request();
        order.write(request.get().init_order());
        let response = request.send().promise.await?;
        read_payment(response.get()?.get_result()?)
    }

    /// What paying would cost now, over which routes. Pays nothing; id, largest fee and time of the order do not matter. Either
    /// of the permissions `buyer` and `routes` will do.
    ///
    /// # Errors
    /// [`AppError::Refused`] when there is no route; see [`App::pay`].
    pub async fn quote(&self, order: &Order) -> Result<QuoteReport, AppError> {
        let Ok(buyer) = self.buyer_client() else {
            let mut request = self.routes_client()?.quote_request();
            order.write(request.get().init_order());
            let response = request.send().promise.await?;
            return Ok(Result::<QuoteReport, Refusal>::read(response.get()?.get_result()?)??);
        };
        let mut request = buyer.quote_request();
        order.write(request.get().init_order());
        let response = request.send().promise.await?;
        Ok(Result::<QuoteReport, Refusal>::read(response.get()?.get_result()?)??)
    }

    /// Looks for a debt cycle, in which each node owes the next, and clears it if `perform` is given or `set-auto-clear`
    /// is on. One cycle at a time: call again until there is none.
    ///
    /// # Errors
    /// See [`App::pay`].
    pub async fn clear(&self, currency: &Currency, perform: bool) -> Result<ClearingReport, AppError> {
        let mut request = self.buyer_client()?.clear_request();
        ClearOrder { currency: currency.clone(), perform }.write(request.get());
        let response = request.send().promise.await?;
        Ok(Result::<ClearingReport, Refusal>::read(response.get()?.get_result()?)??)
    }

    /// Gives a payment up that is not committed, and says how it stands then.
    ///
    /// # Errors
    /// [`AppError::Unknown`]; see [`App::pay`].
    pub async fn cancel_payment(&self, payment_id: PaymentId) -> Result<PaymentReport, AppError> {
        let mut request = self.buyer_client()?.cancel_payment_request();
        request.get().set_payment_id(payment_id.to_wire());
        let response = request.send().promise.await?;
        read_payment(response.get()?.get_result()?)
    }
}
