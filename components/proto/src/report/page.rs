//! Long lists, page by page.

use super::history::{ForwardReport, InvoiceReport, ReceivedReport};
use super::payment::PaymentReport;
use crate::app::field::Field;
use crate::app::message::{Message, MessageError, length, read_bounded_list, write_list};
use crate::wire::app_capnp::reports as wire;
use capnp::traits::OwnedStruct;

/// One page of a history, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Give this to get the next page; none on the last one.
    pub next: Option<u64>,
}

/// Most entries of one page.
pub const PAGE_MAX: usize = 200;

/// Asks for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageQuery {
    /// [`Page::next`] of the page before; none for the first one.
    pub cursor: Option<u64>,
    /// Most entries, 1 to [`PAGE_MAX`].
    pub limit: usize,
}

/// A report of which the node has a long list.
pub trait Listed: Message {
    /// What a page is asked for with.
    type Query: OwnedStruct;
    /// What a page is answered with.
    type Answer: OwnedStruct;

    /// Asks for a page.
    fn write_query(query: PageQuery, builder: <Self::Query as OwnedStruct>::Builder<'_>);

    /// Reads what is asked for. No limit, or one that is too large, is the largest.
    ///
    /// # Errors
    /// The cursor is not one that the page before gave.
    fn read_query(reader: <Self::Query as OwnedStruct>::Reader<'_>) -> Result<PageQuery, MessageError>;

    /// Answers with a page.
    fn write_page(page: &Page<Self>, builder: <Self::Answer as OwnedStruct>::Builder<'_>);

    /// Reads a page.
    ///
    /// # Errors
    /// A field is not valid.
    fn read_page(reader: <Self::Answer as OwnedStruct>::Reader<'_>) -> Result<Page<Self>, MessageError>;
}

fn read_cursor(text: &str) -> Result<Option<u64>, MessageError> {
    let wrong = |_| MessageError::Argument("the cursor is not one that the page before gave".into());
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(wrong) }
}

fn write_cursor(cursor: Option<u64>) -> String {
    cursor.map(|cursor| cursor.to_string()).unwrap_or_default()
}

macro_rules! listed {
    ($($type:ident: $params:ident, $results:ident, $get:ident, $init:ident;)*) => {$(
        impl Listed for $type {
            type Query = wire::$params::Owned;
            type Answer = wire::$results::Owned;

            fn write_query(query: PageQuery, mut builder: wire::$params::Builder<'_>) {
                builder.set_cursor(write_cursor(query.cursor));
                builder.set_limit(u32::try_from(query.limit).unwrap_or(u32::MAX));
            }

            fn read_query(reader: wire::$params::Reader<'_>) -> Result<PageQuery, MessageError> {
                let limit = if reader.get_limit() == 0 { PAGE_MAX } else { PAGE_MAX.min(reader.get_limit() as usize) };
                Ok(PageQuery { cursor: read_cursor(&String::from_wire(reader.get_cursor())?)?, limit })
            }

            fn write_page(page: &Page<Self>, mut builder: wire::$results::Builder<'_>) {
                builder.set_next(write_cursor(page.next));
                write_list(&page.items, builder.$init(length(&page.items)));
            }

            fn read_page(reader: wire::$results::Reader<'_>) -> Result<Page<Self>, MessageError> {
                Ok(Page {
                    items: read_bounded_list(reader.$get()?, PAGE_MAX, "the number of entries")?,
                    next: read_cursor(&String::from_wire(reader.get_next())?)?,
                })
            }
        }
    )*};
}
listed! {
    PaymentReport: payments_params, payments_results, get_payments, init_payments;
    ForwardReport: forwards_params, forwards_results, get_forwards, init_forwards;
    InvoiceReport: invoices_params, invoices_results, get_invoices, init_invoices;
    ReceivedReport: received_params, received_results, get_received, init_received;
}
