//! An economy: thousands of people who trust each other as in a file of ratings, and pay each other for hours of virtual time.
//!
//! Every person is a whole node: the real ledger and funder, and the real rules for what is published when and what is asked.
//! One index server, the real one without its sockets, knows what has reached it. Links and the way to the index server take their
//! time, so what it knows is old, payments cross each other, and lines that were free are taken when a request arrives. Nobody dies
//! and nobody lies: that is what the worlds of [`crate::seed`] are for.
//!
//! Whether a payment was possible at all is decided by a maximum flow over all credit lines as they are in the moment in
//! which it begins, with what other payments have frozen then. The flow knows no fees, no bound on parts and none on hops.
//!
//! | file | what it holds |
//! |---|---|
//! | `trust` | people and ratings |
//! | `market` | the clock, the links, the index server, and who pays whom |
//! | `person` | one node |
//! | `owner` | what people do for their lines: moving credit around a cycle |
//! | `flow` | what could be paid at all |
//! | `measure` | what is measured |
//! | `checks` | what must hold at the end |

mod checks;
mod flow;
mod market;
mod measure;
mod owner;
mod person;
mod trust;

pub use flow::Flow;
pub use measure::{Deal, Failure, Outcome, Sample, Spread};
pub use trust::{Friendship, TrustError, TrustNetwork};

use crate::keys::Dice;
use market::Market;

/// What a rating of 1 is worth: credits that whoever trusts lets the other owe.
pub const CREDITS_PER_RATING: u64 = 100;
/// The smallest and the largest amount that is paid, credits. Amounts are drawn so that their logarithms are evenly spread.
pub const AMOUNTS: [u64; 2] = [1, 1000];

/// An amount that somebody pays.
pub fn amount(dice: &mut Dice) -> u64 {
    let [least, most] = AMOUNTS.map(|amount| amount as f64);
    (least * (most / least).powf(dice.fraction())).round() as u64
}

/// Somebody who pays and somebody else who is paid, out of so many people, two at least.
pub fn buyer_and_seller(dice: &mut Dice, people: usize) -> [usize; 2] {
    let buyer = dice.below(people);
    [buyer, (buyer + 1 + dice.below(people - 1)) % people]
}

/// How people live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Decides everything that happens by chance.
    pub seed: u64,
    /// How long people pay, minutes of virtual time.
    pub minutes: u64,
    /// Payments of all people together in an hour of virtual time. The times between them are drawn (Poisson).
    pub payments_per_hour: u64,
    /// How long a frame takes from one friend to the other, or between a node and the index server: a link's time is drawn once from
    /// these bounds, ms.
    pub delay_ms: [u64; 2],
    /// All nodes clear rings of debts on their own.
    pub clearing: bool,
    /// How often a node looks for a ring of debts, ms, up to twice as long. A node's default is 10 s; with thousands of nodes that
    /// is more than the economy has to say.
    pub clear_ms: u64,
    /// People look at their lines now and then and move credit around a cycle, away from a full line.
    pub rebalancing: bool,
    /// How often they look, ms, up to twice as long.
    pub look_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 1,
            minutes: 120,
            payments_per_hour: 18_000,
            delay_ms: [20, 80],
            clearing: false,
            clear_ms: 600_000,
            rebalancing: false,
            look_ms: 600_000,
        }
    }
}

/// Lets the people of a network live. `progress` is told now and then how many of a thousand parts of the time are over. The
/// same options bring the same outcome.
///
/// # Panics
/// When credits came or went, a limit was broken, or something stayed frozen.
pub fn live(network: &TrustNetwork, options: Options, progress: &mut dyn FnMut(u64)) -> Outcome {
    let mut market = Market::open(network, options);
    market.run(progress);
    market.close()
}
