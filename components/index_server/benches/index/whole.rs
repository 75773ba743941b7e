//! Everything that is measured of one network.

use crate::measure;
use crate::networks::{Kind, Network};
use serde_json::{Value, json};

/// How much is measured.
pub(crate) struct Extent {
    /// Queries of each kind.
    pub(crate) queries: usize,
    /// How often each is asked.
    pub(crate) rounds: usize,
    /// How long queries are asked beside updates.
    pub(crate) seconds: f64,
    /// No queries but those beside updates.
    pub(crate) only_updates: bool,
}

/// Measures one network, and writes the results so far to standard error.
pub(crate) fn network(kind: Kind, name: &str, nodes: usize, extent: &Extent) -> Value {
    let network = Network::draw(kind, nodes, 7);
    let (graph, loaded) = measure::load(&network);
    let mut report = json!({
        "network": name,
        "nodes": nodes,
        "friendships": network.friendships.len(),
        "loading": loaded,
    });
    if !extent.only_updates {
        let searches = measure::LOADS.iter().map(|load| {
            // An answer with 5 routes is several searches.
            let count = if load.routes > 1 { extent.queries / 5 } else { extent.queries };
            let report = measure::searches(&network, &graph, load, count, extent.rounds);
            eprintln!("{name} {nodes}: {report}");
            report
        });
        report["searches"] = searches.collect();
        report["dijkstra"] = measure::petgraph(&network, &graph, (2_000_000 / nodes).clamp(3, 20));
    }
    report["updates"] = measure::updates(&network, graph, extent.seconds);
    report
}
