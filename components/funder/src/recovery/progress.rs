//! A recovery that goes on: its mark, which outlives the process, and what is asked and known while that runs.

use offst_crypto::PublicKey;
use offst_ledger::{AccountId, RequestRef};
use offst_proto::RequestId;
use offst_proto::encoding::Decoder;
use offst_proto::peer_backup::{AccountHead, PeerBackup};
use offst_rows::{FieldReader, FieldWriter, Kind, Row, RowError};
use std::collections::{BTreeMap, BTreeSet};

/// Most accounts of which a recovery remembers what their friends have shown.
const SHOWN_MAX: usize = 1 << 20;

/// The mark that a node recovers what it has lost. It outlives the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryRecord {
    /// When it began, unix ms; no earlier than any invoice was made that this node remembers, whatever its clock had
    /// shown then.
    pub started_ms: u64,
    /// The accounts are distrusted already.
    pub has_begun: bool,
    /// Some state was really lost: a friend, or a peer backup, has shown more than this node remembered.
    pub is_old: bool,
    /// How far accounts had come by what their friends have shown and new epochs rest on.
    pub shown: Vec<AccountHead>,
}

impl RecoveryRecord {
    /// The mark of a database that was made anew (`is_old`), or is not known to be old. `now_ms`: unix.
    pub fn new(now_ms: u64, is_old: bool) -> Self {
        RecoveryRecord { started_ms: now_ms, has_begun: false, is_old, shown: Vec::new() }
    }

    /// The mark of a copy that is put back. `own`: the one that stands in it, when it was made in the middle of a
    /// recovery: that something was lost before stays true, although nothing may be missing since the copy. `now_ms`:
    /// unix.
    pub fn of_copy(own: Option<&RecoveryRecord>, now_ms: u64) -> Self {
        RecoveryRecord::new(now_ms, own.is_some_and(|record| record.is_old))
    }
}

impl Row for RecoveryRecord {
    const KIND: Kind = Kind::state(40, "recoveries");
    type Key = ();

    fn write(&self, fields: &mut FieldWriter) {
        fields.with(2, |encoder| encoder.u64(self.started_ms));
        fields.with(4, |encoder| encoder.bool(self.has_begun));
        fields.with(6, |encoder| encoder.bool(self.is_old));
        fields.with(8, |encoder| encoder.list(&self.shown));
    }

    fn read((): &(), fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(RecoveryRecord {
            started_ms: fields.with(2, Decoder::u64)?,
            has_begun: fields.with(4, Decoder::bool)?,
            is_old: fields.with(6, Decoder::bool)?,
            shown: fields.with(8, |decoder| decoder.list(SHOWN_MAX, "accounts"))?,
        })
    }
}

/// Only its mark is stored.
impl Row for Recovery {
    const KIND: Kind = RecoveryRecord::KIND;
    type Key = ();

    fn write(&self, fields: &mut FieldWriter) {
        self.record.write(fields);
    }

    fn read(key: &(), fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        RecoveryRecord::read(key, fields).map(Recovery::new)
    }
}

/// A recovery while the process runs.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(super) record: RecoveryRecord,
    /// Requests of friends' that continue in a new epoch, and of which is not known yet how they go on.
    pub(super) unresolved_inbound: BTreeSet<RequestRef>,
    /// What is asked, and what was answered.
    pub(super) questions: Questions,
    /// Something has changed that may tie requests together again.
    pub(super) is_dirty: bool,
    /// Friends that have given back our backup, or said that they have none.
    pub(super) recalled: BTreeSet<PublicKey>,
    /// Accounts in backups that this node does not know, and the newest that is told of each.
    pub(super) lost_accounts: BTreeMap<AccountId, AccountHead>,
    /// Those that the newest backup names. Older ones still name friends that were removed after they were made.
    pub(super) unknown_peers: BTreeSet<AccountId>,
    /// The newest backup that has come back.
    pub(super) newest_backup: Option<PeerBackup>,
    pub(super) rounds: u32,
}

impl Recovery {
    pub(crate) fn new(record: RecoveryRecord) -> Self {
        Recovery {
            record,
            unresolved_inbound: BTreeSet::new(),
            questions: Questions::default(),
            is_dirty: true,
            recalled: BTreeSet::new(),
            lost_accounts: BTreeMap::new(),
            unknown_peers: BTreeSet::new(),
            newest_backup: None,
            rounds: 0,
        }
    }
}

/// What is asked, and what was answered.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// Friends that know nothing of a request.
    pub(super) unknown: BTreeMap<RequestId, BTreeSet<PublicKey>>,
    /// Under way to a friend.
    pub(super) asked: BTreeMap<PublicKey, BTreeSet<RequestId>>,
    /// Answered that it is pending, or not at all: asked again only after a while.
    pub(super) later: BTreeSet<(PublicKey, RequestId)>,
    /// Looked up in our own history.
    pub(super) looked_up: BTreeSet<RequestId>,
    /// Of those, the ones whose answer has come.
    pub(super) looked_through: BTreeSet<RequestId>,
}

impl Questions {
    /// Whatever has no answer is asked again.
    pub(crate) fn ask_again(&mut self) {
        self.asked.clear();
        self.later.clear();
        self.looked_up.clone_from(&self.looked_through);
    }

    /// A friend's connection is new: what was under way is lost.
    pub(crate) fn ask_friend_again(&mut self, key: PublicKey) {
        self.asked.remove(&key);
        self.later.retain(|(friend, _)| *friend != key);
    }

    pub(super) fn knows_nothing(&self, key: PublicKey, id: RequestId) -> bool {
        self.unknown.get(&id).is_some_and(|friends| friends.contains(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::{Identity, sha256};
    use offst_proto::Currency;

    #[test]
    fn the_mark_comes_back_as_it_was_written() {
        let head = AccountHead {
            friend: Identity::from_seed([1; 32]).public_key(),
            currency: Currency::default(),
            epoch: 1,
            own_seq: 2,
            own_hash: sha256(&[1]),
            other_seq: 3,
            other_hash: sha256(&[2]),
        };
        let record = RecoveryRecord { shown: vec![head], ..RecoveryRecord::new(7, true) };
        let bytes = record.to_bytes(&offst_rows::UnknownFields::none());
        assert_eq!(RecoveryRecord::from_bytes(&(), &bytes).map(|(read, _)| read), Ok(record));
    }
}
