//! The testnets that are put under load.

use crate::load::{Stream, public_key, wait_for_route};
use crate::testnet::{self, Testnet};
use offst_simulator::economy::{CREDITS_PER_RATING, Friendship, TrustNetwork};

/// A line that no load uses up.
const LIMIT: u128 = 1_000_000_000_000;

/// A testnet with its nodes and who pays whom.
pub(crate) struct Shape {
    pub(crate) testnet: Testnet,
    pub(crate) nodes: Vec<String>,
    /// Friendships on the way of each payment.
    pub(crate) hops: u32,
    pub(crate) streams: Vec<Stream>,
}

impl Shape {
    /// The names of the nodes.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.nodes.iter().map(String::as_str).collect()
    }
}

/// A friendship with a line that no load uses up.
fn endless(one: usize, other: usize) -> ([usize; 2], [u128; 2]) {
    ([one, other], [LIMIT; 2])
}

/// Nodes with a relay and an index server, and the friendships among them, each with what the first lets the second owe and the
/// other way around. `prepare` says by which ticket the nodes reach the
/// relay.
fn settle(
    count: usize,
    friendships: &[([usize; 2], [u128; 2])],
    prepare: impl FnOnce(&mut Testnet) -> anyhow::Result<&'static str>,
) -> anyhow::Result<(Testnet, Vec<String>)> {
    let mut testnet = Testnet::new(testnet::itself);
    testnet.relay("relay0");
    testnet.index("index0");
    let relay = prepare(&mut testnet)?;
    let nodes: Vec<String> = (0..count).map(|number| format!("node{number}")).collect();
    for node in &nodes {
        testnet.node(node, &[relay], &["index0"], "");
    }
    for ([one, other], limits) in friendships {
        testnet.befriend_within(&nodes[*one], &nodes[*other], *limits);
    }
    let names: Vec<&str> = nodes.iter().map(String::as_str).collect();
    testnet.wait_online(&names);
    Ok((testnet, nodes))
}

/// Divides `in_flight` among pairs of nodes and waits until each pair can pay.
fn streams(
    testnet: &Testnet,
    nodes: &[String],
    pairs: &[(usize, usize)],
    in_flight: usize,
) -> anyhow::Result<Vec<Stream>> {
    let mut streams = Vec::new();
    for (number, (buyer, seller)) in pairs.iter().enumerate() {
        let share = in_flight / pairs.len() + usize::from(number < in_flight % pairs.len());
        if share == 0 {
            continue;
        }
        let seller = public_key(testnet, &nodes[*seller])?;
        wait_for_route(testnet, &nodes[*buyer], seller);
        streams.push(Stream { buyer: nodes[*buyer].clone(), seller, in_flight: share });
    }
    Ok(streams)
}

/// A chain: the first node pays the last.
pub(crate) fn chain(hops: u8, in_flight: usize) -> anyhow::Result<Shape> {
    chain_over(hops, in_flight, |_| Ok("relay0"))
}

/// A chain whose nodes reach the relay by the ticket that `prepare` makes.
pub(crate) fn chain_over(
    hops: u8,
    in_flight: usize,
    prepare: impl FnOnce(&mut Testnet) -> anyhow::Result<&'static str>,
) -> anyhow::Result<Shape> {
    let hops = usize::from(hops);
    let friendships: Vec<_> = (0..hops).map(|number| endless(number, number + 1)).collect();
    let (testnet, nodes) = settle(hops + 1, &friendships, prepare)?;
    let streams = streams(&testnet, &nodes, &[(0, hops)], in_flight)?;
    Ok(Shape { testnet, nodes, hops: hops as u32, streams })
}

/// A star: every spoke pays the next one through the hub.
pub(crate) fn star(spokes: u8, in_flight: usize) -> anyhow::Result<Shape> {
    let spokes = usize::from(spokes);
    let friendships: Vec<_> = (1..=spokes).map(|spoke| endless(0, spoke)).collect();
    let pairs: Vec<_> = (1..=spokes).map(|spoke| (spoke, spoke % spokes + 1)).collect();
    let (testnet, nodes) = settle(spokes + 1, &friendships, |_| Ok("relay0"))?;
    let streams = streams(&testnet, &nodes, &pairs, in_flight)?;
    Ok(Shape { testnet, nodes, hops: 2, streams })
}

/// A village: a circle in which everybody knows the next two, and pays the fourth, over two friendships.
pub(crate) fn village(count: u8, in_flight: usize) -> anyhow::Result<Shape> {
    let count = usize::from(count);
    let friendships: Vec<_> = (0..count)
        .flat_map(|number| [endless(number, (number + 1) % count), endless(number, (number + 2) % count)])
        .collect();
    let pairs: Vec<_> = (0..count).map(|number| (number, (number + 4) % count)).collect();
    let (testnet, nodes) = settle(count, &friendships, |_| Ok("relay0"))?;
    let streams = streams(&testnet, &nodes, &pairs, in_flight)?;
    Ok(Shape { testnet, nodes, hops: 2, streams })
}

/// People who trust each other as in a network of ratings. Nobody has paid yet.
pub(crate) fn people(network: &TrustNetwork) -> anyhow::Result<(Testnet, Vec<String>)> {
    let limits = |friendship: &Friendship| {
        (friendship.people, friendship.ratings.map(|rating| u128::from(rating) * u128::from(CREDITS_PER_RATING)))
    };
    let friendships: Vec<_> = network.friendships().iter().map(limits).collect();
    settle(network.names().len(), &friendships, |_| Ok("relay0"))
}
