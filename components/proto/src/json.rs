//! How values stand in JSON: as their texts. Numbers of credits too, because they may be larger than a number of JSON.

use serde::Serializer;
use std::fmt::Display;

/// A value as its text.
///
/// # Errors
/// The serializer's.
pub fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// The same; a missing value is `null`.
///
/// # Errors
/// The serializer's.
pub fn optional_text<S: Serializer>(value: &Option<impl Display>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// Types whose values always stand there as their texts.
macro_rules! texts {
    ($($type:ty),*) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
texts!(crate::Amount, crate::Currency, crate::InvoiceId, crate::PaymentId, crate::RequestId);
