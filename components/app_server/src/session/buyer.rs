//! Paying.

use super::{Context, gone, read_name, unexpected, wrong_argument};
use capnp::Error;
use capnp::capability::Rc;
use offst_crypto::Ed25519Verifier;
use offst_funder::{Command, Reply};
use offst_proto::PaymentId;
use offst_proto::app::{
    read_amount, read_amount_option, read_currency, read_key, read_payment_id, read_text, write_clearing,
    write_payment, write_quote,
};
use offst_proto::encoding::DecodeError;
use offst_proto::invoice::Invoice;
use offst_proto::limits::PATIENCE_MS_MAX;
use offst_proto::order::{Destination, Order, Purpose};
use offst_proto::wire::app_capnp::{self as wire, buyer};

pub(super) struct Buyer {
    pub(super) context: Rc<Context>,
}

/// What the application orders, or why it cannot be meant.
fn read_order(order: wire::order::Reader<'_>) -> Result<Order, String> {
    let sentence = |error: DecodeError| error.to_string();
    let purpose = match order.get_purpose().which() {
        Ok(wire::order::purpose::Invoice(text)) => {
            let text = read_text(text).map_err(sentence)?;
            let invoice = Invoice::parse_file_or_text(&text, &Ed25519Verifier).map_err(|error| error.to_string())?;
            Purpose::Invoice(invoice)
        }
        Ok(wire::order::purpose::Spontaneous(gift)) => read_gift(gift.map_err(DecodeError::from).map_err(sentence)?)?,
        Ok(wire::order::purpose::Rebalance(cycle)) => {
            let cycle = cycle.map_err(DecodeError::from).map_err(sentence)?;
            Purpose::Rebalance {
                friend: read_name(cycle.get_friend())?,
                currency: read_currency(cycle.get_currency()).map_err(sentence)?,
                amount: read_amount(cycle.get_amount()).map_err(sentence)?,
            }
        }
        Err(_) => return Err("the node does not know this kind of payment: it may be too old".into()),
    };
    Ok(Order {
        payment_id: read_payment_id(order.get_payment_id()).map_err(sentence)?,
        purpose,
        max_fee: read_amount_option(order.get_max_fee()).map_err(sentence)?,
        timeout_ms: order.get_timeout_ms().min(PATIENCE_MS_MAX),
    })
}

fn read_gift(gift: wire::gift::Reader<'_>) -> Result<Purpose, String> {
    let sentence = |error: DecodeError| error.to_string();
    let destination = match gift.get_destination().which() {
        Ok(wire::gift::destination::PublicKey(key)) => Destination::Key(read_key(key).map_err(sentence)?),
        Ok(wire::gift::destination::Friend(name)) => Destination::Friend(read_name(name)?),
        Err(_) => return Err("the node does not know this kind of destination: it may be too old".into()),
    };
    Ok(Purpose::Spontaneous {
        destination,
        currency: read_currency(gift.get_currency()).map_err(sentence)?,
        amount: read_amount(gift.get_amount()).map_err(sentence)?,
    })
}

/// Answers what an order would cost.
pub(super) async fn quote(
    context: &Context,
    order: wire::order::Reader<'_>,
    mut result: wire::quote_result::Builder<'_>,
) -> Result<(), Error> {
    let _wait = context.wait()?;
    match read_order(order) {
        Ok(order) => match context.command(Command::Quote(Box::new(order))).await? {
            Reply::Quote(quote) => write_quote(&quote, result.init_quote()),
            Reply::Refused(sentence) => result.set_refused(sentence.as_str()),
            reply => return Err(unexpected(&reply)),
        },
        Err(sentence) => result.set_refused(sentence),
    }
    Ok(())
}

impl Buyer {
    /// The answer to a command about a payment.
    async fn answer(
        &self,
        payment_id: PaymentId,
        reply: Reply,
        mut result: wire::payment_result::Builder<'_>,
    ) -> Result<(), Error> {
        let payment = match reply {
            Reply::Payment(payment) => Some(*payment),
            Reply::Refused(sentence) => {
                result.set_refused(sentence.as_str());
                return Ok(());
            }
            // Not open (any more): the history may tell how it ended.
            Reply::Done | Reply::Unknown => {
                self.context.backend.payment(self.context.app, payment_id).await.map_err(gone)?
            }
            reply => return Err(unexpected(&reply)),
        };
        match payment {
            Some(payment) => write_payment(&payment, result.init_payment()),
            None => result.set_unknown(()),
        }
        Ok(())
    }
}

impl buyer::Server for Buyer {
    async fn pay(self: Rc<Self>, params: buyer::PayParams, mut results: buyer::PayResults) -> Result<(), Error> {
        let _wait = self.context.wait()?;
        match read_order(params.get()?.get_order()?) {
            Ok(order) => {
                let payment_id = order.payment_id;
                let reply = self.context.command(Command::PayFor(self.context.app, Box::new(order))).await?;
                self.answer(payment_id, reply, results.get().init_result()).await
            }
            Err(sentence) => {
                results.get().init_result().set_refused(sentence);
                Ok(())
            }
        }
    }

    async fn quote(self: Rc<Self>, params: buyer::QuoteParams, mut results: buyer::QuoteResults) -> Result<(), Error> {
        quote(&self.context, params.get()?.get_order()?, results.get().init_result()).await
    }

    async fn clear(self: Rc<Self>, params: buyer::ClearParams, mut results: buyer::ClearResults) -> Result<(), Error> {
        let _wait = self.context.wait()?;
        let params = params.get()?;
        let currency = read_currency(params.get_currency()).map_err(wrong_argument)?;
        let mut result = results.get().init_result();
        match self.context.command(Command::Clear { currency, perform: params.get_perform() }).await? {
            Reply::Clearing(report) => write_clearing(&report, result.init_clearing()),
            Reply::Refused(sentence) => result.set_refused(sentence.as_str()),
            reply => return Err(unexpected(&reply)),
        }
        Ok(())
    }

    async fn cancel_payment(
        self: Rc<Self>,
        params: buyer::CancelPaymentParams,
        mut results: buyer::CancelPaymentResults,
    ) -> Result<(), Error> {
        let payment_id = read_payment_id(params.get()?.get_payment_id()).map_err(wrong_argument)?;
        let reply = self.context.command(Command::CancelPayment(payment_id)).await?;
        self.answer(payment_id, reply, results.get().init_result()).await
    }
}
