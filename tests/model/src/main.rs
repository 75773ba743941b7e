//! Visits every state of the account protocol with small numbers, says which properties hold, and carries the model's steps out
//! on the ledger.

use clap::Parser;
use offst_model::report::print;
use offst_model::scenarios::{Scenario, all};
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
    /// Also those that take more than a minute
    #[arg(long)]
    long: bool,
    /// Print the names of all scenarios, and what may happen in each
    #[arg(long)]
    list: bool,
    /// An end signs only while fewer of its frames than this are on their way
    #[arg(long)]
    in_flight: Option<usize>,
    /// Leave nothing out
    #[arg(long)]
    whole: bool,
    /// How many threads
    #[arg(long)]
    threads: Option<usize>,
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
    let threads = arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    println!("{}: {}", scenario.name, scenario.about);
    let begun = Instant::now();
    let _ = threads;
    let report = scenario.search(if arguments.whole {
        offst_model::search::Reduction::Whole
    } else {
        offst_model::search::Reduction::Reduced
    });
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
