//! What a node counts for its operator.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// What a node has done since it started.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$meta])* pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            /// Names and values.
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed)),)*]
            }
        }
    };
}

counters! {
    /// Transactions written.
    commits,
    /// Inputs handled.
    inputs,
    /// Frames from friends.
    frames_received,
    /// Frames to friends.
    frames_sent,
    /// Bytes of frames from friends, before encryption.
    bytes_received,
    /// Bytes of frames to friends, before encryption.
    bytes_sent,
    /// Friends connected now.
    friends_online,
    /// Friends connected now without a relay.
    friends_direct,
    /// Dials of friends at their own addresses that failed.
    direct_calls_failed,
    /// Connections without a relay that were rejected: of strangers, or of friends that dial too often at a time.
    callers_refused,
    /// Connections to friends that were closed because their queue was full.
    slow_friends,
    /// Times that a friend was read more slowly because it has sent or asked too much.
    friends_slowed,
    /// Invalid frames from friends.
    faulty_frames,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }
}
