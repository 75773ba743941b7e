//! What is measured.

use crate::clock::{Clock, Latencies, resident_bytes};
use crate::networks::{Network, Numbers};
use offst_crypto::{Ed25519Verifier, Identity};
use offst_index_server::{CapacityGraph, Found, GraphChange, Index, Limits, Scratch, SearchBounds, admit};
use offst_proto::Amount;
use offst_proto::index::{Edge, Query, TIME_TO_LIVE_MS_MAX, Update, UpdateOutcome};
use offst_proto::{Currency, Rate, Unverified, Verified};
use petgraph::algo::dijkstra;
use petgraph::graph::{Graph, NodeIndex};
use serde_json::{Value, json};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// When everything is published, unix ms.
const NOW_MS: u64 = 1_700_000_000_000;
const EXPIRES_MS: u64 = NOW_MS + TIME_TO_LIVE_MS_MAX;
/// Changes for which the writer takes the lock once.
const BATCH: usize = 1000;
/// Pause between two batches: what an index server gathers in that time it takes at once.
const GATHER: Duration = Duration::from_millis(50);

/// One kind of query.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    amount: u128,
    pub(crate) routes: usize,
    parts: usize,
}

/// Amounts that nearly every friendship holds, about half of them, and few of them.
pub(crate) const LOADS: &[Load] = &[
    Load { name: "one route, 100 credits", amount: 100, routes: 1, parts: 1 },
    Load { name: "one route, 100,000 credits", amount: 100_000, routes: 1, parts: 1 },
    Load { name: "5 routes, 100 credits", amount: 100, routes: 5, parts: 8 },
    Load { name: "5 routes, 100,000 credits", amount: 100_000, routes: 5, parts: 8 },
    Load { name: "a split where needed, 2,000,000 credits", amount: 2_000_000, routes: 1, parts: 8 },
];

pub(crate) fn load(network: &Network) -> (CapacityGraph, Value) {
    let currency = Currency::default();
    let clock = Clock::start();
    let mut graph = CapacityGraph::seeded(5);
    for friendship in &network.friendships {
        for end in [0, 1] {
            let (node, edge) = network.edge(friendship, end, &currency);
            graph.set(node, &edge, EXPIRES_MS);
        }
    }
    let seconds = clock.elapsed().as_secs_f64();
    let (memory, count) = (graph.memory(), network.friendships.len() as f64);
    let report = json!({
        "load_seconds": seconds,
        "edges_per_second": 2.0 * count / seconds,
        "search_bytes_per_friendship": memory.search_bytes as f64 / count,
        "graph_bytes_per_friendship": (memory.search_bytes + memory.other_bytes) as f64 / count,
    });
    (graph, report)
}

/// Pairs of nodes that want to pay each other.
fn queries(network: &Network, amount: u128, count: usize) -> Vec<Query> {
    let mut numbers = Numbers(11);
    let mut node = || network.keys[numbers.below(network.keys.len())];
    (0..count).map(|_| Query::new(Currency::default(), Amount::capped(amount), node(), node())).collect()
}

fn search(graph: &CapacityGraph, query: &Query, load: &Load, scratch: &mut Scratch) -> Found {
    let bounds =
        SearchBounds { routes: load.routes, parts: load.parts, ..SearchBounds::new(Limits::default().search_work_max) };
    graph.search(query, NOW_MS, bounds, scratch)
}

pub(crate) fn searches(network: &Network, graph: &CapacityGraph, load: &Load, count: usize, rounds: usize) -> Value {
    let queries = queries(network, load.amount, count);
    let mut scratch = Scratch::default();
    let found: Vec<Found> = queries.iter().map(|query| search(graph, query, load, &mut scratch)).collect();
    let clock = Clock::start();
    let latencies = Latencies::fastest_of(rounds, count, |position| {
        search(graph, &queries[position], load, &mut scratch);
    });
    let seconds = clock.elapsed().as_secs_f64();
    let mut works: Vec<usize> = found.iter().map(|found| found.work).collect();
    works.sort_unstable();
    json!({
        "queries": load.name,
        "per_second_and_core": (rounds * count) as f64 / seconds,
        "median_ms": latencies.within_ms(50),
        "p99_ms": latencies.within_ms(99),
        "answered": found.iter().filter(|found| !found.routes.is_empty()).count() as f64 / count as f64,
        "cut": found.iter().filter(|found| found.cut).count() as f64 / count as f64,
        "median_arcs": works[count / 2],
        "p99_arcs": works[count * 99 / 100],
    })
}

/// Dijkstra's search of petgraph on the same graph for the same queries, with the fees of the bare amount. It stops at
/// the source and does not know of capacities.
pub(crate) fn petgraph(network: &Network, graph: &CapacityGraph, count: usize) -> Value {
    let load = &LOADS[0];
    let mut other = Graph::<(), Rate>::with_capacity(network.keys.len(), network.friendships.len() * 2);
    for _ in &network.keys {
        other.add_node(());
    }
    for friendship in &network.friendships {
        let [one, two] = friendship.ends.map(|end| NodeIndex::new(end as usize));
        // From the receiver to the sender, as the search goes.
        other.add_edge(two, one, friendship.rates[1]);
        other.add_edge(one, two, friendship.rates[0]);
    }
    let mut numbers = Numbers(11);
    let pairs: Vec<_> =
        (0..count).map(|_| [(); 2].map(|()| NodeIndex::new(numbers.below(network.keys.len())))).collect();
    let cost = |rate: &Rate| rate.add.credits() as u64 + ((load.amount * u128::from(rate.mul)) >> 32) as u64;
    let clock = Clock::start();
    for [source, destination] in &pairs {
        std::hint::black_box(dijkstra(&other, *destination, Some(*source), |edge| cost(edge.weight())));
    }
    let theirs = count as f64 / clock.elapsed().as_secs_f64();
    let queries = queries(network, load.amount, count);
    let mut scratch = Scratch::default();
    // As long as theirs, or the clock would be too coarse.
    let rounds = 20;
    let clock = Clock::start();
    for _ in 0..rounds {
        for query in &queries {
            std::hint::black_box(search(graph, query, load, &mut scratch));
        }
    }
    let ours = (rounds * count) as f64 / clock.elapsed().as_secs_f64();
    json!({ "petgraph_per_second": theirs, "ours_per_second": ours, "ratio": ours / theirs })
}

/// What one end announces of a friendship, at random.
fn change(network: &Network, numbers: &mut Numbers, currency: &Currency) -> GraphChange {
    let friendship = &network.friendships[numbers.below(network.friendships.len())];
    let (node, mut edge) = network.edge(friendship, numbers.below(2), currency);
    edge.send_capacity = Amount::capped(edge.send_capacity.credits() / 2 + numbers.below(1000) as u128);
    GraphChange::Set { node, edge, expires_ms: EXPIRES_MS }
}

/// Updates alone, then updates and queries at the same time: one thread changes the graph, the others ask.
pub(crate) fn updates(network: &Network, mut graph: CapacityGraph, seconds: f64) -> Value {
    let currency = Currency::default();
    let mut numbers = Numbers(13);
    let count = network.friendships.len().min(200_000);
    let mut fastest_of_three = |at_a_time: usize| {
        (0..3).fold(0.0f64, |fastest, _| {
            let changes: Vec<_> = (0..count).map(|_| change(network, &mut numbers, &currency)).collect();
            let clock = Clock::start();
            changes.chunks(at_a_time).for_each(|changes| graph.apply(changes));
            fastest.max(count as f64 / clock.elapsed().as_secs_f64())
        })
    };
    // As the server makes them, so many at a time, and one by one.
    let (together, one_by_one) = (fastest_of_three(BATCH), fastest_of_three(1));
    let shared = RwLock::new(graph);
    let quiet = concurrently(network, &shared, seconds, None);
    let gathered = concurrently(network, &shared, seconds, Some(GATHER));
    let at_once = concurrently(network, &shared, seconds, Some(Duration::ZERO));
    json!({
        "alone_per_second": together,
        "alone_and_one_by_one_per_second": one_by_one,
        "queries_without_updates": quiet,
        "queries_with_updates_gathered_for_50_ms": gathered,
        "queries_with_updates_without_pause": at_once,
    })
}

/// Queries on all cores but one, and a writer that changes `BATCH` edges at a time with this pause between.
fn concurrently(network: &Network, graph: &RwLock<CapacityGraph>, seconds: f64, pause: Option<Duration>) -> Value {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let stop = AtomicBool::new(false);
    let queries = queries(network, LOADS[0].amount, 1000);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let (latencies, changed) = std::thread::scope(|scope| {
        let ask = |start: usize| {
            let mut scratch = Scratch::default();
            let mut latencies = vec![];
            for query in queries.iter().cycle().skip(start * 100) {
                let started = Instant::now();
                let graph = graph.read().unwrap_or_else(std::sync::PoisonError::into_inner);
                std::hint::black_box(search(&graph, query, &LOADS[0], &mut scratch));
                latencies.push(started.elapsed());
                // Afterwards, so that each has asked also where no thread gets its turn in time.
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            latencies
        };
        let askers: Vec<_> = (0..cores.saturating_sub(1).max(1)).map(|n| scope.spawn(move || ask(n))).collect();
        let currency = Currency::default();
        let mut numbers = Numbers(17);
        let mut changed = 0;
        loop {
            if let Some(pause) = pause {
                let changes: Vec<_> = (0..BATCH).map(|_| change(network, &mut numbers, &currency)).collect();
                let mut graph = graph.write().unwrap_or_else(std::sync::PoisonError::into_inner);
                graph.apply(&changes);
                drop(graph);
                changed += BATCH;
                std::thread::sleep(pause);
            } else {
                std::thread::sleep(Duration::from_millis(10));
            }
            if Instant::now() >= until {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        let latencies = askers.into_iter().flat_map(|asker| asker.join().unwrap_or_default()).collect::<Vec<_>>();
        (latencies, changed)
    });
    let count = latencies.len();
    let latencies = Latencies::new(latencies);
    json!({
        "queries_per_second": count as f64 / seconds,
        "median_ms": latencies.within_ms(50),
        "p99_ms": latencies.within_ms(99),
        "updates_per_second": f64::from(changed as u32) / seconds,
    })
}

/// Signed updates as they come from nodes: signatures checked, quotas counted, the graph changed. Each node of a cycle
/// has 10 friends.
pub(crate) fn signed(nodes: usize) -> Value {
    const FRIENDS: usize = 5;
    let identities: Vec<Identity> = (0..nodes as u64)
        .map(|node| {
            let mut seed = [1; 32];
            seed[..8].copy_from_slice(&node.to_be_bytes());
            Identity::from_seed(seed)
        })
        .collect();
    let keys: Vec<_> = identities.iter().map(Identity::public_key).collect();
    let wires: Vec<_> = (0..nodes)
        .map(|node| {
            let friends = (1..=FRIENDS).flat_map(|step| [(node + step) % nodes, (node + nodes - step) % nodes]);
            let mut edges: Vec<_> = friends
                .map(|friend| Edge {
                    friend: keys[friend],
                    currency: Currency::default(),
                    send_capacity: 1000.into(),
                    receive_capacity: 1000.into(),
                    rate: Rate::default(),
                    clearable: offst_proto::index::Clearable::None,
                })
                .collect();
            edges.sort();
            let update = Update { node: keys[node], sequence: 1, expires_ms: EXPIRES_MS, edges };
            Verified::sign(update, &identities[node]).wire().to_vec()
        })
        .collect();
    let before = resident_bytes();
    let limits =
        Limits { nodes_max: nodes, edges_max: nodes * FRIENDS * 2, update_bytes_max: 1 << 40, ..Limits::default() };
    let mut index = Index::new(limits);
    let clock = Clock::start();
    for (wire, key) in wires.iter().zip(&keys) {
        let update = Unverified::from_wire(wire).expect("what was signed can be read");
        let update = admit(update, key, &Ed25519Verifier, NOW_MS).expect("its signature is valid");
        let outcome = index.apply(&update, NOW_MS);
        assert_eq!(outcome, UpdateOutcome::Accepted { newest: 1 });
    }
    let seconds = clock.elapsed().as_secs_f64();
    let grown = resident_bytes().zip(before).map(|(after, before)| after.saturating_sub(before));
    let wire_bytes: usize = wires.iter().map(Vec::len).sum();
    let friendships = (nodes * FRIENDS) as f64;
    json!({
        "nodes": nodes,
        "signed_updates_per_second": nodes as f64 / seconds,
        "signed_edges_per_second": 2.0 * friendships / seconds,
        "index_bytes_per_friendship": grown.map(|grown| grown as f64 / friendships),
        "signed_bytes_per_friendship": wire_bytes as f64 / friendships,
    })
}
