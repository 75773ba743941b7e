//! A node's connection to a relay.

use crate::connection_rate::ConnectionRate;
use crate::in_flight::{InFlight, InFlightLimits, NodeInFlight};
use crate::keep_alive::keep_alive;
use crate::mux::{Mux, MuxClosed, MuxConfig, Substream};
use crate::opening::{read_opening, write_opening};
use crate::throttle::Throttle;
use offst_crypto::PublicKey;
use offst_proto::relay::{NodeToRelay, RELAY_FRAME_BYTES_MAX, Refusal, RelayToNode, SubstreamMessage, WATCH_KEYS_MAX};
use offst_proto::ticket::ServerTicket;
use offst_secure_channel::{Authenticator, ConnectError, FrameError, FrameReader, FrameWriter, KeepaliveConfig};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Frames for the relay that wait to be written. A relay that does not take so many is given up.
const CONTROL_QUEUE: usize = 1024;
/// Between the end of the control stream and the end of the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Frames that are written together.
const CONTROL_BATCH: usize = 64;

/// How a node uses a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientConfig {
    /// Name lookup, TCP and TLS together, in milliseconds.
    pub connect_timeout_ms: u64,
    /// To open a substream to a friend, and for the relay to say whom a substream comes from, in milliseconds.
    pub open_timeout_ms: u64,
    /// How long the relay may be silent.
    pub keepalive: KeepaliveConfig,
    /// Most substreams at a time.
    pub substreams_max: usize,
    /// Events that wait to be read. A node that does not read so many is disconnected.
    pub events_max: usize,
    /// Most unread bytes of all substreams; a relay that exceeds them is disconnected.
    pub unread_bytes_max: u64,
    /// Bytes a second that are read from the relay; each frame counts for 64 bytes more, and a new substream for 16 KiB.
    pub bytes_per_second: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            connect_timeout_ms: 10_000,
            open_timeout_ms: 10_000,
            keepalive: KeepaliveConfig::default(),
            substreams_max: 512,
            events_max: 4096,
            unread_bytes_max: 64 << 20,
            bytes_per_second: 64 << 20,
        }
    }
}

/// What a relay reports to a node.
#[derive(Debug)]
pub enum RelayEvent {
    /// Friends can open streams to this node from now on.
    Registered,
    /// A watched node is at the relay.
    Present(PublicKey),
    /// A watched node is not at the relay.
    Absent(PublicKey),
    /// Another program registered with this node's key. The node must not register here again by itself: two copies of one
    /// node would sign against each other. [`RelayEvent::Closed`] follows.
    Displaced,
    /// The relay refuses the last request, for example to watch more nodes.
    Refused(Refusal),
    /// A node has opened a stream to this node. Its key is only what the relay says, until the stream is secured.
    Incoming {
        /// The key of that node, as the relay says.
        source: PublicKey,
        /// The substream.
        stream: RelayStream,
    },
    /// The connection is closed, for this reason. Nothing follows.
    Closed(String),
}

/// Why a substream cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The relay refuses.
    #[error("the relay refuses to connect: {0}")]
    Refused(Refusal),
    /// The connection to the relay is closed.
    #[error("the connection to the relay is closed")]
    Closed,
    /// The relay did not answer.
    #[error("the relay did not answer in time")]
    Timeout,
    /// The relay broke the protocol.
    #[error("the relay sent something that is no answer")]
    Malformed,
    /// This node has too many substreams open.
    #[error("too many substreams are open at this relay")]
    TooMany,
}

/// The connection to the relay is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection to the relay is closed")]
pub struct RelayClosed;

impl From<MuxClosed> for OpenError {
    fn from(_: MuxClosed) -> Self {
        OpenError::Closed
    }
}

/// A handle to the connection. The connection is closed when the last clone is dropped, and its streams with it.
#[derive(Debug, Clone)]
pub struct RelayClient {
    mux: Mux,
    control: mpsc::Sender<NodeToRelay>,
    slots: Arc<tokio::sync::Semaphore>,
    open_timeout: Duration,
    _close: Arc<DropGuard>,
}

impl RelayClient {
    /// Connects to the relay of `ticket` and registers there. The caller decides whether and when to connect again.
    ///
    /// # Errors
    /// The address does not answer, or with another key.
    pub async fn connect(
        authenticator: &Authenticator,
        ticket: &ServerTicket,
        config: ClientConfig,
    ) -> Result<(RelayClient, mpsc::Receiver<RelayEvent>), ConnectError> {
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms);
        let stream = authenticator.connect_tcp(&ticket.address, ticket.public_key, connect_timeout).await?;
        Ok(RelayClient::start(stream, config))
    }

    /// Registers over a stream that is already secure.
    pub fn start<T>(stream: T, config: ClientConfig) -> (RelayClient, mpsc::Receiver<RelayEvent>)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let unread_limits = InFlightLimits {
            per_substream: config.unread_bytes_max,
            per_node: config.unread_bytes_max,
            total: config.unread_bytes_max,
        };
        let unread = InFlight::new(unread_limits, Arc::default());
        let mux_config = MuxConfig {
            mode: yamux::Mode::Client,
            streams_max: config.substreams_max + 1,
            // The relay resets streams when the friends behind it do.
            throttle: Throttle::new(ConnectionRate::alone(config.bytes_per_second, 0), None, Instant::now()),
            node: NodeInFlight::new(unread.clone()),
        };
        let (mux, inbound) = Mux::start(stream, mux_config);
        let (events_sender, events) = mpsc::channel(config.events_max.max(2));
        let (control, queue) = mpsc::channel(CONTROL_QUEUE);
        // The first frame opens the control stream.
        let _ = control.try_send(NodeToRelay::Keepalive);
        let stop = CancellationToken::new();
        let slots = Arc::new(tokio::sync::Semaphore::new(config.substreams_max));
        let session = Session {
            mux: mux.clone(),
            events: events_sender,
            unread,
            config,
            slots: slots.clone(),
            stop: stop.clone(),
        };
        tokio::spawn(session.run(control.downgrade(), queue, inbound));
        let client = RelayClient {
            mux,
            control,
            slots,
            open_timeout: Duration::from_millis(config.open_timeout_ms),
            _close: Arc::new(stop.drop_guard()),
        };
        (client, events)
    }

    /// Asks for the presence of `keys`: each is answered with [`RelayEvent::Present`] or [`RelayEvent::Absent`], now and at
    /// every change.
    ///
    /// # Errors
    /// The connection is closed, or is closed now because the relay does not take what is sent.
    pub fn watch(&self, keys: &[PublicKey]) -> Result<(), RelayClosed> {
        keys.chunks(WATCH_KEYS_MAX).try_for_each(|keys| self.send_control(NodeToRelay::Watch(keys.to_vec())))
    }

    /// No longer asks for the presence of `keys`.
    ///
    /// # Errors
    /// As [`RelayClient::watch`].
    pub fn unwatch(&self, keys: &[PublicKey]) -> Result<(), RelayClosed> {
        keys.chunks(WATCH_KEYS_MAX).try_for_each(|keys| self.send_control(NodeToRelay::Unwatch(keys.to_vec())))
    }

    fn send_control(&self, message: NodeToRelay) -> Result<(), RelayClosed> {
        self.control.try_send(message).map_err(|_| {
            self.mux.close();
            RelayClosed
        })
    }

    /// Opens a stream to the node `target`. It is to be secured by `Authenticator::connect_over` before it is used.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(&self, target: PublicKey) -> Result<RelayStream, OpenError> {
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| OpenError::TooMany)?;
        let opening = async {
            let mut substream = self.mux.open().await?;
            write_opening(&mut substream, SubstreamMessage::Connect(target)).await.map_err(|_| OpenError::Closed)?;
            match read_opening(&mut substream).await {
                Ok(SubstreamMessage::Accepted) => Ok(RelayStream::new(substream, slot)),
                Ok(SubstreamMessage::Refused(refusal)) => Err(OpenError::Refused(refusal)),
                Ok(_) => Err(OpenError::Malformed),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(OpenError::Malformed),
                Err(_) => Err(OpenError::Closed),
            }
        };
        timeout(self.open_timeout, opening).await.map_err(|_| OpenError::Timeout)?
    }

    /// Closes the connection. [`RelayEvent::Closed`] follows.
    pub fn close(&self) {
        self.mux.close();
    }
}

/// The task behind a connection.
struct Session {
    mux: Mux,
    events: mpsc::Sender<RelayEvent>,
    /// The bytes that were received and not read yet.
    unread: Arc<InFlight>,
    config: ClientConfig,
    slots: Arc<tokio::sync::Semaphore>,
    stop: CancellationToken,
}

impl Session {
    async fn run(
        self,
        control: mpsc::WeakSender<NodeToRelay>,
        queue: mpsc::Receiver<NodeToRelay>,
        inbound: mpsc::Receiver<Substream>,
    ) {
        // Reserved from the start, so that the end is always reported.
        let Ok(last) = self.events.clone().reserve_owned().await else { return self.mux.close() };
        let mut control_ended = std::pin::pin!(self.run_control(queue));
        let ended = tokio::select! {
            biased;
            reason = &mut control_ended => Some(reason),
            () = self.accept_substreams(inbound) => None,
            () = keep_alive(self.config.keepalive, &self.mux, || {
                control.upgrade().is_some_and(|control| control.try_send(NodeToRelay::Keepalive).is_ok())
            }) => Some("nothing came from the relay for too long".into()),
            _ = self.mux.closed() => None,
            () = self.unread.exceeded() => Some("the relay sends more than this node reads".into()),
            () = self.stop.cancelled() => Some("it is no longer used".into()),
        };
        let reason = match ended {
            Some(reason) => reason,
            // The connection is closed, and what the relay sent last says more than that: it may have arrived since the control
            // stream was polled.
            None => control_ended.await,
        };
        self.mux.close();
        self.mux.closed().await;
        last.send(RelayEvent::Closed(reason));
    }

    /// Opens the control stream and serves it.
    async fn run_control(&self, queue: mpsc::Receiver<NodeToRelay>) -> String {
        let control = match self.mux.open().await {
            Ok(control) => control,
            Err(MuxClosed) => return self.mux.closed().await,
        };
        let (reader, writer) = tokio::io::split(control.compat());
        let mut reading = std::pin::pin!(self.read_control(reader));
        tokio::select! {
            biased;
            reason = &mut reading => reason,
            written = write_control(writer, queue) => match written {
                Ok(()) => "it is no longer used".into(),
                // Nothing more can be sent, but what the relay has sent before it closed is still to be read.
                Err(error) => timeout(CLOSE_TIMEOUT, reading).await.unwrap_or_else(|_| error.to_string()),
            },
        }
    }

    async fn read_control(&self, reader: impl AsyncRead + Unpin) -> String {
        let mut reader = FrameReader::new(reader, RELAY_FRAME_BYTES_MAX);
        let mut refused = None;
        loop {
            let frame = match reader.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    // What was refused last is why the relay closes.
                    return match refused {
                        Some(refusal) => format!("the relay refuses: {refusal}"),
                        None => self.why_closed().await,
                    };
                }
                Err(error) => return error.to_string(),
            };
            refused = None;
            let event = match RelayToNode::from_frame(&frame) {
                Ok(RelayToNode::Registered) => RelayEvent::Registered,
                Ok(RelayToNode::Present(key)) => RelayEvent::Present(key),
                Ok(RelayToNode::Absent(key)) => RelayEvent::Absent(key),
                Ok(RelayToNode::Displaced) => RelayEvent::Displaced,
                Ok(RelayToNode::Keepalive) => continue,
                Ok(RelayToNode::Refused(refusal)) => {
                    refused = Some(refusal);
                    RelayEvent::Refused(refusal)
                }
                Err(error) => return format!("the relay sent something that is no message: {error}"),
            };
            if self.events.try_send(event).is_err() {
                return "this node does not read what the relay sends".into();
            }
        }
    }

    /// The control stream has ended: mostly because the connection has, which then knows why.
    async fn why_closed(&self) -> String {
        let closed = timeout(CLOSE_TIMEOUT, self.mux.closed()).await;
        closed.unwrap_or_else(|_| "the relay ended the control stream".into())
    }

    /// Ends with the connection.
    async fn accept_substreams(&self, mut inbound: mpsc::Receiver<Substream>) {
        while let Some(mut substream) = inbound.recv().await {
            // Above the maximum it is reset.
            let Ok(slot) = self.slots.clone().try_acquire_owned() else { continue };
            let events = self.events.clone();
            let open_timeout = Duration::from_millis(self.config.open_timeout_ms);
            tokio::spawn(async move {
                if let Ok(Ok(SubstreamMessage::Incoming(source))) =
                    timeout(open_timeout, read_opening(&mut substream)).await
                {
                    // A node that does not read its events loses the stream; the friend dials again.
                    let stream = RelayStream::new(substream, slot);
                    let _ = events.try_send(RelayEvent::Incoming { source, stream });
                }
            });
        }
        self.mux.closed().await;
    }
}

/// Ends without an error when all senders are gone.
async fn write_control(
    writer: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<NodeToRelay>,
) -> Result<(), FrameError> {
    let mut writer = FrameWriter::new(writer, RELAY_FRAME_BYTES_MAX);
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, CONTROL_BATCH).await > 0 {
        writer.send_all(batch.drain(..).map(|message| message.to_frame())).await?;
    }
    Ok(())
}

/// A substream to a friend, not yet secured. Dropped without a shutdown it is reset.
#[derive(Debug)]
pub struct RelayStream {
    substream: Compat<Substream>,
    _slot: tokio::sync::OwnedSemaphorePermit,
}

impl RelayStream {
    fn new(substream: Substream, slot: tokio::sync::OwnedSemaphorePermit) -> Self {
        RelayStream { substream: substream.compat(), _slot: slot }
    }
}

impl AsyncRead for RelayStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.substream).poll_read(cx, buf)
    }
}

impl AsyncWrite for RelayStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.substream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.substream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.substream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
