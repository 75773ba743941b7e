//! An epoch again, from nothing but what both sides have signed.
//!
//! It starts with the two Openings, or with a set of pending requests that one side's checkpoint commits to, and follows both logs
//! by the rules of the account. Signatures are checked before; here each statement has to continue its author's log, every
//! operation to be allowed in its author's view, and totals and later checkpoints to be what they say. What comes out is the
//! epoch as its owner holds it, or whose signature contradicts what. Used to load an account, to recover one from what a friend
//! shows, and to audit one.

use crate::epoch::{Epoch, Kept};
use crate::fault::Fault;
use crate::key::{AccountKey, Side};
use crate::log::{Log, LogCursor, SentStatement, checked_pending, is_in_range};
use crate::negotiation::Agreement;
use crate::pending::Direction;
use crate::view::View;
use offst_crypto::{Hash, PublicKey, sha256};
use offst_proto::Verified;
use offst_proto::limits::{CHECKPOINT_WITHIN, OPERATIONS_MAX, PENDING_MAX, UNACKNOWLEDGED_MAX};
use offst_proto::statement::Statement;
use std::collections::VecDeque;

/// Most statements with operations that one side has signed behind the other's acknowledgement: its window, and what was
/// signed above it in older databases when the friend had lost its state.
const AHEAD_MAX: usize = UNACKNOWLEDGED_MAX + 2 * PENDING_MAX / OPERATIONS_MAX + 1;

/// Why signed statements do not come to an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The set of requests is not what the checkpoint's author signed.
    #[error("the set of pending requests is not the one that {author} signed in its statement {seq}")]
    Checkpoint {
        /// Whose checkpoint.
        author: PublicKey,
        /// The place in its log.
        seq: u64,
    },
    /// A statement breaks a rule of the account.
    #[error("statement {seq} of {author} {}", fault.as_predicate())]
    Statement {
        /// Who signed it.
        author: PublicKey,
        /// The place in its log.
        seq: u64,
        /// The rule.
        fault: Fault,
    },
    /// A statement that the others rest on is not there.
    #[error("a statement of {author} that later ones acknowledge or continue is missing")]
    Missing {
        /// Whose.
        author: PublicKey,
    },
    /// A statement of neither side, or about another account.
    #[error("a statement belongs to another account")]
    OtherAccount,
}

/// One side's log as far as it was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LogReplay {
    log: Log,
    view: View,
    /// The newest statement of the other side that it acknowledges.
    acknowledged: (u64, Hash),
    /// See [`LogCursor::view_is_ahead_to`].
    view_is_ahead_to: u64,
    /// Its statements that the other side has not acknowledged.
    sent: VecDeque<SentStatement>,
}

/// A set of pending requests from which an epoch can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint<'a> {
    /// Whose checkpoint commits to it.
    pub author: PublicKey,
    /// The bytes that it commits to.
    pub set: &'a [u8],
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// The statement of this author whose checkpoint commits to this set comes first.
    Checkpoint(PublicKey, Vec<u8>),
    /// Then the one that it acknowledges.
    Acknowledged(Box<Verified<Statement>>, View),
    /// The logs of the owner and of its friend.
    Running(Box<[LogReplay; 2]>),
}

/// Follows both logs of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    key: AccountKey,
    agreement: Agreement,
    stage: Stage,
    base: Kept,
}

impl Replay {
    /// Before the first statement. `key` says whose epoch is rebuilt, and the agreement's Openings are seen from there. Without a
    /// `checkpoint` both logs are needed from their first statements.
    pub fn begin(key: &AccountKey, agreement: Agreement, checkpoint: Option<Checkpoint<'_>>) -> Replay {
        let stage = match checkpoint {
            Some(Checkpoint { author, set }) => Stage::Checkpoint(author, set.to_vec()),
            None => {
                let view = View::of_opening(&agreement.mine.continuing);
                Stage::Running(Box::new(Side::BOTH.map(|side| {
                    let log = Log::new(agreement.agreed, view.pending_credits(side.pays()));
                    LogReplay::new(log, view.clone(), (0, agreement.agreed))
                })))
            }
        };
        Replay { key: key.clone(), agreement, stage, base: Kept::default() }
    }

    /// The newest statements that were followed, ours and the friend's.
    pub fn reached(&self) -> [u64; 2] {
        match &self.stage {
            Stage::Running(replays) => [replays[0].log.seq, replays[1].log.seq],
            _ => [0, 0],
        }
    }

    /// The seq of the friend's checkpoint that all rests on, unless a statement of ours that was followed acknowledges it or
    /// one behind it. None, too, without a checkpoint of the friend's.
    pub(crate) fn unacknowledged_checkpoint(&self) -> Option<u64> {
        let Stage::Running(replays) = &self.stage else { return None };
        let seq = self.base.from[Side::Remote as usize];
        let is_theirs = self.base.checkpoint_of == Some(Side::Remote);
        (is_theirs && replays[Side::Local as usize].acknowledged.0 < seq).then_some(seq)
    }

    /// What the epoch rests on.
    pub fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// Takes the next statement. With a set, the first is the one with its checkpoint and the second the one that it
    /// acknowledges, if any; after that each comes after the one that it continues and the one that it acknowledges.
    ///
    /// # Errors
    /// See [`Contradiction`]. The replay is of no use any more.
    pub fn take(&mut self, statement: &Verified<Statement>) -> Result<(), Contradiction> {
        let side = self.key.side_of(statement.author).ok_or(Contradiction::OtherAccount)?;
        let other = self.key.of(side.other());
        if statement.other != other || statement.currency != self.key.currency {
            return Err(Contradiction::OtherAccount);
        }
        let (author, seq) = (statement.author, statement.seq);
        match &mut self.stage {
            Stage::Checkpoint(of, set) => {
                let wrong = Contradiction::Checkpoint { author, seq };
                let is_signed = author == *of
                    && statement.epoch == self.agreement.number
                    && statement.pending_hash == Some(sha256(set));
                let view = View::from_checkpoint(set, &self.key, &self.agreement.agreed).map_err(|_| wrong)?;
                if !is_signed || seq == 0 {
                    return Err(wrong);
                }
                let is_first = statement.ack_seq == 0;
                self.stage = Stage::Acknowledged(Box::new(statement.clone()), view);
                if is_first { self.rest_on_checkpoint(None) } else { Ok(()) }
            }
            Stage::Acknowledged(..) => self.rest_on_checkpoint(Some(statement)),
            Stage::Running(replays) => {
                let index = side as usize;
                let (before, after) = replays.split_at_mut(1);
                let (replay, others) =
                    if index == 0 { (&mut before[0], &mut after[0]) } else { (&mut after[0], &mut before[0]) };
                replay
                    .follow(&self.key, (self.agreement.number, self.agreement.agreed), side, others, statement)
                    .map_err(|fault| Contradiction::Statement { author, seq, fault })
            }
        }
    }

    /// Both logs go on from the checkpoint and from the statement of the other side that it acknowledges.
    fn rest_on_checkpoint(&mut self, acknowledged: Option<&Verified<Statement>>) -> Result<(), Contradiction> {
        let Stage::Acknowledged(checkpoint, view) = &self.stage else { unreachable!("called in this stage only") };
        let agreed = self.agreement.agreed;
        let side = self.key.side_of(checkpoint.author).expect("checked when it was taken");
        let opening = View::of_opening(&self.agreement.mine.continuing);
        let mut log = Log::new(agreed, 0);
        (log.seq, log.hash, log.totals) = (checkpoint.seq, checkpoint.hash(), checkpoint.totals);
        log.checkpoint = checkpoint.seq;
        let mut replay = LogReplay::new(log, view.clone(), (checkpoint.ack_seq, checkpoint.ack_hash));
        let mut others =
            LogReplay::new(Log::new(agreed, opening.pending_credits(side.other().pays())), view.clone(), (0, agreed));
        if let Some(statement) = acknowledged {
            let is_meant = statement.author == self.key.of(side.other())
                && statement.epoch == self.agreement.number
                && (statement.seq, statement.hash()) == (checkpoint.ack_seq, checkpoint.ack_hash)
                // It was there before the checkpoint, so it cannot acknowledge it.
                && statement.ack_seq < checkpoint.seq;
            if !is_meant {
                return Err(Contradiction::Missing { author: self.key.of(side.other()) });
            }
            (others.log.seq, others.log.hash, others.log.totals) = (statement.seq, statement.hash(), statement.totals);
            // Its own checkpoints before this one are not known.
            others.log.checkpoint = statement.seq;
            others.acknowledged = (statement.ack_seq, statement.ack_hash);
        } else if checkpoint.ack_hash != agreed {
            return Err(Contradiction::Missing { author: self.key.of(side.other()) });
        }
        // The other side's view is known again when it acknowledges the checkpoint.
        others.view_is_ahead_to = checkpoint.seq;
        replay.sent.push_back(SentStatement::new(checkpoint, Vec::new()));
        let is_sound = |payer: &LogReplay, payee: &LogReplay, direction: Direction| {
            checked_pending(&payer.log.totals, &payee.log.totals) == Some(view.pending_credits(direction))
        };
        let is_in_range = is_in_range(&replay.log.totals) && is_in_range(&others.log.totals);
        if !is_in_range || !is_sound(&replay, &others, side.pays()) || !is_sound(&others, &replay, side.other().pays())
        {
            return Err(Contradiction::Statement {
                author: checkpoint.author,
                seq: checkpoint.seq,
                fault: Fault::WrongTotals,
            });
        }
        self.base.checkpoint_of = Some(side);
        self.base.from[side as usize] = replay.log.seq;
        self.base.from[side.other() as usize] = others.log.seq;
        let mut replays = [replay, others];
        if side == Side::Remote {
            replays.reverse();
        }
        self.stage = Stage::Running(Box::new(replays));
        Ok(())
    }

    /// Takes both sides' logs, each in its own order: first what the set needs, then each statement as soon as the one that it
    /// acknowledges was taken.
    ///
    /// # Errors
    /// See [`Contradiction`].
    pub fn take_all(&mut self, statements: Vec<Verified<Statement>>) -> Result<(), Contradiction> {
        for statement in self.in_order(statements)? {
            self.take(&statement)?;
        }
        Ok(())
    }

    /// The order in which [`Replay::take`] wants the statements of both logs: those at hand in the order of their seq.
    ///
    /// # Errors
    /// One is missing.
    pub fn in_order(&self, statements: Vec<Verified<Statement>>) -> Result<Vec<Verified<Statement>>, Contradiction> {
        let mut logs = [VecDeque::new(), VecDeque::new()];
        for statement in statements {
            let side = self.key.side_of(statement.author).ok_or(Contradiction::OtherAccount)?;
            logs[side as usize].push_back(statement);
        }
        let mut ordered = Vec::new();
        let mut reached = self.reached();
        if let Stage::Checkpoint(author, _) = &self.stage {
            let side = self.key.side_of(*author).ok_or(Contradiction::OtherAccount)?;
            let checkpoint = logs[side as usize].pop_front().ok_or(Contradiction::Missing { author: *author })?;
            reached[side as usize] = checkpoint.seq;
            let needs = checkpoint.ack_seq;
            ordered.push(checkpoint);
            if needs > 0 {
                let missing = Contradiction::Missing { author: self.key.of(side.other()) };
                let acknowledged = logs[side.other() as usize].pop_front().ok_or(missing)?;
                reached[side.other() as usize] = acknowledged.seq;
                ordered.push(acknowledged);
            }
        }
        loop {
            let ready = Side::BOTH.into_iter().find(|side| {
                let front = logs[*side as usize].front();
                front.is_some_and(|front| front.ack_seq <= reached[side.other() as usize])
            });
            let Some(side) = ready else { break };
            let statement = logs[side as usize].pop_front().expect("it is ready");
            reached[side as usize] = statement.seq;
            ordered.push(statement);
        }
        match Side::BOTH.into_iter().find(|side| !logs[*side as usize].is_empty()) {
            Some(side) => Err(Contradiction::Missing { author: self.key.of(side.other()) }),
            None => Ok(ordered),
        }
    }

    /// The epoch as its owner holds it when it has seen all these statements and has nothing more to say. The limits of both
    /// sides are only known when the logs were followed from the start.
    ///
    /// # Errors
    /// What the set needs has not come.
    pub fn finish(self) -> Result<Epoch, Contradiction> {
        let Stage::Running(replays) = self.stage else {
            return Err(Contradiction::Missing { author: self.key.local });
        };
        let [mine, theirs] = *replays;
        let mut epoch = Epoch::begin(self.agreement);
        epoch.local_view = mine.view;
        for update in theirs.sent.iter().flat_map(|sent| &sent.updates) {
            epoch.local_view.apply_remote(update);
        }
        epoch.mine = mine.log;
        epoch.theirs = theirs.log;
        epoch.signed_totals = mine.log.totals;
        epoch.acknowledged = theirs.acknowledged;
        epoch.acknowledging = mine.acknowledged.0;
        epoch.owes_acknowledgement = theirs.sent.iter().any(|sent| sent.has_operations);
        epoch.peer_view = theirs.view;
        epoch.unacknowledged = mine.sent;
        epoch.kept = self.base;
        if !epoch.is_sound() {
            let (author, seq, fault) = (self.key.remote, epoch.theirs.seq, Fault::WrongTotals);
            return Err(Contradiction::Statement { author, seq, fault });
        }
        Ok(epoch)
    }
}

impl LogReplay {
    fn new(log: Log, view: View, acknowledged: (u64, Hash)) -> LogReplay {
        LogReplay { log, view, acknowledged, view_is_ahead_to: 0, sent: VecDeque::new() }
    }

    fn follow(
        &mut self,
        account: &AccountKey,
        epoch: (u64, Hash),
        author: Side,
        others: &mut LogReplay,
        statement: &Verified<Statement>,
    ) -> Result<(), Fault> {
        let cursor = LogCursor {
            account,
            epoch,
            author,
            log: self.log,
            acknowledged: self.acknowledged,
            unacknowledged: &others.sent,
            view_is_ahead_to: self.view_is_ahead_to,
        };
        let followed = cursor.follow(&mut self.view, statement)?;
        others.sent.drain(..followed.newly_acknowledged);
        self.acknowledged = (statement.ack_seq, statement.ack_hash);
        self.log = followed.log;
        let updates = followed.updates.into_iter().map(|(update, _)| update).collect();
        self.sent.push_back(SentStatement::new(statement, updates));
        let with_operations = self.sent.iter().filter(|sent| sent.has_operations).count();
        if with_operations > AHEAD_MAX || self.sent.len() as u64 > CHECKPOINT_WITHIN {
            return Err(Fault::WindowPassed);
        }
        Ok(())
    }
}
