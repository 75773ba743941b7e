//! Calling a server over TCP.

use crate::tls::{Authenticator, HandshakeError, SecureStream};
use offst_crypto::PublicKey;
use offst_proto::ticket::Address;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Why a server cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers at the address.
    #[error("cannot connect to {address}: {error}")]
    Unreachable {
        /// Where we called.
        address: Address,
        /// What the operating system says.
        error: io::Error,
    },
    /// Name lookup, connection and handshake together took too long.
    #[error("cannot connect to {address}: no answer within {} ms", timeout.as_millis())]
    Timeout {
        /// Where we called.
        address: Address,
        /// How long we waited.
        timeout: Duration,
    },
    /// Somebody else answers at the address.
    #[error("the server at {address} has another key than its ticket says: {found} instead of {expected}")]
    OtherKey {
        /// Where we called.
        address: Address,
        /// The key in the ticket.
        expected: PublicKey,
        /// The key the server showed.
        found: PublicKey,
    },
    /// The handshake failed.
    #[error("cannot connect to {address}: {error}")]
    Handshake {
        /// Where we called.
        address: Address,
        /// What went wrong.
        error: HandshakeError,
    },
}

impl Authenticator {
    /// Calls the server that has the key `expected`. `timeout` covers name lookup, TCP and TLS together.
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
        let too_late = || ConnectError::Timeout { address: address.clone(), timeout };
        let stream = tokio::time::timeout_at(deadline, TcpStream::connect((address.host(), address.port())))
            .await
            .map_err(|_| too_late())?
            .map_err(|error| ConnectError::Unreachable { address: address.clone(), error })?;
        // Without this a small message waits 40 ms for the acknowledgement of the one before. A socket that refuses the
        // option is already broken and says so at the next write.
        let _ = stream.set_nodelay(true);
        let left = deadline.saturating_duration_since(Instant::now());
        self.connect_over(stream, expected, left).await.map_err(|error| match error {
            HandshakeError::Timeout(_) => too_late(),
            HandshakeError::OtherKey { expected, found } => {
                ConnectError::OtherKey { address: address.clone(), expected, found }
            }
            error => ConnectError::Handshake { address: address.clone(), error },
        })
    }
}
