//! Networks of friends, drawn from a seed.

use offst_crypto::PublicKey;
use offst_proto::Amount;
use offst_proto::index::Edge;
use offst_proto::{Currency, Rate};

/// Numbers that look random and are the same each time (splitmix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    fn share(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Barabasi and Albert: those who know many get to know more; 5 friendships for each newcomer.
    ScaleFree,
    /// Watts and Strogatz: 10 neighbours in a circular order, a tenth of the friendships lead elsewhere.
    SmallWorld,
}

/// What is between two nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Friendship {
    pub(crate) ends: [u32; 2],
    /// From the first to the second, and back.
    pub(crate) capacities: [u128; 2],
    /// What each end takes for requests from the other.
    pub(crate) rates: [Rate; 2],
}

pub(crate) struct Network {
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) friendships: Vec<Friendship>,
}

/// Friendships for each node.
const EACH: usize = 5;

impl Network {
    pub(crate) fn draw(kind: Kind, nodes: usize, seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let pairs = match kind {
            Kind::ScaleFree => scale_free(nodes, &mut numbers),
            Kind::SmallWorld => small_world(nodes, &mut numbers),
        };
        let friendships = pairs
            .into_iter()
            .map(|ends| Friendship {
                ends,
                capacities: [capacity(&mut numbers), capacity(&mut numbers)],
                rates: [rate(&mut numbers), rate(&mut numbers)],
            })
            .collect();
        let keys = (0..nodes).map(|_| key(&mut numbers)).collect();
        Network { keys, friendships }
    }

    /// What one end publishes: who, and about whom.
    pub(crate) fn edge(&self, friendship: &Friendship, end: usize, currency: &Currency) -> (PublicKey, Edge) {
        let [own, friend] = [friendship.ends[end], friendship.ends[1 - end]].map(|node| self.keys[node as usize]);
        let edge = Edge {
            friend,
            currency: currency.clone(),
            send_capacity: Amount::capped(friendship.capacities[end]),
            receive_capacity: Amount::capped(friendship.capacities[1 - end]),
            rate: friendship.rates[end],
            clearable: offst_proto::index::Clearable::None,
        };
        (own, edge)
    }
}

/// Bytes of a key that nobody holds: searches do not sign.
fn key(numbers: &mut Numbers) -> PublicKey {
    loop {
        let mut bytes = [0; 32];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&numbers.next().to_be_bytes());
        }
        if let Ok(key) = PublicKey::from_bytes(bytes) {
            return key;
        }
    }
}

/// 1,000 to 10,000,000, each power of ten as likely as the others.
fn capacity(numbers: &mut Numbers) -> u128 {
    10f64.powf(3.0 + 4.0 * numbers.share()) as u128
}

/// One of a thousand: 1 to 21 credits and 0 to 0.47 percent. One credit is what nodes take that set no rate.
fn rate(numbers: &mut Numbers) -> Rate {
    let add = 1 + numbers.below(21) as u128;
    let mul = (numbers.below(48) * 429_497) as u32;
    Rate { mul, add: Amount::capped(add) }
}

fn scale_free(nodes: usize, numbers: &mut Numbers) -> Vec<[u32; 2]> {
    let mut pairs: Vec<[u32; 2]> = Vec::with_capacity(nodes * EACH);
    for node in 0..nodes as u32 {
        let start = pairs.len();
        let wanted = EACH.min(node as usize);
        while pairs.len() < start + wanted {
            // The end of a random friendship, or any node.
            let friend = match start {
                0 => 0,
                _ if node as usize <= EACH => numbers.below(node as usize) as u32,
                _ => pairs[numbers.below(start)][numbers.below(2)],
            };
            if !pairs[start..].iter().any(|pair| pair[1] == friend) {
                pairs.push([node, friend]);
            }
        }
    }
    pairs
}

fn small_world(nodes: usize, numbers: &mut Numbers) -> Vec<[u32; 2]> {
    let mut pairs: Vec<[u32; 2]> = Vec::with_capacity(nodes * EACH);
    for node in 0..nodes {
        for step in 1..=EACH {
            let friend = if numbers.below(10) == 0 { numbers.below(nodes) } else { (node + step) % nodes };
            if friend != node {
                pairs.push([node as u32, friend as u32]);
            }
        }
    }
    // Numbers that are neighbours in the circular order must not be neighbours in memory: people come in no order.
    let mut names: Vec<u32> = (0..nodes as u32).collect();
    for position in (1..nodes).rev() {
        names.swap(position, numbers.below(position + 1));
    }
    for pair in &mut pairs {
        *pair = pair.map(|node| names[node as usize]);
        pair.sort_unstable();
    }
    pairs.sort_unstable();
    pairs.dedup();
    for position in (1..pairs.len()).rev() {
        pairs.swap(position, numbers.below(position + 1));
    }
    pairs
}
