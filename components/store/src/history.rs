//! Payments and invoices, ended or not, and what was carried on or received: read beside the writer, page by page, newest first.

use crate::checksum::{self, FORWARDED, INVOICE, PAYMENT, RECEIVED, Table};
use crate::database::open;
use crate::error::StoreError;
use crate::load::{Bytes, currency, load_spendings, public_key, request_id, value};
use offst_crypto::PublicKey;
use offst_funder::{InvoiceRecord, Payment, budget_reports};
use offst_proto::budget::{BudgetReport, Budgets};
use offst_proto::encoding::{Canonical, DecodeError};
use offst_proto::report::{ForwardReport, PAGE_MAX, Page, ReceivedReport};
use offst_proto::{InvoiceId, PaymentId};
use rusqlite::{Connection, OpenFlags, Row, params};
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
        let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        checksum::install(&connection)?;
        Ok(History { connection })
    }

    /// One payment of ours, ended or not.
    ///
    /// # Errors
    /// The disk failed or the row is damaged, as for all of these.
    pub fn payment(&self, id: PaymentId) -> Result<Option<Payment>, StoreError> {
        self.one(&PAYMENT, id.as_bytes(), "a payment")
    }

    /// One invoice of ours, open or not.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn invoice(&self, id: InvoiceId) -> Result<Option<InvoiceRecord>, StoreError> {
        self.one(&INVOICE, id.as_bytes(), "an invoice")
    }

    fn one<T: Canonical>(&self, table: &Table, id: &[u8; 16], what: &str) -> Result<Option<T>, StoreError> {
        let sql = format!("SELECT {}, value FROM {} WHERE id = ?1", table.is_whole(), table.name);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![id])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        check(table, row)?;
        value(what, &row.get::<_, Bytes>(1)?).map(Some)
    }

    /// Payments of ours. `before`: the cursor of the page before; `limit`: entries, at most [`PAGE_MAX`] are given.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn payments(&self, before: Option<u64>, limit: usize) -> Result<Page<Payment>, StoreError> {
        self.page(&PAYMENT, "value", before, limit, |row| value("a payment", &row.get::<_, Bytes>(2)?))
    }

    /// Invoices of ours.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn invoices(&self, before: Option<u64>, limit: usize) -> Result<Page<InvoiceRecord>, StoreError> {
        self.page(&INVOICE, "value", before, limit, |row| value("an invoice", &row.get::<_, Bytes>(2)?))
    }

    /// Payments that we carried on for others.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn forwards(&self, before: Option<u64>, limit: usize) -> Result<Page<ForwardReport>, StoreError> {
        let columns = "request, from_friend, to_friend, currency, amount, fee, time_ms";
        self.page(&FORWARDED, columns, before, limit, read_forward)
    }

    /// Parts of payments to us that were collected.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn received(&self, before: Option<u64>, limit: usize) -> Result<Page<ReceivedReport>, StoreError> {
        let columns = "request, from_friend, payment, invoice, currency, amount, time_ms";
        self.page(&RECEIVED, columns, before, limit, read_received)
    }

    /// How the budgets of an application stand, as far as it is durable. `now_ms`: unix.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn budgets(&self, app: PublicKey, budgets: &Budgets, now_ms: u64) -> Result<Vec<BudgetReport>, StoreError> {
        // As of one moment: a payment is under way or spent.
        let moment = self.connection.unchecked_transaction()?;
        let mut statement = moment.prepare_cached("SELECT value FROM payment WHERE is_open = 1")?;
        let open = statement.query_map([], |row| row.get::<_, Bytes>(0))?;
        let open = open.map(|bytes| value("a payment", &bytes?)).collect::<Result<Vec<Payment>, _>>()?;
        Ok(budget_reports(app, budgets, &load_spendings(&moment)?, open.iter(), now_ms))
    }

    /// `read` finds the columns behind whether the row is whole, and its number.
    fn page<T>(
        &self,
        table: &Table,
        columns: &str,
        before: Option<u64>,
        limit: usize,
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let before = i64::try_from(before.unwrap_or(u64::MAX)).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT {}, number, {columns} FROM {} WHERE number < ?1 ORDER BY number DESC LIMIT ?2",
            table.is_whole(),
            table.name
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![before, limit as i64])?;
        let mut items = Vec::new();
        let mut last: Option<i64> = None;
        while let Some(row) = rows.next()? {
            check(table, row)?;
            last = Some(row.get(1)?);
            items.push(read(row)?);
        }
        let next = last.filter(|_| items.len() == limit).map(i64::unsigned_abs);
        Ok(Page { items, next })
    }
}

/// Refuses a row whose first column says that it is not what was written.
pub(crate) fn check(table: &Table, row: &Row<'_>) -> Result<(), StoreError> {
    if row.get(0)? { Ok(()) } else { Err(StoreError::DamagedRows { what: table.name, count: 1 }) }
}

fn amount(row: &Row<'_>, index: usize) -> Result<u128, StoreError> {
    let bytes: Bytes = row.get(index)?;
    let bytes: [u8; 16] =
        bytes.try_into().map_err(|_| StoreError::damaged("the history")(DecodeError::invalid("an amount")))?;
    Ok(u128::from_be_bytes(bytes))
}

pub(crate) fn read_received(row: &Row<'_>) -> Result<ReceivedReport, StoreError> {
    let wrong = || StoreError::damaged("the history")(DecodeError::invalid("an id"));
    let (payment, invoice) = (row.get::<_, Bytes>(4)?, row.get::<_, Bytes>(5)?);
    let payment_id = (!payment.is_empty()).then(|| PaymentId::from_slice(&payment).ok_or_else(wrong));
    let invoice_id = (!invoice.is_empty()).then(|| InvoiceId::from_slice(&invoice).ok_or_else(wrong));
    Ok(ReceivedReport {
        request_id: request_id(&row.get::<_, Bytes>(2)?)?,
        from: public_key(&row.get::<_, Bytes>(3)?)?,
        payment_id: payment_id.transpose()?,
        invoice_id: invoice_id.transpose()?,
        currency: currency(&row.get::<_, String>(6)?)?,
        amount: amount(row, 7)?,
        time_ms: row.get::<_, i64>(8)?.unsigned_abs(),
    })
}

pub(crate) fn read_forward(row: &Row<'_>) -> Result<ForwardReport, StoreError> {
    let from: Bytes = row.get(3)?;
    Ok(ForwardReport {
        request_id: request_id(&row.get::<_, Bytes>(2)?)?,
        from: if from.is_empty() { None } else { Some(public_key(&from)?) },
        to: public_key(&row.get::<_, Bytes>(4)?)?,
        currency: currency(&row.get::<_, String>(5)?)?,
        amount: amount(row, 6)?,
        fee: amount(row, 7)?,
        time_ms: row.get::<_, i64>(8)?.unsigned_abs(),
    })
}
