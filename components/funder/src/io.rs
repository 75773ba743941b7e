//! What goes into a funder and what comes out: the only way in and out of the machine.

use crate::archive::{Found, Inquiry};
use crate::command::{Command, CommandId, Reply};
use offst_crypto::{PublicKey, Random, Signer, Verifier};
use offst_ledger::{AccountId, EvidenceRows};
use offst_proto::budget::Budgets;
use offst_proto::fee_bound::FeeBounds;
use offst_proto::friend::{Evidence, FriendMessage, Resume};
use offst_proto::index::{Edge, Query};
use offst_proto::report::Event;
use offst_proto::route::Route;
use offst_proto::statement::Statement;
use offst_proto::ticket::{Address, ServerTicket};
use offst_proto::{PaymentId, Verified};
use std::collections::BTreeMap;

/// Names one connection to a friend; later ones have larger numbers.
pub type ConnectionId = u64;

/// The time, given from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment {
    /// Milliseconds since the process started; never goes back. Timers run on it.
    pub uptime_ms: u64,
    /// Milliseconds since 1970. For expiries and for people.
    pub unix_ms: u64,
}

/// What a funder needs from outside besides its inputs.
pub struct Environment {
    /// The node's private key.
    pub signer: Box<dyn Signer>,
    /// Checks signatures.
    pub verifier: Box<dyn Verifier>,
    /// Makes ids.
    pub random: Box<dyn Random>,
    /// Durations.
    pub timing: Timing,
    /// The most that is paid to mediators when an order names no bound.
    pub fee_bounds: FeeBounds,
}

/// All durations of the funder, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a buyer's request waits, besides a step for each hop.
    pub patience_ms: u64,
    /// What each hop takes off the patience.
    pub patience_step_ms: u64,
    /// How long a mediator lets a request of others wait at most.
    pub patience_max_ms: u64,
    /// After how long a committed request makes a friend overdue.
    pub overdue_ms: u64,
    /// How long an account is quiet before a last statement settles it.
    pub idle_ms: u64,
    /// Holding an uncommitted request for longer counts against the two friends between which it is carried.
    pub hold_ms: u64,
    /// How long the most that counts takes to fade away.
    pub strike_ms: u64,
    /// How long a buyer waits before it asks for routes again, when there was none.
    pub retry_ms: u64,
    /// How long a node remembers which hop of others has refused how much.
    pub refusal_ms: u64,
    /// How long a hop is left out that gave no answer; twice as long after each further silence.
    pub silence_ms: u64,
    /// How long at most.
    pub silence_max_ms: u64,
    /// How often a node that clears on its own looks for a debt cycle: after this time, up to twice as long.
    pub clear_ms: u64,
    /// How long a friend may be gone before the requests that it has, and that are not committed, are given up.
    pub offline_ms: u64,
    /// The shortest time between two peer backups.
    pub backup_ms: u64,
    /// How long after a change the first peer backup is made.
    pub backup_delay_ms: u64,
    /// How long a friend has to answer what is asked in a recovery, before it is asked again.
    pub recovery_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            patience_ms: 20_000,
            patience_step_ms: 1_000,
            patience_max_ms: 60_000,
            overdue_ms: 60_000,
            idle_ms: 200,
            hold_ms: 10_000,
            strike_ms: 12 * 3_600_000,
            retry_ms: 500,
            refusal_ms: 60_000,
            silence_ms: 600_000,
            silence_max_ms: 86_400_000,
            clear_ms: 10_000,
            offline_ms: 5_000,
            backup_ms: 60_000,
            backup_delay_ms: 2_000,
            recovery_ms: 10_000,
        }
    }
}

/// What a funder is told. Each is handled at a [`Moment`].
#[derive(Debug)]
pub enum Input {
    /// The first input after a start: takes up what the last run left.
    Start,
    /// A friend's connection is up, both hellos are exchanged. It takes the place of an older one.
    Connected(PublicKey, ConnectionId),
    /// A connection is gone.
    Disconnected(PublicKey, ConnectionId),
    /// A friend says where an account stands.
    Resume(PublicKey, ConnectionId, Box<Resume>),
    /// A friend's statement.
    Statement(PublicKey, ConnectionId, Box<Verified<Statement>>),
    /// A friend begins to show what both have signed.
    Evidence(PublicKey, ConnectionId, Box<Evidence>),
    /// Statements that belong to it.
    EvidenceStatements(PublicKey, ConnectionId, Vec<Verified<Statement>>),
    /// The rows that [`Output::ReadEvidence`] asked for.
    EvidenceRows(AccountId, ConnectionId, EvidenceRows),
    /// Every other message of a friend; those above are ignored here. A hello comes after [`Input::Connected`].
    Message(PublicKey, ConnectionId, Box<FriendMessage>),
    /// What an [`Output::LookUp`] has found.
    Found(PublicKey, ConnectionId, Found),
    /// What the applications may spend. One that is missing keeps what it had for the payments that it has under way;
    /// the node itself takes no more orders of it.
    Budgets(BTreeMap<PublicKey, Budgets>),
    /// An application asks for something.
    Command(CommandId, Command),
    /// Routes, cheapest first; or why there are none. Answers [`Output::FindRoutes`].
    Routes(PaymentId, Result<Vec<Route>, String>),
    /// Time has passed; see [`crate::Funder::next_deadline`].
    Tick,
}

/// What a funder wants done. Nobody sees one before everything it rests on is durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this frame. Lost in a crash: the next `Resume` brings it about again.
    Send(PublicKey, ConnectionId, Vec<u8>),
    /// Read the rows of this account that prove where it stands, as they are now, and bring them as
    /// [`Input::EvidenceRows`]. Lost in a crash: the friend asks again when it connects.
    ReadEvidence(AccountId, ConnectionId),
    /// Look something up in the database, beside everything else, and bring it back as [`Input::Found`]. Lost in a
    /// crash: the one who wants to know asks again.
    LookUp(PublicKey, ConnectionId, Inquiry),
    /// Answer a command. Lost in a crash: the application asks again, which does nothing twice.
    Reply(CommandId, Reply),
    /// Ask the index servers, for a payment or for a question of the owner's. Lost in a crash: the payment was not
    /// committed and is failed at the start; the owner asks again.
    FindRoutes(PaymentId, Box<Query>),
    /// Edges that changed. Lost in a crash: all are published at the start.
    Edges(Vec<Edge>),
    /// Keep a connection to this friend; none: drop it. Lost in a crash: repeated at the start for every friend.
    Contact(PublicKey, Option<Contact>),
    /// The relays to listen at. Lost in a crash: repeated at the start.
    Relays(Vec<ServerTicket>),
    /// The index servers to use. Lost in a crash: repeated at the start.
    IndexServers(Vec<ServerTicket>),
    /// For applications that watch. Losing it is harmless: they take a snapshot when they connect.
    Event(Event),
}

/// Where a friend can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Its relays.
    pub relays: Vec<ServerTicket>,
    /// Where it can be called without a relay.
    pub address: Option<Address>,
}
