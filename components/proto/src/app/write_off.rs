//! What came of writing off what a friend holds.

use super::{read_total, wire};
use crate::encoding::DecodeError;
use crate::report::{Held, WriteOffReport};

fn write_held(held: Held, mut builder: wire::held::Builder<'_>) {
    builder.set_count(held.count);
    builder.set_amount(held.amount.to_string());
}

fn read_held(reader: capnp::Result<wire::held::Reader<'_>>) -> Result<Held, DecodeError> {
    let reader = reader?;
    Ok(Held { count: reader.get_count(), amount: read_total(reader.get_amount())? })
}

/// Fills in what came of writing off.
pub fn write_write_off(report: &WriteOffReport, mut builder: wire::write_off::Builder<'_>) {
    write_held(report.released, builder.reborrow().init_released());
    write_held(report.waiting, builder.reborrow().init_waiting());
    write_held(report.own, builder.reborrow().init_own());
    write_held(report.at_risk, builder.init_at_risk());
}

/// Reads what came of writing off.
///
/// # Errors
/// A field is not valid.
pub fn read_write_off(reader: wire::write_off::Reader<'_>) -> Result<WriteOffReport, DecodeError> {
    Ok(WriteOffReport {
        released: read_held(reader.get_released())?,
        waiting: read_held(reader.get_waiting())?,
        own: read_held(reader.get_own())?,
        at_risk: read_held(reader.get_at_risk())?,
    })
}
