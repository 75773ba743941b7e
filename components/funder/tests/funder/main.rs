//! Whole nodes against each other, in memory and in virtual time.

mod failures;
mod friends;
mod payments;
mod random;
mod world;
