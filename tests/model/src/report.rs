//! Runs a model and says what was seen.

use crate::fingerprint::Fingerprint;
use stateright::{Checker, Expectation, Model};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

/// What came of one model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// States reached, counted once for each way into them.
    pub states: usize,
    /// Different states.
    pub unique: usize,
    /// Most steps from the beginning.
    pub depth: usize,
    /// How long it took one processor, where the system tells.
    pub processor: Option<Duration>,
    /// The names of the different states in which nothing is left to do or to say.
    pub at_rest: BTreeSet<Fingerprint>,
    /// Properties that do not hold, each with the steps that show it.
    pub failures: Vec<(String, Vec<String>)>,
    /// Properties that hold.
    pub holding: Vec<&'static str>,
}

impl Report {
    /// Every property holds.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    /// Whether the property of this name fails.
    pub fn violates(&self, name: &str) -> bool {
        self.failures.iter().any(|(failed, _)| failed == name)
    }
}

/// Visits every state of the model.
pub fn explore<M>(model: M, threads: usize) -> Report
where
    M: Model<State: Clone + Hash + PartialEq + Send + Sync + Debug + 'static, Action: Clone + PartialEq + Debug>
        + Send
        + Sync
        + 'static,
{
    let checker = model.checker().threads(threads).spawn_bfs().join();
    let discoveries = checker.discoveries();
    let mut report = Report {
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        processor: None,
        at_rest: BTreeSet::new(),
        failures: Vec::new(),
        holding: Vec::new(),
    };
    for property in checker.model().properties() {
        let found = discoveries.get(property.name);
        let holds = (property.expectation == Expectation::Sometimes) == found.is_some();
        if holds {
            report.holding.push(property.name);
        } else {
            let steps = found.map_or_else(Vec::new, |path| {
                path.clone().into_actions().iter().map(|action| format!("{action:?}")).collect()
            });
            report.failures.push((property.name.to_owned(), steps));
        }
    }
    report
}

/// How long this thread has been on a processor, where the system tells.
pub fn processor_time() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(told.split_whitespace().next()?.parse().ok()?))
}

/// Prints what was seen. `took`: for how long.
pub fn print(report: &Report, took: Duration) {
    let Report { states, unique, depth, at_rest, .. } = report;
    let processor = report.processor.map(|time| format!(", {:.1} s of a processor", time.as_secs_f64()));
    println!(
        "  {states} states, {unique} of them different, {} at rest, depth {depth}, {:.1} s{}",
        at_rest.len(),
        took.as_secs_f64(),
        processor.unwrap_or_default()
    );
    for name in &report.holding {
        println!("  holds: {name}");
    }
    for (name, steps) in &report.failures {
        println!("  FAILS: {name}");
        for step in steps {
            println!("         {step}");
        }
    }
}
