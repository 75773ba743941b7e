//! The thread's work without the thread: events go in by hand, and what its connections would send is seen.

use super::*;
use crate::core_queue::core_queue;
use offst_funder::Input;
use offst_proto::Currency;
use offst_proto::friend::{FriendMessage, Resume};
use offst_proto::order::NewFriend;
use offst_proto::ticket::FriendTicket;
use tempfile::TempDir;

fn identity(seed: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed([seed; 32]))
}

fn friend() -> PublicKey {
    identity(2).public_key()
}

/// A node with one friend, as it is after a start.
fn core() -> (Core, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("node.db");
    Store::create(&database, identity(1).public_key()).unwrap();
    let settings = crate::settings::NodeSettings::default();
    let outside = Outside {
        index: Arc::new(IndexClient::start(identity(1), settings.index)),
        network: mpsc::unbounded_channel().0,
        events: broadcast::channel(16).0,
        grants: watch::channel(BTreeMap::new()).1,
        counters: Arc::default(),
        runtime: tokio::runtime::Handle::current(),
        core: core_queue().0,
        batch_max: settings.batch_max,
        route_reuse_ms: settings.route_reuse_ms,
    };
    let core = Core::load(&database, identity(1), settings.timing, settings.fee_bounds, outside).unwrap();
    let ticket = FriendTicket { public_key: friend(), relays: vec![], address: None };
    let new = NewFriend {
        name: "bob".into(),
        ticket,
        balance: 0,
        currency: Currency::default(),
        max_debt: 9.into(),
        open: true,
    };
    let (reply, _) = oneshot::channel();
    let added = CoreEvent::Command(Command::AddFriend(Box::new(new)), reply);
    (core.handle(&mut vec![CoreEvent::Input(Input::Start), added]).unwrap(), folder)
}

/// A connection of the friend, and what is sent on it.
fn connected(connection: ConnectionId) -> (CoreEvent, mpsc::Receiver<Vec<u8>>, CancellationToken) {
    let (frames, sent) = mpsc::channel(64);
    let close = CancellationToken::new();
    (CoreEvent::Connected(friend(), connection, FrameSink { frames, close: close.clone() }), sent, close)
}

fn count(sent: &mut mpsc::Receiver<Vec<u8>>) -> usize {
    std::iter::from_fn(|| sent.try_recv().ok()).count()
}

/// Asks to be told again where the account stands.
fn resume(connection: ConnectionId) -> CoreEvent {
    let resume = Resume { currency: Currency::default(), opening: None, epoch: None, recovering: true };
    CoreEvent::Input(Input::Resume(friend(), connection, Box::new(resume)))
}

#[tokio::test]
async fn what_is_for_an_old_connection_is_not_sent_on_a_new_one() {
    let (core, _folder) = core();
    let ((first, _asked_for_backup, _), (second, mut sent, _)) = (connected(0), connected(1));
    let core = core.handle(&mut vec![first]).unwrap();
    let core = core.handle(&mut vec![second]).unwrap();
    let greeting = count(&mut sent);
    assert!(greeting > 0, "where the account stands");
    // Both come up in one batch: what is said on the first is for the first alone, which is not in use any more.
    let ((old, mut sent_on_old, _), (new, mut sent_on_new, _)) = (connected(2), connected(3));
    let mut core = core.handle(&mut vec![old, new]).unwrap();
    assert_eq!((count(&mut sent_on_old), count(&mut sent_on_new)), (0, greeting));
    core.carry_out(Output::Send(friend(), 2, vec![7])).unwrap();
    assert_eq!(count(&mut sent_on_new), 0);
    core.carry_out(Output::Send(friend(), 3, vec![7])).unwrap();
    assert_eq!(count(&mut sent_on_new), 1);
}

#[tokio::test]
async fn what_comes_from_an_old_connection_does_not_count_for_a_new_one() {
    let (core, _folder) = core();
    let ((old, _sent_on_old, _), (new, mut sent, _)) = (connected(1), connected(2));
    let core = core.handle(&mut vec![old, new]).unwrap();
    count(&mut sent);
    let core = core.handle(&mut vec![resume(1)]).unwrap();
    assert!(count(&mut sent) == 0 && core.later.is_empty(), "asked by one that is gone");
    let gone = CoreEvent::Input(Input::Disconnected(friend(), 1));
    let core = core.handle(&mut vec![gone]).unwrap();
    let mut core = core.handle(&mut vec![resume(2)]).unwrap();
    assert!(count(&mut sent) > 0 || !core.later.is_empty(), "the new one is in use still, and is answered");
    core.carry_out(Output::Send(friend(), 2, FriendMessage::keepalive_frame())).unwrap();
    assert_eq!(count(&mut sent), 1);
}

#[tokio::test]
async fn a_friend_that_does_not_read_is_disconnected_and_the_others_are_not() {
    let (core, _folder) = core();
    let (event, mut sent, close) = connected(1);
    let mut core = core.handle(&mut vec![event]).unwrap();
    count(&mut sent);
    for _ in 0..64 {
        core.carry_out(Output::Send(friend(), 1, vec![])).unwrap();
    }
    assert!(!close.is_cancelled());
    core.carry_out(Output::Send(friend(), 1, vec![])).unwrap();
    assert!(close.is_cancelled() && core.sinks.is_empty());
}

/// Stops the thread from inside, with the reply that it gives.
struct StopWith(CancellationToken);

impl std::task::Wake for StopWith {
    fn wake(self: Arc<Self>) {
        self.0.cancel();
    }
}

/// With more events of a friend waiting than many batches take, a command is in the first of them, and the end comes at once.
#[tokio::test]
async fn a_command_is_answered_among_a_friends_flood() {
    let (mut core, _folder) = core();
    core.outside.batch_max = 4;
    let counters = core.outside.counters.clone();
    let handled = || counters.inputs.load(std::sync::atomic::Ordering::Relaxed);
    let before = handled();
    let (queue, events) = core_queue();
    for number in 0..2_000 {
        // Of connections that are gone: nothing comes of them.
        let gone = CoreEvent::Input(Input::Disconnected(friend(), number));
        queue.send_now(Source::Friend(friend()), gone).unwrap();
    }
    let (reply, mut answer) = oneshot::channel();
    let app = Source::App(identity(9).public_key());
    queue.send_now(app, CoreEvent::Command(Command::Contact, reply)).unwrap();
    let stop = CancellationToken::new();
    let waker = Arc::new(StopWith(stop.clone())).into();
    assert!(std::pin::Pin::new(&mut answer).poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    std::thread::spawn(move || core.run(events, &stop)).join().unwrap().unwrap();
    assert!(answer.await.is_ok());
    assert_eq!(handled() - before, 2 + 4, "what every start begins with, and one batch");
}
