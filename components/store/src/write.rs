//! One batch in one transaction.

use crate::database::Store;
use crate::error::StoreError;
use offst_funder::{Change, Commit, HopKey, LineKey, Progress};
use offst_ledger::{AccountChange, Direction};
use offst_proto::encoding::Canonical;
use offst_proto::report::{ForwardReport, InvoiceStatus};
use offst_proto::ticket::ServerTicket;
use rusqlite::{CachedStatement, Connection, Params, params};
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
    fn statement(&self, sql: &'static str) -> Result<CachedStatement<'_>, StoreError> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    fn execute(&self, sql: &'static str, params: impl Params) -> Result<(), StoreError> {
        self.statement(sql)?.execute(params)?;
        Ok(())
    }

    /// The account's id; a new account gets one.
    fn account(&mut self, line: &LineKey) -> Result<i64, StoreError> {
        if let Some(id) = self.accounts.get(line) {
            return Ok(*id);
        }
        self.execute(
            "INSERT INTO account (friend, currency) VALUES (?1, ?2)",
            params![line.friend.as_bytes(), line.currency.as_str()],
        )?;
        let id = self.connection.last_insert_rowid();
        self.accounts.insert(line.clone(), id);
        Ok(id)
    }

    fn write(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Friend(key, Some(record)) => self.execute(
                "INSERT INTO friend (public_key, record) VALUES (?1, ?2)
                 ON CONFLICT (public_key) DO UPDATE SET record = excluded.record",
                params![key.as_bytes(), record.to_canonical_bytes()],
            ),
            Change::Friend(key, None) => {
                self.execute("DELETE FROM friend WHERE public_key = ?1", params![key.as_bytes()])
            }
            Change::Account(line, changes) => {
                let account = self.account(line)?;
                changes.iter().try_for_each(|change| self.write_account(account, change))
            }
            Change::DropAccount(line) => {
                let account = self.account(line)?;
                self.clear_account(account)?;
                // The end of a request in the same batch finds no account any more; its row must not stay behind, where it
                // would belong to no account, or to the next that gets this id.
                self.execute("DELETE FROM forward WHERE account = ?1", params![account])?;
                self.execute("DELETE FROM arrival WHERE account = ?1", params![account])?;
                self.execute("DELETE FROM account WHERE id = ?1", params![account])?;
                self.accounts.remove(line);
                Ok(())
            }
            Change::Tombstone(line, epoch) => self.execute(
                "INSERT INTO tombstone (friend, currency, epoch) VALUES (?1, ?2, ?3)
                 ON CONFLICT (friend, currency) DO UPDATE SET epoch = excluded.epoch",
                params![line.friend.as_bytes(), line.currency.as_str(), integer(*epoch)?],
            ),
            Change::Relay(name, ticket) => self.write_server(
                name,
                ticket.as_ref(),
                "INSERT INTO relay (name, public_key, address) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET public_key = excluded.public_key, address = excluded.address",
                "DELETE FROM relay WHERE name = ?1",
            ),
            Change::IndexServer(name, ticket) => self.write_server(
                name,
                ticket.as_ref(),
                "INSERT INTO index_server (name, public_key, address) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET public_key = excluded.public_key, address = excluded.address",
                "DELETE FROM index_server WHERE name = ?1",
            ),
            Change::Forward(key, forward) => self.write_hop(
                key,
                forward.as_ref(),
                "INSERT INTO forward (account, request, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (account, request) DO UPDATE SET value = excluded.value",
                "DELETE FROM forward WHERE account = ?1 AND request = ?2",
            ),
            Change::Arrival(key, arrival) => self.write_hop(
                key,
                arrival.as_ref(),
                "INSERT INTO arrival (account, request, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (account, request) DO UPDATE SET value = excluded.value",
                "DELETE FROM arrival WHERE account = ?1 AND request = ?2",
            ),
            Change::Invoice(record) => self.execute(
                "INSERT INTO invoice (id, is_open, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (id) DO UPDATE SET is_open = excluded.is_open, value = excluded.value",
                params![
                    record.invoice.id.as_bytes(),
                    record.status == InvoiceStatus::Open,
                    record.to_canonical_bytes()
                ],
            ),
            Change::Payment(payment) => self.execute(
                "INSERT INTO payment (id, is_open, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (id) DO UPDATE SET is_open = excluded.is_open, value = excluded.value",
                params![
                    payment.id.as_bytes(),
                    matches!(payment.progress, Progress::Searching | Progress::Committed),
                    payment.to_canonical_bytes()
                ],
            ),
            Change::Forwarded(forward) => self.write_forwarded(forward),
        }
    }

    fn write_account(&self, account: i64, change: &AccountChange) -> Result<(), StoreError> {
        match change {
            AccountChange::Clear => self.clear_account(account),
            AccountChange::Head(head) => {
                self.execute("UPDATE account SET head = ?2 WHERE id = ?1", params![account, head])
            }
            AccountChange::Negotiation(negotiation) => {
                self.execute("UPDATE account SET negotiation = ?2 WHERE id = ?1", params![account, negotiation])
            }
            AccountChange::Openings(openings) => self.execute(
                "INSERT INTO openings (account, value) VALUES (?1, ?2)
                 ON CONFLICT (account) DO UPDATE SET value = excluded.value",
                params![account, openings],
            ),
            AccountChange::Checkpoint(set) => self.execute(
                "INSERT INTO checkpoint (account, value) VALUES (?1, ?2)
                 ON CONFLICT (account) DO UPDATE SET value = excluded.value",
                params![account, set],
            ),
            AccountChange::Pending(direction, id, Some(pending)) => self.execute(
                "INSERT INTO pending (account, direction, request, value) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (account, direction, request) DO UPDATE SET value = excluded.value",
                params![account, direction_code(*direction), id.as_bytes(), pending.to_canonical_bytes()],
            ),
            AccountChange::Pending(direction, id, None) => self.execute(
                "DELETE FROM pending WHERE account = ?1 AND direction = ?2 AND request = ?3",
                params![account, direction_code(*direction), id.as_bytes()],
            ),
            AccountChange::Queued(counter, Some(operation)) => self.execute(
                "INSERT INTO queued (account, counter, value) VALUES (?1, ?2, ?3)",
                params![account, integer(*counter)?, operation.to_canonical_bytes()],
            ),
            AccountChange::Queued(counter, None) => self.execute(
                "DELETE FROM queued WHERE account = ?1 AND counter = ?2",
                params![account, integer(*counter)?],
            ),
            AccountChange::Statement(mine, seq, wire) => self.execute(
                "INSERT INTO statement (account, mine, seq, wire) VALUES (?1, ?2, ?3, ?4)",
                params![account, mine, integer(*seq)?, &wire[..]],
            ),
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
        key: &HopKey,
        value: Option<&impl Canonical>,
        put: &'static str,
        delete: &'static str,
    ) -> Result<(), StoreError> {
        // A request's end may be written after its account has gone.
        let account = match (self.accounts.get(&key.line), value) {
            (Some(account), _) => *account,
            (None, Some(_)) => self.account(&key.line)?,
            (None, None) => return Ok(()),
        };
        match value {
            Some(value) => self.execute(put, params![account, key.id.as_bytes(), value.to_canonical_bytes()]),
            None => self.execute(delete, params![account, key.id.as_bytes()]),
        }
    }

    fn write_server(
        &self,
        name: &str,
        ticket: Option<&ServerTicket>,
        put: &'static str,
        delete: &'static str,
    ) -> Result<(), StoreError> {
        match ticket {
            Some(ticket) => self.execute(put, params![name, ticket.public_key.as_bytes(), ticket.address.as_str()]),
            None => self.execute(delete, params![name]),
        }
    }

    fn write_forwarded(&self, forward: &ForwardReport) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO forwarded (request, from_friend, to_friend, currency, amount, fee, time_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                forward.request_id.as_bytes(),
                forward.from.as_bytes(),
                forward.to.as_bytes(),
                forward.currency.as_str(),
                forward.amount.to_be_bytes(),
                forward.fee.to_be_bytes(),
                integer(forward.time_ms)?,
            ],
        )
    }
}
