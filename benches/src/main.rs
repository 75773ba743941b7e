//! Load on real nodes: `cargo run --release -p offst-bench -- chain --hops 2 --in-flight 256 --seconds 20`.
//!
//! Every node is a process of its own with real sockets, a relay, TLS and a durable database; this program starts itself again
//! in the role of each. It pays from one end of a chain to the other and reports payments a second, latency, and the cost
//! of a payment, beside the floor: what the signatures and the disk of this machine allow at the least, measured in the
//! same run.

mod floor;
mod load;
mod processes;
#[path = "../../tests/town/mod.rs"]
mod town;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use town::Town;

#[derive(Debug, Parser)]
#[command(name = "offst-bench", version)]
struct Arguments {
    #[command(subcommand)]
    shape: Shape,
}

#[derive(Debug, Subcommand)]
enum Shape {
    /// Pay along a chain of nodes
    Chain(Chain),
}

/// Pay along a chain of nodes
#[derive(Debug, clap::Args)]
struct Chain {
    /// Friendships between the buyer and the seller
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    hops: u8,
    /// Payments under way at the same time
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1000))]
    in_flight: u16,
    /// How long to pay
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
    /// One JSON document instead of lines
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    if let Some(code) = offst::command_line::run_role() {
        return code;
    }
    let Shape::Chain(chain) = Arguments::parse().shape;
    match run(&chain) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("offst-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chain: &Chain) -> anyhow::Result<()> {
    let floor = floor::measure(u32::from(chain.hops))?;
    let mut town = Town::new(town::itself);
    town.relay("relay0");
    town.index("index0");
    let names: Vec<String> = (0..=chain.hops).map(|number| format!("node{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        town.node(name, &["relay0"], &["index0"], "");
    }
    for pair in names.windows(2) {
        town.befriend(pair[0], pair[1], 1_000_000_000_000);
    }
    town.wait_online(&names);
    let (buyer, seller) = (names[0], names[names.len() - 1]);
    let seller_key = town.stctrl(seller, &["info", "public-key"]).expect().trim().to_owned();
    load::wait_for_route(&town, buyer, &seller_key);

    let before = processes::usage(&town, &names)?;
    let seconds = u64::from(chain.seconds);
    let result = load::pay(&town, buyer, &seller_key, usize::from(chain.in_flight), seconds)?;
    let after = processes::usage(&town, &names)?;
    let count = result.latencies_ms.len();
    anyhow::ensure!(count > 0, "no payment was made: {}", result.first_failure.unwrap_or_default());
    let rate = count as f64 / result.seconds;
    let percentile = |share: f64| result.latencies_ms[((count - 1) as f64 * share) as usize];
    let cpu_ms = (after.cpu_ms - before.cpu_ms) / count as f64;
    let commits = (after.commits - before.commits) as f64 / count as f64;
    if chain.json {
        let document = serde_json::json!({
            "payments": count,
            "failed": result.failed,
            "payments_per_second": rate,
            "latency_ms": { "p50": percentile(0.50), "p95": percentile(0.95), "p99": percentile(0.99) },
            "cpu_ms_per_payment": cpu_ms,
            "fsyncs_per_payment": commits,
            "floor_payments_per_second": floor.payments_per_second,
            "floor_cpu_ms_per_payment": floor.cpu_ms_per_payment,
        });
        println!("{document}");
        return Ok(());
    }
    println!("{count} payments over {} hops in {:.1} s, {} failed", chain.hops, result.seconds, result.failed);
    println!("payments per second   {rate:>10.0}   (floor {:.0})", floor.payments_per_second);
    println!(
        "latency ms            {:>10.1}   (p95 {:.1}, p99 {:.1})",
        percentile(0.50),
        percentile(0.95),
        percentile(0.99)
    );
    println!("cpu ms per payment    {cpu_ms:>10.3}   (all nodes; floor {:.3})", floor.cpu_ms_per_payment);
    println!("fsyncs per payment    {commits:>10.3}   (all nodes)");
    println!("{floor}");
    Ok(())
}
