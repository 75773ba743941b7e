//! Who is registered, who watches whom, who talks to whom: the decisions of a relay, without any connection.

use crate::limits::Limits;
use crate::rate::Rate;
use offst_crypto::PublicKey;
use offst_proto::relay::{Refusal, RelayToNode};
use offst_secure_channel::Crowd;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Connections at a time that make room for others. While so many have not ended, newcomers wait for them.
const LEAVING_MAX: usize = 64;

/// Names a connection; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(u64);

/// Names a substream from one node to another; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubstreamId(u64);

/// What has to be done. Losing one is harmless when its connection is closed: the node asks again after it has connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Say this to the node.
    Send(ConnectionId, RelayToNode),
    /// Another connection has taken over the node: close this one once everything before was said.
    Close(ConnectionId),
    /// The connection has to make room for another: close it, whether it listens to what was said before or not.
    Evict(ConnectionId),
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    /// Known once the node has registered.
    key: Option<PublicKey>,
    watched: BTreeSet<PublicKey>,
    substreams: usize,
    /// Those of `substreams` that nodes opened which this one does not watch.
    from_strangers: usize,
    /// How often those may call that this node does not watch.
    strangers: Rate,
    /// How often each may call that it watches; of those that have called.
    friends: BTreeMap<PublicKey, Rate>,
}

#[derive(Debug)]
struct Substream {
    source: ConnectionId,
    target: ConnectionId,
    from_stranger: bool,
}

/// The state of a relay.
#[derive(Debug)]
pub struct Registry {
    limits: Limits,
    next_id: u64,
    connections: BTreeMap<ConnectionId, Connection>,
    crowd: Crowd,
    /// Those that were evicted and have not ended yet.
    leaving: BTreeSet<ConnectionId>,
    nodes: BTreeMap<PublicKey, ConnectionId>,
    watchers: BTreeMap<PublicKey, BTreeSet<ConnectionId>>,
    substreams: BTreeMap<SubstreamId, Substream>,
    /// Substreams between two connections, the smaller id first.
    per_pair: BTreeMap<(ConnectionId, ConnectionId), usize>,
}

fn pair(one: ConnectionId, other: ConnectionId) -> (ConnectionId, ConnectionId) {
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
    /// Nobody is there yet.
    pub fn new(limits: Limits) -> Self {
        Registry {
            limits,
            next_id: 0,
            connections: BTreeMap::new(),
            crowd: Crowd::default(),
            leaving: BTreeSet::new(),
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

    /// A connection whose peer is authenticated, from `address`. When the relay is full the newest connection of the
    /// busiest address makes room, unless the newcomer's own address is as busy.
    ///
    /// # Errors
    /// [`Refusal::Connections`] or [`Refusal::Address`].
    pub fn connect(&mut self, address: IpAddr, now_ms: u64) -> Result<(ConnectionId, Vec<Output>), Refusal> {
        if self.crowd.full(address, self.limits.connections_per_address_max).is_some() {
            return Err(Refusal::Address);
        }
        let mut outputs = vec![];
        if self.connections.len() >= self.limits.connections_max {
            let busiest = self.crowd.busier_than(address).filter(|_| self.leaving.len() < LEAVING_MAX);
            let newest = busiest.and_then(|network| self.crowd.newest(network)).ok_or(Refusal::Connections)?;
            self.evict(ConnectionId(newest), &mut outputs);
        }
        let id = ConnectionId(self.fresh_id());
        self.crowd.enter(address, id.0);
        let connection = Connection {
            address,
            key: None,
            watched: BTreeSet::new(),
            substreams: 0,
            from_strangers: 0,
            strangers: Rate::new(self.limits.calls_per_second_from_strangers, now_ms),
            friends: BTreeMap::new(),
        };
        self.connections.insert(id, connection);
        Ok((id, outputs))
    }

    fn evict(&mut self, id: ConnectionId, outputs: &mut Vec<Output>) {
        outputs.push(Output::Send(id, RelayToNode::Refused(Refusal::Connections)));
        outputs.push(Output::Evict(id));
        outputs.extend(self.disconnect(id));
        self.leaving.insert(id);
    }

    /// The node `key` can be called on this connection. An older connection of the same key is displaced; whoever watches
    /// the node hears nothing then, because the node was there all the time.
    pub fn register(&mut self, id: ConnectionId, key: PublicKey) -> Vec<Output> {
        let Some(connection) = self.connections.get_mut(&id) else { return vec![] };
        connection.key = Some(key);
        let mut outputs = vec![Output::Send(id, RelayToNode::Registered)];
        match self.nodes.insert(key, id) {
            Some(older) if older != id => {
                outputs.push(Output::Send(older, RelayToNode::Displaced));
                outputs.push(Output::Close(older));
            }
            Some(_) => {}
            None => self.tell_watchers(key, RelayToNode::Present(key), &mut outputs),
        }
        outputs
    }

    /// The connection is gone, whoever closed it. Its substreams end too; each is reported by
    /// [`Registry::close_substream`].
    pub fn disconnect(&mut self, id: ConnectionId) -> Vec<Output> {
        self.leaving.remove(&id);
        let Some(connection) = self.connections.remove(&id) else { return vec![] };
        self.crowd.leave(connection.address, id.0);
        for key in &connection.watched {
            self.forget_watcher(*key, id);
        }
        let mut outputs = vec![];
        if let Some(key) = connection.key
            && self.nodes.get(&key) == Some(&id)
        {
            self.nodes.remove(&key);
            self.tell_watchers(key, RelayToNode::Absent(key), &mut outputs);
        }
        outputs
    }

    /// The node asks for the presence of `keys`. Each is answered at once, also when it was watched already; those above
    /// the limit are answered together with [`Refusal::Watched`].
    pub fn watch(&mut self, id: ConnectionId, keys: &[PublicKey]) -> Vec<Output> {
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
    pub fn unwatch(&mut self, id: ConnectionId, keys: &[PublicKey]) {
        for &key in keys {
            let was_watched = self.connections.get_mut(&id).is_some_and(|connection| {
                connection.friends.remove(&key);
                connection.watched.remove(&key)
            });
            if was_watched {
                self.forget_watcher(key, id);
            }
        }
    }

    /// The node of connection `source` calls the node `target`: the connection to call it on.
    ///
    /// # Errors
    /// Why not.
    pub fn open(
        &mut self,
        source: ConnectionId,
        target: PublicKey,
        now_ms: u64,
    ) -> Result<(SubstreamId, ConnectionId), Refusal> {
        let caller = self.connections.get(&source).ok_or(Refusal::Absent)?;
        let caller_key = caller.key.ok_or(Refusal::Malformed)?;
        if caller_key == target {
            return Err(Refusal::Itself);
        }
        let target_id = *self.nodes.get(&target).ok_or(Refusal::Absent)?;
        let called = self.connections.get(&target_id).ok_or(Refusal::Absent)?;
        if caller.substreams >= self.limits.substreams_per_node_max {
            return Err(Refusal::Substreams);
        }
        let of_pair = self.per_pair.get(&pair(source, target_id)).copied().unwrap_or(0);
        if of_pair >= self.limits.substreams_per_pair_max {
            return Err(Refusal::Pair);
        }
        let from_stranger = !called.watched.contains(&caller_key);
        let strangers_max = self.limits.substreams_per_node_max.div_ceil(2);
        if called.substreams >= self.limits.substreams_per_node_max
            || (from_stranger && called.from_strangers >= strangers_max)
        {
            return Err(Refusal::TargetSubstreams);
        }
        if !self.may_call(caller_key, target_id, now_ms) {
            return Err(Refusal::Busy);
        }
        self.per_pair.insert(pair(source, target_id), of_pair + 1);
        for id in [source, target_id] {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.substreams += 1;
                connection.from_strangers += usize::from(from_stranger && id == target_id);
            }
        }
        let id = SubstreamId(self.fresh_id());
        self.substreams.insert(id, Substream { source, target: target_id, from_stranger });
        Ok((id, target_id))
    }

    /// Whether the node of connection `target` is not called too often, if it is called once more. A call that is refused
    /// for another reason costs it nothing, so it is not counted.
    fn may_call(&mut self, caller: PublicKey, target: ConnectionId, now_ms: u64) -> bool {
        let Some(called) = self.connections.get_mut(&target) else { return false };
        let rate = if called.watched.contains(&caller) {
            let per_second = self.limits.calls_per_second_per_pair;
            called.friends.entry(caller).or_insert_with(|| Rate::new(per_second, now_ms))
        } else {
            &mut called.strangers
        };
        let may = rate.wait_ms(now_ms) == 0;
        if may {
            rate.spend(1);
        }
        may
    }

    /// The substream is gone, whoever closed it.
    pub fn close_substream(&mut self, id: SubstreamId) {
        let Some(substream) = self.substreams.remove(&id) else { return };
        decrease(&mut self.per_pair, pair(substream.source, substream.target));
        for end in [substream.source, substream.target] {
            if let Some(connection) = self.connections.get_mut(&end) {
                connection.substreams -= 1;
                connection.from_strangers -= usize::from(substream.from_stranger && end == substream.target);
            }
        }
    }

    fn tell_watchers(&self, key: PublicKey, message: RelayToNode, outputs: &mut Vec<Output>) {
        let watchers = self.watchers.get(&key).into_iter().flatten();
        outputs.extend(watchers.map(|watcher| Output::Send(*watcher, message)));
    }

    fn forget_watcher(&mut self, key: PublicKey, id: ConnectionId) {
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
