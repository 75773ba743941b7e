//! Invoices: what a seller hands to a buyer, as a file or as one line of text (protocol section 2).

use crate::amount::Amount;
use crate::checked_text::{CheckedTextError, from_checked_text, starts_with_prefix, to_checked_text};
use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::limits::DESCRIPTION_BYTES_MAX;
use crate::{Currency, InvoiceId, Signable, Unverified, Verified};
use offst_crypto::{PublicKey, Secret, Signature, Verifier};
use serde::{Deserialize, Serialize};

/// How the line of text starts.
pub const INVOICE_TEXT_PREFIX: &str = "offst1";
/// An invoice's file has under 2 kB; anything far larger is another file.
pub const INVOICE_FILE_BYTES_MAX: usize = 16 * 1024;
/// Latest expiry: the end of the year 9999, unix milliseconds.
pub const EXPIRES_MS_MAX: u64 = 253_402_300_799_999;

/// A request for money. Anybody who holds it can pay it: the secret proves to the seller that a payment comes from
/// somebody who was given the invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Its name; mediators see it.
    pub id: InvoiceId,
    /// Who is paid, and who signs.
    pub destination: PublicKey,
    /// In which currency.
    pub currency: Currency,
    /// How much, credits: at least 1.
    pub amount: Amount,
    /// What for, at most [`DESCRIPTION_BYTES_MAX`] bytes on one line. May be empty.
    pub description: String,
    /// Until when it can be paid, unix milliseconds. `None`: until it is cancelled.
    pub expires_ms: Option<u64>,
    /// Keys the [`crate::payment::proof`] of its payments.
    pub secret: Secret,
}

/// Why something is not an invoice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvoiceError {
    /// Not an invoice at all.
    #[error("this is not an invoice: {0}")]
    Format(String),
    /// The line of text is damaged.
    #[error("this is not an invoice: {0}")]
    Text(#[from] CheckedTextError),
    /// The bytes behind the line of text have no meaning.
    #[error("this is not an invoice that this version understands: {0}")]
    Bytes(#[from] DecodeError),
    /// A field is out of its bounds.
    #[error("{0}")]
    Field(#[from] InvoiceFieldError),
    /// Somebody changed it after it was signed.
    #[error("the invoice is not signed by the seller it names: it was changed or forged")]
    Signature,
}

/// Which field of an invoice is out of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvoiceFieldError {
    /// Nothing, or more than the protocol can carry.
    #[error("an invoice's amount is at least 1 and at most 2^96")]
    Amount,
    /// Too many bytes.
    #[error("an invoice's description has at most {DESCRIPTION_BYTES_MAX} bytes")]
    DescriptionLength,
    /// Line breaks, terminal commands or marks that turn the reading direction: they could show people another text
    /// than the one that is signed.
    #[error("an invoice's description is one line without control characters")]
    DescriptionCharacter,
    /// Zero or beyond [`EXPIRES_MS_MAX`].
    #[error("an invoice's expiry lies between 1970 and the year 9999")]
    Expiry,
}

/// Whether a character changes how its neighbours are shown.
pub fn is_unreadable(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether an invoice can have this description.
///
/// # Errors
/// It is too long, or has a character that could show people another text than the one that is signed.
pub fn check_description(description: &str) -> Result<(), InvoiceFieldError> {
    if description.len() > DESCRIPTION_BYTES_MAX {
        return Err(InvoiceFieldError::DescriptionLength);
    }
    if description.chars().any(is_unreadable) {
        return Err(InvoiceFieldError::DescriptionCharacter);
    }
    Ok(())
}

impl Invoice {
    /// Checks every field's bounds. Decoding does so itself; a seller calls this before it signs.
    ///
    /// # Errors
    /// The first field that is out of its bounds.
    pub fn check_fields(&self) -> Result<(), InvoiceFieldError> {
        if self.amount.is_zero() {
            return Err(InvoiceFieldError::Amount);
        }
        check_description(&self.description)?;
        if self.expires_ms.is_some_and(|at| !(1..=EXPIRES_MS_MAX).contains(&at)) {
            return Err(InvoiceFieldError::Expiry);
        }
        Ok(())
    }

    /// Whether it can no longer be paid at `now_ms`, unix milliseconds.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|at| now_ms >= at)
    }

    /// Reads what [`Verified::<Invoice>::to_toml`] or [`Verified::<Invoice>::to_text`] wrote, whichever it is.
    ///
    /// # Errors
    /// See [`InvoiceError`].
    pub fn parse_file_or_text(content: &str, verifier: &dyn Verifier) -> Result<Verified<Invoice>, InvoiceError> {
        if starts_with_prefix(INVOICE_TEXT_PREFIX, content) {
            Invoice::from_text(content, verifier)
        } else {
            Invoice::from_toml(content, verifier)
        }
    }

    /// Reads the line of text, in either case and with blanks around it.
    ///
    /// # Errors
    /// See [`InvoiceError`].
    pub fn from_text(text: &str, verifier: &dyn Verifier) -> Result<Verified<Invoice>, InvoiceError> {
        let wire = from_checked_text(INVOICE_TEXT_PREFIX, text, Invoice::BYTES_MAX)?;
        Unverified::from_wire(&wire)?.verify(verifier).map_err(|_| InvoiceError::Signature)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// See [`InvoiceError`].
    pub fn from_toml(text: &str, verifier: &dyn Verifier) -> Result<Verified<Invoice>, InvoiceError> {
        if text.len() > INVOICE_FILE_BYTES_MAX {
            return Err(InvoiceError::Format("the file is too large".into()));
        }
        let file: File = crate::toml_text::from_toml(text).map_err(InvoiceError::Format)?;
        let field = |name: &str, error: &dyn std::fmt::Display| InvoiceError::Format(format!("{name}: {error}"));
        let signature: Signature = file.signature.parse().map_err(|error| field("signature", &error))?;
        let secret = offst_crypto::parse_base64_text(&file.secret).map_err(|error| field("secret", &error))?;
        let invoice = Invoice {
            id: file.invoice_id.parse().map_err(|error| field("invoice_id", &error))?,
            destination: file.destination.parse().map_err(|error| field("destination", &error))?,
            currency: file.currency.parse().map_err(|error| field("currency", &error))?,
            amount: file.amount,
            description: file.description,
            expires_ms: file.expires_ms,
            secret: Secret::from_bytes(secret),
        };
        invoice.check_fields()?;
        Verified::assemble(invoice, &signature, verifier).map_err(|_| InvoiceError::Signature)
    }
}

impl Verified<Invoice> {
    /// The text of a file: every field readable, with the seller's signature.
    pub fn to_toml(&self) -> String {
        let file = File {
            invoice_id: self.id.to_string(),
            destination: self.destination.to_string(),
            currency: self.currency.to_string(),
            amount: self.amount,
            description: self.description.clone(),
            expires_ms: self.expires_ms,
            secret: offst_crypto::base64_text(self.secret.as_bytes()),
            signature: self.signature().to_string(),
        };
        let text = toml::to_string(&file).expect("an invoice is a flat table");
        format!("# An Offst invoice. Anybody who holds it can pay it.\n{text}")
    }

    /// One line of text that holds all of it, under 1000 characters. In capitals it means the same and makes a smaller
    /// QR code.
    pub fn to_text(&self) -> String {
        to_checked_text(INVOICE_TEXT_PREFIX, self.wire())
    }
}

/// The file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    invoice_id: String,
    destination: String,
    currency: String,
    amount: Amount,
    description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    secret: String,
    signature: String,
}

impl Canonical for Invoice {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.id);
        encoder.value(&self.destination);
        encoder.value(&self.currency);
        encoder.value(&self.amount);
        encoder.text(&self.description);
        encoder.bool(self.expires_ms.is_some());
        if let Some(expires_ms) = self.expires_ms {
            encoder.u64(expires_ms);
        }
        encoder.fixed(self.secret.as_bytes());
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let invoice = Invoice {
            id: decoder.value()?,
            destination: decoder.value()?,
            currency: decoder.value()?,
            amount: decoder.value()?,
            description: decoder.text(DESCRIPTION_BYTES_MAX, "an invoice's description")?,
            expires_ms: if decoder.bool()? { Some(decoder.u64()?) } else { None },
            secret: Secret::from_bytes(decoder.fixed()?),
        };
        invoice.check_fields().map_err(|error| {
            DecodeError::invalid(match error {
                InvoiceFieldError::Amount => "an invoice's amount",
                InvoiceFieldError::DescriptionLength | InvoiceFieldError::DescriptionCharacter => {
                    "an invoice's description"
                }
                InvoiceFieldError::Expiry => "an invoice's expiry",
            })
        })?;
        Ok(invoice)
    }
}

impl Signable for Invoice {
    const DOMAIN: &'static str = "offst/invoice/1";
    const BYTES_MAX: usize = 512;

    fn author(&self) -> PublicKey {
        self.destination
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::{Ed25519Verifier, Identity};
    use proptest::prelude::*;

    fn seller() -> Identity {
        Identity::from_seed([1; 32])
    }

    fn invoice() -> Invoice {
        Invoice {
            id: InvoiceId::from_bytes([2; 16]),
            destination: seller().public_key(),
            currency: Currency::default(),
            amount: 120.into(),
            description: "Two loaves of bread".into(),
            expires_ms: Some(1_767_225_600_000),
            secret: Secret::from_bytes([3; 32]),
        }
    }

    fn signed(invoice: Invoice) -> Verified<Invoice> {
        Verified::sign(invoice, &seller())
    }

    #[test]
    fn snapshots() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let signed = signed(invoice());
        insta::assert_snapshot!(hex(signed.wire()), @"0000000f6f666673742f696e766f6963652f31020202020202020202020202020202028a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c00000006637265646974000000000000000000000000000000780000001354776f206c6f61766573206f66206272656164010000019b76daa80003030303030303030303030303030303030303030303030303030303030303036a9e298b10de8fe66d6b2b833b9e011d285079e70cd2c9d497bab479d82d20bb3398763da4e3d80b9264f6fce1bb688a3765ac9fe4214c373eca4d425bc6860b");
        insta::assert_snapshot!(signed.to_text(), @"offst1aaaaad3pmzthg5bpnfxhm33jmnss6micaibaeaqcaibaeaqcaibaeaqcrkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oaaaaaazrxezlenf2aaaaaaaaaaaaaaaaaaaaaaaahqaaaaajvi53pebwg6ylwmvzsa33gebrhezlbmqaqaaabtn3nvkaaambqgaydambqgaydambqgaydambqgaydambqgaydambqgaydambwvhrjrmin5d7gnvvsxaz3tyar2kcqphtqzuwj2sl3vndz3awsbozttb3d3jhd3afzezhw7tq3w2ekg5s2zh7eefgdopwkjvbfxrugbn4ayesk");
        insta::assert_snapshot!(signed.to_toml(), @r#"
        # An Offst invoice. Anybody who holds it can pay it.
        invoice_id = "AgICAgICAgICAgICAgICAg"
        destination = "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w"
        currency = "credit"
        amount = "120"
        description = "Two loaves of bread"
        expires_ms = 1767225600000
        secret = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM"
        signature = "ap4pixDej-ZtayuDO54BHShQeecM0snUl7q0edgtILszmHY9pOPYC5Jk9vzhu2iKN2Wsn-QhTDc-yk1CW8aGCw"
        "#);
    }

    #[test]
    fn a_change_of_any_line_of_the_file_is_noticed() {
        let text = signed(invoice()).to_toml();
        let other = Identity::from_seed([9; 32]).public_key().to_string();
        let secret = offst_crypto::base64_text(&[9; 32]);
        let changes = [
            ("invoice_id = \"AgICAgICAgICAgICAgICAg\"", format!("invoice_id = \"{}\"", InvoiceId::from_bytes([9; 16]))),
            (&format!("destination = \"{}\"", seller().public_key()), format!("destination = \"{other}\"")),
            ("currency = \"credit\"", "currency = \"hours\"".into()),
            ("amount = \"120\"", "amount = \"121\"".into()),
            ("Two loaves", "Ten loaves".into()),
            ("1767225600000", "1767225600001".into()),
            ("expires_ms = 1767225600000\n", String::new()),
            ("AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM", secret),
        ];
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            let changed = text.replace(from, &to);
            assert_eq!(Invoice::from_toml(&changed, &Ed25519Verifier), Err(InvoiceError::Signature), "{to}");
        }
        assert!(Invoice::from_toml(&text, &Ed25519Verifier).is_ok());
    }

    #[test]
    fn fields_have_bounds() {
        let cases = [
            (Invoice { amount: 0.into(), ..invoice() }, InvoiceFieldError::Amount),
            (Invoice { description: "é".repeat(129), ..invoice() }, InvoiceFieldError::DescriptionLength),
            (Invoice { description: "a\nb".into(), ..invoice() }, InvoiceFieldError::DescriptionCharacter),
            (Invoice { description: "\u{1b}[2J".into(), ..invoice() }, InvoiceFieldError::DescriptionCharacter),
            (Invoice { description: "\u{202e}001".into(), ..invoice() }, InvoiceFieldError::DescriptionCharacter),
            (Invoice { expires_ms: Some(0), ..invoice() }, InvoiceFieldError::Expiry),
            (Invoice { expires_ms: Some(u64::MAX), ..invoice() }, InvoiceFieldError::Expiry),
        ];
        for (invoice, error) in cases {
            assert_eq!(invoice.check_fields(), Err(error));
            let text = Verified::sign(invoice, &seller()).to_text();
            assert!(Invoice::from_text(&text, &Ed25519Verifier).is_err(), "{error}");
        }
    }

    #[test]
    fn expiry() {
        assert!(!invoice().is_expired(1_767_225_599_999));
        assert!(invoice().is_expired(1_767_225_600_000));
        assert!(!Invoice { expires_ms: None, ..invoice() }.is_expired(u64::MAX));
    }

    #[test]
    fn the_largest_invoice_fits_a_qr_code() {
        let largest = Invoice {
            currency: "a-currency-of-16".parse().unwrap(),
            amount: Amount::MAX,
            description: "é".repeat(128),
            ..invoice()
        };
        let largest = signed(largest);
        assert!(largest.wire().len() <= Invoice::BYTES_MAX);
        assert!(largest.to_text().len() < 1000, "{}", largest.to_text().len());
        assert_eq!(Invoice::from_text(&largest.to_text(), &Ed25519Verifier).unwrap(), largest);
    }

    #[test]
    fn wrong_files_and_texts_are_refused_in_a_sentence() {
        let file = signed(invoice()).to_toml();
        let text = signed(invoice()).to_text();
        let other_kind = to_checked_text(INVOICE_TEXT_PREFIX, &[0; 100]);
        for (content, message) in [
            (String::new(), "missing field"),
            ("hello".into(), "this is not an invoice"),
            ("x".repeat(100_000), "too large"),
            (format!("colour = \"red\"\n{file}"), "unknown field `colour`"),
            (file.replace("\"120\"", "120"), "invoice"),
            (file.replace("\"120\"", "\"0120\""), "whole number"),
            (file.replace("\"120\"", "\"0\""), "at least 1"),
            (file.replace("\"120\"", &format!("\"{}\"", Amount::MAX.credits() + 1)), "2^96"),
            (file.replace("Two loaves", "Two\\nloaves"), "control characters"),
            (file.replace("Two loaves", &"x".repeat(300)), "256 bytes"),
            (file.replace("1767225600000", "-1"), "this is not an invoice"),
            (file.replace("AgICAgICAgICAgICAgICAg", "AgIC"), "invoice_id: it holds 3 bytes where 16 are needed"),
            (format!("{}q", &text[..text.len() - 1]), "checksum does not fit"),
            (format!("{} {}", &text[..20], &text[20..]), "paste it as one word"),
            (other_kind, "offst/invoice/1"),
        ] {
            let error = Invoice::parse_file_or_text(&content, &Ed25519Verifier).unwrap_err().to_string();
            assert!(error.contains(message), "{message}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn damaged_invoices_are_refused() {
        let wire = signed(invoice()).wire().to_vec();
        for len in 0..wire.len() {
            assert!(Unverified::<Invoice>::from_wire(&wire[..len]).is_err(), "{len} bytes");
        }
        for bit in 0..wire.len() * 8 {
            let mut bytes = wire.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let text = to_checked_text(INVOICE_TEXT_PREFIX, &bytes);
            assert!(Invoice::from_text(&text, &Ed25519Verifier).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn round_trip_of_bytes_file_and_text(
            id: [u8; 16],
            secret: [u8; 32],
            amount in 1..=Amount::MAX.credits(),
            description in "[^\\p{C}\\p{Zl}\\p{Zp}]{0,60}",
            expires_ms in proptest::option::of(1..=EXPIRES_MS_MAX),
        ) {
            let invoice = Invoice {
                id: InvoiceId::from_bytes(id),
                secret: Secret::from_bytes(secret),
                amount: Amount::capped(amount),
                description,
                expires_ms,
                ..invoice()
            };
            prop_assert_eq!(invoice.check_fields(), Ok(()));
            let signed = signed(invoice);
            for content in [signed.to_toml(), signed.to_text(), format!("\n{}\n", signed.to_text().to_uppercase())] {
                prop_assert_eq!(&Invoice::parse_file_or_text(&content, &Ed25519Verifier).unwrap(), &signed);
            }
        }

        #[test]
        fn any_content_is_read_or_refused(content in "\\PC{0,200}") {
            prop_assert!(Invoice::parse_file_or_text(&content, &Ed25519Verifier).is_err());
        }
    }
}
