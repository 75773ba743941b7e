use super::*;
use offst_crypto::Identity;
use std::sync::mpsc;
use tokio::net::TcpListener;

fn key(seed: u8) -> PublicKey {
    Identity::from_seed([seed; 32]).public_key()
}

fn caller(timeout_ms: u64) -> Caller {
    Caller::new(Authenticator::new(&Identity::from_seed([1; 32])), Duration::from_millis(timeout_ms))
}

async fn silent() -> (TcpListener, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    (listener, address)
}

#[tokio::test]
async fn who_says_nothing_is_given_up() {
    let (_listener, address) = silent().await;
    let caller = caller(50);
    assert!(caller.call(key(2), &address, Reach::Anywhere, b"").await.is_err());
    assert_eq!(caller.calls.available_permits(), CALLS_MAX);
}

#[tokio::test]
async fn too_many_calls_fail_at_once() {
    let (_listener, address) = silent().await;
    let caller = caller(u64::from(u32::MAX));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS_MAX {
        let (caller, address) = (caller.clone(), address.clone());
        calls.spawn(async move { caller.call(key(2), &address, Reach::Anywhere, b"").await.is_ok() });
    }
    while caller.calls.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let Err(reason) = caller.call(key(3), &address, Reach::Anywhere, b"").await else { panic!("one too many") };
    assert_eq!(reason, "too many friends are being called");
    calls.shutdown().await;
    assert_eq!(caller.calls.available_permits(), CALLS_MAX);
}

#[test]
fn private_addresses_are_called_only_where_the_node_is_private_itself() {
    let private = [
        "127.0.0.1",
        "127.8.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fd00::1",
        "fe80::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
    ];
    let public = ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8", "64:ff9b::808:808"];
    let places =
        |hosts: &[&str]| hosts.iter().map(|host| (host.parse::<IpAddr>().unwrap(), 22).into()).collect::<Vec<_>>();
    let (private, public) = (places(&private), places(&public));
    let name: Address = "friend.test:22".parse().unwrap();
    let both = [private.clone(), public.clone()].concat();
    assert_eq!(Reach::Public.of(&name, both.clone()), Ok(public));
    assert_eq!(Reach::Anywhere.of(&name, both.clone()), Ok(both));
    for place in private {
        let address = place.to_string().parse().unwrap();
        let refused = Reach::Public.of(&address, vec![place]).unwrap_err();
        assert_eq!(
            refused,
            format!("{address} is in a private network, and such addresses are not called (dial_private)")
        );
        assert!(is_private_host(&address));
    }
    assert!(is_private_host(&"localhost:1".parse().unwrap()));
    assert!(!is_private_host(&name));
}

#[tokio::test]
async fn somebody_in_the_own_network_is_not_even_connected_to() {
    let (listener, address) = silent().await;
    let Err(refused) = caller(60_000).call(key(2), &address, Reach::Public, b"").await else { panic!("called") };
    assert!(refused.ends_with("(dial_private)"), "{refused}");
    let accepted = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(accepted.is_err(), "nobody has connected");
}

/// A name that takes for ever occupies one thread for one friend, and few for all.
#[tokio::test]
async fn names_that_hang_delay_nobody_else() {
    let look_ups = LookUps::default();
    let found = || Ok(vec!["127.0.0.1:1".parse().unwrap()]);
    let mut release = Vec::new();
    let mut hang = |friend: u8| {
        let (give_back, hanging) = mpsc::channel::<()>();
        release.push(give_back);
        let look_ups = look_ups.clone();
        tokio::spawn(async move {
            let hang = move || {
                // Ends when the other side is dropped.
                let _ = hanging.recv();
                Ok(vec![])
            };
            look_ups.run(key(friend), hang).await
        })
    };
    let mut hanging = vec![hang(2)];
    while look_ups.0.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    // The call is given up, the lookup is not: no second one for this friend, but for others.
    hanging[0].abort();
    assert_eq!(look_ups.run(key(2), found).await.unwrap_err(), "too many names are being looked up");
    assert_eq!(look_ups.run(key(3), found).await.unwrap().len(), 1);
    hanging.extend((4..).take(LOOK_UPS_MAX - 1).map(&mut hang));
    while look_ups.0.lock().unwrap().len() < LOOK_UPS_MAX {
        tokio::task::yield_now().await;
    }
    assert!(look_ups.run(key(3), found).await.is_err());
    // An address needs no lookup.
    let address = "[::1]:7".parse().unwrap();
    assert_eq!(look_ups.find(key(3), &address).await, Ok(vec!["[::1]:7".parse().unwrap()]));
    drop(release);
    for task in hanging {
        let _ = task.await;
    }
    while !look_ups.0.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(look_ups.run(key(2), found).await.unwrap().len(), 1);
}
