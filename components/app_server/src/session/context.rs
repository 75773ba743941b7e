//! What the capabilities of one connection share, and how their calls fail.

use crate::backend::{Backend, BackendGone};
use crate::limits::Limits;
use crate::network::SharedLoad;
use capnp::Error;
use capnp::capability::Rc;
use offst_crypto::PublicKey;
use offst_funder::{Command, Reply};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};

/// What the capabilities of one connection share.
pub(super) struct Context {
    /// Whose budget payments are paid from.
    pub(super) app: PublicKey,
    pub(super) backend: Arc<dyn Backend>,
    load: Rc<SharedLoad>,
    /// Held while a long answer is made: one at a time.
    long_answer: Mutex<()>,
    waits: Semaphore,
    pub(super) wait_time: Duration,
    pub(super) subscriptions: Arc<Semaphore>,
}

impl Context {
    pub(super) fn new(app: PublicKey, backend: Arc<dyn Backend>, load: Rc<SharedLoad>, limits: &Limits) -> Self {
        Context {
            app,
            backend,
            load,
            long_answer: Mutex::new(()),
            waits: Semaphore::new(limits.waits_max),
            wait_time: Duration::from_millis(limits.wait_ms),
            subscriptions: Arc::new(Semaphore::new(limits.subscriptions_max)),
        }
    }

    pub(super) async fn command(&self, command: Command) -> Result<Reply, Error> {
        self.backend.command(self.app, command).await.map_err(gone)
    }

    /// Waits until the answers made before are taken, and for one's turn. A list of a hundred friends is only made for
    /// an application that reads.
    pub(super) async fn long_answer(&self) -> MutexGuard<'_, ()> {
        let turn = self.long_answer.lock().await;
        self.load.room_for_an_answer().await;
        turn
    }

    /// The right to wait for something to happen.
    pub(super) fn wait(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.waits.try_acquire().map_err(|_| {
            Error::overloaded("too many calls of this app wait already: subscribe to events instead".into())
        })
    }
}

pub(super) fn gone(gone: BackendGone) -> Error {
    Error::disconnected(gone.to_string())
}

/// A call that the schema allows but that has no meaning.
pub(super) fn wrong_argument(error: impl std::fmt::Display) -> Error {
    Error::failed(error.to_string())
}

/// The funder answered something that does not belong to the command: a defect of ours.
pub(super) fn unexpected(reply: &Reply) -> Error {
    log::error!("a command got an answer of another kind: {reply:?}");
    Error::failed("the node gave an answer of another kind".into())
}
