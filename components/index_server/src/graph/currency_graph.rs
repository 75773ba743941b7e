//! The graph of one currency: numbered nodes, what each announces, and the arcs where both ends announce an edge.

use super::arc::{Arc, Direction};
use super::capacity::pack_down;
use super::lists::Lists;
use super::numbers::Numbers;
use super::rates::{PackedRate, Rates};
use offst_crypto::PublicKey;
use offst_proto::index::Edge;

/// The graph of one currency.
#[derive(Debug)]
pub(crate) struct CurrencyGraph {
    numbers: Numbers,
    /// How many announcements a node has made, and others have made about it.
    uses: Vec<u32>,
    /// What each node announces, by friend. The note of a list counts changes of the node's arcs since their note was computed.
    announced: Lists<Announced>,
    /// The edges that both ends announce, by friend. What only others announce about a node is not here, so it cannot make a
    /// search through this node longer. The note of a list: none of its arcs expires before this second (unix time).
    arcs: Lists<Arc>,
    rates: Rates,
}

/// What one end announces.
#[derive(Debug, Clone, Copy, Default)]
struct Announced {
    friend: u32,
    /// Codes of capacities.
    send: u32,
    receive: u32,
    rate: u32,
    expires_ms: u64,
}

impl CurrencyGraph {
    /// An empty graph. For `seed` see [`Numbers`].
    pub(crate) fn new(seed: u64) -> Self {
        CurrencyGraph {
            numbers: Numbers::new(seed),
            uses: vec![],
            announced: Lists::new(),
            arcs: Lists::new(),
            rates: Rates::default(),
        }
    }

    /// Whether nothing is announced.
    pub(crate) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Takes `node`'s announcement of `edge`, which replaces an earlier one. It is dropped when 2^24 other rates are in use.
    pub(crate) fn set(&mut self, node: PublicKey, edge: &Edge, expires_ms: u64) {
        let known = self.number(&node).zip(self.number(&edge.friend));
        let known =
            known.and_then(|(number, friend)| Some((number, friend, self.announced_position(number, friend).ok()?)));
        let rate = match known {
            // Most announcements only change capacities.
            Some((number, _, position)) => self.rates.replace(self.announced.list(number)[position].rate, edge.rate),
            None => self.rates.take(edge.rate),
        };
        let Some(rate) = rate else { return self.remove(&node, &edge.friend) };
        let (send, receive) = (pack_down(edge.send_capacity.credits()), pack_down(edge.receive_capacity.credits()));
        if let Some((number, friend, position)) = known {
            self.announced.list_mut(number)[position] = Announced { friend, send, receive, rate, expires_ms };
            return self.connect(number, friend);
        }
        let number = self.number_of(node);
        let friend = self.number_of(edge.friend);
        if let Err(position) = self.announced_position(number, friend) {
            self.announced.insert(number, position, Announced { friend, send, receive, rate, expires_ms });
            self.uses[number as usize] += 1;
            self.uses[friend as usize] += 1;
        }
        self.connect(number, friend);
    }

    /// Forgets `node`'s announcement about `friend`.
    pub(crate) fn remove(&mut self, node: &PublicKey, friend: &PublicKey) {
        let (Some(number), Some(friend)) = (self.number(node), self.number(friend)) else { return };
        let Ok(position) = self.announced_position(number, friend) else { return };
        self.rates.release(self.announced.list(number)[position].rate);
        self.announced.remove(number, position);
        self.connect(number, friend);
        for number in [number, friend] {
            self.uses[number as usize] -= 1;
            if self.uses[number as usize] == 0 {
                self.numbers.remove(number);
            }
        }
    }

    /// The number of a node that is part of an announcement.
    pub(crate) fn number(&self, key: &PublicKey) -> Option<u32> {
        self.numbers.find(key)
    }

    pub(crate) fn key(&self, number: u32) -> PublicKey {
        self.numbers.key(number)
    }

    /// The table of numbers, for looking up many nodes at a time.
    pub(super) fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// Reads where the lists of a node are; see [`super::prefetch`].
    pub(super) fn read_heads(&self, number: u32) {
        self.announced.read_head(number);
        self.arcs.read_head(number);
    }

    /// Reads the lists of a node; see [`super::prefetch`].
    pub(super) fn read_lists(&self, number: u32) {
        self.announced.read_list(number);
        self.arcs.read_list(number);
    }

    /// The arcs of a node, in the order of the friends' numbers.
    pub(crate) fn arcs(&self, number: u32) -> &[Arc] {
        self.arcs.list(number)
    }

    /// The arc between a node and `friend`, as the node sees it.
    pub(crate) fn arc(&self, number: u32, friend: u32) -> Option<Arc> {
        let arcs = self.arcs(number);
        arcs.binary_search_by_key(&friend, |arc| arc.friend()).ok().map(|position| arcs[position])
    }

    /// Rates by number.
    pub(crate) fn rates(&self) -> &[PackedRate] {
        self.rates.table()
    }

    /// Whether it is certain, without looking at each, that no arc of a node has expired.
    pub(crate) fn all_fresh(&self, number: u32, now_ms: u64) -> bool {
        u64::from(self.arcs.note(number)) > now_ms / 1000
    }

    /// Whether the arc between the two has not expired.
    pub(crate) fn is_fresh(&self, number: u32, friend: u32, now_ms: u64) -> bool {
        self.expires_ms(number, friend) > now_ms
    }

    /// Bytes of what a search reads.
    pub(crate) fn search_bytes(&self) -> usize {
        self.arcs.bytes() + self.rates.search_bytes()
    }

    /// Bytes of the rest, estimated.
    pub(crate) fn other_bytes(&self) -> usize {
        self.announced.bytes() + self.rates.other_bytes() + self.numbers.bytes() + self.uses.len() * 4
    }

    fn number_of(&mut self, key: PublicKey) -> u32 {
        let number = self.numbers.find_or_add(key);
        let count = self.numbers.end();
        if self.uses.len() < count {
            self.uses.resize(count, 0);
            self.announced.grow(count);
            self.arcs.grow(count);
        }
        number
    }

    fn announced_position(&self, number: u32, friend: u32) -> Result<usize, usize> {
        self.announced.list(number).binary_search_by_key(&friend, |announced| announced.friend)
    }

    fn announced(&self, number: u32, friend: u32) -> Option<&Announced> {
        self.announced_position(number, friend).ok().map(|position| &self.announced.list(number)[position])
    }

    /// When the announcement of one of both ends expires first.
    fn expires_ms(&self, number: u32, friend: u32) -> u64 {
        let expires_ms = |from, to| self.announced(from, to).map_or(0, |announced| announced.expires_ms);
        expires_ms(number, friend).min(expires_ms(friend, number))
    }

    /// Makes both lists of arcs agree with what both ends announce now.
    fn connect(&mut self, one: u32, other: u32) {
        let between =
            self.announced(one, other).copied().zip(self.announced(other, one).copied()).and_then(|(own, others)| {
                let inward = Direction { capacity: own.receive.min(others.send), rate: own.rate };
                let outward = Direction { capacity: own.send.min(others.receive), rate: others.rate };
                let expires_ms = own.expires_ms.min(others.expires_ms);
                (inward.capacity > 0 || outward.capacity > 0).then_some((inward, outward, expires_ms))
            });
        match between {
            Some((inward, outward, expires_ms)) => {
                self.put_arc(one, Arc::new(other, inward, outward), expires_ms);
                self.put_arc(other, Arc::new(one, outward, inward), expires_ms);
            }
            None => {
                self.drop_arc(one, other);
                self.drop_arc(other, one);
            }
        }
    }

    fn put_arc(&mut self, number: u32, arc: Arc, expires_ms: u64) {
        let second = u32::try_from(expires_ms / 1000).unwrap_or(u32::MAX);
        let known = self.arcs.list(number).binary_search_by_key(&arc.friend(), |arc| arc.friend());
        let is_first = self.arcs.list(number).is_empty();
        match known {
            Ok(position) => self.arcs.list_mut(number)[position] = arc,
            Err(position) => self.arcs.insert(number, position, arc),
        }
        let note = if is_first { second } else { second.min(self.arcs.note(number)) };
        self.arcs.set_note(number, note);
        self.count_change(number, second);
    }

    fn drop_arc(&mut self, number: u32, friend: u32) {
        if let Ok(position) = self.arcs.list(number).binary_search_by_key(&friend, |arc| arc.friend()) {
            self.arcs.remove(number, position);
            self.count_change(number, u32::MAX);
        }
    }

    /// After as many changes as a node has arcs its note is computed again; until then it only shrinks. Nodes announce all
    /// their edges again long before they expire, so it is nearly always in the future. `second` is when what was changed
    /// expires.
    fn count_change(&mut self, number: u32, second: u32) {
        let length = self.arcs.list(number).len();
        let changes = self.announced.note(number).saturating_add(1);
        self.announced.set_note(number, changes);
        if (changes as usize) < length || second <= self.arcs.note(number) {
            return;
        }
        self.announced.set_note(number, 0);
        let arcs = self.arcs.list(number).iter();
        let soonest_ms = arcs.map(|arc| self.expires_ms(number, arc.friend())).min().unwrap_or(0);
        self.arcs.set_note(number, u32::try_from(soonest_ms / 1000).unwrap_or(u32::MAX));
    }
}
