//! Payments and invoices, ended or not, and what was carried on or received: read beside the writer, page by page, newest first.

use crate::checksum::StoredRow;
use crate::database::open;
use crate::error::StoreError;
use crate::scan::{columns, stored};
use crate::tables;
use offst_crypto::PublicKey;
use offst_funder::{ForwardedPayment, InvoiceRecord, Payment, ReceivedPayment, Spending, budget_reports};
use offst_proto::budget::{BudgetReport, Budgets};
use offst_proto::report::{ForwardReport, PAGE_MAX, Page, ReceivedReport};
use offst_proto::{InvoiceId, PaymentId};
use offst_rows::{Kind, Row, RowError, RowKey, Rows};
use rusqlite::{Connection, OpenFlags, Params, params};
use std::path::Path;

/// A reader's connection to the database.
#[derive(Debug)]
pub struct History {
    pub(crate) connection: Connection,
}

impl History {
    /// Opens the database for reading.
    ///
    /// # Errors
    /// It is missing, cannot be opened, or is not ours.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(History { connection: open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)? })
    }

    /// One payment of ours, ended or not.
    ///
    /// # Errors
    /// The disk failed or the row is damaged, as for all of these.
    pub fn payment(&self, id: PaymentId) -> Result<Option<Payment>, StoreError> {
        self.one(&id)
    }

    /// One invoice of ours, open or not.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn invoice(&self, id: InvoiceId) -> Result<Option<InvoiceRecord>, StoreError> {
        self.one(&id)
    }

    fn one<T: Row>(&self, key: &T::Key) -> Result<Option<T>, StoreError> {
        let mut found = None;
        rows_where(&self.connection, T::KIND, "key = ?2", params![T::KIND.number, key.to_bytes()], |row| {
            found = Some(decoded(&row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// Payments of ours. `before`: the cursor of the page before; `limit`: entries, at most [`PAGE_MAX`] are given.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn payments(&self, before: Option<u64>, limit: usize) -> Result<Page<Payment>, StoreError> {
        self.page(before, limit, |payment| payment)
    }

    /// Invoices of ours.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn invoices(&self, before: Option<u64>, limit: usize) -> Result<Page<InvoiceRecord>, StoreError> {
        self.page(before, limit, |invoice| invoice)
    }

    /// Payments that we carried on for others.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn forwards(&self, before: Option<u64>, limit: usize) -> Result<Page<ForwardReport>, StoreError> {
        self.page(before, limit, |forwarded: ForwardedPayment| forwarded.report)
    }

    /// Parts of payments to us that were collected.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn received(&self, before: Option<u64>, limit: usize) -> Result<Page<ReceivedReport>, StoreError> {
        self.page(before, limit, |received: ReceivedPayment| received.report)
    }

    /// How the budgets of an application stand, as far as it is durable. `now_ms`: unix.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn budgets(&self, app: PublicKey, budgets: &Budgets, now_ms: u64) -> Result<Vec<BudgetReport>, StoreError> {
        // As of one moment: a payment is under way or spent.
        let moment = self.connection.unchecked_transaction()?;
        let mut open: Vec<Payment> = Vec::new();
        rows_where(&moment, Payment::KIND, "has_ended = 0", [Payment::KIND.number], |row| {
            open.push(decoded(&row)?);
            Ok(())
        })?;
        let mut rows = Rows::default();
        rows_where(&moment, Spending::KIND, "true", [Spending::KIND.number], |row| {
            rows.insert(row.kind, row.key.to_vec(), row.value.to_vec());
            Ok(())
        })?;
        Ok(budget_reports(app, budgets, &rows.take()?, open.iter(), now_ms))
    }

    fn page<T: Row, R>(&self, before: Option<u64>, limit: usize, read: impl Fn(T) -> R) -> Result<Page<R>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let before = i64::try_from(before.unwrap_or(u64::MAX)).unwrap_or(i64::MAX);
        let newest_first = "number < ?2 ORDER BY number DESC LIMIT ?3";
        let parameters = params![T::KIND.number, before, limit as i64];
        let (mut items, mut last) = (Vec::new(), None);
        rows_where(&self.connection, T::KIND, newest_first, parameters, |row| {
            items.push(read(decoded(&row)?));
            last = Some(row.number.unsigned_abs());
            Ok(())
        })?;
        let next = last.filter(|_| items.len() == limit);
        Ok(Page { items, next })
    }
}

/// Reads rows of a kind, whose number is the first parameter.
pub(crate) fn rows_where(
    connection: &Connection,
    kind: Kind,
    condition: &str,
    parameters: impl Params,
    mut each: impl FnMut(StoredRow<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (columns, table) = (columns(kind.keeping), tables::name(kind.keeping));
    let sql = format!("SELECT {columns} FROM {table} WHERE kind = ?1 AND {condition}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        let (row, _) = stored(kind.keeping, row).ok_or_else(|| StoreError::damaged_row(kind.name))?;
        each(row)?;
    }
    Ok(())
}

/// The value of a row.
pub(crate) fn decoded<T: Row>(row: &StoredRow<'_>) -> Result<T, RowError> {
    let key = T::Key::from_bytes(row.key).map_err(RowError::damaged(T::KIND.name))?;
    T::from_bytes(&key, row.value).map(|(value, _)| value)
}
