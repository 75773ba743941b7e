//! Paying.

use super::context::{Context, gone, unexpected, wrong_argument};
use capnp::Error;
use capnp::capability::Rc;
use offst_funder::{Command, Reply};
use offst_proto::PaymentId;
use offst_proto::app::{Field, Message, MessageError, Refusal};
use offst_proto::order::{ClearOrder, Order};
use offst_proto::wire::app_capnp::{self as wire, buyer};

pub(super) struct Buyer {
    pub(super) context: Rc<Context>,
}

/// The order, or a refusal of one that cannot be meant.
fn read_order(order: wire::order::Reader<'_>) -> Result<Order, Refusal> {
    Order::read(order).map_err(|error: MessageError| error.to_string().into())
}

/// Answers what an order would cost.
pub(super) async fn quote(
    context: &Context,
    order: wire::order::Reader<'_>,
    result: wire::quote_result::Builder<'_>,
) -> Result<(), Error> {
    let _wait = context.wait()?;
    let quote = match read_order(order) {
        Ok(order) => match context.command(Command::Quote(Box::new(order))).await? {
            Reply::Quote(quote) => Ok(*quote),
            Reply::Refused(message) => Err(message.into()),
            reply => return Err(unexpected(&reply)),
        },
        Err(refusal) => Err(refusal),
    };
    quote.write(result);
    Ok(())
}

impl Buyer {
    /// The answer to a command about a payment.
    async fn answer(
        &self,
        payment_id: PaymentId,
        reply: Reply,
        result: wire::payment_result::Builder<'_>,
    ) -> Result<(), Error> {
        let payment = match reply {
            Reply::Payment(payment) => Ok(Some(*payment)),
            Reply::Refused(message) => Err(message.into()),
            // Not open (any more): the history may tell how it ended.
            Reply::Done | Reply::Unknown => {
                Ok(self.context.backend.payment(self.context.app, payment_id).await.map_err(gone)?)
            }
            reply => return Err(unexpected(&reply)),
        };
        payment.write(result);
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
            Err(refusal) => {
                results.get().init_result().set_refused(refusal.message);
                Ok(())
            }
        }
    }

    async fn quote(self: Rc<Self>, params: buyer::QuoteParams, mut results: buyer::QuoteResults) -> Result<(), Error> {
        quote(&self.context, params.get()?.get_order()?, results.get().init_result()).await
    }

    async fn clear(self: Rc<Self>, params: buyer::ClearParams, mut results: buyer::ClearResults) -> Result<(), Error> {
        let _wait = self.context.wait()?;
        let ClearOrder { currency, perform } = ClearOrder::read(params.get()?).map_err(wrong_argument)?;
        let report = match self.context.command(Command::Clear { currency, perform }).await? {
            Reply::Clearing(report) => Ok(*report),
            Reply::Refused(message) => Err(Refusal::from(message)),
            reply => return Err(unexpected(&reply)),
        };
        report.write(results.get().init_result());
        Ok(())
    }

    async fn cancel_payment(
        self: Rc<Self>,
        params: buyer::CancelPaymentParams,
        mut results: buyer::CancelPaymentResults,
    ) -> Result<(), Error> {
        let payment_id = PaymentId::from_wire(params.get()?.get_payment_id()).map_err(wrong_argument)?;
        let reply = self.context.command(Command::CancelPayment(payment_id)).await?;
        self.answer(payment_id, reply, results.get().init_result()).await
    }
}
