//! Long lists, fetched page by page.

use super::arguments::whole_number;
use offst_app::AppError;
use offst_proto::report::{PAGE_MAX, Page};

/// Entries of a list when no limit is given.
pub(super) const ROWS_MAX: usize = 1000;

/// How much of a list is wanted.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Most entries
    #[arg(long, value_name = "N", default_value_t = ROWS_MAX, value_parser = whole_number(0..=usize::MAX))]
    pub(super) limit: usize,
}

/// Fetches pages until there are `limit` entries or no more.
pub(super) async fn all_pages<T>(
    limit: usize,
    page: impl AsyncFn(Option<u64>, usize) -> Result<Page<T>, AppError>,
) -> Result<Vec<T>, AppError> {
    chosen_pages(limit, |_| true, page).await
}

/// Fetches pages until there are `limit` entries of those that are wanted, or no more.
pub(super) async fn chosen_pages<T>(
    limit: usize,
    is_wanted: impl Fn(&T) -> bool,
    page: impl AsyncFn(Option<u64>, usize) -> Result<Page<T>, AppError>,
) -> Result<Vec<T>, AppError> {
    let (mut items, mut cursor) = (vec![], None);
    loop {
        let next = page(cursor, PAGE_MAX.min(limit.saturating_sub(items.len()).max(1))).await?;
        items.extend(next.items.into_iter().filter(&is_wanted));
        if items.len() >= limit || next.next.is_none() {
            items.truncate(limit);
            return Ok(items);
        }
        cursor = next.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_are_fetched_up_to_the_limit() {
        let page = async |cursor: Option<u64>, limit: usize| {
            let first = cursor.unwrap_or(450);
            let items: Vec<u64> = (1..=first).rev().take(limit).collect();
            let next = first - items.len() as u64;
            Ok(Page { items, next: (next > 0).then_some(next) })
        };
        for (limit, expected) in [(0, 0), (1, 1), (200, 200), (201, 201), (450, 450), (usize::MAX, 450)] {
            let items = all_pages(limit, page).await.unwrap();
            assert_eq!(items, (1..=450).rev().take(expected).collect::<Vec<_>>());
        }
    }
}
