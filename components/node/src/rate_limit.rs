//! How much one friend may send and ask for, over all its connections together. A friend that sends more is read more slowly:
//! its own connection fills up, and nothing else.

use crate::settings::FriendLimits;
use offst_proto::friend::FriendMessage;
use offst_relay::Rate;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a frame costs beside its bytes, in bytes: tiny frames are work, too.
const FRAME_BYTES: u64 = 256;
/// What a statement costs beside its bytes: its signature is checked before anybody knows whether it is wanted.
const STATEMENT_BYTES: u64 = 4096;
/// What a request for all that proves where an account stands counts: up to thousands of statements are read and sent.
const EVIDENCE_QUESTIONS: u64 = 16;

/// The rate limit of one friend, shared by its connections.
#[derive(Debug, Clone)]
pub(crate) struct FriendRateLimit(Arc<Mutex<Rates>>);

#[derive(Debug)]
struct Rates {
    started: Instant,
    bytes: Rate,
    questions: Rate,
}

impl FriendRateLimit {
    pub(crate) fn new(limits: FriendLimits) -> Self {
        let (bytes, questions) = (Rate::new(limits.bytes_per_second, 0), Rate::new(limits.questions_per_second, 0));
        FriendRateLimit(Arc::new(Mutex::new(Rates { started: Instant::now(), bytes, questions })))
    }

    /// Counts a message whose frame has `bytes` bytes, and says how long not to read from the friend.
    pub(crate) fn spend(&self, message: &FriendMessage, bytes: usize) -> Duration {
        // Plain numbers are sound even if a thread panicked while it held the lock.
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = u64::try_from(rates.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // What is available again by now is counted before more is spent.
        rates.bytes.wait_ms(now_ms);
        rates.questions.wait_ms(now_ms);
        rates.bytes.spend(bytes as u64 + FRAME_BYTES + STATEMENT_BYTES * statements(message));
        rates.questions.spend(questions(message));
        Duration::from_millis(rates.bytes.wait_ms(now_ms).max(rates.questions.wait_ms(now_ms)))
    }
}

/// Signatures that are checked for a message.
fn statements(message: &FriendMessage) -> u64 {
    match message {
        FriendMessage::Statement(_) => 1,
        FriendMessage::EvidenceStatements(statements) => statements.len() as u64,
        _ => 0,
    }
}

/// How many questions a message counts for. Statements carry the friend's own payments and are no questions.
fn questions(message: &FriendMessage) -> u64 {
    match message {
        FriendMessage::Statement(_) | FriendMessage::Keepalive => 0,
        FriendMessage::Resume(resume) if resume.recovering => EVIDENCE_QUESTIONS,
        FriendMessage::Resume(_)
        | FriendMessage::Hello { .. }
        | FriendMessage::Evidence(_)
        | FriendMessage::EvidenceStatements(_)
        | FriendMessage::Backup(_)
        | FriendMessage::Recall
        | FriendMessage::Recalled(_)
        | FriendMessage::Resolve(_)
        | FriendMessage::Resolved(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_proto::Currency;
    use offst_proto::friend::Resume;

    fn resume(recovering: bool) -> FriendMessage {
        FriendMessage::Resume(Box::new(Resume {
            currency: Currency::default(),
            opening: None,
            epoch: None,
            recovering,
        }))
    }

    fn rate_limit(bytes_per_second: u64, questions_per_second: u64) -> FriendRateLimit {
        FriendRateLimit::new(FriendLimits { bytes_per_second, questions_per_second })
    }

    /// How many times a message is taken before the friend is read more slowly. However slow the test is, less than twice as many:
    /// what is spent is available again after a second.
    fn at_once(rate_limit: &FriendRateLimit, message: &FriendMessage, bytes: usize) -> u64 {
        (1..).find(|_| rate_limit.spend(message, bytes) > Duration::ZERO).unwrap()
    }

    #[test]
    fn questions_are_counted_whatever_they_are() {
        let many = u64::MAX / 2;
        let questions = [
            resume(false),
            FriendMessage::Recall,
            FriendMessage::Recalled(vec![]),
            FriendMessage::Backup(vec![]),
            FriendMessage::Resolve(vec![]),
            FriendMessage::Resolved(vec![]),
            FriendMessage::EvidenceStatements(vec![]),
        ];
        for message in questions {
            let taken = at_once(&rate_limit(many, 64), &message, 10);
            assert!((64..128).contains(&taken), "{message:?}: {taken}");
        }
        let taken = at_once(&rate_limit(many, 64), &resume(true), 10);
        assert!((4..8).contains(&taken), "{taken}");
        let rate_limit = rate_limit(many, 1);
        assert!((0..10_000).all(|_| rate_limit.spend(&FriendMessage::Keepalive, 1) == Duration::ZERO));
    }

    #[test]
    fn bytes_are_counted_and_frames_are_never_free() {
        let taken = at_once(&rate_limit(1 << 20, 1), &FriendMessage::Keepalive, 1 << 16);
        assert!((15..32).contains(&taken), "{taken}");
        let taken = at_once(&rate_limit(1 << 20, 1), &FriendMessage::Keepalive, 0);
        assert!((4096..8192).contains(&taken), "{taken}");
    }

    /// Another connection of the same friend has the same limit.
    #[test]
    fn all_connections_of_a_friend_share_one_limit() {
        let one = rate_limit(u64::MAX / 2, 64);
        let other = one.clone();
        at_once(&one, &resume(false), 10);
        assert!(at_once(&other, &resume(false), 10) < 64);
    }
}
