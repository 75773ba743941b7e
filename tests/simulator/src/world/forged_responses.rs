//! The classic theft: a friend that is asked to forward a request answers it itself, under a lock that it can open, in
//! the name of the destination. Should anybody commit to that, it collects, and passes nothing on.

use super::scheduler::{ForgedResponse, Plan};
use super::{InjectedFault, World};
use offst_crypto::{Nonce, Preimage, RandomExt, Signature};
use offst_ledger::{Direction, Stage};
use offst_proto::encoding::{Canonical, Encoder};
use offst_proto::payment::Response;
use offst_proto::statement::{Answer, Operation, Request, Statement};
use offst_proto::{Currency, RequestId, Signable, Unverified};

/// When the liar looks whether somebody has committed to its lock, ms after its answer.
const LOOKS_AFTER_MS: [u64; 6] = [0, 20, 100, 500, 3_000, 15_000];

impl World {
    /// Requests of the victim's that wait for the liar's answer.
    pub(crate) fn unanswered(&self, liar: usize, victim: usize) -> Vec<(Currency, RequestId)> {
        self.pending_at(liar, victim, Direction::Outgoing, |stage| stage == Stage::Requested)
    }

    /// What is pending between the two, as the victim sees it, if it would receive something from the liar now.
    pub(super) fn pending_at(
        &self,
        liar: usize,
        victim: usize,
        wanted: Direction,
        is_at: impl Fn(Stage) -> bool,
    ) -> Vec<(Currency, RequestId)> {
        if !self.is_connected(liar, victim) || !self.nodes[victim].is_free() {
            return vec![];
        }
        let key = self.key(liar);
        let accounts = self.nodes[victim].accounts().filter(|(friend, _)| *friend == key);
        let mut found = Vec::new();
        for (currency, epoch) in accounts.filter_map(|(_, account)| Some((&account.key().currency, account.active()?)))
        {
            let pendings = epoch.pendings().filter(|(direction, ..)| *direction == wanted);
            let at_stage = pendings.filter(|(_, _, pending)| is_at(pending.stage));
            found.extend(at_stage.map(|(_, id, _)| (currency.clone(), id)));
        }
        found
    }

    /// Answers one of the victim's requests. What the liar is itself asked to be paid, it may answer.
    pub(crate) fn steal(&mut self, liar: usize, victim: usize) {
        let Some((currency, id)) = self.dice.pick(&self.unanswered(liar, victim)) else { return };
        let request = self.request_of(victim, liar, id);
        if request.as_ref().is_some_and(|request| request.path.is_empty()) {
            return;
        }
        self.count_lie(liar, victim, InjectedFault::ForgedResponse);
        let preimage = Preimage::from_bytes(self.dice.array());
        let nonce = Nonce::from_bytes(self.dice.array());
        let signature = match request.filter(|_| self.dice.chance(70)) {
            // The right content, and not the destination's key.
            Some(request) => {
                let terms = request.terms(self.key(liar), &currency);
                let response = Response { terms, nonce, lock: preimage.lock() };
                let mut words = Encoder::new();
                words.text(Response::DOMAIN);
                response.encode(&mut words);
                self.signer(liar).sign(&words.finish())
            }
            None => Signature::from_slice(&[7; Signature::LEN]).expect("64 bytes"),
        };
        let answer = Answer { id, lock: preimage.lock(), nonce, signature };
        let statement = self.statement_in(liar, victim, &currency, vec![Operation::Response(answer)]);
        self.state(liar, victim, statement);
        if self.dice.chance(70) && !self.nodes[liar].is_silent {
            // The honest machine under its key would say that it has not said this.
            self.nodes[liar].is_silent = true;
            self.plan(LOOKS_AFTER_MS[LOOKS_AFTER_MS.len() - 1], Plan::Speak(liar));
        }
        let forged_responses = ForgedResponse { liar, victim, currency, id, preimage };
        for ms in LOOKS_AFTER_MS {
            self.plan(ms, Plan::Steal(forged_responses.clone()));
        }
    }

    /// What the victim has asked for, as its own disk still has it.
    pub(crate) fn request_of(&self, victim: usize, liar: usize, id: RequestId) -> Option<Request> {
        let statements = self.nodes[victim].disk.own_statements(self.key(liar));
        let mut operations = statements.flat_map(|wire| {
            let statement = Unverified::<Statement>::from_wire(wire).expect("a node's own statement");
            statement.peek().operations.clone()
        });
        operations.find_map(|operation| match operation {
            Operation::Request(request) if request.id == id => Some(*request),
            _ => None,
        })
    }

    /// Collects, if the victim has committed to the liar's lock.
    pub(super) fn collect_stolen(&mut self, forged_responses: &ForgedResponse) {
        let ForgedResponse { liar, victim, ref currency, id, preimage } = *forged_responses;
        let is_heard = self.is_connected(liar, victim) && self.nodes[victim].is_free();
        let account = self.nodes[victim].find(self.key(liar), currency).filter(|account| account.active().is_some());
        let stage = account.and_then(|account| account.pending(Direction::Outgoing, id)).map(|pending| pending.stage);
        if is_heard && stage == Some(Stage::Committed(preimage.lock())) {
            self.tell(|| format!("node {liar} collects what node {victim} has committed to its own lock"));
            let statement = self.statement_in(liar, victim, currency, vec![Operation::Collect { id, preimage }]);
            self.state(liar, victim, statement);
        }
    }
}
