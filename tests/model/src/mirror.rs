//! The real ledger beside a model: the same commands go to accounts of `offst-ledger`, with real statements on real wires and
//! rows to restart from, and after every command both must say the same.

use crate::account::{Account, StopReason};
use crate::log::{Agreed, Link, Opening, OpeningName, Resume, Side, Statement};
use crate::pair::{AccountPair, Command, Frame, Outcome};
use crate::play::ExecutedCommand;
use crate::request::{DIRECTIONS, Direction, Stage};
use crate::rules::Rules;
use crate::wording::{
    CheapSigner, CheapVerifier, made_up, model_events, model_fault, real_answer, real_continuing, real_id,
    real_operation, real_preimage, real_request, real_terms, real_totals,
};
use offst_crypto::{Hash, Identity, PublicKey};
use offst_ledger::{
    Account as RealAccount, AccountImage, AccountKey, Direction as RealDirection, Floor, Pending as RealPending,
    SignOutcome, Stage as RealStage, Status, StopReason as RealReason,
};
use offst_proto::friend::{EpochPosition, FriendMessage, Resume as RealResume, statement_frame};
use offst_proto::opening::Opening as RealOpening;
use offst_proto::payment::CancelReason;
use offst_proto::statement::Statement as RealStatement;
use offst_proto::{Currency, Unverified, Verified};
use offst_rows::Rows;
use std::collections::{BTreeMap, VecDeque};

/// Hashes of everything that was signed on an account, by author.
type Signed = BTreeMap<(PublicKey, Hash, u64), Hash>;

/// Both ends of an account as the ledger has them.
#[derive(Debug, Clone)]
struct MirrorPair {
    keys: [PublicKey; 2],
    accounts: [Option<RealAccount>; 2],
    rows: [Rows; 2],
    wire: [VecDeque<Vec<u8>>; 2],
    connected: bool,
    statements: Signed,
    openings: BTreeMap<OpeningName, Verified<RealOpening>>,
}

/// Where model and ledger part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What differs: the model's view, then the ledger's.
    pub what: String,
}

/// All accounts of a model as the ledger has them.
#[derive(Debug, Clone)]
pub struct Mirror {
    pairs: Vec<MirrorPair>,
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, model: T, ledger: T) -> Result<(), Mismatch> {
    if model == ledger {
        Ok(())
    } else {
        Err(Mismatch { what: format!("{what}: {model:?} in the model, {ledger:?} in the ledger") })
    }
}

impl Mirror {
    /// Accounts whose ends have never connected.
    pub fn new(pairs: &[AccountPair]) -> Self {
        Mirror { pairs: pairs.iter().map(MirrorPair::new).collect() }
    }

    /// Carries the commands of one step out, with the model's accounts as they were before it.
    ///
    /// # Errors
    /// A [`Mismatch`] after one of the commands.
    pub fn follow(
        &mut self,
        before: &[AccountPair],
        executed: &[ExecutedCommand],
        rules: Rules,
    ) -> Result<(), Mismatch> {
        let mut pairs = before.to_vec();
        for ExecutedCommand { pair, side, command, outcome } in executed {
            let (model, mirror) = (&mut pairs[*pair], &mut self.pairs[*pair]);
            let at = |mismatch: Mismatch| Mismatch {
                what: format!("account {pair}, end {side}, {command:?}: {}", mismatch.what),
            };
            let real = mirror.apply(*side, command, model);
            model.apply(*side, command, rules);
            expect("the outcome", outcome, &real).map_err(at)?;
            mirror.compare(model).map_err(at)?;
        }
        Ok(())
    }
}

impl MirrorPair {
    fn new(pair: &AccountPair) -> Self {
        let mut keys = [1, 2].map(|seed| Identity::from_seed([seed; 32]).public_key());
        keys.sort();
        if pair.ends.iter().flatten().any(|end| end.smaller_key() == 1) {
            keys.reverse();
        }
        let mut mirror = MirrorPair {
            keys,
            accounts: [None, None],
            rows: Default::default(),
            wire: Default::default(),
            connected: false,
            statements: BTreeMap::new(),
            openings: BTreeMap::new(),
        };
        for side in 0..2u8 {
            let Some(end) = &pair.ends[usize::from(side)] else { continue };
            let key = mirror.key(side);
            let account = RealAccount::open(
                key,
                end.mine.terms.balance.into(),
                u32::from(end.limit).into(),
                true,
                Floor::default(),
                &mirror.signer(side),
            );
            mirror.accounts[usize::from(side)] = Some(account);
            mirror.persist(side);
        }
        mirror
    }

    fn key(&self, side: Side) -> AccountKey {
        let [local, remote] = [side, 1 - side].map(|side| self.keys[usize::from(side)]);
        AccountKey { local, remote, currency: Currency::default() }
    }

    fn signer(&self, side: Side) -> CheapSigner {
        CheapSigner(self.keys[usize::from(side)])
    }

    fn account(&self, side: Side) -> &RealAccount {
        self.accounts[usize::from(side)].as_ref().expect("an honest end")
    }

    fn account_mut(&mut self, side: Side) -> &mut RealAccount {
        self.accounts[usize::from(side)].as_mut().expect("an honest end")
    }

    /// Ends a transaction, and remembers what was signed in it.
    fn persist(&mut self, side: Side) {
        let index = usize::from(side);
        let account = self.accounts[index].as_mut().expect("an honest end");
        account.take_changes().iter().for_each(|change| self.rows[index].apply(change));
        if let Some(opening) = &account.negotiation().mine {
            let epoch = u8::try_from(opening.epoch).expect("few epochs");
            self.openings.insert(OpeningName { author: side, epoch, variant: 0 }, opening.clone());
        }
        if let Some(epoch) = account.epoch() {
            let signed = [(self.keys[index], epoch.mine), (self.keys[1 - index], epoch.theirs)];
            for (author, log) in signed {
                self.statements.insert((author, epoch.agreed, log.seq), log.hash);
            }
        }
    }

    fn send(&mut self, from: Side, frame: Vec<u8>) {
        let to = usize::from(1 - from);
        if self.connected && self.accounts[to].is_some() {
            self.wire[to].push_back(frame);
        }
    }

    fn show(&mut self, from: Side) {
        let frame = self.account(from).resume_frame();
        self.send(from, frame);
    }

    /// Carries a command out. `model` is the account as it was before, for what a liar refers to.
    fn apply(&mut self, side: Side, command: &Command, model: &AccountPair) -> Outcome {
        let signer = self.signer(side);
        let key = self.key(side);
        let was_active = self.account(side).active().is_some();
        let account = self.account_mut(side);
        let done = |done: bool| Outcome { done, ..Outcome::default() };
        let outcome = match command {
            Command::Request(id, amount) => {
                let terms = real_terms(*id, *amount, key.remote);
                done(account.request(real_request(*id, *amount), terms).is_ok())
            }
            Command::Respond(id, lock) => done(account.respond(real_answer(*id, *lock)).is_ok()),
            Command::Commit(id) => done(account.commit(real_id(*id)).is_ok()),
            Command::Abort(id) => done(account.abort(real_id(*id)).is_ok()),
            Command::Collect(id, preimage) => done(account.collect(real_id(*id), real_preimage(*preimage)).is_ok()),
            Command::Cancel(id) => done(account.cancel(real_id(*id), CancelReason::Aborted, key.local).is_ok()),
            Command::SetLimit(limit) => {
                account.set_limit(u32::from(*limit).into());
                done(true)
            }
            Command::Stop => {
                account.stop(RealReason::Owner, &signer);
                Outcome { done: was_active, stopped: was_active, ..Outcome::default() }
            }
            Command::Accept => match account.accept_theirs(&signer) {
                Ok(events) => Outcome { done: true, events: model_events(&events), ..Outcome::default() },
                Err(_) => done(false),
            },
            // Between nodes: their accounts learn nothing of it.
            Command::Prove(_) => done(true),
            Command::Repropose => done(account.repropose(&signer)),
            Command::Show => {
                self.show(side);
                done(true)
            }
            Command::Sign => match account.sign(&signer, true) {
                SignOutcome::Signed(wire) => {
                    self.send(side, statement_frame(&wire));
                    done(true)
                }
                SignOutcome::Nothing | SignOutcome::WindowFull => done(false),
            },
            Command::Crash => {
                let image = AccountImage::of(&key.id(), &self.rows[usize::from(side)]).expect("its own rows");
                *self.account_mut(side) = RealAccount::restore(key, image).expect("its own rows");
                self.connected = false;
                self.wire = Default::default();
                for account in self.accounts.iter_mut().flatten() {
                    account.disconnected();
                }
                done(true)
            }
            Command::Connect => {
                self.connected = true;
                for side in 0..2 {
                    if self.accounts[usize::from(side)].is_some() {
                        self.show(side);
                    }
                }
                done(true)
            }
            Command::Deliver => {
                let frame = self.wire[usize::from(side)].pop_front().expect("the model has one, too");
                self.hear(side, FriendMessage::from_frame(&frame).expect("a frame of ours"))
            }
            Command::Receive(frame) => {
                let liar = 1 - side;
                let message = match frame {
                    Frame::Resume(resume) => FriendMessage::Resume(Box::new(self.real_resume(liar, resume, model))),
                    Frame::Statement(statement) => {
                        let statement = self.real_statement(liar, statement, model);
                        let signed = Verified::sign(statement, &self.signer(liar));
                        let wire = Unverified::from_wire(signed.wire()).expect("it was signed here");
                        FriendMessage::Statement(Box::new(wire))
                    }
                };
                self.hear(side, message)
            }
        };
        self.persist(side);
        outcome
    }

    fn hear(&mut self, side: Side, message: FriendMessage) -> Outcome {
        let signer = self.signer(side);
        let account = self.account_mut(side);
        match message {
            FriendMessage::Resume(resume) => {
                let outcome = account.handle_resume(*resume, &signer, &CheapVerifier);
                let stopped = outcome.stopped.is_some();
                if outcome.reply && !stopped {
                    self.show(side);
                }
                for wire in &outcome.resend {
                    self.send(side, statement_frame(wire));
                }
                Outcome { done: true, events: model_events(&outcome.events), stopped, fault: None }
            }
            FriendMessage::Statement(statement) => {
                let statement = statement.verify(&CheapVerifier).expect("signed by the other end");
                if !account.expects(&statement) {
                    return Outcome::default();
                }
                match account.receive(&statement, &signer) {
                    Ok(events) => Outcome { done: true, events: model_events(&events), ..Outcome::default() },
                    Err(fault) => Outcome {
                        done: true,
                        stopped: true,
                        fault: Some(model_fault(fault).expect("a fault that models know")),
                        ..Outcome::default()
                    },
                }
            }
            FriendMessage::Hello { .. }
            | FriendMessage::Evidence(_)
            | FriendMessage::EvidenceStatements(_)
            | FriendMessage::Backup(_)
            | FriendMessage::Recall
            | FriendMessage::Recalled(_)
            | FriendMessage::Resolve(_)
            | FriendMessage::Resolved(_)
            | FriendMessage::Keepalive => unreachable!("nobody sends these here"),
        }
    }

    /// The number and hash that a link stands for. Models number statements anew, so it is counted from the newest one.
    fn real_link(&self, author: Side, link: Link, honest: Side, model: &AccountPair) -> (u64, Hash) {
        let (epoch, real) = (model.end(honest).epoch.as_ref(), self.account(honest).epoch());
        let (Some(epoch), Some(real)) = (epoch, real) else {
            return (link.seq.into(), made_up("link", link.seq.into()));
        };
        let (newest, real_log) =
            if author == honest { (epoch.mine.newest, real.mine) } else { (epoch.theirs.newest, real.theirs) };
        let seq = (real_log.seq + u64::from(link.seq)).saturating_sub(newest.seq.into());
        let known = self.statements.get(&(self.keys[usize::from(author)], real.agreed, seq));
        let hash = match known {
            Some(hash) if !link.is_fork => *hash,
            _ => made_up("fork", seq),
        };
        (seq, hash)
    }

    fn real_statement(&self, liar: Side, statement: &Statement, model: &AccountPair) -> RealStatement {
        let key = self.key(liar);
        let honest = 1 - liar;
        let (_, prev_hash) = self.real_link(liar, statement.previous, honest, model);
        let (seq, _) = self.real_link(liar, statement.link, honest, model);
        let (ack_seq, ack_hash) = self.real_link(honest, statement.acknowledged, honest, model);
        // A fork differs in something from the true statement.
        let pending_hash =
            (statement.checkpoint.is_some() || statement.link.is_fork).then(|| made_up("checkpoint", seq));
        RealStatement {
            author: key.local,
            other: key.remote,
            currency: key.currency,
            epoch: statement.agreed.epoch().into(),
            seq,
            prev_hash,
            ack_seq,
            ack_hash,
            operations: statement.operations.iter().map(|operation| real_operation(*operation, key.local)).collect(),
            totals: real_totals(statement.totals),
            pending_hash,
        }
    }

    fn real_resume(&mut self, liar: Side, resume: &Resume, model: &AccountPair) -> RealResume {
        let honest = 1 - liar;
        let key = self.key(liar);
        let opening = self.real_opening(liar, &resume.opening, model);
        let position = resume.position.map(|position| {
            let known = self
                .account(honest)
                .epoch()
                .filter(|_| model.end(honest).epoch.as_ref().is_some_and(|epoch| epoch.agreed == position.agreed));
            let agreed = known.map_or_else(|| made_up("agreed", position.agreed.epoch().into()), |epoch| epoch.agreed);
            let (own_seq, own_hash) = self.real_link(liar, position.own, honest, model);
            let (other_seq, other_hash) = self.real_link(honest, position.other, honest, model);
            let number = position.agreed.epoch().into();
            EpochPosition { agreed, number, own_seq, own_hash, other_seq, other_hash }
        });
        let opening = Unverified::from_wire(opening.wire()).expect("it was signed here");
        RealResume { currency: key.currency, opening: Some(opening), epoch: position, recovering: resume.recovering }
    }

    fn real_opening(&mut self, liar: Side, opening: &Opening, model: &AccountPair) -> Verified<RealOpening> {
        let honest = 1 - liar;
        if model.end(honest).theirs == Some(*opening) {
            return self.account(honest).negotiation().theirs.clone().expect("the model has one, too");
        }
        let key = self.key(liar);
        // A second Opening for one epoch differs in something from the first.
        let is_second = model.end(honest).theirs.is_some_and(|known| known.name.epoch == opening.name.epoch);
        let accepts = opening
            .accepts
            .map(|name| self.openings.get(&name).map_or_else(|| made_up("opening", name.epoch.into()), Verified::hash));
        let real = RealOpening {
            author: key.local,
            other: key.remote,
            currency: key.currency.clone(),
            epoch: opening.name.epoch.into(),
            balance: i128::from(opening.terms.balance) + if is_second { 100 } else { 0 },
            continuing: real_continuing(&opening.terms, key.local, key.remote),
            accepts,
        };
        let signed = Verified::sign(real, &self.signer(liar));
        self.openings.insert(opening.name, signed.clone());
        signed
    }

    /// Compares everything that both know.
    fn compare(&self, model: &AccountPair) -> Result<(), Mismatch> {
        for side in 0..2u8 {
            let index = usize::from(side);
            expect("frames in flight", model.wire[index].len(), self.wire[index].len())?;
            if let Some(end) = &model.ends[index] {
                let at = |mismatch: Mismatch| Mismatch { what: format!("end {side}: {}", mismatch.what) };
                self.compare_end(side, end).map_err(at)?;
            }
        }
        Ok(())
    }

    fn compare_end(&self, side: Side, model: &Account) -> Result<(), Mismatch> {
        let real = self.account(side);
        let key = self.key(side);
        expect("connected in the same epoch", model.resumed, real.is_resumed())?;
        expect("active", model.active().is_some(), real.active().is_some())?;
        expect("the limit", u128::from(model.limit), real.limit().credits())?;
        if let Status::Inconsistent { reason: Some(reason), .. } = real.status() {
            expect("why it stopped", model.stopped.map(real_reason), Some(reason))?;
        }
        let acceptable = match real.status() {
            Status::Inconsistent { theirs, .. } => theirs.map(|terms| terms.balance),
            Status::Consistent | Status::Waiting { .. } => None,
        };
        expect("the friend's terms", model.acceptable_terms().map(|terms| i128::from(terms.balance)), acceptable)?;
        let opening = real.negotiation().mine.as_ref().expect("an account has an opening");
        expect("the epoch of our opening", u64::from(model.mine.name.epoch), opening.epoch)?;
        expect("the balance of our opening", i128::from(model.mine.terms.balance), opening.balance)?;
        let continuing = real_continuing(&model.mine.terms, key.local, key.remote);
        expect("what our opening lets continue", continuing, opening.continuing.clone())?;
        expect("an epoch", model.epoch.is_some(), real.epoch().is_some())?;
        let (Some(epoch), Some(real_epoch)) = (&model.epoch, real.epoch()) else { return Ok(()) };
        expect("the epoch", u64::from(epoch.agreed.epoch()), real_epoch.number)?;
        let is_acceptance = matches!(epoch.agreed, Agreed::Accepted(_));
        let rests_on_one = [&real.negotiation().mine, &real.negotiation().theirs]
            .into_iter()
            .flatten()
            .any(|opening| opening.hash() == real_epoch.agreed);
        if model.mine.name.epoch == epoch.agreed.epoch() {
            expect("what the epoch rests on", is_acceptance, rests_on_one)?;
        }
        expect("the balance", i128::from(epoch.balance()), real_epoch.balance())?;
        expect("our pending credits", i128::from(epoch.local_pending()), signed(real_epoch.local_pending()))?;
        expect(
            "the friend's pending credits",
            i128::from(epoch.remote_pending()),
            signed(real_epoch.remote_pending()),
        )?;
        expect("what can be sent", u128::from(epoch.send_room()), real_epoch.send_capacity())?;
        expect("the friend's limit", u128::from(epoch.theirs.limit), real_epoch.theirs.limit.credits())?;
        expect("our limit", u128::from(epoch.mine.limit), real_epoch.mine.limit.credits())?;
        expect("our totals", real_totals(epoch.written()), real_epoch.mine.totals)?;
        expect("the friend's totals", real_totals(epoch.theirs.totals), real_epoch.theirs.totals)?;
        for direction in DIRECTIONS {
            for id in 0..crate::request::REQUESTS as u8 {
                let pending = epoch.local_view.find(direction, id).map(|pending| {
                    let receiver = if direction == Direction::Outgoing { key.remote } else { key.local };
                    RealPending {
                        held: u32::from(pending.amount).into(),
                        terms: real_terms(id, pending.amount, receiver),
                        stage: real_stage(pending.stage),
                    }
                });
                let found = real_epoch.pending(real_direction(direction), real_id(id)).copied();
                expect(&format!("request {id}, {direction:?}"), pending, found)?;
            }
        }
        for id in 0..crate::request::REQUESTS as u8 {
            expect(&format!("bound to {id}"), epoch.is_bound(id), real.is_bound(real_id(id)))?;
        }
        let waits = model.resumed && model.stopped.is_none() && (!epoch.queue.is_empty() || epoch.owes_acknowledgement);
        expect("something to sign", waits, real.wants_to_sign())
    }
}

fn signed(amount: u128) -> i128 {
    amount.try_into().expect("small numbers")
}

fn real_direction(direction: Direction) -> RealDirection {
    match direction {
        Direction::Outgoing => RealDirection::Outgoing,
        Direction::Incoming => RealDirection::Incoming,
    }
}

fn real_stage(stage: Stage) -> RealStage {
    match stage {
        Stage::Requested => RealStage::Requested,
        Stage::Responded(lock) => RealStage::Responded(real_preimage(lock).lock()),
        Stage::Committed(lock) => RealStage::Committed(real_preimage(lock).lock()),
        Stage::Aborted => RealStage::Aborted,
    }
}

fn real_reason(reason: StopReason) -> RealReason {
    use crate::epoch::Fault;
    use offst_ledger::Fault as RealFault;
    match reason {
        StopReason::FriendReopened => RealReason::FriendReopened,
        StopReason::OwnStateLost => RealReason::OwnStateLost,
        StopReason::FriendStateLost => RealReason::FriendStateLost,
        StopReason::Owner => RealReason::Owner,
        StopReason::Fault(fault) => RealReason::Fault(match fault {
            Fault::Equivocation => RealFault::Equivocation,
            Fault::NotContinuing => RealFault::NotContinuing,
            Fault::WrongAcknowledgement => RealFault::WrongAcknowledgement,
            Fault::WrongStage => RealFault::WrongStage,
            Fault::WrongTotals => RealFault::WrongTotals,
            Fault::OtherPendings => RealFault::OtherPendings,
            Fault::TwoOpenings => RealFault::TwoOpenings,
        }),
    }
}
