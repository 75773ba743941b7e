//! Whole nodes against each other, in memory and in virtual time.

mod random;
mod world;
