//! The tables, and the checksum at the end of every row.
//!
//! SQLite finds damage to the structure of its file, and signatures prove what stands on accounts. What a disk, a copy or a
//! hand changes in any other value is found by this: a CRC-32 over the table's name and the row's other columns, stored with
//! the row. Any change of up to 4 bytes in a row is found for certain, any other but for one in 2^32. It guards against
//! accidents; whoever knows how can compute it anew, and then has the signatures against him.
//!
//! Rows are checked in SQL, `row_checksum('friend', public_key, record)`, and written with what [`Table::checksum`] gives:
//! calling a SQL function for each row would cost more than the sum itself.

use crate::error::StoreError;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

/// A table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// What the checksum covers: all columns but itself, in the schema's order.
    pub(crate) columns: &'static str,
    /// Writes a row: values for the columns, then the checksum.
    pub(crate) put: &'static str,
    /// True for rows that only the history shows: a start does not read them.
    pub(crate) is_history: &'static str,
    /// The first version of the schema that has it.
    pub(crate) since: usize,
}

macro_rules! table {
    ($verb:literal $name:literal, $columns:literal, $places:literal) => {
        table!($verb $name, $columns, $places, is_history: "0")
    };
    ($verb:literal $name:literal, $columns:literal, $places:literal, since: $since:literal) => {
        Table { since: $since, ..table!($verb $name, $columns, $places) }
    };
    ($verb:literal $name:literal, $columns:literal, $places:literal, is_history: $is_history:literal) => {
        Table {
            name: $name,
            columns: $columns,
            put: concat!($verb, " INTO ", $name, " (", $columns, ", checksum) VALUES (", $places, ")"),
            is_history: $is_history,
            since: 1,
        }
    };
}

pub(crate) const NODE: Table = table!("INSERT" "node", "public_key", "?1, ?2");
pub(crate) const FRIEND: Table = table!("REPLACE" "friend", "public_key, record", "?1, ?2, ?3");
pub(crate) const ACCOUNT: Table =
    table!("REPLACE" "account", "id, friend, currency, negotiation", "?1, ?2, ?3, ?4, ?5");
pub(crate) const HEAD: Table = table!("REPLACE" "head", "account, value", "?1, ?2, ?3");
pub(crate) const OPENINGS: Table = table!("REPLACE" "openings", "account, value", "?1, ?2, ?3");
pub(crate) const CHECKPOINT: Table = table!("REPLACE" "checkpoint", "account, value", "?1, ?2, ?3");
pub(crate) const PENDING: Table =
    table!("REPLACE" "pending", "account, direction, request, value", "?1, ?2, ?3, ?4, ?5");
// Neither a statement nor an operation is ever written a second time.
pub(crate) const QUEUED: Table = table!("INSERT" "queued", "account, counter, value", "?1, ?2, ?3, ?4");
pub(crate) const STATEMENT: Table = table!("INSERT" "statement", "account, mine, seq, wire", "?1, ?2, ?3, ?4, ?5");
pub(crate) const TOMBSTONE: Table = table!("REPLACE" "tombstone", "friend, currency, epoch", "?1, ?2, ?3, ?4");
pub(crate) const KEY_REPLACEMENT: Table = table!("REPLACE" "key_replacement", "lost, wire", "?1, ?2, ?3");
pub(crate) const RELAY: Table = table!("REPLACE" "relay", "name, public_key, address", "?1, ?2, ?3, ?4");
pub(crate) const INDEX_SERVER: Table = table!("REPLACE" "index_server", "name, public_key, address", "?1, ?2, ?3, ?4");
pub(crate) const SETTING: Table = table!("REPLACE" "setting", "name, value", "?1, ?2, ?3");
pub(crate) const FORWARD: Table = table!("REPLACE" "forward", "account, request, value", "?1, ?2, ?3, ?4");
pub(crate) const ARRIVAL: Table = table!("REPLACE" "arrival", "account, request, value", "?1, ?2, ?3, ?4");
pub(crate) const INVOICE: Table =
    table!("REPLACE" "invoice", "number, id, is_open, value", "?1, ?2, ?3, ?4, ?5", is_history: "is_open = 0");
pub(crate) const PAYMENT: Table =
    table!("REPLACE" "payment", "number, id, is_open, value", "?1, ?2, ?3, ?4, ?5", is_history: "is_open = 0");
pub(crate) const FORWARDED: Table = table!(
    "INSERT" "forwarded",
    "number, request, from_friend, to_friend, currency, amount, fee, time_ms, preimage",
    "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10",
    is_history: "1"
);
pub(crate) const RECEIVED: Table = table!(
    "INSERT" "received",
    "number, request, from_friend, payment, invoice, currency, amount, time_ms, preimage",
    "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10",
    is_history: "1"
);
pub(crate) const PEER_BACKUP: Table = table!("REPLACE" "peer_backup", "friend, sealed", "?1, ?2, ?3", is_history: "1");
pub(crate) const RECOVERY: Table = table!("REPLACE" "recovery", "id, value", "?1, ?2, ?3");

pub(crate) const SPENDING: Table = table!("REPLACE" "spending", "app, currency, value", "?1, ?2, ?3, ?4", since: 2);
pub(crate) const WRITE_OFF: Table =
    table!("REPLACE" "write_off", "account, request, value", "?1, ?2, ?3, ?4", since: 2);

/// All tables, in the schema's order.
pub(crate) const TABLES: [Table; 24] = [
    NODE,
    FRIEND,
    ACCOUNT,
    HEAD,
    OPENINGS,
    CHECKPOINT,
    PENDING,
    QUEUED,
    STATEMENT,
    TOMBSTONE,
    KEY_REPLACEMENT,
    RELAY,
    INDEX_SERVER,
    SETTING,
    FORWARD,
    ARRIVAL,
    INVOICE,
    PAYMENT,
    FORWARDED,
    RECEIVED,
    PEER_BACKUP,
    RECOVERY,
    SPENDING,
    WRITE_OFF,
];

/// The SQL function.
const FUNCTION: &str = "row_checksum";

/// Teaches a connection the SQL function.
pub(crate) fn install(connection: &Connection) -> Result<(), StoreError> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function(FUNCTION, -1, flags, |context| {
        Ok(checksum((0..context.len()).map(|index| context.get_raw(index))))
    })?;
    Ok(())
}

/// Each value goes in with its type and length, so that no two rows give the same bytes.
fn checksum<'a>(values: impl Iterator<Item = ValueRef<'a>>) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    for value in values {
        match value {
            ValueRef::Null => sum.update(&[0]),
            ValueRef::Integer(value) => {
                sum.update(&[1]);
                sum.update(&value.to_be_bytes());
            }
            ValueRef::Real(value) => {
                sum.update(&[2]);
                sum.update(&value.to_be_bytes());
            }
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                sum.update(&[if matches!(value, ValueRef::Text(_)) { 3 } else { 4 }]);
                sum.update(&(bytes.len() as u64).to_be_bytes());
                sum.update(bytes);
            }
        }
    }
    i64::from(sum.finalize())
}

impl Table {
    /// The checksum of a row with these values.
    pub(crate) fn checksum(&self, values: &[ValueRef<'_>]) -> i64 {
        checksum(std::iter::once(ValueRef::Text(self.name.as_bytes())).chain(values.iter().copied()))
    }

    /// SQL that is true for a row that is what was written.
    pub(crate) fn is_whole(&self) -> String {
        format!("checksum IS {FUNCTION}('{}', {})", self.name, self.columns)
    }

    /// How many rows are not what was written. `all`: those of the history too.
    pub(crate) fn damaged_rows(&self, connection: &Connection, all: bool) -> Result<i64, rusqlite::Error> {
        let skipped = if all { "0" } else { self.is_history };
        let sql = format!("SELECT count(*) FROM {} WHERE NOT ({skipped}) AND NOT ({})", self.name, self.is_whole());
        connection.query_row(&sql, [], |row| row.get(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        install(&connection).unwrap();
        crate::database::MIGRATIONS.to_latest(&mut connection).unwrap();
        connection
    }

    #[test]
    fn every_column_of_every_table_is_covered() {
        let connection = fresh();
        let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let names: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(names, TABLES.map(|table| table.name));
        for table in TABLES {
            let sql = format!("SELECT group_concat(name, ', ') FROM pragma_table_info('{}')", table.name);
            let columns: String = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(columns, format!("{}, checksum", table.columns), "{}", table.name);
            assert_eq!(table.damaged_rows(&connection, true).unwrap(), 0);
        }
    }

    #[test]
    fn values_that_look_alike_differ() {
        let connection = fresh();
        let sum = |arguments: &str| -> i64 {
            connection.query_row(&format!("SELECT {FUNCTION}({arguments})"), [], |row| row.get(0)).unwrap()
        };
        let sums =
            ["'a', 1", "'a', '1'", "'a', x'31'", "'a1'", "'', 'a1'", "'a', ''", "'a', NULL", "'a', 1.0"].map(sum);
        for (index, first) in sums.iter().enumerate() {
            assert!(sums[index + 1..].iter().all(|second| first != second), "{sums:?}");
        }
        // What one version has written is checked by every later one.
        let row = [ValueRef::Blob(&[1, 2]), ValueRef::Integer(3)];
        assert_eq!([sum("'friend', x'0102', 3"), FRIEND.checksum(&row)], [2_409_592_753; 2]);
    }
}
