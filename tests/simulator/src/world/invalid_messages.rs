//! Lies that must have no effect: statements that break a rule, which nobody may apply, and requests that nobody may
//! take.

use super::{InjectedFault, World, name};
use offst_crypto::{Hash, Mac, Preimage, RandomExt};
use offst_funder::Command;
use offst_ledger::{Direction, Stage};
use offst_proto::Amount;
use offst_proto::limits::UNACKNOWLEDGED_MAX;
use offst_proto::payment::{NO_PROOF, proof};
use offst_proto::report::InvoiceStatus;
use offst_proto::statement::{Operation, Request, Statement};
use offst_proto::{Currency, PaymentId, RequestId, Verified};

impl World {
    /// Hands over a statement that must be refused.
    ///
    /// # Panics
    /// When it is taken in.
    pub(super) fn send_invalid_statement(&mut self, liar: usize, victim: usize, statement: Statement) {
        let said = statement.clone();
        let is_taken = self.state_and_look(liar, victim, statement);
        assert!(!is_taken, "node {victim} takes in what breaks a rule: {said:?}");
    }

    /// Hands over a statement. Says whether it is taken in.
    fn state_and_look(&mut self, liar: usize, victim: usize, statement: Statement) -> bool {
        let currency = statement.currency.clone();
        let hash = Verified::sign(statement.clone(), self.signer(liar)).hash();
        self.state(liar, victim, statement);
        let account = self.nodes[victim].find(self.key(liar), &currency);
        account.and_then(|account| account.epoch()).is_some_and(|epoch| epoch.theirs.hash == hash)
    }

    /// A statement that is not the next of its log.
    pub(super) fn break_chain(&mut self, liar: usize, victim: usize, currency: &Currency) {
        self.count_lie(liar, victim, InjectedFault::BrokenChain);
        let limit = self.dice.below(5_000) as u128;
        let mut statement = self.statement_in(liar, victim, currency, vec![Operation::SetLimit(Amount::capped(limit))]);
        match self.dice.below(4) {
            0 | 1 => statement.prev_hash = Hash::from_bytes(self.dice.array()),
            2 => statement.seq += 1 + self.dice.below(3) as u64,
            _ => statement.ack_hash = Hash::from_bytes(self.dice.array()),
        }
        self.send_invalid_statement(liar, victim, statement);
    }

    /// Requests of the liar's that it has committed, as the victim knows.
    pub(crate) fn committed_by(&self, liar: usize, victim: usize) -> Vec<(Currency, RequestId)> {
        self.pending_at(liar, victim, Direction::Incoming, |stage| matches!(stage, Stage::Committed(_)))
    }

    /// The liar has committed a request, and gives it up.
    pub(crate) fn take_back_committed(&mut self, liar: usize, victim: usize) {
        let Some((currency, id)) = self.dice.pick(&self.committed_by(liar, victim)) else { return };
        self.count_lie(liar, victim, InjectedFault::TakenBack);
        let statement = self.statement_in(liar, victim, &currency, vec![Operation::Abort { id }]);
        self.send_invalid_statement(liar, victim, statement);
    }

    /// Requests of the victim's that it has committed to the liar.
    pub(crate) fn committed_to(&self, liar: usize, victim: usize) -> Vec<(Currency, RequestId)> {
        self.pending_at(liar, victim, Direction::Outgoing, |stage| matches!(stage, Stage::Committed(_)))
    }

    /// The liar collects what the victim has committed, and shows another preimage.
    pub(crate) fn collect_unopened(&mut self, liar: usize, victim: usize) {
        let Some((currency, id)) = self.dice.pick(&self.committed_to(liar, victim)) else { return };
        self.count_lie(liar, victim, InjectedFault::CollectedEarly);
        let preimage = Preimage::from_bytes(self.dice.array());
        let statement = self.statement_in(liar, victim, &currency, vec![Operation::Collect { id, preimage }]);
        self.send_invalid_statement(liar, victim, statement);
    }

    /// Statements that acknowledge nothing of what comes back: no more are taken in than the window holds.
    pub(super) fn pass_window(&mut self, liar: usize, victim: usize, currency: &Currency) {
        let first = self.statement_in(liar, victim, currency, vec![]);
        let mut taken = 0;
        for _ in 0..UNACKNOWLEDGED_MAX + 2 {
            if !self.is_connected(liar, victim) || !self.nodes[victim].has_epoch(self.key(liar), currency) {
                return;
            }
            let operations = vec![Operation::Request(Box::new(self.request()))];
            let mut statement = self.statement_in(liar, victim, currency, operations);
            if statement.epoch != first.epoch {
                return;
            }
            (statement.ack_seq, statement.ack_hash) = (first.ack_seq, first.ack_hash);
            taken += usize::from(self.state_and_look(liar, victim, statement));
            assert!(taken <= UNACKNOWLEDGED_MAX, "node {victim} takes in {taken} statements that acknowledge nothing");
        }
    }

    /// Asks for what must be refused: over an account that is closed, of a friend that is disabled, or without the
    /// invoice's secret.
    pub(super) fn send_invalid_request(&mut self, liar: usize, victim: usize, currency: &Currency) {
        let friend = name(liar);
        match self.dice.below(5) {
            3 => {
                let request = Request { path: vec![self.key(liar)], fees_left: 3.into(), ..self.spontaneous_request() };
                self.must_not_take(liar, victim, currency, request);
            }
            // It has the invoice, and pays it with as many credits of another currency.
            4 => {
                let invoices = self.nodes[victim].disk.invoices();
                let open = invoices.filter(|record| record.status == InvoiceStatus::Open);
                let dear: Vec<_> = open.filter(|record| record.invoice.currency != *currency).collect();
                let Some(record) = self.dice.pick(&dear) else { return };
                let (invoice_id, amount) = (Some(record.invoice.id), record.invoice.amount);
                let mut request = Request { invoice_id, amount, total: amount, ..self.spontaneous_request() };
                request.proof = proof(&record.invoice.secret, &request.terms(self.key(victim), currency));
                self.must_not_take(liar, victim, currency, request);
            }
            0 => {
                self.command(victim, Command::SetFriendOpen(friend.clone(), currency.clone(), false));
                let account = self.nodes[victim].find(self.key(liar), currency);
                if account.and_then(|account| account.active()).is_some_and(|epoch| !epoch.mine.open) {
                    let request = self.spontaneous_request();
                    self.must_not_take(liar, victim, currency, request);
                }
                self.command(victim, Command::SetFriendOpen(friend, currency.clone(), true));
            }
            // Who enables a liar forgives it what it denies: that is tried elsewhere.
            1 if self.withheld_states.is_empty() && self.is_pending(victim, liar) => {
                self.command(victim, Command::DisableFriend { name: friend.clone(), force: false });
                let request = self.spontaneous_request();
                self.must_not_take(liar, victim, currency, request);
                self.command(victim, Command::EnableFriend(friend));
            }
            _ => {
                let invoices = self.nodes[victim].disk.invoices();
                let open = invoices.filter(|record| record.status == InvoiceStatus::Open);
                let open: Vec<_> = open.filter(|record| record.invoice.currency == *currency).collect();
                let Some(record) = self.dice.pick(&open) else { return };
                let proof = if self.dice.chance(50) { NO_PROOF } else { Mac::from_bytes(self.dice.array()) };
                let (invoice_id, amount) = (Some(record.invoice.id), record.invoice.amount);
                let request = Request { invoice_id, amount, total: amount, proof, ..self.spontaneous_request() };
                self.must_not_take(liar, victim, currency, request);
            }
        }
    }

    /// A request for a spontaneous payment to the node that receives it. Nothing is wrong with it.
    fn spontaneous_request(&mut self) -> Request {
        let amount = 1 + self.dice.below(5) as u128;
        Request {
            id: RequestId::random(&mut self.dice),
            payment_id: PaymentId::random(&mut self.dice),
            invoice_id: None,
            amount: Amount::capped(amount),
            total: Amount::capped(amount),
            fees_left: 0.into(),
            patience_ms: 30_000,
            path: vec![],
            clearing: false,
            proof: NO_PROOF,
        }
    }

    fn must_not_take(&mut self, liar: usize, victim: usize, currency: &Currency, request: Request) {
        let is_heard = self.is_connected(liar, victim)
            && self.nodes[victim].is_free()
            && self.nodes[victim].has_epoch(self.key(liar), currency);
        if !is_heard {
            return;
        }
        self.count_lie(liar, victim, InjectedFault::Uninvited);
        let said = request.clone();
        let statement = self.statement_in(liar, victim, currency, vec![Operation::Request(Box::new(request))]);
        self.state(liar, victim, statement);
        let mut rows = self.nodes[victim].disk.rows_underway();
        let is_taken = rows.any(|(hop, _)| hop.id == said.id);
        assert!(!is_taken, "node {victim} takes a request that it must refuse: {said:?}");
    }
}
