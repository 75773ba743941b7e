//! The byte stream under a yamux connection: counts which stream's bytes arrive and leave, and limits how fast.
//!
//! yamux does not tell how many unread and unsent bytes it holds. Its frames pass through here, so their headers tell.

use crate::connection_rate::ConnectionRate;
use crate::in_flight::{Gauge, NodeInFlight, Usage};
use crate::rate::Rate;
use crate::registry::RelayConnectionId;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes of a yamux header: version, kind, flags (2), stream (4), length (4).
const HEADER_BYTES: usize = 12;
const KIND_DATA: u8 = 0;
const KIND_WINDOW_UPDATE: u8 = 1;
const KIND_GO_AWAY: u8 = 3;
const FLAG_SYN: u16 = 1;
const FLAG_RST: u16 = 8;
/// Largest body of a frame: the window of a stream. yamux itself would allocate four times as much because a header says so.
pub(crate) const BODY_BYTES_MAX: u32 = yamux::DEFAULT_CREDIT;

/// What a frame costs, in bytes, when the rate of a connection is measured: tiny frames are work, too.
const FRAME_WORK_BYTES: u64 = 64;
/// What a new stream costs in the same way: a task, entries in several maps, and an answer.
pub(crate) const STREAM_WORK_BYTES: u64 = 16 * 1024;
/// After so much work in one poll of the driver, other connections come first. A frame may be larger.
const POLL_WORK_BYTES: u64 = 64 * 1024;

#[derive(Debug)]
struct Stream {
    /// Bytes that arrived on this connection.
    incoming: Arc<Gauge>,
    /// The gauge of the other connection whose bytes leave here.
    outgoing: Option<Arc<Gauge>>,
    /// Nobody handles the stream any more, but yamux may still hold bytes of it.
    dropped: bool,
}

impl Stream {
    fn new(node: &Arc<NodeInFlight>) -> Self {
        Stream { incoming: Gauge::new(node.clone()), outgoing: None, dropped: false }
    }
}

#[derive(Debug, Default)]
struct Streams {
    by_id: BTreeMap<u32, Stream>,
    /// Those that were dropped, oldest first.
    dropped: Vec<u32>,
}

/// What is known of one yamux connection.
#[derive(Debug)]
pub(crate) struct Meter {
    node: Arc<NodeInFlight>,
    streams_max: usize,
    streams: Mutex<Streams>,
    received: AtomicU64,
    sent: AtomicU64,
    write_blocked: AtomicBool,
    /// The work in the current poll of the driver.
    polled: AtomicU64,
    /// The work that was not yet counted against the rate of the connection.
    uncounted: AtomicU64,
    broke_rules: AtomicBool,
}

impl Meter {
    pub(crate) fn new(node: Arc<NodeInFlight>, streams_max: usize) -> Arc<Self> {
        Arc::new(Meter {
            node,
            streams_max,
            streams: Mutex::default(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            write_blocked: AtomicBool::new(false),
            polled: AtomicU64::new(0),
            uncounted: AtomicU64::new(0),
            broke_rules: AtomicBool::new(false),
        })
    }

    /// The driver is polled.
    pub(crate) fn begin_poll(&self) {
        self.polled.store(0, Ordering::Relaxed);
    }

    /// Counts work that the peer has caused, in bytes.
    pub(crate) fn charge(&self, work: u64) {
        self.uncounted.fetch_add(work, Ordering::Relaxed);
    }

    /// Whether the peer broke the rules of the multiplexer, or a limit that only a fault exceeds.
    pub(crate) fn broke_rules(&self) -> bool {
        self.broke_rules.load(Ordering::Relaxed)
    }

    /// The peer broke them.
    pub(crate) fn set_broke_rules(&self) {
        self.broke_rules.store(true, Ordering::Relaxed);
    }

    fn broken(&self, how: &str) -> io::Error {
        self.set_broke_rules();
        io::Error::new(io::ErrorKind::InvalidData, how)
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes received so far, of any kind.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes sent so far, of any kind.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether the network does not take what yamux wants to send.
    pub(crate) fn is_write_blocked(&self) -> bool {
        self.write_blocked.load(Ordering::Relaxed)
    }

    /// The gauge of a stream that yamux knows.
    pub(crate) fn incoming(&self, stream: u32) -> Arc<Gauge> {
        self.streams().by_id.entry(stream).or_insert_with(|| Stream::new(&self.node)).incoming.clone()
    }

    /// From now on what leaves on `stream` is counted off `gauge`.
    pub(crate) fn set_outgoing(&self, stream: u32, gauge: Arc<Gauge>) {
        if let Some(entry) = self.streams().by_id.get_mut(&stream) {
            entry.outgoing = Some(gauge);
        }
    }

    /// Nobody handles the stream any more. It stays counted until [`Meter::forget`].
    pub(crate) fn drop_stream(&self, stream: u32) {
        let mut streams = self.streams();
        if let Some(entry) = streams.by_id.get_mut(&stream) {
            entry.dropped = true;
            streams.dropped.push(stream);
        }
    }

    /// How many streams were dropped and not forgotten.
    pub(crate) fn dropped(&self) -> usize {
        self.streams().dropped.len()
    }

    /// yamux has forgotten the `count` streams that were dropped first.
    pub(crate) fn forget(&self, count: usize) {
        if count == 0 {
            return;
        }
        let mut streams = self.streams();
        let count = count.min(streams.dropped.len());
        let forgotten: Vec<u32> = streams.dropped.drain(..count).collect();
        for stream in forgotten {
            streams.by_id.remove(&stream);
        }
    }

    /// What the streams of this connection hold. Bytes that wait to leave are counted where they came from, unless
    /// the stream that they wait on was dropped.
    pub(crate) fn usages(&self, source: RelayConnectionId) -> Vec<Usage> {
        let streams = self.streams();
        let usage = |(id, entry): (&u32, &Stream)| {
            let orphaned = entry.outgoing.as_ref().filter(|_| entry.dropped).map_or(0, |gauge| gauge.bytes());
            Usage { source, stream: *id, bytes: entry.incoming.bytes() + orphaned }
        };
        streams.by_id.iter().map(usage).collect()
    }

    /// Tells the task that handles the stream to close it. False when there is none, or it was told before.
    pub(crate) fn cut(&self, stream: u32) -> bool {
        match self.streams().by_id.get(&stream) {
            Some(entry) if !entry.dropped && !entry.incoming.cut().is_cancelled() => {
                entry.incoming.cut().cancel();
                true
            }
            _ => false,
        }
    }

    fn frame_begins(&self, header: Header) -> io::Result<()> {
        if header.kind == KIND_DATA && header.length > BODY_BYTES_MAX {
            return Err(self.broken("a multiplexer frame is too large"));
        }
        let mut streams = self.streams();
        if header.opens() {
            // The number of a stream that was dropped may be used again.
            if streams.by_id.get(&header.stream).is_some_and(|entry| entry.dropped) {
                streams.by_id.remove(&header.stream);
                streams.dropped.retain(|id| *id != header.stream);
            }
            let is_full = streams.by_id.len() >= self.streams_max;
            if let Entry::Vacant(entry) = streams.by_id.entry(header.stream) {
                if is_full {
                    return Err(self.broken("too many streams are open"));
                }
                entry.insert(Stream::new(&self.node));
            }
        }
        if header.kind == KIND_DATA
            && header.length > 0
            && let Some(entry) = streams.by_id.get(&header.stream)
        {
            entry.incoming.add_frame();
        }
        Ok(())
    }

    fn body_arrived(&self, stream: u32, count: usize) {
        if let Some(entry) = self.streams().by_id.get(&stream) {
            entry.incoming.add(count as u64);
        }
    }

    fn body_left(&self, stream: u32, count: usize) {
        if let Some(entry) = self.streams().by_id.get(&stream)
            && let Some(gauge) = &entry.outgoing
        {
            gauge.release(count as u64);
        }
    }
}

/// What a yamux header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    kind: u8,
    flags: u16,
    stream: u32,
    length: u32,
}

impl Header {
    fn is_of_stream(self) -> bool {
        matches!(self.kind, KIND_DATA | KIND_WINDOW_UPDATE)
    }

    fn opens(self) -> bool {
        self.is_of_stream() && self.flags & FLAG_SYN != 0
    }

    fn resets(self) -> bool {
        self.is_of_stream() && self.flags & FLAG_RST != 0
    }

    /// What it costs besides its bytes.
    fn work(self) -> u64 {
        FRAME_WORK_BYTES + if self.opens() { STREAM_WORK_BYTES } else { 0 }
    }
}

/// A part of the bytes that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Header(Header),
    /// So many bytes of a stream.
    Body(u32, usize),
}

/// Follows the frames in a sequence of bytes.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    stream: u32,
    body_left: usize,
}

impl Frames {
    /// Whether `bytes`, which come next, begin with the header of a frame of this kind.
    fn next_is(&self, kind: u8, bytes: &[u8]) -> bool {
        self.body_left == 0 && self.header_filled == 0 && bytes.get(1) == Some(&kind)
    }

    fn follow(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Piece) -> io::Result<()>) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.body_left > 0 {
                let count = self.body_left.min(bytes.len());
                self.body_left -= count;
                bytes = &bytes[count..];
                tell(Piece::Body(self.stream, count))?;
                continue;
            }
            let count = (HEADER_BYTES - self.header_filled).min(bytes.len());
            self.header[self.header_filled..self.header_filled + count].copy_from_slice(&bytes[..count]);
            self.header_filled += count;
            bytes = &bytes[count..];
            if self.header_filled == HEADER_BYTES {
                self.header_filled = 0;
                let [_, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = self.header;
                let stream = u32::from_be_bytes([s0, s1, s2, s3]);
                let length = u32::from_be_bytes([l0, l1, l2, l3]);
                if kind == KIND_DATA {
                    self.stream = stream;
                    self.body_left = length as usize;
                }
                tell(Piece::Header(Header { kind, flags: u16::from_be_bytes([f0, f1]), stream, length }))?;
            }
        }
        Ok(())
    }
}

/// How fast a connection is read, and how many streams its peer may reset.
pub(crate) struct Throttle {
    rate: ConnectionRate,
    /// Streams that the peer may reset.
    resets: Option<Rate>,
    clock: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Throttle {
    /// `clock` is where the milliseconds of the rate and of `resets` begin.
    pub(crate) fn new(rate: ConnectionRate, resets: Option<Rate>, clock: Instant) -> Self {
        Throttle { rate, resets, clock, sleep: Box::pin(tokio::time::sleep(Duration::ZERO)) }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Ready when the connection may be read after `work`.
    fn poll_ready(&mut self, work: u64, cx: &mut Context<'_>) -> Poll<()> {
        self.rate.spend(work);
        loop {
            match self.rate.wait_ms(self.now_ms()) {
                0 => return Poll::Ready(()),
                wait_ms => {
                    self.sleep.as_mut().reset(Instant::now() + Duration::from_millis(wait_ms));
                    ready!(self.sleep.as_mut().poll(cx));
                }
            }
        }
    }

    /// The peer resets one more stream; false: it may not.
    fn reset(&mut self) -> bool {
        let now_ms = self.now_ms();
        self.resets.as_mut().is_none_or(|resets| {
            let may = resets.wait_ms(now_ms) == 0;
            resets.spend(1);
            may
        })
    }
}

/// The byte stream under a yamux connection.
///
/// yamux does all work that there is before its driver returns. So each poll of the driver ends here after some work, as if
/// nothing more had arrived. When yamux tells the peer that it broke the rules it goes on reading, and writes
/// the next violation into the log, too; here that is the end.
///
/// A peer that closes has mostly sent the reason before, and yamux stops reading as soon as it cannot write. So what cannot be
/// written any more is dropped silently: the connection ends where there is nothing more to read.
pub(crate) struct Metered<T> {
    inner: T,
    can_write: bool,
    meter: Arc<Meter>,
    arriving: Frames,
    leaving: Frames,
    throttle: Throttle,
}

impl<T> Metered<T> {
    /// Reads as fast as `throttle` lets it.
    pub(crate) fn new(inner: T, meter: Arc<Meter>, throttle: Throttle) -> Self {
        let (arriving, leaving) = (Frames::default(), Frames::default());
        Metered { inner, can_write: true, meter, arriving, leaving, throttle }
    }
}

impl<T: AsyncWrite + Unpin> Metered<T> {
    /// Polls a write while the peer still reads; `otherwise` is the result when it does not.
    fn poll_while_writable<R>(
        &mut self,
        otherwise: R,
        poll: impl FnOnce(Pin<&mut T>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if self.can_write {
            match poll(Pin::new(&mut self.inner)) {
                Poll::Ready(Err(_)) => self.can_write = false,
                polled => return polled,
            }
        }
        Poll::Ready(Ok(otherwise))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.meter.broke_rules() {
            return Poll::Ready(Err(this.meter.broken("the other side broke the rules of the multiplexer")));
        }
        match this.meter.polled.load(Ordering::Relaxed) {
            0 => ready!(this.throttle.poll_ready(this.meter.uncounted.swap(0, Ordering::Relaxed), cx)),
            polled if polled >= POLL_WORK_BYTES => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            _ => {}
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let bytes = &buf.filled()[before..];
        this.meter.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let mut work = bytes.len() as u64;
        let (meter, throttle) = (&this.meter, &mut this.throttle);
        let followed = this.arriving.follow(bytes, |piece| match piece {
            Piece::Header(header) => {
                work += header.work();
                if header.resets() && !throttle.reset() {
                    return Err(meter.broken("it resets too many streams"));
                }
                meter.frame_begins(header)
            }
            Piece::Body(stream, count) => {
                meter.body_arrived(stream, count);
                Ok(())
            }
        });
        meter.polled.fetch_add(work, Ordering::Relaxed);
        meter.charge(work);
        Poll::Ready(followed)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        // Also when it cannot be written. A connection that ends in order does so with the code 0.
        if this.leaving.next_is(KIND_GO_AWAY, buf) && buf.get(8..HEADER_BYTES) != Some(&[0; 4]) {
            this.meter.set_broke_rules();
        }
        let written = this.poll_while_writable(buf.len(), |inner| inner.poll_write(cx, buf));
        this.meter.write_blocked.store(written.is_pending(), Ordering::Relaxed);
        let count = ready!(written)?;
        this.meter.sent.fetch_add(count as u64, Ordering::Relaxed);
        let meter = &this.meter;
        this.leaving.follow(&buf[..count], |piece| {
            if let Piece::Body(stream, count) = piece {
                meter.body_left(stream, count);
            }
            Ok(())
        })?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_while_writable((), |inner| inner.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_while_writable((), |inner| inner.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u16, stream: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, kind];
        bytes.extend_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    /// However the bytes are split, the same frames are seen.
    #[test]
    fn frames_are_followed_across_any_split() {
        let mut bytes = frame(KIND_DATA, FLAG_SYN, 1, b"hello");
        bytes.extend(frame(2, 0, 0, b""));
        bytes.extend(frame(KIND_DATA, 0, 3, b""));
        bytes.extend(frame(KIND_DATA, 4, 1, &[7; 100]));
        for size in 1..bytes.len() {
            let (mut headers, mut of_one) = (vec![], 0);
            let mut frames = Frames::default();
            for part in bytes.chunks(size) {
                let seen = frames.follow(part, |piece| {
                    match piece {
                        Piece::Header(header) => headers.push((header.kind, header.stream)),
                        Piece::Body(stream, count) => {
                            assert_eq!(stream, 1);
                            of_one += count;
                        }
                    }
                    Ok(())
                });
                seen.unwrap();
            }
            assert_eq!(headers, [(0, 1), (2, 0), (0, 3), (0, 1)]);
            assert_eq!(of_one, 105);
        }
    }

    #[test]
    fn streams_and_bodies_are_bounded() {
        let limits = crate::in_flight::InFlightLimits { per_substream: 1, per_node: 1, total: 1 };
        let meter = Meter::new(NodeInFlight::new(crate::in_flight::InFlight::new(limits, Arc::default())), 2);
        let open = |stream, length| meter.frame_begins(Header { kind: KIND_DATA, flags: FLAG_SYN, stream, length });
        assert!(open(1, BODY_BYTES_MAX + 1).is_err());
        assert!(open(1, BODY_BYTES_MAX).is_ok());
        assert!(open(3, 0).is_ok());
        assert!(open(5, 0).is_err());
        assert!(open(3, 0).is_ok());
        // A dropped stream is counted until yamux has forgotten it, also what arrives for it meanwhile.
        meter.drop_stream(1);
        meter.body_arrived(1, 500);
        assert_eq!((meter.dropped(), meter.streams().by_id.len()), (1, 2));
        assert!(open(5, 0).is_err());
        assert!(!meter.cut(1));
        meter.forget(1);
        assert!(open(5, 0).is_ok());
        // Bytes of a stream that was never opened are not counted and keep nothing.
        meter.body_arrived(99, 5);
        assert_eq!(meter.streams().by_id.len(), 2);
        // A number is used again.
        meter.drop_stream(5);
        assert!(open(5, 0).is_ok());
        assert_eq!(meter.dropped(), 0);
        assert!(meter.cut(5));
        assert!(!meter.cut(5));
    }
}
