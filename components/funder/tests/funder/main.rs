//! Whole nodes against each other, in memory and in virtual time.

mod failures;
mod friends;
mod hostile;
mod payments;
mod recovery;
