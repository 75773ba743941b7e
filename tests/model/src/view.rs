//! What each operation does to the requests that are pending, as one end sees them.

use crate::log::Operation;
use crate::request::{Direction, InvalidTransition, Pending, PendingRequests, Side, Stage};
use crate::rules::Rules;

impl PendingRequests {
    /// An operation of one of the two sides, in a view of ours or in the friend's. Says how many credits it is about.
    ///
    /// # Errors
    /// [`InvalidTransition`]: the stage forbids it. In the author's own view that is a fault; in the other side's view the operation has
    /// crossed, and is ignored.
    pub fn apply(&mut self, operation: Operation, author: Side, rules: Rules) -> Result<u8, InvalidTransition> {
        let (pays, is_paid) = match author {
            Side::Us => (Direction::Outgoing, Direction::Incoming),
            Side::Friend => (Direction::Incoming, Direction::Outgoing),
        };
        let (direction, id) = match operation {
            Operation::Request(id, amount) => {
                if self.find(pays, id).is_some() {
                    return Err(InvalidTransition);
                }
                self.place(pays, id, Some(Pending { amount, stage: Stage::Requested }));
                return Ok(amount);
            }
            Operation::Commit(id) | Operation::Abort(id) => (pays, id),
            Operation::Response(id, _) | Operation::Collect(id, _) | Operation::Cancel(id) => (is_paid, id),
            Operation::SetLimit(_) | Operation::SetOpen(_) => return Ok(0),
        };
        let pending = self.find(direction, id).ok_or(InvalidTransition)?;
        let stage = match operation {
            Operation::Response(_, lock) => Some(pending.stage.respond(lock)?.unwrap_or(pending.stage)),
            Operation::Commit(_) => Some(pending.stage.commit()?),
            Operation::Abort(_) if rules == Rules::AbortReleases => None,
            Operation::Abort(_) => Some(pending.stage.abort()?),
            Operation::Collect(_, preimage) => {
                let is_locked = pending.stage == Stage::Responded(preimage);
                if !(rules == Rules::CollectNeedsNoCommit && is_locked) {
                    pending.stage.collect(preimage)?;
                }
                None
            }
            _ => None,
        };
        self.place(direction, id, stage.map(|stage| Pending { stage, ..pending }));
        Ok(pending.amount)
    }
}
