//! Load on real nodes: `cargo run --release -p offst-bench -- chain --hops 2 --in-flight 256 --seconds 20`.
//!
//! Every node is a process of its own with real sockets, a relay, TLS and a durable database; this program starts itself again
//! in the role of each. It reports payments a second, latency, and the cost of a payment, beside the floor: what the
//! signatures and the disk of this machine allow at the least, measured in the same run.

mod delay;
mod floor;
mod growth;
mod idle;
mod load;
mod processes;
mod report;
mod run_options;
mod shapes;
#[path = "../../tests/testnet/mod.rs"]
mod testnet;
mod trade;

use clap::{Parser, Subcommand};
use load::Until;
use offst_plots::{Curve, draw};
use run_options::RunOptions;
use shapes::Shape;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(name = "offst-bench", version)]
struct Arguments {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Pay along a chain of nodes
    Chain {
        /// Friendships between the buyer and the seller
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
        hops: u8,
        /// How long each friendship takes one way, ms
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
        delay_ms: u16,
        #[command(flatten)]
        run: RunOptions,
    },
    /// Pay through a hub: every spoke pays the next
    Star {
        /// Nodes around the hub
        #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(2..=50))]
        spokes: u8,
        #[command(flatten)]
        run: RunOptions,
    },
    /// Pay in a village: a circle in which everybody knows the next two and pays the fourth. Or, with --trust, among people who trust each
    /// other as in a file: random buyers pay random sellers amounts of 1 to 1000, over lines of 100 credits times the rating
    Village {
        /// Nodes
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(5..=50))]
        nodes: u8,
        /// Who trusts whom: lines "from,to,rating" with ratings of -10 to 10
        #[arg(long, value_name = "FILE", conflicts_with = "nodes")]
        trust: Option<PathBuf>,
        /// The best connected people of the file, each a node
        #[arg(long, default_value_t = 12, requires = "trust", value_parser = clap::value_parser!(u8).range(2..=50))]
        people: u8,
        #[command(flatten)]
        run: RunOptions,
    },
    /// Pay along a chain of two friendships with more and more payments under way, and plot it
    Sweep {
        /// Payments under way, one run each
        #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,256,512", value_parser = clap::value_parser!(u16).range(1..=1000))]
        in_flight: Vec<u16>,
        /// How long each run takes
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3600))]
        seconds: u16,
        /// Where the plots go: throughput.svg and latency.svg
        #[arg(long)]
        plots: Option<PathBuf>,
        /// One JSON document instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Pay one at a time along longer and longer chains whose friendships take time, and plot it
    Distance {
        /// Friendships, one run each
        #[arg(long, value_delimiter = ',', default_value = "1,2,3,4,5", value_parser = clap::value_parser!(u8).range(1..=8))]
        hops: Vec<u8>,
        /// How long each friendship takes one way, ms
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        delay_ms: u16,
        /// How long each run takes
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3600))]
        seconds: u16,
        /// Where the plot goes: distance.svg
        #[arg(long)]
        plots: Option<PathBuf>,
        /// One JSON document instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Watch a node whose friends are all online, and that has nothing to do
    Idle {
        /// Friends, a process each
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u8).range(2..=200))]
        friends: u8,
        /// How long it is watched
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=3600))]
        seconds: u16,
        /// One JSON document instead of a line
        #[arg(long)]
        json: bool,
    },
    /// Watch a mediator as its friends and its history grow
    Growth {
        /// Friends, one step each
        #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000")]
        friends: Vec<u32>,
        /// Payments in the history, one step each
        #[arg(long, value_delimiter = ',', default_value = "1000000")]
        payments: Vec<u64>,
        /// How long to pay at each step
        #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=3600))]
        seconds: u16,
        /// How long the idle mediator is watched at each step
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=3600))]
        idle_seconds: u16,
        /// One JSON document instead of lines
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    if let Some(code) = offst::command_line::run_role() {
        return code;
    }
    match run(Arguments::parse().mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("offst-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mode: Mode) -> anyhow::Result<()> {
    match mode {
        Mode::Chain { hops, delay_ms, run } => {
            let delay = Duration::from_millis(delay_ms.into());
            under_load(&distant_chain(hops, delay, usize::from(run.in_flight))?, &run)
        }
        Mode::Star { spokes, run } => under_load(&shapes::star(spokes, usize::from(run.in_flight))?, &run),
        Mode::Village { trust: Some(file), people, run, .. } => trade::run(&file, usize::from(people), &run),
        Mode::Village { nodes, run, .. } => under_load(&shapes::village(nodes, usize::from(run.in_flight))?, &run),
        Mode::Sweep { in_flight, seconds, plots, json } => sweep(&in_flight, seconds, plots, json),
        Mode::Distance { hops, delay_ms, seconds, plots, json } => distance(&hops, delay_ms, seconds, plots, json),
        Mode::Idle { friends, seconds, json } => idle::run(friends, Duration::from_secs(seconds.into()), json),
        Mode::Growth { friends, payments, seconds, idle_seconds, json } => {
            let growth = growth::Growth {
                friends: friends.into_iter().map(|count| count as usize).collect(),
                payments,
                paying: Duration::from_secs(seconds.into()),
                idle: Duration::from_secs(idle_seconds.into()),
            };
            growth::run(&growth, &floor::measure(2)?, json)
        }
    }
}

fn distant_chain(hops: u8, delay: Duration, in_flight: usize) -> anyhow::Result<Shape> {
    if delay.is_zero() {
        return shapes::chain(hops, in_flight);
    }
    shapes::chain_over(hops, in_flight, |testnet| {
        delay::move_away(testnet, delay)?;
        Ok(delay::FAR)
    })
}

fn under_load(shape: &Shape, run: &RunOptions) -> anyhow::Result<()> {
    let floor = floor::measure(shape.hops)?;
    let time = Duration::from_secs(run.seconds.into());
    let report = report::measure(&shape.testnet, &shape.names(), &shape.streams, Until::Time(time))?;
    if run.json {
        println!("{}", report.json(&floor))
    } else {
        report.print(&floor)
    }
    Ok(())
}

fn sweep(in_flight: &[u16], seconds: u16, plots: Option<PathBuf>, json: bool) -> anyhow::Result<()> {
    let floor = floor::measure(2)?;
    let mut shape = shapes::chain(2, 1)?;
    let mut reports = Vec::new();
    for count in in_flight {
        shape.streams[0].in_flight = usize::from(*count);
        let time = Until::Time(Duration::from_secs(seconds.into()));
        let report = report::measure(&shape.testnet, &shape.names(), &shape.streams, time)?;
        if !json {
            println!("-- {count} in flight");
            report.print(&floor);
        }
        reports.push((f64::from(*count), report));
    }
    if json {
        let all: Vec<_> = reports.iter().map(|(_, report)| report.json(&floor)).collect();
        println!("{}", serde_json::Value::from(all));
    }
    if let Some(folder) = plots {
        let throughput = reports.iter().map(|(count, report)| (*count, report.payments_per_second())).collect();
        draw(
            &folder.join("throughput.svg"),
            "Payments a second over two friendships",
            "payments under way",
            "payments a second",
            &[Curve { name: "measured", points: throughput }],
        )?;
        let curve = |name, percentile: usize| Curve {
            name,
            points: reports.iter().map(|(count, report)| (*count, report.latency_ms[percentile])).collect(),
        };
        draw(
            &folder.join("latency.svg"),
            "Latency over two friendships",
            "payments under way",
            "ms",
            &[curve("median", 0), curve("p95", 1), curve("p99", 2)],
        )?;
    }
    Ok(())
}

fn distance(hops: &[u8], delay_ms: u16, seconds: u16, plots: Option<PathBuf>, json: bool) -> anyhow::Result<()> {
    let delay = Duration::from_millis(delay_ms.into());
    let mut lines = Vec::new();
    for hops in hops {
        let shape = distant_chain(*hops, delay, 1)?;
        let time = Until::Time(Duration::from_secs(seconds.into()));
        let report = report::measure(&shape.testnet, &shape.names(), &shape.streams, time)?;
        // Request, Response, Commit, Collect: each goes along the whole path once.
        let trips_ms = 4.0 * f64::from(*hops) * f64::from(delay_ms);
        let [median, _, _] = report.latency_ms;
        if !json {
            println!(
                "{hops} friendships: median {median:.1} ms, four trips {trips_ms:.0} ms, ratio {:.3}",
                median / trips_ms
            );
        }
        lines.push((f64::from(*hops), median, trips_ms));
    }
    if json {
        let line = |(hops, median, trips): &(f64, f64, f64)| serde_json::json!({ "hops": hops, "p50_ms": median, "four_trips_ms": trips, "ratio": median / trips });
        println!("{}", lines.iter().map(line).collect::<serde_json::Value>());
    }
    if let Some(folder) = plots {
        let measured = lines.iter().map(|(hops, median, _)| (*hops, *median)).collect();
        let trips = lines.iter().map(|(hops, _, trips)| (*hops, *trips)).collect();
        let title = format!("One payment, {delay_ms} ms one way on each friendship");
        let curves = [Curve { name: "median", points: measured }, Curve { name: "four trips", points: trips }];
        draw(&folder.join("distance.svg"), &title, "friendships", "ms", &curves)?;
    }
    Ok(())
}
