//! What a payment would cost.

use crate::Currency;
use crate::amount::Amount;
use crate::app::codec::codec;
use crate::app::field::Field;
use crate::app::message::{Message, MessageError, length};
use crate::encoding::DecodeError;
use crate::index::ROUTES_MAX;
use crate::limits::{HOPS_MAX, PARTS_MAX};
use crate::route::{PartPlan, Route};
use crate::wire::app_capnp as wire;

/// What paying would cost now. Nothing is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteReport {
    /// The currency.
    pub currency: Currency,
    /// What the destination would get, credits.
    pub amount: Amount,
    /// Routes, cheapest first, at least one.
    pub routes: Vec<Route>,
    /// The most fees that an order without a bound of its own pays, credits. The routes may cost more.
    pub max_fee_default: Amount,
}

codec! {
    QuoteReport as quote {
        fields {
            currency: get_currency, set_currency;
            amount: get_amount, set_amount;
            max_fee_default: get_max_fee_default, set_max_fee_default;
        }
        lists { routes: get_routes, init_routes, ROUTES_MAX, "the number of routes"; }
    }
}

codec! {
    Route as route {
        lists { parts: get_parts, init_parts, PARTS_MAX, "a route"; }
    }
}

impl Message for PartPlan {
    type Wire = wire::part::Owned;

    fn write(&self, mut builder: wire::part::Builder<'_>) {
        builder.set_amount(self.amount.to_wire());
        builder.set_fees(self.fees.to_wire());
        let mut path = builder.init_path(length(&self.path));
        for (position, key) in (0..).zip(&self.path) {
            path.set(position, key.to_wire());
        }
    }

    fn read(reader: wire::part::Reader<'_>) -> Result<Self, MessageError> {
        let path = reader.get_path()?;
        if path.len() as usize > HOPS_MAX {
            return Err(DecodeError::too_large("a path").into());
        }
        let part = PartPlan {
            path: path.iter().map(Field::from_wire).collect::<Result<_, _>>()?,
            amount: Field::from_wire(reader.get_amount())?,
            fees: Field::from_wire(reader.get_fees())?,
        };
        part.check()?;
        Ok(part)
    }
}
