//! Which nodes are registered, watch each other and are connected: the decisions of a relay, without sockets.

use crate::limits::Limits;
use crate::rate::Rate;
use offst_crypto::PublicKey;
use offst_proto::relay::{Refusal, RelayToNode};
use offst_secure_channel::Occupancy;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Evicted connections that have not ended yet. While there are so many, new connections are refused.
const EVICTED_MAX: usize = 64;

/// Names a connection; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelayConnectionId(u64);

/// Names a substream from one node to another; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubstreamId(u64);

/// What has to be done. Losing one is harmless when its connection is closed: the node asks again after it has connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Send this message to the node.
    Send(RelayConnectionId, RelayToNode),
    /// Another connection has taken over the node: close this one once everything before was sent.
    Close(RelayConnectionId),
    /// The connection has to make room for another: close it, whether it reads what was sent before or not.
    Evict(RelayConnectionId),
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    /// Known once the node has registered.
    key: Option<PublicKey>,
    watched: BTreeSet<PublicKey>,
    substreams: usize,
    /// Those of `substreams` that nodes opened which this one does not watch.
    from_unwatched: usize,
    /// How often nodes that this one does not watch may open a substream to it.
    unwatched_rate: Rate,
    /// The same for each node that it watches and that has opened one.
    watched_rates: BTreeMap<PublicKey, Rate>,
}

#[derive(Debug)]
struct Substream {
    source: RelayConnectionId,
    target: RelayConnectionId,
    is_unwatched: bool,
}

/// The state of a relay.
#[derive(Debug)]
pub struct Registry {
    limits: Limits,
    next_id: u64,
    connections: BTreeMap<RelayConnectionId, Connection>,
    occupancy: Occupancy,
    /// Those that were evicted and have not ended yet.
    evicted: BTreeSet<RelayConnectionId>,
    nodes: BTreeMap<PublicKey, RelayConnectionId>,
    watchers: BTreeMap<PublicKey, BTreeSet<RelayConnectionId>>,
    substreams: BTreeMap<SubstreamId, Substream>,
    /// Substreams between two connections, the smaller id first.
    per_pair: BTreeMap<(RelayConnectionId, RelayConnectionId), usize>,
}

fn pair(one: RelayConnectionId, other: RelayConnectionId) -> (RelayConnectionId, RelayConnectionId) {
    (one.min(other), one.max(other))
}

/// Takes one away from a count and forgets it at zero.
fn decrease<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

impl Registry {
    /// Without connections.
    pub fn new(limits: Limits) -> Self {
        Registry {
            limits,
            next_id: 0,
            connections: BTreeMap::new(),
            occupancy: Occupancy::default(),
            evicted: BTreeSet::new(),
            nodes: BTreeMap::new(),
            watchers: BTreeMap::new(),
            substreams: BTreeMap::new(),
            per_pair: BTreeMap::new(),
        }
    }

    /// Number of registered nodes.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Number of open substreams.
    pub fn substreams(&self) -> usize {
        self.substreams.len()
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A connection whose peer is authenticated, from `address`. When the relay is full, the newest connection of the
    /// busiest address is evicted, unless the new one's own address is as busy.
    ///
    /// # Errors
    /// [`Refusal::Connections`] or [`Refusal::Address`].
    /// (R4.14.)
    pub fn connect(&mut self, address: IpAddr, now_ms: u64) -> Result<(RelayConnectionId, Vec<Output>), Refusal> {
        if self.occupancy.full(address, self.limits.connections_per_address_max).is_some() {
            return Err(Refusal::Address);
        }
        let mut outputs = vec![];
        if self.connections.len() >= self.limits.connections_max {
            let busiest = self.occupancy.busier_than(address).filter(|_| self.evicted.len() < EVICTED_MAX);
            let newest = busiest.and_then(|network| self.occupancy.newest(network)).ok_or(Refusal::Connections)?;
            self.evict(RelayConnectionId(newest), &mut outputs);
        }
        let id = RelayConnectionId(self.fresh_id());
        self.occupancy.insert(address, id.0);
        let connection = Connection {
            address,
            key: None,
            watched: BTreeSet::new(),
            substreams: 0,
            from_unwatched: 0,
            unwatched_rate: Rate::new(self.limits.calls_per_second_from_strangers, now_ms),
            watched_rates: BTreeMap::new(),
        };
        self.connections.insert(id, connection);
        Ok((id, outputs))
    }

    fn evict(&mut self, id: RelayConnectionId, outputs: &mut Vec<Output>) {
        outputs.push(Output::Send(id, RelayToNode::Refused(Refusal::Connections)));
        outputs.push(Output::Evict(id));
        outputs.extend(self.disconnect(id));
        self.evicted.insert(id);
    }

    /// The node `key` can be reached over this connection. An older connection of the same key is displaced; nodes that watch
    /// it are not told, because it was there all the time.
    /// (R4.2.)
    pub fn register(&mut self, id: RelayConnectionId, key: PublicKey) -> Vec<Output> {
        let Some(connection) = self.connections.get_mut(&id) else { return vec![] };
        connection.key = Some(key);
        let mut outputs = vec![Output::Send(id, RelayToNode::Registered)];
        match self.nodes.insert(key, id) {
            Some(older) if older != id => {
                outputs.push(Output::Send(older, RelayToNode::Displaced));
                outputs.push(Output::Close(older));
            }
            Some(_) => {}
            None => self.notify_watchers(key, RelayToNode::Present(key), &mut outputs),
        }
        outputs
    }

    /// The connection is gone, on either side's initiative. Its substreams end too; each is reported by
    /// [`Registry::close_substream`].
    pub fn disconnect(&mut self, id: RelayConnectionId) -> Vec<Output> {
        self.evicted.remove(&id);
        let Some(connection) = self.connections.remove(&id) else { return vec![] };
        self.occupancy.remove(connection.address, id.0);
        for key in &connection.watched {
            self.forget_watcher(*key, id);
        }
        let mut outputs = vec![];
        if let Some(key) = connection.key
            && self.nodes.get(&key) == Some(&id)
        {
            self.nodes.remove(&key);
            self.notify_watchers(key, RelayToNode::Absent(key), &mut outputs);
        }
        outputs
    }

    /// The node asks for the presence of `keys`. Each is answered at once, also when it was watched already; those above
    /// the limit are answered together with [`Refusal::Watched`].
    pub fn watch(&mut self, id: RelayConnectionId, keys: &[PublicKey]) -> Vec<Output> {
        let Some(connection) = self.connections.get_mut(&id) else { return vec![] };
        let mut outputs = vec![];
        let mut refused = false;
        for &key in keys {
            if !connection.watched.contains(&key) {
                if connection.watched.len() >= self.limits.watched_per_node_max {
                    refused = true;
                    continue;
                }
                connection.watched.insert(key);
                self.watchers.entry(key).or_default().insert(id);
            }
            let is_present = self.nodes.contains_key(&key);
            let message = if is_present { RelayToNode::Present(key) } else { RelayToNode::Absent(key) };
            outputs.push(Output::Send(id, message));
        }
        if refused {
            outputs.push(Output::Send(id, RelayToNode::Refused(Refusal::Watched)));
        }
        outputs
    }

    /// The node no longer asks for the presence of `keys`.
    pub fn unwatch(&mut self, id: RelayConnectionId, keys: &[PublicKey]) {
        for &key in keys {
            let was_watched = self.connections.get_mut(&id).is_some_and(|connection| {
                connection.watched_rates.remove(&key);
                connection.watched.remove(&key)
            });
            if was_watched {
                self.forget_watcher(key, id);
            }
        }
    }

    /// The node of connection `source` opens a substream to the node `target`. Gives the connection of that node.
    ///
    /// # Errors
    /// Why not.
    pub fn open(
        &mut self,
        source: RelayConnectionId,
        target: PublicKey,
        now_ms: u64,
    ) -> Result<(SubstreamId, RelayConnectionId), Refusal> {
        let source_connection = self.connections.get(&source).ok_or(Refusal::Absent)?;
        let source_key = source_connection.key.ok_or(Refusal::Malformed)?;
        if source_key == target {
            return Err(Refusal::Itself);
        }
        let target_id = *self.nodes.get(&target).ok_or(Refusal::Absent)?;
        let target_connection = self.connections.get(&target_id).ok_or(Refusal::Absent)?;
        if source_connection.substreams >= self.limits.substreams_per_node_max {
            return Err(Refusal::Substreams);
        }
        let of_pair = self.per_pair.get(&pair(source, target_id)).copied().unwrap_or(0);
        if of_pair >= self.limits.substreams_per_pair_max {
            return Err(Refusal::Pair);
        }
        let is_unwatched = !target_connection.watched.contains(&source_key);
        let unwatched_max = self.limits.substreams_per_node_max.div_ceil(2);
        if target_connection.substreams >= self.limits.substreams_per_node_max
            || (is_unwatched && target_connection.from_unwatched >= unwatched_max)
        {
            return Err(Refusal::TargetSubstreams);
        }
        if !self.is_within_rate(source_key, target_id, now_ms) {
            return Err(Refusal::Busy);
        }
        self.per_pair.insert(pair(source, target_id), of_pair + 1);
        for id in [source, target_id] {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.substreams += 1;
                connection.from_unwatched += usize::from(is_unwatched && id == target_id);
            }
        }
        let id = SubstreamId(self.fresh_id());
        self.substreams.insert(id, Substream { source, target: target_id, is_unwatched });
        Ok((id, target_id))
    }

    /// Whether one more substream to the node of connection `target` is within the rates. A request that is refused for
    /// another reason costs that node nothing, so it is not counted.
    /// (R4.12.)
    fn is_within_rate(&mut self, source: PublicKey, target: RelayConnectionId, now_ms: u64) -> bool {
        let Some(target_connection) = self.connections.get_mut(&target) else { return false };
        let rate = if target_connection.watched.contains(&source) {
            let per_second = self.limits.calls_per_second_per_pair;
            target_connection.watched_rates.entry(source).or_insert_with(|| Rate::new(per_second, now_ms))
        } else {
            &mut target_connection.unwatched_rate
        };
        let is_within = rate.wait_ms(now_ms) == 0;
        if is_within {
            rate.spend(1);
        }
        is_within
    }

    /// The substream is gone, on either side's initiative.
    pub fn close_substream(&mut self, id: SubstreamId) {
        let Some(substream) = self.substreams.remove(&id) else { return };
        decrease(&mut self.per_pair, pair(substream.source, substream.target));
        for end in [substream.source, substream.target] {
            if let Some(connection) = self.connections.get_mut(&end) {
                connection.substreams -= 1;
                connection.from_unwatched -= usize::from(substream.is_unwatched && end == substream.target);
            }
        }
    }

    fn notify_watchers(&self, key: PublicKey, message: RelayToNode, outputs: &mut Vec<Output>) {
        let watchers = self.watchers.get(&key).into_iter().flatten();
        outputs.extend(watchers.map(|watcher| Output::Send(*watcher, message)));
    }

    fn forget_watcher(&mut self, key: PublicKey, id: RelayConnectionId) {
        if let Some(watchers) = self.watchers.get_mut(&key) {
            watchers.remove(&id);
            if watchers.is_empty() {
                self.watchers.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
