//! Who pays how much and how often, and what else people do.

use crate::keys::Dice;

/// What a rating of 1 is worth: credits that a person who trusts another lets them owe.
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

/// What people do, and for how long.
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
    /// All nodes clear debt cycles on their own.
    pub clearing: bool,
    /// How often a node looks for a debt cycle, ms, up to twice as long. A node's default is 10 s; with thousands of nodes that
    /// is more than the economy has to say.
    pub clear_ms: u64,
    /// People look at their credit lines now and then and move credit around a cycle, away from a full one.
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
