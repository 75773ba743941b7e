//! The server around the sessions: one thread of its own for all applications, one task a connection.

use crate::backend::Backend;
use crate::limits::Limits;
use crate::network::network;
use crate::permissions::{Grant, Permissions};
use crate::session::{App, Session};
use capnp::message::Builder;
use capnp_rpc::RpcSystem;
use capnp_rpc::rpc_capnp::message;
use offst_crypto::PublicKey;
use offst_proto::wire::app_capnp::{NOT_TRUSTED, node};
use offst_secure_channel::{Accepted, Acceptor, Authenticator, SecureStream, address_group};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;

/// How long a stranger may take to read that it is not trusted.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// Serves applications until `shutdown`, on a thread of its own: a busy application does not slow the node. `grants` says
/// whom the owner trusts and with what; taking something away closes the application's connections.
///
/// # Errors
/// The socket or the thread cannot be set up.
pub async fn serve(
    listener: TcpListener,
    authenticator: Authenticator,
    backend: Arc<dyn Backend>,
    grants: watch::Receiver<BTreeMap<PublicKey, Grant>>,
    limits: Limits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    // Readiness is told by the runtime that a socket was made in, so it moves to the other one in its plain form.
    let listener = listener.into_std()?;
    let stop = shutdown.child_token();
    // Ends the thread when nobody waits for this future any more.
    let _guard = stop.clone().drop_guard();
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new().name("apps".into()).spawn(move || {
        let result = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            let server = Server { backend, grants, limits, connections: Rc::default() };
            LocalSet::new().block_on(&runtime, server.run(listener, authenticator, stop))
        });
        // Fails only when `serve` was dropped.
        let _ = done.send(result);
    })?;
    ended.await.unwrap_or_else(|_| Err(io::Error::other("the thread that serves applications has failed")))
}

struct Server {
    backend: Arc<dyn Backend>,
    grants: watch::Receiver<BTreeMap<PublicKey, Grant>>,
    limits: Limits,
    connections: Rc<RefCell<Connections>>,
}

/// The open connections of each application, oldest first.
#[derive(Debug, Default)]
struct Connections {
    of_apps: BTreeMap<PublicKey, VecDeque<(u64, CancellationToken)>>,
    open: usize,
    opened: u64,
}

impl Connections {
    /// Counts a connection in, and ends the oldest of the application when it has too many. When all are too many, it ends the
    /// oldest of the application that has most, so that those with many connections keep none of the others out; of the newcomer
    /// itself when nobody has more; none when each application has one. What was told to end is open for a moment longer, and
    /// there is a bound on that, too.
    fn open(&mut self, app: PublicKey, stop: CancellationToken, limits: &Limits) -> Option<u64> {
        if self.open >= limits.connections_max.saturating_mul(2) {
            return None;
        }
        if self.of_apps.values().map(staying).sum::<usize>() >= limits.connections_max {
            let own = self.of_apps.get(&app).map_or(0, staying);
            let busiest = self.of_apps.values().max_by_key(|of_app| staying(of_app));
            let busiest = busiest.filter(|of_app| staying(of_app) > own + 1).or_else(|| self.of_apps.get(&app))?;
            let (_, oldest) = busiest.iter().find(|(_, stop)| !stop.is_cancelled())?;
            oldest.cancel();
        }
        self.open += 1;
        self.opened += 1;
        let of_app = self.of_apps.entry(app).or_default();
        of_app.push_back((self.opened, stop));
        if of_app.len() > limits.connections_per_app_max
            && let Some((_, oldest)) = of_app.front()
        {
            oldest.cancel();
        }
        Some(self.opened)
    }

    fn close(&mut self, app: &PublicKey, number: u64) {
        self.open -= 1;
        if let Some(of_app) = self.of_apps.get_mut(app) {
            of_app.retain(|(other, _)| *other != number);
            if of_app.is_empty() {
                self.of_apps.remove(app);
            }
        }
    }
}

/// How many of an application's connections were not told to end.
fn staying(of_app: &VecDeque<(u64, CancellationToken)>) -> usize {
    of_app.iter().filter(|(_, stop)| !stop.is_cancelled()).count()
}

/// Counts a connection out when its task ends, also by a panic.
struct Slot {
    connections: Rc<RefCell<Connections>>,
    app: PublicKey,
    number: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.borrow_mut().close(&self.app, self.number);
    }
}

impl Server {
    async fn run(
        self,
        listener: std::net::TcpListener,
        authenticator: Authenticator,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let mut acceptor = Acceptor::new(TcpListener::from_std(listener)?, authenticator, self.limits.handshakes)?;
        let mut tasks = JoinSet::new();
        let mut refusals = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = acceptor.accept() => self.begin(accepted, &mut tasks, &mut refusals, &stop),
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        log::error!("the connection of an app has failed, a defect of the node: {error}");
                    }
                }
                Some(_) = refusals.join_next() => {}
            }
        }
        // Connections see the same token; they end by themselves.
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    fn begin(
        &self,
        Accepted { public_key, address, stream }: Accepted,
        tasks: &mut JoinSet<()>,
        refusals: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) {
        let app = App { public_key, grants: self.grants.clone() };
        let Some(granted) = app.permissions() else {
            log::info!(peer:% = address_group(address.ip()); "refused the app {public_key} at {address}: it is not trusted");
            // Strangers get an explanation while there are few of them.
            if refusals.len() < self.limits.connections_per_app_max {
                refusals.spawn_local(async move {
                    // Whether it listens or not, the connection ends.
                    let _ = tokio::time::timeout(REFUSAL_TIME, refuse(stream)).await;
                });
            }
            return;
        };
        let stop = stop.child_token();
        let Some(number) = self.connections.borrow_mut().open(public_key, stop.clone(), &self.limits) else {
            log::warn!(peer:% = public_key; "closed the connection of the app {public_key} from {address}: too many connections");
            return;
        };
        log::debug!("the app {public_key} connected from {address} with the permissions \"{granted}\"");
        let slot = Slot { connections: self.connections.clone(), app: public_key, number };
        let revoked = revoked(app.grants.clone(), public_key, granted);
        let (backend, limits) = (self.backend.clone(), self.limits);
        tasks.spawn_local(async move {
            let ended = tokio::select! {
                ended = converse(stream, app, backend, limits) => ended,
                () = revoked => "the owner has taken a permission away".into(),
                () = stop.cancelled() => "a newer connection took its place, or the node stops".into(),
            };
            log::debug!("the connection of the app {public_key} from {address} ended: {ended}");
            drop(slot);
        });
    }
}

/// Lets the application call until the connection ends; says why it did.
async fn converse(stream: SecureStream<TcpStream>, app: App, backend: Arc<dyn Backend>, limits: Limits) -> String {
    let (network, load, writing) = network(stream, limits);
    let session: node::Client = capnp_rpc::new_client(Session::new(app, backend, load, &limits));
    let system = RpcSystem::new(Box::new(network), Some(session.client));
    let mut system = std::pin::pin!(system);
    let mut writing = std::pin::pin!(writing);
    tokio::select! {
        Err(error) = &mut system => {
            // What the library said last is still to be written.
            let _ = writing.await;
            error.to_string()
        }
        written = &mut writing => match written {
            Ok(()) => "the app closed it".into(),
            Err(error) => error.to_string(),
        },
    }
}

/// Ends when the application has lost a permission.
/// (R6.2.)
async fn revoked(mut grants: watch::Receiver<BTreeMap<PublicKey, Grant>>, app: PublicKey, mut granted: Permissions) {
    loop {
        let now = grants.borrow_and_update().get(&app).map(|grant| grant.permissions);
        match now {
            Some(now) if now.include(granted) => granted = now,
            _ => return,
        }
        if grants.changed().await.is_err() {
            // The node is stopping.
            return std::future::pending().await;
        }
    }
}

/// Tells a stranger that the owner does not trust it: the RPC protocol's Abort.
async fn refuse(mut stream: SecureStream<TcpStream>) -> io::Result<()> {
    let mut message = Builder::new_default();
    message.init_root::<message::Builder<'_>>().init_abort().set_reason(NOT_TRUSTED);
    stream.write_all(&capnp::serialize::write_message_to_words(&message)).await?;
    stream.shutdown().await?;
    // A socket that is closed with unread bytes takes back what was written.
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;

    #[test]
    fn connections_are_counted() {
        let limits = Limits { connections_max: 2, connections_per_app_max: 2, ..Limits::default() };
        let [one, two] = [1, 2].map(|seed| Identity::from_seed([seed; 32]).public_key());
        let mut connections = Connections::default();
        let first = CancellationToken::new();
        let number = connections.open(one, first.clone(), &limits).unwrap();
        connections.open(one, CancellationToken::new(), &limits).unwrap();
        assert!(!first.is_cancelled());
        connections.open(one, CancellationToken::new(), &limits).unwrap();
        assert!(first.is_cancelled());
        let other = connections.open(two, CancellationToken::new(), &limits).unwrap();
        // Four are open, and three of them were told to end.
        assert_eq!(connections.open(two, CancellationToken::new(), &limits), None);
        connections.close(&one, number);
        connections.close(&two, other);
        assert_eq!((connections.open, connections.of_apps.len()), (2, 1));
    }

    #[test]
    fn who_has_most_connections_makes_room() {
        let limits = Limits { connections_max: 4, connections_per_app_max: 4, ..Limits::default() };
        let keys = [1, 2, 3, 4, 5].map(|seed| Identity::from_seed([seed; 32]).public_key());
        let mut connections = Connections::default();
        let of_one: Vec<_> = (0..4).map(|_| CancellationToken::new()).collect();
        for stop in &of_one {
            connections.open(keys[0], stop.clone(), &limits).unwrap();
        }
        let ended = || of_one.iter().map(CancellationToken::is_cancelled).collect::<Vec<_>>();
        let last = CancellationToken::new();
        for (app, expected) in [
            (keys[1], [true, false, false, false]),
            (keys[2], [true, true, false, false]),
            (keys[3], [true, true, true, false]),
        ] {
            assert!(connections.open(app, last.clone(), &limits).is_some());
            assert_eq!(ended(), expected);
        }
        // Each has one: nobody has to go for a fifth, and the own oldest goes for another one of the same.
        assert_eq!(connections.open(keys[4], CancellationToken::new(), &limits), None);
        assert!(!last.is_cancelled());
        connections.close(&keys[0], 1);
        assert!(connections.open(keys[3], CancellationToken::new(), &limits).is_some());
        assert!(last.is_cancelled() && !of_one[3].is_cancelled());
    }
}
