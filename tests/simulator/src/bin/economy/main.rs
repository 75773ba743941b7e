//! Runs an economy on a network of people who trust each other: `cargo run --release -p offst-simulator --bin economy -- --trust
//! FILE`. docs/economy.md says what it does and what came of it.

mod plots;
mod report;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use offst_simulator::economy::{Options, TrustError, TrustNetwork, simulate};
use report::Report;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Lets people who trust each other as in a file of ratings pay each other for hours of virtual time, each with a whole node, and tells
/// how many of the payments that were possible were paid. The same arguments bring the same digest.
#[derive(Debug, Parser)]
#[command(name = "economy", version)]
struct Arguments {
    /// Who trusts whom: lines "from,to,rating" with ratings of -10 to 10. A rating above 0 is a credit line of 100 credits times the rating
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// Take the N best connected people only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    people: Option<u32>,
    /// How long people pay, hours of virtual time
    #[arg(long, value_name = "H", default_value_t = 2.0, value_parser = hours)]
    hours: f64,
    /// Payments of all people together in an hour
    #[arg(long, value_name = "N", default_value_t = 18_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    payments_per_hour: u64,
    /// Decides everything that happens by chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// All nodes clear debt cycles on their own
    #[arg(long, value_enum, default_value_t = Switch::Off)]
    clearing: Switch,
    /// People move credit around a cycle, away from full credit lines
    #[arg(long, value_enum, default_value_t = Switch::Off)]
    rebalancing: Switch,
    /// Four runs instead of one: rebalancing and clearing off and on
    #[arg(long, conflicts_with_all = ["clearing", "rebalancing"])]
    compare: bool,
    /// How often a node looks for a debt cycle, and a person at their credit lines: after so many seconds, up to twice as long
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    look_seconds: u64,
    /// Shortest and longest time of a frame between two friends, or to the index server, ms
    #[arg(long, value_name = "MS,MS", value_parser = delays, default_value = "20,80")]
    delay_ms: Delays,
    /// Where the plots go: failures.svg, exhausted.svg, use.svg, debts.svg and parts.svg
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, Clone, Copy)]
struct Delays([u64; 2]);

fn delays(text: &str) -> Result<Delays, String> {
    let wrong = || format!("\"{text}\" is not two times in ms, the shorter one first, 10000 at most");
    let (least, most) = text.split_once(',').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|ms| *ms <= 10_000).ok_or_else(wrong);
    let (least, most) = (number(least)?, number(most)?);
    if least <= most { Ok(Delays([least, most])) } else { Err(wrong()) }
}

fn hours(text: &str) -> Result<f64, String> {
    let hours = text.parse().ok().filter(|hours: &f64| (0.05..=1000.0).contains(hours));
    hours.ok_or_else(|| format!("\"{text}\" is not a number of hours from 0.05 to 1000"))
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("economy: {error:#}");
            // As everywhere: 2 when an input file is wrong.
            if error.is::<TrustError>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut network = TrustNetwork::read(&arguments.trust)?;
    if let Some(people) = arguments.people {
        network = network.best_connected(people as usize);
    }
    if let Some(folder) = &arguments.plots {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let on = |switch| switch == Switch::On;
    let runs = if arguments.compare {
        vec![(false, false), (false, true), (true, false), (true, true)]
    } else {
        vec![(on(arguments.rebalancing), on(arguments.clearing))]
    };
    let options = |(rebalancing, clearing)| Options {
        seed: arguments.seed,
        minutes: (arguments.hours * 60.0).round() as u64,
        payments_per_hour: arguments.payments_per_hour,
        delay_ms: arguments.delay_ms.0,
        clearing,
        clear_ms: arguments.look_seconds * 1000,
        rebalancing,
        look_ms: arguments.look_seconds * 1000,
    };
    let runs: Vec<Options> = runs.into_iter().map(options).collect();
    let reports = run_all(&network, &runs);
    if arguments.json {
        let all: Vec<_> = reports.iter().map(|report| report.json(&network)).collect();
        println!("{}", serde_json::Value::from(all));
    } else {
        println!(
            "{} people, {} friendships, {} credit lines",
            network.names().len(),
            network.friendships().len(),
            network.lines()
        );
        reports.iter().for_each(Report::print);
    }
    if let Some(folder) = &arguments.plots {
        plots::draw(folder, &reports)?;
    }
    Ok(())
}

/// Simulates one run after the other, or on all cores at the same time; each on one thread.
fn run_all(network: &TrustNetwork, runs: &[Options]) -> Vec<Report> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let progress = Mutex::new(vec![0; runs.len()]);
    let reports = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(options) = runs.get(number).copied() else { return };
            let started = Instant::now();
            let outcome = simulate(network, options, &mut |thousandths| tell(&progress, number, thousandths));
            let report = Report { options, outcome, seconds: started.elapsed().as_secs_f64() };
            lock(&reports).push((number, report));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..cores.min(runs.len()) {
            scope.spawn(work);
        }
    });
    clear();
    let mut reports = reports.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    reports.sort_by_key(|(number, _)| *number);
    reports.into_iter().map(|(_, report)| report).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Shows how much of all runs is over, where somebody watches.
fn tell(progress: &Mutex<Vec<u64>>, number: usize, thousandths: u64) {
    let mut progress = lock(progress);
    progress[number] = thousandths;
    if std::io::stderr().is_terminal() {
        let sum: u64 = progress.iter().sum();
        clear();
        eprint!("{:.1} % of the time is over", sum as f64 / 10.0 / progress.len() as f64);
        let _ = std::io::stderr().flush();
    }
}

/// Removes the progress line.
fn clear() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}
