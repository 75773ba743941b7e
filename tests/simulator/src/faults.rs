//! What can go wrong in a world, and how often it did.

use std::collections::BTreeMap;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A connection broke; some of what was under way was lost.
    BrokenConnection,
    /// A process ended between two batches.
    Killed,
    /// A disk refused a transaction, which ended the process.
    DiskFailed,
    /// A process ended before its transaction was written.
    DiedBeforeCommit,
    /// A process ended after its transaction was written, before anybody heard of it.
    DiedBeforeOutputs,
    /// A process ended when some had heard of its transaction and others had not.
    DiedBetweenOutputs,
    /// A process stood still while time went on.
    Frozen,
    /// A statement that breaks a rule was signed in a friend's name.
    BrokenStatement,
    /// An owner gave up a friend without waiting for pending requests.
    Forced,
    /// An owner changed a limit, a rate or whether requests are taken, in the middle of it all.
    Changed,
    /// A buyer or a seller took back what it had asked for.
    TakenBack,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 11] = [
        Fault::BrokenConnection,
        Fault::Killed,
        Fault::DiskFailed,
        Fault::DiedBeforeCommit,
        Fault::DiedBeforeOutputs,
        Fault::DiedBetweenOutputs,
        Fault::Frozen,
        Fault::BrokenStatement,
        Fault::Forced,
        Fault::Changed,
        Fault::TakenBack,
    ];

    /// In words, for people.
    pub fn name(self) -> &'static str {
        match self {
            Fault::BrokenConnection => "connections broken",
            Fault::Killed => "processes killed",
            Fault::DiskFailed => "transactions refused by a disk",
            Fault::DiedBeforeCommit => "deaths before the commit",
            Fault::DiedBeforeOutputs => "deaths after the commit",
            Fault::DiedBetweenOutputs => "deaths between outputs",
            Fault::Frozen => "processes frozen",
            Fault::BrokenStatement => "statements that break a rule",
            Fault::Forced => "friends given up by force",
            Fault::Changed => "settings changed",
            Fault::TakenBack => "payments and invoices taken back",
        }
    }
}

/// How often each fault happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Fault, u64>);

impl Counts {
    /// One more.
    pub fn add(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    /// All of another world.
    pub fn merge(&mut self, other: &Counts) {
        for (fault, count) in &other.0 {
            *self.0.entry(*fault).or_default() += count;
        }
    }

    /// How often this one happened.
    pub fn of(&self, fault: Fault) -> u64 {
        self.0.get(&fault).copied().unwrap_or(0)
    }
}
