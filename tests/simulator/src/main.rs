//! Lives many worlds, one a seed, and says whether every checker held in each.

use clap::Parser;
use offst_simulator::faults::{Counts, Fault};
use offst_simulator::seed;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often the progress line is written again.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Lives worlds of nodes in memory in which everything goes wrong. The exit code is 0 when every checker held in each.
#[derive(Parser)]
#[command(name = "offst-simulator", version)]
struct Arguments {
    /// How many worlds to live, one a seed
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Heal each world after at most so many actions: the shortest way to a failure
    #[arg(long)]
    actions: Option<usize>,
}

/// What came of all worlds so far.
#[derive(Default)]
struct Sum {
    worlds: u64,
    paid: u64,
    failed: u64,
    faults: Counts,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // A checker that does not hold is told below, with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let is_watched = std::io::stderr().is_terminal();
    let started = Instant::now();
    let mut shown = started;
    let mut sum = Sum::default();
    for seed in (arguments.from..=u64::MAX).take(usize::try_from(arguments.seeds)?) {
        let outcome = match seed::live_at_most(seed, arguments.actions.unwrap_or(usize::MAX)) {
            Ok(outcome) => outcome,
            Err(reason) => {
                clear(is_watched)?;
                println!("seed {seed} did not come right: {reason}");
                let command = format!("cargo run --release -p offst-simulator -- --seeds 1 --from {seed}");
                println!("repeat it: {command}");
                if arguments.actions.is_none()
                    && let Some((actions, reason)) = seed::shortest(seed)
                {
                    println!("the shortest way there: {command} --actions {actions}: {reason}");
                }
                return Ok(ExitCode::FAILURE);
            }
        };
        sum.worlds += 1;
        sum.paid += outcome.paid;
        sum.failed += outcome.failed;
        sum.faults.merge(&outcome.faults);
        if arguments.seeds == 1 {
            println!("{:?}", outcome.mix);
            println!("trace digest of seed {seed}: {}", outcome.digest);
        }
        if is_watched && shown.elapsed() >= PROGRESS_EVERY {
            shown = Instant::now();
            clear(true)?;
            eprint!("{} of {} seeds, {:.0} a second", sum.worlds, arguments.seeds, sum.rate(started));
            std::io::stderr().flush()?;
        }
    }
    clear(is_watched)?;
    sum.print(started);
    Ok(ExitCode::SUCCESS)
}

/// Takes the progress line away.
fn clear(is_watched: bool) -> std::io::Result<()> {
    if is_watched {
        std::io::stderr().write_all(b"\r\x1b[K")?;
    }
    Ok(())
}

impl Sum {
    /// Worlds a second.
    fn rate(&self, started: Instant) -> f64 {
        self.worlds as f64 / started.elapsed().as_secs_f64().max(0.001)
    }

    fn print(&self, started: Instant) {
        println!("{} seeds, {:.1} a second: every checker held", self.worlds, self.rate(started));
        println!("{} payments: {} paid, {} failed", self.paid + self.failed, self.paid, self.failed);
        for fault in Fault::ALL {
            println!("{:>9} {}", self.faults.of(fault), fault.name());
        }
    }
}
