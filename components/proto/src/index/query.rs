//! What a node asks an index server, and the answer.

use crate::amount::Amount;
use crate::currency::Currency;
use crate::encoding::DecodeError;
use crate::route::Route;
use offst_crypto::PublicKey;

/// Most excluded edges, and most excluded nodes, in one query.
pub const EXCLUDED_MAX: usize = 256;
/// Most routes in one answer.
pub const ROUTES_MAX: usize = 8;

/// One direction of a friendship.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop {
    /// Who sends.
    pub from: PublicKey,
    /// Who receives.
    pub to: PublicKey,
}

/// One direction of a friendship that has refused more than some amount, whatever its nodes publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exclusion {
    /// The direction.
    pub hop: Hop,
    /// What it may still be used for, credits, fees included; 0: it must not be used.
    pub left: Amount,
}

impl Exclusion {
    /// It must not be used.
    pub fn whole(hop: Hop) -> Self {
        Exclusion { hop, left: Amount::ZERO }
    }
}

/// Asks for routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Chosen by the one who asks; the answer repeats it.
    pub id: u64,
    /// The currency of every edge of the route.
    pub currency: Currency,
    /// What the destination must get, credits; at least 1. For `clearing` the most that it may get.
    pub amount: Amount,
    /// Who pays.
    pub source: PublicKey,
    /// Who is paid. The source itself asks for cycles, which never leave and come back over one friend.
    pub destination: PublicKey,
    /// The first node after the source, when it matters: a cycle through a named friend moves debt with this friend.
    pub via: Option<PublicKey>,
    /// Directed edges that must not be used, or not for much, at most [`EXCLUDED_MAX`].
    pub excluded_edges: Vec<Exclusion>,
    /// Nodes that must not be passed, at most [`EXCLUDED_MAX`]. Source and destination are never excluded.
    pub excluded_nodes: Vec<PublicKey>,
    /// Asks for a debt cycle: a cycle in which each owes the node before it, all of whom allow clearing. The answer is
    /// one part without fees that carries what can be cleared, at most `amount`. On the source's own accounts the
    /// friends' word is enough.
    pub clearing: bool,
}

impl Query {
    /// A query without exclusions.
    pub fn new(currency: Currency, amount: Amount, source: PublicKey, destination: PublicKey) -> Self {
        let (excluded_edges, excluded_nodes) = (vec![], vec![]);
        Query {
            id: 0,
            currency,
            amount,
            source,
            destination,
            via: None,
            excluded_edges,
            excluded_nodes,
            clearing: false,
        }
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// An amount of 0, too many exclusions, or clearing that is no cycle.
    pub fn check(&self) -> Result<(), DecodeError> {
        if self.amount.is_zero() {
            return Err(DecodeError::invalid("an amount of 0"));
        }
        if self.excluded_edges.len() > EXCLUDED_MAX || self.excluded_nodes.len() > EXCLUDED_MAX {
            return Err(DecodeError::too_large("the number of exclusions"));
        }
        if self.clearing && self.source != self.destination {
            return Err(DecodeError::invalid("clearing that ends elsewhere"));
        }
        Ok(())
    }
}

/// Answers a [`Query`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of the query.
    pub id: u64,
    /// Different routes, cheapest first, at most [`ROUTES_MAX`]. Empty: none was found.
    pub routes: Vec<Route>,
    /// The search ended at its bound of work; there may be more or cheaper routes.
    pub cut: bool,
}
