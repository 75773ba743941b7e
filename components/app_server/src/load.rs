//! What one connection makes the node hold, and when to stop reading from it.
//!
//! The RPC library queues without bound: calls that are not answered, answers that are not sent, results that the peer has not
//! finished. Here both directions are counted, message by message. Without IO.
//!
//! One more thing is mended here: when the peer gives a call up before it is answered (a `Finish`), the library would drop it
//! and never send the `Return` that the protocol promises, and both ends would keep its id for ever. So such a `Finish` is
//! withheld until the call is answered. That is why no call waits without end.

use crate::limits::Limits;
use capnp_rpc::rpc_capnp::{call, message, return_};
use std::collections::{BTreeMap, VecDeque};

/// What a message costs beyond its bytes.
const MESSAGE_OVERHEAD: usize = 128;

/// Why a connection is closed: the peer broke the rules of the conversation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    /// Not the RPC protocol.
    #[error("this is not a message of the RPC protocol")]
    Garbage,
    /// A message that apps have no reason to send.
    #[error("this kind of message has no meaning here")]
    Kind,
    /// A call that passes capabilities or wants its results elsewhere.
    #[error("capabilities are not sent to the node, and results go to the caller")]
    Capabilities,
    /// Two calls under one id.
    #[error("the id of a call is still in use")]
    RepeatedId,
    /// See [`Limits::unfinished_calls_max`].
    #[error("too many calls are answered but not finished")]
    Unfinished,
}

impl From<capnp::Error> for Violation {
    fn from(_: capnp::Error) -> Self {
        Violation::Garbage
    }
}

/// A call that the RPC library still knows.
#[derive(Debug, Clone, Copy)]
struct Call {
    bytes: usize,
    is_answered: bool,
    finish: Option<Finish>,
}

/// The peer needs a call's answer no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finish {
    /// The call.
    pub(crate) id: u32,
    /// Whether the capabilities in the answer are released, too.
    pub(crate) release_result_caps: bool,
}

/// What to do with a message that has come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// The library takes it.
    Deliver,
    /// The library gets it later, from [`Load::late_finish`].
    Withhold,
}

/// The load of one connection.
#[derive(Debug)]
pub(crate) struct Load {
    limits: Limits,
    calls: BTreeMap<u32, Call>,
    unanswered: usize,
    unanswered_bytes: usize,
    unsent_bytes: usize,
    late_finishes: VecDeque<Finish>,
}

impl Load {
    /// Nothing yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Load {
            limits,
            calls: BTreeMap::new(),
            unanswered: 0,
            unanswered_bytes: 0,
            unsent_bytes: 0,
            late_finishes: VecDeque::new(),
        }
    }

    /// Whether the next message may be read.
    /// (R6.3.)
    pub(crate) fn may_read(&self) -> bool {
        self.unanswered < self.limits.calls_max
            && self.unanswered_bytes < self.limits.call_bytes_max
            && self.may_answer()
    }

    /// Whether a long answer may be made.
    pub(crate) fn may_answer(&self) -> bool {
        self.unsent_bytes < self.limits.unsent_bytes_max
    }

    /// Counts a message of `bytes` that has come in.
    ///
    /// # Errors
    /// The connection is to be closed.
    pub(crate) fn received(&mut self, message: message::Reader<'_>, bytes: usize) -> Result<Disposition, Violation> {
        match message.which().map_err(|_| Violation::Kind)? {
            message::Bootstrap(bootstrap) => self.begin(bootstrap?.get_question_id(), bytes),
            message::Call(call) => {
                let call = call?;
                let to_caller =
                    matches!(call.get_send_results_to().which(), Ok(call::send_results_to::Which::Caller(())));
                if !to_caller || (call.has_params() && !call.get_params()?.get_cap_table()?.is_empty()) {
                    return Err(Violation::Capabilities);
                }
                self.begin(call.get_question_id(), bytes)
            }
            message::Finish(finish) => {
                let finish = finish?;
                let release_result_caps = finish.get_release_result_caps();
                Ok(self.finish(Finish { id: finish.get_question_id(), release_result_caps }))
            }
            message::Release(_) | message::Abort(_) => Ok(Disposition::Deliver),
            _ => Err(Violation::Kind),
        }
    }

    fn begin(&mut self, id: u32, bytes: usize) -> Result<Disposition, Violation> {
        if self.calls.len() >= self.limits.calls_max + self.limits.unfinished_calls_max {
            return Err(Violation::Unfinished);
        }
        let call = Call { bytes: bytes + MESSAGE_OVERHEAD, is_answered: false, finish: None };
        if self.calls.insert(id, call).is_some() {
            return Err(Violation::RepeatedId);
        }
        self.unanswered += 1;
        self.unanswered_bytes += call.bytes;
        Ok(Disposition::Deliver)
    }

    fn finish(&mut self, finish: Finish) -> Disposition {
        match self.calls.get_mut(&finish.id) {
            Some(call) if !call.is_answered => {
                call.finish = Some(finish);
                Disposition::Withhold
            }
            _ => {
                self.calls.remove(&finish.id);
                Disposition::Deliver
            }
        }
    }

    /// A `Finish` that was withheld and is due: before any other message, because the id may be used again.
    pub(crate) fn late_finish(&mut self) -> Option<Finish> {
        self.late_finishes.pop_front()
    }

    /// Counts a message that waits to be written, and gives its cost for [`Load::written`].
    pub(crate) fn queued(&mut self, message: message::Reader<'_>, bytes: usize) -> usize {
        if let Ok(message::Return(Ok(answer))) = message.which() {
            self.answered(answer);
        }
        let cost = bytes + MESSAGE_OVERHEAD;
        self.unsent_bytes += cost;
        cost
    }

    fn answered(&mut self, answer: return_::Reader<'_>) {
        let id = answer.get_answer_id();
        if let Some(call) = self.calls.get_mut(&id)
            && !call.is_answered
        {
            call.is_answered = true;
            self.unanswered -= 1;
            self.unanswered_bytes -= call.bytes;
            let finish = call.finish;
            let no_finish_needed = answer.get_no_finish_needed();
            if finish.is_some() || no_finish_needed {
                self.calls.remove(&id);
            }
            // The library has forgotten a call that needs no finish.
            self.late_finishes.extend(finish.filter(|_| !no_finish_needed));
        }
    }

    /// A message was written.
    pub(crate) fn written(&mut self, cost: usize) {
        self.unsent_bytes -= cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capnp::message::Builder;

    fn limits() -> Limits {
        Limits {
            calls_max: 2,
            call_bytes_max: 10_000,
            unsent_bytes_max: 1000,
            unfinished_calls_max: 2,
            ..Limits::default()
        }
    }

    fn message(fill: impl FnOnce(message::Builder<'_>)) -> Builder<capnp::message::HeapAllocator> {
        let mut message = Builder::new_default();
        fill(message.init_root());
        message
    }

    fn receive(
        load: &mut Load,
        bytes: usize,
        fill: impl FnOnce(message::Builder<'_>),
    ) -> Result<Disposition, Violation> {
        load.received(message(fill).get_root_as_reader().unwrap(), bytes)
    }

    fn call(load: &mut Load, id: u32, bytes: usize) -> Result<Disposition, Violation> {
        receive(load, bytes, |message| message.init_call().set_question_id(id))
    }

    fn finish(load: &mut Load, id: u32) -> Disposition {
        receive(load, 8, |message| message.init_finish().set_question_id(id)).unwrap()
    }

    fn answer(load: &mut Load, id: u32, bytes: usize, no_finish_needed: bool) -> usize {
        let answer = message(|message| {
            let mut answer = message.init_return();
            answer.set_answer_id(id);
            answer.set_no_finish_needed(no_finish_needed);
        });
        load.queued(answer.get_root_as_reader().unwrap(), bytes)
    }

    #[test]
    fn reading_stops_while_calls_are_unanswered() {
        let mut load = Load::new(limits());
        assert!(load.may_read());
        call(&mut load, 1, 8).unwrap();
        assert!(load.may_read());
        call(&mut load, 2, 8).unwrap();
        assert!(!load.may_read());
        let cost = answer(&mut load, 1, 8, true);
        load.written(cost);
        assert!(load.may_read());
        call(&mut load, 1, 10_000).unwrap();
        answer(&mut load, 2, 8, true);
        assert!(!load.may_read(), "one call, but a large one");
        answer(&mut load, 1, 8, true);
        assert!(load.may_read());
    }

    #[test]
    fn reading_stops_while_answers_are_unsent() {
        let mut load = Load::new(limits());
        call(&mut load, 1, 8).unwrap();
        let cost = answer(&mut load, 1, 1000, true);
        assert!(!load.may_read() && !load.may_answer());
        load.written(cost);
        assert!(load.may_read() && load.may_answer());
    }

    #[test]
    fn calls_that_are_never_finished_close_the_connection() {
        let mut load = Load::new(limits());
        for id in 0..4 {
            call(&mut load, id, 8).unwrap();
            let cost = answer(&mut load, id, 8, false);
            load.written(cost);
        }
        assert_eq!(call(&mut load, 9, 8), Err(Violation::Unfinished));
        finish(&mut load, 0);
        finish(&mut load, 77);
        call(&mut load, 9, 8).unwrap();
        finish(&mut load, 9);
        assert_eq!(call(&mut load, 9, 8), Err(Violation::Unfinished), "finished but not answered");
        answer(&mut load, 9, 8, false);
        call(&mut load, 9, 8).unwrap();
    }

    #[test]
    fn a_call_is_finished_for_the_library_after_its_answer() {
        let mut load = Load::new(limits());
        let late = Finish { id: 1, release_result_caps: true };
        for (no_finish_needed, due) in [(false, Some(late)), (true, None)] {
            call(&mut load, 1, 8).unwrap();
            assert_eq!(finish(&mut load, 1), Disposition::Withhold);
            assert_eq!(load.late_finish(), None);
            answer(&mut load, 1, 8, no_finish_needed);
            assert_eq!(load.late_finish(), due);
        }
        call(&mut load, 1, 8).unwrap();
        answer(&mut load, 1, 8, false);
        assert_eq!(finish(&mut load, 1), Disposition::Deliver);
    }

    #[test]
    fn what_apps_do_not_send_is_refused() {
        let mut load = Load::new(limits());
        call(&mut load, 1, 8).unwrap();
        assert_eq!(call(&mut load, 1, 8), Err(Violation::RepeatedId));
        let mut load = Load::new(limits());
        let refused = receive(&mut load, 8, |message| message.init_call().get_send_results_to().set_yourself(()));
        assert_eq!(refused, Err(Violation::Capabilities));
        let refused = receive(&mut load, 8, |message| {
            message.init_call().init_params().init_cap_table(1);
        });
        assert_eq!(refused, Err(Violation::Capabilities));
        let refused = receive(&mut load, 8, |message| {
            message.init_resolve();
        });
        assert_eq!(refused, Err(Violation::Kind));
        receive(&mut load, 8, |message| {
            message.init_release();
        })
        .unwrap();
    }
}
