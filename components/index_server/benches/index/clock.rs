//! Time on a machine that others use too.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How long this thread has been on a processor since it was started. On an idle machine that is the time that passes;
/// on a busy one the time of others does not count, but what they do to the caches does.
pub(crate) struct Clock {
    started: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Clock { started: processor() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        processor().saturating_sub(self.started)
    }
}

fn processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Bytes of memory that this process has in use, where the system tells.
pub(crate) fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<usize>().ok().map(|kilobytes| kilobytes * 1024)
}

/// How long several runs of the same things took, each thing's fastest run, sorted.
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// `rounds` times everything, so that when other programs have emptied the caches it affects one run only.
    pub(crate) fn fastest_of(rounds: usize, count: usize, mut run: impl FnMut(usize)) -> Self {
        let mut fastest = vec![Duration::MAX; count];
        for _ in 0..rounds {
            for (position, known) in fastest.iter_mut().enumerate() {
                let clock = Clock::start();
                run(position);
                *known = clock.elapsed().min(*known);
            }
        }
        Latencies::new(fastest)
    }

    pub(crate) fn new(mut latencies: Vec<Duration>) -> Self {
        latencies.sort();
        Latencies(latencies)
    }

    /// So many of 100 took no longer, milliseconds.
    pub(crate) fn within_ms(&self, percent: usize) -> f64 {
        let position = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(position).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }
}
