//! A request's life on one account (protocol section 1, "Operations").

/// Requests are numbered. Every model has this many.
pub const REQUESTS: usize = 2;

/// Names a request.
pub type Id = u8;

/// Names a hash lock, and the one preimage that opens it. The destination's lock for request `id` is `id`.
pub type Lock = u8;

/// Which side of a request an end is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Upstream: it asked, and will pay.
    Outgoing,
    /// Downstream: it was asked, and will be paid.
    Incoming,
}

/// The author of an operation, seen from one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This end.
    Us,
    /// The other.
    Friend,
}

/// Both, to go through.
pub const DIRECTIONS: [Direction; 2] = [Direction::Outgoing, Direction::Incoming];

impl Direction {
    /// The same request seen from the other end.
    pub fn mirrored(self) -> Self {
        match self {
            Direction::Outgoing => Direction::Incoming,
            Direction::Incoming => Direction::Outgoing,
        }
    }
}

/// How far a request has come on one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Nothing came back yet.
    Requested,
    /// The destination is willing.
    Responded(Lock),
    /// The upstream has promised to pay for the preimage.
    Committed(Lock),
    /// The upstream has given up; the downstream has still to cancel.
    Aborted,
}

/// A change that the stage forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTransition;

impl Stage {
    /// The downstream's Response. `Ok(None)`: it crossed with an Abort and is ignored.
    ///
    /// # Errors
    /// [`InvalidTransition`], as for all that follow.
    pub fn respond(self, lock: Lock) -> Result<Option<Stage>, InvalidTransition> {
        match self {
            Stage::Requested => Ok(Some(Stage::Responded(lock))),
            Stage::Aborted => Ok(None),
            Stage::Responded(_) | Stage::Committed(_) => Err(InvalidTransition),
        }
    }

    /// The upstream's Commit.
    ///
    /// # Errors
    /// [`InvalidTransition`].
    pub fn commit(self) -> Result<Stage, InvalidTransition> {
        match self {
            Stage::Responded(lock) => Ok(Stage::Committed(lock)),
            Stage::Requested | Stage::Committed(_) | Stage::Aborted => Err(InvalidTransition),
        }
    }

    /// The upstream's Abort: not after its Commit, and not twice.
    ///
    /// # Errors
    /// [`InvalidTransition`].
    pub fn abort(self) -> Result<Stage, InvalidTransition> {
        match self {
            Stage::Requested | Stage::Responded(_) => Ok(Stage::Aborted),
            Stage::Committed(_) | Stage::Aborted => Err(InvalidTransition),
        }
    }

    /// The downstream's Collect: only what was committed, only for the preimage.
    ///
    /// # Errors
    /// [`InvalidTransition`].
    pub fn collect(self, preimage: Lock) -> Result<(), InvalidTransition> {
        if self == Stage::Committed(preimage) { Ok(()) } else { Err(InvalidTransition) }
    }

    /// Whether the upstream has promised to pay.
    pub fn is_committed(self) -> bool {
        matches!(self, Stage::Committed(_))
    }
}

/// A request that holds credits on one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pending {
    /// Credits held.
    pub amount: u8,
    /// How far it has come.
    pub stage: Stage,
}

/// All requests that are pending on an account, seen from one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PendingRequests([[Option<Pending>; REQUESTS]; 2]);

impl PendingRequests {
    /// One request, if it is pending.
    pub fn find(&self, direction: Direction, id: Id) -> Option<Pending> {
        self.0[direction as usize][usize::from(id)]
    }

    /// Changes, adds or ends a request.
    pub fn place(&mut self, direction: Direction, id: Id, pending: Option<Pending>) {
        self.0[direction as usize][usize::from(id)] = pending;
    }

    /// All that are pending.
    pub fn list(&self) -> impl Iterator<Item = (Direction, Id, Pending)> {
        DIRECTIONS.into_iter().flat_map(move |direction| {
            (0..REQUESTS as Id).filter_map(move |id| self.find(direction, id).map(|pending| (direction, id, pending)))
        })
    }

    /// Seen from the other end.
    pub fn mirrored(self) -> Self {
        PendingRequests([self.0[1], self.0[0]])
    }

    /// With the numbers of the two requests, and their locks, exchanged.
    pub fn exchanged(self) -> Self {
        let exchange = |pending: Pending| Pending {
            stage: match pending.stage {
                Stage::Responded(lock) => Stage::Responded(1 - lock),
                Stage::Committed(lock) => Stage::Committed(1 - lock),
                Stage::Requested | Stage::Aborted => pending.stage,
            },
            ..pending
        };
        PendingRequests(self.0.map(|[first, second]| [second.map(exchange), first.map(exchange)]))
    }

    /// Credits of the pending requests in one direction.
    pub fn sum(&self, wanted: Direction) -> u8 {
        self.list().filter(|(direction, ..)| *direction == wanted).map(|(.., pending)| pending.amount).sum()
    }

    /// Only the committed ones: what an Opening lets continue.
    pub fn committed(self) -> Self {
        let mut kept = PendingRequests::default();
        for (direction, id, pending) in self.list().filter(|(.., pending)| pending.stage.is_committed()) {
            kept.place(direction, id, Some(pending));
        }
        kept
    }
}
