//! Being paid: invoices, and the requests that end here.
//!
//! | file | what it holds |
//! |---|---|
//! | `record` | what is stored of invoices, and of requests that end here |
//! | `part_sets` | which parts belong together |
//! | `parts` | from an invoice to its payment |

pub(crate) mod part_sets;
mod parts;
pub(crate) mod record;

use crate::command::CommandId;
use crate::receiving::record::{InboundPart, InvoiceRecord};
use offst_proto::InvoiceId;
use offst_rows::{Row, RowChange, RowError, Rows, Table};
use part_sets::{PartSet, PartSetKey};
use std::collections::{BTreeMap, VecDeque};

/// How many invoices that ended are remembered.
const ENDED_INVOICES_MAX: usize = 1000;

/// Invoices, and the requests that end here.
#[derive(Debug)]
pub(crate) struct Receiving {
    /// Invoices that can be paid.
    invoices: Table<InvoiceRecord>,
    /// The last invoices that ended while this process ran, so that late buyers are told why.
    ended_invoices: BTreeMap<InvoiceId, InvoiceRecord>,
    ended_invoices_order: VecDeque<InvoiceId>,
    invoice_waiters: BTreeMap<InvoiceId, Vec<CommandId>>,
    /// Requests that end here, by their incoming side.
    inbound_parts: Table<InboundPart>,
    /// The parts of each payment to us.
    part_sets: BTreeMap<PartSetKey, PartSet>,
}

impl Receiving {
    pub(crate) fn restore(rows: &mut Rows) -> Result<Self, RowError> {
        Ok(Receiving {
            invoices: rows.take()?,
            ended_invoices: BTreeMap::new(),
            ended_invoices_order: VecDeque::new(),
            invoice_waiters: BTreeMap::new(),
            inbound_parts: rows.take()?,
            part_sets: BTreeMap::new(),
        })
    }

    /// The invoices that can be paid, to look at.
    pub(crate) fn invoices(&self) -> &Table<InvoiceRecord> {
        &self.invoices
    }

    /// The requests that end here, to look at.
    pub(crate) fn inbound_parts(&self) -> &Table<InboundPart> {
        &self.inbound_parts
    }

    /// What the next transaction has to write. Invoices that have ended leave memory.
    pub(crate) fn take_changes(&mut self, changes: &mut Vec<RowChange>) {
        self.inbound_parts.take_changes(changes);
        let has_ended = |id: &&InvoiceId| self.invoices.get(*id).is_some_and(Row::has_ended);
        let ended: Vec<_> = self.invoices.changed().filter(has_ended).copied().collect();
        self.invoices.take_changes(changes);
        ended.into_iter().for_each(|id| self.remember_ended(id));
    }

    /// An invoice has ended: it is kept only so that late buyers are told why, and only the last ones are.
    fn remember_ended(&mut self, id: InvoiceId) {
        let Some(record) = self.invoices.forget(&id) else { return };
        self.ended_invoices.insert(id, record);
        self.ended_invoices_order.push_back(id);
        if self.ended_invoices_order.len() > ENDED_INVOICES_MAX
            && let Some(oldest) = self.ended_invoices_order.pop_front()
        {
            self.ended_invoices.remove(&oldest);
        }
    }
}
