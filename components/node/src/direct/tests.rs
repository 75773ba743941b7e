use super::*;
use offst_crypto::Identity;
use std::sync::mpsc;
use tokio::net::TcpListener;

fn key(seed: u8) -> PublicKey {
    Identity::from_seed([seed; 32]).public_key()
}

fn dialler(timeout_ms: u64) -> DirectDialler {
    DirectDialler::new(Authenticator::new(&Identity::from_seed([1; 32])), Duration::from_millis(timeout_ms))
}

async fn silent() -> (TcpListener, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    (listener, address)
}

#[tokio::test]
async fn a_friend_that_says_nothing_is_given_up() {
    let (_listener, address) = silent().await;
    let dialler = dialler(50);
    assert!(dialler.dial(key(2), &address, Reach::Anywhere, b"").await.is_err());
    assert_eq!(dialler.dials.available_permits(), DIALS_MAX);
}

#[tokio::test]
async fn too_many_dials_fail_at_once() {
    let (_listener, address) = silent().await;
    let dialler = dialler(u64::from(u32::MAX));
    let mut dials = tokio::task::JoinSet::new();
    for _ in 0..DIALS_MAX {
        let (dialler, address) = (dialler.clone(), address.clone());
        dials.spawn(async move { dialler.dial(key(2), &address, Reach::Anywhere, b"").await.is_ok() });
    }
    while dialler.dials.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let Err(reason) = dialler.dial(key(3), &address, Reach::Anywhere, b"").await else { panic!("one too many") };
    assert_eq!(reason, "too many friends are being dialled");
    dials.shutdown().await;
    assert_eq!(dialler.dials.available_permits(), DIALS_MAX);
}

// R4.9.
#[test]
fn private_addresses_are_dialled_only_where_the_node_is_private_itself() {
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
    let addresses =
        |hosts: &[&str]| hosts.iter().map(|host| (host.parse::<IpAddr>().unwrap(), 22).into()).collect::<Vec<_>>();
    let (private, public) = (addresses(&private), addresses(&public));
    let name: Address = "friend.test:22".parse().unwrap();
    let both = [private.clone(), public.clone()].concat();
    assert_eq!(Reach::Public.of(&name, both.clone()), Ok(public));
    assert_eq!(Reach::Anywhere.of(&name, both.clone()), Ok(both));
    for private in private {
        let address = private.to_string().parse().unwrap();
        let refused = Reach::Public.of(&address, vec![private]).unwrap_err();
        assert_eq!(
            refused,
            format!("{address} is in a private network, and such addresses are not dialled (dial_private)")
        );
        assert!(is_private_host(&address));
    }
    assert!(is_private_host(&"localhost:1".parse().unwrap()));
    assert!(!is_private_host(&name));
}

#[tokio::test]
async fn a_machine_in_the_own_network_is_not_even_connected_to() {
    let (listener, address) = silent().await;
    let Err(refused) = dialler(60_000).dial(key(2), &address, Reach::Public, b"").await else { panic!("connected") };
    assert!(refused.ends_with("(dial_private)"), "{refused}");
    let accepted = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(accepted.is_err(), "nobody has connected");
}

/// A name that takes forever occupies one thread for one friend, and few for all.
#[tokio::test]
async fn names_that_hang_delay_nobody_else() {
    let lookups = NameLookups::default();
    let found = || Ok(vec!["127.0.0.1:1".parse().unwrap()]);
    let mut release = Vec::new();
    let mut hang = |friend: u8| {
        let (give_back, hanging) = mpsc::channel::<()>();
        release.push(give_back);
        let lookups = lookups.clone();
        tokio::spawn(async move {
            let hang = move || {
                // Ends when the other side is dropped.
                let _ = hanging.recv();
                Ok(vec![])
            };
            lookups.run(key(friend), hang).await
        })
    };
    let mut hanging = vec![hang(2)];
    while lookups.0.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    // The dial is given up, the lookup is not: no second one for this friend, but for others.
    hanging[0].abort();
    assert_eq!(lookups.run(key(2), found).await.unwrap_err(), "too many names are being looked up");
    assert_eq!(lookups.run(key(3), found).await.unwrap().len(), 1);
    hanging.extend((4..).take(LOOKUPS_MAX - 1).map(&mut hang));
    while lookups.0.lock().unwrap().len() < LOOKUPS_MAX {
        tokio::task::yield_now().await;
    }
    assert!(lookups.run(key(3), found).await.is_err());
    // An address needs no lookup.
    let address = "[::1]:7".parse().unwrap();
    assert_eq!(lookups.find(key(3), &address).await, Ok(vec!["[::1]:7".parse().unwrap()]));
    drop(release);
    for task in hanging {
        let _ = task.await;
    }
    while !lookups.0.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(lookups.run(key(2), found).await.unwrap().len(), 1);
}
