//! Deliberate bugs, each of which the simulator must catch: they show that its checkers see what they are there for.
//!
//! They exist only where the compiler is called with `--cfg mutant`, which nothing but a test of the simulator does, in a target
//! folder of its own. Otherwise [`crate::mutant!`] is `false`, and nothing of this is in a program.

/// Stands in every program that was built with them: whoever asks whether one is on takes it in ([`is`]).
#[cfg(mutant)]
const MARK: &str = "offst-deliberate-bug";

#[cfg(mutant)]
macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A deliberate bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Mutant { $($(#[$doc])* $name,)* }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Mutant] = &[$(Mutant::$name,)*];

            /// Its name, as the simulator takes it.
            pub fn name(self) -> &'static str {
                match self { $(Mutant::$name => $text,)* }
            }
        }
    };
}

#[cfg(mutant)]
mutants! {
    /// What a batch brought about goes out before its transaction is written.
    SendBeforeCommit = "send-before-commit",
    /// A process that dies takes the last transaction with it.
    DropLastCommit = "drop-last-commit",
    /// The state of a request is not written to the disk.
    LosePendingRow = "lose-pending-row",
    /// The downstream takes a request out and never says so.
    ForgetCancel = "forget-cancel",
    /// Neither side looks at the limit.
    SkipLimitCheck = "skip-limit-check",
    /// The preimage of a Collect is not looked at.
    SkipPreimageCheck = "skip-preimage-check",
    /// After a reconnect a statement is signed anew instead of sent again.
    SignAgain = "sign-again",
    /// What was signed as committed is given up when its time is over.
    AbortAfterCommit = "abort-after-commit",
    /// What comes from a connection that is gone is taken.
    AcceptStale = "accept-stale",
    /// An invoice that was paid can be paid again.
    CollectTwice = "collect-twice",
    /// The first part that is committed is collected without the others.
    CollectPartialSum = "collect-partial-sum",
    /// A mediator writes down twice the fee.
    FeeTwice = "fee-twice",
    /// A mediator takes nothing.
    NoFee = "no-fee",
    /// After a restart nobody knows what was being carried on.
    ForgetForward = "forget-forward",
    /// When the downstream is gone the upstream is released, committed or not.
    ReleaseBound = "release-bound",
    /// A key that was lost and replaced is taken as a friend's again.
    AcceptLostKey = "accept-lost-key",
    /// Nobody looks at what other friends have kept.
    IgnoreBackups = "ignore-backups",
    /// The row of a request that ended here is left on the disk.
    KeepArrival = "keep-arrival",
    /// A gift brings its receiver one credit more than was ordered.
    GiftOneMore = "gift-one-more",
    /// A buyer believes any answer to its request, whoever has signed it.
    BelieveAnyResponse = "believe-any-response",
    /// A friend may give up what it has committed.
    TakeBackCommitted = "take-back-committed",
    /// A seller believes whoever names an invoice.
    SkipProofCheck = "skip-proof-check",
    /// What an owner takes for carrying payments is forgotten by the next start.
    LoseRate = "lose-rate",
    /// A limit below 400 credits counts as 400, on both sides.
    LimitNeverLowered = "limit-never-lowered",
    /// No friend is given a backup to keep.
    BackupNeverSent = "backup-never-sent",
    /// Nobody looks at the key of whoever a relay connects to.
    TakeAnyKey = "take-any-key",
    /// More is written off than the owner has allowed.
    WriteOffMore = "write-off-more",
    /// What waits for the next epoch of an account is forgotten by the next start.
    ForgetClaims = "forget-claims",
    /// Of several requests in one statement each is compared with the limit alone.
    LimitEachAlone = "limit-each-alone",
    /// Whoever says that it clears a ring of debts is carried for nothing.
    WaiveAnyFee = "waive-any-fee",
    /// What a friend holds for too long is not noticed after a restart.
    ForgetOverdue = "forget-overdue",
    /// More is written off without asking than the owner has allowed.
    AutoWriteOffMore = "auto-write-off-more",
    /// What a friend has collected at the owner's cost does not end that more is written off without asking.
    AutoWriteOffStays = "auto-write-off-stays",
    /// An invoice is paid with as many credits of another currency.
    PayInOtherCurrency = "pay-in-other-currency",
    /// A seller keeps as many parts of one payment as anybody sends.
    EndlessGroup = "endless-group",
    /// A request is carried back to the friend it came from.
    SendBack = "send-back",
    /// After a loss requests are tied together whose locks differ.
    RelinkAnyLock = "relink-any-lock",
    /// After a loss a request is tied to one that costs more than it brings.
    RelinkAnyAmount = "relink-any-amount",
    /// Whoever may have forgotten how a request ended says that it knows nothing of it.
    UnknownInDoubt = "unknown-in-doubt",
    /// What is pending on an account is forgotten when a debt on it is cleared.
    ClearPending = "clear-pending",
    /// A ring of debts comes home over an account on which nothing is owed.
    ClearNothing = "clear-nothing",
}

#[cfg(mutant)]
mod chosen {
    use super::{MARK, Mutant};
    use std::sync::atomic::{AtomicU8, Ordering};

    const NONE: u8 = u8::MAX;
    static CHOSEN: AtomicU8 = AtomicU8::new(NONE);

    /// Switches a bug on, for the whole process.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn choose(name: &str) -> Result<(), String> {
        let found = Mutant::ALL.iter().find(|mutant| mutant.name() == name);
        let mutant = found.ok_or_else(|| format!("{MARK}: there is none named \"{name}\""))?;
        CHOSEN.store(*mutant as u8, Ordering::Relaxed);
        Ok(())
    }

    /// Whether this bug is on.
    pub fn is(mutant: Mutant) -> bool {
        // A program that never chooses one would lose its mark otherwise: the linker drops what nothing reaches.
        std::hint::black_box(MARK);
        CHOSEN.load(Ordering::Relaxed) == mutant as u8
    }
}

#[cfg(mutant)]
pub use chosen::{choose, is};

/// Whether this deliberate bug is on. Never, but in the tests of the simulator.
#[cfg(mutant)]
#[macro_export]
macro_rules! mutant {
    ($name:ident) => {
        $crate::mutant::is($crate::mutant::Mutant::$name)
    };
}

/// Whether this deliberate bug is on. Never, but in the tests of the simulator.
#[cfg(not(mutant))]
#[macro_export]
macro_rules! mutant {
    ($name:ident) => {
        false
    };
}
