//! Dials friends at their own addresses. An address is only what the friend says: it may be a machine that swallows every packet,
//! a name that takes a minute to look up, or another machine. So everything about a dial is bounded, and nothing of it delays the
//! dials to others.

use crate::greeting::{FriendLink, FriendStream};
use offst_crypto::PublicKey;
use offst_proto::ticket::Address;
use offst_secure_channel::Authenticator;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// Dials at the same time. One more fails at once, and the friend is dialled over a relay.
const DIALS_MAX: usize = 128;
/// Names that are looked up at the same time. The system cannot be told to stop, so that a lookup may outlive its dial by far
/// and occupy a thread that others wait for.
const LOOKUPS_MAX: usize = 16;
/// The hellos have no bound of their own: the deadline of the dial holds for everything.
const UNTIL_THE_DEADLINE: Duration = Duration::MAX;
/// Addresses of one name that are considered.
const ADDRESSES_MAX: usize = 64;

/// Which of the addresses that friends tell are dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of them.
    Anywhere,
    /// Public ones: friends elsewhere must not make this node connect to what listens in its own network.
    Public,
}

/// Whether an address belongs to this machine or to a network that others cannot see.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            // Shared with the customers of one provider (RFC 6598).
            let is_shared = first == 100 && second & 0xc0 == 64;
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_multicast()
                || first == 0
                || first >= 240
                || is_shared
        }
        IpAddr::V6(address) => {
            let is_embedded_private = |address: Ipv6Addr| match address.segments() {
                // How IPv4 is reached over a NAT64 (RFC 6052): what is behind the prefix decides.
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                    is_private(IpAddr::V4((u32::from(high) << 16 | u32::from(low)).into()))
                }
                _ => false,
            };
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_multicast()
                || is_embedded_private(address)
        }
    }
}

/// Whether the host is a private address. A name is none, except for the one that every machine has for itself.
pub(crate) fn is_private_host(address: &Address) -> bool {
    address.is_loopback() || address.host().parse().is_ok_and(is_private)
}

impl Reach {
    /// Those of the addresses of `address` that may be dialled.
    /// (R4.9.)
    fn of(self, address: &Address, mut found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, String> {
        let is_empty = found.is_empty();
        if self == Reach::Public {
            found.retain(|address| !is_private(address.ip()));
        }
        if found.is_empty() && !is_empty {
            return Err(format!(
                "{address} is in a private network, and such addresses are not dialled (dial_private)"
            ));
        }
        Ok(found)
    }
}

/// Dials friends.
#[derive(Clone)]
pub(crate) struct DirectDialler {
    authenticator: Authenticator,
    timeout: Duration,
    dials: Arc<Semaphore>,
    lookups: NameLookups,
}

impl DirectDialler {
    /// `timeout`: for everything from the name to the friend's hello.
    pub(crate) fn new(authenticator: Authenticator, timeout: Duration) -> Self {
        DirectDialler {
            authenticator,
            timeout,
            dials: Arc::new(Semaphore::new(DIALS_MAX)),
            lookups: NameLookups::default(),
        }
    }

    /// Dials a friend and exchanges hellos.
    pub(crate) async fn dial(
        &self,
        friend: PublicKey,
        address: &Address,
        reach: Reach,
        hello: &[u8],
    ) -> Result<FriendLink<FriendStream>, String> {
        let _slot = self.dials.try_acquire().map_err(|_| "too many friends are being dialled")?;
        let deadline = Instant::now() + self.timeout;
        let dialled = async {
            let found = reach.of(address, self.lookups.find(friend, address).await?)?;
            let left = deadline.saturating_duration_since(Instant::now());
            let stream = self.authenticator.connect_to(address, found, friend, left).await;
            let stream: FriendStream = Box::new(stream.map_err(|error| error.to_string())?);
            FriendLink::greet(stream, hello, UNTIL_THE_DEADLINE).await
        };
        timeout_at(deadline, dialled).await.map_err(|_| format!("nobody has answered at {address} in time"))?
    }
}

/// The names that are being looked up, one for each friend at most.
#[derive(Clone, Default)]
struct NameLookups(Arc<Mutex<BTreeSet<PublicKey>>>);

/// Lives as long as the lookup, not only as long as the dial.
struct NameLookup {
    all: NameLookups,
    friend: PublicKey,
}

impl Drop for NameLookup {
    fn drop(&mut self) {
        // A set of keys is sound even if a thread panicked while it held the lock.
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.friend);
    }
}

impl NameLookups {
    fn start(&self, friend: PublicKey) -> Option<NameLookup> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = names.len() < LOOKUPS_MAX && names.insert(friend);
        is_free.then(|| NameLookup { all: self.clone(), friend })
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
        lookup: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> Result<Vec<SocketAddr>, String> {
        let slot = self.start(friend).ok_or("too many names are being looked up")?;
        let found = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            lookup()
        });
        match found.await {
            Ok(found) => found.map_err(|error| format!("the name cannot be looked up: {error}")),
            Err(_) => Err("the node is stopping".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
