//! Rules that can be broken on purpose, to see the properties notice it.

/// The protocol, or the protocol with one rule broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rules {
    /// As protocol.md has them.
    #[default]
    Kept,
    /// Not broken, but tightened: an acceptance of ours begins its epoch when the friend shows that it is in it.
    AcceptanceWaits,
    /// An acceptance of the friend's that has crossed ours binds us again to what ours had released.
    CrossedAcceptanceRevives,
    /// A statement leaves before it is on the disk.
    SentBeforeDurable,
    /// A Commit or Abort that has crossed a Cancel is a fault.
    CrossedCommitIsAFault,
    /// A Collect is taken at any stage that has a lock.
    CollectNeedsNoCommit,
    /// A Commit that still waits to be signed lets the friend collect.
    UnsignedCommitBinds,
    /// A Request above the limit is taken.
    LimitIsNotCheckedOnReceipt,
    /// An Abort frees the credits of the upstream at once.
    AbortReleases,
    /// A Collect that the friend had not seen when a new epoch began is not written again.
    NewEpochForgetsCollects,
    /// A lost acknowledgement is not made up for: statements are not sent again after a reconnect.
    NothingIsResent,
    /// A stopped account takes no claims.
    StoppedAccountTakesNoClaims,
    /// A node that sees terms that leave out what it has committed is not shown that it was collected.
    NothingIsProved,
    /// A mediator commits as soon as the response is there.
    CommitsBeforeItsUpstream,
    /// A mediator's timer also ends what it has committed.
    TimerEndsCommitted,
    /// A buyer does not check the lock that it commits to.
    BuyerBelievesAnyLock,
}
