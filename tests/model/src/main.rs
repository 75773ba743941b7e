//! Visits every state of the account protocol with small numbers, says which properties hold, and carries the model's steps out
//! on the ledger.

use clap::Parser;
use offst_model::report::print;
use offst_model::scenarios::{Scenario, all};
use offst_model::search::Reduction;
use std::process::ExitCode;
use std::time::Instant;

/// Checks the account protocol in every order of events, and the ledger against it. The exit code is 0 when every property
/// holds and the ledger does what the model does.
#[derive(Parser)]
#[command(name = "offst-model", version)]
struct Arguments {
    /// Only these scenarios, by name
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Also those that take more than a few seconds
    #[arg(long)]
    long: bool,
    /// Print the names of all scenarios, and what may happen in each
    #[arg(long)]
    list: bool,
    /// Let an honest end sign only while fewer of its statements than this are in flight, whatever the scenario says
    #[arg(long)]
    in_flight: Option<usize>,
    /// Leave nothing out: visit also the states that differ in nothing that anybody can notice
    #[arg(long)]
    whole: bool,
    /// Carry the steps between so many states of each scenario out on the ledger
    #[arg(long, default_value_t = 2_000)]
    replayed: usize,
    /// And so many long ways at random
    #[arg(long, default_value_t = 500)]
    walks: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for scenario in all() {
            println!("{:24} {}{}", scenario.name, scenario.about, if scenario.is_long { " (long)" } else { "" });
        }
        return ExitCode::SUCCESS;
    }
    let is_chosen = |scenario: &Scenario| {
        let is_named = arguments.scenarios.iter().any(|name| name == scenario.name);
        is_named || arguments.scenarios.is_empty() && (arguments.long || !scenario.is_long)
    };
    let unknown: Vec<_> =
        arguments.scenarios.iter().filter(|name| !all().iter().any(|scenario| scenario.name == **name)).collect();
    if !unknown.is_empty() {
        eprintln!("there is no scenario {unknown:?}: --list names all");
        return ExitCode::from(2);
    }
    let mut is_good = true;
    for scenario in all().into_iter().filter(is_chosen) {
        let scenario = match arguments.in_flight {
            Some(frames) => scenario.with_in_flight(frames),
            None => scenario,
        };
        is_good &= check(&scenario, &arguments);
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Visits one scenario and replays it. Says whether all is well.
fn check(scenario: &Scenario, arguments: &Arguments) -> bool {
    println!("{}: {}", scenario.name, scenario.about);
    let begun = Instant::now();
    let report = scenario.search(if arguments.whole { Reduction::Whole } else { Reduction::Reduced });
    print(&report, begun.elapsed());
    let mut is_good = report.is_good();
    let replayed = scenario.replay(arguments.replayed).map(|all| ("every step between the first states", all));
    let walked = scenario.walk(arguments.walks, 100).map(|walked| ("long ways at random", walked));
    for result in [replayed, walked] {
        match result {
            Ok((what, replayed)) => println!(
                "  the ledger agrees on {what}: {} states, {} steps, {} commands",
                replayed.states, replayed.steps, replayed.commands
            ),
            Err(difference) => {
                println!("  THE LEDGER DIFFERS: {difference}");
                is_good = false;
            }
        }
    }
    is_good
}
