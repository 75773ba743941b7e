//! What the evidence of an account proves to a third person: what the friend has acknowledged.
//!
//! It is replayed as the friend's own node would, that remembers nothing but its keys: only what bears the friend's signature, or
//! was acknowledged by one, counts. So the node that shows it can make it older, by leaving out what came later, but can
//! change nothing: its own signatures prove nothing for it. What the friend has committed to pay, and the preimage that it is owed for,
//! are a proof without the friend's acknowledgement of the Collect; they are reckoned beside the balance, not in it.

use crate::account::Account;
use crate::epoch::Epoch;
use crate::image::{AccountImage, STATEMENTS};
use crate::key::{AccountKey, Side};
use crate::negotiation::Agreement;
use crate::pending::Direction;
use crate::replay::{Checkpoint, Contradiction, Replay};
use offst_crypto::{PublicKey, Verifier};
use offst_proto::friend::EvidenceCheckpoint;
use offst_proto::friend_statement::{AccountEvidence, FriendStatement};
use offst_proto::limits::FRIEND_STATEMENT_BYTES_MAX;
use offst_proto::opening::Opening;
use offst_proto::statement::{Operation, Statement};
use offst_proto::{Currency, Signable, Unverified, Verified};
use offst_rows::RowError;

/// What a friend has acknowledged of one account, credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The account's currency.
    pub currency: Currency,
    /// The epoch.
    pub epoch: u64,
    /// The friend's newest statement; 0: its Opening alone.
    pub seq: u64,
    /// The node's statement that it acknowledges; 0 for none.
    pub acknowledges: u64,
    /// What the friend owes the node, credits; negative when the node owes.
    pub balance: i128,
    /// Credits of the node's pending requests.
    pub node_pending: u128,
    /// Credits of the friend's pending requests.
    pub friend_pending: u128,
    /// Credits of `friend_pending` that the friend has committed to pay for the preimages.
    pub committed: u128,
    /// Credits of `committed` for which the node shows the preimages: the friend owes it in addition to the balance.
    pub collected: u128,
}

/// Why evidence proves nothing to others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NothingProven {
    /// An Opening or a statement is not signed by the one whom it names.
    #[error("{what} of epoch {epoch} does not bear the signature of {author}: it was changed or forged")]
    Signature {
        /// Which one.
        what: String,
        /// Its epoch.
        epoch: u64,
        /// Who should have signed.
        author: PublicKey,
    },
    /// An Opening or a statement is about another account.
    #[error("what is signed belongs to another account")]
    OtherAccount,
    /// The Openings do not say the same.
    #[error("the two openings do not agree on how the account began")]
    Openings,
    /// What was signed does not fit together.
    #[error("{0}")]
    Contradiction(#[from] Contradiction),
    /// The epoch, or the checkpoint that all rests on, is the node's work alone.
    #[error("no signature of the friend's shows that it has accepted what the rest begins with")]
    NeverAccepted,
}

/// Checks the evidence of one account: what does `friend` acknowledge to owe to `node`?
///
/// # Errors
/// The first thing that is not sound.
/// (R1.21.)
pub fn acknowledged(
    node: PublicKey,
    friend: PublicKey,
    evidence: AccountEvidence,
    verifier: &dyn Verifier,
) -> Result<Acknowledged, NothingProven> {
    let AccountEvidence { currency, openings: [of_node, of_friend], checkpoint, statements } = evidence;
    // Seen from the friend, whose word it is.
    let key = AccountKey { local: friend, remote: node, currency };
    if node == friend {
        return Err(NothingProven::OtherAccount);
    }
    let opening = |opening: Unverified<Opening>, author, other| {
        let opening = verified(opening, |_| "the opening".to_owned(), |opening| opening.epoch, verifier)?;
        let is_meant = (opening.author, opening.other, &opening.currency) == (author, other, &key.currency);
        if is_meant { Ok(opening) } else { Err(NothingProven::OtherAccount) }
    };
    let agreement = Agreement::of(opening(of_friend, friend, node)?, opening(of_node, node, friend)?)
        .ok_or(NothingProven::Openings)?;
    let statements = statements
        .into_iter()
        .map(|statement| {
            verified(
                statement,
                |statement| format!("statement {}", statement.seq),
                |statement| statement.epoch,
                verifier,
            )
        })
        .collect::<Result<Vec<_>, _>>()?;
    let checkpoint = checkpoint.as_ref().map(|EvidenceCheckpoint { by_sender, set }| {
        let author = if *by_sender { node } else { friend };
        Checkpoint { author, set }
    });
    let newest = statements.iter().rev().find(|statement| statement.author == friend);
    let acknowledges = newest.map_or(0, |statement| statement.ack_seq);
    let is_later = |statement: &Verified<Statement>| statement.author == node && statement.seq > acknowledges;
    let first = statements.iter().find(|statement| statement.author == node);
    if checkpoint.is_some_and(|checkpoint| checkpoint.author == node) && first.is_none_or(is_later) {
        // R1.23.
        return Err(NothingProven::NeverAccepted);
    }
    let (later, acknowledged): (Vec<_>, Vec<_>) = statements.into_iter().partition(is_later);
    let mut replay = Replay::begin(&key, agreement, checkpoint);
    replay.take_all(acknowledged)?;
    let agreement = replay.agreement();
    let is_accepted = agreement.mine.epoch == agreement.number || replay.reached()[Side::Local as usize] > 0;
    if !is_accepted || replay.unacknowledged_checkpoint().is_some() {
        return Err(NothingProven::NeverAccepted);
    }
    let signed = replay.clone().finish()?;
    replay.take_all(later)?;
    let shown = replay.finish()?;
    // A log only grows.
    let collected = shown.theirs.totals.collected - signed.theirs.totals.collected;
    Ok(Acknowledged {
        currency: key.currency,
        epoch: signed.number,
        seq: signed.mine.seq,
        acknowledges,
        balance: -signed.balance(),
        node_pending: signed.remote_pending(),
        friend_pending: signed.local_pending(),
        committed: committed(&signed),
        collected,
    })
}

fn verified<T: Signable>(
    value: Unverified<T>,
    what: impl Fn(&T) -> String,
    epoch: impl Fn(&T) -> u64,
    verifier: &dyn Verifier,
) -> Result<Verified<T>, NothingProven> {
    let (what, epoch, author) = (what(value.peek()), epoch(value.peek()), value.peek().author());
    value.verify(verifier).map_err(|_| NothingProven::Signature { what, epoch, author })
}

/// What the epoch's owner has committed to pay, credits.
/// (R1.22.)
fn committed(epoch: &Epoch) -> u128 {
    let mine = epoch.pendings().filter(|(direction, _, _)| *direction == Direction::Outgoing);
    mine.filter(|(_, _, pending)| pending.stage.is_committed()).map(|(_, _, pending)| pending.held).sum()
}

/// A friend statement that was made, and whether something had to be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeStatement {
    /// What is shown.
    pub statement: FriendStatement,
    /// What it proves of each account.
    pub proves: Vec<Acknowledged>,
    /// All that the friend has signed is more than a file holds: it ends with an earlier statement of the friend's.
    pub is_shortened: bool,
}

/// Why there is no friend statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoStatement {
    /// No epoch has begun on any of the accounts.
    #[error("the friend has not signed anything yet: both must have added each other, and have been online")]
    NothingSigned,
    /// A row is not what was written.
    #[error("the account in {currency} cannot be read: {error}")]
    Damaged {
        /// Which account.
        currency: Currency,
        /// What is wrong.
        error: RowError,
    },
    /// What is kept of an account does not bind the friend, as after the loss of a disk.
    #[error(
        "what is kept of the account in {currency} does not prove anything to others yet ({error}): ask again when the \
             friend has been online"
    )]
    Unproven {
        /// Which account.
        currency: Currency,
        /// What is wrong.
        error: NothingProven,
    },
    /// Too much is pending.
    #[error(
        "so much is pending that the statement does not fit into a file of {FRIEND_STATEMENT_BYTES_MAX} bytes: ask \
             again when less is pending, or for one currency"
    )]
    TooLarge,
}

/// How much of the evidence is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All that the friend has signed, and what we have collected since.
    Collected,
    /// All that the friend has signed.
    Signed,
    /// Where it starts: the friend's checkpoint, or the Openings.
    Start,
}

/// Makes the statement of `node` about the accounts with `friend`, from their rows. Each is checked as its reader will
/// check it. Accounts on which no epoch has begun are left out.
///
/// # Errors
/// See [`NoStatement`].
pub fn friend_statement(
    node: PublicKey,
    friend: PublicKey,
    accounts: Vec<(Currency, AccountImage)>,
    verifier: &dyn Verifier,
) -> Result<MadeStatement, NoStatement> {
    let mut whole = Vec::new();
    for (currency, image) in accounts {
        let key = AccountKey { local: node, remote: friend, currency: currency.clone() };
        let evidence = account_evidence(&key, image).map_err(|error| NoStatement::Damaged { currency, error })?;
        whole.extend(evidence);
    }
    if whole.is_empty() {
        return Err(NoStatement::NothingSigned);
    }
    whole.sort_by(|one, other| one.currency.cmp(&other.currency));
    for extent in [Extent::Collected, Extent::Signed, Extent::Start] {
        let accounts: Vec<_> = whole.iter().map(|evidence| reduced(friend, evidence, extent)).collect();
        let statement = FriendStatement { node, friend, accounts };
        if statement.to_toml().len() > FRIEND_STATEMENT_BYTES_MAX {
            continue;
        }
        let proves = statement.accounts.iter().map(|evidence| {
            let proven = acknowledged(node, friend, evidence.clone(), verifier);
            proven.map_err(|error| NoStatement::Unproven { currency: evidence.currency.clone(), error })
        });
        let proves = proves.collect::<Result<_, _>>()?;
        return Ok(MadeStatement { statement, proves, is_shortened: extent != Extent::Collected });
    }
    Err(NoStatement::TooLarge)
}

/// All that is kept of the newest epoch; none when there is no epoch.
fn account_evidence(key: &AccountKey, image: AccountImage) -> Result<Option<AccountEvidence>, RowError> {
    let (set, wires) = (image.checkpoint.clone(), image.statements.clone());
    let Some(epoch) = Account::restore(key.clone(), image)?.epoch else { return Ok(None) };
    let opening = |wire| Unverified::from_wire(wire).expect("it was read from the same bytes");
    let checkpoint = epoch.kept.checkpoint_of;
    Ok(Some(AccountEvidence {
        currency: key.currency.clone(),
        openings: [opening(epoch.agreement.mine.wire()), opening(epoch.agreement.theirs.wire())],
        checkpoint: checkpoint.map(|side| EvidenceCheckpoint { by_sender: side == Side::Local, set }),
        statements: wires
            .iter()
            .map(|(_, _, wire)| Unverified::from_wire(wire))
            .collect::<Result<_, _>>()
            .map_err(RowError::damaged(STATEMENTS.name))?,
    }))
}

fn reduced(friend: PublicKey, whole: &AccountEvidence, extent: Extent) -> AccountEvidence {
    let is_of_friend = |statement: &&Unverified<Statement>| statement.peek().author == friend;
    let ends_at = match extent {
        Extent::Collected | Extent::Signed => whole.statements.iter().rfind(is_of_friend),
        Extent::Start => match whole.checkpoint {
            // A checkpoint of ours proves something only with what acknowledges it.
            Some(EvidenceCheckpoint { by_sender: true, .. }) => return reduced(friend, whole, Extent::Signed),
            Some(EvidenceCheckpoint { by_sender: false, .. }) => whole.statements.iter().find(is_of_friend),
            None => None,
        },
    };
    let newest = ends_at.map_or((0, 0), |statement| (statement.peek().seq, statement.peek().ack_seq));
    let collects = |statement: &&Unverified<Statement>| {
        statement.peek().operations.iter().any(|operation| matches!(operation, Operation::Collect { .. }))
    };
    let of_node = |statement: &&Unverified<Statement>| !is_of_friend(statement);
    let last_collect = whole.statements.iter().filter(of_node).rfind(collects);
    let own = match (extent, last_collect) {
        (Extent::Collected, Some(last)) => newest.1.max(last.peek().seq),
        _ => newest.1,
    };
    let is_shown = |statement: &&Unverified<Statement>| {
        let seq = statement.peek().seq;
        if is_of_friend(statement) { seq <= newest.0 } else { seq <= own }
    };
    let statements = whole.statements.iter().filter(is_shown).cloned().collect();
    AccountEvidence { statements, ..whole.clone() }
}
