//! Receipts: proof of payment that anybody can check, offline and without trusting anyone (protocol section 2).

use crate::amount::Amount;
use crate::limits::PARTS_MAX;
use crate::payment::{PartTerms, Response};
use crate::{Currency, InvoiceId, PaymentId, RequestId, Verified, invoice::Invoice};
use offst_crypto::{HashLock, Nonce, Preimage, PublicKey, Signature, Verifier};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A receipt's file has under 8 kB; anything far larger is another file.
pub const RECEIPT_FILE_BYTES_MAX: usize = 32 * 1024;

/// Proof that a payment arrived. It says what the destination signed and shows the preimages that it gave away for the
/// money; it means something only after [`Receipt::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Who was paid.
    pub destination: PublicKey,
    /// For which invoice; `None` for a spontaneous payment.
    pub invoice_id: Option<InvoiceId>,
    /// The payment.
    pub payment_id: PaymentId,
    /// In which currency.
    pub currency: Currency,
    /// How much, credits, fees not included.
    pub total: Amount,
    /// The parts, 1 to [`PARTS_MAX`].
    pub parts: Vec<ReceiptPart>,
}

/// One part of a [`Receipt`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptPart {
    /// The request that carried it.
    pub request_id: RequestId,
    /// What it brought to the destination, credits.
    pub amount: Amount,
    /// From the destination's response.
    pub nonce: Nonce,
    /// From the destination's response.
    pub lock: HashLock,
    /// The destination's signature over the [`Response`].
    pub signature: Signature,
    /// Opens the lock.
    pub preimage: Preimage,
}

/// Why something is not a valid receipt. Parts are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not a receipt at all.
    #[error("this is not a receipt: {0}")]
    Format(String),
    /// It pays an invoice, which was not given.
    #[error("this receipt pays the invoice {0}: give the invoice too")]
    InvoiceNeeded(InvoiceId),
    /// It pays no invoice, but one was given.
    #[error("this receipt is for a payment without an invoice, so it does not pay the invoice that was given")]
    Spontaneous,
    /// It pays another invoice.
    #[error("this receipt pays another invoice: its {what} differs")]
    OtherInvoice {
        /// The field that differs.
        what: &'static str,
    },
    /// No parts, or too many.
    #[error("a receipt has 1 to {PARTS_MAX} parts, this one has {0}")]
    PartCount(usize),
    /// One part is counted twice.
    #[error("the receipt counts a part of the payment twice")]
    RepeatedPart,
    /// The amounts do not make the total, or one of them is 0.
    #[error("the parts of the receipt do not add up to its total")]
    Total,
    /// The destination did not sign this.
    #[error("part {0} of the receipt is not signed by the destination: it was changed or forged")]
    Signature(usize),
    /// The part was promised but not paid.
    #[error("part {0} of the receipt does not show that the destination took the money")]
    Preimage(usize),
}

impl Receipt {
    /// What the destination must have signed for `part`.
    fn response(&self, part: &ReceiptPart) -> Response {
        let terms = PartTerms {
            request_id: part.request_id,
            payment_id: self.payment_id,
            invoice_id: self.invoice_id,
            destination: self.destination,
            currency: self.currency.clone(),
            amount: part.amount,
            total: self.total,
        };
        Response { terms, nonce: part.nonce, lock: part.lock }
    }

    /// Checks that the destination was paid the total: for `invoice` if there is one, otherwise spontaneously.
    ///
    /// # Errors
    /// See [`ReceiptError`].
    pub fn verify(&self, verifier: &dyn Verifier, invoice: Option<&Invoice>) -> Result<(), ReceiptError> {
        self.check_invoice(invoice)?;
        if !(1..=PARTS_MAX).contains(&self.parts.len()) {
            return Err(ReceiptError::PartCount(self.parts.len()));
        }
        let ids: BTreeSet<RequestId> = self.parts.iter().map(|part| part.request_id).collect();
        if ids.len() != self.parts.len() {
            return Err(ReceiptError::RepeatedPart);
        }
        let sum = self.parts.iter().map(|part| part.amount).sum::<u128>();
        if self.total != sum || self.parts.iter().any(|part| part.amount.is_zero()) {
            return Err(ReceiptError::Total);
        }
        for (index, part) in self.parts.iter().enumerate() {
            Verified::assemble(self.response(part), &part.signature, verifier)
                .map_err(|_| ReceiptError::Signature(index + 1))?;
            if part.preimage.lock() != part.lock {
                return Err(ReceiptError::Preimage(index + 1));
            }
        }
        Ok(())
    }

    fn check_invoice(&self, invoice: Option<&Invoice>) -> Result<(), ReceiptError> {
        let (id, invoice) = match (self.invoice_id, invoice) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(ReceiptError::Spontaneous),
            (Some(id), None) => return Err(ReceiptError::InvoiceNeeded(id)),
            (Some(id), Some(invoice)) => (id, invoice),
        };
        let differences = [
            ("invoice id", id != invoice.id),
            ("destination", self.destination != invoice.destination),
            ("currency", self.currency != invoice.currency),
            ("amount", self.total != invoice.amount),
        ];
        match differences.into_iter().find(|(_, differs)| *differs) {
            Some((what, _)) => Err(ReceiptError::OtherInvoice { what }),
            None => Ok(()),
        }
    }

    /// The text of a file.
    pub fn to_toml(&self) -> String {
        let file = File {
            destination: self.destination.to_string(),
            invoice_id: self.invoice_id.map(|id| id.to_string()),
            payment_id: self.payment_id.to_string(),
            currency: self.currency.to_string(),
            total: self.total,
            parts: self.parts.iter().map(PartEntry::from).collect(),
        };
        let text = toml::to_string(&file).expect("a receipt is a table with a list of flat tables");
        format!("# An Offst receipt.\n{text}")
    }

    /// Reads the text of a file. Nothing is verified yet.
    ///
    /// # Errors
    /// [`ReceiptError::Format`] with what is wrong, [`ReceiptError::PartCount`].
    pub fn from_toml(text: &str) -> Result<Self, ReceiptError> {
        if text.len() > RECEIPT_FILE_BYTES_MAX {
            return Err(ReceiptError::Format("the file is too large".into()));
        }
        let file: File = crate::toml_text::from_toml(text).map_err(ReceiptError::Format)?;
        if !(1..=PARTS_MAX).contains(&file.parts.len()) {
            return Err(ReceiptError::PartCount(file.parts.len()));
        }
        Ok(Receipt {
            destination: file.destination.parse().map_err(|error| wrong("destination", error))?,
            invoice_id: file.invoice_id.map(|id| id.parse().map_err(|error| wrong("invoice_id", error))).transpose()?,
            payment_id: file.payment_id.parse().map_err(|error| wrong("payment_id", error))?,
            currency: file.currency.parse().map_err(|error| wrong("currency", error))?,
            total: file.total,
            parts: file.parts.into_iter().map(PartEntry::into_part).collect::<Result<_, _>>()?,
        })
    }
}

fn wrong(field: &str, error: impl std::fmt::Display) -> ReceiptError {
    ReceiptError::Format(format!("{field}: {error}"))
}

/// The file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    destination: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invoice_id: Option<String>,
    payment_id: String,
    currency: String,
    total: Amount,
    parts: Vec<PartEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartEntry {
    request_id: String,
    amount: Amount,
    nonce: String,
    lock: String,
    signature: String,
    preimage: String,
}

impl From<&ReceiptPart> for PartEntry {
    fn from(part: &ReceiptPart) -> Self {
        PartEntry {
            request_id: part.request_id.to_string(),
            amount: part.amount,
            nonce: part.nonce.to_string(),
            lock: part.lock.to_string(),
            signature: part.signature.to_string(),
            preimage: offst_crypto::base64_text(part.preimage.as_bytes()),
        }
    }
}

impl PartEntry {
    fn into_part(self) -> Result<ReceiptPart, ReceiptError> {
        let preimage = offst_crypto::parse_base64_text(&self.preimage).map_err(|error| wrong("preimage", error))?;
        Ok(ReceiptPart {
            request_id: self.request_id.parse().map_err(|error| wrong("request_id", error))?,
            amount: self.amount,
            nonce: self.nonce.parse().map_err(|error| wrong("nonce", error))?,
            lock: self.lock.parse().map_err(|error| wrong("lock", error))?,
            signature: self.signature.parse().map_err(|error| wrong("signature", error))?,
            preimage: Preimage::from_bytes(preimage),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::preimage;
    use offst_crypto::{Ed25519Verifier, Identity, Secret};
    use proptest::prelude::*;

    fn seller() -> Identity {
        Identity::from_seed([1; 32])
    }

    fn invoice() -> Invoice {
        Invoice {
            id: InvoiceId::from_bytes([2; 16]),
            destination: seller().public_key(),
            currency: Currency::default(),
            amount: 100.into(),
            description: String::new(),
            expires_ms: None,
            secret: Secret::from_bytes([3; 32]),
        }
    }

    /// What an honest seller gave away for parts of these amounts.
    fn receipt(invoice_id: Option<InvoiceId>, amounts: &[u128]) -> Receipt {
        let mut receipt = Receipt {
            destination: seller().public_key(),
            invoice_id,
            payment_id: PaymentId::from_bytes([4; 16]),
            currency: Currency::default(),
            total: Amount::capped(amounts.iter().sum()),
            parts: vec![],
        };
        for (index, &amount) in amounts.iter().enumerate() {
            let mut part = ReceiptPart {
                request_id: RequestId::from_bytes([10 + index as u8; 16]),
                amount: Amount::capped(amount),
                nonce: Nonce::from_bytes([50 + index as u8; 16]),
                lock: HashLock::from_bytes([0; 32]),
                signature: Signature::from_bytes([0; 64]),
                preimage: Preimage::from_bytes([0; 32]),
            };
            part.preimage = preimage(&seller(), &receipt.response(&part).terms);
            part.lock = part.preimage.lock();
            part.signature = Verified::sign(receipt.response(&part), &seller()).signature();
            receipt.parts.push(part);
        }
        receipt
    }

    fn paid() -> Receipt {
        receipt(Some(invoice().id), &[60, 40])
    }

    fn verify(receipt: &Receipt) -> Result<(), ReceiptError> {
        receipt.verify(&Ed25519Verifier, Some(&invoice()))
    }

    #[test]
    fn honest_receipts_are_valid() {
        assert_eq!(verify(&paid()), Ok(()));
        assert_eq!(verify(&receipt(Some(invoice().id), &[100])), Ok(()));
        assert_eq!(receipt(None, &[7]).verify(&Ed25519Verifier, None), Ok(()));
        let most = receipt(None, &[Amount::MAX.credits() / 16; PARTS_MAX]);
        assert_eq!(Receipt::from_toml(&most.to_toml()).unwrap().verify(&Ed25519Verifier, None), Ok(()));
    }

    #[test]
    fn the_invoice_must_be_the_one_that_was_paid() {
        assert_eq!(paid().verify(&Ed25519Verifier, None), Err(ReceiptError::InvoiceNeeded(invoice().id)));
        assert_eq!(verify(&receipt(None, &[100])), Err(ReceiptError::Spontaneous));
        for (other, what) in [
            (Invoice { id: InvoiceId::from_bytes([9; 16]), ..invoice() }, "invoice id"),
            (Invoice { destination: Identity::from_seed([9; 32]).public_key(), ..invoice() }, "destination"),
            (Invoice { currency: "hours".parse().unwrap(), ..invoice() }, "currency"),
            (Invoice { amount: 101.into(), ..invoice() }, "amount"),
        ] {
            let refused = paid().verify(&Ed25519Verifier, Some(&other));
            assert_eq!(refused, Err(ReceiptError::OtherInvoice { what }));
        }
    }

    type Change = fn(&mut Receipt);

    #[test]
    fn every_changed_field_is_refused() {
        let changes: [(Change, ReceiptError); 17] = [
            (|r| r.destination = Identity::from_seed([9; 32]).public_key(), ReceiptError::Signature(1)),
            (|r| r.invoice_id = None, ReceiptError::Signature(1)),
            (|r| r.invoice_id = Some(InvoiceId::from_bytes([9; 16])), ReceiptError::Signature(1)),
            (|r| r.payment_id = PaymentId::from_bytes([9; 16]), ReceiptError::Signature(1)),
            (|r| r.currency = "hours".parse().unwrap(), ReceiptError::Signature(1)),
            (|r| r.total = 99.into(), ReceiptError::Total),
            (|r| r.parts.clear(), ReceiptError::PartCount(0)),
            (|r| r.parts = vec![r.parts[0].clone(); 17], ReceiptError::PartCount(17)),
            (|r| r.parts.truncate(1), ReceiptError::Total),
            (|r| r.parts[1] = r.parts[0].clone(), ReceiptError::RepeatedPart),
            (|r| r.parts[1].request_id = RequestId::from_bytes([9; 16]), ReceiptError::Signature(2)),
            (|r| (r.parts[0].amount, r.parts[1].amount) = (61.into(), 39.into()), ReceiptError::Signature(1)),
            (|r| (r.parts[0].amount, r.parts[1].amount) = (100.into(), 0.into()), ReceiptError::Total),
            (|r| r.parts[1].nonce = Nonce::from_bytes([9; 16]), ReceiptError::Signature(2)),
            (|r| r.parts[1].lock = HashLock::from_bytes([9; 32]), ReceiptError::Signature(2)),
            (|r| r.parts[0].signature = r.parts[1].signature, ReceiptError::Signature(1)),
            (|r| r.parts[1].preimage = Preimage::from_bytes([9; 32]), ReceiptError::Preimage(2)),
        ];
        for (index, (change, error)) in changes.into_iter().enumerate() {
            let mut changed = paid();
            change(&mut changed);
            // The invoice is changed along, so that the refusal is the receipt's own.
            let invoice = changed.invoice_id.map(|id| Invoice {
                id,
                destination: changed.destination,
                currency: changed.currency.clone(),
                amount: changed.total,
                ..invoice()
            });
            assert_eq!(changed.verify(&Ed25519Verifier, invoice.as_ref()), Err(error), "change {index}");
        }
    }

    /// A lower total with the parts that fit it: the buyer of a 100 credit invoice shows the first part alone.
    #[test]
    fn the_signed_total_holds_all_parts_together() {
        let mut cut = paid();
        cut.parts.truncate(1);
        cut.total = 60.into();
        let cheaper = Invoice { amount: 60.into(), ..invoice() };
        assert_eq!(cut.verify(&Ed25519Verifier, Some(&cheaper)), Err(ReceiptError::Signature(1)));
    }

    #[test]
    fn parts_that_are_more_than_an_amount_are_refused() {
        let mut huge = paid();
        (huge.invoice_id, huge.total) = (None, Amount::MAX);
        huge.parts[0].amount = Amount::MAX;
        assert_eq!(huge.verify(&Ed25519Verifier, None), Err(ReceiptError::Total));
    }

    #[test]
    fn file_snapshot() {
        insta::assert_snapshot!(paid().to_toml(), @r#"
        # An Offst receipt.
        destination = "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w"
        invoice_id = "AgICAgICAgICAgICAgICAg"
        payment_id = "BAQEBAQEBAQEBAQEBAQEBA"
        currency = "credit"
        total = "100"

        [[parts]]
        request_id = "CgoKCgoKCgoKCgoKCgoKCg"
        amount = "60"
        nonce = "MjIyMjIyMjIyMjIyMjIyMg"
        lock = "D2SbJ6bmQUzW69CwDORlEIaR2vnkhMlAYwYk2d3ovXY"
        signature = "uhK162u7LGQdAso0WEC5sxmof6But2zGFWCOAXm4iFw_NdtJHv66TUlQXgBlzv_0SYxs7-OjU2LJUiYOVOSYBA"
        preimage = "mFG9kyZRA2gXdXeJAseqjWPYg7PJ1tGIhnuCA1I6XQw"

        [[parts]]
        request_id = "CwsLCwsLCwsLCwsLCwsLCw"
        amount = "40"
        nonce = "MzMzMzMzMzMzMzMzMzMzMw"
        lock = "4haxfubNFN3W_gEaKHYoTZgXBziTCHKk-ttNP5RJtIA"
        signature = "jbfHjosxUL7C2MTzfIhBCAkp7Ig5cj83p_EA5peUMxjMPeEZlttNRyE1Kn4EA5N9SemA1l8Vav0cqN6OBOwWDw"
        preimage = "7eLpyJftaCtCghvycoh8VYEodChws_XU8c9TZJdvb-g"
        "#);
    }

    #[test]
    fn wrong_files_are_refused_in_a_sentence() {
        let file = paid().to_toml();
        let part = &file[file.find("[[parts]]").unwrap()..];
        for (text, message) in [
            (String::new(), "missing field"),
            ("x".repeat(100_000), "too large"),
            (file.replace("total = \"100\"", "total = \"-100\""), "whole number"),
            (file.replace("total = \"100\"", &format!("total = \"{}\"", u128::MAX)), "whole number"),
            (file.replace("credit", "Credit"), "currency: a currency's name"),
            (file.replace("lock = \"", "lock = \"A"), "lock: it holds 33 bytes"),
            (file.replace("lock = ", "key = "), "unknown field `key`"),
            (format!("{file}{}", part.repeat(9)), "1 to 16 parts, this one has 20"),
            (file.replace("[[parts]]", "[[pieces]]"), "unknown field `pieces`"),
        ] {
            let error = Receipt::from_toml(&text).unwrap_err().to_string();
            assert!(error.contains(message), "{message}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    /// Whatever single bit of the file is flipped, it is refused or says the same as before.
    #[test]
    fn flipped_bits_in_the_file_are_noticed() {
        let file = receipt(Some(invoice().id), &[100]).to_toml();
        let honest = Receipt::from_toml(&file).unwrap();
        for bit in 0..file.len() * 8 {
            let mut bytes = file.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(text) = String::from_utf8(bytes) else { continue };
            if let Ok(read) = Receipt::from_toml(&text) {
                assert!(read == honest || verify(&read).is_err(), "bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn round_trip(invoiced: bool, amounts in proptest::collection::vec(1..=Amount::MAX.credits() / 16, 1..=PARTS_MAX)) {
            let receipt = receipt(invoiced.then(|| invoice().id), &amounts);
            let text = receipt.to_toml();
            prop_assert!(text.len() < RECEIPT_FILE_BYTES_MAX);
            prop_assert_eq!(Receipt::from_toml(&text), Ok(receipt));
        }
    }
}
