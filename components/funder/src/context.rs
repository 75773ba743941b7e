//! What every part is lent while one batch is handled.

use crate::command::{CommandId, Reply};
use crate::io::{Environment, Moment, Output};
use crate::timers::Timers;
use offst_crypto::PublicKey;
use offst_proto::report::Event;

/// The node's name, the time, randomness and signing, what follows, and what is due when.
pub(crate) struct Context<'e> {
    pub(crate) local: PublicKey,
    /// Holds for all inputs of the batch.
    pub(crate) now: Moment,
    pub(crate) environment: &'e mut Environment,
    /// In the order in which they came about. Nobody sees them before the batch is durable.
    pub(crate) outputs: Vec<Output>,
    pub(crate) timers: Timers,
}

impl Context<'_> {
    /// Answers a command.
    pub(crate) fn reply(&mut self, command: CommandId, reply: Reply) {
        self.outputs.push(Output::Reply(command, reply));
    }

    /// Tells the applications that watch.
    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }
}
