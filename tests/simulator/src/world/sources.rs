//! Who answers when a node looks for routes.

use offst_index_server::{Index, Limits};
use offst_proto::route::Route;
use std::collections::VecDeque;

/// Who answers when a node looks for routes.
pub enum Paths {
    /// A search over the published edges.
    Search,
    /// These, one for each question; then none.
    Given(VecDeque<Vec<Route>>),
}

/// A real index server, and how often each node has published there.
pub(super) struct Server {
    pub(super) index: Index,
    pub(super) sequence: u64,
}

impl Server {
    pub(super) fn new() -> Self {
        Server { index: Index::new(Limits::default()), sequence: 0 }
    }
}
