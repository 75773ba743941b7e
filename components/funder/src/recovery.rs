//! After this node has lost a part of its state.
use crate::machine::Batch;
use offst_crypto::{Preimage, PublicKey};
use offst_proto::RequestId;
use offst_proto::peer_backup::AccountHead;
use offst_proto::resolve::End;
use std::collections::BTreeMap;

impl Batch<'_> {
    pub(crate) fn is_recovering(&self) -> bool {
        false
    }
    pub(crate) fn found_own(&mut self, _: &BTreeMap<RequestId, Preimage>) {}
    pub(crate) fn compare_with_backup(&mut self, _: PublicKey, _: &AccountHead) {}
    pub(crate) fn resolved(&mut self, _: PublicKey, _: &[(RequestId, End)]) {}
}
