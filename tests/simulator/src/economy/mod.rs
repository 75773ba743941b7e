//! An economy: thousands of people who trust each other as in a file of ratings, and pay each other for hours of
//! virtual time.
//!
//! Every person is a whole node: the real ledger and funder, and the real rules for what is published when and what is
//! asked. One index server, the real one without its sockets, knows what has reached it. Links and the connection to
//! the index server take their time, so what it knows is old, payments cross each other, and credit lines that were
//! free are used when a request arrives. Nobody dies and nobody lies: that is what the worlds of [`crate::seed`] are
//! for.
//!
//! Whether a payment was possible at all is decided by a maximum flow over all credit lines as they are in the moment
//! in which it begins, with what is pending for other payments then. The flow knows no fees, no bound on parts and none
//! on hops.
//!
//! | file | what it holds |
//! |---|---|
//! | `trust` | people and ratings |
//! | `market` | the clock, the links, the index server, and who pays whom |
//! | `person` | one node |
//! | `owner` | what people do for their credit lines: moving credit around a cycle |
//! | `flow` | what could be paid at all |
//! | `options` | who pays how much and how often |
//! | `measure` | what is measured |
//! | `checks` | what must hold at the end |

mod checks;
mod flow;
mod market;
mod measure;
mod options;
mod owner;
mod person;
mod trust;

pub use flow::Flow;
pub use measure::{Deal, Failure, Outcome, Sample, Spread};
pub use options::{AMOUNTS, CREDITS_PER_RATING, Options, amount, buyer_and_seller};
pub use trust::{Friendship, TrustError, TrustNetwork};

use market::Market;

/// Simulates the people of a network. `progress` is told now and then how many of a thousand parts of the time are
/// over. The same options bring the same outcome.
///
/// # Panics
/// When credits came or went, a limit was broken, or something stayed pending.
pub fn simulate(network: &TrustNetwork, options: Options, progress: &mut dyn FnMut(u64)) -> Outcome {
    let mut market = Market::open(network, options);
    market.run(progress);
    market.close()
}
