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
    assert!(caller.call(key(2), &address, b"").await.is_err());
    assert_eq!(caller.calls.available_permits(), CALLS_MAX);
}

#[tokio::test]
async fn too_many_calls_fail_at_once() {
    let (_listener, address) = silent().await;
    let caller = caller(u64::from(u32::MAX));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS_MAX {
        let (caller, address) = (caller.clone(), address.clone());
        calls.spawn(async move { caller.call(key(2), &address, b"").await.is_ok() });
    }
    while caller.calls.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let Err(reason) = caller.call(key(3), &address, b"").await else { panic!("one too many") };
    assert_eq!(reason, "too many friends are being called");
    calls.shutdown().await;
    assert_eq!(caller.calls.available_permits(), CALLS_MAX);
}

#[tokio::test]
async fn a_later_address_of_a_name_is_tried_when_the_first_does_not_answer() {
    let (listener, _) = silent().await;
    let open = listener.local_addr().unwrap();
    // Held, so that nobody else comes to listen there.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = socket.local_addr().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let stream = connect(&[closed, open], deadline).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), open);
    assert!(connect(&[closed], deadline).await.unwrap_err().contains(&closed.to_string()));
    assert_eq!(connect(&[], deadline).await.unwrap_err(), "the name has no address");
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
