//! The rows that a running node needs. What has ended stays in the database only.

use crate::checksum::StoredRow;
use crate::database::Store;
use crate::error::StoreError;
use crate::kinds::Kinds;
use crate::scan::{Scan, columns, stored};
use crate::tables::{self, READ_WHOLE};
use offst_funder::ARCHIVED_KINDS;
use offst_ledger::{AccountId, CHECKPOINTS, EvidenceRows, STATEMENTS};
use offst_rows::{Keeping, Kind, RowError, RowKey, Rows};
use rusqlite::{Connection, params};

impl Store {
    /// Reads everything that a running node needs: all rows of all accounts, and what has not ended of all that is listed.
    ///
    /// # Errors
    /// The disk failed, or rows are not those that were written: changed, gone, or older than the rest.
    pub fn load(&self) -> Result<Rows, StoreError> {
        // All rows as they were in one moment.
        let moment = self.connection.unchecked_transaction()?;
        let mut rows = Rows::default();
        let mut keep = |row: StoredRow<'_>| rows.insert(row.kind, row.key.to_vec(), row.value.to_vec());
        let mut scan = Scan::default();
        for table in READ_WHOLE {
            scan.read(&moment, table, false, &mut keep)?;
        }
        scan.read(&moment, Keeping::Listed, true, &mut keep)?;
        let kinds = Kinds::read(&moment)?;
        let faults = scan.faults(&kinds, &READ_WHOLE);
        if !faults.is_empty() {
            return Err(StoreError::Unsound(faults));
        }
        // Those that are read whole are known, or not, to the one that takes the rows.
        let is_unknown = |number: &u16| {
            number.is_multiple_of(2)
                && !READ_WHOLE.contains(&kinds.rows[number].keeping)
                && ARCHIVED_KINDS.iter().all(|known| known.number != *number)
        };
        match kinds.rows.keys().find(|number| is_unknown(number)) {
            Some(number) => Err(RowError::UnknownKind(*number).into()),
            None => Ok(rows),
        }
    }

    /// The rows that prove where an account stands; none of an account that does not exist.
    ///
    /// # Errors
    /// The disk failed, or one of the rows is damaged.
    pub fn evidence(&self, account: &AccountId) -> Result<EvidenceRows, StoreError> {
        let rows = rows_with_prefix(&self.connection, &[CHECKPOINTS, STATEMENTS], &account.to_bytes())?;
        Ok(EvidenceRows::of(account, &rows))
    }
}

/// The rows of some kinds whose keys begin so. The caller holds a transaction open where others may write.
pub(crate) fn rows_with_prefix(connection: &Connection, kinds: &[Kind], prefix: &[u8]) -> Result<Rows, StoreError> {
    let mut found = Rows::default();
    for Kind { number, name, keeping } in kinds {
        let (columns, table) = (columns(*keeping), tables::name(*keeping));
        let sql = format!("SELECT {columns} FROM {table} WHERE kind = ?1 AND key >= ?2 ORDER BY key");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![number, prefix])?;
        while let Some(row) = rows.next()? {
            if !row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?.starts_with(prefix) {
                break;
            }
            let (row, _) = stored(*keeping, row).ok_or_else(|| StoreError::damaged_row(name))?;
            found.insert(row.kind, row.key.to_vec(), row.value.to_vec());
        }
    }
    Ok(found)
}
