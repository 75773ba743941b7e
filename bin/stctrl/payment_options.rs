//! What the commands that pay have in common: how a route is looked for, and where the receipt is put.

use super::arguments::whole_number;
use crate::files::{self, Readers};
use crate::outcome::{Failure, Outcome};
use offst_app::{Order, Purpose};
use offst_crypto::SystemRandom;
use offst_proto::Amount;
use offst_proto::PaymentId;
use offst_proto::limits::PATIENCE_MS_MAX;
use offst_proto::report::{PaymentReport, PaymentStatus};
use std::path::PathBuf;

/// What the commands that pay have in common.
#[derive(Debug, clap::Args)]
pub(super) struct PaymentOptions {
    #[command(flatten)]
    pub(super) receipt: ReceiptFile,
    #[command(flatten)]
    pub(super) search: SearchOptions,
}

/// How a route is looked for.
#[derive(Debug, clap::Args)]
pub(super) struct SearchOptions {
    /// The most that mediators may take as fees [default: max_fee_default in the node's settings, which is 10 % of the amount or
    /// 20 credits, whichever is more, when nothing is set]
    #[arg(long, value_name = "N")]
    pub(super) max_fee: Option<Amount>,
    /// How long to look for a route
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = whole_number(1..=PATIENCE_MS_MAX / 1000))]
    timeout: u64,
}

impl SearchOptions {
    /// For credit that comes back: its receipt is of no use.
    pub(super) fn without_receipt(self) -> PaymentOptions {
        PaymentOptions { receipt: ReceiptFile { receipt: None, force: false }, search: self }
    }

    /// The order under a fresh id.
    pub(super) fn order(&self, purpose: Purpose) -> Order {
        Order { payment_id: fresh_payment_id(), purpose, max_fee: self.max_fee, timeout_ms: self.timeout * 1000 }
    }
}

/// Where a receipt is put.
#[derive(Debug, clap::Args)]
pub(super) struct ReceiptFile {
    /// Write the receipt to this file
    #[arg(short, long, value_name = "RECEIPT-FILE")]
    pub(super) receipt: Option<PathBuf>,
    /// Overwrite the receipt's file if it exists
    #[arg(long)]
    force: bool,
}

impl ReceiptFile {
    /// Before anything is paid: whether the file can be written.
    ///
    /// # Errors
    /// It cannot (exit code 2).
    pub(super) fn check(&self) -> Outcome {
        self.receipt.as_ref().map_or(Ok(()), |path| files::check_output(path, self.force))
    }

    /// Writes the receipt of a payment that was paid.
    ///
    /// # Errors
    /// It cannot be written; the payment is made all the same.
    pub(super) fn write(&self, payment: &PaymentReport) -> Outcome {
        let (Some(path), PaymentStatus::Paid) = (&self.receipt, payment.status) else { return Ok(()) };
        let written = match &payment.receipt {
            Some(receipt) => files::write(path, receipt.as_bytes(), Readers::Owner, self.force),
            None => Err(Failure::failed("the node does not have the receipt")),
        };
        // Who reads this must not pay again.
        written.map_err(|failure| {
            Failure::failed(format!(
                "the payment is made, but its receipt is not written: {}; get it with `funds status {} -r FILE`",
                failure.message(),
                payment.payment_id
            ))
        })
    }
}

/// An id that no command line takes for a flag.
fn fresh_payment_id() -> PaymentId {
    let mut random = SystemRandom::new();
    loop {
        let payment_id = PaymentId::random(&mut random);
        if !payment_id.to_string().starts_with('-') {
            return payment_id;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use offst_crypto::Identity;
    use offst_proto::Currency;
    use offst_proto::report::PaymentKind;

    pub(in crate::stctrl) fn payment(status: PaymentStatus, reason: &str) -> PaymentReport {
        PaymentReport {
            app: None,
            payment_id: PaymentId::from_bytes([2; 16]),
            status,
            kind: PaymentKind::Payment,
            destination: Identity::from_seed([1; 32]).public_key(),
            invoice_id: None,
            currency: Currency::default(),
            amount: 100.into(),
            fees: 3,
            parts: 1,
            reason: reason.into(),
            created_ms: 0,
            duration_ms: 5,
            receipt: Some("the receipt".into()),
        }
    }

    #[test]
    fn a_receipt_that_cannot_be_written_does_not_make_the_payment_fail() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.receipt");
        let file = ReceiptFile { receipt: Some(path.clone()), force: false };
        file.check().unwrap();
        file.write(&payment(PaymentStatus::Failed, "")).unwrap();
        assert!(!path.exists());
        file.write(&payment(PaymentStatus::Paid, "")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "the receipt");
        assert_eq!(file.check().unwrap_err().exit_code(), 2);
        let failure = file.write(&payment(PaymentStatus::Paid, "")).unwrap_err();
        assert!(failure.message().starts_with("the payment is made, but its receipt is not written: "));
        assert!(failure.message().ends_with("`funds status AgICAgICAgICAgICAgICAg -r FILE`"));
    }

    #[test]
    fn an_id_is_no_flag() {
        assert!((0..1000).all(|_| !fresh_payment_id().to_string().starts_with('-')));
    }
}
