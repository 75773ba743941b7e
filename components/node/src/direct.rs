//! Calling friends at their own addresses. An address is the friend's word: it may be a machine that swallows every packet, a name
//! that takes a minute to be looked up, or somebody else. So everything about a call is bounded, and nothing of it delays the
//! calls to others.

use crate::friend_link::{FriendLink, FriendStream};
use offst_crypto::PublicKey;
use offst_proto::ticket::Address;
use offst_secure_channel::Authenticator;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// Calls at the same time. One more fails at once, and goes over a relay.
const CALLS_MAX: usize = 128;
/// Names that are looked up at the same time. The system cannot be told to stop, so that a lookup may outlive its call by far
/// and keep a thread that others wait for.
const LOOK_UPS_MAX: usize = 16;
/// The parts of a call have no bound of their own: its deadline holds for everything, and says so.
const UNTIL_THE_DEADLINE: Duration = Duration::MAX;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Calls friends.
#[derive(Clone)]
pub(crate) struct Caller {
    authenticator: Authenticator,
    timeout: Duration,
    calls: Arc<Semaphore>,
    look_ups: LookUps,
}

impl Caller {
    /// `timeout`: for everything from the name to the friend's hello.
    pub(crate) fn new(authenticator: Authenticator, timeout: Duration) -> Self {
        Caller { authenticator, timeout, calls: Arc::new(Semaphore::new(CALLS_MAX)), look_ups: LookUps::default() }
    }

    /// Calls a friend and exchanges hellos.
    pub(crate) async fn call(
        &self,
        friend: PublicKey,
        address: &Address,
        hello: &[u8],
    ) -> Result<FriendLink<FriendStream>, String> {
        let _call = self.calls.try_acquire().map_err(|_| "too many friends are being called")?;
        let deadline = Instant::now() + self.timeout;
        let called = async {
            let addresses = self.look_ups.find(friend, address).await?;
            let stream = connect(&addresses, deadline).await?;
            // Small messages must not wait for the acknowledgement of those before; a broken socket says so at the next write.
            let _ = stream.set_nodelay(true);
            let stream = self.authenticator.connect_over(stream, friend, UNTIL_THE_DEADLINE).await;
            let stream: FriendStream = Box::new(stream.map_err(|error| error.to_string())?);
            FriendLink::greet(stream, hello, UNTIL_THE_DEADLINE).await
        };
        timeout_at(deadline, called).await.map_err(|_| format!("nobody has answered at {address} in time"))?
    }
}

/// Connects to the first address that answers. Each has its share of the time, because the first may swallow everything.
async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, String> {
    let mut failure = "the name has no address".to_owned();
    for (place, address) in addresses.iter().enumerate() {
        let others = u32::try_from(addresses.len() - place).expect("addresses are few");
        let share = deadline.saturating_duration_since(Instant::now()) / others;
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = format!("cannot connect to {address}: {error}"),
            Err(_) => failure = format!("nobody answers at {address}"),
        }
    }
    Err(failure)
}

/// The names that are being looked up, one for each friend at most.
#[derive(Clone, Default)]
struct LookUps(Arc<Mutex<BTreeSet<PublicKey>>>);

/// Ends with the lookup, not with the call.
struct LookUp {
    all: LookUps,
    friend: PublicKey,
}

impl Drop for LookUp {
    fn drop(&mut self) {
        // A set of keys is sound even if a thread panicked while it held the lock.
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.friend);
    }
}

impl LookUps {
    fn begin(&self, friend: PublicKey) -> Option<LookUp> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = names.len() < LOOK_UPS_MAX && names.insert(friend);
        is_free.then(|| LookUp { all: self.clone(), friend })
    }

    async fn find(&self, friend: PublicKey, address: &Address) -> Result<Vec<SocketAddr>, String> {
        if let Ok(ip) = address.host().parse::<IpAddr>() {
            return Ok(vec![(ip, address.port()).into()]);
        }
        let (host, port) = (address.host().to_owned(), address.port());
        self.run(friend, move || Ok((host, port).to_socket_addrs()?.take(ADDRESSES_MAX).collect())).await
    }

    /// Runs a lookup on a thread that may wait for the network, unless too many do.
    async fn run(
        &self,
        friend: PublicKey,
        look_up: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> Result<Vec<SocketAddr>, String> {
        let begun = self.begin(friend).ok_or("too many names are being looked up")?;
        let found = tokio::task::spawn_blocking(move || {
            let _begun = begun;
            look_up()
        });
        match found.await {
            Ok(found) => found.map_err(|error| format!("the name cannot be looked up: {error}")),
            Err(_) => Err("the node is stopping".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
