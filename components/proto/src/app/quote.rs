//! Quotes and rings of debts.

use super::{length, read_amount, read_currency, read_key, read_payment, wire, write_payment};
use crate::encoding::DecodeError;
use crate::index::WAYS_MAX;
use crate::limits::{HOPS_MAX, PARTS_MAX};
use crate::report::{ClearingReport, QuoteReport};
use crate::route::{PartPlan, Way};

fn write_part(part: &PartPlan, mut builder: wire::part::Builder<'_>) {
    builder.set_amount(part.amount.to_string());
    builder.set_fees(part.fees.to_string());
    let mut route = builder.init_route(length(&part.route));
    for (position, key) in (0..).zip(&part.route) {
        route.set(position, key.as_bytes());
    }
}

fn read_part(reader: wire::part::Reader<'_>) -> Result<PartPlan, DecodeError> {
    let route = reader.get_route()?;
    if route.len() as usize > HOPS_MAX {
        return Err(DecodeError::too_large("a route"));
    }
    let part = PartPlan {
        route: route.iter().map(read_key).collect::<Result<_, _>>()?,
        amount: read_amount(reader.get_amount())?,
        fees: read_amount(reader.get_fees())?,
    };
    part.check()?;
    Ok(part)
}

/// Fills in a quote.
pub fn write_quote(quote: &QuoteReport, mut builder: wire::quote::Builder<'_>) {
    builder.set_currency(quote.currency.as_str());
    builder.set_amount(quote.amount.to_string());
    builder.set_max_fee_default(quote.max_fee_default.to_string());
    let mut ways = builder.init_ways(length(&quote.ways));
    for (position, way) in (0..).zip(&quote.ways) {
        let mut parts = ways.reborrow().get(position).init_parts(length(&way.parts));
        for (position, part) in (0..).zip(&way.parts) {
            write_part(part, parts.reborrow().get(position));
        }
    }
}

/// Reads a quote.
///
/// # Errors
/// A field is not valid.
pub fn read_quote(reader: wire::quote::Reader<'_>) -> Result<QuoteReport, DecodeError> {
    let ways = reader.get_ways()?;
    if ways.len() as usize > WAYS_MAX {
        return Err(DecodeError::too_large("the number of ways"));
    }
    let ways = ways.iter().map(|way| {
        let parts = way.get_parts()?;
        if parts.len() as usize > PARTS_MAX {
            return Err(DecodeError::too_large("a way"));
        }
        Ok(Way { parts: parts.iter().map(read_part).collect::<Result<_, _>>()? })
    });
    Ok(QuoteReport {
        currency: read_currency(reader.get_currency())?,
        amount: read_amount(reader.get_amount())?,
        ways: ways.collect::<Result<_, _>>()?,
        max_fee_default: read_amount(reader.get_max_fee_default())?,
    })
}

/// Fills in what came of looking for a ring.
pub fn write_clearing(report: &ClearingReport, mut builder: wire::clearing::Builder<'_>) {
    builder.set_auto_clear(report.auto_clear);
    if let Some(ring) = &report.ring {
        write_part(ring, builder.reborrow().init_ring());
    }
    if let Some(payment) = &report.payment {
        write_payment(payment, builder.init_payment());
    }
}

/// Reads what came of looking for a ring.
///
/// # Errors
/// A field is not valid.
pub fn read_clearing(reader: wire::clearing::Reader<'_>) -> Result<ClearingReport, DecodeError> {
    Ok(ClearingReport {
        auto_clear: reader.get_auto_clear(),
        ring: if reader.has_ring() { Some(read_part(reader.get_ring()?)?) } else { None },
        payment: if reader.has_payment() { Some(read_payment(reader.get_payment()?)?) } else { None },
    })
}
