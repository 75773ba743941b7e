//! Where a node listens, whom it dials, and which of two connections to one friend stays (protocol section 4). Decisions
//! only: no sockets, no clock, no randomness of its own.
//!
//! A node is at all its own relays and at those of its friends, one connection each, so two friends always meet somewhere. Where
//! they see each other, the one with the smaller key dials at once; the other waits a little and then dials as well, so
//! that either side can bring the connection about. Crossed dials resolve to one connection.
//!
//! A friend with an address of its own is dialled there first, by whoever can, and over a relay as soon as that fails. It is
//! tried at its address again when it is to be dialled and the last failure is long enough ago, and now and then beside a
//! connection over a relay, which gives way only to a direct one that is up. Otherwise the accident of who came back first would
//! keep friends on a relay for weeks.
//!
//! A node that was displaced at a relay does not go there again by itself: two copies of one folder must not sign twice.

mod channeler;

pub use channeler::{Action, Channeler, Contact, Link, Timing, Verdict};
