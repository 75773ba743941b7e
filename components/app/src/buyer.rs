//! Paying, with the permission `buyer`, and asking what it would cost, for which `routes` is enough.

use crate::connect::App;
use crate::error::AppError;
use crate::reports::read_payment_result;
use offst_proto::app::{read_clearing, read_quote, read_text};
use offst_proto::order::{Destination, Order, Purpose};
use offst_proto::report::{ClearingReport, PaymentReport, QuoteReport};
use offst_proto::wire::app_capnp as wire;
use offst_proto::{Currency, PaymentId};

fn write_order(order: &Order, mut builder: wire::order::Builder<'_>) {
    builder.set_payment_id(order.payment_id.as_bytes());
    if let Some(max_fee) = order.max_fee {
        builder.set_max_fee(max_fee.to_string());
    }
    builder.set_timeout_ms(order.timeout_ms);
    let mut purpose = builder.init_purpose();
    match &order.purpose {
        Purpose::Invoice(invoice) => purpose.set_invoice(invoice.to_text()),
        Purpose::Rebalance { friend, currency, amount } => {
            let mut rebalance = purpose.init_rebalance();
            rebalance.set_friend(friend.as_str());
            rebalance.set_currency(currency.as_str());
            rebalance.set_amount(amount.to_string());
        }
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

fn read_quote_result(result: wire::quote_result::Reader<'_>) -> Result<QuoteReport, AppError> {
    match result.which()? {
        wire::quote_result::Quote(quote) => Ok(read_quote(quote?)?),
        wire::quote_result::Refused(sentence) => Err(AppError::Refused(read_text(sentence)?)),
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

    /// What paying would cost now, over which ways. Pays nothing; id, largest fee and time of the order do not matter. Either
    /// of the permissions `buyer` and `routes` will do.
    ///
    /// # Errors
    /// [`AppError::Refused`] when there is no way; see [`App::pay`].
    pub async fn quote(&self, order: &Order) -> Result<QuoteReport, AppError> {
        let Ok(buyer) = self.buyer_client() else {
            let mut request = self.routes_client()?.quote_request();
            write_order(order, request.get().init_order());
            return read_quote_result(request.send().promise.await?.get()?.get_result()?);
        };
        let mut request = buyer.quote_request();
        write_order(order, request.get().init_order());
        read_quote_result(request.send().promise.await?.get()?.get_result()?)
    }

    /// Looks for a ring in which everybody owes the next, and clears it if `perform` is given or the owner has allowed it for
    /// good. One ring at a time: call again until there is none.
    ///
    /// # Errors
    /// See [`App::pay`].
    pub async fn clear(&self, currency: &Currency, perform: bool) -> Result<ClearingReport, AppError> {
        let mut request = self.buyer_client()?.clear_request();
        request.get().set_currency(currency.as_str());
        request.get().set_perform(perform);
        let response = request.send().promise.await?;
        match response.get()?.get_result()?.which()? {
            wire::clearing_result::Clearing(report) => Ok(read_clearing(report?)?),
            wire::clearing_result::Refused(sentence) => Err(AppError::Refused(read_text(sentence)?)),
        }
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
