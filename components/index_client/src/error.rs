//! Why a query has no answer.

/// Why a query has no answer. Says nothing about whether a route exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// There is no server to ask.
    #[error("no index server is connected: see `stctrl info index`")]
    NotConnected,
    /// Nobody answered in time.
    #[error("the index servers did not answer in time: try again, or see `stctrl info index`")]
    TimedOut,
    /// All servers that were asked refused, or closed the connection.
    #[error("no index server answered the query: try again, or see `stctrl info index`")]
    NoAnswer,
    /// The node asks too much at once.
    #[error("too many route queries are in progress: try again later")]
    TooMany,
    /// The query itself is out of bounds.
    #[error("the query is not valid: its amount is 0 or too large, or it excludes too much")]
    NotValid,
    /// The node is stopping.
    #[error("the index client has stopped")]
    Stopped,
}
