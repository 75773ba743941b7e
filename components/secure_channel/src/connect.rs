//! Dials a server over TCP.

use crate::dial::{Attempt, Tried, first_to_connect, in_turn};
use crate::tls::{Authenticator, HandshakeError, SecureStream};
use offst_crypto::PublicKey;
use offst_proto::ticket::Address;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Why a server cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address, or cannot be looked up now.
    #[error("cannot connect to {address}: the name cannot be looked up: {error}")]
    Name {
        /// The address that was dialled.
        address: Address,
        /// What the operating system says.
        error: io::Error,
    },
    /// No address of the name answers with the expected key.
    #[error("cannot connect to {address}: {}", in_words(address, tried))]
    Unreachable {
        /// The address that was dialled.
        address: Address,
        /// What was tried, in the order in which it failed.
        tried: Vec<Attempt>,
    },
    /// Name lookup, connection and handshake together took too long.
    #[error("cannot connect to {address}: no answer within {} ms", timeout.as_millis())]
    Timeout {
        /// The address that was dialled.
        address: Address,
        /// How long we waited.
        timeout: Duration,
    },
    /// The only address answers with another key.
    #[error("the server at {address} has another key than its ticket says: {found} instead of {expected}")]
    OtherKey {
        /// The address that was dialled.
        address: Address,
        /// The key in the ticket.
        expected: PublicKey,
        /// The key the server showed.
        found: PublicKey,
    },
    /// The handshake failed at the only address.
    #[error("cannot connect to {address}: {error}")]
    Handshake {
        /// The address that was dialled.
        address: Address,
        /// What went wrong.
        error: HandshakeError,
    },
}

/// Whether `address` names the machine itself, and not a name of it.
fn is_literal(address: &Address) -> bool {
    address.host().parse::<IpAddr>().is_ok()
}

fn in_words(address: &Address, tried: &[Attempt]) -> String {
    match tried {
        // No need to name it twice.
        [only] if is_literal(address) => only.failure.clone(),
        tried => format!("tried {}", Tried(tried)),
    }
}

impl Authenticator {
    /// Dials the server that has the key `expected`. `timeout` covers name lookup, TCP and TLS together.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect_tcp(
        &self,
        address: &Address,
        expected: PublicKey,
        timeout: Duration,
    ) -> Result<SecureStream<TcpStream>, ConnectError> {
        let deadline = Instant::now() + timeout;
        let found = tokio::time::timeout_at(deadline, tokio::net::lookup_host((address.host(), address.port())))
            .await
            .map_err(|_| ConnectError::Timeout { address: address.clone(), timeout })?
            .map_err(|error| ConnectError::Name { address: address.clone(), error })?;
        self.connect_until(deadline, timeout, address, found, expected).await
    }

    /// The same for a name that has been looked up already: `found` are the addresses that `address` has. They are tried in the
    /// manner of RFC 8305. Only TCP connections are made in parallel: secure channels come one after the other, because a server
    /// keeps only the newest connection of one key. An address that answers with another key, or not in its equal
    /// share of the time that is left, is given up for the others: one stale entry of a name must not hide the server.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect_to(
        &self,
        address: &Address,
        found: impl IntoIterator<Item = SocketAddr>,
        expected: PublicKey,
        timeout: Duration,
    ) -> Result<SecureStream<TcpStream>, ConnectError> {
        self.connect_until(Instant::now() + timeout, timeout, address, found, expected).await
    }

    async fn connect_until(
        &self,
        deadline: Instant,
        timeout: Duration,
        address: &Address,
        found: impl IntoIterator<Item = SocketAddr>,
        expected: PublicKey,
    ) -> Result<SecureStream<TcpStream>, ConnectError> {
        let mut left = in_turn(found);
        if left.is_empty() {
            let error = io::Error::new(io::ErrorKind::NotFound, "it has no address");
            return Err(ConnectError::Name { address: address.clone(), error });
        }
        let is_only = left.len() == 1 && is_literal(address);
        let too_late = || ConnectError::Timeout { address: address.clone(), timeout };
        let mut tried = Vec::new();
        while let Some((place, stream)) = first_to_connect(&left, deadline, &mut tried).await {
            left.retain(|other| *other != place && tried.iter().all(|attempt: &Attempt| attempt.address != *other));
            // Without this a small message waits 40 ms for the acknowledgement of the one before. A socket that refuses the
            // option is already broken and says so at the next write.
            let _ = stream.set_nodelay(true);
            let others = u32::try_from(left.len()).expect("addresses are few");
            let share = deadline.saturating_duration_since(Instant::now()) / (others + 1);
            let failure = match self.connect_over(stream, expected, share).await {
                Ok(stream) => return Ok(stream),
                Err(HandshakeError::Timeout(_)) if is_only => return Err(too_late()),
                Err(HandshakeError::OtherKey { expected, found }) if others == 0 && tried.is_empty() => {
                    return Err(ConnectError::OtherKey { address: address.clone(), expected, found });
                }
                Err(error) if is_only => return Err(ConnectError::Handshake { address: address.clone(), error }),
                Err(HandshakeError::Timeout(_)) => "no secure connection in time".into(),
                Err(HandshakeError::OtherKey { expected, found }) => {
                    format!("has the key {found} instead of {expected}")
                }
                Err(error) => error.to_string(),
            };
            tried.push(Attempt { address: place, failure });
        }
        match tried.is_empty() || (is_only && Instant::now() >= deadline) {
            true => Err(too_late()),
            false => Err(ConnectError::Unreachable { address: address.clone(), tried }),
        }
    }
}

#[cfg(test)]
mod tests;
