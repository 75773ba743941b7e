//! After this node has lost a part of its state.
use crate::machine::Batch;
use offst_crypto::{Preimage, PublicKey};
use offst_proto::RequestId;
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};
use offst_proto::peer_backup::AccountHead;
use offst_proto::resolve::End;
use std::collections::BTreeMap;

/// Most accounts of which a recovery remembers what their friends have shown.
const SHOWN_MAX: usize = 100_000;

/// The mark that a node recovers what it has lost. It outlives the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryRecord {
    /// When it began, unix ms.
    pub started_ms: u64,
    /// Some state was really lost: a friend has shown more than this node remembered.
    pub is_old: bool,
    /// How far each account had come by what its friend has shown, where a new epoch rests on it.
    pub shown: Vec<AccountHead>,
}

impl RecoveryRecord {
    /// The mark of a database that was put back, or made anew. `now_ms`: unix.
    pub fn new(now_ms: u64) -> Self {
        RecoveryRecord { started_ms: now_ms, is_old: false, shown: Vec::new() }
    }
}

impl Canonical for RecoveryRecord {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.u64(self.started_ms);
        encoder.bool(self.is_old);
        encoder.list(&self.shown);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(RecoveryRecord {
            started_ms: decoder.u64()?,
            is_old: decoder.bool()?,
            shown: decoder.list(SHOWN_MAX, "accounts")?,
        })
    }
}

/// A recovery while the process runs.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) record: RecoveryRecord,
}

impl Recovery {
    pub(crate) fn new(record: RecoveryRecord) -> Self {
        Recovery { record }
    }
}

impl Batch<'_> {
    pub(crate) fn is_recovering(&self) -> bool {
        self.state.recovery.is_some()
    }
    pub(crate) fn found_own(&mut self, _: &BTreeMap<RequestId, Preimage>) {}
    pub(crate) fn compare_with_backup(&mut self, _: PublicKey, _: &AccountHead) {}
    pub(crate) fn resolved(&mut self, _: PublicKey, _: &[(RequestId, End)]) {}
}
