//! What can end a node.

use offst_store::StoreError;

/// Why a node stopped, or did not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The database cannot be used. Nothing that is not durable has left the node.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A thread could not be started, or an address not be used.
    #[error("the node could not start: {0}")]
    Start(#[from] std::io::Error),
    /// A part of the node has ended by itself, a defect of the node: the log says why.
    #[error("the node stopped because {0} has failed: see the log")]
    Failed(&'static str),
    /// The thread that owns the accounts has stopped: the log says why.
    #[error("the node stopped because its accounts broke a rule that must hold: see the log")]
    Broken,
}
