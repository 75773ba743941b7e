//! An account's rows against the signatures that are kept with them: the balance, every total and every pending amount are derived
//! anew from the signed Openings and statements, and compared with what the rows say.

use crate::account::Account;
use crate::epoch::Epoch;
use crate::image::AccountImage;
use crate::key::{AccountKey, Side};
use crate::log::{Log, advance, balance, checked_pending};
use crate::negotiation::Agreement;
use crate::pending::Direction;
use crate::replay::{Checkpoint, Contradiction, Replay};
use crate::view::ViewUpdate;
use offst_crypto::{PublicKey, Verifier};
use offst_proto::Amount;
use offst_proto::encoding::DecodeError;
use offst_proto::opening::Opening;
use offst_proto::statement::{Operation, Statement};
use offst_proto::{Signable, Unverified, Verified};
use offst_rows::RowError;

/// What is proven of an account that is sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The epoch.
    pub epoch: u64,
    /// The balance that it began with, credits, from our side: both Openings are signed.
    pub opening_balance: i128,
    /// What the friend's newest statement proves; none when it has not signed one in this epoch.
    pub friend: Option<Proof>,
    /// The friend's newest statement that commits to all pending requests.
    pub checkpoint: Option<u64>,
    /// Our newest statement; 0 before the first.
    pub own_seq: u64,
    /// Our statements that the friend has not acknowledged.
    pub unacknowledged: usize,
    /// Operations of ours that are not signed yet.
    pub unsigned: usize,
    /// With all of these: credits that the friend owes us; negative when we owe.
    pub balance: i128,
    /// Credits of our pending requests.
    pub local_pending: u128,
    /// Credits of the friend's pending requests.
    pub remote_pending: u128,
    /// Requests that are pending, in both directions.
    pub pendings: usize,
}

/// What a statement proves together with the one of the other side that it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The statement.
    pub seq: u64,
    /// The one that it acknowledges; 0 for none.
    pub acknowledges: u64,
    /// Credits that the friend owes us.
    pub balance: i128,
    /// Credits of our pending requests.
    pub local_pending: u128,
    /// Credits of the friend's pending requests.
    pub remote_pending: u128,
}

/// Why an account is not sound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// A row is not what was written.
    #[error("a row of the account cannot be read: {0}")]
    Damaged(#[from] DecodeError),
    /// A row is not what was written, or a newer version has written it.
    #[error("{0}")]
    Row(#[from] RowError),
    /// An Opening or a statement is not signed by the one whom it names.
    #[error("{what} of epoch {epoch} does not bear the signature of {author}")]
    Signature {
        /// Which one.
        what: String,
        /// Its epoch.
        epoch: u64,
        /// Who should have signed.
        author: PublicKey,
    },
    /// An Opening is about another account.
    #[error("an opening belongs to another account")]
    OtherAccount,
    /// What was signed does not fit together.
    #[error("{0}")]
    Contradiction(#[from] Contradiction),
    /// An operation that waits to be signed is not possible.
    #[error("an operation that waits to be signed does not fit what is signed")]
    Unsigned,
    /// The rows say something else than the signatures.
    #[error("the database says that {what} is {stored}, but the signatures prove {proven}")]
    Other {
        /// What differs.
        what: &'static str,
        /// What the rows say.
        stored: String,
        /// What is proven.
        proven: String,
    },
}

/// Derives an account anew. `Ok(None)`: no epoch has begun, nothing is owed.
///
/// # Errors
/// The first thing that is not sound. What no signature covers, such as the limits, is compared only where a statement that is
/// kept says it; that is the business of the database's own checksums.
pub fn audit(key: &AccountKey, image: &AccountImage, verifier: &dyn Verifier) -> Result<Option<Proven>, Unproven> {
    let statements = image
        .statements
        .iter()
        .map(|(_, _, wire)| {
            let statement = Unverified::<Statement>::from_wire(wire)?;
            verified(statement, |statement| (format!("statement {}", statement.seq), statement.epoch), verifier)
        })
        .collect::<Result<Vec<_>, Unproven>>()?;
    let (negotiation, agreement) = image.openings()?;
    for opening in negotiation.openings().into_iter().chain(agreement.iter().flat_map(Agreement::openings)) {
        check_opening(key, opening, verifier)?;
    }
    let account = Account::restore(key.clone(), image.clone());
    let Some(agreement) = agreement else {
        let is_empty = statements.is_empty() && image.pendings.is_empty() && image.queue.is_empty();
        return match account?.epoch() {
            None if is_empty => Ok(None),
            _ => Err(DecodeError::invalid("the row of the openings").into()),
        };
    };
    // Whose checkpoint the set belongs to stands in the head. When that cannot be read, a contradiction of what is signed says
    // more than the row.
    let stored = account.as_ref().ok().and_then(|account| account.epoch.as_ref());
    let author = match stored {
        Some(epoch) => epoch.kept.checkpoint_of,
        None => (!image.checkpoint.is_empty()).then_some(Side::Remote),
    };
    let checkpoint = author.map(|side| Checkpoint { author: key.of(side), set: &image.checkpoint });
    let mut replay = Replay::begin(key, agreement, checkpoint);
    replay.take_all(statements.clone())?;
    let signed = replay.finish()?;
    let account = account?;
    let stored = account.epoch.as_ref().ok_or(DecodeError::invalid("the row of the head"))?;
    let derived = with_unsigned(&signed, stored, key)?;
    compare(stored, &derived, &signed)?;
    // A node that has adopted what the friend has shown goes on in the next epoch, and sets its limits there.
    if !account.recovery.has_fixed_terms() {
        compare_limits(stored, &statements, key)?;
    }
    Ok(Some(proven(stored, &signed, &statements, key)))
}

fn verified<T: Signable>(
    value: Unverified<T>,
    name: impl Fn(&T) -> (String, u64),
    verifier: &dyn Verifier,
) -> Result<Verified<T>, Unproven> {
    let (what, epoch) = name(value.peek());
    let author = value.peek().author();
    value.verify(verifier).map_err(|_| Unproven::Signature { what, epoch, author })
}

fn check_opening(key: &AccountKey, opening: &Verified<Opening>, verifier: &dyn Verifier) -> Result<(), Unproven> {
    let sides = [opening.author, opening.other];
    if ![[key.local, key.remote], [key.remote, key.local]].contains(&sides) || opening.currency != key.currency {
        return Err(Unproven::OtherAccount);
    }
    let unverified = Unverified::<Opening>::from_wire(opening.wire())?;
    verified(unverified, |opening| ("the opening".into(), opening.epoch), verifier).map(drop)
}

/// What was signed, and then what waits to be.
fn with_unsigned(signed: &Epoch, stored: &Epoch, key: &AccountKey) -> Result<Epoch, Unproven> {
    let mut derived = signed.clone();
    for queued in stored.queue.values() {
        let mut moved = Amount::ZERO;
        if let Some(update) = ViewUpdate::of(&queued.operation, Side::Local, key) {
            moved = derived.local_view.apply_local(&update).map_err(|_| Unproven::Unsigned)?.held;
        }
        let totals = advance(&derived.mine.totals, &queued.operation, moved).ok_or(Unproven::Unsigned)?;
        let changes = totals != derived.mine.totals;
        if changes && moved != queued.moved {
            return Err(Unproven::Unsigned);
        }
        derived.mine.totals = totals;
    }
    Ok(derived)
}

fn expect<T: PartialEq + std::fmt::Display>(what: &'static str, stored: T, proven: T) -> Result<(), Unproven> {
    if stored == proven {
        return Ok(());
    }
    Err(Unproven::Other { what, stored: stored.to_string(), proven: proven.to_string() })
}

fn compare(stored: &Epoch, derived: &Epoch, signed: &Epoch) -> Result<(), Unproven> {
    expect("the epoch", stored.number, derived.number)?;
    expect("the balance at the epoch's beginning", stored.opening_balance, derived.opening_balance)?;
    for (whose, stored, derived) in
        [("ours", stored.mine, derived.mine), ("the friend's", stored.theirs, derived.theirs)]
    {
        let names = match whose {
            "ours" => ["our newest statement", "our total of requests", "our total collected", "our total cancelled"],
            _ => {
                ["the friend's newest statement", "its total of requests", "its total collected", "its total cancelled"]
            }
        };
        expect(names[0], stored.seq, derived.seq)?;
        expect(names[0], stored.hash.to_string(), derived.hash.to_string())?;
        expect(names[1], stored.totals.requested, derived.totals.requested)?;
        expect(names[2], stored.totals.collected, derived.totals.collected)?;
        expect(names[3], stored.totals.cancelled, derived.totals.cancelled)?;
    }
    expect("the balance", stored.balance(), derived.balance())?;
    let is_signed = stored.signed_totals == signed.mine.totals;
    expect("that what is signed and what waits add up", is_signed, true)?;
    expect("what the friend has acknowledged", stored.acknowledged.0, derived.acknowledged.0)?;
    expect("what we have acknowledged", stored.acknowledging, derived.acknowledging)?;
    for direction in [Direction::Outgoing, Direction::Incoming] {
        let what = match direction {
            Direction::Outgoing => "the sum of our pending requests",
            Direction::Incoming => "the sum of the friend's pending requests",
        };
        expect(what, stored.local_view.pending_credits(direction), derived.local_view.pending_credits(direction))?;
    }
    if let Some((_, id)) = stored.local_view.difference(&derived.local_view) {
        let shown = |epoch: &Epoch| {
            let found = epoch.local_view.iter().find(|((_, known), _)| *known == id);
            found.map_or("none".to_owned(), |(_, pending)| format!("{pending:?}"))
        };
        return Err(Unproven::Other { what: "a pending request", stored: shown(stored), proven: shown(derived) });
    }
    Ok(())
}

/// The newest limit and openness that a kept statement of each side sets.
fn compare_limits(stored: &Epoch, statements: &[Verified<Statement>], key: &AccountKey) -> Result<(), Unproven> {
    for (author, log, names) in [
        (key.local, &stored.mine, ["our limit for the friend", "whether we take requests"]),
        (key.remote, &stored.theirs, ["the friend's limit for us", "whether the friend takes requests"]),
    ] {
        let is_local = author == key.local;
        let signed = statements.iter().filter(|statement| statement.author == author);
        let signed = signed.flat_map(|statement| statement.operations.iter());
        let unsigned = stored.queue.values().filter(|_| is_local).map(|queued| &queued.operation);
        let (mut limit, mut open) = (log.limit, log.open);
        for operation in signed.chain(unsigned) {
            match operation {
                Operation::SetLimit(set) => limit = *set,
                Operation::SetOpen(set) => open = *set,
                _ => {}
            }
        }
        expect(names[0], log.limit, limit)?;
        expect(names[1], log.open, open)?;
    }
    Ok(())
}

fn proven(stored: &Epoch, signed: &Epoch, statements: &[Verified<Statement>], key: &AccountKey) -> Proven {
    let opening = Epoch::begin((*stored.agreement).clone());
    let Log { seq, totals: theirs, .. } = stored.theirs;
    let acknowledges = signed.acknowledged.0;
    let mine = match acknowledges {
        0 => Some(opening.mine.totals),
        seq => {
            let own = statements.iter().find(|statement| statement.author == key.local && statement.seq == seq);
            own.map(|statement| statement.totals)
        }
    };
    let of_friend = statements.iter().filter(|statement| statement.author == key.remote);
    let checkpoints = of_friend.filter(|statement| statement.pending_hash.is_some());
    Proven {
        epoch: stored.number,
        opening_balance: stored.opening_balance,
        friend: mine.filter(|_| seq > 0).and_then(|mine| {
            Some(Proof {
                seq,
                acknowledges,
                balance: balance(stored.opening_balance, &mine, &theirs),
                local_pending: checked_pending(&mine, &theirs)?,
                remote_pending: checked_pending(&theirs, &mine)?,
            })
        }),
        checkpoint: checkpoints.map(|statement| statement.seq).max(),
        own_seq: stored.mine.seq,
        unacknowledged: stored.unacknowledged.len(),
        unsigned: stored.queue.len(),
        balance: stored.balance(),
        local_pending: stored.local_pending(),
        remote_pending: stored.remote_pending(),
        pendings: stored.local_view.iter().count(),
    }
}
