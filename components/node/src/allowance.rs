//! How much one friend may send and ask, whatever the number of its connections. Whoever sends more is read more slowly: the
//! friend's own connection fills up, and nothing else.

use crate::settings::FriendLimits;
use offst_proto::friend::FriendMessage;
use offst_relay::Rate;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a frame costs beside its bytes, in bytes: tiny frames are work, too.
const FRAME_BYTES: u64 = 256;
/// What a statement costs beside its bytes: its signature is checked before anybody knows whether it is wanted.
const STATEMENT_BYTES: u64 = 4096;
/// What it counts to ask for all that proves where an account stands: up to thousands of statements are read and sent.
const EVIDENCE_QUESTIONS: u64 = 16;

/// The allowance of one friend, shared by its connections.
#[derive(Debug, Clone)]
pub(crate) struct Allowance(Arc<Mutex<Rates>>);

#[derive(Debug)]
struct Rates {
    started: Instant,
    bytes: Rate,
    questions: Rate,
}

impl Allowance {
    pub(crate) fn new(limits: FriendLimits) -> Self {
        let (bytes, questions) = (Rate::new(limits.bytes_per_second, 0), Rate::new(limits.questions_per_second, 0));
        Allowance(Arc::new(Mutex::new(Rates { started: Instant::now(), bytes, questions })))
    }

    /// Counts a message whose frame has `bytes` bytes, and says how long the friend is not to be read.
    pub(crate) fn spend(&self, message: &FriendMessage, bytes: usize) -> Duration {
        // Plain numbers are sound even if a thread panicked while it held the lock.
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = u64::try_from(rates.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // What has come back by now is counted before more is spent.
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

    fn allowance(bytes_per_second: u64, questions_per_second: u64) -> Allowance {
        Allowance::new(FriendLimits { bytes_per_second, questions_per_second })
    }

    /// How many times a message is taken before the friend is read more slowly. The clock cannot spoil it: a second's worth
    /// comes back in a second.
    fn at_once(allowance: &Allowance, message: &FriendMessage, bytes: usize) -> u64 {
        (1..).find(|_| allowance.spend(message, bytes) > Duration::ZERO).unwrap()
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
            let taken = at_once(&allowance(many, 64), &message, 10);
            assert!((64..128).contains(&taken), "{message:?}: {taken}");
        }
        let taken = at_once(&allowance(many, 64), &resume(true), 10);
        assert!((4..8).contains(&taken), "{taken}");
        let allowance = allowance(many, 1);
        assert!((0..10_000).all(|_| allowance.spend(&FriendMessage::Keepalive, 1) == Duration::ZERO));
    }

    #[test]
    fn bytes_are_counted_and_frames_are_never_free() {
        let taken = at_once(&allowance(1 << 20, 1), &FriendMessage::Keepalive, 1 << 16);
        assert!((15..32).contains(&taken), "{taken}");
        let taken = at_once(&allowance(1 << 20, 1), &FriendMessage::Keepalive, 0);
        assert!((4096..8192).contains(&taken), "{taken}");
    }

    /// Another connection of the same friend has the same allowance.
    #[test]
    fn an_allowance_is_a_friends_and_not_a_connections() {
        let one = allowance(u64::MAX / 2, 64);
        let other = one.clone();
        at_once(&one, &resume(false), 10);
        assert!(at_once(&other, &resume(false), 10) < 64);
    }
}
