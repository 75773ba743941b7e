//! Worlds of nodes in memory: real funders, links that break, processes that die between two lines, friends that lie, and
//! a clock that is turned by hand. Everything that happens is drawn from a seed, so every run can be repeated.
//!
//! [`World`] is what tests write scenarios with. [`seed::live`] draws a whole life from a seed: who is whose friend, what
//! goes wrong, then a time in which everything is healed; at the end everything must have come right. [`economy`] has thousands
//! of people with nothing going wrong, who trust each other as people in a file do, and pay each other for hours.

pub mod availability;
pub mod economy;
pub mod faults;
mod hardships;
mod heirs;
pub mod index;
pub mod keys;
mod life;
mod losses;
pub mod mix;
pub mod options;
mod orders;
mod reference;
pub mod scripts;
pub mod seed;
pub mod shrink;
mod story;
pub mod trace;
mod truth;
mod verdict;
mod world;
mod write_offs;

pub use world::disk::{Disk, NotWritten};
pub use world::sources::Paths;
pub use world::{CRASHES, Crash, Node, World, name};
