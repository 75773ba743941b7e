//! How fast the index server finds ways in large networks, how much memory it needs, and what updates cost.
//!
//! `cargo bench -p offst-index-server` takes some minutes; `-- --short` a few seconds. One thread asks. Rates and latencies
//! count the time that this thread had on a processor, latencies the fastest of several runs of each query, so that
//! other programs on the machine disturb little. Only queries beside updates are measured by the time that passes.

mod clock;
mod measure;
mod networks;

use networks::{Kind, Network};
use serde_json::{Value, json};

const USAGE: &str = "options: --short (small networks, a few seconds), --json, --nodes NUMBER (instead of 100000 and 1000000), \
     --updates (nothing else)";

struct Options {
    nodes: Vec<usize>,
    queries: usize,
    rounds: usize,
    seconds: f64,
    signed_nodes: usize,
    json: bool,
    only_updates: bool,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options {
            nodes: vec![100_000, 1_000_000],
            queries: 1000,
            rounds: 5,
            seconds: 5.0,
            signed_nodes: 50_000,
            json: false,
            only_updates: false,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--short" => {
                    let nodes = vec![5_000];
                    options = Options { nodes, queries: 100, rounds: 2, seconds: 0.2, signed_nodes: 500, ..options };
                }
                "--json" => options.json = true,
                "--updates" => options.only_updates = true,
                "--nodes" => {
                    let number = arguments.next().and_then(|number| number.parse().ok());
                    options.nodes = vec![number.filter(|number| *number >= 100).ok_or("--nodes wants 100 or more")?];
                }
                // What cargo adds.
                "--bench" => {}
                other => return Err(format!("{other} is not known; {USAGE}")),
            }
        }
        Ok(options)
    }
}

fn main() {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}");
            std::process::exit(2);
        }
    };
    let mut networks = vec![];
    for nodes in &options.nodes {
        for (kind, name) in [(Kind::ScaleFree, "scale-free"), (Kind::SmallWorld, "small-world")] {
            let report = network(kind, name, *nodes, &options);
            if !options.json {
                show(&report, 0);
            }
            networks.push(report);
        }
    }
    let signed = measure::signed(options.signed_nodes);
    if options.json {
        println!("{}", json!({ "networks": networks, "signed": signed }));
    } else {
        show(&json!({ "signed": signed }), 0);
    }
}

fn network(kind: Kind, name: &str, nodes: usize, options: &Options) -> Value {
    let network = Network::draw(kind, nodes, 7);
    let (graph, loaded) = measure::load(&network);
    if options.only_updates {
        let (_, updates) = measure::updates(&network, graph, options.seconds);
        let friendships = network.friendships.len();
        return json!({ "network": name, "nodes": nodes, "friendships": friendships, "loading": loaded, "updates": updates });
    }
    let searches: Vec<_> = measure::LOADS
        .iter()
        .map(|load| {
            // An answer with 5 ways is several searches.
            let count = if load.ways > 1 { options.queries / 5 } else { options.queries };
            let report = measure::searches(&network, &graph, load, count, options.rounds);
            if !options.json {
                eprintln!("{name} {nodes}: {report}");
            }
            report
        })
        .collect();
    let petgraph = measure::petgraph(&network, &graph, (2_000_000 / nodes).clamp(3, 20));
    let (_, updates) = measure::updates(&network, graph, options.seconds);
    json!({
        "network": name,
        "nodes": nodes,
        "friendships": network.friendships.len(),
        "loading": loaded,
        "searches": searches,
        "dijkstra": petgraph,
        "updates": updates,
    })
}

/// A report as lines: fields of one kind of measurement on one line.
fn show(value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let Value::Object(fields) = value else { return };
    let (inner, own): (Vec<_>, Vec<_>) = fields.iter().partition(|(_, value)| value.is_object() || value.is_array());
    let own: Vec<_> =
        own.into_iter().map(|(name, value)| format!("{} {}", name.replace('_', " "), text(value))).collect();
    println!("{indent}{}", own.join(", "));
    for (name, value) in inner {
        println!("{indent}{}:", name.replace('_', " "));
        match value {
            Value::Array(values) => values.iter().for_each(|value| show(value, depth + 1)),
            value => show(value, depth + 1),
        }
    }
}

fn text(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 || number >= 1000.0 => format!("{number:.0}"),
        Some(number) => format!("{number:.3}"),
        None => value.as_str().unwrap_or("unknown").to_owned(),
    }
}
