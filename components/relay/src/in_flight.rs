//! How many bytes are in flight, and which substreams are closed when there are too many.
//!
//! A byte is in flight from when the relay has read it from one node's connection until it is written to the
//! other's. It is counted for the node that sent it: a slow reader then costs the two nodes one substream and nothing else.

use crate::registry::RelayConnectionId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What holding one unread frame costs besides its bytes. Without it a node could fill the memory with tiny frames.
const FRAME_COST: u64 = 96;

/// Most bytes in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InFlightLimits {
    pub(crate) per_substream: u64,
    pub(crate) per_node: u64,
    pub(crate) total: u64,
}

/// The bytes in flight in the whole program.
#[derive(Debug)]
pub(crate) struct InFlight {
    limits: InFlightLimits,
    total: Arc<AtomicU64>,
    exceeded: Notify,
}

impl InFlight {
    pub(crate) fn new(limits: InFlightLimits, total: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(InFlight { limits, total, exceeded: Notify::new() })
    }

    /// Waits until a limit was exceeded since the last time.
    pub(crate) async fn exceeded(&self) {
        self.exceeded.notified().await;
    }

    pub(crate) fn limits(&self) -> InFlightLimits {
        self.limits
    }
}

/// The bytes in flight that came from one node.
#[derive(Debug)]
pub(crate) struct NodeInFlight {
    bytes: AtomicU64,
    all: Arc<InFlight>,
}

impl NodeInFlight {
    pub(crate) fn new(all: Arc<InFlight>) -> Arc<Self> {
        Arc::new(NodeInFlight { bytes: AtomicU64::new(0), all })
    }
}

/// The bytes in flight in one direction of one substream.
#[derive(Debug)]
pub(crate) struct Gauge {
    bytes: AtomicU64,
    /// The part of `bytes` that is [`FRAME_COST`].
    frames: AtomicU64,
    node: Arc<NodeInFlight>,
    /// Cancelled when the substream has to be closed.
    cut: CancellationToken,
}

impl Gauge {
    pub(crate) fn new(node: Arc<NodeInFlight>) -> Arc<Self> {
        Arc::new(Gauge { bytes: AtomicU64::new(0), frames: AtomicU64::new(0), node, cut: CancellationToken::new() })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    /// Bytes arrived.
    pub(crate) fn add(&self, count: u64) {
        let all = &self.node.all;
        let limits = &all.limits;
        let total = all.total.fetch_add(count, Ordering::Relaxed) + count;
        let of_node = self.node.bytes.fetch_add(count, Ordering::Relaxed) + count;
        let of_substream = self.bytes.fetch_add(count, Ordering::Relaxed) + count;
        if total > limits.total || of_node > limits.per_node || of_substream > limits.per_substream {
            all.exceeded.notify_one();
        }
    }

    /// A frame begins to arrive.
    pub(crate) fn add_frame(&self) {
        self.frames.fetch_add(FRAME_COST, Ordering::Relaxed);
        self.add(FRAME_COST);
    }

    /// Nothing unread is left, so the frames cost nothing any more.
    pub(crate) fn drained(&self) {
        self.release(self.frames.swap(0, Ordering::Relaxed));
    }

    /// Bytes left.
    pub(crate) fn release(&self, count: u64) {
        let before = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bytes| Some(bytes.saturating_sub(count)))
            .expect("the closure always gives a value");
        self.release_above(count.min(before));
    }

    fn release_above(&self, count: u64) {
        self.node.bytes.fetch_sub(count, Ordering::Relaxed);
        self.node.all.total.fetch_sub(count, Ordering::Relaxed);
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        let rest = *self.bytes.get_mut();
        self.release_above(rest);
    }
}

/// What one direction of a substream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// The connection that the bytes came from.
    pub(crate) source: RelayConnectionId,
    /// The stream on that connection.
    pub(crate) stream: u32,
    pub(crate) bytes: u64,
}

/// Which substreams to close so that all limits hold again: those above their own limit, then the largest of each node
/// that is above its limit, then the largest of all.
/// (R4.11.)
pub(crate) fn substreams_to_close(limits: InFlightLimits, mut usages: Vec<Usage>) -> Vec<Usage> {
    usages.sort_by_key(|usage| (std::cmp::Reverse(usage.bytes), usage.source, usage.stream));
    let mut of_node: BTreeMap<RelayConnectionId, u64> = BTreeMap::new();
    let mut total = 0;
    for usage in &usages {
        *of_node.entry(usage.source).or_default() += usage.bytes;
        total += usage.bytes;
    }
    let mut closed = vec![];
    let mut kept = vec![];
    for usage in usages {
        let node = of_node.entry(usage.source).or_default();
        if usage.bytes > limits.per_substream || *node > limits.per_node {
            *node -= usage.bytes;
            total -= usage.bytes;
            closed.push(usage);
        } else {
            kept.push(usage);
        }
    }
    for usage in kept {
        if total <= limits.total {
            break;
        }
        total -= usage.bytes;
        closed.push(usage);
    }
    closed
}

#[cfg(test)]
mod tests;
