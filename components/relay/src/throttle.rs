//! When a connection may be read again, and whether its peer may reset one more stream.

use crate::connection_rate::ConnectionRate;
use crate::rate::Rate;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

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
    /// (R4.10.)
    pub(crate) fn poll_ready(&mut self, work: u64, cx: &mut Context<'_>) -> Poll<()> {
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
    pub(crate) fn reset(&mut self) -> bool {
        let now_ms = self.now_ms();
        self.resets.as_mut().is_none_or(|resets| {
            let may = resets.wait_ms(now_ms) == 0;
            resets.spend(1);
            may
        })
    }
}
