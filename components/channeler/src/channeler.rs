//! The decisions. Every method takes what happened and the time, and gives back what to do.

use crate::backoff::Backoff;
use offst_crypto::PublicKey;
use offst_proto::ticket::ServerTicket;
use std::collections::{BTreeMap, BTreeSet};

/// Durations, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The first pause after a failed attempt.
    pub retry_first_ms: u64,
    /// The longest pause.
    pub retry_max_ms: u64,
    /// How long the side with the larger key leaves the dialling to the other.
    pub courtesy_ms: u64,
    /// Two connections that come up within this time have crossed.
    pub crossing_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Timing { retry_first_ms: 200, retry_max_ms: 30_000, courtesy_ms: 2_000, crossing_ms: 5_000 }
    }
}

/// Where a friend can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contact {
    /// Its relays.
    pub relays: Vec<ServerTicket>,
}

/// A connection to a friend whose hellos are exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Names the connection; later ones have larger numbers.
    pub id: u64,
    /// Whether we dialled.
    pub dialled: bool,
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

#[derive(Debug, Default)]
struct Friend {
    contact: Contact,
    link: Option<(Link, u64)>,
    dialling: bool,
    dial_at: Option<u64>,
    /// The relay of the last dial: the next one goes to another, if the friend is there too.
    dialled_at: Option<PublicKey>,
    backoff: Backoff,
}

/// Decides where a node listens and whom it dials.
#[derive(Debug)]
pub struct Channeler {
    local: PublicKey,
    timing: Timing,
    own: BTreeMap<PublicKey, ServerTicket>,
    relays: BTreeMap<PublicKey, Relay>,
    friends: BTreeMap<PublicKey, Friend>,
    /// Where another node with our key took our place: whatever is configured later, this run does not go there again.
    displaced: BTreeSet<PublicKey>,
}

impl Channeler {
    /// A node without relays and friends.
    pub fn new(local: PublicKey, timing: Timing) -> Self {
        Channeler {
            local,
            timing,
            own: BTreeMap::new(),
            relays: BTreeMap::new(),
            friends: BTreeMap::new(),
            displaced: BTreeSet::new(),
        }
    }

    /// Sets the relays that this node listens at.
    pub fn set_relays(&mut self, relays: Vec<ServerTicket>, now_ms: u64) -> Vec<Action> {
        self.own = relays.into_iter().map(|ticket| (ticket.public_key, ticket)).collect();
        self.arrange(now_ms)
    }

    /// Sets where a friend is reached; none: the friend is not wanted any more.
    pub fn set_contact(&mut self, key: PublicKey, contact: Option<Contact>, now_ms: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        match contact {
            Some(contact) => self.friends.entry(key).or_default().contact = contact,
            None => {
                if let Some((link, _)) = self.friends.remove(&key).and_then(|friend| friend.link) {
                    actions.push(Action::Close(link.id));
                }
            }
        }
        actions.extend(self.arrange(now_ms));
        actions
    }

    /// Brings relays and watches in line with what is wanted.
    fn arrange(&mut self, now_ms: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut wanted = BTreeMap::new();
        for friend in self.friends.values() {
            for ticket in &friend.contact.relays {
                wanted.insert(ticket.public_key, ticket);
            }
        }
        // Our own ticket of a relay is the one we know best.
        wanted.extend(self.own.iter().map(|(key, ticket)| (*key, ticket)));
        self.relays.retain(|key, relay| {
            let stays = wanted.get(key).is_some_and(|ticket| **ticket == relay.ticket);
            if !stays && relay.state != RelayState::Displaced {
                actions.push(Action::DropRelay(*key));
            }
            stays
        });
        for (key, ticket) in wanted {
            self.relays.entry(key).or_insert_with(|| Relay {
                ticket: ticket.clone(),
                state: match self.displaced.contains(&key) {
                    true => RelayState::Displaced,
                    false => RelayState::Waiting(now_ms),
                },
                backoff: Backoff::default(),
                present: BTreeSet::new(),
                watched: BTreeSet::new(),
            });
        }
        let keys: Vec<_> = self.relays.keys().copied().collect();
        for key in keys {
            actions.extend(self.arrange_watches(key));
        }
        actions.extend(self.tick(now_ms));
        actions
    }

    /// At our own relays any friend may turn up, at another relay only those who listen there.
    fn arrange_watches(&mut self, key: PublicKey) -> Vec<Action> {
        let is_own = self.own.contains_key(&key);
        let friends = &self.friends;
        let Some(relay) = self.relays.get_mut(&key).filter(|relay| relay.state == RelayState::Connected) else {
            return Vec::new();
        };
        let wanted: BTreeSet<PublicKey> = friends
            .iter()
            .filter(|(_, friend)| is_own || friend.contact.relays.iter().any(|ticket| ticket.public_key == key))
            .map(|(friend, _)| *friend)
            .collect();
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
            let pause = relay.backoff.fail(self.timing.retry_first_ms, self.timing.retry_max_ms, random);
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
        self.tick(now_ms)
    }

    /// A friend has just turned up: it is dialled, by us now or a little later.
    fn plan_dial(&mut self, key: PublicKey, now_ms: u64) {
        let courtesy = if self.local < key { 0 } else { self.timing.courtesy_ms };
        let Some(friend) = self.friends.get_mut(&key) else { return };
        if friend.link.is_none() && !friend.dialling {
            friend.backoff.reset();
            // A relay that says so again and again does not put the dial off.
            let at = now_ms.saturating_add(courtesy);
            friend.dial_at = Some(friend.dial_at.map_or(at, |planned| planned.min(at)));
        }
    }

    /// A dial did not come to a connection. `random` is any number.
    pub fn dial_failed(&mut self, key: PublicKey, now_ms: u64, random: u64) {
        let Some(friend) = self.friends.get_mut(&key) else { return };
        friend.dialling = false;
        if friend.link.is_none() {
            let pause = friend.backoff.fail(self.timing.retry_first_ms, self.timing.retry_max_ms, random);
            friend.dial_at = Some(now_ms.saturating_add(pause));
        }
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
            friend.dialling = false;
        }
        let replaces = match &friend.link {
            None => None,
            Some((old, since)) => {
                let have_crossed = old.incarnation == link.incarnation
                    && now_ms.saturating_sub(*since) < self.timing.crossing_ms
                    && old.dialled != link.dialled;
                if have_crossed && smaller_dialled(old) {
                    return Verdict::Refuse;
                }
                Some(old.id)
            }
        };
        friend.link = Some((link, now_ms));
        friend.dial_at = None;
        Verdict::Use { replaces }
    }

    /// A connection to a friend is gone.
    pub fn link_down(&mut self, key: PublicKey, id: u64, now_ms: u64, random: u64) {
        let Some(friend) = self.friends.get_mut(&key) else { return };
        let Some((_, since)) = friend.link.filter(|(link, _)| link.id == id) else { return };
        friend.link = None;
        // Only a connection that has held for a while wipes out what failed before: one that fails at once must not be made
        // again in a tight loop.
        if now_ms.saturating_sub(since) >= self.timing.crossing_ms {
            friend.backoff.reset();
        }
        let courtesy = if self.local < key { 0 } else { self.timing.courtesy_ms };
        let pause = friend.backoff.fail(self.timing.retry_first_ms, self.timing.retry_max_ms, random);
        friend.dial_at = Some(now_ms.saturating_add(courtesy).saturating_add(pause));
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
        for (key, friend) in &mut self.friends {
            if friend.link.is_some() || friend.dialling || friend.dial_at.is_none_or(|at| at > now_ms) {
                continue;
            }
            friend.dial_at = None;
            // In turn: a relay that says a friend is there and then does not connect must not keep us from the others.
            let mut meetings =
                self.relays.iter().filter(|(_, relay)| relay.present.contains(key)).map(|(relay, _)| *relay);
            let first = meetings.next();
            let next = first.into_iter().chain(meetings).find(|relay| Some(*relay) > friend.dialled_at);
            if let Some(relay) = next.or(first) {
                friend.dialling = true;
                friend.dialled_at = Some(relay);
                actions.push(Action::Dial(*key, relay));
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
        let friends = self
            .friends
            .values()
            .filter(|friend| friend.link.is_none() && !friend.dialling)
            .filter_map(|friend| friend.dial_at);
        relays.chain(friends).min()
    }
}
