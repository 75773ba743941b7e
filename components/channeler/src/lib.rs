//! Where a node listens, whom it dials, and which of two connections to one friend stays (protocol section 4). Decisions
//! only: no sockets, no clock, no randomness of its own.
//!
//! A node connects to all its own relays and to those of its friends, once to each, so two friends always have a relay in
//! common. When they see each other there, the one with the smaller key dials at once. The other one dials after a delay,
//! so that either side can bring the connection about. Crossed dials resolve to one connection.
//!
//! A friend with an address of its own is dialled there first, by each side that can, and over a relay as soon as that
//! fails. Its address is tried again when the friend is to be dialled and the last failure is long enough ago, and from time
//! to time beside a connection over a relay, which is replaced only by a direct one that is up. Otherwise the accident of
//! which side came back first would keep friends on a relay for weeks.
//!
//! A node that was displaced at a relay does not connect there again by itself: two copies of one folder must not sign
//! twice.

mod channeler;

pub use channeler::{Action, Channeler, DialTiming, Endpoints, Link, LinkDecision};
