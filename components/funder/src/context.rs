//! What every part is lent while one batch is handled.

use crate::command::{CommandId, Reply};
use crate::io::{Environment, Moment, Output};
use crate::journal::{ForwardedPayment, JournalKey};
use crate::timers::Timers;
use offst_crypto::{Preimage, PublicKey};
use offst_proto::report::{Event, ForwardReport};
use offst_rows::{Row, RowChange};

/// The node's name, the time, randomness and signing, what follows, and what is due when.
pub(crate) struct Context<'e> {
    pub(crate) local: PublicKey,
    /// Holds for all inputs of the batch.
    pub(crate) now: Moment,
    pub(crate) environment: &'e mut Environment,
    /// The owner lets debt cycles be cleared without asking.
    pub(crate) auto_clear: bool,
    /// In the order in which they came about. Nobody sees them before the batch is durable.
    pub(crate) outputs: Vec<Output>,
    /// Rows that are only ever added.
    pub(crate) journal: Vec<RowChange>,
    pub(crate) timers: Timers,
}

impl Context<'_> {
    /// Answers a command.
    pub(crate) fn reply(&mut self, command: CommandId, reply: Reply) {
        self.outputs.push(Output::Reply(command, reply));
    }

    /// Writes a row that is only ever added.
    pub(crate) fn note<T: Row>(&mut self, key: &T::Key, value: &T) {
        self.journal.push(RowChange::put(key, value));
    }

    /// A payment that was carried on, or written off, was collected.
    pub(crate) fn record_forwarded(&mut self, report: ForwardReport, preimage: Preimage) {
        let key = JournalKey { id: report.request_id, payer: report.from };
        self.note(&key, &ForwardedPayment { report, preimage });
    }

    /// Tells the applications that watch.
    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }
}
