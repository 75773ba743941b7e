//! The decisions. Every method takes an event and the time, and returns the actions that follow.

use offst_crypto::PublicKey;
use offst_proto::ticket::{Address, ServerTicket};
use offst_secure_channel::Backoff;
use std::collections::{BTreeMap, BTreeSet};

/// When to dial and for how long to wait, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialTiming {
    /// The first pause after a failed attempt.
    pub reconnect_min_ms: u64,
    /// The longest pause.
    pub reconnect_max_ms: u64,
    /// How long the side with the larger key waits before it dials, too.
    pub dial_delay_ms: u64,
    /// Two connections that come up within this time, one from each side, have crossed.
    pub crossing_ms: u64,
    /// A connection over a relay is that old before the friend is dialled at its own address beside it. Longer than
    /// `crossing_ms`, so that both sides take the new connection for a later one.
    pub direct_after_ms: u64,
    /// The longest pause before a friend that can be reached over a relay is dialled again at its own address.
    pub direct_max_ms: u64,
    /// How long a connection to a friend's own address has to hold before the pauses begin anew.
    pub direct_steady_ms: u64,
}

impl Default for DialTiming {
    fn default() -> Self {
        DialTiming {
            reconnect_min_ms: 200,
            reconnect_max_ms: 30_000,
            dial_delay_ms: 2_000,
            crossing_ms: 5_000,
            direct_after_ms: 10_000,
            direct_max_ms: 600_000,
            direct_steady_ms: 60_000,
        }
    }
}

/// Where a friend can be dialled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoints {
    /// Its relays.
    pub relays: Vec<ServerTicket>,
    /// Its own address, for dialling it without a relay.
    pub address: Option<Address>,
}

/// A connection to a friend whose hellos are exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Names the connection; later ones have larger numbers.
    pub id: u64,
    /// Whether we dialled.
    pub dialled: bool,
    /// Whether it goes without a relay.
    pub direct: bool,
    /// Tells one run of the friend's node from the next.
    pub incarnation: u64,
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Connect to this relay.
    ConnectRelay(ServerTicket),
    /// Close the connection to this relay, or stop connecting.
    DropRelay(PublicKey),
    /// Ask the relay (first) for the presence of these friends.
    Watch(PublicKey, Vec<PublicKey>),
    /// No longer ask the relay (first) for them.
    Unwatch(PublicKey, Vec<PublicKey>),
    /// Dial the friend (first) at the relay (second).
    Dial(PublicKey, PublicKey),
    /// Dial the friend at its own address.
    DialDirect(PublicKey, Address),
    /// Close this connection to a friend.
    Close(u64),
}

/// What is done with a new connection to a friend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkDecision {
    /// It is used; the older one, if there is one, is closed.
    Use {
        /// The older one.
        replaces: Option<u64>,
    },
    /// It is closed: another one stays, or the peer is no friend.
    Reject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RelayState {
    /// Connect at this time.
    Waiting(u64),
    Connecting,
    Connected,
    /// Another node with our key has replaced us.
    Displaced,
}

#[derive(Debug)]
struct Relay {
    ticket: ServerTicket,
    state: RelayState,
    backoff: Backoff,
    present: BTreeSet<PublicKey>,
    watched: BTreeSet<PublicKey>,
}

/// A dial in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialling {
    Direct,
    Relay,
}

#[derive(Debug, Default)]
struct Friend {
    endpoints: Endpoints,
    link: Option<(Link, u64)>,
    dialling: Option<Dialling>,
    dial_at: Option<u64>,
    /// The relay of the last dial: the next one goes to another, if the friend is there too.
    dialled_at: Option<PublicKey>,
    backoff: Backoff,
    /// Pauses between dials to its own address. The address is only what the friend says, so nothing that the friend or
    /// a relay can do at will shortens them: neither to appear again nor to tell another address.
    direct_backoff: Backoff,
    /// Not before this time it is dialled at its own address.
    direct_at: u64,
    /// The same when it cannot be reached otherwise. Not after `direct_at`.
    only_direct_at: u64,
}

impl Friend {
    /// A dial of its own address failed.
    /// (R4.7.)
    fn direct_failed(&mut self, timing: &DialTiming, now_ms: u64, random: u64) {
        let pause = self.direct_backoff.fail(timing.reconnect_min_ms, timing.direct_max_ms, random);
        self.direct_at = now_ms.saturating_add(pause);
        let half = (timing.reconnect_max_ms / 2).max(1);
        self.only_direct_at = now_ms.saturating_add(pause.min(half + random % half));
    }
}

/// Decides where a node listens and whom it dials.
#[derive(Debug)]
pub struct Channeler {
    local: PublicKey,
    timing: DialTiming,
    /// Friends can dial this node without a relay.
    accepts_direct: bool,
    /// The relays that this node listens at.
    own: BTreeMap<PublicKey, ServerTicket>,
    relays: BTreeMap<PublicKey, Relay>,
    friends: BTreeMap<PublicKey, Friend>,
    /// Which friends listen at each relay.
    friends_at: BTreeMap<PublicKey, BTreeSet<PublicKey>>,
    /// When friends are dialled: the time, ms, and the friend. Friends that cannot be reached now are not in it.
    due: BTreeSet<(u64, PublicKey)>,
    /// Relays where another node with our key has replaced us: whatever is configured later, this run does not connect there again.
    displaced: BTreeSet<PublicKey>,
}

impl Channeler {
    /// A node without relays and friends.
    pub fn new(local: PublicKey, timing: DialTiming) -> Self {
        Channeler {
            local,
            timing,
            accepts_direct: false,
            own: BTreeMap::new(),
            relays: BTreeMap::new(),
            friends: BTreeMap::new(),
            friends_at: BTreeMap::new(),
            due: BTreeSet::new(),
            displaced: BTreeSet::new(),
        }
    }

    /// Says that this node listens for friends itself. It then waits for the dials of friends that it could only dial over
    /// a relay, because they may reach it without one.
    pub fn listen_for_friends(&mut self) {
        self.accepts_direct = true;
    }

    /// Sets the relays that this node listens at.
    pub fn set_relays(&mut self, relays: Vec<ServerTicket>, now_ms: u64) -> Vec<Action> {
        let own = relays.into_iter().map(|ticket| (ticket.public_key, ticket)).collect();
        let before = std::mem::replace(&mut self.own, own);
        let concerned: BTreeSet<_> = before.keys().chain(self.own.keys()).copied().collect();
        let mut actions = Vec::new();
        for key in concerned {
            actions.extend(self.update_relay(key, now_ms));
            actions.extend(self.update_watches(key));
        }
        actions.extend(self.tick(now_ms));
        actions
    }

    /// Sets where a friend is reached; none: it is no friend any more. The cost does not depend on the number
    /// of friends.
    pub fn set_endpoints(&mut self, key: PublicKey, endpoints: Option<Endpoints>, now_ms: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        let relays_of = |endpoints: &Endpoints| -> BTreeSet<PublicKey> {
            endpoints.relays.iter().map(|ticket| ticket.public_key).collect()
        };
        let before = self.friends.get(&key).map(|friend| relays_of(&friend.endpoints)).unwrap_or_default();
        let after = endpoints.as_ref().map(relays_of).unwrap_or_default();
        match endpoints {
            Some(endpoints) => self.friends.entry(key).or_default().endpoints = endpoints,
            None => {
                if let Some(friend) = self.friends.remove(&key) {
                    self.due.remove(&(friend.dial_at.unwrap_or_default(), key));
                    actions.extend(friend.link.map(|(link, _)| Action::Close(link.id)));
                }
            }
        }
        for relay in &before - &after {
            let friends = self.friends_at.get_mut(&relay).expect("a friend is listed at its relays");
            friends.remove(&key);
            if friends.is_empty() {
                self.friends_at.remove(&relay);
            }
        }
        for relay in &after {
            self.friends_at.entry(*relay).or_default().insert(key);
        }
        for relay in &before | &after {
            actions.extend(self.update_relay(relay, now_ms));
        }
        let own: BTreeSet<_> = self.own.keys().copied().collect();
        for relay in &(&own | &before) | &after {
            actions.extend(self.update_watch(relay, key));
        }
        self.plan_direct(key, now_ms);
        actions.extend(self.tick(now_ms));
        actions
    }

    /// The ticket of a relay that is used now: our own, if we listen there.
    fn wanted_ticket(&self, relay: PublicKey) -> Option<&ServerTicket> {
        self.own.get(&relay).or_else(|| {
            let friend = self.friends_at.get(&relay)?.last().expect("relays without friends are not kept");
            self.friends[friend].endpoints.relays.iter().rev().find(|ticket| ticket.public_key == relay)
        })
    }

    /// Makes the connection to one relay agree with what is wanted.
    fn update_relay(&mut self, key: PublicKey, now_ms: u64) -> Option<Action> {
        let wanted = self.wanted_ticket(key).cloned();
        let known = self.relays.get(&key);
        if known.map(|relay| &relay.ticket) == wanted.as_ref() {
            return None;
        }
        let dropped = self.relays.remove(&key).filter(|relay| relay.state != RelayState::Displaced);
        if let Some(ticket) = wanted {
            let state = match self.displaced.contains(&key) {
                true => RelayState::Displaced,
                false => RelayState::Waiting(now_ms),
            };
            let (present, watched) = (BTreeSet::new(), BTreeSet::new());
            self.relays.insert(key, Relay { ticket, state, backoff: Backoff::default(), present, watched });
        }
        dropped.map(|_| Action::DropRelay(key))
    }

    /// Whether a friend may appear at a relay: at our own every friend, elsewhere only those that listen there.
    fn may_appear(&self, relay: PublicKey, friend: PublicKey) -> bool {
        let listens_there = self.friends_at.get(&relay).is_some_and(|friends| friends.contains(&friend));
        self.friends.contains_key(&friend) && (self.own.contains_key(&relay) || listens_there)
    }

    /// Watches one friend at a relay, or no longer.
    fn update_watch(&mut self, key: PublicKey, friend: PublicKey) -> Option<Action> {
        let may_appear = self.may_appear(key, friend);
        let relay = self.relays.get_mut(&key).filter(|relay| relay.state == RelayState::Connected)?;
        if may_appear {
            return relay.watched.insert(friend).then(|| Action::Watch(key, vec![friend]));
        }
        relay.present.remove(&friend);
        relay.watched.remove(&friend).then(|| Action::Unwatch(key, vec![friend]))
    }

    /// The same for all friends.
    fn update_watches(&mut self, key: PublicKey) -> Vec<Action> {
        let wanted: BTreeSet<PublicKey> = match self.own.contains_key(&key) {
            true => self.friends.keys().copied().collect(),
            false => self.friends_at.get(&key).cloned().unwrap_or_default(),
        };
        let Some(relay) = self.relays.get_mut(&key).filter(|relay| relay.state == RelayState::Connected) else {
            return Vec::new();
        };
        let more: Vec<_> = wanted.difference(&relay.watched).copied().collect();
        let less: Vec<_> = relay.watched.difference(&wanted).copied().collect();
        relay.present.retain(|friend| wanted.contains(friend));
        relay.watched = wanted;
        let mut actions = Vec::new();
        if !more.is_empty() {
            actions.push(Action::Watch(key, more));
        }
        if !less.is_empty() {
            actions.push(Action::Unwatch(key, less));
        }
        actions
    }

    /// We are registered at a relay.
    pub fn relay_connected(&mut self, key: PublicKey) -> Vec<Action> {
        if let Some(relay) = self.relays.get_mut(&key) {
            relay.state = RelayState::Connected;
            relay.backoff.reset();
            relay.watched.clear();
            relay.present.clear();
        }
        self.update_watches(key)
    }

    /// A connection to a relay ended or did not come about. `random` is any number.
    /// (R4.3.)
    pub fn relay_closed(&mut self, key: PublicKey, displaced: bool, now_ms: u64, random: u64) {
        let Some(relay) = self.relays.get_mut(&key) else { return };
        relay.present.clear();
        relay.watched.clear();
        if relay.state == RelayState::Displaced {
            return;
        }
        relay.state = if displaced {
            self.displaced.insert(key);
            RelayState::Displaced
        } else {
            let pause = relay.backoff.fail(self.timing.reconnect_min_ms, self.timing.reconnect_max_ms, random);
            RelayState::Waiting(now_ms.saturating_add(pause))
        };
    }

    /// A relay says whether a friend is there.
    pub fn presence(&mut self, relay: PublicKey, friend: PublicKey, present: bool, now_ms: u64) -> Vec<Action> {
        let Some(entry) = self.relays.get_mut(&relay) else { return Vec::new() };
        if !entry.watched.contains(&friend) {
            return Vec::new();
        }
        if present {
            entry.present.insert(friend);
            self.plan_dial(friend, now_ms);
        } else {
            entry.present.remove(&friend);
        }
        self.dial_due(now_ms)
    }

    /// Sets when a friend is dialled.
    fn set_dial(&mut self, key: PublicKey, at: Option<u64>) {
        let Some(friend) = self.friends.get_mut(&key) else { return };
        if let Some(planned) = std::mem::replace(&mut friend.dial_at, at) {
            self.due.remove(&(planned, key));
        }
        self.due.extend(at.map(|at| (at, key)));
    }

    /// How long this side waits for the other side to dial, ms. The side that needs no relay dials first, so that friends with an
    /// address are not connected over a relay only because their keys are smaller.
    /// (R4.4.)
    fn dial_delay(&self, key: PublicKey) -> u64 {
        let dials_direct = self.friends.get(&key).is_some_and(|friend| friend.endpoints.address.is_some());
        let is_first = if dials_direct == self.accepts_direct { self.local < key } else { dials_direct };
        if is_first { 0 } else { self.timing.dial_delay_ms }
    }

    /// Dials a friend at this time, or when it was planned before if that is sooner, unless there is no need.
    fn dial_by(&mut self, key: PublicKey, at: u64) {
        let Some(friend) = self.friends.get(&key) else { return };
        if friend.link.is_none() && friend.dialling.is_none() {
            let at = friend.dial_at.map_or(at, |planned| planned.min(at));
            self.set_dial(key, Some(at));
        }
    }

    /// A friend has just appeared at a relay: it is dialled now, or after the dial delay.
    /// (R4.5.)
    fn plan_dial(&mut self, key: PublicKey, now_ms: u64) {
        let delay = self.dial_delay(key);
        let Some(friend) = self.friends.get_mut(&key) else { return };
        if friend.link.is_none() && friend.dialling.is_none() {
            friend.backoff.reset();
            // A relay that says so again and again does not defer the dial.
            self.dial_by(key, now_ms.saturating_add(delay));
        }
    }

    /// A friend with an address need not appear at a relay: it is dialled as soon as it may be. If it is connected over a relay
    /// it is dialled beside that connection, which stays until the direct one is up.
    /// (R4.6.)
    fn plan_direct(&mut self, key: PublicKey, now_ms: u64) {
        let delay = self.dial_delay(key);
        let Some(friend) = self.friends.get(&key) else { return };
        match friend.link {
            _ if friend.endpoints.address.is_none() || friend.dialling.is_some() => {}
            None => self.dial_by(key, now_ms.max(friend.only_direct_at)),
            Some((link, _)) if link.direct => {}
            Some((_, since)) => {
                let at = since.saturating_add(self.timing.direct_after_ms).saturating_add(delay);
                self.set_dial(key, Some(at.max(now_ms).max(friend.direct_at)));
            }
        }
    }

    /// A dial failed. One to the friend's own address is followed by one over a relay at once. `random` is
    /// any number.
    pub fn dial_failed(&mut self, key: PublicKey, now_ms: u64, random: u64) -> Vec<Action> {
        let Some(friend) = self.friends.get_mut(&key) else { return Vec::new() };
        let dialling = friend.dialling.take();
        if dialling == Some(Dialling::Direct) {
            friend.direct_failed(&self.timing, now_ms, random);
        }
        if friend.link.is_some() {
            self.plan_direct(key, now_ms);
            return Vec::new();
        }
        if dialling == Some(Dialling::Direct) {
            self.set_dial(key, Some(now_ms));
            return self.dial_due(now_ms);
        }
        let pause = friend.backoff.fail(self.timing.reconnect_min_ms, self.timing.reconnect_max_ms, random);
        self.set_dial(key, Some(now_ms.saturating_add(pause)));
        Vec::new()
    }

    /// Whether this is a friend whose connections are wanted.
    pub fn is_wanted(&self, key: &PublicKey) -> bool {
        self.friends.contains_key(key)
    }

    /// A connection to a friend is up: is it used?
    /// (R4.4.)
    pub fn link_up(&mut self, key: PublicKey, link: Link, now_ms: u64) -> LinkDecision {
        let smaller_dialled = |link: &Link| link.dialled == (self.local < key);
        let Some(friend) = self.friends.get_mut(&key) else { return LinkDecision::Reject };
        if link.dialled {
            friend.dialling = None;
        }
        let replaces = match &friend.link {
            None => None,
            Some((old, since)) => {
                let have_crossed = old.incarnation == link.incarnation
                    && now_ms.saturating_sub(*since) < self.timing.crossing_ms
                    && old.dialled != link.dialled;
                if have_crossed && smaller_dialled(old) {
                    self.plan_direct(key, now_ms);
                    return LinkDecision::Reject;
                }
                Some(old.id)
            }
        };
        friend.link = Some((link, now_ms));
        self.set_dial(key, None);
        self.plan_direct(key, now_ms);
        LinkDecision::Use { replaces }
    }

    /// A connection to a friend is gone.
    pub fn link_down(&mut self, key: PublicKey, id: u64, now_ms: u64, random: u64) {
        let Some(friend) = self.friends.get_mut(&key) else { return };
        let Some((link, since)) = friend.link.filter(|(link, _)| link.id == id) else { return };
        friend.link = None;
        let held_ms = now_ms.saturating_sub(since);
        // Only a connection that has held for a while resets the pauses: one that fails at once must not be made again in a
        // tight loop.
        let timing = self.timing;
        if held_ms >= timing.crossing_ms {
            friend.backoff.reset();
        }
        if link.direct && link.dialled {
            if held_ms >= timing.direct_steady_ms {
                friend.direct_backoff.reset();
            } else {
                friend.direct_failed(&timing, now_ms, random);
            }
        }
        let pause = friend.backoff.fail(timing.reconnect_min_ms, timing.reconnect_max_ms, random);
        // A dial in progress decides first.
        let is_dialling = friend.dialling.is_some();
        let at = now_ms.saturating_add(self.dial_delay(key)).saturating_add(pause);
        self.set_dial(key, (!is_dialling).then_some(at));
    }

    /// Does what is due.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        for relay in self.relays.values_mut() {
            if matches!(relay.state, RelayState::Waiting(at) if at <= now_ms) {
                relay.state = RelayState::Connecting;
                actions.push(Action::ConnectRelay(relay.ticket.clone()));
            }
        }
        actions.extend(self.dial_due(now_ms));
        actions
    }

    fn dial_due(&mut self, now_ms: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some((_, key)) = self.due.first().copied().filter(|(at, _)| *at <= now_ms) {
            self.set_dial(key, None);
            let friend = self.friends.get_mut(&key).expect("only friends are due");
            // In turn: a relay that says a friend is there and then does not connect must not keep us from the others.
            let mut relays =
                self.relays.iter().filter(|(_, relay)| relay.present.contains(&key)).map(|(relay, _)| *relay);
            let first = relays.next();
            let next = first.into_iter().chain(relays).find(|relay| Some(*relay) > friend.dialled_at).or(first);
            let direct_at =
                if next.is_some() || friend.link.is_some() { friend.direct_at } else { friend.only_direct_at };
            match (friend.endpoints.address.clone(), next) {
                (Some(address), _) if direct_at <= now_ms => {
                    friend.dialling = Some(Dialling::Direct);
                    actions.push(Action::DialDirect(key, address));
                }
                (_, Some(relay)) if friend.link.is_none() => {
                    friend.dialling = Some(Dialling::Relay);
                    friend.dialled_at = Some(relay);
                    actions.push(Action::Dial(key, relay));
                }
                (Some(_), _) => self.set_dial(key, Some(direct_at)),
                (None, _) => {}
            }
        }
        actions
    }

    /// When [`Channeler::tick`] has something to do next, ms.
    pub fn next_deadline(&self) -> Option<u64> {
        let relays = self.relays.values().filter_map(|relay| match relay.state {
            RelayState::Waiting(at) => Some(at),
            _ => None,
        });
        relays.chain(self.due.first().map(|(at, _)| *at)).min()
    }
}
