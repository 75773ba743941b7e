//! Every bound of the protocol in one place, but that of amounts ([`crate::Amount::MAX`]). Checked where bytes are parsed, before anything is allocated.

/// Most hops of a path: friendships between the buyer and the destination.
pub const HOPS_MAX: usize = 32;
/// Most bytes of a currency's name.
pub const CURRENCY_BYTES_MAX: usize = 16;
/// Most bytes of a description in an invoice.
pub const DESCRIPTION_BYTES_MAX: usize = 256;
/// Most bytes of a friend's, relay's or index server's local name.
pub const NAME_BYTES_MAX: usize = 64;
/// Most bytes of an address `HOST:PORT`.
pub const ADDRESS_BYTES_MAX: usize = 261;
/// Most relays in a friend's ticket.
pub const RELAYS_MAX: usize = 8;
/// Most operations in one statement.
pub const OPERATIONS_MAX: usize = 256;
/// Most bytes of one statement with its signature.
pub const STATEMENT_BYTES_MAX: usize = 160 * 1024;
/// Most statements with operations that a side may send before it saw an acknowledgement.
pub const UNACKNOWLEDGED_MAX: usize = 64;
/// A statement carries a hash of all pending requests at least this often.
pub const CHECKPOINT_EVERY: u64 = 64;
/// A side that signs so many statements without one has broken a rule: the statements since the newest checkpoint are
/// what one side shows to the other when it has lost its own.
pub const CHECKPOINT_WITHIN: u64 = 1024;
/// Most pending requests in one direction of one account.
pub const PENDING_MAX: usize = 1024;
/// Most parts of one payment.
pub const PARTS_MAX: usize = 16;
/// Most currencies with one friend.
pub const CURRENCIES_MAX: usize = 8;
/// Longest patience of a request in milliseconds.
pub const PATIENCE_MS_MAX: u64 = 3_600_000;
/// Most bytes of the set of pending requests that a checkpoint commits to: twice what is taken in both directions.
pub const CHECKPOINT_BYTES_MAX: usize = 128 + 4 * PENDING_MAX * 97;
/// Most statements that are shown as evidence for one account: both sides' since a checkpoint.
pub const EVIDENCE_STATEMENTS_MAX: u32 = 16 * 1024;
/// Largest frame on a link between friends, bytes.
pub const FRIEND_FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Largest sealed peer backup, bytes.
pub const PEER_BACKUP_BYTES_MAX: usize = 64 * 1024;
/// Most requests that one message asks the end of, and that one answers.
pub const RESOLVE_MAX: usize = 128;
/// Most bytes of a friend statement's file.
pub const FRIEND_STATEMENT_BYTES_MAX: usize = 768 * 1024;
