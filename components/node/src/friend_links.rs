//! The connections to friends that are up, and how many of them there are.

use crate::counters::Counters;
use crate::messages::DirectLinks;
use offst_crypto::PublicKey;
use offst_funder::ConnectionId;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use tokio_util::sync::CancellationToken;

/// The connections to friends.
pub(crate) struct FriendLinks {
    links: BTreeMap<ConnectionId, Link>,
    direct: DirectLinks,
    counters: Arc<Counters>,
    last_id: ConnectionId,
}

struct Link {
    close: CancellationToken,
    direct: bool,
}

impl FriendLinks {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        FriendLinks { links: BTreeMap::new(), direct: DirectLinks::default(), counters, last_id: 0 }
    }

    /// The connections without a relay, as they come and go.
    pub(crate) fn direct(&self) -> DirectLinks {
        self.direct.clone()
    }

    /// A name for a new connection.
    pub(crate) fn new_id(&mut self) -> ConnectionId {
        self.last_id += 1;
        self.last_id
    }

    /// A connection to a friend is in use from now on; it ends when `close` is cancelled.
    pub(crate) fn open(&mut self, id: ConnectionId, friend: PublicKey, direct: bool, close: CancellationToken) {
        self.counters.friends_online.fetch_add(1, Ordering::Relaxed);
        let mut links = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        if direct {
            self.counters.friends_direct.fetch_add(1, Ordering::Relaxed);
            links.insert(friend, id);
        } else {
            links.remove(&friend);
        }
        drop(links);
        self.links.insert(id, Link { close, direct });
    }

    /// Closes a connection, if it is there still. Its task reports the end.
    pub(crate) fn close(&self, id: ConnectionId) {
        if let Some(link) = self.links.get(&id) {
            link.close.cancel();
        }
    }

    pub(crate) fn close_all(&self) {
        self.links.values().for_each(|link| link.close.cancel());
    }

    /// A connection to a friend has ended.
    pub(crate) fn ended(&mut self, id: ConnectionId, friend: PublicKey) {
        if self.links.remove(&id).is_some_and(|link| link.direct) {
            self.counters.friends_direct.fetch_sub(1, Ordering::Relaxed);
            let mut links = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
            // Another one may have replaced it.
            if links.get(&friend) == Some(&id) {
                links.remove(&friend);
            }
        }
        self.counters.friends_online.fetch_sub(1, Ordering::Relaxed);
    }
}
