//! States of an account that nobody can tell apart, and the one that stands for them.

use crate::epoch::Epoch;
use crate::log::{Opening, Operation, Side, Statement};
use crate::pair::{AccountPair, Frame};
use crate::request::PendingRequests;
use std::sync::Arc;

impl AccountPair {
    /// Takes every acknowledgement as given that the friend cannot but give with its next frame.
    ///
    /// An end looks at its view of the friend's view (`peer_view`) only when it takes a statement, and first follows what that
    /// statement acknowledges. What it keeps to send again, it sends from what a Resume lacks, which is what the friend has
    /// not received. So where no frame that is in flight, or may be sent again, acknowledges less than the friend has by now,
    /// it makes no difference whether the acknowledgement has come. Only for accounts whose epoch cannot end: a new one
    /// looks at what was not acknowledged in the old one.
    pub fn apply_acknowledgements(&mut self) {
        let mut applied = false;
        for side in 0..2u8 {
            let Some((epoch, friend)) = self.common_epoch(side) else { continue };
            let received = epoch.theirs.newest.seq;
            let sent_again = friend.unacknowledged.iter().filter(|statement| statement.link.seq > received);
            let mut least = friend.theirs.newest;
            for statement in sent_again {
                least = least.min(statement.acknowledged);
            }
            for frame in &self.wire[usize::from(side)] {
                match frame {
                    Frame::Statement(statement) if statement.agreed == epoch.agreed => {
                        least = least.min(statement.acknowledged);
                    }
                    Frame::Resume(resume) => {
                        let position = resume.position.filter(|position| position.agreed == epoch.agreed);
                        least = position.map_or(least, |position| least.min(position.other));
                    }
                    Frame::Statement(_) => {}
                }
            }
            if least != epoch.acknowledged {
                let epoch = self.ends[usize::from(side)].as_mut().and_then(|end| end.epoch.as_mut());
                applied |= epoch.expect("it was just there").acknowledge(least).is_ok();
            }
        }
        if applied {
            self.renumber();
        }
    }

    /// This end's epoch and the other's, while both are at work in the same one.
    fn common_epoch(&self, side: Side) -> Option<(&Epoch, &Epoch)> {
        let epoch = self.ends[usize::from(side)].as_ref()?.active()?;
        let friend = self.ends[usize::from(1 - side)].as_ref()?.active()?;
        (epoch.agreed == friend.agreed).then_some((epoch, friend))
    }

    /// Puts operations in order where the order makes no difference, those that wait and those that are signed: two requests do
    /// not touch each other, but for a Request, whose room another Request or a Collect before it changes.
    pub fn order_operations(&mut self) {
        for epoch in self.ends.iter_mut().flatten().filter_map(|end| end.epoch.as_mut()) {
            sort(&mut epoch.queue, |(operation, _)| *operation);
            epoch.unacknowledged.iter_mut().for_each(sort_statement);
        }
        for frame in self.wire.iter_mut().flatten() {
            if let Frame::Statement(statement) = frame {
                sort_statement(statement);
            }
        }
    }
}

impl AccountPair {
    /// Gives each of the two requests the other's number.
    pub fn exchange_requests(&mut self) {
        let exchange_opening = |opening: &mut Opening| opening.terms.continuing = opening.terms.continuing.exchanged();
        let exchange_statement = |statement: &mut Arc<Statement>| {
            let statement = Arc::make_mut(statement);
            statement.operations.iter_mut().for_each(|operation| *operation = exchanged(*operation));
            statement.checkpoint = statement.checkpoint.map(PendingRequests::exchanged);
        };
        for end in self.ends.iter_mut().flatten() {
            end.openings_mut().for_each(exchange_opening);
            end.claims.reverse();
            end.claims.iter_mut().flatten().for_each(|claim| *claim = exchanged(*claim));
            if let Some(epoch) = &mut end.epoch {
                epoch.local_view = epoch.local_view.exchanged();
                epoch.peer_view = epoch.peer_view.exchanged();
                epoch.queue.iter_mut().for_each(|(operation, _)| *operation = exchanged(*operation));
                epoch.unacknowledged.iter_mut().for_each(exchange_statement);
            }
        }
        for frame in self.wire.iter_mut().flatten() {
            match frame {
                Frame::Statement(statement) => exchange_statement(statement),
                Frame::Resume(resume) => exchange_opening(&mut resume.opening),
            }
        }
        self.endings.iter_mut().for_each(|endings| endings.reverse());
        self.taken.iter_mut().for_each(|taken| taken.reverse());
    }
}

fn exchanged(operation: Operation) -> Operation {
    match operation {
        Operation::Request(id, amount) => Operation::Request(1 - id, amount),
        Operation::Response(id, lock) => Operation::Response(1 - id, 1 - lock),
        Operation::Commit(id) => Operation::Commit(1 - id),
        Operation::Abort(id) => Operation::Abort(1 - id),
        Operation::Collect(id, preimage) => Operation::Collect(1 - id, 1 - preimage),
        Operation::Cancel(id) => Operation::Cancel(1 - id),
        Operation::SetLimit(_) | Operation::SetOpen(_) => operation,
    }
}

fn sort_statement(statement: &mut Arc<Statement>) {
    let pairs = statement.operations.windows(2);
    if pairs.into_iter().any(|pair| order(pair[1]) < order(pair[0])) {
        sort(&mut Arc::make_mut(statement).operations, |operation| *operation);
    }
}

/// Exchanges neighbours.
fn sort<T>(all: &mut [T], operation: impl Fn(&T) -> Operation) {
    for end in (1..all.len()).rev() {
        for place in 0..end {
            let (first, second) = (operation(&all[place]), operation(&all[place + 1]));
            if order(second) < order(first) && !depend(first, second) {
                all.swap(place, place + 1);
            }
        }
    }
}

/// The request of an operation. Two that differ in this do not touch the same request.
fn order(operation: Operation) -> u8 {
    match operation {
        Operation::SetLimit(_) => 0,
        Operation::SetOpen(_) => 1,
        Operation::Request(id, _)
        | Operation::Response(id, _)
        | Operation::Commit(id)
        | Operation::Abort(id)
        | Operation::Collect(id, _)
        | Operation::Cancel(id) => 2 + id,
    }
}

fn depend(first: Operation, second: Operation) -> bool {
    let moves_room = |operation| matches!(operation, Operation::Request(..) | Operation::Collect(..));
    let asks = |operation| matches!(operation, Operation::Request(..));
    order(first) == order(second) || (asks(first) && moves_room(second)) || (moves_room(first) && asks(second))
}
