//! All rows that a running node needs. What has ended stays in the database only.

use crate::checksum::{SPENDING, TABLES, WRITE_OFF};
use crate::database::{Store, schema_version};
use crate::error::StoreError;
use offst_crypto::PublicKey;
use offst_funder::{FunderImage, HopKey, LineKey, Spendings};
use offst_ledger::{AccountImage, Direction, EvidenceRows};
use offst_proto::encoding::{Canonical, DecodeError};
use offst_proto::key_replacement::KeyReplacement;
use offst_proto::ticket::ServerTicket;
use offst_proto::{Currency, RequestId, Unverified};
use rusqlite::{Connection, OptionalExtension, Params, Row, params_from_iter};
use std::collections::BTreeMap;

pub(crate) type Bytes = Vec<u8>;

pub(crate) fn public_key(bytes: &[u8]) -> Result<PublicKey, StoreError> {
    PublicKey::from_slice(bytes).map_err(|_| StoreError::damaged("a key")(DecodeError::invalid("a public key")))
}

pub(crate) fn currency(text: &str) -> Result<Currency, StoreError> {
    text.parse().map_err(|_| StoreError::damaged("an account")(DecodeError::invalid("a currency")))
}

pub(crate) fn request_id(bytes: &[u8]) -> Result<RequestId, StoreError> {
    RequestId::from_slice(bytes).ok_or_else(|| StoreError::damaged("a request")(DecodeError::invalid("an id")))
}

pub(crate) fn value<T: Canonical>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    T::from_canonical_bytes(bytes).map_err(StoreError::damaged(what))
}

fn unsigned(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::damaged("a number")(DecodeError::invalid("a negative number")))
}

impl Store {
    fn rows<T>(&self, sql: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, StoreError> {
        rows_with(&self.connection, sql, [], read)
    }

    /// Reads everything a running node needs.
    ///
    /// # Errors
    /// The disk failed or the database is damaged.
    pub fn load(&mut self) -> Result<FunderImage, StoreError> {
        for table in TABLES {
            match table.damaged_rows(&self.connection, false)? {
                0 => {}
                count => return Err(StoreError::DamagedRows { what: table.name, count }),
            }
        }
        Ok(self.read()?.0)
    }

    /// The same without a look at the checksums; and the accounts with keys that friends have lost.
    pub(crate) fn read(&mut self) -> Result<(FunderImage, Vec<(LineKey, AccountImage)>), StoreError> {
        let mut image = FunderImage::default();
        for (key, record) in self.rows("SELECT public_key, record FROM friend", |row| {
            Ok((row.get::<_, Bytes>(0)?, row.get::<_, Bytes>(1)?))
        })? {
            image.friends.push((public_key(&key)?, value("a friend", &record)?));
        }
        for wire in self.rows("SELECT wire FROM key_replacement", |row| row.get::<_, Bytes>(0))? {
            let replacement =
                Unverified::<KeyReplacement>::from_wire(&wire).map_err(StoreError::damaged("a friend's lost key"))?;
            image.replacements.push(replacement.trust_own_database());
        }
        let is_lost = |key: &PublicKey| image.replacements.iter().any(|replacement| replacement.lost == *key);
        let (lost, accounts): (Vec<_>, Vec<_>) =
            load_accounts(&self.connection, None)?.into_iter().partition(|(_, line, _)| is_lost(&line.friend));
        let lines: BTreeMap<i64, LineKey> = accounts.iter().map(|(id, line, _)| (*id, line.clone())).collect();
        self.accounts = accounts.iter().map(|(id, line, _)| (line.clone(), *id)).collect();
        image.accounts = accounts.into_iter().map(|(_, line, account)| (line, account)).collect();
        for (friend, text, epoch) in self.rows("SELECT friend, currency, epoch FROM tombstone", |row| {
            Ok((row.get::<_, Bytes>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
        })? {
            let line = LineKey { friend: public_key(&friend)?, currency: currency(&text)? };
            image.tombstones.push((line, unsigned(epoch)?));
        }
        image.relays = self.load_servers("SELECT name, public_key, address FROM relay")?;
        image.index_servers = self.load_servers("SELECT name, public_key, address FROM index_server")?;
        image.forwards =
            self.load_hops("SELECT account, request, value FROM forward", "a forwarded request", &lines)?;
        if schema_version(&self.connection)? >= WRITE_OFF.since {
            let sql = "SELECT account, request, value FROM write_off";
            image.written_off = self.load_hops(sql, "a request that was written off", &lines)?;
        }
        image.arrivals = self.load_hops("SELECT account, request, value FROM arrival", "an arrived request", &lines)?;
        for bytes in self.rows("SELECT value FROM invoice WHERE is_open = 1", |row| row.get::<_, Bytes>(0))? {
            image.invoices.push(value("an invoice", &bytes)?);
        }
        for bytes in self.rows("SELECT value FROM payment WHERE is_open = 1", |row| row.get::<_, Bytes>(0))? {
            image.payments.push(value("a payment", &bytes)?);
        }
        image.spendings = load_spendings(&self.connection)?;
        let auto_clear =
            self.rows("SELECT value FROM setting WHERE name = 'auto_clear'", |row| row.get::<_, bool>(0))?;
        image.auto_clear = auto_clear == [true];
        for bytes in self.rows("SELECT value FROM recovery", |row| row.get::<_, Bytes>(0))? {
            image.recovery = Some(value("the mark of a recovery", &bytes)?);
        }
        Ok((image, lost.into_iter().map(|(_, line, account)| (line, account)).collect()))
    }

    /// The rows that prove where an account stands; none of an account that does not exist.
    ///
    /// # Errors
    /// The disk failed.
    pub fn evidence(&self, line: &LineKey) -> Result<EvidenceRows, StoreError> {
        let Some(id) = self.accounts.get(line) else { return Ok(EvidenceRows::default()) };
        let sql = "SELECT value FROM checkpoint WHERE account = ?1";
        let checkpoint: Option<Bytes> =
            self.connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
        let sql = "SELECT wire FROM statement WHERE account = ?1 ORDER BY mine, seq";
        let statements = self
            .connection
            .prepare_cached(sql)?
            .query_map([id], |row| Ok(row.get::<_, Bytes>(0)?.into()))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(EvidenceRows { checkpoint: checkpoint.unwrap_or_default(), statements })
    }

    fn load_servers(&self, sql: &str) -> Result<Vec<(String, ServerTicket)>, StoreError> {
        let rows =
            self.rows(sql, |row| Ok((row.get::<_, String>(0)?, row.get::<_, Bytes>(1)?, row.get::<_, String>(2)?)))?;
        rows.into_iter()
            .map(|(name, key, address)| {
                let address =
                    address.parse().map_err(|_| StoreError::damaged("a server")(DecodeError::invalid("an address")))?;
                Ok((name, ServerTicket { public_key: public_key(&key)?, address }))
            })
            .collect()
    }

    fn load_hops<T: Canonical>(
        &self,
        sql: &str,
        what: &str,
        lines: &BTreeMap<i64, LineKey>,
    ) -> Result<Vec<(HopKey, T)>, StoreError> {
        let rows =
            self.rows(sql, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Bytes>(1)?, row.get::<_, Bytes>(2)?)))?;
        rows.into_iter()
            .map(|(account, request, bytes)| {
                let line = lines
                    .get(&account)
                    .ok_or_else(|| StoreError::damaged(what)(DecodeError::invalid("its account")))?;
                Ok((line.hop(request_id(&request)?), value(what, &bytes)?))
            })
            .collect()
    }
}

/// What applications have spent.
pub(crate) fn load_spendings(connection: &Connection) -> Result<Spendings, StoreError> {
    if schema_version(connection)? < SPENDING.since {
        return Ok(Spendings::new());
    }
    let sql = "SELECT app, currency, value FROM spending";
    let rows = rows_with(connection, sql, [], |row| {
        Ok((row.get::<_, Bytes>(0)?, row.get::<_, String>(1)?, row.get::<_, Bytes>(2)?))
    })?;
    rows.into_iter()
        .map(|(app, text, bytes)| Ok(((public_key(&app)?, currency(&text)?), value("what an app has spent", &bytes)?)))
        .collect()
}

/// The rows of all accounts, or of those with one friend, with their numbers. The caller holds a
/// transaction open where others may write.
pub(crate) fn load_accounts(
    connection: &Connection,
    friend: Option<PublicKey>,
) -> Result<Vec<(i64, LineKey, AccountImage)>, StoreError> {
    let parameters = || params_from_iter(friend.iter().map(|key| key.as_bytes()));
    let mut accounts = BTreeMap::new();
    let sql = "SELECT id, friend, currency, head.value, negotiation, openings.value, checkpoint.value FROM account
               LEFT JOIN head ON head.account = id LEFT JOIN openings ON openings.account = id
               LEFT JOIN checkpoint ON checkpoint.account = id";
    let of_friend = if friend.is_some() { "WHERE friend = ?1" } else { "" };
    for (id, key, text, image) in rows_with(connection, &format!("{sql} {of_friend}"), parameters(), |row| {
        let image = AccountImage {
            head: row.get::<_, Option<Bytes>>(3)?.unwrap_or_default(),
            negotiation: row.get(4)?,
            openings: row.get::<_, Option<Bytes>>(5)?.unwrap_or_default(),
            checkpoint: row.get::<_, Option<Bytes>>(6)?.unwrap_or_default(),
            ..AccountImage::default()
        };
        Ok((row.get::<_, i64>(0)?, row.get::<_, Bytes>(1)?, row.get::<_, String>(2)?, image))
    })? {
        let line = LineKey { friend: public_key(&key)?, currency: currency(&text)? };
        accounts.insert(id, (line, image));
    }
    let orphan = || StoreError::damaged("a row of an account")(DecodeError::invalid("its account"));
    let of_friend = if friend.is_some() { "WHERE account IN (SELECT id FROM account WHERE friend = ?1)" } else { "" };
    let sql = format!("SELECT account, direction, request, value FROM pending {of_friend}");
    for (id, code, request, bytes) in rows_with(connection, &sql, parameters(), |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Bytes>(2)?, row.get::<_, Bytes>(3)?))
    })? {
        let direction = if code == 0 { Direction::Outgoing } else { Direction::Incoming };
        let pending = value("a pending request", &bytes)?;
        let (_, image) = accounts.get_mut(&id).ok_or_else(orphan)?;
        image.pendings.push((direction, request_id(&request)?, pending));
    }
    let sql = format!("SELECT account, counter, value FROM queued {of_friend}");
    for (id, counter, bytes) in rows_with(connection, &sql, parameters(), |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Bytes>(2)?))
    })? {
        let operation = value("a queued operation", &bytes)?;
        let (_, image) = accounts.get_mut(&id).ok_or_else(orphan)?;
        image.queue.push((unsigned(counter)?, operation));
    }
    let sql = format!("SELECT account, wire FROM statement {of_friend} ORDER BY account, mine, seq");
    for (id, wire) in
        rows_with(connection, &sql, parameters(), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Bytes>(1)?)))?
    {
        let (_, image) = accounts.get_mut(&id).ok_or_else(orphan)?;
        image.statements.push(wire.into());
    }
    Ok(accounts.into_iter().map(|(id, (line, image))| (id, line, image)).collect())
}

fn rows_with<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(parameters, read)?.collect::<rusqlite::Result<_>>()?;
    Ok(rows)
}
