//! How fast the index server finds routes in large networks, how much memory it needs, and what updates cost.
//!
//! `cargo bench -p offst-index-server` takes some minutes; `-- --short` a few seconds. One thread asks. Rates and latencies
//! count the time that this thread had on a processor, latencies the fastest of several runs of each query, so that
//! other programs on the machine disturb little. Only queries beside updates are measured by the time that passes.

mod clock;
mod measure;
mod networks;
mod whole;

use networks::Kind;
use serde_json::{Value, json};
use whole::Extent;

const USAGE: &str = "options: --short (small networks, a few seconds), --json, --nodes NUMBER (instead of 100000 and 1000000), \
     --updates (nothing else)";

struct Options {
    nodes: Vec<usize>,
    extent: Extent,
    signed_nodes: usize,
    json: bool,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options {
            nodes: vec![100_000, 1_000_000],
            extent: Extent { queries: 1000, rounds: 5, seconds: 5.0, only_updates: false },
            signed_nodes: 50_000,
            json: false,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--short" => {
                    options.nodes = vec![5_000];
                    options.extent = Extent { queries: 100, rounds: 2, seconds: 0.2, ..options.extent };
                    options.signed_nodes = 500;
                }
                "--json" => options.json = true,
                "--updates" => options.extent.only_updates = true,
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
            let report = whole::network(kind, name, *nodes, &options.extent);
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
