//! The decisions, one rule a test, and two channelers that always connect.

use offst_channeler::{Action, Channeler, DialTiming, Endpoints, Link, LinkDecision};
use offst_crypto::{Identity, PublicKey};
use offst_proto::ticket::ServerTicket;
use std::collections::BTreeSet;

fn key(seed: u8) -> PublicKey {
    Identity::from_seed([seed; 32]).public_key()
}

/// Two keys, the smaller first.
fn two_keys() -> (PublicKey, PublicKey) {
    let (one, other) = (key(1), key(2));
    (one.min(other), one.max(other))
}

fn relay(seed: u8) -> ServerTicket {
    ServerTicket {
        public_key: key(100 + seed),
        address: format!("127.0.0.1:{}", 1000 + u16::from(seed)).parse().unwrap(),
    }
}

fn endpoints(relays: &[u8]) -> Option<Endpoints> {
    Some(Endpoints { relays: relays.iter().map(|seed| relay(*seed)).collect(), address: None })
}

/// A channeler that is connected to its own relay 0 and waits for one friend that listens there, too.
fn waiting(local: PublicKey, friend: PublicKey) -> Channeler {
    let mut channeler = Channeler::new(local, DialTiming::default());
    assert_eq!(channeler.set_relays(vec![relay(0)], 0), [Action::ConnectRelay(relay(0))]);
    assert_eq!(channeler.set_endpoints(friend, endpoints(&[0]), 0), []);
    assert_eq!(channeler.relay_connected(relay(0).public_key), [Action::Watch(relay(0).public_key, vec![friend])]);
    channeler
}

fn link(id: u64, dialled: bool, incarnation: u64) -> Link {
    Link { id, dialled, direct: false, incarnation }
}

#[test]
fn it_connects_to_its_own_relays_and_to_those_of_its_friends_once_each() {
    let (local, friend) = two_keys();
    let mut channeler = Channeler::new(local, DialTiming::default());
    assert_eq!(channeler.set_relays(vec![relay(0)], 0), [Action::ConnectRelay(relay(0))]);
    assert_eq!(channeler.set_endpoints(friend, endpoints(&[0, 1]), 0), [Action::ConnectRelay(relay(1))]);
    assert_eq!(channeler.set_endpoints(key(3), endpoints(&[1]), 0), []);
    // At relay 1, which is not its own, it watches only the friends that listen there.
    let watched = channeler.relay_connected(relay(1).public_key);
    let [Action::Watch(_, keys)] = &watched[..] else { panic!("{watched:?}") };
    assert_eq!(keys.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([friend, key(3)]));
    // Nobody needs relay 1 any more.
    assert_eq!(channeler.set_endpoints(key(3), None, 0), [Action::Unwatch(relay(1).public_key, vec![key(3)])]);
    assert_eq!(channeler.set_endpoints(friend, endpoints(&[0]), 0), [Action::DropRelay(relay(1).public_key)]);
}

#[test]
fn the_smaller_key_dials_at_once_and_the_larger_a_little_later() {
    let (small, large) = two_keys();
    let at = relay(0).public_key;
    let mut channeler = waiting(small, large);
    assert_eq!(channeler.presence(at, large, true, 10), [Action::Dial(large, at)]);
    let mut channeler = waiting(large, small);
    assert_eq!(channeler.presence(at, small, true, 10), []);
    assert_eq!(channeler.next_deadline(), Some(2010));
    assert_eq!(channeler.tick(2009), []);
    assert_eq!(channeler.tick(2010), [Action::Dial(small, at)]);
    // Not a second time while the first dial is in progress.
    assert_eq!(channeler.tick(9999), []);
}

#[test]
fn a_failed_dial_is_tried_again_with_growing_pauses_while_the_friend_is_there() {
    let (small, large) = two_keys();
    let at = relay(0).public_key;
    let mut channeler = waiting(small, large);
    channeler.presence(at, large, true, 0);
    let mut now = 0;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        channeler.dial_failed(large, now, 12345);
        let next = channeler.next_deadline().unwrap();
        pauses.push(next - now);
        now = next;
        assert_eq!(channeler.tick(now), [Action::Dial(large, at)]);
    }
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]) && pauses[11] >= 15_000, "{pauses:?}");
    channeler.presence(at, large, false, now);
    channeler.dial_failed(large, now, 1);
    assert_eq!(channeler.tick(now + 100_000), []);
}

// R4.3.
#[test]
fn a_displaced_node_does_not_go_back_by_itself() {
    let (small, large) = two_keys();
    let mut channeler = waiting(small, large);
    channeler.relay_closed(relay(0).public_key, true, 5, 0);
    assert_eq!(channeler.next_deadline(), None);
    assert_eq!(channeler.tick(u64::MAX), []);
    // Neither when the friend is configured again.
    assert_eq!(channeler.set_endpoints(large, endpoints(&[0]), 10), []);
    // A close that comes after it does not change that.
    channeler.relay_closed(relay(0).public_key, false, 20, 0);
    assert_eq!(channeler.tick(u64::MAX), []);
}

#[test]
fn a_lost_relay_is_tried_again() {
    let (small, large) = two_keys();
    let mut channeler = waiting(small, large);
    channeler.relay_closed(relay(0).public_key, false, 5, 77);
    let next = channeler.next_deadline().unwrap();
    assert!((6..=205).contains(&next), "{next}");
    assert_eq!(channeler.tick(next), [Action::ConnectRelay(relay(0))]);
}

// R4.4.
#[test]
fn crossed_dials_resolve_to_the_one_of_the_smaller_key_on_both_sides() {
    let (small, large) = two_keys();
    // The order in which the two connections come up differs between the sides.
    let mut one = waiting(small, large);
    assert_eq!(one.link_up(large, link(1, true, 7), 0), LinkDecision::Use { replaces: None });
    assert_eq!(one.link_up(large, link(2, false, 7), 10), LinkDecision::Reject);
    let mut other = waiting(large, small);
    assert_eq!(other.link_up(small, link(1, true, 8), 0), LinkDecision::Use { replaces: None });
    assert_eq!(other.link_up(small, link(2, false, 8), 10), LinkDecision::Use { replaces: Some(1) });
}

#[test]
fn a_restarted_friend_and_a_friend_whose_connection_broke_get_through() {
    let (small, large) = two_keys();
    let mut channeler = waiting(small, large);
    assert_eq!(channeler.link_up(large, link(1, true, 7), 0), LinkDecision::Use { replaces: None });
    // Another run of the friend's node: the old connection is dead, however young.
    assert_eq!(channeler.link_up(large, link(2, false, 8), 10), LinkDecision::Use { replaces: Some(1) });
    // The same run, much later: its end of the connection broke.
    assert_eq!(channeler.link_up(large, link(3, true, 8), 20), LinkDecision::Use { replaces: Some(2) });
    assert_eq!(channeler.link_up(large, link(4, false, 8), 20_000), LinkDecision::Use { replaces: Some(3) });
    // The end of a connection that was replaced changes nothing.
    channeler.link_down(large, 3, 20_001, 0);
    assert_eq!(channeler.next_deadline(), None);
}

#[test]
fn a_lost_connection_is_made_again_and_one_that_keeps_failing_less_and_less_often() {
    let (small, large) = two_keys();
    let at = relay(0).public_key;
    let mut channeler = waiting(small, large);
    channeler.presence(at, large, true, 0);
    let mut now = 0;
    let mut pauses = Vec::new();
    for id in 1..10 {
        assert!(matches!(channeler.link_up(large, link(id, true, 7), now), LinkDecision::Use { .. }));
        channeler.link_down(large, id, now, 3);
        let next = channeler.next_deadline().unwrap();
        pauses.push(next - now);
        now = next;
        assert_eq!(channeler.tick(now), [Action::Dial(large, at)]);
    }
    assert!(pauses[8] > 20 * pauses[0], "{pauses:?}");
    assert!(matches!(channeler.link_up(large, link(99, true, 7), now), LinkDecision::Use { .. }));
    channeler.link_down(large, 99, now + 60_000, 3);
    assert_eq!(channeler.next_deadline().unwrap() - (now + 60_000), pauses[0]);
}

#[test]
fn strangers_are_rejected_and_removed_friends_disconnected() {
    let (small, large) = two_keys();
    let mut channeler = waiting(small, large);
    assert_eq!(channeler.link_up(key(9), link(1, false, 1), 0), LinkDecision::Reject);
    assert!(matches!(channeler.link_up(large, link(2, false, 1), 0), LinkDecision::Use { .. }));
    let actions = channeler.set_endpoints(large, None, 0);
    assert!(actions.contains(&Action::Close(2)), "{actions:?}");
    assert_eq!(channeler.presence(relay(0).public_key, key(9), true, 0), []);
}

#[test]
fn a_displaced_node_does_not_go_back_when_the_relay_is_configured_anew() {
    let (small, large) = two_keys();
    let mut channeler = waiting(small, large);
    channeler.relay_closed(relay(0).public_key, true, 5, 0);
    let moved = ServerTicket { address: "127.0.0.1:9".parse().unwrap(), ..relay(0) };
    assert_eq!(channeler.set_relays(vec![moved], 10), []);
    assert_eq!(channeler.set_endpoints(large, None, 20), []);
    assert_eq!(channeler.set_relays(vec![], 30), []);
    assert_eq!(channeler.set_relays(vec![relay(0)], 40), []);
    assert_eq!(channeler.tick(u64::MAX), []);
}

#[test]
fn a_relay_that_is_dropped_between_two_attempts_is_reported_as_well() {
    let (small, large) = two_keys();
    let mut channeler = waiting(small, large);
    channeler.relay_closed(relay(0).public_key, false, 5, 0);
    assert_eq!(channeler.set_endpoints(large, None, 6), []);
    assert_eq!(channeler.set_relays(vec![], 7), [Action::DropRelay(relay(0).public_key)]);
}

#[test]
fn a_relay_that_never_connects_does_not_keep_it_from_another() {
    let (small, large) = two_keys();
    let relays = [relay(0).public_key, relay(1).public_key];
    let mut channeler = Channeler::new(small, DialTiming::default());
    channeler.set_relays(vec![relay(0), relay(1)], 0);
    channeler.set_endpoints(large, endpoints(&[0, 1]), 0);
    let mut dialled = Vec::new();
    for at in relays {
        channeler.relay_connected(at);
        dialled.extend(channeler.presence(at, large, true, 0));
    }
    let mut now = 0;
    for _ in 0..3 {
        channeler.dial_failed(large, now, 1);
        now = channeler.next_deadline().unwrap();
        dialled.extend(channeler.tick(now));
    }
    let [one, other] = relays;
    assert_eq!(dialled, [one, other, one, other].map(|at| Action::Dial(large, at)));
}

#[test]
fn a_relay_that_repeats_itself_does_not_put_a_dial_off() {
    let (small, large) = two_keys();
    let at = relay(0).public_key;
    let mut channeler = waiting(large, small);
    assert_eq!(channeler.presence(at, small, true, 0), []);
    assert_eq!(channeler.presence(at, small, true, 1999), []);
    assert_eq!(channeler.tick(2000), [Action::Dial(small, at)]);
}

#[test]
fn only_friends_are_wanted() {
    let (small, large) = two_keys();
    let mut channeler = waiting(small, large);
    assert!(channeler.is_wanted(&large) && !channeler.is_wanted(&key(9)));
    channeler.set_endpoints(large, None, 0);
    assert!(!channeler.is_wanted(&large));
}

/// What is told to relays about one friend does not repeat what they know of the others, and a friend who is away is no reason
/// to wake up.
#[test]
fn a_relay_is_told_only_of_the_friend_that_changes() {
    let (local, friend) = two_keys();
    let mut channeler = waiting(local, friend);
    channeler.set_relays(vec![relay(0)], 0);
    for seed in 3..50 {
        let told = channeler.set_endpoints(key(seed), endpoints(&[0]), 0);
        assert_eq!(told, [Action::Watch(relay(0).public_key, vec![key(seed)])]);
        assert_eq!(channeler.presence(relay(0).public_key, key(seed), false, 0), []);
    }
    assert_eq!(channeler.set_endpoints(key(7), endpoints(&[0]), 0), []);
    assert_eq!(channeler.set_endpoints(key(7), None, 0), [Action::Unwatch(relay(0).public_key, vec![key(7)])]);
    assert_eq!(channeler.next_deadline(), None);
    // A relay of our own that is so no longer is asked only for those who listen there.
    channeler.set_endpoints(key(3), endpoints(&[1]), 0);
    let told = channeler.set_relays(vec![], 0);
    assert_eq!(told, [Action::Unwatch(relay(0).public_key, vec![key(3)])]);
}
