//! Keeps one connection to one index server: dials, exchanges messages, dials again.

use crate::config::Config;
use offst_crypto::{RandomExt, SystemRandom};
use offst_proto::index::{INDEX_FRAME_BYTES_MAX, IndexToNode, NodeToIndex};
use offst_proto::ticket::ServerTicket;
use offst_secure_channel::{
    Authenticator, Backoff, ConnectError, FrameError, FrameReader, FrameWriter, Keepalive, KeepaliveStep, SecureStream,
};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages that wait to be sent to one server. When there are more, the server is disconnected.
const OUTBOX_MAX: usize = 512;

/// What a link reports, in order: `Connected`, messages, `Ended` (unless this node closed), and again.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// The server has proved its key.
    Connected {
        /// Messages for the server.
        outbox: mpsc::Sender<NodeToIndex>,
        /// Ends this connection; the link dials again.
        close: CancellationToken,
    },
    /// A message of the server.
    Message(IndexToNode),
    /// There is no connection now, or still none; why, in one sentence.
    Ended(String),
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the index server closed the connection")]
    Closed,
    #[error("nothing came from the index server for too long")]
    Silent,
    #[error("the index server does not read what it is sent")]
    NotReading,
    #[error("this node closed the connection because the index server did not answer")]
    GivenUp,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the index server sent something that is no message: {0}")]
    Malformed(#[from] offst_proto::encoding::DecodeError),
}

/// Keeps a connection to one server until it is dropped.
pub(crate) struct Link<N: Fn(LinkEvent) -> F, F: Future<Output = ()>> {
    pub(crate) authenticator: Authenticator,
    pub(crate) ticket: ServerTicket,
    pub(crate) config: Config,
    /// Where events go.
    pub(crate) notify: N,
}

impl<N: Fn(LinkEvent) -> F, F: Future<Output = ()>> Link<N, F> {
    /// Runs forever.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::default();
        let mut random = SystemRandom::new();
        loop {
            let Err(ended) = self.connection(&mut backoff).await;
            let random = u64::from_be_bytes(random.array());
            let wait_ms = backoff.fail(self.config.reconnect_min_ms, self.config.reconnect_max_ms, random);
            log::debug!("index server {}: {ended}; dialling again in {wait_ms} ms", self.ticket.address);
            // The task that closed the connection knows why.
            if !matches!(ended, LinkError::GivenUp) {
                (self.notify)(LinkEvent::Ended(ended.to_string())).await;
            }
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    }

    async fn connection(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, LinkError> {
        let timeout = Duration::from_millis(self.config.connect_timeout_ms);
        let stream = self.authenticator.connect_tcp(&self.ticket.address, self.ticket.public_key, timeout).await?;
        let (outbox, outgoing) = mpsc::channel(OUTBOX_MAX);
        let close = CancellationToken::new();
        (self.notify)(LinkEvent::Connected { outbox, close: close.clone() }).await;
        let exchange = self.exchange(stream, outgoing, backoff);
        close.run_until_cancelled(exchange).await.unwrap_or(Err(LinkError::GivenUp))
    }

    async fn exchange(
        &self,
        stream: SecureStream<TcpStream>,
        mut outgoing: mpsc::Receiver<NodeToIndex>,
        backoff: &mut Backoff,
    ) -> Result<std::convert::Infallible, LinkError> {
        let (reader, writer) = tokio::io::split(stream);
        let mut reader = FrameReader::new(reader, INDEX_FRAME_BYTES_MAX);
        let mut writer = FrameWriter::new(writer, INDEX_FRAME_BYTES_MAX);
        let write_timeout = Duration::from_millis(self.config.keepalive.idle_timeout_ms);
        let started = Instant::now();
        let now_ms = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut keepalive = Keepalive::new(self.config.keepalive, 0);
        loop {
            let message = match keepalive.step(now_ms()) {
                KeepaliveStep::Dead => return Err(LinkError::Silent),
                KeepaliveStep::Send => Some(NodeToIndex::Keepalive),
                KeepaliveStep::Wait(wait_ms) => tokio::select! {
                    message = outgoing.recv() => Some(message.ok_or(LinkError::GivenUp)?),
                    frame = reader.next() => {
                        let message = IndexToNode::from_frame(&frame?.ok_or(LinkError::Closed)?)?;
                        keepalive.received(now_ms());
                        // Only now is this a server that works: one that closes at once must not be dialled in a tight
                        // loop.
                        backoff.reset();
                        if message != IndexToNode::Keepalive {
                            (self.notify)(LinkEvent::Message(message)).await;
                        }
                        None
                    }
                    () = tokio::time::sleep(Duration::from_millis(wait_ms)) => None,
                },
            };
            if let Some(message) = message {
                let frame = message.to_frame();
                tokio::time::timeout(write_timeout, writer.send(&frame)).await.map_err(|_| LinkError::NotReading)??;
                keepalive.sent(now_ms());
            }
        }
    }
}
