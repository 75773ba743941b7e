//! The log of a server, which nobody who talks to the server can fill.
//!
//! Many lines say what a peer did, and a peer can do it again and again: connect, fail, be refused. The disk would be full, and
//! everybody would wait for stderr. Every line passes here, so none can be forgotten: of each place in the code only so many
//! lines are written, of each peer fewer (`log::info!(peer:% = key; ...)` says whose line it is), and of all together so
//! many bytes. What is left out is counted, and said within [`REPORT_TIME`]. Lines below `info`, which only `RUST_LOG` asks
//! for, are not counted.

use log::{Level, Log, Metadata, Record};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Our own crates say what happened; those of others only what is wrong. yamux calls wrong what its peer does.
const DEFAULT_FILTER: &str = "warn,offst=info,yamux=off";

/// How often [`Log::flush`] has to be called.
pub(crate) const REPORT_TIME: Duration = Duration::from_secs(10);

/// Lines that one peer can cause at one place.
const PEER_LINES: Allowed = Allowed { at_once: 10, per_minute: 6 };
/// Lines that one place writes.
const PLACE_LINES: Allowed = Allowed { at_once: 300, per_minute: 120 };
/// Bytes of all lines, of those at `info` and of those that are worse, so that neither keep the others out. Together less
/// than a megabyte a minute.
const BYTES: Allowed = Allowed { at_once: 128 * 1024, per_minute: 240 * 1024 };
/// Peers that are remembered. Lines of further ones are left out until the earlier ones have been quiet.
const PEERS_MAX: usize = 8192;
/// At least so long between two looks for peers that are quiet, milliseconds.
const SWEEP_MS: u64 = 1000;
/// What a line has besides its text: time, level, place.
const HEAD_BYTES: usize = 64;
/// Characters that are shown of a line that was left out.
const EXAMPLE_CHARACTERS: usize = 200;

/// How much is allowed.
#[derive(Debug, Clone, Copy)]
struct Allowed {
    at_once: u64,
    per_minute: u64,
}

/// What is left of it.
#[derive(Debug)]
struct Bucket {
    allowed: Allowed,
    /// In 60,000ths, of which `per_minute` come each millisecond.
    level: u64,
    at_ms: u64,
}

impl Bucket {
    const UNIT: u64 = 60_000;

    fn full(allowed: Allowed, now_ms: u64) -> Self {
        Bucket { allowed, level: allowed.at_once * Self::UNIT, at_ms: now_ms }
    }

    fn fill(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        let filled = self.level.saturating_add(passed.saturating_mul(self.allowed.per_minute));
        self.level = filled.min(self.allowed.at_once * Self::UNIT);
    }

    fn is_full(&mut self, now_ms: u64) -> bool {
        self.fill(now_ms);
        self.level == self.allowed.at_once * Self::UNIT
    }

    /// Takes so much; false: there is not enough.
    fn take(&mut self, count: u64, now_ms: u64) -> bool {
        self.fill(now_ms);
        let rest = self.level.checked_sub(count.saturating_mul(Self::UNIT));
        self.level = rest.unwrap_or(self.level);
        rest.is_some()
    }
}

/// Where a line is written: file and line of the source.
type Place = (&'static str, u32);

#[derive(Debug)]
struct OfPlace {
    bucket: Bucket,
    /// Lines that were left out since the last report.
    left_out: u64,
    /// The first of them.
    example: String,
    target: String,
    level: Level,
}

/// Decides which lines are written.
#[derive(Debug)]
struct Lines {
    places: BTreeMap<Place, OfPlace>,
    peers: Peers,
    infos: Bucket,
    worse: Bucket,
}

/// The peers that have caused lines not long ago, each at a place.
#[derive(Debug, Default)]
struct Peers {
    buckets: BTreeMap<(Place, u64), Bucket>,
    /// When those were forgotten last that were quiet.
    swept_ms: u64,
}

impl Peers {
    /// Whether a peer may cause one more line at a place.
    fn may(&mut self, key: (Place, u64), now_ms: u64) -> bool {
        if self.buckets.len() >= PEERS_MAX && !self.buckets.contains_key(&key) {
            // Not for each of those who come in numbers.
            if now_ms < self.swept_ms.saturating_add(SWEEP_MS) {
                return false;
            }
            self.swept_ms = now_ms;
            self.buckets.retain(|_, bucket| !bucket.is_full(now_ms));
            if self.buckets.len() >= PEERS_MAX {
                return false;
            }
        }
        self.buckets.entry(key).or_insert_with(|| Bucket::full(PEER_LINES, now_ms)).take(1, now_ms)
    }
}

/// What was left out at one place.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut {
    count: u64,
    example: String,
    target: String,
    level: Level,
}

impl Lines {
    fn new(now_ms: u64) -> Self {
        let bytes = || Bucket::full(BYTES, now_ms);
        Lines { places: BTreeMap::new(), peers: Peers::default(), infos: bytes(), worse: bytes() }
    }

    /// Whether the line is written.
    fn admit(&mut self, record: &Record<'_>, now_ms: u64) -> bool {
        let place = (record.file_static().unwrap_or_default(), record.line().unwrap_or_default());
        let peer = record.key_values().get("peer".into()).map(|peer| {
            let mut hasher = DefaultHasher::new();
            peer.to_string().hash(&mut hasher);
            hasher.finish()
        });
        let of_place = self.places.entry(place).or_insert_with(|| OfPlace {
            bucket: Bucket::full(PLACE_LINES, now_ms),
            left_out: 0,
            example: String::new(),
            target: record.target().to_owned(),
            level: record.level(),
        });
        let bytes = if record.level() < Level::Info { &mut self.worse } else { &mut self.infos };
        let admitted = peer.is_none_or(|peer| self.peers.may((place, peer), now_ms))
            && of_place.bucket.take(1, now_ms)
            && bytes.take((record.args().to_string().len() + HEAD_BYTES) as u64, now_ms);
        if !admitted {
            if of_place.left_out == 0 {
                of_place.example = record.args().to_string().chars().take(EXAMPLE_CHARACTERS).collect();
            }
            of_place.left_out += 1;
        }
        admitted
    }

    /// What was left out since it was last asked for.
    fn left_out(&mut self) -> Vec<LeftOut> {
        let places = self.places.values_mut().filter(|of_place| of_place.left_out > 0);
        let report = |of_place: &mut OfPlace| LeftOut {
            count: std::mem::take(&mut of_place.left_out),
            example: std::mem::take(&mut of_place.example),
            target: of_place.target.clone(),
            level: of_place.level,
        };
        places.map(report).collect()
    }
}

/// The logger of a server.
pub(crate) struct QuietLog {
    /// Filters and writes.
    inner: env_logger::Logger,
    lines: Mutex<Lines>,
    start: Instant,
}

impl QuietLog {
    /// Writes to stderr: what [`DEFAULT_FILTER`] lets through, or what `RUST_LOG` says.
    fn new() -> Self {
        let environment = env_logger::Env::default().default_filter_or(DEFAULT_FILTER);
        let inner = env_logger::Builder::from_env(environment).build();
        QuietLog { inner, lines: Mutex::new(Lines::new(0)), start: Instant::now() }
    }

    /// Makes it the logger of this process. The first call counts; a second logger in one process would be a test's.
    pub(crate) fn start() {
        let quiet = QuietLog::new();
        let most = quiet.inner.filter();
        if log::set_boxed_logger(Box::new(quiet)).is_ok() {
            log::set_max_level(most);
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for QuietLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.inner.matches(record) {
            return;
        }
        let now_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        if record.level() > Level::Info || self.lines().admit(record, now_ms) {
            self.inner.log(record);
        }
    }

    /// Says what was left out.
    fn flush(&self) {
        let left_out = self.lines().left_out();
        for LeftOut { count, example, target, level } in left_out {
            let lines = if count == 1 { "1 line was".into() } else { format!("{count} lines like this were") };
            self.inner.log(
                &Record::builder()
                    .level(level)
                    .target(&target)
                    .args(format_args!("{lines} left out, because there were too many: {example}"))
                    .build(),
            );
        }
        self.inner.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::kv::Value;

    /// Passes a line at a place of its own to `lines`.
    fn line(lines: &mut Lines, place: u32, level: Level, peer: Option<u64>, text: &str, now_ms: u64) -> bool {
        let peer = peer.map(|peer| ("peer", Value::from(peer)));
        let mut record = Record::builder();
        record.file_static(Some("place.rs")).line(Some(place)).level(level).target("offst_test").key_values(&peer);
        lines.admit(&record.args(format_args!("{text}")).build(), now_ms)
    }

    fn count(times: usize, mut line: impl FnMut(usize) -> bool) -> usize {
        (0..times).filter(|index| line(*index)).count()
    }

    #[test]
    fn a_peer_has_few_lines_and_leaves_others_theirs() {
        let mut lines = Lines::new(0);
        let flood = count(10_000, |_| line(&mut lines, 1, Level::Info, Some(7), "reconnected", 0));
        assert_eq!(flood, 10);
        assert!(line(&mut lines, 1, Level::Info, Some(8), "another peer", 0));
        assert!(line(&mut lines, 2, Level::Info, Some(7), "the same peer elsewhere", 0));
        assert!(line(&mut lines, 1, Level::Info, None, "nobody's", 0));
        assert!(!line(&mut lines, 1, Level::Info, Some(7), "reconnected", 9_999));
        assert!(line(&mut lines, 1, Level::Info, Some(7), "reconnected", 10_000));
        let left_out = lines.left_out();
        let expected =
            LeftOut { count: 9_991, example: "reconnected".into(), target: "offst_test".into(), level: Level::Info };
        assert_eq!(left_out, [expected]);
        assert_eq!(lines.left_out(), []);
    }

    #[test]
    fn many_peers_have_no_more_together_than_their_place() {
        let mut lines = Lines::new(0);
        let passed = count(100_000, |peer| line(&mut lines, 1, Level::Info, Some(peer as u64), "refused", 0));
        assert_eq!(passed, 300);
        assert!(lines.peers.buckets.len() <= PEERS_MAX);
        assert!(line(&mut lines, 2, Level::Info, None, "another place", 0));
        // Peers that were quiet are forgotten, so that new ones are heard.
        assert!(line(&mut lines, 1, Level::Info, Some(1 << 40), "refused", 200_000));
        assert!(lines.peers.buckets.len() < 10);
    }

    /// Every place of the code, flooded with long lines by many peers at every level for an hour.
    #[test]
    fn a_megabyte_a_minute_is_the_most() {
        let mut lines = Lines::new(0);
        let text = "x".repeat(500);
        let mut written: BTreeMap<u64, usize> = BTreeMap::new();
        for now_ms in (0..3_600_000).step_by(500) {
            for place in 0..200 {
                let level = if place % 2 == 0 { Level::Info } else { Level::Error };
                if line(&mut lines, place, level, Some(now_ms / 500), &text, now_ms) {
                    *written.entry(now_ms / 60_000).or_default() += text.len() + HEAD_BYTES;
                }
            }
            if now_ms % 10_000 == 0 {
                let reports =
                    lines.left_out().iter().map(|report| report.example.len() + 2 * HEAD_BYTES).sum::<usize>();
                // 200 places is several times what there are.
                *written.entry(now_ms / 60_000).or_default() += reports / 4;
            }
        }
        let most = written.values().max().copied().unwrap_or_default();
        assert!((400_000..1_000_000).contains(&most), "{most} bytes in a minute");
    }

    #[test]
    fn worse_lines_are_not_kept_out_by_others() {
        let mut lines = Lines::new(0);
        let text = "x".repeat(10_000);
        for place in 0..100 {
            line(&mut lines, place, Level::Info, None, &text, 0);
        }
        assert!(!line(&mut lines, 200, Level::Info, None, &text, 0));
        assert!(line(&mut lines, 201, Level::Warn, None, &text, 0));
    }

    #[test]
    fn libraries_of_others_are_heard_when_something_is_wrong() {
        let inner = env_logger::Builder::new().parse_filters(DEFAULT_FILTER).build();
        let heard = |target: &str, level| inner.enabled(&Metadata::builder().target(target).level(level).build());
        for ours in ["offst::serving", "offst_relay::server", "offst_node::network"] {
            assert!(heard(ours, Level::Info) && !heard(ours, Level::Debug), "{ours}");
        }
        assert!(heard("rustls::conn", Level::Warn) && !heard("rustls::conn", Level::Info));
        assert!(!heard("yamux::connection", Level::Error));
    }
}
