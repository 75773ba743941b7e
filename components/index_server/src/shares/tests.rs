use super::*;
use offst_crypto::Identity;

fn key(seed: u8) -> PublicKey {
    Identity::from_seed([seed; 32]).public_key()
}

fn all(number: usize) -> Held {
    Held { nodes: number, edges: number, bytes: number }
}

fn shares() -> Shares {
    let (everybody, address, neighbour, node) = (all(100), all(20), all(50), all(10));
    Shares::new(Bounds { everybody, address, neighbour, node })
}

fn at(last: u8) -> Origin {
    Origin::Address(IpAddr::from([10, 0, 0, last]))
}

fn holding(node: u8, origin: Origin, edges: usize, heard: u64) -> Holding {
    Holding { node: key(node), origin, held: Held { nodes: 1, edges, bytes: 1 }, heard }
}

#[test]
fn what_is_given_back_is_free_again() {
    let mut shares = shares();
    let six = Origin::Address("2001:db8::1".parse().unwrap());
    let held =
        [holding(1, at(1), 5, 1), holding(2, at(1), 5, 2), holding(3, six, 7, 3), holding(4, Origin::Nowhere, 1, 4)];
    held.iter().for_each(|holding| shares.take(holding));
    assert_eq!((shares.total(), shares.len()), (Held { nodes: 4, edges: 18, bytes: 4 }, 1 + 1 + 1 + 3));
    assert_eq!(shares.room(&holding(5, at(1), 11, 5), Claim::Heard), Room::Lacks(path(at(1))[2]));
    shares.give_back(&held[0]);
    assert_eq!(shares.room(&holding(5, at(1), 11, 5), Claim::Heard), Room::Free);
    held[1..].iter().for_each(|holding| shares.give_back(holding));
    assert_eq!((shares.total(), shares.len()), (Held::default(), 0));
}

#[test]
fn the_party_that_is_fullest_by_its_own_bound_gives_way() {
    let mut shares = shares();
    let neighbour = Origin::Neighbour(key(50));
    for node in 0..4 {
        shares.take(&holding(node, neighbour, 10, node.into()));
    }
    for node in 4..8 {
        shares.take(&holding(node, at(node % 2), 9, node.into()));
    }
    shares.take(&holding(8, at(9), 10, 8));
    shares.take(&holding(9, at(8), 14, 9));
    // 100: the neighbour has 40 of 50, two addresses 18 of 20 each, one 10 and one 14 of 20.
    assert_eq!(shares.total().edges, 100);
    let newcomer = holding(20, at(20), 1, 20);
    let gives_way = shares.room(&newcomer, Claim::Present);
    // The address whose last word is older, and in it the node whose word is.
    assert_eq!(gives_way, Room::GivesWay(key(4)));
    assert_eq!(shares.room(&newcomer, Claim::Heard), gives_way);
    assert_eq!(shares.room(&holding(20, neighbour, 1, 20), Claim::Heard), gives_way, "addresses hold more than half");
    // One that would be the fullest itself has nobody to take it from.
    assert_eq!(shares.room(&holding(20, at(20), 19, 20), Claim::Present), Room::Lacks(Party::Everybody));
    assert_eq!(shares.room(&holding(20, at(20), 19, 20), Claim::Renewal), Room::GivesWay(key(4)));
}

#[test]
fn addresses_that_hold_less_than_half_are_not_pushed_out_by_neighbours_nor_the_other_way_round() {
    let mut shares = shares();
    let [one, other] = [50, 51].map(|seed| Origin::Neighbour(key(seed)));
    for node in 0..4 {
        shares.take(&holding(node, one, 10, node.into()));
        shares.take(&holding(10 + node, other, 5, node.into()));
        shares.take(&holding(20 + node, at(node), 10, node.into()));
    }
    // 40 and 20 of 50, and the addresses 40, each 10 of 20.
    let newcomer = holding(99, other, 5, 99);
    assert_eq!(shares.room(&newcomer, Claim::Heard), Room::GivesWay(key(0)), "of the larger neighbour");
    shares.give_back(&holding(0, one, 10, 0));
    shares.take(&holding(24, at(5), 10, 4));
    assert_eq!(shares.room(&newcomer, Claim::Heard), Room::GivesWay(key(20)), "of addresses, which hold half now");
}

#[test]
fn equals_give_way_to_who_is_there_and_to_renewals_only() {
    let mut shares = Shares::new(Bounds { everybody: all(3), ..shares().bounds });
    for node in 1..4 {
        shares.take(&holding(node, at(node), 1, 10 - u64::from(node)));
    }
    let newcomer = holding(9, at(9), 1, 20);
    assert_eq!(shares.room(&newcomer, Claim::Heard), Room::Lacks(Party::Addresses));
    assert_eq!(shares.room(&newcomer, Claim::Present), Room::GivesWay(key(3)), "it was heard longest ago");
    // At one address a key costs nothing: no key takes the place of another that is as large.
    let same = holding(9, at(1), 1, 20);
    let mut of_address = Shares::new(Bounds { address: all(1), ..shares.bounds });
    of_address.take(&holding(1, at(1), 1, 1));
    assert!(matches!(of_address.room(&same, Claim::Present), Room::Lacks(Party::Network(_))));
    assert_eq!(of_address.room(&same, Claim::Renewal), Room::GivesWay(key(1)));
}
