//! What can go wrong in a world, and how often it did.

use std::collections::BTreeMap;

macro_rules! named {
    ($(#[$attribute:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// Its name for people.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// A switch: what may go wrong in a world. What is off never happens there, so that faults do not hide each other.
    FaultKind {
        /// What is sent takes its time.
        Delays = "delays",
        /// Connections break, and the end of what was sent is lost.
        Resets = "resets",
        /// One direction of a connection is dead, until somebody notices.
        HalfOpen = "half-open",
        /// The nodes fall into two parts that do not reach each other.
        Partitions = "partitions",
        /// Transactions take their time.
        SlowDisks = "slow-disks",
        /// Disks refuse to write, and processes die within a batch.
        Crashes = "crashes",
        /// Processes are killed between batches.
        Kills = "kills",
        /// Disks are lost, or replaced by an older copy.
        Disks = "lost-disks",
        /// Processes stand still.
        Stalls = "stalls",
        /// Owners change limits, rates and who may send.
        Settings = "settings",
        /// Owners disable and remove friends.
        Removals = "removals",
        /// Buyers and sellers take back what they asked for; invoices expire.
        Cancels = "cancels",
        /// Index servers answer what was true once, or never.
        Index = "index",
        /// Relays drop connections, delay them, or bring the wrong parties together.
        Relays = "relays",
        /// Statements that break a rule arrive in an honest friend's name, owners use force and settle what has
        /// stopped.
        Slander = "slander",
        /// Some nodes lie.
        Liars = "liars",
        /// Nodes lose their keys with all they have, and their owners go on as others.
        Keys = "lost-keys",
        /// Owners write off what a friend holds that has gone after the commit.
        WriteOffs = "write-offs",
        /// Clocks are wrong, by hours or decades, and are put right again, while nodes run and when they start.
        Clocks = "wrong-clocks",
        /// Friends are away for weeks, also beside a recovery.
        Absences = "absences",
        /// Requests wait for up to an hour.
        Patience = "long-patience",
        /// Applications order, and may spend only so much.
        Budgets = "budgets",
        /// Mediators ask for a hundred times what they did.
        Fees = "dear-fees",
        /// Liars offer terms that are nearly right, hold acknowledgements back, and forge evidence; owners accept what
        /// they can.
        Terms = "false-terms",
    }
}

named! {
    /// Something that went wrong.
    InjectedFault {
        /// What was sent on a link waited.
        Delayed = "links delayed",
        /// A connection broke.
        BrokenConnection = "connections broken",
        /// The end of what was sent was lost with its connection.
        LostSuffix = "connections that lost what was sent last",
        /// Something arrived after its connection was gone.
        Late = "frames of connections that are gone",
        /// A direction of a connection died.
        HalfOpen = "half-open connections",
        /// The nodes were parted.
        Partition = "partitions",
        /// A transaction took its time.
        SlowDisk = "slow transactions",
        /// A disk refused a transaction, which ended the process.
        DiskFailed = "transactions refused by a disk",
        /// A process ended before its transaction was written.
        DiedBeforeCommit = "deaths before the commit",
        /// A process ended after its transaction was written, before anybody knew of it.
        DiedBeforeOutputs = "deaths after the commit",
        /// A process ended when some knew of its transaction and others did not.
        DiedBetweenOutputs = "deaths between two sends",
        /// A process ended between two batches.
        Killed = "processes killed",
        /// A process stood still while time went on.
        Stalled = "processes stalled",
        /// A node went on with an older copy of its disk, and its owner said so (`stnode restore`).
        RestoredDisk = "older copies of a disk restored",
        /// An older copy of a node's disk was put back by hand, and nobody said so.
        OldDisk = "older copies of a disk put back in silence",
        /// A disk was lost: its owner remembered the identity and the friends' tickets (`stnode recover`).
        LostDisk = "disks lost with everything on them",
        /// Both ends of an account lost their disks, or went on with older copies, one after the other.
        BothEnds = "accounts of which both ends lost a disk or went on with an older one",
        /// One of these three while requests were pending at the node.
        LostUnderWay = "disks lost or replaced with payments under way",
        /// An owner changed a rate, or whether requests are taken.
        Changed = "settings changed",
        /// An owner lowered a limit below what was owed and pending, or while requests were pending.
        LimitLowered = "limits lowered with payments pending",
        /// An owner disabled a friend while requests were pending.
        Disabled = "friends disabled with payments pending",
        /// An owner removed a friend while requests were pending.
        Removed = "friends removed with payments pending",
        /// An owner gave up a friend without waiting for pending requests.
        Forced = "friends given up by force",
        /// A buyer called a payment off.
        PaymentCancelled = "payments called off",
        /// A seller took an invoice back.
        InvoiceCancelled = "invoices cancelled",
        /// The time of an invoice was over before somebody had paid it.
        InvoiceExpired = "invoices expired",
        /// An index server answered with what was true once, and is not now.
        StaleAnswer = "stale index answers",
        /// An index server answered with what was never true.
        FalseAnswer = "false index answers",
        /// A relay dropped a connection or a call.
        RelayDropped = "relay drops",
        /// A relay let a call wait.
        RelayDelayed = "relay delays",
        /// A relay connected a caller to somebody else.
        WrongParty = "wrong parties connected by a relay",
        /// A statement that breaks a rule was signed in an honest friend's name.
        BrokenStatement = "statements that break a rule",
        /// A liar sent an old statement again.
        OldStatement = "lies: old statements",
        /// A liar signed two statements for one place of its log.
        ForkedLog = "lies: forked logs",
        /// A liar signed totals that are not the sums of its operations.
        ForgedTotals = "lies: forged totals",
        /// A liar collected what nobody had committed.
        CollectedEarly = "lies: collects without commit or preimage",
        /// A liar answered a request in the name of its destination, under a lock of its own.
        ForgedResponse = "lies: answers in the name of a destination",
        /// A liar gave up a request that it had committed.
        TakenBack = "lies: committed requests given up",
        /// A liar signed a statement that is not the next of its log.
        BrokenChain = "lies: statements out of their place",
        /// A liar asked for what must be refused: over a closed account, when it was disabled, or without an invoice's
        /// secret.
        Uninvited = "lies: requests that must be refused",
        /// A liar asked for as much as fits into its statements.
        Flood = "lies: floods",
        /// A liar signed steps and terms that make no sense.
        Nonsense = "lies: signed nonsense",
        /// A liar showed a friend, which had lost its disk, an account as it had been before.
        OlderState = "lies: an older state shown after a loss",
        /// A liar fell silent.
        Silence = "lies: silences",
        /// A node's identity was lost with its disk: its owner goes on under another key.
        LostKey = "keys lost for good",
        /// An owner has released upstream what a friend held, and may have collected.
        WrittenOff = "payments written off",
        /// The clock of a node shows another time from now on.
        ClockWrong = "clocks that went wrong",
        /// The clock of a node is right again.
        ClockRight = "clocks that were put right",
        /// A node was away for weeks.
        Away = "absences of weeks",
        /// The same, of one that owed what its friend, which had lost state meanwhile, had paid for it.
        AwayInRecovery = "absences of weeks beside a recovery",
        /// A node asks others to wait for long.
        Patient = "buyers with the patience of minutes and hours",
        /// An owner asks for much more than before.
        DearFee = "rates raised a hundredfold",
        /// A liar offers terms that are nearly what the account comes to.
        NearlyRight = "lies: terms that are nearly right",
        /// A liar acknowledges nothing for a while.
        HeldBack = "lies: acknowledgements held back",
        /// A liar shows evidence that is not what was signed.
        ForgedEvidence = "lies: forged evidence",
        /// Somebody that has found a lost key speaks with it to a friend that has replaced it.
        OldKey = "lost keys that turned up again",
    }
}

named! {
    /// Something that was tried, besides faults: that it happened often enough is part of what a run shows.
    EventKind {
        /// A payment was made of one part.
        Single = "single payments paid",
        /// A payment was made of several parts.
        Split = "split payments paid",
        /// A payment went over several hops.
        Mediated = "payments over mediators paid",
        /// A payment without an invoice.
        Spontaneous = "spontaneous payments paid",
        /// A payment to the buyer itself, around a cycle of friends.
        Cycle = "rebalancing cycles paid",
        /// A payment in a currency other than the first.
        OtherCurrency = "payments in other currencies paid",
        /// A payment was ordered a second time under its id.
        Repeated = "orders repeated",
        /// A process started again from its disk.
        Restarted = "restarts",
        /// An invoice was ordered whose seller had gone back to before it was paid.
        OrderedSold = "invoices ordered again after their seller had forgotten that they were paid",
        /// A node lost its disk, or went back to a copy, when it had just collected and nobody knew of it.
        LostAfterCollect = "disks lost directly after a collect",
        /// A node lost its disk, or went back to a copy, when it had promised onwards what was promised to it.
        LostAfterPromise = "disks lost between a commit that came and what it brings",
        /// A node that had lost state got back all accounts with friends that do not lie.
        Recovered = "recoveries that ended",
        /// Liars that had shown less than another friend kept were found out, and their accounts stopped.
        FoundOut = "liars found out by what others had kept",
        /// A liar has shown less than there was, and nobody had told the recovering node of more: see
        /// `world/withheld_state.rs`.
        NotFoundOut = "accounts with liars of which nobody else could tell more",
        /// An account was begun anew on terms that an owner accepted.
        Reset = "accounts reset",
        /// An account of which neither side could show enough was settled by an owner.
        SettledByPeople = "accounts settled by their owners after both ends had lost something",
        /// An account was continued with the key that replaces a lost one.
        KeyRotated = "accounts continued with a new key",
        /// The same while requests that the friend had committed were pending on it.
        KeyRotatedBound = "accounts continued with a new key and committed requests on them",
        /// Two friends of a lost key wait for each other's payments through it, for ever: one of them gives the lost
        /// key up.
        GivenUpLostKey = "accounts with lost keys given up by their owners",
        /// The accounts that had been written since the last time were compared with the disk.
        Compared = "comparisons of the accounts just written with the disk",
        /// Everything that a restart would load was compared with what the running node holds.
        ComparedAll = "comparisons of all that a restart would load with what is held",
        /// An owner has accepted a liar's terms.
        LiarsTerms = "terms of liars accepted",
        /// A node refuses a liar's terms that its owner would accept.
        TermsRefused = "terms of liars refused",
        /// An application has paid within its budget.
        AppPaid = "payments of applications with a budget paid",
        /// An application wanted more than its budget.
        OverBudget = "orders over an application's budget refused",
        /// A node's backup that a friend keeps was opened, and tells of all its accounts.
        Kept = "backups that friends keep looked into",
    }
}

impl std::str::FromStr for FaultKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = FaultKind::ALL.iter().find(|kind| kind.name() == text).copied();
        let names: Vec<_> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
        found.ok_or_else(|| format!("\"{text}\" is no kind of fault; there are {}", names.join(", ")))
    }
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How often each fault and each event happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    faults: BTreeMap<InjectedFault, u64>,
    events: BTreeMap<EventKind, u64>,
}

impl Counts {
    /// One more.
    pub fn add(&mut self, fault: InjectedFault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// One more.
    pub fn did(&mut self, event: EventKind) {
        *self.events.entry(event).or_default() += 1;
    }

    /// All of another world.
    pub fn merge(&mut self, other: &Counts) {
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (event, count) in &other.events {
            *self.events.entry(*event).or_default() += count;
        }
    }

    /// How often this one happened.
    pub fn of(&self, fault: InjectedFault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or(0)
    }

    /// How often this one was done.
    pub fn of_event(&self, event: EventKind) -> u64 {
        self.events.get(&event).copied().unwrap_or(0)
    }
}
