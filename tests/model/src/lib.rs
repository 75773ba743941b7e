//! The account protocol with small numbers, every state of it visited, and the ledger held against it.
//!
//! The model is written from docs/protocol.md, not from the ledger: statements hold small numbers and names instead of hashes and
//! signatures. [`scenarios`] lists the worlds; each is searched to its last state ([`mod@search`]), without what nobody could notice
//! ([`reduction`]), and steps of it are carried out on real ledger accounts, which are compared after each ([`replay`]).
//! [`rules`] breaks the protocol on purpose, to see the properties notice it.

pub mod account;
pub mod canonical;
pub mod chain;
mod chain_model;
pub mod distrust;
pub mod epoch;
pub mod fingerprint;
pub mod friends;
pub mod liar;
pub mod log;
pub mod mirror;
pub mod pair;
pub mod play;
pub mod reduction;
pub mod replay;
pub mod report;
pub mod request;
pub mod rules;
pub mod scenarios;
pub mod search;
pub mod settled;
mod view;
pub mod wording;
pub mod worlds;
