//! What each friend may have of this node, however often it connects: handshakes at the same time, a delay before they are
//! answered, and messages a second.

use crate::accept_delay::{AcceptDelay, Admission};
use crate::rate_limit::FriendRateLimit;
use crate::settings::FriendLimits;
use offst_crypto::PublicKey;
use std::collections::BTreeMap;

/// Dials of one friend that are being answered at the same time.
pub(crate) const GREETINGS_MAX: usize = 4;

/// The dials of friends that are being answered, and what is counted for each friend.
pub(crate) struct Incoming {
    limits: FriendLimits,
    /// How many dials are being answered, by friend.
    greetings: BTreeMap<PublicKey, usize>,
    friends: BTreeMap<PublicKey, Counted>,
}

struct Counted {
    rate_limit: FriendRateLimit,
    delay: AcceptDelay,
}

impl Incoming {
    pub(crate) fn new(limits: FriendLimits) -> Self {
        Incoming { limits, greetings: BTreeMap::new(), friends: BTreeMap::new() }
    }

    /// Whether one more dial of this friend can be answered now.
    pub(crate) fn has_room(&self, friend: &PublicKey) -> bool {
        self.greetings.get(friend).copied().unwrap_or_default() < GREETINGS_MAX
    }

    /// A dial of a friend is being answered from now on, until [`Incoming::end`]. `random` is any number.
    pub(crate) fn begin(&mut self, friend: PublicKey, now_ms: u64, random: u64) -> Admission {
        *self.greetings.entry(friend).or_default() += 1;
        self.counted(friend).delay.dialled(now_ms, random)
    }

    /// A dial of a friend is no longer being answered.
    pub(crate) fn end(&mut self, friend: PublicKey) {
        if let Some(greetings) = self.greetings.get_mut(&friend) {
            *greetings -= 1;
            if *greetings == 0 {
                self.greetings.remove(&friend);
            }
        }
    }

    /// What all connections of a friend together may send.
    pub(crate) fn rate_limit(&mut self, friend: PublicKey) -> FriendRateLimit {
        self.counted(friend).rate_limit.clone()
    }

    /// Who was a friend is none any more.
    pub(crate) fn forget(&mut self, friend: &PublicKey) {
        self.friends.remove(friend);
    }

    #[cfg(test)]
    pub(crate) fn greetings(&self) -> &BTreeMap<PublicKey, usize> {
        &self.greetings
    }

    fn counted(&mut self, friend: PublicKey) -> &mut Counted {
        let limits = self.limits;
        let new = || Counted { rate_limit: FriendRateLimit::new(limits), delay: AcceptDelay::default() };
        self.friends.entry(friend).or_insert_with(new)
    }
}
