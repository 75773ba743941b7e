//! Runs many simulated worlds, one a seed, and says whether every check passed in each.

use clap::Parser;
use offst_crypto::Hash;
use offst_simulator::availability::{Attack, Share, measure};
use offst_simulator::faults::{Counts, EventKind, FaultKind, InjectedFault};
use offst_simulator::options::Options;
use offst_simulator::scripts::SCRIPTS;
use offst_simulator::seed::{Outcome, run_with};
use offst_simulator::shrink::shrink;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the progress line is written again.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// How many lines of a failure's story are shown; its end matters most.
const STORY_LINES: usize = 120;

/// Runs simulated worlds: nodes in memory, and everything goes wrong. The exit code is 0 when every check passed in each.
#[derive(Parser)]
#[command(name = "offst-simulator", version)]
struct Arguments {
    /// How many worlds to run, one a seed
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many threads; each runs worlds of its own
    #[arg(long)]
    threads: Option<usize>,
    /// Do only these of each world's actions, by their numbers, or "none"
    #[arg(long, value_parser = actions)]
    actions: Option<Actions>,
    /// Let these kinds of faults happen in every world, besides those that its seed draws
    #[arg(long, value_delimiter = ',')]
    with: Vec<FaultKind>,
    /// Leave these kinds of faults out
    #[arg(long, value_delimiter = ',')]
    without: Vec<FaultKind>,
    /// Give each world so many nodes
    #[arg(long, value_parser = clap::value_parser!(u64).range(3..=12))]
    nodes: Option<u64>,
    /// Run no worlds: only measure, for each seed, how many honest payments succeed while somebody works against them
    #[arg(long)]
    availability: bool,
    /// Run only this scripted world. Without it, all of them come before the world of seed 0
    #[arg(long)]
    script: Option<String>,
    /// When a run fails, do not look for the shortest way there
    #[arg(long)]
    brief: bool,
    /// Print for each seed a digest of all bytes that went over connections
    #[arg(long)]
    digests: bool,
    /// Tell all that happens in each world, and look for no shorter way
    #[arg(long)]
    trace: bool,
}

impl Arguments {
    /// Whether worlds from the first seed on are run, and nothing is left out of them.
    fn runs_all(&self) -> bool {
        let is_less = !self.without.is_empty() || self.nodes.is_some() || self.actions.is_some() || self.availability;
        self.from == 0 && !is_less
    }
}

/// How this program is called with these arguments.
fn repeat(arguments: &str) -> String {
    format!("cargo run --release -p offst-simulator -- {arguments}")
}

#[derive(Debug, Clone)]
struct Actions(BTreeSet<usize>);

fn actions(text: &str) -> Result<Actions, String> {
    let number = |part: &str| part.parse().map_err(|_| format!("\"{part}\" is no number of an action"));
    let numbers = text.split(',').filter(|part| *part != "none").map(number).collect::<Result<_, _>>();
    numbers.map(Actions)
}

/// In every so many seeds it is measured once how many honest payments succeed while somebody works against them.
const MEASURED_EVERY: u64 = 20;
/// Which measurement falls to a seed, if any does.
fn measured(seed: u64) -> Option<u64> {
    seed.is_multiple_of(MEASURED_EVERY).then_some(seed / MEASURED_EVERY)
}

/// From so many payments on a share tells something.
const PAYMENTS_MIN: u64 = 300;

/// What came of all worlds so far.
#[derive(Default)]
struct Sum {
    worlds: u64,
    paid: u64,
    failed: u64,
    faults: Counts,
    /// What went over connections with each seed.
    digests: BTreeMap<u64, Hash>,
    availability: BTreeMap<Attack, Share>,
    /// The smallest seed that failed.
    broken: Option<u64>,
    /// A seed whose measurement failed, and what a checker said.
    unmeasured: Option<(u64, String)>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // A checker that does not hold is told below, with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let options = Options {
        actions: arguments.actions.clone().map(|actions| actions.0),
        with: arguments.with.iter().copied().collect(),
        without: arguments.without.iter().copied().collect(),
        nodes: arguments.nodes.map(usize::try_from).transpose()?,
        tells: arguments.trace,
    };
    if !run_scripts(&arguments)? {
        return Ok(ExitCode::FAILURE);
    }
    if arguments.script.is_some() {
        return Ok(ExitCode::SUCCESS);
    }
    let started = Instant::now();
    let sum = run_all(&arguments, &options, started)?;
    if let Some(seed) = sum.broken {
        return explain(seed, &options, &arguments);
    }
    if let Some((seed, reason)) = sum.unmeasured {
        println!("the measurement with seed {seed} failed: {reason}");
        println!("repeat it: {}", repeat(&format!("--seeds 2 --from {seed}")));
        return Ok(ExitCode::FAILURE);
    }
    sum.print(started);
    Ok(if sum.is_available() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the scripted worlds that are wanted. Says whether every check passed.
fn run_scripts(arguments: &Arguments) -> anyhow::Result<bool> {
    let wanted: Vec<_> = match &arguments.script {
        Some(name) => SCRIPTS.iter().filter(|script| script.name == name).collect(),
        None if arguments.runs_all() && arguments.seeds > 1 => SCRIPTS.iter().collect(),
        None => vec![],
    };
    if wanted.is_empty() && arguments.script.is_some() {
        let names: Vec<_> = SCRIPTS.iter().map(|script| script.name).collect();
        anyhow::bail!("there is no such script; there are {}", names.join(", "));
    }
    for script in &wanted {
        if let Err(reason) = script.run() {
            println!("the script {} failed: {reason}", script.name);
            println!("repeat it: {}", repeat(&format!("--script {}", script.name)));
            return Ok(false);
        }
    }
    if !wanted.is_empty() {
        println!("{} scripted runs: every check passed", wanted.len());
    }
    Ok(true)
}

/// Runs the worlds of all seeds, on all cores. Stops at the first failure.
fn run_all(arguments: &Arguments, options: &Options, started: Instant) -> anyhow::Result<Sum> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores).max(1);
    let is_watched = std::io::stderr().is_terminal();
    let next = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let sum = Mutex::new(Sum::default());
    let shown = Mutex::new(started);
    let work = || {
        while !is_over.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(seed) = arguments.from.checked_add(number).filter(|_| number < arguments.seeds) else { return };
            let lived = (!arguments.availability).then(|| run_with(seed, options));
            let number = if arguments.availability { Some(seed) } else { measured(seed) };
            let attack = Attack::of_seed(number.unwrap_or(0));
            let share = number.filter(|_| arguments.seeds > 1).map(|_| measure(seed, attack));
            let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match share {
                None => {}
                Some(Ok(share)) => sum.availability.entry(attack).or_default().add(share),
                Some(Err(reason)) => {
                    sum.unmeasured = Some((seed, reason));
                    is_over.store(true, Ordering::Relaxed);
                }
            }
            match lived {
                None => sum.worlds += 1,
                Some(Ok(outcome)) => sum.add(seed, &outcome, arguments),
                Some(Err(_)) => {
                    sum.broken = Some(sum.broken.map_or(seed, |other| other.min(seed)));
                    is_over.store(true, Ordering::Relaxed);
                }
            }
            let mut shown = shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if is_watched && shown.elapsed() >= PROGRESS_EVERY {
                *shown = Instant::now();
                let _ = clear(true);
                eprint!("{} of {} runs, {:.0} runs/s", sum.worlds, arguments.seeds, sum.rate(started));
                let _ = std::io::stderr().flush();
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    clear(is_watched)?;
    Ok(sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Says how a seed fails, and looks for the shortest way there.
fn explain(seed: u64, options: &Options, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let command = repeat(&format!("--seeds 1 --from {seed}"));
    let Err(failure) = run_with(seed, options) else {
        println!("seed {seed} failed once and passed when it was repeated: a run is not deterministic");
        return Ok(ExitCode::FAILURE);
    };
    println!("seed {seed} failed: {failure}");
    println!("repeat it: {command}{}", options.arguments());
    std::io::stdout().flush()?;
    if arguments.trace {
        failure.story.iter().for_each(|line| println!("{line}"));
        println!("{failure}");
    } else if !arguments.brief
        && let Some((smallest, failure)) = shrink(seed, options)
    {
        println!("the shortest way there: {command}{} --trace", smallest.arguments());
        for line in &failure.story[failure.story.len().saturating_sub(STORY_LINES)..] {
            println!("{line}");
        }
        println!("{failure}");
    }
    Ok(ExitCode::FAILURE)
}

/// Removes the progress line.
fn clear(is_watched: bool) -> std::io::Result<()> {
    if is_watched {
        std::io::stderr().write_all(b"\r\x1b[K")?;
    }
    Ok(())
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: &Outcome, arguments: &Arguments) {
        self.worlds += 1;
        self.paid += outcome.paid;
        self.failed += outcome.failed;
        self.faults.merge(&outcome.faults);
        if arguments.digests {
            self.digests.insert(seed, outcome.wire_digest);
        }
        if arguments.trace {
            outcome.story.iter().for_each(|line| println!("{line}"));
        }
        if arguments.seeds == 1 {
            println!("{:?}", outcome.mix);
            println!("trace digest of seed {seed}: {}", outcome.digest);
        }
    }

    /// Runs a second.
    fn rate(&self, started: Instant) -> f64 {
        self.worlds as f64 / started.elapsed().as_secs_f64().max(0.001)
    }

    /// Whether enough honest payments succeed whatever is done against them.
    fn is_available(&self) -> bool {
        let told = self.availability.iter().filter(|(_, share)| share.ordered >= PAYMENTS_MIN);
        let mut silenced = told.filter(|(attack, share)| share.percent() < attack.floor());
        silenced.all(|(attack, share)| {
            let (percent, floor) = (share.percent(), attack.floor());
            println!("{}: only {percent} % of the honest payments succeed, and {floor} % must", attack.name());
            false
        })
    }

    fn print(&self, started: Instant) {
        for (seed, digest) in &self.digests {
            println!("digest of seed {seed}: {digest}");
        }
        println!("{} runs, {:.1} runs/s: every check passed", self.worlds, self.rate(started));
        let all = self.paid + self.failed;
        let percent = self.paid * 100 / all.max(1);
        println!("{all} payments: {} paid ({percent} %), {} failed", self.paid, self.failed);
        for (attack, Share { paid, paid_in_peace, ordered }) in &self.availability {
            let percent = Share { paid: *paid, paid_in_peace: *paid_in_peace, ordered: *ordered }.percent();
            println!(
                "{percent:>8} % of the honest payments succeed under: {} ({paid} of {ordered}, in peace {paid_in_peace})",
                attack.name()
            );
        }
        for fault in InjectedFault::ALL {
            println!("{:>9} {}", self.faults.of(*fault), fault.name());
        }
        for event in EventKind::ALL {
            println!("{:>9} {}", self.faults.of_event(*event), event.name());
        }
    }
}
