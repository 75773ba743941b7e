//! The values that a person writes on the command line.

use super::text::is_unreadable;
use crate::files::{self, Readers};
use crate::outcome::{Explain, Outcome};
use offst_app::Destination;
use offst_crypto::Ed25519Verifier;
use offst_proto::amount::AmountError;
use offst_proto::invoice::{
    INVOICE_FILE_BYTES_MAX, INVOICE_TEXT_PREFIX, Invoice, InvoiceFieldError, check_description,
};
use offst_proto::name::check_name;
use offst_proto::{Amount, InvoiceId, Verified};
use std::fmt::Display;
use std::num::IntErrorKind;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Credits, 1 to 2^96.
pub(super) fn positive_amount(text: &str) -> Result<Amount, String> {
    match text.parse().map_err(|error: AmountError| error.to_string())? {
        Amount::ZERO => Err("the amount must be at least 1".into()),
        amount => Ok(amount),
    }
}

/// Credits of a balance, -2^96 to 2^96.
pub(super) fn balance(text: &str) -> Result<i128, String> {
    let is_outside = || "a balance lies between -2^96 and 2^96".to_owned();
    let balance: i128 = text.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => is_outside(),
        _ => "it is not a whole number of credits".to_owned(),
    })?;
    if Amount::new(balance.unsigned_abs()).is_none() { Err(is_outside()) } else { Ok(balance) }
}

/// A number between bounds.
pub(super) fn whole_number<N: FromStr + PartialOrd + Display + Clone>(
    range: RangeInclusive<N>,
) -> impl Fn(&str) -> Result<N, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("a whole number from {} to {} is needed", range.start(), range.end()))
    }
}

/// What an invoice is for.
pub(super) fn description(text: &str) -> Result<String, InvoiceFieldError> {
    check_description(text).map(|()| text.to_owned())
}

/// A name that the owner gives, and can see.
pub(super) fn name(text: &str) -> Result<String, String> {
    check_name(text)?;
    if text.chars().any(is_unreadable) {
        return Err("a name has no characters that change how their neighbours are shown".to_owned());
    }
    if text.trim() != text {
        return Err("a name neither begins nor ends with a space".to_owned());
    }
    Ok(text.to_owned())
}

/// A friend, relay or index server that is there.
#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// The name that you gave it
    #[arg(short, long, value_parser = name)]
    pub(super) name: String,
}

/// A file to write.
#[derive(Debug, clap::Args)]
pub(super) struct Output {
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: PathBuf,
    /// Overwrite the file if it exists
    #[arg(long)]
    pub(super) force: bool,
}

impl Output {
    /// Before anything else is done: whether the file can be written.
    pub(super) fn check(&self) -> Outcome {
        files::check_output(&self.output, self.force)
    }

    /// Writes the file.
    pub(super) fn write(&self, content: &str, readers: Readers) -> Outcome {
        files::write(&self.output, content.as_bytes(), readers, self.force)
    }
}

/// Reads an invoice that is given as a file or as its line of text.
pub(super) fn load_invoice(given: &str) -> Outcome<Verified<Invoice>> {
    let path = Path::new(given);
    let starts_like_text =
        given.get(..INVOICE_TEXT_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(INVOICE_TEXT_PREFIX));
    if starts_like_text && !path.exists() {
        return Invoice::from_text(given, &Ed25519Verifier).or_input("the invoice");
    }
    let content = files::read_text(path, INVOICE_FILE_BYTES_MAX)?;
    Invoice::parse_file_or_text(&content, &Ed25519Verifier).or_input(path.display())
}

/// The id of an invoice that is given as a file, as its line of text or as the id itself.
pub(super) fn load_invoice_id(given: &str) -> Outcome<InvoiceId> {
    if !Path::new(given).exists()
        && let Ok(id) = given.parse()
    {
        return Ok(id);
    }
    Ok(load_invoice(given)?.id)
}

/// A public key, or the name of a friend.
pub(super) fn destination(text: &str) -> Result<Destination, String> {
    match text.parse() {
        Ok(key) => Ok(Destination::Key(key)),
        Err(_) => name(text).map(Destination::Friend),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::{Identity, Secret};
    use offst_proto::Currency;

    #[test]
    fn numbers() {
        assert_eq!(balance("-79228162514264337593543950336"), Ok(-(1 << 96)));
        assert!(balance("79228162514264337593543950337").is_err() && balance("ten").is_err());
        let large = "9".repeat(60);
        for text in [large.clone(), format!("-{large}")] {
            assert_eq!(balance(&text).unwrap_err(), "a balance lies between -2^96 and 2^96");
        }
        assert_eq!(positive_amount(&large).unwrap_err(), "the amount is above the largest one possible, 2^96");
        assert_eq!(positive_amount("1"), Ok(Amount::from(1)));
        assert!(positive_amount("0").is_err() && positive_amount("-1").is_err());
        assert_eq!((whole_number(1..=60)("1"), whole_number(1..=60)("60")), (Ok(1), Ok(60)));
        for text in ["0", "61", "-1", "1.5", "", "ten", &large] {
            assert_eq!(whole_number(1..=60)(text).unwrap_err(), "a whole number from 1 to 60 is needed");
        }
    }

    #[test]
    fn a_description_is_one_line_that_fits() {
        assert_eq!(description("Two loaves of bread"), Ok("Two loaves of bread".into()));
        assert_eq!(description(&"x".repeat(257)), Err(InvoiceFieldError::DescriptionLength));
        assert_eq!(description("two\nlines"), Err(InvoiceFieldError::DescriptionCharacter));
    }

    #[test]
    fn destinations() {
        let key = Identity::from_seed([1; 32]).public_key();
        assert_eq!(destination(&key.to_string()), Ok(Destination::Key(key)));
        assert_eq!(destination("node1"), Ok(Destination::Friend("node1".into())));
        assert!(destination("").is_err());
    }

    #[test]
    fn an_invoice_is_given_in_three_ways() {
        let seller = Identity::from_seed([1; 32]);
        let invoice = Invoice {
            id: InvoiceId::from_bytes([2; 16]),
            destination: seller.public_key(),
            currency: Currency::default(),
            amount: 120.into(),
            description: String::new(),
            expires_ms: None,
            secret: Secret::from_bytes([3; 32]),
        };
        let invoice = Verified::sign(invoice, &seller);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("offst1.invoice");
        let given = path.to_str().unwrap();
        for content in [invoice.to_toml(), format!("{}\n", invoice.to_text())] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(load_invoice(given).unwrap(), invoice);
        }
        for text in [invoice.to_text(), invoice.to_text().to_uppercase()] {
            assert_eq!(load_invoice(&text).unwrap(), invoice);
            assert_eq!(load_invoice_id(&text).unwrap(), invoice.id);
        }
        assert_eq!(load_invoice_id(given).unwrap(), invoice.id);
        assert_eq!(load_invoice_id(&invoice.id.to_string()).unwrap(), invoice.id);
        for (wrong, message) in
            [("offst1abc", "damaged"), ("nothing.invoice", "nothing.invoice cannot be read: there is no such file")]
        {
            let failure = load_invoice(wrong).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.message().contains(message), "{}", failure.message());
        }
    }

    #[test]
    fn names_can_be_seen() {
        assert_eq!(name("Ann B"), Ok("Ann B".to_owned()));
        for wrong in ["", " ", " a", "a\u{a0}", "a\tb"] {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
    }
}
