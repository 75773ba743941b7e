//! Worlds of nodes in memory: real funders, links that break, processes that die at any point, friends that lie, and
//! a clock that is turned by hand. Everything that happens is drawn from a seed, so every run can be repeated.
//!
//! [`World`] is what tests write scenarios with. [`seed::run`] draws a whole run from a seed: who is whose friend, what
//! goes wrong, then a time in which everything is healed; at the end every check must pass. [`economy`] has thousands
//! of people with nothing going wrong, who trust each other as people in a file do, and pay each other for hours.

pub mod availability;
pub mod economy;
mod expected_state;
pub mod faults;
mod hardships;
pub mod index;
mod key_rotation;
pub mod keys;
mod losses;
pub mod mix;
pub mod options;
mod orders;
mod reference;
mod run;
pub mod scripts;
pub mod seed;
pub mod shrink;
mod story;
pub mod trace;
mod verdict;
mod world;
mod write_offs;

pub use world::disk::{Disk, NotWritten};
pub use world::sources::Paths;
pub use world::{CRASHES, Crash, Node, World, name};
