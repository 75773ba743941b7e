//! x
pub mod account;
pub mod chain;
pub mod distrust;
pub mod epoch;
pub mod friends;
pub mod liar;
pub mod line;
pub mod log;
pub mod mirror;
pub mod play;
pub mod replay;
pub mod report;
pub mod request;
pub mod rules;
pub mod wording;
