//! How single values stand in a message: numbers of credits as decimal text, keys and ids as bytes. Where a value may be missing, an
//! empty text, empty bytes or 0 says so.

use super::message::MessageError;
use crate::amount::{Amount, AmountError};
use crate::encoding::DecodeError;
use crate::name::check_name;
use crate::ticket::Address;
use crate::{Currency, InvoiceId, PaymentId, RequestId};
use offst_crypto::PublicKey;

/// What the generated code gives of a text.
type Text<'a> = capnp::Result<capnp::text::Reader<'a>>;
/// The same of bytes.
type Data<'a> = capnp::Result<capnp::data::Reader<'a>>;

/// A type whose values stand in a message in one form.
pub trait Field: Sized {
    /// What the generated code gives when the field is read.
    type Got<'a>;
    /// What it takes when the field is written.
    type Given<'a>
    where
        Self: 'a;

    /// Reads the field.
    ///
    /// # Errors
    /// It holds no value of this type.
    fn from_wire(got: Self::Got<'_>) -> Result<Self, MessageError>;

    /// What is written.
    fn to_wire(&self) -> Self::Given<'_>;
}

/// A form of values of type `T`. [`Plain`] is the usual one; the others are named where a field is listed in `codec!`.
pub(crate) trait As<T> {
    type Got<'a>;
    type Given<'a>
    where
        T: 'a;

    fn read(got: Self::Got<'_>) -> Result<T, MessageError>;
    fn write(value: &T) -> Self::Given<'_>;
}

/// That of [`Field`].
pub(crate) struct Plain;

impl<T: Field> As<T> for Plain {
    type Got<'a> = T::Got<'a>;
    type Given<'a>
        = T::Given<'a>
    where
        T: 'a;

    fn read(got: T::Got<'_>) -> Result<T, MessageError> {
        T::from_wire(got)
    }

    fn write(value: &T) -> T::Given<'_> {
        value.to_wire()
    }
}

/// A balance of any size.
pub(crate) struct AnyBalance;

impl As<i128> for AnyBalance {
    type Got<'a> = Text<'a>;
    type Given<'a> = String;

    fn read(got: Text<'_>) -> Result<i128, MessageError> {
        Ok(text(got)?.parse().map_err(|_| DecodeError::invalid("a balance"))?)
    }

    fn write(value: &i128) -> String {
        value.to_string()
    }
}

impl As<Option<i128>> for AnyBalance {
    type Got<'a> = Text<'a>;
    type Given<'a> = String;

    fn read(got: Text<'_>) -> Result<Option<i128>, MessageError> {
        let got = got?;
        if got.is_empty() { Ok(None) } else { <AnyBalance as As<i128>>::read(Ok(got)).map(Some) }
    }

    fn write(value: &Option<i128>) -> String {
        value.map(|balance| balance.to_string()).unwrap_or_default()
    }
}

/// A name that the owner gives ([`check_name`]).
pub(crate) struct Name;

impl As<String> for Name {
    type Got<'a> = Text<'a>;
    type Given<'a> = &'a str;

    fn read(got: Text<'_>) -> Result<String, MessageError> {
        let name = text(got)?;
        check_name(name).map_err(MessageError::Argument)?;
        Ok(name.to_owned())
    }

    fn write(value: &String) -> &str {
        value
    }
}

fn text(got: Text<'_>) -> Result<&str, MessageError> {
    Ok(got?.to_str().map_err(DecodeError::from)?)
}

impl Field for String {
    type Got<'a> = Text<'a>;
    type Given<'a> = &'a str;

    fn from_wire(got: Text<'_>) -> Result<Self, MessageError> {
        Ok(text(got)?.to_owned())
    }

    fn to_wire(&self) -> &str {
        self
    }
}

impl Field for Option<String> {
    type Got<'a> = Text<'a>;
    type Given<'a> = &'a str;

    fn from_wire(got: Text<'_>) -> Result<Self, MessageError> {
        let text = String::from_wire(got)?;
        Ok((!text.is_empty()).then_some(text))
    }

    fn to_wire(&self) -> &str {
        self.as_deref().unwrap_or_default()
    }
}

/// A decimal number of credits.
impl Field for Amount {
    type Got<'a> = Text<'a>;
    type Given<'a> = String;

    fn from_wire(got: Text<'_>) -> Result<Self, MessageError> {
        Option::<Amount>::from_wire(got)?.ok_or(DecodeError::invalid("an amount").into())
    }

    fn to_wire(&self) -> String {
        self.to_string()
    }
}

impl Field for Option<Amount> {
    type Got<'a> = Text<'a>;
    type Given<'a> = String;

    fn from_wire(got: Text<'_>) -> Result<Self, MessageError> {
        let digits = text(got)?;
        if digits.is_empty() {
            return Ok(None);
        }
        match digits.parse() {
            Ok(amount) => Ok(Some(amount)),
            Err(AmountError::TooLarge) => Err(DecodeError::too_large("an amount").into()),
            Err(AmountError::NoNumber(_)) => Err(DecodeError::invalid("an amount").into()),
        }
    }

    fn to_wire(&self) -> String {
        self.map(|amount| amount.to_string()).unwrap_or_default()
    }
}

/// A number of credits that the protocol does not bound: a sum of amounts.
impl Field for u128 {
    type Got<'a> = Text<'a>;
    type Given<'a> = String;

    fn from_wire(got: Text<'_>) -> Result<Self, MessageError> {
        Ok(text(got)?.parse().map_err(|_| DecodeError::invalid("an amount"))?)
    }

    fn to_wire(&self) -> String {
        self.to_string()
    }
}

/// A decimal balance, at most [`Amount::MAX`] on either side.
impl Field for i128 {
    type Got<'a> = Text<'a>;
    type Given<'a> = String;

    fn from_wire(got: Text<'_>) -> Result<Self, MessageError> {
        let balance: i128 = <AnyBalance as As<i128>>::read(got)?;
        Amount::new(balance.unsigned_abs()).ok_or(DecodeError::too_large("a balance"))?;
        Ok(balance)
    }

    fn to_wire(&self) -> String {
        self.to_string()
    }
}

/// An empty text is the default currency.
impl Field for Currency {
    type Got<'a> = Text<'a>;
    type Given<'a> = &'a str;

    fn from_wire(got: Text<'_>) -> Result<Self, MessageError> {
        Ok(Option::<Currency>::from_wire(got)?.unwrap_or_default())
    }

    fn to_wire(&self) -> &str {
        self.as_str()
    }
}

impl Field for Option<Currency> {
    type Got<'a> = Text<'a>;
    type Given<'a> = &'a str;

    fn from_wire(got: Text<'_>) -> Result<Self, MessageError> {
        let name = text(got)?;
        if name.is_empty() {
            return Ok(None);
        }
        Ok(Some(name.parse().map_err(|_| DecodeError::invalid("a currency"))?))
    }

    fn to_wire(&self) -> &str {
        self.as_ref().map_or("", Currency::as_str)
    }
}

impl Field for Address {
    type Got<'a> = Text<'a>;
    type Given<'a> = &'a str;

    fn from_wire(got: Text<'_>) -> Result<Self, MessageError> {
        Option::<Address>::from_wire(got)?.ok_or(DecodeError::invalid("an address").into())
    }

    fn to_wire(&self) -> &str {
        self.as_str()
    }
}

impl Field for Option<Address> {
    type Got<'a> = Text<'a>;
    type Given<'a> = &'a str;

    fn from_wire(got: Text<'_>) -> Result<Self, MessageError> {
        let address = text(got)?;
        if address.is_empty() {
            return Ok(None);
        }
        Ok(Some(address.parse().map_err(|_| DecodeError::invalid("an address"))?))
    }

    fn to_wire(&self) -> &str {
        self.as_ref().map_or("", Address::as_str)
    }
}

/// Values that are bytes of one length, and none of them as no bytes.
macro_rules! bytes {
    ($($type:ty: $parse:expr, $what:literal;)*) => {$(
        impl Field for $type {
            type Got<'a> = Data<'a>;
            type Given<'a> = &'a [u8];

            fn from_wire(got: Data<'_>) -> Result<Self, MessageError> {
                let parse: fn(&[u8]) -> Option<Self> = $parse;
                parse(got?).ok_or(DecodeError::invalid($what).into())
            }

            fn to_wire(&self) -> &[u8] {
                self.as_bytes()
            }
        }

        impl Field for Option<$type> {
            type Got<'a> = Data<'a>;
            type Given<'a> = &'a [u8];

            fn from_wire(got: Data<'_>) -> Result<Self, MessageError> {
                let bytes = got?;
                if bytes.is_empty() { Ok(None) } else { <$type>::from_wire(Ok(bytes)).map(Some) }
            }

            fn to_wire(&self) -> &[u8] {
                self.as_ref().map_or(&[], |value| value.as_bytes())
            }
        }
    )*};
}
bytes! {
    PublicKey: |bytes| PublicKey::from_slice(bytes).ok(), "a public key";
    PaymentId: PaymentId::from_slice, "a payment's id";
    InvoiceId: InvoiceId::from_slice, "an invoice's id";
    RequestId: RequestId::from_slice, "a request's id";
}

/// Values that the wire has, too.
macro_rules! same {
    ($($type:ty),*) => {$(
        impl Field for $type {
            type Got<'a> = $type;
            type Given<'a> = $type;

            fn from_wire(got: $type) -> Result<Self, MessageError> {
                Ok(got)
            }

            fn to_wire(&self) -> $type {
                *self
            }
        }
    )*};
}
same!(bool, u32, u64);

/// 0 is none.
impl Field for Option<u64> {
    type Got<'a> = u64;
    type Given<'a> = u64;

    fn from_wire(got: u64) -> Result<Self, MessageError> {
        Ok(Some(got).filter(|number| *number != 0))
    }

    fn to_wire(&self) -> u64 {
        self.unwrap_or(0)
    }
}

/// An enum of the schema with the same variants.
macro_rules! enums {
    ($($type:ident { $($variant:ident),* })*) => {$(
        impl $crate::app::field::Field for $type {
            type Got<'a> = Result<$crate::wire::app_capnp::$type, capnp::NotInSchema>;
            type Given<'a> = $crate::wire::app_capnp::$type;

            fn from_wire(got: Self::Got<'_>) -> Result<Self, $crate::app::message::MessageError> {
                Ok(match got? {
                    $($crate::wire::app_capnp::$type::$variant => $type::$variant,)*
                })
            }

            fn to_wire(&self) -> $crate::wire::app_capnp::$type {
                match self {
                    $($type::$variant => $crate::wire::app_capnp::$type::$variant,)*
                }
            }
        }
    )*};
}
pub(crate) use enums;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_bounds() {
        let text = |text: &'static str| Ok(capnp::text::Reader::from(text));
        assert_eq!(Amount::from_wire(text("79228162514264337593543950336")), Ok(Amount::MAX));
        for wrong in ["", "-1", "+1", " 1", "1.5", "0x1", "79228162514264337593543950337", &"9".repeat(60).leak()[..]] {
            assert!(Amount::from_wire(text(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(Option::<Amount>::from_wire(text("")), Ok(None));
        assert_eq!(i128::from_wire(text("-79228162514264337593543950336")), Ok(-(1 << 96)));
        assert!(i128::from_wire(text("-79228162514264337593543950337")).is_err());
        assert_eq!(Currency::from_wire(text("")), Ok(Currency::default()));
        assert!(Currency::from_wire(text("Euro")).is_err());
    }
}
