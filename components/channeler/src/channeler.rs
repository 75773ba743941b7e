//! The decisions. Every method takes what happened and the time, and gives back what to do.

use offst_crypto::PublicKey;
use offst_proto::ticket::{Address, ServerTicket};
use offst_secure_channel::Backoff;
use std::collections::{BTreeMap, BTreeSet};

/// Durations, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The first pause after a failed attempt.
    pub reconnect_min_ms: u64,
    /// The longest pause.
    pub reconnect_max_ms: u64,
    /// How long the side with the larger key leaves the dialling to the other.
    pub courtesy_ms: u64,
    /// Two connections that come up within this time have crossed.
    pub crossing_ms: u64,
    /// A connection over a relay is that old before the friend is dialled at its own address beside it. Longer than
    /// `crossing_ms`, so that both sides take the new connection for a later one.
    pub direct_after_ms: u64,
    /// The longest pause before a friend that can be met at a relay is dialled again at its own address.
    pub direct_max_ms: u64,
    /// How long a connection to a friend's own address has to hold before the pauses begin anew.
    pub direct_steady_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            reconnect_min_ms: 200,
            reconnect_max_ms: 30_000,
            courtesy_ms: 2_000,
            crossing_ms: 5_000,
            direct_after_ms: 10_000,
            direct_max_ms: 600_000,
            direct_steady_ms: 60_000,
        }
    }
}

/// Where a friend can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contact {
    /// Its relays.
    pub relays: Vec<ServerTicket>,
    /// Where it is called without a relay.
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

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Connect to this relay.
    ConnectRelay(ServerTicket),
    /// Close the connection to this relay, or stop connecting.
    DropRelay(PublicKey),
    /// Ask the relay (first) for the presence of these friends.
    Watch(PublicKey, Vec<PublicKey>),
    /// Ask the relay (first) no longer for them.
    Unwatch(PublicKey, Vec<PublicKey>),
    /// Dial the friend (first) at the relay (second).
    Dial(PublicKey, PublicKey),
    /// Dial the friend at its own address.
    DialDirect(PublicKey, Address),
    /// Close this connection to a friend.
    Close(u64),
}

/// What becomes of a new connection to a friend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is used; the older one, if there is one, is closed.
    Use {
        /// The older one.
        replaces: Option<u64>,
    },
    /// It is closed: another one stays, or nobody wants it.
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RelayState {
    /// Connect at this time.
    Waiting(u64),
    Connecting,
    Connected,
    /// Another node with our key took our place.
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

/// A dial that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialling {
    Direct,
    Relay,
}

#[derive(Debug, Default)]
struct Friend {
    contact: Contact,
    link: Option<(Link, u64)>,
    dialling: Option<Dialling>,
    dial_at: Option<u64>,
    /// The relay of the last dial: the next one goes to another, if the friend is there too.
    dialled_at: Option<PublicKey>,
    backoff: Backoff,
    /// Pauses between dials to its own address. The address is the friend's word, so nothing that the friend or a relay can do
    /// at will shortens them: neither to turn up again nor to tell another address.
    direct_backoff: Backoff,
    /// It is not dialled at its own address before.
    direct_at: u64,
    /// The same when there is no other way to it. Not after `direct_at`.
    only_direct_at: u64,
}

impl Friend {
    /// Its own address was of no use.
    fn direct_failed(&mut self, timing: &Timing, now_ms: u64, random: u64) {
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
    timing: Timing,
    /// Friends can call this node without a relay.
    is_callable: bool,
    own: BTreeMap<PublicKey, ServerTicket>,
    relays: BTreeMap<PublicKey, Relay>,
    friends: BTreeMap<PublicKey, Friend>,
    /// Which friends listen at each relay.
    users: BTreeMap<PublicKey, BTreeSet<PublicKey>>,
    /// When friends are dialled: the time, ms, and the friend. Who is away is not in it.
    due: BTreeSet<(u64, PublicKey)>,
    /// Where another node with our key took our place: whatever is configured later, this run does not go there again.
    displaced: BTreeSet<PublicKey>,
}

impl Channeler {
    /// A node without relays and friends.
    pub fn new(local: PublicKey, timing: Timing) -> Self {
        Channeler {
            local,
            timing,
            is_callable: false,
            own: BTreeMap::new(),
            relays: BTreeMap::new(),
            friends: BTreeMap::new(),
            users: BTreeMap::new(),
            due: BTreeSet::new(),
            displaced: BTreeSet::new(),
        }
    }

    /// Says that this node listens for friends itself. It then leaves the first dial to those whom it could only dial over a
    /// relay, because they may reach it without one.
    pub fn listen_for_friends(&mut self) {
        self.is_callable = true;
    }

    /// Sets the relays that this node listens at.
    pub fn set_relays(&mut self, relays: Vec<ServerTicket>, now_ms: u64) -> Vec<Action> {
        let own = relays.into_iter().map(|ticket| (ticket.public_key, ticket)).collect();
        let before = std::mem::replace(&mut self.own, own);
        let concerned: BTreeSet<_> = before.keys().chain(self.own.keys()).copied().collect();
        let mut actions = Vec::new();
        for key in concerned {
            actions.extend(self.arrange_relay(key, now_ms));
            actions.extend(self.arrange_watches(key));
        }
        actions.extend(self.tick(now_ms));
        actions
    }

    /// Sets where a friend is reached; none: the friend is not wanted any more. What it costs does not depend on how many
    /// friends there are.
    pub fn set_contact(&mut self, key: PublicKey, contact: Option<Contact>, now_ms: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        let relays_of = |contact: &Contact| -> BTreeSet<PublicKey> {
            contact.relays.iter().map(|ticket| ticket.public_key).collect()
        };
        let before = self.friends.get(&key).map(|friend| relays_of(&friend.contact)).unwrap_or_default();
        let after = contact.as_ref().map(relays_of).unwrap_or_default();
        match contact {
            Some(contact) => self.friends.entry(key).or_default().contact = contact,
            None => {
                if let Some(friend) = self.friends.remove(&key) {
                    self.due.remove(&(friend.dial_at.unwrap_or_default(), key));
                    actions.extend(friend.link.map(|(link, _)| Action::Close(link.id)));
                }
            }
        }
        for relay in &before - &after {
            let users = self.users.get_mut(&relay).expect("a friend is noted at its relays");
            users.remove(&key);
            if users.is_empty() {
                self.users.remove(&relay);
            }
        }
        for relay in &after {
            self.users.entry(*relay).or_default().insert(key);
        }
        for relay in &before | &after {
            actions.extend(self.arrange_relay(relay, now_ms));
        }
        let own: BTreeSet<_> = self.own.keys().copied().collect();
        for relay in &(&own | &before) | &after {
            actions.extend(self.arrange_watch(relay, key));
        }
        self.plan_direct(key, now_ms);
        actions.extend(self.tick(now_ms));
        actions
    }

    /// The ticket under which a relay is wanted now. Our own is the one we know best.
    fn wanted_ticket(&self, relay: PublicKey) -> Option<&ServerTicket> {
        self.own.get(&relay).or_else(|| {
            let user = self.users.get(&relay)?.last().expect("relays without users are not kept");
            self.friends[user].contact.relays.iter().rev().find(|ticket| ticket.public_key == relay)
        })
    }

    /// Brings one relay in line with what is wanted.
    fn arrange_relay(&mut self, key: PublicKey, now_ms: u64) -> Option<Action> {
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

    /// Whether a friend may turn up at a relay: at our own anybody, elsewhere only who listens there.
    fn is_awaited(&self, relay: PublicKey, friend: PublicKey) -> bool {
        let listens_there = self.users.get(&relay).is_some_and(|users| users.contains(&friend));
        self.friends.contains_key(&friend) && (self.own.contains_key(&relay) || listens_there)
    }

    /// Asks a relay for one friend, or no longer.
    fn arrange_watch(&mut self, key: PublicKey, friend: PublicKey) -> Option<Action> {
        let is_awaited = self.is_awaited(key, friend);
        let relay = self.relays.get_mut(&key).filter(|relay| relay.state == RelayState::Connected)?;
        if is_awaited {
            return relay.watched.insert(friend).then(|| Action::Watch(key, vec![friend]));
        }
        relay.present.remove(&friend);
        relay.watched.remove(&friend).then(|| Action::Unwatch(key, vec![friend]))
    }

    /// The same for all friends.
    fn arrange_watches(&mut self, key: PublicKey) -> Vec<Action> {
        let wanted: BTreeSet<PublicKey> = match self.own.contains_key(&key) {
            true => self.friends.keys().copied().collect(),
            false => self.users.get(&key).cloned().unwrap_or_default(),
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
        self.arrange_watches(key)
    }

    /// A connection to a relay ended or did not come about. `random` is any number.
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

    /// How long the other side is left to dial first, ms. Who needs no relay for it comes first, so that friends with an address
    /// are not met at a relay only because their keys are the smaller ones.
    fn courtesy(&self, key: PublicKey) -> u64 {
        let calls_direct = self.friends.get(&key).is_some_and(|friend| friend.contact.address.is_some());
        let is_first = if calls_direct == self.is_callable { self.local < key } else { calls_direct };
        if is_first { 0 } else { self.timing.courtesy_ms }
    }

    /// Dials a friend at this time, or when it was planned before if that is sooner, unless there is no need.
    fn dial_by(&mut self, key: PublicKey, at: u64) {
        let Some(friend) = self.friends.get(&key) else { return };
        if friend.link.is_none() && friend.dialling.is_none() {
            let at = friend.dial_at.map_or(at, |planned| planned.min(at));
            self.set_dial(key, Some(at));
        }
    }

    /// A friend has just turned up: it is dialled, by us now or a little later.
    fn plan_dial(&mut self, key: PublicKey, now_ms: u64) {
        let courtesy = self.courtesy(key);
        let Some(friend) = self.friends.get_mut(&key) else { return };
        if friend.link.is_none() && friend.dialling.is_none() {
            friend.backoff.reset();
            // A relay that says so again and again does not put the dial off.
            self.dial_by(key, now_ms.saturating_add(courtesy));
        }
    }

    /// A friend with an address need not turn up anywhere: it is dialled as soon as it may be. If it is connected over a relay
    /// it is dialled beside that connection, which stays until there is a better one.
    fn plan_direct(&mut self, key: PublicKey, now_ms: u64) {
        let courtesy = self.courtesy(key);
        let Some(friend) = self.friends.get(&key) else { return };
        match friend.link {
            _ if friend.contact.address.is_none() || friend.dialling.is_some() => {}
            None => self.dial_by(key, now_ms.max(friend.only_direct_at)),
            Some((link, _)) if link.direct => {}
            Some((_, since)) => {
                let at = since.saturating_add(self.timing.direct_after_ms).saturating_add(courtesy);
                self.set_dial(key, Some(at.max(now_ms).max(friend.direct_at)));
            }
        }
    }

    /// A dial did not come to a connection. One to the friend's own address is followed by one over a relay at once. `random` is
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
    pub fn link_up(&mut self, key: PublicKey, link: Link, now_ms: u64) -> Verdict {
        let smaller_dialled = |link: &Link| link.dialled == (self.local < key);
        let Some(friend) = self.friends.get_mut(&key) else { return Verdict::Refuse };
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
                    return Verdict::Refuse;
                }
                Some(old.id)
            }
        };
        friend.link = Some((link, now_ms));
        self.set_dial(key, None);
        self.plan_direct(key, now_ms);
        Verdict::Use { replaces }
    }

    /// A connection to a friend is gone.
    pub fn link_down(&mut self, key: PublicKey, id: u64, now_ms: u64, random: u64) {
        let Some(friend) = self.friends.get_mut(&key) else { return };
        let Some((link, since)) = friend.link.filter(|(link, _)| link.id == id) else { return };
        friend.link = None;
        let held_ms = now_ms.saturating_sub(since);
        // Only a connection that has held for a while wipes out what failed before: one that fails at once must not be made
        // again in a tight loop.
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
        // A dial that is on its way decides first.
        let is_dialling = friend.dialling.is_some();
        let at = now_ms.saturating_add(self.courtesy(key)).saturating_add(pause);
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
            let mut meetings =
                self.relays.iter().filter(|(_, relay)| relay.present.contains(&key)).map(|(relay, _)| *relay);
            let first = meetings.next();
            let next = first.into_iter().chain(meetings).find(|relay| Some(*relay) > friend.dialled_at).or(first);
            let direct_at =
                if next.is_some() || friend.link.is_some() { friend.direct_at } else { friend.only_direct_at };
            match (friend.contact.address.clone(), next) {
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
