//! Measures how two index servers become equal that each have seen one half of a network:
//! `cargo run --release -p offst-index-server --example halves -- 100000`.

mod network;

fn main() {
    let nodes = std::env::args().nth(1).map_or(Ok(2000), |nodes| nodes.parse());
    let Some(nodes) = nodes.ok().filter(|nodes| (20..=200_000).contains(nodes)) else {
        eprintln!("halves: the argument is a number of nodes from 20 to 200000");
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let report = runtime.block_on(network::run(nodes));
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    println!("{} nodes, {} edges at each of two servers", report.nodes, report.edges);
    println!(
        "equal after {:.2} s, which took {:.2} s of a core; {} updates, {:.1} MB on the wire in both directions, of which {:.1} MB are the updates",
        report.seconds,
        report.cpu_seconds,
        report.updates,
        megabytes(report.bytes),
        megabytes(report.bytes_missing),
    );
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!(
        "the floor: {} signatures take {:.2} s of a core, so {:.2} s on the {cores} cores here",
        report.updates,
        report.signatures_cpu_seconds,
        report.signatures_cpu_seconds / cores as f64,
    );
    println!(
        "after a reconnect with one change: {:.3} s, {} bytes in both directions",
        report.seconds_for_one_change, report.bytes_for_one_change
    );
}
