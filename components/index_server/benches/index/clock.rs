//! Time on a machine that others use too.

use std::time::{Duration, Instant};

/// Since it was started: time of the world, and of this thread on a processor.
pub(crate) struct Clock {
    started: Instant,
    processor_ns: Option<u64>,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Clock { started: Instant::now(), processor_ns: processor_ns() }
    }

    /// What this thread has used. Where the system does not tell, what has passed.
    pub(crate) fn processor(&self) -> Duration {
        match (self.processor_ns, processor_ns()) {
            (Some(before), Some(now)) if now > before => Duration::from_nanos(now - before),
            _ => self.started.elapsed(),
        }
    }
}

/// Linux tells in the first number of this file.
fn processor_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split_whitespace().next()?.parse().ok()
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
    /// `rounds` times everything, so that a moment in which the machine was busy with others hits one run only.
    pub(crate) fn fastest_of(rounds: usize, count: usize, mut run: impl FnMut(usize)) -> Self {
        let mut fastest = vec![Duration::MAX; count];
        for _ in 0..rounds {
            for (position, known) in fastest.iter_mut().enumerate() {
                let started = Instant::now();
                run(position);
                *known = started.elapsed().min(*known);
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
