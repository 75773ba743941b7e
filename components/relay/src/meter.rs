//! What is known of one yamux connection: how many bytes each stream holds, and how much work the peer has caused.

use crate::in_flight::{Gauge, NodeInFlight, Usage};
use crate::registry::RelayConnectionId;
use crate::yamux_frames::{BODY_BYTES_MAX, Header, KIND_DATA};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

    /// The work in the current poll of the driver, in bytes.
    pub(crate) fn polled(&self) -> u64 {
        self.polled.load(Ordering::Relaxed)
    }

    /// Counts bytes that were received, and the work that they cause in the current poll.
    pub(crate) fn add_received(&self, bytes: u64, work: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
        self.polled.fetch_add(work, Ordering::Relaxed);
        self.charge(work);
    }

    /// Counts bytes that were sent.
    pub(crate) fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The work that was not yet counted against the rate of the connection; it counts as counted now.
    pub(crate) fn take_uncounted(&self) -> u64 {
        self.uncounted.swap(0, Ordering::Relaxed)
    }

    /// Remembers whether the network takes what yamux wants to send.
    pub(crate) fn set_write_blocked(&self, is_blocked: bool) {
        self.write_blocked.store(is_blocked, Ordering::Relaxed);
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
    /// (R4.13.)
    pub(crate) fn set_broke_rules(&self) {
        self.broke_rules.store(true, Ordering::Relaxed);
    }

    /// Marks the connection as broken by its peer.
    pub(crate) fn broken(&self, how: &str) -> io::Error {
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

    /// A frame begins to arrive.
    ///
    /// # Errors
    /// It breaks a bound.
    pub(crate) fn frame_begins(&self, header: Header) -> io::Result<()> {
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

    /// Bytes of a stream arrived.
    pub(crate) fn body_arrived(&self, stream: u32, count: usize) {
        if let Some(entry) = self.streams().by_id.get(&stream) {
            entry.incoming.add(count as u64);
        }
    }

    /// Bytes of a stream were written to the network.
    pub(crate) fn body_left(&self, stream: u32, count: usize) {
        if let Some(entry) = self.streams().by_id.get(&stream)
            && let Some(gauge) = &entry.outgoing
        {
            gauge.release(count as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_flight::{InFlight, InFlightLimits};
    use crate::yamux_frames::FLAG_SYN;

    #[test]
    fn streams_and_bodies_are_bounded() {
        let limits = InFlightLimits { per_substream: 1, per_node: 1, total: 1 };
        let meter = Meter::new(NodeInFlight::new(InFlight::new(limits, Arc::default())), 2);
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
