//! Friends with an address of their own: when they are dialled there, and when over a relay.

use offst_channeler::{Action, Channeler, DialTiming, Endpoints, Link, LinkDecision};
use offst_crypto::{Identity, PublicKey};
use offst_proto::ticket::{Address, ServerTicket};

fn key(seed: u8) -> PublicKey {
    Identity::from_seed([seed; 32]).public_key()
}

/// Two keys, the smaller first.
fn two_keys() -> (PublicKey, PublicKey) {
    let (one, other) = (key(1), key(2));
    (one.min(other), one.max(other))
}

fn relay() -> ServerTicket {
    ServerTicket { public_key: key(100), address: "relay.example.org:1".parse().unwrap() }
}

fn home(port: u16) -> Address {
    format!("home.example.org:{port}").parse().unwrap()
}

/// A friend that listens at the relay, and at its own port if that is not 0.
fn endpoints(port: u16) -> Option<Endpoints> {
    Some(Endpoints { relays: vec![relay()], address: (port != 0).then(|| home(port)) })
}

/// A channeler that is connected to its relay.
fn at_relay(local: PublicKey) -> Channeler {
    let mut channeler = Channeler::new(local, DialTiming::default());
    channeler.set_relays(vec![relay()], 0);
    channeler.relay_connected(relay().public_key);
    channeler
}

fn direct(id: u64) -> Link {
    Link { id, dialled: true, direct: true, incarnation: 7 }
}

fn over_relay(id: u64, dialled: bool) -> Link {
    Link { id, dialled, direct: false, incarnation: 7 }
}

const USED: LinkDecision = LinkDecision::Use { replaces: None };

// R4.5.
#[test]
fn a_friend_with_an_address_is_dialled_there_at_once_with_either_key() {
    let (small, large) = two_keys();
    for (local, friend) in [(small, large), (large, small)] {
        let mut channeler = Channeler::new(local, DialTiming::default());
        assert_eq!(
            channeler.set_endpoints(friend, endpoints(5), 10).last(),
            Some(&Action::DialDirect(friend, home(5)))
        );
        // Once, whatever is reported meanwhile.
        assert_eq!(channeler.set_endpoints(friend, endpoints(6), 11), []);
        channeler.relay_connected(relay().public_key);
        assert_eq!(channeler.presence(relay().public_key, friend, true, 12), []);
        assert_eq!(channeler.tick(50_000), []);
        assert_eq!(channeler.link_up(friend, direct(1), 50_000), USED);
        assert_eq!(channeler.next_deadline(), None);
    }
}

#[test]
fn a_dead_address_is_followed_by_the_relay_at_once() {
    let (small, large) = two_keys();
    let at = relay().public_key;
    let mut channeler = at_relay(large);
    channeler.set_endpoints(small, endpoints(5), 0);
    assert_eq!(channeler.presence(at, small, true, 5), []);
    assert_eq!(channeler.dial_failed(small, 10, 0), [Action::Dial(small, at)]);
    assert_eq!(channeler.link_up(small, over_relay(1, true), 20), USED);
    // When the failure is long enough ago, the address comes first again.
    channeler.link_down(small, 1, 1_000, 0);
    let next = channeler.next_deadline().unwrap();
    assert!(next < 1_300, "a node that can dial without a relay does not wait for the other");
    assert_eq!(channeler.tick(next), [Action::DialDirect(small, home(5))]);
}

// R4.6.
#[test]
fn a_connection_over_a_relay_is_replaced_by_a_direct_one_that_is_up() {
    let (small, large) = two_keys();
    let mut channeler = at_relay(small);
    channeler.set_endpoints(large, endpoints(0), 0);
    assert_eq!(channeler.link_up(large, over_relay(1, true), 0), USED);
    assert_eq!(channeler.next_deadline(), None);
    // It tells its address in its hello.
    assert_eq!(channeler.set_endpoints(large, endpoints(5), 10), []);
    assert_eq!(channeler.next_deadline(), Some(10_000));
    assert_eq!(channeler.tick(10_000), [Action::DialDirect(large, home(5))]);
    assert_eq!(channeler.dial_failed(large, 13_000, 0), [], "no second one over a relay");
    let mut now = channeler.next_deadline().unwrap();
    let mut pauses = vec![now - 13_000];
    for _ in 0..20 {
        assert_eq!(channeler.tick(now), [Action::DialDirect(large, home(5))]);
        channeler.dial_failed(large, now, 0);
        let next = channeler.next_deadline().unwrap();
        pauses.push(next - now);
        now = next;
    }
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]) && pauses[20] == 300_000, "{pauses:?}");
    assert_eq!(channeler.tick(now), [Action::DialDirect(large, home(5))]);
    assert_eq!(channeler.link_up(large, direct(2), now), LinkDecision::Use { replaces: Some(1) });
    assert_eq!(channeler.next_deadline(), None);
    // A relay is no reason to leave a direct one, and its own end no reason to dial.
    assert_eq!(channeler.presence(relay().public_key, large, true, now + 1), []);
    channeler.link_down(large, 1, now + 1, 0);
    assert_eq!(channeler.next_deadline(), None);
}

/// A direct dial that has crossed a better one is repeated later.
#[test]
fn a_direct_connection_that_came_too_late_is_tried_again() {
    let (small, large) = two_keys();
    let mut channeler = at_relay(large);
    channeler.set_endpoints(small, endpoints(5), 0);
    assert_eq!(channeler.link_up(small, over_relay(1, false), 2_000), USED);
    assert_eq!(channeler.link_up(small, direct(2), 2_500), LinkDecision::Reject);
    assert_eq!(channeler.next_deadline(), Some(12_000));
    assert_eq!(channeler.tick(12_000), [Action::DialDirect(small, home(5))]);
    assert_eq!(channeler.link_up(small, direct(3), 12_100), LinkDecision::Use { replaces: Some(1) });
}

#[test]
fn a_dead_address_is_tried_less_and_less_often() {
    let (small, large) = two_keys();
    let mut channeler = Channeler::new(small, DialTiming::default());
    let mut actions = channeler.set_endpoints(large, Some(Endpoints { relays: vec![], address: Some(home(5)) }), 0);
    let (mut now, mut pauses) = (0, Vec::new());
    for _ in 0..14 {
        assert_eq!(actions, [Action::DialDirect(large, home(5))]);
        assert_eq!(channeler.dial_failed(large, now, 77_777), []);
        let next = channeler.next_deadline().unwrap();
        pauses.push(next - now);
        assert_eq!(channeler.tick(next - 1), []);
        now = next;
        actions = channeler.tick(now);
    }
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]), "{pauses:?}");
    assert!((100..200).contains(&pauses[0]) && (15_000..30_000).contains(&pauses[13]), "{pauses:?}");
}

/// A friend that appears again and again, and tells another address each time, gets no more dials for it.
/// (R4.7.)
#[test]
fn a_friend_cannot_shorten_the_pauses_between_dials_to_its_address() {
    let (small, large) = two_keys();
    let at = relay().public_key;
    let mut channeler = at_relay(small);
    let (mut dials, mut id) = (0, 0);
    for now in (0..600_000).step_by(100) {
        let mut actions = channeler.presence(at, large, false, now);
        actions.extend(channeler.set_endpoints(large, endpoints(1 + (now / 100) as u16), now));
        actions.extend(channeler.presence(at, large, true, now));
        // It connects for a short time, too.
        id += 1;
        if channeler.link_up(large, over_relay(id, false), now) == USED {
            channeler.link_down(large, id, now, 3);
        }
        actions.extend(channeler.tick(now));
        while let Some(action) = actions.pop() {
            match action {
                Action::DialDirect(..) => {
                    dials += 1;
                    actions.extend(channeler.dial_failed(large, now, 3));
                }
                Action::Dial(..) => actions.extend(channeler.dial_failed(large, now, 3)),
                _ => {}
            }
        }
    }
    assert!((10..=48).contains(&dials), "{dials} dials in ten minutes");
}

#[test]
fn an_address_that_answers_and_closes_counts_as_dead() {
    let (small, large) = two_keys();
    let at = relay().public_key;
    let mut channeler = at_relay(small);
    channeler.presence(at, large, true, 0);
    let mut actions = channeler.set_endpoints(large, endpoints(5), 0);
    channeler.presence(at, large, true, 0);
    let (mut now, mut direct_dials) = (0, 0);
    for id in 1.. {
        if id > 200 && actions.contains(&Action::DialDirect(large, home(5))) {
            break;
        }
        let dialled_direct = actions.contains(&Action::DialDirect(large, home(5)));
        direct_dials += u32::from(dialled_direct);
        let link = if dialled_direct { direct(id) } else { over_relay(id, true) };
        assert_eq!(channeler.link_up(large, link, now), USED);
        // A connection over the relay holds; the next direct one comes when it ends.
        let held = if dialled_direct { 10 } else { 6_000 };
        channeler.link_down(large, id, now + held, 0);
        now = channeler.next_deadline().unwrap();
        actions = channeler.tick(now);
        assert_eq!(actions.len(), 1, "{actions:?}");
    }
    assert!(direct_dials < 60, "{direct_dials}");
    // One that has held for long is not held against it.
    channeler.link_up(large, direct(10_000), now);
    channeler.link_down(large, 10_000, now + 60_000, 0);
    now = channeler.next_deadline().unwrap();
    assert_eq!(channeler.tick(now), [Action::DialDirect(large, home(5))]);
}

#[test]
fn a_node_that_can_be_dialled_waits_for_friends_that_it_can_only_reach_over_a_relay() {
    let (small, large) = two_keys();
    let at = relay().public_key;
    let mut channeler = at_relay(small);
    channeler.listen_for_friends();
    channeler.set_endpoints(large, endpoints(0), 0);
    // Without an address it would dial at once, having the smaller key.
    assert_eq!(channeler.presence(at, large, true, 10), []);
    assert_eq!(channeler.tick(2_009), []);
    assert_eq!(channeler.tick(2_010), [Action::Dial(large, at)]);
    // Where both can be dialled, the keys decide as they do without addresses.
    for (local, friend, pause) in [(small, large, 0), (large, small, 2_000)] {
        let mut channeler = at_relay(local);
        channeler.listen_for_friends();
        channeler.set_endpoints(friend, endpoints(5), 0);
        assert_eq!(channeler.link_up(friend, direct(1), 0), USED);
        channeler.link_down(friend, 1, 100_000, 0);
        assert_eq!(channeler.next_deadline(), Some(100_100 + pause));
    }
}

#[test]
fn a_failure_that_comes_after_a_connection_dials_nobody() {
    let (small, large) = two_keys();
    let at = relay().public_key;
    let mut channeler = at_relay(small);
    channeler.set_endpoints(large, endpoints(5), 0);
    channeler.presence(at, large, true, 0);
    // The friend has come over the relay meanwhile.
    assert_eq!(channeler.link_up(large, over_relay(1, false), 2_000), USED);
    assert_eq!(channeler.dial_failed(large, 3_000, 0), []);
    assert_eq!(channeler.next_deadline(), Some(12_000));
    assert_eq!(channeler.tick(11_999), []);
}

#[test]
fn crossed_dials_resolve_to_one_whatever_carries_them() {
    let (small, large) = two_keys();
    // The smaller one dials directly, the larger one over the relay, and the two come up in different orders.
    let mut one = at_relay(small);
    one.set_endpoints(large, endpoints(5), 0);
    assert_eq!(one.link_up(large, over_relay(1, false), 0), USED);
    assert_eq!(one.link_up(large, direct(2), 10), LinkDecision::Use { replaces: Some(1) });
    let mut other = at_relay(large);
    other.set_endpoints(small, endpoints(0), 0);
    let accepted = Link { dialled: false, ..direct(1) };
    assert_eq!(other.link_up(small, accepted, 0), USED);
    assert_eq!(other.link_up(small, over_relay(2, true), 10), LinkDecision::Reject);
}

#[test]
fn an_address_that_is_withdrawn_is_dialled_no_more() {
    let (small, large) = two_keys();
    let mut channeler = Channeler::new(small, DialTiming::default());
    channeler.set_endpoints(large, endpoints(5), 0);
    assert_eq!(channeler.dial_failed(large, 0, 0), []);
    channeler.set_endpoints(large, endpoints(0), 10);
    let next = channeler.next_deadline().unwrap();
    assert_eq!(channeler.tick(next), []);
    assert_eq!(channeler.next_deadline(), None);
    // Nor when the friend is not wanted any more.
    channeler.set_endpoints(large, endpoints(5), 20);
    channeler.set_endpoints(large, None, 30);
    assert_eq!(channeler.dial_failed(large, 40, 0), []);
    assert!(!channeler.tick(1_000_000).iter().any(|action| matches!(action, Action::DialDirect(..))));
}
