//! One test a rule, and a model beside the registry for everything together.

use super::*;
use offst_crypto::Identity;
use proptest::prelude::*;

fn key(seed: u8) -> PublicKey {
    Identity::from_seed([seed; 32]).public_key()
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn small() -> Limits {
    Limits {
        connections_max: 4,
        connections_per_address_max: 2,
        substreams_per_node_max: 4,
        substreams_per_pair_max: 2,
        watched_per_node_max: 2,
        ..Limits::default()
    }
}

/// A connection for which no other one is evicted.
fn connect(registry: &mut Registry, from: IpAddr) -> Result<RelayConnectionId, Refusal> {
    let (id, outputs) = registry.connect(from, 0)?;
    assert_eq!(outputs, []);
    Ok(id)
}

/// A registered node with an address of its own.
fn node(registry: &mut Registry, seed: u8) -> RelayConnectionId {
    let id = connect(registry, address(seed)).unwrap();
    registry.register(id, key(seed));
    id
}

#[test]
fn a_node_is_told_that_it_is_registered() {
    let mut registry = Registry::new(small());
    let id = connect(&mut registry, address(1)).unwrap();
    assert_eq!(registry.nodes(), 0);
    assert_eq!(registry.register(id, key(1)), [Output::Send(id, RelayToNode::Registered)]);
    assert_eq!(registry.nodes(), 1);
}

#[test]
fn connections_are_bounded_per_address() {
    let mut registry = Registry::new(small());
    let first = connect(&mut registry, address(1)).unwrap();
    connect(&mut registry, address(1)).unwrap();
    assert_eq!(connect(&mut registry, address(1)), Err(Refusal::Address));
    assert_eq!(connect(&mut registry, "::ffff:10.0.0.1".parse().unwrap()), Err(Refusal::Address));
    registry.disconnect(first);
    assert!(connect(&mut registry, address(1)).is_ok());
}

/// A full relay has room for a connection from elsewhere, at the cost of the address that has most; never for one of an address
/// with as many.
#[test]
fn a_full_relay_evicts_the_newest_of_the_busiest_address() {
    let mut registry = Registry::new(small());
    let watcher = node(&mut registry, 2);
    let old = node(&mut registry, 1);
    let new = connect(&mut registry, address(1)).unwrap();
    registry.register(new, key(4));
    registry.watch(watcher, &[key(4)]);
    node(&mut registry, 3);
    assert_eq!(registry.connect(address(2), 0), Err(Refusal::Connections), "its own address would have as many");
    let (newcomer, outputs) = registry.connect(address(5), 0).unwrap();
    assert_eq!(
        outputs,
        [
            Output::Send(new, RelayToNode::Refused(Refusal::Connections)),
            Output::Evict(new),
            Output::Send(watcher, RelayToNode::Absent(key(4))),
        ]
    );
    assert_eq!(registry.connections.len(), 4);
    assert!(registry.connections.contains_key(&old) && registry.connections.contains_key(&newcomer));
    assert_eq!(registry.register(new, key(4)), [], "it is no longer there");
    assert_eq!(registry.connect(address(6), 0), Err(Refusal::Connections), "nobody has more than one now");
}

/// An evicted connection that does not end still counts: new ones are refused rather than more allowed than the maximum.
#[test]
fn evicted_connections_that_have_not_ended_are_bounded() {
    let limits = Limits { connections_max: 200, connections_per_address_max: 200, ..small() };
    let mut registry = Registry::new(limits);
    for _ in 0..200 {
        connect(&mut registry, address(1)).unwrap();
    }
    let newcomer = |last: usize| IpAddr::from([10, 1, 0, last as u8]);
    let mut evicted = vec![];
    for index in 0..EVICTED_MAX {
        let (_, outputs) = registry.connect(newcomer(index), 0).unwrap();
        evicted.extend(outputs.iter().filter_map(|output| match output {
            Output::Evict(id) => Some(*id),
            _ => None,
        }));
    }
    assert_eq!(evicted.len(), EVICTED_MAX);
    assert_eq!(registry.connect(newcomer(200), 0), Err(Refusal::Connections));
    registry.disconnect(evicted[0]);
    assert!(registry.connect(newcomer(200), 0).is_ok());
}

#[test]
fn watchers_are_told_of_every_change() {
    let mut registry = Registry::new(small());
    let watcher = node(&mut registry, 1);
    assert_eq!(registry.watch(watcher, &[key(2)]), [Output::Send(watcher, RelayToNode::Absent(key(2)))]);
    let watched = connect(&mut registry, address(2)).unwrap();
    assert_eq!(
        registry.register(watched, key(2)),
        [Output::Send(watched, RelayToNode::Registered), Output::Send(watcher, RelayToNode::Present(key(2)))]
    );
    assert_eq!(registry.watch(watcher, &[key(2)]), [Output::Send(watcher, RelayToNode::Present(key(2)))]);
    assert_eq!(registry.disconnect(watched), [Output::Send(watcher, RelayToNode::Absent(key(2)))]);
    registry.unwatch(watcher, &[key(2)]);
    let again = connect(&mut registry, address(2)).unwrap();
    assert_eq!(registry.register(again, key(2)), [Output::Send(again, RelayToNode::Registered)]);
}

// R4.2.
#[test]
fn a_later_connection_displaces_the_first_and_no_watcher_is_told() {
    let mut registry = Registry::new(small());
    let watcher = node(&mut registry, 1);
    registry.watch(watcher, &[key(2)]);
    let first = node(&mut registry, 2);
    let second = connect(&mut registry, address(3)).unwrap();
    assert_eq!(
        registry.register(second, key(2)),
        [
            Output::Send(second, RelayToNode::Registered),
            Output::Send(first, RelayToNode::Displaced),
            Output::Close(first)
        ]
    );
    // The end of the first does not remove the second.
    assert_eq!(registry.disconnect(first), []);
    assert_eq!(registry.open(watcher, key(2), 0).unwrap().1, second);
    assert_eq!(registry.disconnect(second), [Output::Send(watcher, RelayToNode::Absent(key(2)))]);
}

#[test]
fn watched_keys_are_bounded() {
    let mut registry = Registry::new(small());
    let id = node(&mut registry, 1);
    let outputs = registry.watch(id, &[key(2), key(3), key(4), key(2)]);
    assert_eq!(
        outputs,
        [
            Output::Send(id, RelayToNode::Absent(key(2))),
            Output::Send(id, RelayToNode::Absent(key(3))),
            Output::Send(id, RelayToNode::Absent(key(2))),
            Output::Send(id, RelayToNode::Refused(Refusal::Watched)),
        ]
    );
    registry.unwatch(id, &[key(2)]);
    assert_eq!(registry.watch(id, &[key(4)]), [Output::Send(id, RelayToNode::Absent(key(4)))]);
    registry.disconnect(id);
    assert!(registry.watchers.is_empty());
}

#[test]
fn substreams_are_opened_to_other_registered_nodes_only() {
    let mut registry = Registry::new(small());
    let source = node(&mut registry, 1);
    assert_eq!(registry.open(source, key(2), 0), Err(Refusal::Absent));
    assert_eq!(registry.open(source, key(1), 0), Err(Refusal::Itself));
    let silent = connect(&mut registry, address(2)).unwrap();
    assert_eq!(registry.open(silent, key(1), 0), Err(Refusal::Malformed));
    assert_eq!(registry.open(source, key(2), 0), Err(Refusal::Absent));
}

#[test]
fn substreams_are_bounded_per_pair_in_both_directions_together() {
    let mut registry = Registry::new(small());
    let (one, two) = (node(&mut registry, 1), node(&mut registry, 2));
    let (first, _) = registry.open(one, key(2), 0).unwrap();
    registry.open(two, key(1), 0).unwrap();
    assert_eq!(registry.open(one, key(2), 0), Err(Refusal::Pair));
    assert_eq!(registry.open(two, key(1), 0), Err(Refusal::Pair));
    registry.close_substream(first);
    registry.close_substream(first);
    assert!(registry.open(two, key(1), 0).is_ok());
}

// R4.12.
#[test]
fn unwatched_nodes_fill_only_half_of_a_node() {
    let mut registry = Registry::new(Limits { substreams_per_pair_max: 100, ..small() });
    let (target_id, unwatched, friend) = (node(&mut registry, 1), node(&mut registry, 2), node(&mut registry, 3));
    registry.watch(target_id, &[key(3)]);
    registry.open(unwatched, key(1), 0).unwrap();
    registry.open(unwatched, key(1), 0).unwrap();
    assert_eq!(registry.open(unwatched, key(1), 0), Err(Refusal::TargetSubstreams));
    registry.open(friend, key(1), 0).unwrap();
    registry.open(target_id, key(3), 0).unwrap();
    assert_eq!(registry.open(friend, key(1), 0), Err(Refusal::TargetSubstreams));
    assert_eq!(registry.open(target_id, key(3), 0), Err(Refusal::Substreams));
}

/// Unwatched nodes together can open only so many substreams to a node, and neither they nor one friend keep another friend
/// out.
/// (R4.12.)
#[test]
fn substreams_a_second_are_bounded() {
    let limits = Limits {
        calls_per_second_per_pair: 2,
        calls_per_second_from_strangers: 3,
        substreams_per_node_max: 100,
        ..small()
    };
    let mut registry = Registry::new(Limits { connections_max: 5, ..limits });
    let target_id = node(&mut registry, 1);
    let [unwatched, other_unwatched, friend, other_friend] = [2, 3, 4, 5].map(|seed| node(&mut registry, seed));
    registry.watch(target_id, &[key(4)]);
    let mut open = |source, now_ms| registry.open(source, key(1), now_ms).map(|(id, _)| registry.close_substream(id));
    for _ in 0..2 {
        assert_eq!(open(unwatched, 0), Ok(()));
    }
    assert_eq!(open(other_unwatched, 0), Ok(()));
    assert_eq!(open(unwatched, 0), Err(Refusal::Busy));
    assert_eq!(open(other_friend, 0), Err(Refusal::Busy), "unwatched still");
    for _ in 0..2 {
        assert_eq!(open(friend, 0), Ok(()));
    }
    assert_eq!(open(friend, 0), Err(Refusal::Busy));
    assert_eq!(open(friend, 1), Ok(()));
    assert_eq!(open(friend, 1), Err(Refusal::Busy));
    assert_eq!(open(unwatched, 1), Ok(()));
    assert_eq!(open(unwatched, 1), Err(Refusal::Busy));
    registry.watch(target_id, &[key(5)]);
    let (_, target) = registry.open(other_friend, key(1), 1).unwrap();
    assert_eq!(target, target_id);
    registry.unwatch(target_id, &[key(5), key(4)]);
    assert!(registry.connections[&target_id].watched_rates.is_empty());
}

#[test]
fn what_is_gone_is_ignored() {
    let mut registry = Registry::new(small());
    let id = node(&mut registry, 1);
    registry.disconnect(id);
    assert_eq!(registry.disconnect(id), []);
    assert_eq!(registry.register(id, key(1)), []);
    assert_eq!(registry.watch(id, &[key(2)]), []);
    assert_eq!(registry.open(id, key(2), 0), Err(Refusal::Absent));
    registry.unwatch(id, &[key(2)]);
    assert_eq!(registry.nodes(), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Connect(u8),
    Register(usize, u8),
    Disconnect(usize),
    Watch(usize, u8),
    Unwatch(usize, u8),
    Open(usize, u8),
    Close(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (index, seed) = (0..8usize, 0..4u8);
    prop_oneof![
        seed.clone().prop_map(Step::Connect),
        (index.clone(), seed.clone()).prop_map(|(index, seed)| Step::Register(index, seed)),
        index.clone().prop_map(Step::Disconnect),
        (index.clone(), seed.clone()).prop_map(|(index, seed)| Step::Watch(index, seed)),
        (index.clone(), seed.clone()).prop_map(|(index, seed)| Step::Unwatch(index, seed)),
        (index.clone(), seed).prop_map(|(index, seed)| Step::Open(index, seed)),
        index.prop_map(Step::Close),
    ]
}

proptest! {
    /// Whatever happens in whatever order: what a node was told last of a key it watches is true, and when all are gone
    /// nothing is left.
    #[test]
    fn presence_is_true_and_nothing_leaks(steps in proptest::collection::vec(step(), 0..120)) {
        let mut registry = Registry::new(small());
        let mut connections = vec![];
        let mut substreams = vec![];
        let mut leaving = vec![];
        let mut told: BTreeMap<(RelayConnectionId, PublicKey), bool> = BTreeMap::new();
        let keys: Vec<PublicKey> = (0..4).map(key).collect();
        for step in steps {
            let at = |index: usize| connections.get(index % connections.len().max(1)).copied();
            let outputs = match step {
                Step::Connect(seed) => {
                    match registry.connect(address(seed), 0) {
                        Ok((id, outputs)) => {
                            for output in &outputs {
                                if let Output::Evict(gone) = output {
                                    prop_assert!(!registry.connections.contains_key(gone));
                                    connections.retain(|other| other != gone);
                                    told.retain(|(watcher, _), _| watcher != gone);
                                    leaving.push(*gone);
                                }
                            }
                            connections.push(id);
                            outputs
                        }
                        Err(_) => vec![],
                    }
                }
                Step::Register(index, seed) => match at(index) {
                    // A connection has one key.
                    Some(id) if registry.connections[&id].key.is_none() => registry.register(id, keys[seed as usize]),
                    _ => vec![],
                },
                Step::Disconnect(index) => match at(index) {
                    Some(id) => {
                        connections.retain(|other| *other != id);
                        told.retain(|(watcher, _), _| *watcher != id);
                        registry.disconnect(id)
                    }
                    None => vec![],
                },
                Step::Watch(index, seed) => {
                    at(index).map(|id| registry.watch(id, &[keys[seed as usize]])).unwrap_or_default()
                }
                Step::Unwatch(index, seed) => {
                    if let Some(id) = at(index) {
                        registry.unwatch(id, &[keys[seed as usize]]);
                        told.remove(&(id, keys[seed as usize]));
                    }
                    vec![]
                }
                Step::Open(index, seed) => {
                    if let Some(id) = at(index) {
                        substreams.extend(registry.open(id, keys[seed as usize], 0).map(|(id, _)| id));
                    }
                    vec![]
                }
                Step::Close(index) => {
                    if let Some(id) = substreams.get(index) {
                        registry.close_substream(*id);
                    }
                    vec![]
                }
            };
            for output in outputs {
                match output {
                    Output::Send(id, RelayToNode::Present(key)) => drop(told.insert((id, key), true)),
                    Output::Send(id, RelayToNode::Absent(key)) => drop(told.insert((id, key), false)),
                    _ => {}
                }
            }
            for ((watcher, key), present) in &told {
                prop_assert!(registry.connections[watcher].watched.contains(key));
                prop_assert_eq!(registry.nodes.contains_key(key), *present);
            }
            for connection in registry.connections.values() {
                prop_assert!(connection.substreams <= 4 && connection.from_unwatched <= connection.substreams);
            }
        }
        for id in connections.into_iter().chain(leaving) {
            registry.disconnect(id);
        }
        for id in substreams {
            registry.close_substream(id);
        }
        prop_assert!(registry.connections.is_empty() && registry.nodes.is_empty() && registry.watchers.is_empty());
        prop_assert!(registry.occupancy.total() == 0 && registry.per_pair.is_empty());
        prop_assert!(registry.evicted.is_empty());
        prop_assert!(registry.substreams.is_empty());
    }
}
