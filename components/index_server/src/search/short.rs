//! The cheapest route that is short enough. Nearly always that is the cheapest of all; where people forward for nothing,
//! the cheapest of all may be very long.
//!
//! Then prices on hops (Lagrange) find one that is short enough and hardly dearer, and a bound: when fees and hops
//! together cannot be less than some whole, no route of at most so many hops has lower fees than that whole without the
//! price of so many hops. Mostly both meet. Where they do not, [`super::bounded_hops`] looks at what lies between.

use super::Scratch;
use super::bounded_hops::cheapest_bounded;
use super::cheapest::{Outcome, cheapest};
use super::task::{Budget, PRICE_UNIT, Route, Task};

/// Prices that are tried at most.
const PRICES: usize = 6;
/// The first of them, a quarter of a credit.
const FIRST_PRICE: u128 = PRICE_UNIT / 4;
/// As long as no route is short enough, the price grows so many times.
const PRICE_STEP: u128 = 8;
/// The work for what lies between, when a route is known that is short enough and hardly dearer.
const BETWEEN_WORK: usize = 50_000;

/// The cheapest route with at most `task.hops` hops. When the budget is cut, the best that was seen.
pub(super) fn cheapest_short_enough(task: &Task<'_>, budget: &mut Budget, scratch: &mut Scratch) -> Option<Route> {
    let cheapest = cheapest_of_any_width(task, budget, scratch)?;
    if cheapest.nodes.len() <= task.hops {
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
        let priced = Task { hop_price: Some(price), below: None, ..task.clone() };
        let Some(route) = cheapest_of_any_width(&priced, budget, scratch) else { break };
        if budget.is_used_up() {
            break;
        }
        least = least.max(route.fees.saturating_sub(price * task.hops as u128).div_ceil(PRICE_UNIT));
        if route.nodes.len() > task.hops {
            low = price;
            continue;
        }
        high = Some(price);
        if let Some(total) = task.total(&route.nodes, task.amount) {
            let fees = total - task.amount;
            if best.as_ref().is_none_or(|best: &Route| fees < best.fees) {
                best = Some(Route { nodes: route.nodes, fees });
            }
        }
        if best.as_ref().is_some_and(|best| best.fees <= least) {
            return better(task, best);
        }
    }
    let known = best.as_ref().map(|best| (best.fees, best.nodes.len()));
    let below = known.into_iter().chain(task.below).min();
    let between = Task { below, ..task.clone() };
    let mut share = budget.share(if best.is_some() { BETWEEN_WORK } else { usize::MAX });
    let found = cheapest_bounded(&between, least, &mut share, &mut scratch.bounded);
    budget.give_back(share);
    found.or_else(|| better(task, best))
}

/// The route, if it is of interest.
fn better(task: &Task<'_>, route: Option<Route>) -> Option<Route> {
    route.filter(|route| task.below.is_none_or(|below| (route.fees, route.nodes.len()) < below))
}

/// In costs of 64 bits where they are enough.
fn cheapest_of_any_width(task: &Task<'_>, budget: &mut Budget, scratch: &mut Scratch) -> Option<Route> {
    let Outcome { route, is_too_narrow } = cheapest(task, budget, &mut scratch.narrow);
    match route {
        None if is_too_narrow => cheapest(task, budget, &mut scratch.wide).route,
        route => route,
    }
}
