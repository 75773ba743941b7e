//! What a running node looks up for friends who have forgotten it. There is no index for it, because one would have to be kept
//! with every payment: keys are read from the newest back, until all are found. To the beginning, if need be: the node that is told
//! that nothing is known of a request may release it, and then "it was too long ago" must not look like "it was not collected".

use crate::error::StoreError;
use crate::history::{History, decoded, rows_where};
use offst_crypto::{Preimage, PublicKey};
use offst_funder::{Archive, ForwardedPayment, JournalKey, PEER_BACKUPS, ReceivedPayment};
use offst_proto::RequestId;
use offst_rows::{Row, RowError, RowKey};
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet};

impl Archive for History {
    type Error = StoreError;

    fn peer_backup(&self, friend: PublicKey) -> Result<Option<Vec<u8>>, StoreError> {
        let mut found = None;
        let parameters = params![PEER_BACKUPS.number, friend.to_bytes()];
        rows_where(&self.connection, PEER_BACKUPS, "key = ?2", parameters, |row| {
            found = Some(row.value.to_vec());
            Ok(())
        })?;
        Ok(found)
    }

    fn preimages(
        &self,
        from: Option<PublicKey>,
        ids: &BTreeSet<RequestId>,
    ) -> Result<BTreeMap<RequestId, Preimage>, StoreError> {
        let mut found = BTreeMap::new();
        self.collected(from, ids, |row: ForwardedPayment| row.preimage, &mut found)?;
        self.collected(from, ids, |row: ReceivedPayment| row.preimage, &mut found)?;
        Ok(found)
    }
}

/// Keys that are read in one transaction. While one is open, what is committed piles up in the log beside the database.
const KEYS_AT_ONCE: usize = 4_096;

impl History {
    fn collected<T: Row<Key = JournalKey>>(
        &self,
        from: Option<PublicKey>,
        ids: &BTreeSet<RequestId>,
        preimage: impl Fn(T) -> Preimage,
        found: &mut BTreeMap<RequestId, Preimage>,
    ) -> Result<(), StoreError> {
        let kind = T::KIND;
        let sql = "SELECT number, key FROM journal WHERE kind = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut last = i64::MAX;
        loop {
            let mut rows = statement.query(params![kind.number, last, KEYS_AT_ONCE as i64])?;
            let mut read = 0;
            while let Some(row) = rows.next()? {
                if found.len() >= ids.len() {
                    return Ok(());
                }
                (read, last) = (read + 1, row.get(0)?);
                let key = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
                let JournalKey { id, payer } = JournalKey::from_bytes(key).map_err(RowError::damaged(kind.name))?;
                if !ids.contains(&id) || from.is_some() && from != payer {
                    continue;
                }
                rows_where(&self.connection, kind, "number = ?2", params![kind.number, last], |row| {
                    found.insert(id, preimage(decoded(&row)?));
                    Ok(())
                })?;
            }
            if read < KEYS_AT_ONCE {
                return Ok(());
            }
        }
    }
}
