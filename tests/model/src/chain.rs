//! Buyer, mediator, seller: payments over two accounts (protocol section 2). Each of the three may lie; liars share all they
//! know.
//!
//! Pair 0 is the account of buyer and mediator, pair 1 that of mediator and seller. On each the end nearer to the buyer is
//! end 0.

use crate::account::Account;
use crate::epoch::Epoch;
use crate::liar::Repertoire;
use crate::log::{Operation, Side};
use crate::pair::{AccountPair, Frame};
use crate::request::{Direction, Id, REQUESTS, Stage};
use crate::rules::Rules;

/// The nodes by their number.
pub const BUYER: usize = 0;
/// Carries on, for a fee.
pub const MEDIATOR: usize = 1;
/// Is paid.
pub const SELLER: usize = 2;

/// What the seller gets for a request.
pub const PRICE: u8 = 1;
/// What the mediator takes.
pub const FEE: u8 = 1;

/// How much may happen.
#[derive(Debug, Clone)]
pub struct Chain {
    /// How many requests the buyer makes.
    pub payments: usize,
    /// Who lies.
    pub liars: Vec<usize>,
    /// Which end of each pair has the smaller key.
    pub smaller_keys: [Side; 2],
    /// What each end of a pair lets the other owe.
    pub limit: u8,
    /// An end signs only while fewer frames than this of it are in flight; 0: it signs at once.
    pub in_flight: usize,
    /// The mediator may set the limit of its friend on this pair to so much, once.
    pub lowered: Option<(usize, u8)>,
    /// How often a process may die.
    pub crashes: u8,
    /// Whose.
    pub mortals: Vec<usize>,
    /// How often the mediator's owner may accept a friend's terms.
    pub accepts: u8,
    /// Statements of liars.
    pub statements: u8,
    /// Resumes of liars.
    pub resumes: u8,
    /// What liars may say.
    pub repertoire: Repertoire,
    /// The rules that honest nodes follow.
    pub rules: Rules,
}

impl Default for Chain {
    fn default() -> Self {
        Chain {
            payments: 1,
            liars: Vec::new(),
            smaller_keys: [0, 0],
            limit: 2 * (PRICE + FEE),
            in_flight: usize::MAX,
            lowered: None,
            crashes: 0,
            mortals: vec![BUYER, MEDIATOR, SELLER],
            accepts: 0,
            statements: 0,
            resumes: 0,
            repertoire: Repertoire {
                requests: vec![0],
                amounts: vec![PRICE, PRICE + FEE],
                limits: vec![],
                forges: false,
            },
            rules: Rules::Kept,
        }
    }
}

/// A state of [`Chain`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChainState {
    /// The two accounts.
    pub pairs: Vec<AccountPair>,
    /// Which payments have begun.
    pub begun: [bool; REQUESTS],
    pub(crate) is_lowered: bool,
    /// How many may still come.
    pub crashes: u8,
    pub(crate) accepts: u8,
    pub(crate) statements: u8,
    pub(crate) resumes: u8,
    /// An honest node accused an honest friend.
    pub(crate) accused: bool,
    /// A liar was found out.
    pub(crate) found_out: bool,
}

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainAction {
    /// The buyer asks.
    Ask(Id),
    /// The buyer commits.
    Commit(Id),
    /// The buyer gives up.
    GiveUp(Id),
    /// The mediator's timer ends.
    TimeOut(Id),
    /// The seller is willing.
    Respond(Id),
    /// The seller refuses, or cancels what was committed.
    Refuse(Id),
    /// The seller takes its credits.
    Collect(Id),
    /// The mediator's owner accepts the terms of the friend on this pair.
    Accept(usize),
    /// An end signs what waits.
    Sign(usize, Side),
    /// An end takes the next frame.
    Deliver(usize, Side),
    /// Two friends connect.
    Connect(usize),
    /// The mediator lowers the limit of its friend on this pair.
    Lower(usize, u8),
    /// A node dies, and starts again.
    Crash(usize),
    /// A liar says something to the honest end of a pair.
    Lie(usize, Frame),
}

/// The stage of a request on an account.
pub(crate) fn pending(account: &Account, direction: Direction, id: Id) -> Option<Stage> {
    Some(account.epoch.as_ref()?.local_view.find(direction, id)?.stage)
}

/// Whether a signed Commit binds this end.
pub fn is_bound(account: &Account, id: Id) -> bool {
    account.epoch.as_ref().is_some_and(|epoch| epoch.is_bound(id))
}

/// A request that no signed Commit binds.
pub(crate) fn is_uncommitted(account: &Account, id: Id) -> bool {
    let is_outgoing = pending(account, Direction::Outgoing, id).is_some() && !is_bound(account, id);
    is_outgoing || pending(account, Direction::Incoming, id).is_some_and(|stage| !stage.is_committed())
}

impl Chain {
    /// Whether this node follows the rules.
    pub fn is_honest(&self, node: usize) -> bool {
        !self.liars.contains(&node)
    }

    /// Which end of this pair a node has.
    pub fn side(pair: usize, node: usize) -> Side {
        (node - pair).try_into().expect("a node of this pair")
    }

    /// What must be done or said before all are at rest.
    pub fn due(&self, state: &ChainState, actions: &mut Vec<ChainAction>) {
        for (number, pair) in state.pairs.iter().enumerate() {
            let honest = |side: Side| pair.ends[usize::from(side)].as_ref();
            if !pair.connected && (honest(0).is_some() || honest(1).is_some()) {
                actions.push(ChainAction::Connect(number));
            }
            for side in 0..2 {
                let Some(account) = honest(side) else { continue };
                if !pair.wire[usize::from(side)].is_empty() {
                    actions.push(ChainAction::Deliver(number, side));
                }
                let epoch = account.active().filter(|_| account.resumed);
                let waits = epoch.is_some_and(|epoch| !epoch.queue.is_empty() || epoch.owes_acknowledgement);
                if waits && pair.wire[usize::from(1 - side)].len() < self.in_flight.max(1) {
                    actions.push(ChainAction::Sign(number, side));
                }
            }
        }
        for id in 0..REQUESTS as Id {
            if self.is_honest(BUYER) {
                let account = state.pairs[0].end(0);
                let stage = pending(account, Direction::Outgoing, id);
                if account.stopped.is_none() && matches!(stage, Some(Stage::Responded(_))) {
                    actions.push(ChainAction::Commit(id));
                }
                if stage.is_some_and(|stage| stage != Stage::Aborted) && !is_bound(account, id) {
                    actions.push(ChainAction::GiveUp(id));
                }
            }
            if self.is_honest(MEDIATOR) {
                let is_there = pending(state.pairs[0].end(1), Direction::Incoming, id).is_some();
                let may_end = !is_bound(state.pairs[1].end(0), id) || self.rules == Rules::TimerEndsCommitted;
                if is_there && may_end {
                    actions.push(ChainAction::TimeOut(id));
                }
            }
            if self.is_honest(SELLER) {
                let account = state.pairs[1].end(1);
                let stage = pending(account, Direction::Incoming, id);
                if account.stopped.is_none() && stage == Some(Stage::Requested) {
                    actions.push(ChainAction::Respond(id));
                }
                if stage == Some(Stage::Committed(id)) {
                    actions.push(ChainAction::Collect(id));
                }
                if stage.is_some() {
                    actions.push(ChainAction::Refuse(id));
                }
            }
        }
    }

    /// The preimages that liars have: those of locks that they make themselves, those of a lying seller, and those that an honest
    /// one has shown to a lying mediator.
    pub(crate) fn knows(&self, state: &ChainState, id: Id) -> bool {
        if !self.is_honest(SELLER) || usize::from(id) >= self.payments {
            return true;
        }
        if self.is_honest(MEDIATOR) {
            return state.pairs[0].taken[1][usize::from(id)];
        }
        let seller = state.pairs[1].end(1);
        let waits = |epoch: &Epoch| epoch.queue.contains(&(Operation::Collect(id, id), PRICE));
        state.pairs[1].taken[1][usize::from(id)] && !seller.epoch.as_ref().is_some_and(waits)
    }
}
