//! One batch in one transaction.

use crate::checksum::{
    ACCOUNT, ARRIVAL, CHECKPOINT, FORWARD, FORWARDED, FRIEND, HEAD, INDEX_SERVER, INVOICE, KEY_REPLACEMENT, OPENINGS,
    PAYMENT, PEER_BACKUP, PENDING, QUEUED, RECEIVED, RECOVERY, RELAY, SETTING, SPENDING, STATEMENT, TOMBSTONE, Table,
    WRITE_OFF,
};
use crate::database::Store;
use crate::error::StoreError;
use offst_crypto::Preimage;
use offst_funder::{Change, Commit, HopKey, LineKey, Progress};
use offst_ledger::{AccountChange, Direction};
use offst_proto::encoding::Canonical;
use offst_proto::report::{ForwardReport, InvoiceStatus, ReceivedReport};
use offst_proto::ticket::ServerTicket;
use rusqlite::types::ToSqlOutput;
use rusqlite::types::ValueRef::{self, Blob, Integer};
use rusqlite::{Connection, Params, params, params_from_iter};
use std::collections::BTreeMap;

/// SQLite's integers are signed.
pub(crate) fn integer(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::TooLarge)
}

pub(crate) fn direction_code(direction: Direction) -> i64 {
    match direction {
        Direction::Outgoing => 0,
        Direction::Incoming => 1,
    }
}

impl Commit for Store {
    type Error = StoreError;

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        let mut writer = Writer { connection: &transaction, accounts: &mut self.accounts };
        for change in changes {
            writer.write(change)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

struct Writer<'a> {
    connection: &'a Connection,
    accounts: &'a mut BTreeMap<LineKey, i64>,
}

impl Writer<'_> {
    fn execute(&self, sql: &'static str, params: impl Params) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }

    /// Writes a row, in the place of one with the same key.
    fn put<const N: usize>(&self, table: &Table, values: [ValueRef<'_>; N]) -> Result<(), StoreError> {
        let checksum = ValueRef::Integer(table.checksum(&values));
        let values = values.into_iter().chain([checksum]).map(ToSqlOutput::Borrowed);
        self.execute(table.put, params_from_iter(values))
    }

    /// The account's id; a new account gets one.
    fn account(&mut self, line: &LineKey) -> Result<i64, StoreError> {
        if let Some(id) = self.accounts.get(line) {
            return Ok(*id);
        }
        let id = self.newest("SELECT coalesce(max(id), 0) FROM account")? + 1;
        self.put_account(id, line, &[])?;
        self.accounts.insert(line.clone(), id);
        Ok(id)
    }

    fn put_account(&self, id: i64, line: &LineKey, negotiation: &[u8]) -> Result<(), StoreError> {
        let LineKey { friend, currency } = line;
        self.put(&ACCOUNT, [Integer(id), Blob(friend.as_bytes()), text(currency.as_str()), Blob(negotiation)])
    }

    /// Whether the friend's key was lost and replaced: then the account's rows stay.
    fn is_evidence(&self, line: &LineKey) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM key_replacement WHERE lost = ?1)";
        Ok(self.connection.prepare_cached(sql)?.query_row(params![line.friend.as_bytes()], |row| row.get(0))?)
    }

    fn write(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Friend(key, Some(record)) => {
                self.put(&FRIEND, [Blob(key.as_bytes()), Blob(&record.to_canonical_bytes())])
            }
            Change::Friend(key, None) => {
                self.execute("DELETE FROM friend WHERE public_key = ?1", params![key.as_bytes()])
            }
            Change::Account(line, changes) => {
                let account = self.account(line)?;
                changes.iter().try_for_each(|change| self.write_account(account, line, change))
            }
            Change::DropAccount(line) => {
                // One that came and went in one batch has no rows.
                let Some(account) = self.accounts.remove(line) else { return Ok(()) };
                // The end of a request in the same batch finds no account any more; its row must not stay behind, where it
                // would belong to no account, or to the next that gets this id.
                for sql in [
                    "DELETE FROM forward WHERE account = ?1",
                    "DELETE FROM write_off WHERE account = ?1",
                    "DELETE FROM arrival WHERE account = ?1",
                ] {
                    self.execute(sql, params![account])?;
                }
                if self.is_evidence(line)? {
                    return Ok(());
                }
                self.clear_account(account)?;
                self.execute("DELETE FROM head WHERE account = ?1", params![account])?;
                self.execute("DELETE FROM account WHERE id = ?1", params![account])
            }
            Change::KeyReplacement(replacement) => {
                self.put(&KEY_REPLACEMENT, [Blob(replacement.lost.as_bytes()), Blob(replacement.wire())])
            }
            Change::Tombstone(line, epoch) => {
                let LineKey { friend, currency } = line;
                self.put(&TOMBSTONE, [Blob(friend.as_bytes()), text(currency.as_str()), Integer(integer(*epoch)?)])
            }
            Change::Relay(name, ticket) => {
                self.write_server(&RELAY, name, ticket.as_ref(), "DELETE FROM relay WHERE name = ?1")
            }
            Change::IndexServer(name, ticket) => {
                self.write_server(&INDEX_SERVER, name, ticket.as_ref(), "DELETE FROM index_server WHERE name = ?1")
            }
            Change::AutoClear(on) => self.put(&SETTING, [text("auto_clear"), Integer(i64::from(*on))]),
            Change::Forward(key, forward) => self.write_hop(
                &FORWARD,
                key,
                forward.as_ref(),
                "DELETE FROM forward WHERE account = ?1 AND request = ?2",
            ),
            Change::WriteOff(key, write_off) => self.write_hop(
                &WRITE_OFF,
                key,
                write_off.as_ref(),
                "DELETE FROM write_off WHERE account = ?1 AND request = ?2",
            ),
            Change::Arrival(key, arrival) => self.write_hop(
                &ARRIVAL,
                key,
                arrival.as_ref(),
                "DELETE FROM arrival WHERE account = ?1 AND request = ?2",
            ),
            Change::Invoice(record) => self.write_numbered(
                &INVOICE,
                "SELECT coalesce((SELECT number FROM invoice WHERE id = ?1), (SELECT max(number) FROM invoice) + 1, 1)",
                record.invoice.id.as_bytes(),
                record.status == InvoiceStatus::Open,
                &record.to_canonical_bytes(),
            ),
            Change::Payment(payment) => self.write_numbered(
                &PAYMENT,
                "SELECT coalesce((SELECT number FROM payment WHERE id = ?1), (SELECT max(number) FROM payment) + 1, 1)",
                payment.id.as_bytes(),
                matches!(payment.progress, Progress::Searching | Progress::Committed),
                &payment.to_canonical_bytes(),
            ),
            Change::Spending(app, currency, spending) => self
                .put(&SPENDING, [Blob(app.as_bytes()), text(currency.as_str()), Blob(&spending.to_canonical_bytes())]),
            Change::Forwarded(forward, preimage) => self.write_forwarded(forward, *preimage),
            Change::Received(received, preimage) => self.write_received(received, *preimage),
            Change::PeerBackup(key, Some(sealed)) => self.put(&PEER_BACKUP, [Blob(key.as_bytes()), Blob(sealed)]),
            Change::PeerBackup(key, None) => {
                self.execute("DELETE FROM peer_backup WHERE friend = ?1", params![key.as_bytes()])
            }
            Change::Recovery(Some(recovery)) => self.put(&RECOVERY, [Integer(1), Blob(&recovery.to_canonical_bytes())]),
            Change::Recovery(None) => self.execute("DELETE FROM recovery", []),
        }
    }

    fn write_account(&self, account: i64, line: &LineKey, change: &AccountChange) -> Result<(), StoreError> {
        match change {
            AccountChange::Clear => self.clear_account(account),
            AccountChange::Head(head) => self.put(&HEAD, [Integer(account), Blob(head)]),
            AccountChange::Negotiation(negotiation) => self.put_account(account, line, negotiation),
            AccountChange::Pending(direction, id, Some(pending)) => {
                let code = Integer(direction_code(*direction));
                self.put(&PENDING, [Integer(account), code, Blob(id.as_bytes()), Blob(&pending.to_canonical_bytes())])
            }
            AccountChange::Pending(direction, id, None) => self.execute(
                "DELETE FROM pending WHERE account = ?1 AND direction = ?2 AND request = ?3",
                params![account, direction_code(*direction), id.as_bytes()],
            ),
            AccountChange::Openings(openings) => self.put(&OPENINGS, [Integer(account), Blob(openings)]),
            AccountChange::Checkpoint(set) => self.put(&CHECKPOINT, [Integer(account), Blob(set)]),
            AccountChange::Queued(counter, Some(operation)) => self
                .put(&QUEUED, [Integer(account), Integer(integer(*counter)?), Blob(&operation.to_canonical_bytes())]),
            AccountChange::Queued(counter, None) => self.execute(
                "DELETE FROM queued WHERE account = ?1 AND counter = ?2",
                params![account, integer(*counter)?],
            ),
            AccountChange::Statement(mine, seq, wire) => {
                self.put(&STATEMENT, [Integer(account), Integer((*mine).into()), Integer(integer(*seq)?), Blob(wire)])
            }
            AccountChange::DropStatements(mine, below) => self.execute(
                "DELETE FROM statement WHERE account = ?1 AND mine = ?2 AND seq < ?3",
                params![account, mine, integer(*below)?],
            ),
        }
    }

    fn clear_account(&self, account: i64) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM pending WHERE account = ?1",
            "DELETE FROM queued WHERE account = ?1",
            "DELETE FROM statement WHERE account = ?1",
            "DELETE FROM openings WHERE account = ?1",
            "DELETE FROM checkpoint WHERE account = ?1",
        ] {
            self.execute(sql, params![account])?;
        }
        Ok(())
    }

    fn write_hop(
        &mut self,
        table: &Table,
        key: &HopKey,
        value: Option<&impl Canonical>,
        delete: &'static str,
    ) -> Result<(), StoreError> {
        // A request's end may be written after its account has gone.
        let account = match (self.accounts.get(&key.line), value) {
            (Some(account), _) => *account,
            (None, Some(_)) => self.account(&key.line)?,
            (None, None) => return Ok(()),
        };
        match value {
            Some(value) => {
                self.put(table, [Integer(account), Blob(key.id.as_bytes()), Blob(&value.to_canonical_bytes())])
            }
            None => self.execute(delete, params![account, key.id.as_bytes()]),
        }
    }

    fn write_server(
        &self,
        table: &Table,
        name: &str,
        ticket: Option<&ServerTicket>,
        delete: &'static str,
    ) -> Result<(), StoreError> {
        match ticket {
            Some(ticket) => {
                self.put(table, [text(name), Blob(ticket.public_key.as_bytes()), text(ticket.address.as_str())])
            }
            None => self.execute(delete, params![name]),
        }
    }

    /// Rows that are listed by age keep their number, which `number` asks for.
    fn write_numbered(
        &self,
        table: &Table,
        number: &'static str,
        id: &[u8; 16],
        is_open: bool,
        value: &[u8],
    ) -> Result<(), StoreError> {
        let number = self.connection.prepare_cached(number)?.query_row(params![id], |row| row.get(0))?;
        self.put(table, [Integer(number), Blob(id), Integer(is_open.into()), Blob(value)])
    }

    /// The newest of the rows that are numbered by age; 0: there are none.
    fn newest(&self, sql: &'static str) -> Result<i64, StoreError> {
        Ok(self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    fn write_received(&self, received: &ReceivedReport, preimage: Preimage) -> Result<(), StoreError> {
        let newest = self.newest("SELECT coalesce(max(number), 0) FROM received")?;
        self.put(
            &RECEIVED,
            [
                Integer(newest + 1),
                Blob(received.request_id.as_bytes()),
                Blob(received.from.as_bytes()),
                Blob(received.payment_id.as_ref().map_or(&[], |id| id.as_bytes())),
                Blob(received.invoice_id.as_ref().map_or(&[], |id| id.as_bytes())),
                text(received.currency.as_str()),
                Blob(&received.amount.to_be_bytes()),
                Integer(integer(received.time_ms)?),
                Blob(preimage.as_bytes()),
            ],
        )
    }

    fn write_forwarded(&self, forward: &ForwardReport, preimage: Preimage) -> Result<(), StoreError> {
        let newest = self.newest("SELECT coalesce(max(number), 0) FROM forwarded")?;
        self.put(
            &FORWARDED,
            [
                Integer(newest + 1),
                Blob(forward.request_id.as_bytes()),
                Blob(forward.from.as_ref().map_or(&[], |from| from.as_bytes())),
                Blob(forward.to.as_bytes()),
                text(forward.currency.as_str()),
                Blob(&forward.amount.to_be_bytes()),
                Blob(&forward.fee.to_be_bytes()),
                Integer(integer(forward.time_ms)?),
                Blob(preimage.as_bytes()),
            ],
        )
    }
}

fn text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.as_bytes())
}
