use super::*;
use offst_crypto::Identity;

fn key(seed: u8) -> PublicKey {
    Identity::from_seed([seed; 32]).public_key()
}

fn each(number: usize) -> Counts {
    Counts { nodes: number, edges: number, bytes: number }
}

fn quota() -> AddressQuota {
    let (all, address, neighbour, node) = (each(100), each(20), each(50), each(10));
    AddressQuota::new(Bounds { all, address, neighbour, node })
}

fn at(last: u8) -> Origin {
    Origin::Address(IpAddr::from([10, 0, 0, last]))
}

fn holding(node: u8, origin: Origin, edges: usize, last_seen: u64) -> Holding {
    Holding { node: key(node), origin, counts: Counts { nodes: 1, edges, bytes: 1 }, last_seen }
}

#[test]
fn what_is_removed_is_free_again() {
    let mut quota = quota();
    let six = Origin::Address("2001:db8::1".parse().unwrap());
    let held =
        [holding(1, at(1), 5, 1), holding(2, at(1), 5, 2), holding(3, six, 7, 3), holding(4, Origin::Nowhere, 1, 4)];
    held.iter().for_each(|holding| quota.add(holding));
    assert_eq!((quota.total(), quota.len()), (Counts { nodes: 4, edges: 18, bytes: 4 }, 1 + 1 + 1 + 3));
    assert_eq!(quota.room(&holding(5, at(1), 11, 5), Priority::FromNeighbour), Room::Full(groups_of(at(1))[2]));
    quota.remove(&held[0]);
    assert_eq!(quota.room(&holding(5, at(1), 11, 5), Priority::FromNeighbour), Room::Free);
    held[1..].iter().for_each(|holding| quota.remove(holding));
    assert_eq!((quota.total(), quota.len()), (Counts::default(), 0));
}

#[test]
fn the_group_that_is_fullest_by_its_own_bound_is_evicted_from() {
    let mut quota = quota();
    let neighbour = Origin::Neighbour(key(50));
    for node in 0..4 {
        quota.add(&holding(node, neighbour, 10, node.into()));
    }
    for node in 4..8 {
        quota.add(&holding(node, at(node % 2), 9, node.into()));
    }
    quota.add(&holding(8, at(9), 10, 8));
    quota.add(&holding(9, at(8), 14, 9));
    // 100: the neighbour has 40 of 50, two addresses 18 of 20 each, one 10 and one 14 of 20.
    assert_eq!(quota.total().edges, 100);
    let newcomer = holding(20, at(20), 1, 20);
    let evicted = quota.room(&newcomer, Priority::FromNode);
    // The address whose last update is older, and in it the node whose update is.
    assert_eq!(evicted, Room::Evict(key(4)));
    assert_eq!(quota.room(&newcomer, Priority::FromNeighbour), evicted);
    assert_eq!(
        quota.room(&holding(20, neighbour, 1, 20), Priority::FromNeighbour),
        evicted,
        "addresses hold more than half"
    );
    // For one that would be the fullest itself nobody is evicted.
    assert_eq!(quota.room(&holding(20, at(20), 19, 20), Priority::FromNode), Room::Full(QuotaGroup::All));
    assert_eq!(quota.room(&holding(20, at(20), 19, 20), Priority::Renewal), Room::Evict(key(4)));
}

#[test]
fn addresses_that_hold_less_than_half_are_not_evicted_for_neighbours_nor_the_reverse() {
    let mut quota = quota();
    let [one, other] = [50, 51].map(|seed| Origin::Neighbour(key(seed)));
    for node in 0..4 {
        quota.add(&holding(node, one, 10, node.into()));
        quota.add(&holding(10 + node, other, 5, node.into()));
        quota.add(&holding(20 + node, at(node), 10, node.into()));
    }
    // 40 and 20 of 50, and the addresses 40, each 10 of 20.
    let newcomer = holding(99, other, 5, 99);
    assert_eq!(quota.room(&newcomer, Priority::FromNeighbour), Room::Evict(key(0)), "of the larger neighbour");
    quota.remove(&holding(0, one, 10, 0));
    quota.add(&holding(24, at(5), 10, 4));
    assert_eq!(
        quota.room(&newcomer, Priority::FromNeighbour),
        Room::Evict(key(20)),
        "of addresses, which hold half now"
    );
}

// R5.6.
#[test]
fn equals_are_evicted_for_nodes_themselves_and_renewals_only() {
    let mut quota = AddressQuota::new(Bounds { all: each(3), ..quota().bounds });
    for node in 1..4 {
        quota.add(&holding(node, at(node), 1, 10 - u64::from(node)));
    }
    let newcomer = holding(9, at(9), 1, 20);
    assert_eq!(quota.room(&newcomer, Priority::FromNeighbour), Room::Full(QuotaGroup::Addresses));
    assert_eq!(quota.room(&newcomer, Priority::FromNode), Room::Evict(key(3)), "its last update is the oldest");
    // At one address a key costs nothing: no key evicts another one that holds as much.
    let same = holding(9, at(1), 1, 20);
    let mut of_address = AddressQuota::new(Bounds { address: each(1), ..quota.bounds });
    of_address.add(&holding(1, at(1), 1, 1));
    assert!(matches!(of_address.room(&same, Priority::FromNode), Room::Full(QuotaGroup::Network(_))));
    assert_eq!(of_address.room(&same, Priority::Renewal), Room::Evict(key(1)));
}
