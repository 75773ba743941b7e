//! Payments, invoices and forwards that have ended: read beside the writer, page by page, newest first.

use crate::database::open;
use crate::error::StoreError;
use crate::load::{currency, public_key, request_id, value};
use offst_funder::{InvoiceRecord, Payment};
use offst_proto::encoding::{Canonical, DecodeError};
use offst_proto::report::{ForwardReport, PAGE_MAX, Page};
use offst_proto::{InvoiceId, PaymentId};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use std::path::Path;

/// A reader's connection to the database.
#[derive(Debug)]
pub struct History {
    connection: Connection,
}

impl History {
    /// Opens the database for reading.
    ///
    /// # Errors
    /// It is missing or not ours.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(History { connection: open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)? })
    }

    /// One payment of ours, ended or not.
    ///
    /// # Errors
    /// The disk failed or the row is damaged, as for all of these.
    pub fn payment(&self, id: PaymentId) -> Result<Option<Payment>, StoreError> {
        self.one("SELECT value FROM payment WHERE id = ?1", id.as_bytes(), "a payment")
    }

    /// One invoice of ours, open or not.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn invoice(&self, id: InvoiceId) -> Result<Option<InvoiceRecord>, StoreError> {
        self.one("SELECT value FROM invoice WHERE id = ?1", id.as_bytes(), "an invoice")
    }

    fn one<T: Canonical>(&self, sql: &str, id: &[u8; 16], what: &str) -> Result<Option<T>, StoreError> {
        let bytes: Option<Vec<u8>> =
            self.connection.prepare_cached(sql)?.query_row(params![id], |row| row.get(0)).optional()?;
        bytes.map(|bytes| value(what, &bytes)).transpose()
    }

    /// Payments of ours. `before`: the cursor of the page before.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn payments(&self, before: Option<u64>, limit: usize) -> Result<Page<Payment>, StoreError> {
        let sql = "SELECT number, value FROM payment WHERE number < ?1 ORDER BY number DESC LIMIT ?2";
        self.page(sql, before, limit, |row| {
            let bytes: Vec<u8> = row.get(1)?;
            Ok(value("a payment", &bytes))
        })
    }

    /// Invoices of ours.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn invoices(&self, before: Option<u64>, limit: usize) -> Result<Page<InvoiceRecord>, StoreError> {
        let sql = "SELECT number, value FROM invoice WHERE number < ?1 ORDER BY number DESC LIMIT ?2";
        self.page(sql, before, limit, |row| {
            let bytes: Vec<u8> = row.get(1)?;
            Ok(value("an invoice", &bytes))
        })
    }

    /// Payments that we carried on for others.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn forwards(&self, before: Option<u64>, limit: usize) -> Result<Page<ForwardReport>, StoreError> {
        let sql = "SELECT number, request, from_friend, to_friend, currency, amount, fee, time_ms
                   FROM forwarded WHERE number < ?1 ORDER BY number DESC LIMIT ?2";
        self.page(sql, before, limit, |row| Ok(read_forward(row)))
    }

    fn page<T>(
        &self,
        sql: &str,
        before: Option<u64>,
        limit: usize,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<Result<T, StoreError>>,
    ) -> Result<Page<T>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let before = i64::try_from(before.unwrap_or(u64::MAX)).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows: Vec<(i64, T)> = statement
            .query_map(params![before, limit as i64], |row| Ok((row.get::<_, i64>(0)?, read(row)?)))?
            .map(|row| {
                let (number, item) = row?;
                Ok((number, item?))
            })
            .collect::<Result<_, StoreError>>()?;
        let next = if rows.len() == limit { rows.last().map(|(number, _)| number.unsigned_abs()) } else { None };
        Ok(Page { items: rows.into_iter().map(|(_, item)| item).collect(), next })
    }
}

fn read_forward(row: &Row<'_>) -> Result<ForwardReport, StoreError> {
    let amount = |index: usize| -> Result<u128, StoreError> {
        let bytes: Vec<u8> = row.get(index)?;
        let bytes: [u8; 16] =
            bytes.try_into().map_err(|_| StoreError::damaged("a forward")(DecodeError::invalid("an amount")))?;
        Ok(u128::from_be_bytes(bytes))
    };
    Ok(ForwardReport {
        request_id: request_id(&row.get::<_, Vec<u8>>(1)?)?,
        from: public_key(&row.get::<_, Vec<u8>>(2)?)?,
        to: public_key(&row.get::<_, Vec<u8>>(3)?)?,
        currency: currency(&row.get::<_, String>(4)?)?,
        amount: amount(5)?,
        fee: amount(6)?,
        time_ms: row.get::<_, i64>(7)?.unsigned_abs(),
    })
}
