//! A listening socket that returns authenticated connections only, and bounds what peers without a known key can make it do.

use crate::occupancy::Occupancy;
use crate::tls::{Authenticator, SecureStream};
use offst_crypto::PublicKey;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
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
    /// Most handshakes at a time; each holds some 30 kB and a socket. One more ends the oldest of the busiest address.
    pub handshakes_max: usize,
    /// Most handshakes at a time from one address (IPv6: from one /64; twice as
    /// many from one /56, four times from one /48). One more ends the oldest of them.
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
    /// Handshakes that were ended because of [`HandshakeLimits`], for newer ones.
    pub surplus: AtomicU64,
}

/// A connection whose peer has proved its key.
#[derive(Debug)]
pub struct Accepted {
    /// The peer.
    pub public_key: PublicKey,
    /// Its address.
    pub address: SocketAddr,
    /// The connection.
    pub stream: SecureStream<TcpStream>,
}

/// The handshakes in progress: decides which one ends when there are too many. A new connection always gets a slot, because
/// connections that are held open silently must not keep others out, not even others from the same address.
#[derive(Debug)]
struct Slots<H> {
    occupancy: Occupancy,
    /// Address and handle, by the numbers of the slots.
    taken: BTreeMap<u64, (IpAddr, H)>,
    numbers: u64,
}

impl<H> Slots<H> {
    fn new() -> Self {
        Slots { occupancy: Occupancy::default(), taken: BTreeMap::new(), numbers: 0 }
    }

    /// Takes a slot. Gives its number, and the handshake that has to end for it. That is the oldest one of the same address if
    /// this has too many, otherwise, if all are too many, the oldest one of the address that has most.
    fn take(&mut self, address: IpAddr, handle: H, limits: &HandshakeLimits) -> (u64, Option<H>) {
        let full = self.occupancy.full(address, limits.handshakes_per_address_max).or_else(|| {
            let is_full = self.occupancy.total() >= limits.handshakes_max;
            self.occupancy.busiest().filter(|_| is_full)
        });
        let oldest = full.and_then(|network| self.occupancy.oldest(network));
        let ended = oldest.and_then(|oldest| self.release(oldest));
        self.numbers += 1;
        self.occupancy.insert(address, self.numbers);
        self.taken.insert(self.numbers, (address, handle));
        (self.numbers, ended)
    }

    /// Gives a slot back; nothing happens when that was done before.
    fn release(&mut self, number: u64) -> Option<H> {
        let (address, handle) = self.taken.remove(&number)?;
        self.occupancy.remove(address, number);
        Some(handle)
    }
}

/// Gives the slot back when the handshake ends, however it ends.
struct Slot {
    slots: Arc<Mutex<Slots<CancellationToken>>>,
    number: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).release(self.number);
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

    /// The next authenticated connection. Never waits for a slow handshake of another connection. Cancel safe.
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
        let slots = Arc::new(Mutex::new(Slots::new()));
        loop {
            let incoming = tokio::select! {
                incoming = listener.accept() => incoming,
                () = self.stop.cancelled() => return,
            };
            match incoming {
                Ok((stream, address)) => self.begin(stream, address, &slots),
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

    fn begin(&self, stream: TcpStream, address: SocketAddr, slots: &Arc<Mutex<Slots<CancellationToken>>>) {
        let stop = self.stop.child_token();
        let (number, ended) =
            slots.lock().unwrap_or_else(PoisonError::into_inner).take(address.ip(), stop.clone(), &self.limits);
        if let Some(ended) = ended {
            ended.cancel();
            self.counters.surplus.fetch_add(1, Ordering::Relaxed);
            log::debug!("ended the oldest handshake for a connection from {address}: there are too many at a time");
        }
        let slot = Slot { slots: slots.clone(), number };
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
                    // Fails only when nobody accepts connections any more.
                    let _ = sender.send(Accepted { public_key, address, stream }).await;
                }
                Err(error) => {
                    counters.failed.fetch_add(1, Ordering::Relaxed);
                    log::debug!("refused a connection from {address}: {error}");
                }
            }
            drop(slot);
        };
        tokio::spawn(async move { stop.run_until_cancelled(handshake).await });
    }
}

#[cfg(test)]
mod tests;
