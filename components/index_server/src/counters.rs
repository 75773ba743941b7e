//! What an index server counts for its operator.

use offst_proto::index::{UpdateOutcome, UpdateRefusal};
use offst_secure_channel::HandshakeCounters;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// Counted since the start, shared by all connections.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$meta])* pub(crate) $name: AtomicU64,)*
            /// At all listening sockets.
            pub(crate) handshakes: Arc<HandshakeCounters>,
        }

        /// The values of [`Counters`] at one time.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Snapshot {
            $($(#[$meta])* pub $name: u64,)*
            /// Handshakes that failed or took too long.
            pub handshakes_failed: u64,
            /// Handshakes that were ended for newer ones, because there were too many, or too many of one address.
            pub handshakes_surplus: u64,
        }

        impl Counters {
            /// The values now.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                    handshakes_failed: self.handshakes.failed.load(Ordering::Relaxed),
                    handshakes_surplus: self.handshakes.surplus.load(Ordering::Relaxed),
                }
            }
        }

        impl Snapshot {
            /// Names and values, as metrics show them.
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![
                    $((stringify!($name), self.$name),)*
                    ("handshakes_failed", self.handshakes_failed),
                    ("handshakes_surplus", self.handshakes_surplus),
                ]
            }
        }
    };
}

counters! {
    /// Connections that passed the handshake.
    connections,
    /// Connections that are open now.
    connections_open,
    /// Connections closed because there were too many, or too many of one address.
    connections_refused,
    /// Connections closed because of bytes that are no message.
    garbage,
    /// Updates taken.
    updates_accepted,
    /// Updates that were not newer than what is known: replayed or late.
    updates_stale,
    /// Updates with a signature that is not valid, or of another node than the one connected.
    updates_forged,
    /// Updates whose expiry is in the past or too far ahead.
    updates_expired,
    /// Updates above a quota: too many edges, too many nodes, too often.
    updates_over_quota,
    /// Queries searched.
    queries,
    /// Queries without a route.
    queries_without_route,
    /// Queries whose search was cut.
    queries_cut,
    /// Queries not searched because the connection or its address asked too often.
    queries_busy,
    /// Queries not searched because there was too much to do.
    queries_overload,
    /// Queries that wait for a thread now.
    queries_waiting,
    /// Nodes of which something is held now.
    nodes,
    /// Edges held now.
    edges,
    /// Bytes of signed updates held now.
    update_bytes,
    /// Nodes that were forgotten to make room for others that hold less.
    nodes_gave_way,
    /// Nodes that were told to announce all their edges again.
    updates_say_all,
    /// Connections that were closed to make room for others.
    connections_gave_way,
    /// Bytes written to the file.
    saved_bytes,
    /// Index servers that are linked now.
    neighbours_connected,
    /// Connections of index servers that are not trusted.
    federation_untrusted,
    /// Links closed because of bytes that are no message.
    federation_garbage,
    /// Updates from neighbours that were new.
    federation_news,
    /// Updates from neighbours that were not newer than what is known.
    federation_old,
    /// Updates from neighbours with a signature that is not valid.
    federation_forged,
    /// Updates from neighbours whose expiry is in the past or too far ahead.
    federation_expired,
    /// Updates from neighbours above a quota.
    federation_over_quota,
    /// Updates sent to neighbours.
    federation_sent,
    /// Bytes of frames from neighbours.
    federation_bytes_received,
    /// Bytes of frames to neighbours.
    federation_bytes_sent,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        Counters::add_many(counter, 1);
    }

    pub(crate) fn add_many(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn count_update(&self, outcome: &UpdateOutcome) {
        Counters::add(match outcome {
            UpdateOutcome::Accepted { .. } => &self.updates_accepted,
            UpdateOutcome::Stale { .. } => &self.updates_stale,
            UpdateOutcome::Refused { reason, .. } => match reason {
                UpdateRefusal::SayAll => &self.updates_say_all,
                UpdateRefusal::Signature | UpdateRefusal::OtherNode => &self.updates_forged,
                UpdateRefusal::Expired | UpdateRefusal::TooFarAhead => &self.updates_expired,
                UpdateRefusal::Quota | UpdateRefusal::AddressQuota | UpdateRefusal::Full | UpdateRefusal::TooOften => {
                    &self.updates_over_quota
                }
            },
        });
    }
}
