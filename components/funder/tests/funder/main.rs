//! Whole nodes against each other, in memory and in virtual time.

mod asking;
mod auto_write_offs;
mod backups;
mod both_ends;
mod budgets;
mod clocks;
mod cycles;
mod failures;
mod friends;
mod held;
mod hostile;
mod key_rotation;
mod key_rotation_requests;
mod payments;
mod reconciling;
mod recovery;
mod resets;
mod silent;
mod street;
mod terms;
mod write_offs;
