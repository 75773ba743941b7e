//! Paying, and how a payment has ended.

use super::connection::Connection;
use super::output::OutputFormat;
use super::payment_options::PaymentOptions;
use super::progress::with_stages;
use super::text;
use crate::outcome::{Failure, Outcome};
use offst_app::{App, AppError, Order, Purpose};
use offst_proto::PaymentId;
use offst_proto::report::{PaymentReport, PaymentStatus};
use serde::Serialize;

pub(super) fn pay(purpose: Purpose, options: PaymentOptions, connection: &Connection, format: OutputFormat) -> Outcome {
    options.receipt.check()?;
    let order = options.search.order(purpose);
    connection.run(async |app| {
        let payment = carry_out(&app, &order).await?;
        options.receipt.write(&payment)?;
        report(&payment, format)
    })
}

/// Orders the payment. When the connection is lost, it may be under way: then nobody must believe that it failed.
async fn carry_out(app: &App, order: &Order) -> Outcome<PaymentReport> {
    let stage = async || app.payment(order.payment_id).await.ok().map(|payment| stage(&payment));
    with_stages("Paying", stage, app.pay(order)).await.map_err(|error| match error {
        AppError::Disconnected(_) | AppError::Answer(_) => {
            let message = format!("{error}; the payment may be {}", still_under_way(order.payment_id));
            let document = UnknownOutcome {
                payment_id: order.payment_id,
                status: PaymentStatus::Pending,
                reason: message.clone(),
            };
            Failure::failed(message).with_document(&document)
        }
        error => error.into(),
    })
}

/// What programs read when the connection was lost after the order.
#[derive(Debug, Serialize)]
struct UnknownOutcome {
    payment_id: PaymentId,
    status: PaymentStatus,
    reason: String,
}

/// What a payment is doing, in a few words.
fn stage(payment: &PaymentReport) -> String {
    let PaymentReport { parts, reason, .. } = payment;
    match (parts, reason.is_empty()) {
        (0, true) => "looking for a route".into(),
        (0, false) => format!("looking for another route: {}", text::clean(reason)),
        (1, _) => "1 part under way".into(),
        (parts, _) => format!("{parts} parts under way"),
    }
}

pub(super) fn still_under_way(payment_id: PaymentId) -> String {
    format!("still under way, see `funds status {payment_id}`")
}

/// Tells how a payment ended.
fn report(payment: &PaymentReport, format: OutputFormat) -> Outcome {
    let reason = if payment.reason.is_empty() { String::new() } else { format!(": {}", payment.reason) };
    let message = match payment.status {
        PaymentStatus::Paid => {
            return format.print(payment, || format!("Payment successful!\nFees: {}\n", payment.fees));
        }
        PaymentStatus::Failed => format!("the payment failed{reason}"),
        PaymentStatus::Pending => format!("the payment is {}{reason}", still_under_way(payment.payment_id)),
    };
    Err(failure_with_payment(&message, payment))
}

pub(super) fn failure_with_payment(message: &str, payment: &PaymentReport) -> Failure {
    Failure::failed(message).with_document(payment)
}

#[cfg(test)]
mod tests {
    use super::super::payment_options::tests::payment;
    use super::*;

    #[test]
    fn failed_and_pending_are_told_apart() {
        let failed = report(&payment(PaymentStatus::Failed, "there is no route"), OutputFormat::Text).unwrap_err();
        assert_eq!((failed.exit_code(), failed.message()), (1, "the payment failed: there is no route"));
        let pending = report(&payment(PaymentStatus::Pending, "node1 is away"), OutputFormat::Text).unwrap_err();
        assert_eq!(pending.exit_code(), 1);
        let expected = "the payment is still under way, see `funds status AgICAgICAgICAgICAgICAg`: node1 is away";
        assert_eq!(pending.message(), expected);
        assert!(!pending.message().contains("failed"));
        assert_eq!(report(&payment(PaymentStatus::Paid, ""), OutputFormat::Text), Ok(()));
    }
}
