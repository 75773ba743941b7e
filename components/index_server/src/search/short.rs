//! The cheapest path that is short enough. Nearly always that is the cheapest of all; where people forward for nothing, the
//! cheapest of all may be very long.
//!
//! Then prices on hops (Lagrange multipliers) find a path that is short enough and hardly dearer, and a lower bound: if no
//! path has a smaller sum of fees and prices than some sum, then no path of at most so many hops has lower fees than that
//! sum without the prices of so many hops. Mostly the two are equal. Where they are not, [`super::bounded_hops`] searches
//! between them.

use super::bounded_hops::cheapest_bounded;
use super::cheapest::{Outcome, cheapest};
use super::path_query::{PRICE_UNIT, Path, PathQuery};
use super::scratch::Scratch;
use super::work::SearchWork;

/// Prices that are tried at most.
const PRICES: usize = 6;
/// The first of them, a quarter of a credit.
const FIRST_PRICE: u128 = PRICE_UNIT / 4;
/// As long as no path is short enough, the price grows so many times.
const PRICE_STEP: u128 = 8;
/// The work for the search between the bounds, when a path is known that is short enough and hardly dearer.
const BETWEEN_WORK: usize = 50_000;

/// The cheapest path with at most `query.hops` hops. When the work is cut, the best that was seen.
pub(super) fn cheapest_short_enough(
    query: &PathQuery<'_>,
    work: &mut SearchWork,
    scratch: &mut Scratch,
) -> Option<Path> {
    let cheapest = cheapest_of_any_width(query, work, scratch)?;
    if cheapest.nodes.len() <= query.hops {
        return Some(cheapest);
    }
    let mut best = None;
    let mut least = cheapest.fees;
    // The dearest price that is too low, and the lowest that is high enough.
    let (mut low, mut high) = (0, None);
    for _ in 0..PRICES {
        let price = high.map_or((low * PRICE_STEP).max(FIRST_PRICE), |high| (low + high) / 2);
        if price == low {
            break;
        }
        let priced = PathQuery { hop_price: Some(price), below: None, ..query.clone() };
        let Some(path) = cheapest_of_any_width(&priced, work, scratch) else { break };
        if work.is_used_up() {
            break;
        }
        least = least.max(path.fees.saturating_sub(price * query.hops as u128).div_ceil(PRICE_UNIT));
        if path.nodes.len() > query.hops {
            low = price;
            continue;
        }
        high = Some(price);
        if let Some(total) = query.total(&path.nodes, query.amount) {
            let fees = total - query.amount;
            if best.as_ref().is_none_or(|best: &Path| fees < best.fees) {
                best = Some(Path { nodes: path.nodes, fees });
            }
        }
        if best.as_ref().is_some_and(|best| best.fees <= least) {
            return better(query, best);
        }
    }
    let known = best.as_ref().map(|best| (best.fees, best.nodes.len()));
    let below = known.into_iter().chain(query.below).min();
    let between = PathQuery { below, ..query.clone() };
    let mut part = work.split_off(if best.is_some() { BETWEEN_WORK } else { usize::MAX });
    let found = cheapest_bounded(&between, least, &mut part, &mut scratch.bounded);
    work.give_back(part);
    found.or_else(|| better(query, best))
}

/// The path, if it is of interest.
fn better(query: &PathQuery<'_>, path: Option<Path>) -> Option<Path> {
    path.filter(|path| query.below.is_none_or(|below| (path.fees, path.nodes.len()) < below))
}

/// With costs of 64 bits where they are enough.
fn cheapest_of_any_width(query: &PathQuery<'_>, work: &mut SearchWork, scratch: &mut Scratch) -> Option<Path> {
    let Outcome { path, is_too_narrow } = cheapest(query, work, &mut scratch.narrow);
    match path {
        None if is_too_narrow => cheapest(query, work, &mut scratch.wide).path,
        path => path,
    }
}
