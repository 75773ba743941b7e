//! One yamux connection: a task that drives it, and the streams on it.

use crate::in_flight::{Gauge, NodeInFlight};
use crate::meter::Meter;
use crate::metered::Metered;
use crate::throttle::Throttle;
use futures::{AsyncRead, AsyncWrite, Stream};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use tokio_util::sync::CancellationToken;
use yamux::{Config, Connection, Mode, Packet};

/// Requests for streams that wait for the driver.
const OPENING_MAX: usize = 64;
/// Streams opened while the network takes nothing. Those that were closed meanwhile are still known to yamux, which ends
/// the whole connection above its maximum, so this is the room between our maximum and its.
const OPENED_BLOCKED_MAX: usize = 64;
/// How long a connection may take to hand over what was written before it was closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How to run a connection.
pub(crate) struct MuxConfig {
    pub(crate) mode: Mode,
    /// Most streams that are open at a time, the control stream included.
    pub(crate) streams_max: usize,
    /// How fast to read, and how much the peer may reset.
    pub(crate) throttle: Throttle,
    /// Who is charged for what arrives.
    pub(crate) node: Arc<NodeInFlight>,
}

/// The connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the connection is closed")]
pub(crate) struct MuxClosed;

type Opened = oneshot::Sender<Substream>;

/// A handle to the connection. It is closed by [`Mux::close`], not by dropping handles.
#[derive(Debug, Clone)]
pub(crate) struct Mux {
    opening: mpsc::Sender<Opened>,
    meter: Arc<Meter>,
    closing: CancellationToken,
    closed: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl Mux {
    /// Runs yamux over `io`. The second value yields the streams that the peer opens.
    pub(crate) fn start<T>(io: T, config: MuxConfig) -> (Mux, mpsc::Receiver<Substream>)
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let yamux_streams_max = known_streams_max(config.streams_max);
        let mut yamux_config = Config::default();
        yamux_config
            .set_max_connection_receive_window(None)
            .set_max_num_streams(yamux_streams_max)
            // As small as allowed, so that no window grows above 256 KiB.
            .set_max_connection_receive_window(Some(yamux_streams_max * yamux::DEFAULT_CREDIT as usize));
        let meter = Meter::new(config.node, yamux_streams_max);
        let metered = Metered::new(io, meter.clone(), config.throttle);
        let (opening, requests) = mpsc::channel(OPENING_MAX);
        let (inbound, streams) = mpsc::channel(config.streams_max);
        let mux = Mux {
            opening,
            meter: meter.clone(),
            closing: CancellationToken::new(),
            closed: CancellationToken::new(),
            reason: Arc::default(),
        };
        let driver = Driver {
            connection: Connection::new(metered.compat(), yamux_config, config.mode),
            requests,
            waiting: VecDeque::new(),
            inbound,
            meter,
            opened_blocked: 0,
        };
        tokio::spawn(driver.run(mux.closing.clone(), mux.closed.clone(), mux.reason.clone()));
        (mux, streams)
    }

    /// Opens a stream. Returns at once, unless the connection is busy; the peer learns of it with the first byte.
    pub(crate) async fn open(&self) -> Result<Substream, MuxClosed> {
        let (opened, substream) = oneshot::channel();
        self.opening.send(opened).await.map_err(|_| MuxClosed)?;
        substream.await.map_err(|_| MuxClosed)
    }

    /// Closes the connection after what was written before.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Waits until the connection is closed, and says why.
    pub(crate) async fn closed(&self) -> String {
        self.closed.cancelled().await;
        self.reason.get().cloned().unwrap_or_default()
    }

    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

/// How many streams yamux may know of, when `streams_max` may be open: those that were closed but not yet cleared away
/// count for it, too. See `OPENED_BLOCKED_MAX`.
pub(crate) fn known_streams_max(streams_max: usize) -> usize {
    streams_max * 2 + OPENED_BLOCKED_MAX
}

struct Driver<T> {
    connection: Connection<Compat<Metered<T>>>,
    requests: mpsc::Receiver<Opened>,
    waiting: VecDeque<Opened>,
    inbound: mpsc::Sender<Substream>,
    meter: Arc<Meter>,
    opened_blocked: usize,
}

/// Marks the connection as closed however its driver ends.
struct MarkClosed(CancellationToken);

impl Drop for MarkClosed {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Driver<T> {
    async fn run(mut self, closing: CancellationToken, closed: CancellationToken, reason: Arc<OnceLock<String>>) {
        let _mark = MarkClosed(closed);
        let driven = std::future::poll_fn(|cx| self.poll(cx));
        match closing.run_until_cancelled(driven).await {
            Some(ended) => {
                let _ = reason.set(ended);
            }
            None => {
                let _ = reason.set("it was closed here".into());
                let close = std::future::poll_fn(|cx| self.connection.poll_close(cx));
                // A peer that does not take the rest loses it.
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, close).await;
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        self.meter.begin_poll();
        loop {
            let dropped = self.meter.dropped();
            match self.connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => {
                    // The driver does not wait: a stream of the peer that does not fit into the queue is reset.
                    let _ = self.inbound.try_send(Substream::new(stream, &self.meter));
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    if matches!(error, yamux::ConnectionError::Decode(_)) {
                        self.meter.set_broke_rules();
                    }
                    return Poll::Ready(describe(&error));
                }
                Poll::Ready(None) => return Poll::Ready("the other side closed it".into()),
                Poll::Pending => {}
            }
            // Unless the network blocks it, yamux forgets all dropped streams before it has nothing left to do.
            if !self.meter.is_write_blocked() {
                self.meter.forget(dropped);
                self.opened_blocked = 0;
                // yamux may have forgotten streams already that another thread dropped meanwhile; nothing else would wake this task.
                if self.meter.dropped() > 0 {
                    cx.waker().wake_by_ref();
                }
            }
            while self.waiting.len() < OPENING_MAX
                && let Poll::Ready(Some(opened)) = self.requests.poll_recv(cx)
            {
                self.waiting.push_back(opened);
            }
            while self.waiting.front().is_some_and(oneshot::Sender::is_closed) {
                self.waiting.pop_front();
            }
            if self.waiting.is_empty() || self.opened_blocked >= OPENED_BLOCKED_MAX {
                return Poll::Pending;
            }
            match self.connection.poll_new_outbound(cx) {
                Poll::Ready(Ok(stream)) => {
                    self.opened_blocked += 1;
                    if let Some(opened) = self.waiting.pop_front() {
                        // Fails when the caller has given up.
                        let _ = opened.send(Substream::new(stream, &self.meter));
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(describe(&error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// What ended a connection, for people.
fn describe(error: &yamux::ConnectionError) -> String {
    match error {
        yamux::ConnectionError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the other side vanished".into()
        }
        yamux::ConnectionError::Closed => "the other side closed it".into(),
        error => format!("it broke: {error}"),
    }
}

/// A stream of a yamux connection. Dropped without being closed it is reset, which the peer sees as an end.
#[derive(Debug)]
pub(crate) struct Substream {
    stream: yamux::Stream,
    meter: Arc<Meter>,
    incoming: Arc<Gauge>,
    outgoing: Option<Arc<Gauge>>,
}

impl Substream {
    fn new(stream: yamux::Stream, meter: &Arc<Meter>) -> Self {
        let incoming = meter.incoming(stream.id().val());
        Substream { stream, meter: meter.clone(), incoming, outgoing: None }
    }

    /// What has arrived and was not yet passed on.
    pub(crate) fn incoming(&self) -> &Arc<Gauge> {
        &self.incoming
    }

    /// From now on what is written here was read from the stream of `gauge`.
    pub(crate) fn set_outgoing(&mut self, gauge: Arc<Gauge>) {
        self.meter.set_outgoing(self.stream.id().val(), gauge.clone());
        self.outgoing = Some(gauge);
    }

    /// Whether neither side can write any more: both have ended their half, or one has reset the stream.
    pub(crate) fn is_closed(&self) -> bool {
        self.stream.is_closed()
    }

    /// Counts work that the peer has caused besides the bytes that it sent, in bytes.
    pub(crate) fn charge(&self, work: u64) {
        self.meter.charge(work);
    }

    /// The next bytes as they arrived, to be passed on: they stay counted until they have left by the other stream.
    pub(crate) fn poll_packet(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Packet>>> {
        let mut polled = Pin::new(&mut self.stream).poll_next(cx);
        if let Poll::Ready(Some(Err(_))) = polled {
            // See `poll_read`.
            polled = Pin::new(&mut self.stream).poll_next(cx);
        }
        if polled.is_pending() {
            self.incoming.drained();
        }
        polled
    }

    /// Writes bytes that were counted when they arrived.
    pub(crate) fn poll_forward(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
}

impl AsyncRead for Substream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Err(_)) = polled {
            // Before it reads yamux gives credit, which fails when the connection is being closed just then. Asked again it
            // knows of the end, and gives what has arrived before.
            polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        match &polled {
            Poll::Ready(Ok(count)) => self.incoming.release(*count as u64),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.incoming.drained(),
        }
        polled
    }
}

impl AsyncWrite for Substream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        // Counted off again when they leave, with all other bytes of this stream.
        if let (Poll::Ready(Ok(count)), Some(gauge)) = (&polled, &self.outgoing) {
            gauge.add(*count as u64);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

impl Drop for Substream {
    fn drop(&mut self) {
        self.meter.drop_stream(self.stream.id().val());
    }
}
