//! Speaking for a puppet, or behind a node's back.

use super::links::pair;
use super::{InjectedFault, World};
use offst_crypto::Signer;
use offst_funder::Input;
use offst_ledger::Direction;
use offst_proto::friend::Resume;
use offst_proto::statement::{Operation, Statement};
use offst_proto::{Currency, Verified};

impl World {
    /// A test speaks for this node from now on.
    pub fn make_puppet(&mut self, index: usize) {
        self.nodes[index].funder = None;
        self.nodes[index].is_puppet = true;
    }

    /// The statement that continues the log of `from` as `to` knows it, with the totals of its operations.
    pub fn statement(&self, from: usize, to: usize, operations: Vec<Operation>) -> Statement {
        self.statement_in(from, to, &Currency::default(), operations)
    }

    /// The same in another currency.
    pub(super) fn statement_in(
        &self,
        from: usize,
        to: usize,
        currency: &Currency,
        operations: Vec<Operation>,
    ) -> Statement {
        let key = self.key(from);
        let account = self.nodes[to].account_in(key, currency);
        let epoch = account.epoch().expect("the account has begun");
        let mut totals = epoch.theirs.totals;
        for operation in &operations {
            let pending = operation.request_id().and_then(|id| account.pending(Direction::Outgoing, id));
            let amount = pending.map_or(0, |pending| pending.held.credits());
            match operation {
                Operation::Request(request) => totals.requested += request.held().credits(),
                Operation::Collect { .. } => totals.collected += amount,
                Operation::Cancel { .. } => totals.cancelled += amount,
                _ => {}
            }
        }
        Statement {
            author: key,
            other: self.key(to),
            currency: currency.clone(),
            epoch: epoch.number,
            seq: epoch.theirs.seq + 1,
            prev_hash: epoch.theirs.hash,
            ack_seq: epoch.mine.seq,
            ack_hash: epoch.mine.hash,
            operations,
            totals,
            pending_hash: None,
        }
    }

    /// Hands over a statement in the name of `from`, signed.
    pub fn state(&mut self, from: usize, to: usize, statement: Statement) {
        let statement = Verified::sign(statement, self.signer(from));
        let connection = self.connections[&pair(from, to)];
        let input = Input::Statement(self.key(from), connection, Box::new(statement));
        self.batch(to, vec![input]);
    }

    /// What a node signs with, outside of its signer log.
    pub fn signer(&self, index: usize) -> &dyn Signer {
        &*self.signers[index]
    }

    /// Whether `to` would receive a statement of `from` now.
    pub fn hears(&self, from: usize, to: usize) -> bool {
        self.is_connected(from, to)
            && self.nodes[to].funder.is_some()
            && self.nodes[to].has_epoch(self.key(from), &Currency::default())
    }

    /// A statement that breaks a rule, signed in the name of `from`, which knows nothing of it.
    pub fn slander(&mut self, from: usize, to: usize) {
        let mut statement = self.statement(from, to, vec![]);
        statement.totals.requested += 1;
        self.faults.add(InjectedFault::BrokenStatement);
        self.state(from, to, statement);
    }

    /// Hands over where an account stands, in the name of `from`.
    pub fn resume(&mut self, from: usize, to: usize, resume: Resume) {
        let connection = self.connections[&pair(from, to)];
        let input = Input::Resume(self.key(from), connection, Box::new(resume));
        self.batch(to, vec![input]);
    }
}
