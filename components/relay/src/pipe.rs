//! Copies bytes between two substreams, in both directions, until both have ended.

use crate::mux::Substream;
use futures::AsyncWrite;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use yamux::Packet;

/// One direction. It holds at most one packet: the source is read only when the sink has taken the one before.
#[derive(Default)]
struct Direction {
    packet: Option<(Packet, usize)>,
    source_ended: bool,
    sink_closed: bool,
}

impl Direction {
    /// Ready when the source has ended and the sink was told.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Substream,
        sink: &mut Substream,
        forwarded: &AtomicU64,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some((packet, offset)) = &mut self.packet {
                let rest = packet.as_ref().get(*offset..).unwrap_or_default();
                if !rest.is_empty() {
                    let count = ready!(sink.poll_forward(cx, rest))?;
                    *offset += count;
                    forwarded.fetch_add(count as u64, Ordering::Relaxed);
                    continue;
                }
                self.packet = None;
            }
            if self.source_ended {
                if !self.sink_closed {
                    ready!(Pin::new(&mut *sink).poll_close(cx))?;
                    self.sink_closed = true;
                }
                return Poll::Ready(Ok(()));
            }
            match ready!(source.poll_packet(cx)) {
                Some(packet) => self.packet = Some((packet?, 0)),
                None => self.source_ended = true,
            }
        }
    }
}

/// Copies until both sides have ended their half, or one of them has reset its stream.
pub(crate) async fn pipe(mut one: Substream, mut other: Substream, forwarded: &AtomicU64) -> io::Result<()> {
    let (mut forward, mut backward) = (Direction::default(), Direction::default());
    std::future::poll_fn(move |cx| {
        let forward_ended = forward.poll(cx, &mut one, &mut other, forwarded)?.is_ready();
        let backward_ended = backward.poll(cx, &mut other, &mut one, forwarded)?.is_ready();
        // A stream that is closed while the other direction still runs was reset: nobody reads the rest.
        let reset = (forward_ended && one.is_closed()) || (backward_ended && other.is_closed());
        if reset || (forward_ended && backward_ended) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}
