//! The graph of one currency as flat arrays: nodes are numbers, a friendship is 16 bytes in the list of each end, a rate that
//! many use is held once. Capacities are rounded down to 18 significant bits.

mod arc;
mod capacity;
mod currency_graph;
mod lists;
mod numbers;
mod prefetch;
mod rates;

pub(crate) use arc::Direction;
pub(crate) use capacity::{pack_up, unpack};
pub(crate) use currency_graph::CurrencyGraph;
pub(crate) use prefetch::prefetch;
pub(crate) use rates::PackedRate;
