//! A registered connection, as other connections see it.

use crate::mux::Mux;
use offst_proto::relay::RelayToNode;
use tokio::sync::mpsc;

/// What the control stream of a connection has to do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Control {
    /// Send this message.
    Send(RelayToNode),
    /// End the connection after everything before was sent.
    Close,
}

/// A registered connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) control: mpsc::Sender<Control>,
    pub(crate) mux: Mux,
}
