//! How fast the index server's graph is.
mod networks;

use networks::{Kind, Network, Numbers};
use offst_index_server::{CapacityGraph, Scratch, SearchBounds};
use offst_proto::Currency;
use offst_proto::index::Query;
use std::time::Instant;

fn main() {
    let nodes: usize = std::env::var("NODES").ok().map_or(100_000, |n| n.parse().unwrap());
    for kind in [Kind::ScaleFree, Kind::SmallWorld] {
        let started = Instant::now();
        let network = Network::draw(kind, nodes, 7);
        println!("{kind:?} drawn {:?}", started.elapsed());
        let started = Instant::now();
        let mut graph = CapacityGraph::new();
        let currency = Currency::default();
        for friendship in &network.friendships {
            for end in [0, 1] {
                let (node, edge) = network.edge(friendship, end, &currency);
                graph.set(node, &edge, 1_000_000_000);
            }
        }
        println!(
            "loaded {:?} {:?} per friendship {}",
            started.elapsed(),
            graph.memory(),
            graph.memory().search_bytes / network.friendships.len()
        );
        let mut scratch = Scratch::default();
        for (name, amount, ways, parts) in [
            ("small1", 100, 1, 1),
            ("large1", 100_000, 1, 1),
            ("small5", 100, 5, 8),
            ("large5", 100_000, 5, 8),
            ("split", 3_000_000, 1, 8),
            ("split5", 3_000_000, 5, 8),
        ] {
            let mut numbers = Numbers(3);
            let mut times = vec![];
            let mut works: Vec<usize> = vec![];
            let (mut found, mut cut, mut fees, mut hops) = (0, 0, 0, 0);
            let count = 1000;
            for _ in 0..count {
                let (s, d) = (numbers.below(nodes), numbers.below(nodes));
                let query = Query::new(currency.clone(), amount, network.keys[s], network.keys[d]);
                let bounds = SearchBounds {
                    ways,
                    parts,
                    ..SearchBounds::new(std::env::var("WORK").ok().map_or(200_000, |n| n.parse().unwrap()))
                };
                let t = Instant::now();
                let answer = graph.search(&query, 0, bounds, &mut scratch);
                times.push(t.elapsed().as_nanos() as f64 / 1e3);
                works.push(answer.work);
                found += usize::from(!answer.ways.is_empty());
                cut += usize::from(answer.cut);
                fees += answer.ways.first().map_or(0, |w| w.fees());
                hops += answer.ways.first().map_or(0, |w| w.parts[0].route.len());
            }
            works.sort();
            print!("work {} {} {} ", works[count / 2], works[count * 99 / 100], works[count - 1]);
            times.sort_by(f64::total_cmp);
            println!(
                "{name}: p50 {:.0} us p99 {:.0} max {:.0} rate {:.0}/s found {found} cut {cut} fees {:.1} hops {:.1}",
                times[count / 2],
                times[count * 99 / 100],
                times[count - 1],
                1e6 * count as f64 / times.iter().sum::<f64>(),
                fees as f64 / found.max(1) as f64,
                hops as f64 / found.max(1) as f64
            );
        }
    }
}
