//! A listening socket that hands out authenticated connections only, and bounds what strangers can make it do.

use crate::tls::{Authenticator, SecureStream};
use offst_crypto::PublicKey;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Authenticated connections that wait to be taken. Handshakes that end when so many wait keep their slot.
const ACCEPTED_QUEUE: usize = 64;
/// How long to wait after the operating system refused a connection, mostly because of too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Bounds on connections that nobody has authenticated yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// Most handshakes at a time; each holds some 30 kB and a socket.
    pub handshakes_max: usize,
    /// Most handshakes at a time from one address (IPv6: from one /64).
    pub handshakes_per_address_max: usize,
    /// A handshake that takes longer is given up, in milliseconds.
    pub handshake_timeout_ms: u64,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        HandshakeLimits { handshakes_max: 1024, handshakes_per_address_max: 64, handshake_timeout_ms: 10_000 }
    }
}

/// What happened at a listening socket so far.
#[derive(Debug, Default)]
pub struct HandshakeCounters {
    /// Connections whose peer was authenticated.
    pub accepted: AtomicU64,
    /// Handshakes that failed or took too long.
    pub failed: AtomicU64,
    /// Connections closed at once because of [`HandshakeLimits`].
    pub surplus: AtomicU64,
}

/// A connection whose peer has proved its key.
#[derive(Debug)]
pub struct Accepted {
    /// The peer.
    pub public_key: PublicKey,
    /// Where it calls from.
    pub address: SocketAddr,
    /// The connection.
    pub stream: SecureStream<TcpStream>,
}

/// The party that one limit per address counts: an IPv4 address, or the /64 of an IPv6 address, because one customer
/// has a whole /64.
pub fn address_group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

/// The handshakes in flight: decides who may begin one.
#[derive(Debug, Default)]
struct Slots {
    total: usize,
    per_address: BTreeMap<IpAddr, usize>,
}

impl Slots {
    fn take(&mut self, group: IpAddr, limits: &HandshakeLimits) -> bool {
        let of_group = self.per_address.get(&group).copied().unwrap_or(0);
        if self.total >= limits.handshakes_max || of_group >= limits.handshakes_per_address_max {
            return false;
        }
        self.total += 1;
        self.per_address.insert(group, of_group + 1);
        true
    }

    fn release(&mut self, group: IpAddr) {
        self.total = self.total.saturating_sub(1);
        if let Some(count) = self.per_address.get_mut(&group) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_address.remove(&group);
            }
        }
    }
}

/// Gives the slot back when the handshake ends, however it ends.
struct Slot {
    slots: Arc<Mutex<Slots>>,
    group: IpAddr,
}

impl Slot {
    fn take(slots: &Arc<Mutex<Slots>>, address: IpAddr, limits: &HandshakeLimits) -> Option<Slot> {
        let group = address_group(address);
        let taken = slots.lock().unwrap_or_else(PoisonError::into_inner).take(group, limits);
        taken.then(|| Slot { slots: slots.clone(), group })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).release(self.group);
    }
}

/// Accepts connections in the background; dropping it closes the socket and ends all handshakes.
#[derive(Debug)]
pub struct Acceptor {
    accepted: mpsc::Receiver<Accepted>,
    local_address: SocketAddr,
    counters: Arc<HandshakeCounters>,
    _stop: DropGuard,
}

impl Acceptor {
    /// Begins to accept. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The socket has no address.
    pub fn new(listener: TcpListener, authenticator: Authenticator, limits: HandshakeLimits) -> io::Result<Self> {
        Acceptor::with_counters(listener, authenticator, limits, Arc::default())
    }

    /// As [`Acceptor::new`], counting into `counters`, which the caller shows to the operator.
    ///
    /// # Errors
    /// The socket has no address.
    pub fn with_counters(
        listener: TcpListener,
        authenticator: Authenticator,
        limits: HandshakeLimits,
        counters: Arc<HandshakeCounters>,
    ) -> io::Result<Self> {
        let local_address = listener.local_addr()?;
        let (sender, accepted) = mpsc::channel(ACCEPTED_QUEUE);
        let stop = CancellationToken::new();
        let accepting = Accepting { authenticator, limits, counters: counters.clone(), sender, stop: stop.clone() };
        tokio::spawn(accepting.run(listener));
        Ok(Acceptor { accepted, local_address, counters, _stop: stop.drop_guard() })
    }

    /// Where the socket listens.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// What happened so far.
    pub fn counters(&self) -> &Arc<HandshakeCounters> {
        &self.counters
    }

    /// The next authenticated connection. Never waits for a slow handshake of somebody else. Cancel safe.
    pub async fn accept(&mut self) -> Accepted {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            // The background task ends only with this value or with the runtime.
            None => std::future::pending().await,
        }
    }
}

struct Accepting {
    authenticator: Authenticator,
    limits: HandshakeLimits,
    counters: Arc<HandshakeCounters>,
    sender: mpsc::Sender<Accepted>,
    stop: CancellationToken,
}

impl Accepting {
    async fn run(self, listener: TcpListener) {
        let slots = Arc::new(Mutex::new(Slots::default()));
        loop {
            let incoming = tokio::select! {
                incoming = listener.accept() => incoming,
                () = self.stop.cancelled() => return,
            };
            match incoming {
                Ok((stream, address)) => match Slot::take(&slots, address.ip(), &self.limits) {
                    Some(slot) => self.begin(stream, address, slot),
                    None => {
                        self.counters.surplus.fetch_add(1, Ordering::Relaxed);
                        log::debug!("closed a connection from {address}: too many handshakes at a time");
                    }
                },
                Err(error) => {
                    log::warn!("cannot accept a connection: {error}");
                    tokio::select! {
                        () = tokio::time::sleep(ACCEPT_RETRY) => {}
                        () = self.stop.cancelled() => return,
                    }
                }
            }
        }
    }

    fn begin(&self, stream: TcpStream, address: SocketAddr, slot: Slot) {
        let authenticator = self.authenticator.clone();
        let counters = self.counters.clone();
        let sender = self.sender.clone();
        let timeout = Duration::from_millis(self.limits.handshake_timeout_ms);
        let handshake = async move {
            // See `connect_tcp`.
            let _ = stream.set_nodelay(true);
            match authenticator.accept_over(stream, timeout).await {
                Ok((public_key, stream)) => {
                    counters.accepted.fetch_add(1, Ordering::Relaxed);
                    // Fails only when nobody accepts any more.
                    let _ = sender.send(Accepted { public_key, address, stream }).await;
                }
                Err(error) => {
                    counters.failed.fetch_add(1, Ordering::Relaxed);
                    log::debug!("refused a connection from {address}: {error}");
                }
            }
            drop(slot);
        };
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(handshake).await });
    }
}

#[cfg(test)]
mod tests;
