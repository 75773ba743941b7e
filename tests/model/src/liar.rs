//! What a lying friend can say. It holds its key, remembers everything and sees all that the honest end has signed, so
//! it needs no state of its own: in every state it may say any of these, in any order. What honest friends say is among
//! them.

use crate::account::Account;
use crate::log::{Agreed, Link, Opening, OpeningName, Operation, Position, Resume, Statement, Terms};
use crate::pair::Frame;
use crate::request::{Direction, Id, Pending, PendingRequests, Stage};
use std::sync::Arc;

/// How much a liar has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repertoire {
    /// The requests it speaks of.
    pub requests: Vec<Id>,
    /// The amounts that it asks for.
    pub amounts: Vec<u8>,
    /// The limits that it sets.
    pub limits: Vec<u8>,
    /// Statements with something else wrong than an operation: forks, gaps, forged totals, checkpoints,
    /// acknowledgements.
    pub forges: bool,
}

/// Everything that it may say to an honest end now. `knows`: the preimages that it has.
pub fn lies(honest: &Account, repertoire: &Repertoire, knows: impl Fn(Id) -> bool) -> Vec<Frame> {
    let mut frames = Vec::new();
    if let Some(base) = continuation(honest) {
        say_operations(honest, &base, repertoire, &knows, &mut frames);
        if repertoire.forges {
            forge(honest, &base, &mut frames);
        }
    }
    frames
}

/// The statement that would continue the liar's log, without operations, as an honest friend would sign it.
pub fn continuation(honest: &Account) -> Option<Statement> {
    let epoch = honest.active().filter(|_| honest.resumed)?;
    Some(Statement {
        agreed: epoch.agreed,
        link: Link { seq: epoch.theirs.newest.seq + 1, is_fork: false },
        previous: epoch.theirs.newest,
        acknowledged: epoch.mine.newest,
        operations: Vec::new(),
        totals: epoch.theirs.totals,
        checkpoint: None,
    })
}

/// One operation at any stage: collect without commit, commit without response, wrong preimage, double collect, abort
/// after commit, a request above the limit, and every right one.
fn say_operations(
    honest: &Account,
    base: &Statement,
    repertoire: &Repertoire,
    knows: &impl Fn(Id) -> bool,
    frames: &mut Vec<Frame>,
) {
    let epoch = honest.active().expect("the statement continues it");
    let mut operations = Vec::new();
    for &id in &repertoire.requests {
        operations.extend(repertoire.amounts.iter().map(|amount| Operation::Request(id, *amount)));
        operations.extend([Operation::Response(id, id), Operation::Response(id, 1 - id)]);
        operations.extend([Operation::Commit(id), Operation::Abort(id), Operation::Cancel(id)]);
        operations
            .extend([id, 1 - id].into_iter().filter(|preimage| knows(*preimage)).map(|p| Operation::Collect(id, p)));
    }
    operations.extend(repertoire.limits.iter().map(|limit| Operation::SetLimit(*limit)));
    let mut acknowledgements = vec![epoch.mine.newest];
    if epoch.acknowledged != epoch.mine.newest {
        acknowledgements.push(epoch.acknowledged);
    }
    for acknowledged in acknowledgements {
        for &operation in &operations {
            // It may pretend to know less than it does: then its statement has crossed ours.
            let may_cross = matches!(operation, Operation::Commit(_) | Operation::Abort(_));
            if acknowledged != epoch.mine.newest && !may_cross {
                continue;
            }
            let moved = match operation {
                Operation::Request(_, amount) => amount,
                Operation::Collect(id, _) | Operation::Cancel(id) => {
                    epoch.local_view.find(Direction::Outgoing, id).map_or(1, |pending| pending.amount)
                }
                _ => 0,
            };
            let totals = base.totals.advanced(operation, moved);
            let statement = Statement { acknowledged, operations: vec![operation], totals, ..base.clone() };
            frames.push(Frame::Statement(Arc::new(statement)));
        }
    }
    if epoch.acknowledged != epoch.mine.newest {
        frames.push(Frame::Statement(Arc::new(base.clone())));
    }
}

/// Statements whose operations are right, and whose frame is not.
fn forge(honest: &Account, base: &Statement, frames: &mut Vec<Frame>) {
    let epoch = honest.active().expect("the statement continues it");
    let mut statements = Vec::new();
    // Old ones and forks.
    let newest = epoch.theirs.newest;
    if newest.seq > 0 {
        let previous = Link { seq: newest.seq - 1, is_fork: false };
        statements.push(Statement { link: newest, previous, ..base.clone() });
        statements.push(Statement { link: Link { is_fork: true, ..newest }, previous, ..base.clone() });
        statements.push(Statement { previous: Link { is_fork: true, ..newest }, ..base.clone() });
    }
    statements.push(Statement {
        link: Link { seq: base.link.seq + 1, is_fork: false },
        previous: base.link,
        ..base.clone()
    });
    // Acknowledgements of what was never signed.
    let never = Link { seq: epoch.mine.newest.seq + 1, is_fork: false };
    statements.push(Statement { acknowledged: never, ..base.clone() });
    if epoch.mine.newest.seq > 0 {
        let other = Link { is_fork: true, ..epoch.mine.newest };
        statements.push(Statement { acknowledged: other, ..base.clone() });
    }
    // Totals and checkpoints.
    for operation in [Operation::Request(0, 1), Operation::Collect(0, 0), Operation::Cancel(0)] {
        statements.push(Statement { totals: base.totals.advanced(operation, 1), ..base.clone() });
    }
    let mut pendings = epoch.local_view.mirrored();
    let invented = Pending { amount: 1, stage: Stage::Committed(1) };
    let is_there = pendings.find(Direction::Incoming, 1).is_some();
    pendings.place(Direction::Incoming, 1, (!is_there).then_some(invented));
    statements.push(Statement { checkpoint: Some(pendings), ..base.clone() });
    frames.extend(statements.into_iter().map(|statement| Frame::Statement(Arc::new(statement))));
}

/// Where a liar may say that it stands: what is true, and what is not. The Opening or the position is false, or none.
pub fn resumes(honest: &Account) -> Vec<Frame> {
    let author = 1 - honest.side;
    let known = honest.theirs;
    let mut frames = Vec::new();
    let mut add = |opening: Opening, position: Option<Position>| {
        frames.push(Frame::Resume(Resume { opening, position, recovering: false }));
    };
    let current = honest.current_terms().mirrored();
    let next = known.map_or(0, |known| known.name.epoch + 1).max(honest.mine.name.epoch);
    let name = |epoch, variant| OpeningName { author, epoch, variant };
    // Openings: the terms mirrored, with another balance, with a claim that was never committed, with a promise that
    // was never signed, without what was.
    let mut openings: Vec<Opening> = known.into_iter().collect();
    let mut claim = current.continuing;
    claim.place(Direction::Incoming, 0, Some(Pending { amount: 1, stage: Stage::Committed(0) }));
    let mut promise = current.continuing;
    for (direction, id, pending) in honest.epoch.iter().flat_map(|epoch| epoch.local_view.list()) {
        if let (Direction::Incoming, Stage::Responded(lock)) = (direction, pending.stage) {
            promise.place(Direction::Outgoing, id, Some(Pending { stage: Stage::Committed(lock), ..pending }));
        }
    }
    let mut wishes = vec![
        current,
        Terms { balance: current.balance + 1, ..current },
        Terms { continuing: claim, ..current },
        Terms { continuing: PendingRequests::default(), ..current },
    ];
    if promise != current.continuing {
        wishes.push(Terms { continuing: promise, ..current });
    }
    for (variant, terms) in (0..).zip(wishes) {
        for accepts in [None, Some(honest.mine.name)] {
            let variant = 2 * variant + u8::from(accepts.is_some());
            let epoch = if accepts.is_some() { honest.mine.name.epoch + 1 } else { next };
            openings.push(Opening { name: name(epoch.max(next), variant), terms, accepts });
        }
    }
    // An acceptance of what the honest end proposed before, as if two had crossed.
    if let Some(previous) = honest.mine_previous {
        let epoch = honest.mine.name.epoch.max(next);
        openings.push(Opening {
            name: name(epoch, 16),
            terms: previous.terms.mirrored(),
            accepts: Some(previous.name),
        });
    }
    // Two Openings for one epoch.
    if let Some(known) = known {
        let other = OpeningName { variant: 32 + known.name.variant, ..known.name };
        openings.push(Opening { name: other, ..known });
    }
    let actual = honest.active().map(|epoch| Position {
        agreed: epoch.agreed,
        own: epoch.theirs.newest,
        other: epoch.mine.newest,
    });
    for opening in openings {
        add(opening, None);
        if actual.is_some() {
            add(opening, actual);
        }
    }
    let (Some(epoch), Some(actual), Some(opening)) = (honest.active(), actual, known) else {
        return frames;
    };
    let add_position = |position: Position, frames: &mut Vec<Frame>| {
        frames.push(Frame::Resume(Resume { opening, position: Some(position), recovering: false }));
    };
    frames.push(Frame::Resume(Resume { opening, position: None, recovering: true }));
    // Positions: knows less or more of either log than it can, another log, another epoch.
    let shifted = |link: Link, by: i8| link.seq.checked_add_signed(by).map(|seq| Link { seq, ..link });
    let forked = |link: Link| (link.seq > 0).then_some(Link { is_fork: true, ..link });
    let own = actual.own;
    let other = actual.other;
    for own in [shifted(own, -1), shifted(own, 1), forked(own)].into_iter().flatten() {
        add_position(Position { own, ..actual }, &mut frames);
    }
    let acknowledged = epoch.acknowledged;
    let olds = [Some(acknowledged), shifted(acknowledged, -1), shifted(other, 1), forked(other)];
    for other in olds.into_iter().flatten() {
        add_position(Position { other, ..actual }, &mut frames);
    }
    let elsewhere = |epoch| Agreed::Accepted(name(epoch, 64));
    for agreed in [elsewhere(epoch.agreed.epoch()), elsewhere(honest.mine.name.epoch + 1)] {
        add_position(Position { agreed, own: Link::default(), other: Link::default() }, &mut frames);
    }
    frames
}

/// What a liar says to begin an account as an honest friend would, one word for each state of the honest end. `None`:
/// the account has begun, with this limit.
pub fn greeting(honest: &Account, limit: u8) -> Option<Frame> {
    let name = OpeningName { author: 1 - honest.side, epoch: 0, variant: 0 };
    let opening = Opening { name, terms: honest.mine.terms.mirrored(), accepts: None };
    let resume = |position| Some(Frame::Resume(Resume { opening, position, recovering: false }));
    let Some(epoch) = honest.active() else { return resume(None) };
    if !honest.resumed {
        return resume(Some(Position { agreed: epoch.agreed, own: Link::default(), other: Link::default() }));
    }
    if epoch.theirs.newest.seq == 0 {
        let operations = vec![Operation::SetLimit(limit), Operation::SetOpen(true)];
        let statement = Statement { operations, ..continuation(honest)? };
        return Some(Frame::Statement(Arc::new(statement)));
    }
    let has_seen_all = epoch.acknowledged == epoch.mine.newest;
    if has_seen_all { None } else { Some(Frame::Statement(Arc::new(continuation(honest)?))) }
}
