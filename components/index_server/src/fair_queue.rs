//! A queue that serves networks in turn: decisions only.

use offst_secure_channel::{Network, networks, widest_network};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::ops::Bound;

/// Items that wait, by the network they came from. The widest networks are served in turn, whatever the number of items or
/// connections of each; in each of them its addresses are served in turn; the items of one address in the order in which
/// they came. Never longer than its bounds.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    len_max: usize,
    len_per_address_max: usize,
    networks: BTreeMap<Network, NetworkQueue<T>>,
    /// How many items of each network wait, wide or narrow.
    waiting: BTreeMap<Network, usize>,
    len: usize,
    /// The widest network that was served last.
    served: Option<Network>,
}

/// The items of one of the widest networks; never empty.
#[derive(Debug)]
struct NetworkQueue<T> {
    of_addresses: BTreeMap<IpAddr, VecDeque<T>>,
    /// The address that was served last.
    served: Option<IpAddr>,
}

impl<T> NetworkQueue<T> {
    fn len(&self) -> usize {
        self.of_addresses.values().map(VecDeque::len).sum()
    }
}

impl<T> FairQueue<T> {
    pub(crate) fn new(len_max: usize, len_per_address_max: usize) -> Self {
        let (networks, waiting) = (BTreeMap::new(), BTreeMap::new());
        FairQueue { len_max, len_per_address_max, networks, waiting, len: 0, served: None }
    }

    /// Adds a item. Gives back the item that there is no room for: this one when its address, or a wider network of it, has
    /// enough waiting; when there are too many altogether, the latest of the address that has most, in the widest network
    /// that has most.
    pub(crate) fn push(&mut self, address: IpAddr, item: T) -> Option<T> {
        let waiting = |network: &Network| self.waiting.get(network).copied().unwrap_or_default();
        let has_enough =
            |network: &Network| waiting(network) >= self.len_per_address_max.saturating_mul(network.shares());
        if networks(address).any(|network| has_enough(&network)) {
            return Some(item);
        }
        let mut displaced = None;
        if self.len >= self.len_max {
            let Some(longest) = self.longest(address) else { return Some(item) };
            displaced = self.take(longest, VecDeque::pop_back);
        }
        let items = || NetworkQueue { of_addresses: BTreeMap::new(), served: None };
        let of_network = self.networks.entry(widest_network(address)).or_insert_with(items);
        of_network.of_addresses.entry(address).or_default().push_back(item);
        networks(address).for_each(|network| *self.waiting.entry(network).or_default() += 1);
        self.len += 1;
        displaced
    }

    /// The address whose latest item is displaced by one of this address; none when no address has more.
    fn longest(&self, address: IpAddr) -> Option<IpAddr> {
        let own = widest_network(address);
        let (network, items) = self.networks.iter().max_by_key(|(_, items)| items.len())?;
        let (longest, waiting) = items
            .of_addresses
            .iter()
            .map(|(address, items)| (*address, items.len()))
            .max_by_key(|(_, waiting)| *waiting)?;
        let has_more = if *network == own {
            waiting > items.of_addresses.get(&address).map_or(0, VecDeque::len) + 1
        } else {
            items.len() > self.networks.get(&own).map_or(0, NetworkQueue::len) + 1
        };
        has_more.then_some(longest)
    }

    /// The next item and its address: of those addresses that may be served, the first one that comes after the one served
    /// last, in the first network that comes after the one served last.
    pub(crate) fn pop(&mut self, may_be_served: impl Fn(&IpAddr) -> bool) -> Option<(IpAddr, T)> {
        let behind = self.served.map_or(Bound::Unbounded, Bound::Excluded);
        let mut in_turn = self.networks.range((behind, Bound::Unbounded)).chain(&self.networks);
        let (network, address) = in_turn.find_map(|(network, items)| {
            let behind = items.served.map_or(Bound::Unbounded, Bound::Excluded);
            let mut in_turn = items.of_addresses.range((behind, Bound::Unbounded)).chain(&items.of_addresses);
            in_turn.find(|(address, _)| may_be_served(address)).map(|(address, _)| (*network, *address))
        })?;
        self.served = Some(network);
        self.networks.get_mut(&network)?.served = Some(address);
        let item = self.take(address, VecDeque::pop_front)?;
        Some((address, item))
    }

    fn take(&mut self, address: IpAddr, take: impl Fn(&mut VecDeque<T>) -> Option<T>) -> Option<T> {
        let network = widest_network(address);
        let of_network = self.networks.get_mut(&network)?;
        let items = of_network.of_addresses.get_mut(&address)?;
        let item = take(items)?;
        if items.is_empty() {
            of_network.of_addresses.remove(&address);
        }
        if of_network.of_addresses.is_empty() {
            self.networks.remove(&network);
        }
        for network in networks(address) {
            if let Some(waiting) = self.waiting.get_mut(&network) {
                *waiting -= 1;
                if *waiting == 0 {
                    self.waiting.remove(&network);
                }
            }
        }
        self.len -= 1;
        Some(item)
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn next<T>(queue: &mut FairQueue<T>) -> Option<T> {
        queue.pop(|_| true).map(|(_, item)| item)
    }

    #[test]
    fn an_address_with_many_items_delays_the_others_by_one_each() {
        let mut queue = FairQueue::new(1000, 100);
        for number in 0..100 {
            assert_eq!(queue.push(address(7), (7, number)), None);
        }
        // Its first one is being served when the others come; wherever they stand in the order, each is served within
        // one turn of all addresses.
        assert_eq!(next(&mut queue), Some((7, 0)));
        queue.push(address(1), (1, 0));
        queue.push(address(9), (9, 0));
        queue.push(address(1), (1, 1));
        let served: Vec<_> = std::iter::from_fn(|| next(&mut queue)).take(6).collect();
        assert_eq!(served, [(9, 0), (1, 0), (7, 1), (1, 1), (7, 2), (7, 3)]);
    }

    #[test]
    fn an_honest_query_waits_for_one_hostile_query_of_each_address() {
        for hostile in 1..20u8 {
            let mut queue = FairQueue::new(1024, 64);
            let mut honest_waited = Vec::new();
            let mut waiting = None;
            for round in 0..500u32 {
                for attacker in 0..hostile {
                    // Twice as many as can be served.
                    queue.push(address(100 + attacker), false);
                    queue.push(address(100 + attacker), false);
                }
                if waiting.is_none() && round % 3 == 0 {
                    assert!(!queue.push(address(200 - hostile), true).is_some_and(|item| item));
                    waiting = Some(0);
                }
                for _ in 0..hostile {
                    match next(&mut queue) {
                        Some(true) => honest_waited.extend(waiting.take()),
                        _ => waiting = waiting.map(|waited| waited + 1),
                    }
                }
                assert!(queue.len() <= 1024);
            }
            assert!(honest_waited.len() > 100);
            assert!(honest_waited.iter().all(|waited| *waited <= hostile), "{hostile}: {honest_waited:?}");
        }
    }

    #[test]
    fn addresses_that_may_not_be_served_are_passed_over() {
        let mut queue = FairQueue::new(10, 10);
        for last in [1, 2, 1, 3] {
            queue.push(address(last), last);
        }
        assert_eq!(queue.pop(|other| *other != address(1)), Some((address(2), 2)));
        assert_eq!(queue.pop(|other| *other == address(1)), Some((address(1), 1)));
        assert_eq!(queue.pop(|other| *other == address(2)), None);
        assert_eq!((next(&mut queue), next(&mut queue), next(&mut queue)), (Some(3), Some(1), None));
    }

    #[test]
    fn a_full_queue_has_room_for_addresses_with_few_items() {
        let mut queue = FairQueue::new(4, 3);
        for number in 0..3 {
            assert_eq!(queue.push(address(1), (1, number)), None);
        }
        assert_eq!(queue.push(address(1), (1, 3)), Some((1, 3)), "enough of one address");
        assert_eq!(queue.push(address(2), (2, 0)), None);
        assert_eq!(queue.push(address(3), (3, 0)), Some((1, 2)));
        assert_eq!(queue.push(address(4), (4, 0)), Some((1, 1)));
        assert_eq!(queue.push(address(5), (5, 0)), Some((5, 0)), "each address has one");
        assert_eq!(queue.len(), 4);
        assert_eq!(std::iter::from_fn(|| next(&mut queue)).count(), 4);
        assert_eq!((queue.len(), queue.networks.len(), queue.waiting.len()), (0, 0, 0));
    }

    #[test]
    fn many_networks_of_one_customer_delay_the_others_by_one_item() {
        let at = |network: u16| IpAddr::V6([0x2001, 0xdb8, 1, network, 0, 0, 0, 1].into());
        let mut queue = FairQueue::new(100, 4);
        let taken = (0..200).filter(|network| queue.push(at(network << 8), *network).is_none()).count();
        assert_eq!(taken, 16, "four times as many as one address");
        assert_eq!((0..9).filter(|number| queue.push(at(1), *number).is_none()).count(), 0);
        queue.push(address(1), 1000);
        queue.push(address(2), 1000);
        let served: Vec<_> = std::iter::from_fn(|| next(&mut queue)).collect();
        let honest: Vec<_> = (0..).zip(&served).filter(|(_, item)| **item == 1000).map(|(turn, _)| turn).collect();
        assert!(honest.iter().all(|turn| *turn <= 2), "{served:?}");
        assert_eq!((served.len(), queue.len(), queue.waiting.len()), (18, 0, 0));
        // Full with them, there is still room for others.
        let mut queue = FairQueue::new(12, 4);
        (0..200).for_each(|network| _ = queue.push(at(network << 8), network));
        assert!(queue.push(address(1), 1000).is_some_and(|displaced| displaced < 200));
    }
}
