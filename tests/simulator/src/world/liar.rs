//! A friend that lies. What it says is made and signed here, outside of the ledger; the honest machine that runs under
//! the same key does not know of it, so that its own log becomes one of two.

use super::links::{Packet, pair};
use super::{InjectedFault, World};
use offst_crypto::{Hash, HashLock, Nonce, Preimage, RandomExt, Signature};
use offst_ledger::Direction;
use offst_proto::Amount;
use offst_proto::friend::{EpochPosition, Resume};
use offst_proto::opening::Opening;
use offst_proto::payment::{CancelReason, NO_PROOF};
use offst_proto::statement::{Answer, Operation, Request};
use offst_proto::{Currency, PaymentId, RequestId, Unverified, Verified};

/// How much of what it said a liar keeps.
const SAID_MAX: usize = 40;
/// How long a liar says nothing, ms.
const SILENCE_MS: u64 = 40_000;

impl World {
    /// Keeps what a liar sends.
    pub(super) fn remember(&mut self, index: usize, to: usize, frame: &[u8]) {
        let said = &mut self.nodes[index].said;
        said.push_back((to, frame.to_vec()));
        if said.len() > SAID_MAX {
            said.pop_front();
        }
    }

    /// A liar lies to a friend of its.
    pub(crate) fn lie(&mut self, liar: usize, victim: usize, currency: &Currency) {
        let is_heard = self.is_connected(liar, victim)
            && self.nodes[victim].is_free()
            && self.nodes[victim].has_epoch(self.key(liar), currency);
        if !is_heard {
            return;
        }
        match self.dice.below(21) {
            0..3 => self.repeat_itself(liar, victim),
            3..5 => {
                self.count_lie(liar, victim, InjectedFault::ForkedLog);
                let limit = self.dice.below(5_000) as u128;
                let statement =
                    self.statement_in(liar, victim, currency, vec![Operation::SetLimit(Amount::capped(limit))]);
                self.state(liar, victim, statement);
            }
            5..7 => self.forge_totals(liar, victim, currency),
            7..9 => self.collect_early(liar, victim, currency),
            9..11 => self.flood(liar, victim, currency),
            11..13 => {
                self.count_lie(liar, victim, InjectedFault::Silence);
                self.nodes[liar].is_silent = true;
                self.plan(SILENCE_MS, super::scheduler::Plan::Speak(liar));
            }
            13..16 => self.babble(liar, victim, currency),
            16..18 => self.break_chain(liar, victim, currency),
            _ => self.send_invalid_request(liar, victim, currency),
        }
    }

    pub(crate) fn count_lie(&mut self, liar: usize, victim: usize, fault: InjectedFault) {
        self.faults.add(fault);
        self.tell(|| format!("node {liar} lies to node {victim}: {}", fault.name()));
    }

    fn repeat_itself(&mut self, liar: usize, victim: usize) {
        let said: Vec<_> = self.nodes[liar].said.iter().filter(|(to, _)| *to == victim).cloned().collect();
        let Some((_, frame)) = self.dice.pick(&said) else { return };
        self.count_lie(liar, victim, InjectedFault::OldStatement);
        let connection = self.connections[&pair(liar, victim)];
        let input = self.input(liar, Packet::Frame(connection, frame));
        self.batch(victim, vec![input]);
    }

    fn forge_totals(&mut self, liar: usize, victim: usize, currency: &Currency) {
        self.count_lie(liar, victim, InjectedFault::ForgedTotals);
        let mut statement = self.statement_in(liar, victim, currency, vec![]);
        let amount = 1 + self.dice.below(1_000) as u128;
        match self.dice.below(4) {
            0 => statement.totals.requested += amount,
            1 => statement.totals.collected += amount,
            2 => statement.totals.cancelled += amount,
            _ => statement.totals.requested = u128::MAX,
        }
        self.send_invalid_statement(liar, victim, statement);
    }

    /// What is pending between victim and liar, in one direction as the victim sees it.
    fn pending_ids(&self, liar: usize, victim: usize, currency: &Currency, wanted: Direction) -> Vec<RequestId> {
        let account = self.nodes[victim].account_in(self.key(liar), currency);
        let pendings = account.epoch().into_iter().flat_map(|epoch| epoch.pendings());
        pendings.filter(|(direction, ..)| *direction == wanted).map(|(_, id, _)| id).collect()
    }

    fn collect_early(&mut self, liar: usize, victim: usize, currency: &Currency) {
        self.count_lie(liar, victim, InjectedFault::CollectedEarly);
        let mut pending = self.pending_ids(liar, victim, currency, Direction::Outgoing);
        let account = self.nodes[victim].account_in(self.key(liar), currency);
        let is_bound = pending.iter().copied().find(|id| account.is_bound(*id));
        if let Some(id) = is_bound {
            // What is committed it could have, if it knew the preimage.
            pending = vec![id];
        }
        let id = self.dice.pick(&pending).unwrap_or_else(|| RequestId::random(&mut self.dice));
        let preimage = Preimage::from_bytes(self.dice.array());
        let mut operations = vec![Operation::Collect { id, preimage }];
        if is_bound.is_none() && self.dice.chance(50) {
            // It answers with a lock of its own first.
            operations.insert(0, Operation::Response(self.answer_with(id, preimage.lock())));
        }
        let mut statement = self.statement_in(liar, victim, currency, operations);
        if self.dice.chance(30) {
            statement.totals.collected += 50;
        }
        self.send_invalid_statement(liar, victim, statement);
    }

    pub(crate) fn answer_with(&mut self, id: RequestId, lock: HashLock) -> Answer {
        let nonce = Nonce::from_bytes(self.dice.array());
        let signature = Signature::from_slice(&[7; Signature::LEN]).expect("64 bytes");
        Answer { id, lock, nonce, signature }
    }

    /// A request as nobody makes it.
    pub(super) fn request(&mut self) -> Request {
        let hops = self.dice.below(4);
        let path = (0..hops).map(|_| self.anybody()).collect();
        let amount = self.dice.below(40) as u128;
        // A path over the victim itself, amounts of nothing, totals below the amount: all of it is a friend's
        // nonsense.
        let total = self.dice.below(80) as u128;
        Request {
            id: RequestId::random(&mut self.dice),
            payment_id: PaymentId::random(&mut self.dice),
            invoice_id: None,
            amount: Amount::capped(amount),
            total: Amount::capped(total),
            fees_left: Amount::capped(self.dice.below(5) as u128),
            patience_ms: self.dice.below(60_000) as u64,
            path,
            clearing: self.dice.chance(10),
            proof: NO_PROOF,
        }
    }

    /// Many requests, in one statement, or in many that wait for nothing or acknowledge nothing.
    fn flood(&mut self, liar: usize, victim: usize, currency: &Currency) {
        self.count_lie(liar, victim, InjectedFault::Flood);
        if self.dice.chance(50) {
            let operations = (0..120).map(|_| Operation::Request(Box::new(self.request()))).collect();
            let statement = self.statement_in(liar, victim, currency, operations);
            return self.state(liar, victim, statement);
        }
        if self.dice.chance(50) {
            return self.pass_window(liar, victim, currency);
        }
        for _ in 0..70 {
            if !self.is_connected(liar, victim) || !self.nodes[victim].has_epoch(self.key(liar), currency) {
                return;
            }
            let operations = vec![Operation::Request(Box::new(self.request()))];
            let statement = self.statement_in(liar, victim, currency, operations);
            self.state(liar, victim, statement);
        }
    }

    /// Steps and terms that make no sense, with valid signatures.
    fn babble(&mut self, liar: usize, victim: usize, currency: &Currency) {
        self.count_lie(liar, victim, InjectedFault::Nonsense);
        let outgoing = self.pending_ids(liar, victim, currency, Direction::Outgoing);
        let incoming = self.pending_ids(liar, victim, currency, Direction::Incoming);
        let random = RequestId::random(&mut self.dice);
        let of_victim = self.dice.pick(&outgoing).unwrap_or(random);
        let of_liar = self.dice.pick(&incoming).unwrap_or(random);
        let hop = self.anybody();
        let operations = match self.dice.below(9) {
            0 => vec![Operation::Commit { id: of_liar }],
            1 => vec![Operation::Abort { id: of_liar }],
            2 => {
                let lock = Preimage::from_bytes(self.dice.array()).lock();
                vec![Operation::Response(self.answer_with(of_victim, lock))]
            }
            3 => vec![Operation::Cancel { id: of_victim, reason: CancelReason::Offline, hop }],
            4 => {
                let request = Box::new(self.request());
                vec![Operation::Request(request.clone()), Operation::Request(request)]
            }
            5 => {
                let request = Box::new(self.request());
                let id = request.id;
                vec![Operation::Request(request), Operation::Abort { id }, Operation::Commit { id }]
            }
            6 => return self.propose_nonsense(liar, victim, currency),
            _ => vec![],
        };
        let mut statement = self.statement_in(liar, victim, currency, operations);
        match self.dice.below(6) {
            0 => statement.ack_seq += 1,
            1 => statement.prev_hash = Hash::from_bytes(self.dice.array()),
            2 => statement.pending_hash = Some(Hash::from_bytes(self.dice.array())),
            3 => statement.seq += self.dice.below(3) as u64,
            _ => {}
        }
        self.state(liar, victim, statement);
    }

    fn propose_nonsense(&mut self, liar: usize, victim: usize, currency: &Currency) {
        let account = self.nodes[victim].account_in(self.key(liar), currency);
        let Some(epoch) = account.epoch() else { return };
        let (number, agreed, own, other) = (epoch.number, epoch.agreed, epoch.theirs, epoch.mine);
        let shift = |dice: &mut crate::keys::Dice| (dice.below(5) as u64).wrapping_sub(2);
        let opening = Opening {
            author: self.key(liar),
            other: self.key(victim),
            currency: currency.clone(),
            epoch: number.saturating_add(self.dice.below(3) as u64),
            balance: self.dice.below(2_000) as i128 - 1_000,
            continuing: vec![],
            accepts: self.dice.chance(30).then(|| Hash::from_bytes(self.dice.array())),
        };
        let wire = Verified::sign(opening, self.signer(liar)).wire().clone();
        let position = EpochPosition {
            agreed: if self.dice.chance(80) { agreed } else { Hash::from_bytes(self.dice.array()) },
            number: number.wrapping_add(if self.dice.chance(80) { 0 } else { shift(&mut self.dice) }),
            own_seq: own.seq.wrapping_add(shift(&mut self.dice)),
            own_hash: own.hash,
            other_seq: other.seq.wrapping_add(shift(&mut self.dice)),
            other_hash: other.hash,
        };
        let resume = Resume {
            currency: currency.clone(),
            opening: self.dice.chance(60).then(|| Unverified::from_wire(&wire).expect("it was just signed")),
            epoch: self.dice.chance(70).then_some(position),
            recovering: self.dice.chance(30),
        };
        self.resume(liar, victim, resume);
    }
}
