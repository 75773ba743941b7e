//! What a running node looks up for friends who have forgotten it. There is no index for it, because one would have to be kept
//! with every payment: rows are read from the newest back, until all are found. To the beginning, if need be: whoever is told that
//! nothing is known of a request may release it, and then "it was too long ago" must not look like "it was not collected".

use crate::checksum::{FORWARDED, PEER_BACKUP, RECEIVED, Table};
use crate::error::StoreError;
use crate::history::{History, check};
use crate::load::request_id;
use offst_crypto::{Preimage, PublicKey};
use offst_funder::Archive;
use offst_proto::RequestId;
use offst_proto::encoding::DecodeError;
use rusqlite::{OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};

impl Archive for History {
    type Error = StoreError;

    fn peer_backup(&self, friend: PublicKey) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = format!("SELECT {}, sealed FROM peer_backup WHERE friend = ?1", PEER_BACKUP.is_whole());
        let mut statement = self.connection.prepare_cached(&sql)?;
        let read = |row: &rusqlite::Row<'_>| Ok(check(&PEER_BACKUP, row).and_then(|()| Ok(row.get(1)?)));
        statement.query_row(params![friend.as_bytes()], read).optional()?.transpose()
    }

    fn preimages(
        &self,
        from: Option<PublicKey>,
        ids: &BTreeSet<RequestId>,
    ) -> Result<BTreeMap<RequestId, Preimage>, StoreError> {
        let mut found = BTreeMap::new();
        for table in [FORWARDED, RECEIVED] {
            self.collected(&table, from, ids, &mut found)?;
        }
        Ok(found)
    }
}

/// Rows that are read in one transaction. While one is open, what is committed piles up in the log beside the database.
const ROWS_AT_ONCE: usize = 4_096;

impl History {
    fn collected(
        &self,
        table: &Table,
        from: Option<PublicKey>,
        ids: &BTreeSet<RequestId>,
        found: &mut BTreeMap<RequestId, Preimage>,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT {}, request, from_friend, preimage, number FROM {} WHERE number < ?1 ORDER BY number DESC
             LIMIT {ROWS_AT_ONCE}",
            table.is_whole(),
            table.name
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let (mut rows, mut read) = (statement.query([i64::MAX])?, 0);
        let mut last = i64::MAX;
        while found.len() < ids.len() {
            let Some(row) = rows.next()? else {
                if read < ROWS_AT_ONCE {
                    break;
                }
                drop(rows);
                (rows, read) = (statement.query([last])?, 0);
                continue;
            };
            (read, last) = (read + 1, row.get(4)?);
            let id = request_id(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
            let friend = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            if !ids.contains(&id) || from.is_some_and(|from| from.as_bytes() != friend) {
                continue;
            }
            check(table, row)?;
            let preimage: [u8; 32] = row
                .get::<_, Vec<u8>>(3)?
                .try_into()
                .map_err(|_| StoreError::damaged("the history")(DecodeError::invalid("a preimage")))?;
            found.insert(id, Preimage::from_bytes(preimage));
        }
        Ok(())
    }
}
