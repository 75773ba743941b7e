use super::*;
use crate::core_queue::{CoreReceiver, core_queue};
use crate::settings::FriendLimits;
use offst_crypto::Identity;
use offst_proto::Currency;
use offst_proto::friend::{Direct, resume_frame};
use std::sync::atomic::Ordering;
use tokio::io::DuplexStream;

const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that runs, the friend's end of it, and what it sends to the core thread.
async fn link(limits: FriendLimits, connection: ConnectionId) -> (FriendLink<DuplexStream>, CoreReceiver, LinkContext) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let hello = FriendMessage::hello_frame(1, &Direct::Nowhere);
    let (near, far) = tokio::join!(FriendLink::greet(near, &hello, PATIENCE), FriendLink::greet(far, &hello, PATIENCE));
    let (core, receiver) = core_queue();
    let context = LinkContext {
        friend: Identity::from_seed([2; 32]).public_key(),
        connection,
        core,
        rate_limit: FriendRateLimit::new(limits),
        counters: Arc::default(),
        keepalive: KeepaliveConfig { keepalive_ms: 600_000, idle_timeout_ms: 1_200_000 },
        close: CancellationToken::new(),
    };
    let (near, running) = (near.unwrap(), context.clone());
    tokio::spawn(async move { run(near, &running, mpsc::channel(1).1).await });
    (far.unwrap(), receiver, context)
}

fn resume() -> Vec<u8> {
    resume_frame(&Currency::default(), None, None, false)
}

#[tokio::test]
async fn each_input_names_its_connection() {
    let (mut friend, mut receiver, context) = link(FriendLimits::default(), 7).await;
    friend.writer.send(&resume()).await.unwrap();
    friend.writer.send(&offst_proto::resolve::recall_frame()).await.unwrap();
    let CoreEvent::Input(Input::Resume(key, 7, _)) = receiver.next().await else { panic!("something else") };
    assert_eq!(key, context.friend);
    let CoreEvent::Input(Input::Message(_, 7, _)) = receiver.next().await else { panic!("something else") };
    assert_eq!(context.counters.friends_slowed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_friend_that_asks_too_much_is_read_more_slowly() {
    let limits = FriendLimits { questions_per_second: 1, ..FriendLimits::default() };
    let (mut friend, mut receiver, context) = link(limits, 1).await;
    for _ in 0..2 {
        friend.writer.send(&resume()).await.unwrap();
    }
    // Both are answered all the same, and the second one a little later.
    for _ in 0..2 {
        let CoreEvent::Input(Input::Resume(..)) = receiver.next().await else { panic!("something else") };
    }
    assert!(context.counters.friends_slowed.load(Ordering::Relaxed) > 0);
}
