//! The byte stream under a yamux connection: counts which stream's bytes arrive and leave, and limits how fast.
//!
//! yamux does not tell how many unread and unsent bytes it holds. Its frames pass through here, so their headers tell.

use crate::meter::Meter;
use crate::throttle::Throttle;
use crate::yamux_frames::{Frames, HEADER_BYTES, KIND_GO_AWAY, Piece};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// After so much work in one poll of the driver, other connections come first. A frame may be larger.
const POLL_WORK_BYTES: u64 = 64 * 1024;

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
        match this.meter.polled() {
            0 => ready!(this.throttle.poll_ready(this.meter.take_uncounted(), cx)),
            polled if polled >= POLL_WORK_BYTES => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            _ => {}
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let bytes = &buf.filled()[before..];
        let received = bytes.len() as u64;
        let mut work = received;
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
        meter.add_received(received, work);
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
        this.meter.set_write_blocked(written.is_pending());
        let count = ready!(written)?;
        this.meter.add_sent(count as u64);
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
