//! What is measured: every payment, and the credit lines from time to time.

use offst_crypto::Hash;
use std::collections::BTreeMap;

/// Why a payment failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The credit lines did not hold the amount when it began.
    Impossible,
    /// The credit lines held the amount, but not the fees beside it.
    Fees,
    /// Only more parts than a payment may have could have carried it.
    Parts,
    /// There is a flow, but the index server's search finds no routes in it even when it knows everything.
    NotFound,
    /// The credit lines held the amount when it began and did not when it was given up: others had used them.
    Used,
    /// The index server never knew a route.
    Unknown,
    /// Routes were tried and refused until there was none left to try.
    Refused,
}

impl Failure {
    /// All of them.
    pub const ALL: [Failure; 7] = [
        Failure::Impossible,
        Failure::Fees,
        Failure::Parts,
        Failure::NotFound,
        Failure::Used,
        Failure::Unknown,
        Failure::Refused,
    ];

    /// In a few words.
    pub fn name(self) -> &'static str {
        match self {
            Failure::Impossible => "the credit lines did not hold the amount",
            Failure::Parts => "more than 16 parts were needed",
            Failure::Fees => "the credit lines did not hold the fees beside the amount",
            Failure::NotFound => "the search found no routes for a flow that there was",
            Failure::Used => "others had used the credit lines meanwhile",
            Failure::Unknown => "the index server knew no route",
            Failure::Refused => "all routes were refused",
        }
    }
}

/// One payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deal {
    /// When it began, ms since people began to pay.
    pub began_ms: u64,
    /// Who pays, by the place in the network.
    pub buyer: usize,
    /// Who is paid.
    pub seller: usize,
    /// Credits that the seller gets.
    pub amount: u64,
    /// The credit lines held the amount when it began.
    pub possible: bool,
    /// A search that knew every credit line as it was when it began found a route for it with its fees.
    pub findable: bool,
    /// How often an answer of the index server was followed.
    pub attempts: u32,
    /// Routes that carried it.
    pub parts: u32,
    /// What mediators took, credits.
    pub fees: u128,
    /// From the order to the receipt, or to the failure.
    pub took_ms: u64,
    /// None: it was paid, or has not ended.
    pub failure: Option<Failure>,
    /// What the buyer was told of it.
    pub reason: String,
    pub(super) is_paid: bool,
}

impl Deal {
    /// Whether the seller was paid.
    pub fn is_paid(&self) -> bool {
        self.is_paid
    }
}

/// The credit lines at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When, ms since people began to pay.
    pub at_ms: u64,
    /// Directions of friendships that hold less than a tenth of what they held if everything were on the other side, percent.
    pub exhausted_percent: f64,
    /// Median of balance / limit over all friendships with a debt, percent.
    pub use_percent: f64,
    /// Friendships with a debt, percent.
    pub indebted_percent: f64,
    /// All debts together, credits.
    pub debts: u128,
    /// Payments that began since the last sample, those of them that were possible, and those of the possible ones that were paid.
    pub began: [u64; 3],
}

impl Sample {
    /// How many of the possible payments of this time were paid, percent.
    pub fn success_percent(&self) -> f64 {
        percent(self.began[2], self.began[1])
    }

    /// How many payments of this time were possible, percent.
    pub fn possible_percent(&self) -> f64 {
        percent(self.began[1], self.began[0])
    }
}

/// Median and tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spread {
    /// Half are not above it.
    pub median: u128,
    /// 99 of 100 are not above it.
    pub p99: u128,
    /// None is above it.
    pub largest: u128,
}

impl Spread {
    /// Of these; zeros when there are none.
    pub fn of(values: impl Iterator<Item = u128>) -> Self {
        let mut values: Vec<u128> = values.collect();
        values.sort_unstable();
        let at = |hundredths: usize| values.get((values.len() * hundredths).div_ceil(100).saturating_sub(1)).copied();
        Spread {
            median: at(50).unwrap_or_default(),
            p99: at(99).unwrap_or_default(),
            largest: at(100).unwrap_or_default(),
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// All payments, in the order in which they began.
    pub deals: Vec<Deal>,
    /// The credit lines over time.
    pub samples: Vec<Sample>,
    /// Cycles by which people have moved credit.
    pub rebalancings: u64,
    /// Credits that came around.
    pub rebalanced: u128,
    /// What mediators took for it, credits.
    pub rebalancing_fees: u128,
    /// Debt cycles that were cleared.
    pub clearings: u64,
    /// By how many credits debts became smaller, over all friendships.
    pub cleared: u128,
    /// Updates and queries that reached the index server.
    pub index_load: [u64; 2],
    /// Frames that friends sent each other.
    pub frames: u64,
    /// Most payments that were in flight at one time.
    pub most_underway: usize,
    /// The same for the same options: everything that happened.
    pub digest: Hash,
}

impl Outcome {
    /// Payments that were possible when they began.
    pub fn possible(&self) -> u64 {
        self.deals.iter().filter(|deal| deal.possible).count() as u64
    }

    /// Those of the possible ones that were paid.
    pub fn paid_of_possible(&self) -> u64 {
        self.deals.iter().filter(|deal| deal.possible && deal.is_paid()).count() as u64
    }

    /// All that were paid.
    pub fn paid(&self) -> u64 {
        self.deals.iter().filter(|deal| deal.is_paid()).count() as u64
    }

    /// How many of the possible payments were paid, percent.
    pub fn success_percent(&self) -> f64 {
        percent(self.paid_of_possible(), self.possible())
    }

    /// How many of those were paid for which a search that knew everything found a route with fees, percent.
    pub fn success_of_findable_percent(&self) -> f64 {
        let findable: Vec<_> = self.deals.iter().filter(|deal| deal.findable).collect();
        percent(findable.iter().filter(|deal| deal.is_paid()).count() as u64, findable.len() as u64)
    }

    /// How many failed for which reason.
    pub fn failures(&self) -> BTreeMap<Failure, u64> {
        let mut failures = BTreeMap::new();
        for failure in self.deals.iter().filter_map(|deal| deal.failure) {
            *failures.entry(failure).or_default() += 1;
        }
        failures
    }

    /// Of something of all payments that were paid.
    pub fn spread(&self, of: impl Fn(&Deal) -> u128) -> Spread {
        Spread::of(self.deals.iter().filter(|deal| deal.is_paid()).map(of))
    }
}

/// A share of 100; all of nothing is 100.
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 100.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let spread = |count: u128| Spread::of((1..=count).rev());
        assert_eq!(spread(0), Spread::default());
        assert_eq!(spread(1), Spread { median: 1, p99: 1, largest: 1 });
        assert_eq!(spread(200), Spread { median: 100, p99: 198, largest: 200 });
        assert_eq!(spread(1000), Spread { median: 500, p99: 990, largest: 1000 });
    }
}
