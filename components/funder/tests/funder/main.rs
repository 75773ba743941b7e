//! Whole nodes against each other, in memory and in virtual time.

mod asking;
mod auto_write_offs;
mod backups;
mod both_ends;
mod budgets;
mod circles;
mod clocks;
mod failures;
mod friends;
mod handover;
mod held;
mod hostile;
mod payments;
mod recovery;
mod relinking;
mod resets;
mod silent;
mod street;
mod succession;
mod terms;
mod write_offs;
