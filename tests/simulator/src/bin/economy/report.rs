//! What came of a run, as lines and as JSON.

use offst_simulator::economy::{Deal, Failure, Options, Outcome, Spread, TrustNetwork};
use serde_json::{Value, json};

/// A run and what came of it.
pub(crate) struct Report {
    pub(crate) options: Options,
    pub(crate) outcome: Outcome,
    /// How long it took, beside everything else that ran.
    pub(crate) seconds: f64,
}

impl Report {
    /// What plots and lines call the run.
    pub(crate) fn scenario_name(&self) -> &'static str {
        match (self.options.rebalancing, self.options.clearing) {
            (false, false) => "payments only",
            (false, true) => "with clearing",
            (true, false) => "with rebalancing",
            (true, true) => "with both",
        }
    }

    /// Payments that were paid.
    pub(crate) fn paid(&self) -> impl Iterator<Item = &Deal> {
        self.outcome.deals.iter().filter(|deal| deal.is_paid())
    }

    pub(crate) fn print(&self) {
        let Outcome { deals, samples, .. } = &self.outcome;
        let outcome = &self.outcome;
        println!();
        println!("== {}, seed {}", self.scenario_name(), self.options.seed);
        println!(
            "{} payments in {} minutes, up to {} at the same time; {} were possible",
            deals.len(),
            self.options.minutes,
            outcome.most_underway,
            outcome.possible()
        );
        println!(
            "paid of the possible: {} ({:.2} %); of those that a search that knows everything finds with fees: {:.2} %",
            outcome.paid_of_possible(),
            outcome.success_percent(),
            outcome.success_of_findable_percent()
        );
        println!(
            "paid although the credit lines did not hold it at first: {}",
            outcome.paid() - outcome.paid_of_possible()
        );
        for (failure, count) in outcome.failures() {
            println!("{count:>9} failed: {}", failure.name());
        }
        println!("              median     p99     most");
        for (name, spread) in self.spreads() {
            println!("{name:<12}{:>8}{:>8}{:>9}", spread.median, spread.p99, spread.largest);
        }
        println!("fees of all payments: {:.2} % of what was paid", self.fee_percent());
        if self.options.rebalancing {
            println!(
                "{} cycles moved {} credits for {} in fees",
                outcome.rebalancings, outcome.rebalanced, outcome.rebalancing_fees
            );
        }
        if self.options.clearing {
            println!("{} debt cycles were cleared, debts became smaller by {}", outcome.clearings, outcome.cleared);
        }
        println!("minutes  possible %  paid of them %  exhausted %  use %  with debt %    debts");
        let every = samples.len().div_ceil(13).max(1);
        for sample in samples.iter().filter(|sample| sample.at_ms == 0 || sample.began[0] > 0).step_by(every) {
            println!(
                "{:>7} {:>11.1} {:>15.2} {:>12.1} {:>6.1} {:>12.1} {:>8}",
                sample.at_ms / 60_000,
                sample.possible_percent(),
                sample.success_percent(),
                sample.exhausted_percent,
                sample.use_percent,
                sample.indebted_percent,
                sample.debts
            );
        }
        let [updates, queries] = outcome.index_load;
        println!(
            "{} frames between friends, {updates} updates and {queries} questions at the index server, {:.0} s",
            outcome.frames, self.seconds
        );
        println!("digest: {}", outcome.digest);
    }

    fn spreads(&self) -> [(&'static str, Spread); 4] {
        let outcome = &self.outcome;
        [
            ("parts", outcome.spread(|deal| deal.parts.into())),
            ("attempts", outcome.spread(|deal| deal.attempts.into())),
            ("fees", outcome.spread(|deal| deal.fees)),
            ("ms", outcome.spread(|deal| deal.took_ms.into())),
        ]
    }

    /// All fees of payments, in percent of what sellers got.
    fn fee_percent(&self) -> f64 {
        let (mut fees, mut amounts) = (0, 0);
        for deal in self.paid() {
            fees += deal.fees;
            amounts += u128::from(deal.amount);
        }
        fees as f64 * 100.0 / amounts.max(1) as f64
    }

    pub(crate) fn json(&self, network: &TrustNetwork) -> Value {
        let outcome = &self.outcome;
        let failures = outcome.failures();
        let failures: serde_json::Map<String, Value> = Failure::ALL
            .iter()
            .map(|failure| (failure.name().to_owned(), failures.get(failure).copied().unwrap_or_default().into()))
            .collect();
        let spread = |spread: Spread| json!({ "median": spread.median as u64, "p99": spread.p99 as u64, "most": spread.largest as u64 });
        let spreads: serde_json::Map<String, Value> =
            self.spreads().into_iter().map(|(name, of)| (name.to_owned(), spread(of))).collect();
        let samples: Vec<Value> = outcome
            .samples
            .iter()
            .map(|sample| {
                json!({
                    "minutes": sample.at_ms / 60_000,
                    "possible_percent": sample.possible_percent(),
                    "success_percent": sample.success_percent(),
                    "exhausted_percent": sample.exhausted_percent,
                    "use_percent": sample.use_percent,
                    "with_debt_percent": sample.indebted_percent,
                    "debts": sample.debts.to_string(),
                })
            })
            .collect();
        json!({
            "people": network.names().len(),
            "friendships": network.friendships().len(),
            "lines": network.lines(),
            "seed": self.options.seed,
            "minutes": self.options.minutes,
            "rebalancing": self.options.rebalancing,
            "clearing": self.options.clearing,
            "payments": outcome.deals.len(),
            "possible": outcome.possible(),
            "paid": outcome.paid(),
            "paid_of_possible": outcome.paid_of_possible(),
            "success_percent": outcome.success_percent(),
            "success_of_findable_percent": outcome.success_of_findable_percent(),
            "failures": failures,
            "spreads": spreads,
            "fee_percent": self.fee_percent(),
            "most_underway": outcome.most_underway,
            "rebalancings": outcome.rebalancings,
            "rebalanced": outcome.rebalanced.to_string(),
            "rebalancing_fees": outcome.rebalancing_fees.to_string(),
            "clearings": outcome.clearings,
            "cleared": outcome.cleared.to_string(),
            "samples": samples,
            "seconds": self.seconds,
            "digest": outcome.digest.to_string(),
        })
    }
}
