//! Connecting to one of the addresses of a name, in the manner of RFC 8305: an address whose packets vanish must not use up the
//! time of the others.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Most addresses of one name that are tried. A name server may return any number.
pub(crate) const ADDRESSES_MAX: usize = 16;
/// How long an address is tried alone before the next one is tried in parallel: what RFC 8305 recommends.
const HEAD_START: Duration = Duration::from_millis(250);

/// An address that was tried without success.
#[derive(Debug)]
pub struct Attempt {
    /// The address.
    pub address: SocketAddr,
    /// What went wrong, in words.
    pub failure: String,
}

/// Displays all of them with what went wrong: `10.0.0.1:9500 (connection refused), [::1]:9500 (timed out)`.
pub(crate) struct Tried<'a>(pub(crate) &'a [Attempt]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Attempt { address, failure }) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{address} ({failure})")?;
        }
        Ok(())
    }
}

/// The order in which the addresses of a name are tried, each once and not too many: both families in turn, IPv6 first.
pub(crate) fn in_turn(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = BTreeSet::new();
    // Beyond that many nothing is kept: half of what is tried may be of the other family.
    let distinct = addresses.into_iter().take(ADDRESSES_MAX * ADDRESSES_MAX).filter(|address| seen.insert(*address));
    let (first, second): (VecDeque<_>, VecDeque<_>) = distinct.partition(SocketAddr::is_ipv6);
    let (mut next, mut other) = if first.is_empty() { (second, first) } else { (first, second) };
    let mut order = Vec::new();
    while order.len() < ADDRESSES_MAX
        && let Some(address) = next.pop_front()
    {
        order.push(address);
        if !other.is_empty() {
            std::mem::swap(&mut next, &mut other);
        }
    }
    order
}

/// The first of `addresses` that takes a connection before `deadline`; the other attempts end. What failed is added to
/// `failed`.
pub(crate) async fn first_to_connect(
    addresses: &[SocketAddr],
    deadline: Instant,
    failed: &mut Vec<Attempt>,
) -> Option<(SocketAddr, TcpStream)> {
    let mut waiting = addresses.iter().copied();
    let mut next = waiting.next();
    let mut next_at = Instant::now();
    let mut open = BTreeSet::new();
    let mut attempts = JoinSet::new();
    loop {
        if let Some(address) = next.take_if(|_| open.is_empty() || Instant::now() >= next_at) {
            open.insert(address);
            attempts.spawn(async move { (address, TcpStream::connect(address).await) });
            next = waiting.next();
            next_at = Instant::now() + HEAD_START;
        }
        let wake_at = if next.is_some() { next_at.min(deadline) } else { deadline };
        tokio::select! {
            biased;
            ended = attempts.join_next() => {
                // There is one as long as `open` is not empty; it is cancelled only when the runtime ends.
                let Some(Ok((address, connected))) = ended else { return None };
                open.remove(&address);
                match connected {
                    Ok(stream) => return Some((address, stream)),
                    Err(error) => failed.push(Attempt { address, failure: in_words(&error) }),
                }
                if open.is_empty() && next.is_none() {
                    return None;
                }
                next_at = Instant::now();
            }
            () = tokio::time::sleep_until(wake_at) => {
                if Instant::now() >= deadline {
                    let timed_out = |address| Attempt { address, failure: "timed out".into() };
                    failed.extend(open.into_iter().map(timed_out));
                    return None;
                }
            }
        }
    }
}

/// Why the system could not connect, without its number for it.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::TimedOut => error.kind().to_string(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
