//! What is wrong with what a friend has signed.

/// What is wrong with a statement: the friend's node, or ours, is broken or lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Another statement stands at this place of the log.
    #[error("the friend signed two different statements for one place of its log")]
    Equivocation,
    /// The statement does not continue the log.
    #[error("the friend's statement does not continue its log")]
    NotContinuing,
    /// It acknowledges what we never signed, or less than before.
    #[error("the friend acknowledges a statement that we never signed")]
    WrongAcknowledgement,
    /// An operation that the request's stage does not allow.
    #[error("the friend's statement holds an operation that the request's stage does not allow")]
    WrongStage,
    /// The totals are not the sums of the operations.
    #[error("the totals in the friend's statement are not the sums of its operations")]
    WrongTotals,
    /// The checkpoint shows other pending requests than ours.
    #[error("the friend sees other pending requests than we do")]
    OtherPendings,
    /// Totals near the end of their range.
    #[error("the friend's statement holds a number out of its range")]
    OutOfRange,
    /// More unacknowledged statements than the window allows.
    #[error("the friend sends statements without waiting for acknowledgements")]
    WindowPassed,
    /// Two different Openings of one epoch.
    #[error("the friend signed two different openings for one epoch")]
    TwoOpenings,
    /// Too long without a checkpoint: what it signed could not be shown to it in a few frames.
    #[error("the friend's statements carry no checkpoint")]
    NoCheckpoint,
    /// More requests are pending than the protocol allows.
    #[error("the friend has more requests pending than the protocol allows")]
    TooManyRequests,
}

impl Fault {
    /// The same as the end of a sentence about a statement of anybody's.
    pub(crate) fn as_predicate(self) -> &'static str {
        match self {
            Fault::Equivocation => "stands at a place of the log where its author has signed another one",
            Fault::NotContinuing => "does not continue its author's log",
            Fault::WrongAcknowledgement => "acknowledges a statement that the other side never signed",
            Fault::WrongStage => "holds an operation that the request's stage does not allow",
            Fault::WrongTotals => "shows totals that are not the sums of its operations",
            Fault::OtherPendings => "shows other pending requests than follow from both logs",
            Fault::OutOfRange => "holds a number out of its range",
            Fault::WindowPassed => "was signed without waiting for acknowledgements",
            Fault::TwoOpenings => "belongs to one of two openings of one epoch",
            Fault::NoCheckpoint => "comes too long after its author's last checkpoint",
            Fault::TooManyRequests => "makes more requests pending than the protocol allows",
        }
    }
}
