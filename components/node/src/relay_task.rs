//! One connection to a relay: connects once, reports what the relay sends, and ends with a reason.

use crate::messages::{NetworkEvent, RelayConnection};
use offst_proto::ticket::ServerTicket;
use offst_relay::{ClientConfig, RelayClient, RelayEvent};
use offst_secure_channel::Authenticator;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Connects and reports until the connection ends or `close` is cancelled. The last report is
/// [`NetworkEvent::RelayClosed`].
pub(crate) async fn run(
    authenticator: Authenticator,
    connection: RelayConnection,
    ticket: ServerTicket,
    config: ClientConfig,
    events: mpsc::Sender<NetworkEvent>,
    close: CancellationToken,
) {
    let report = |event| {
        let events = events.clone();
        // The network task outlives its relays; when the node stops nobody receives reports any more.
        async move { drop(events.send(event).await) }
    };
    let session = async {
        let (client, mut received) = match RelayClient::connect(&authenticator, &ticket, config).await {
            Ok(connected) => connected,
            Err(error) => return (false, error.to_string()),
        };
        let mut displaced = false;
        while let Some(event) = received.recv().await {
            match event {
                RelayEvent::Registered => report(NetworkEvent::RelayConnected(connection, client.clone())).await,
                RelayEvent::Present(friend) => report(NetworkEvent::Presence(connection, friend, true)).await,
                RelayEvent::Absent(friend) => report(NetworkEvent::Presence(connection, friend, false)).await,
                RelayEvent::Displaced => displaced = true,
                RelayEvent::Refused(refusal) => {
                    log::warn!(peer:% = ticket.address; "the relay {} refuses: {refusal}", ticket.address)
                }
                RelayEvent::Incoming { source, stream } => report(NetworkEvent::Incoming(source, stream)).await,
                RelayEvent::Closed(reason) => return (displaced, reason),
            }
        }
        (displaced, "the connection ended".to_owned())
    };
    let (displaced, reason) = tokio::select! {
        ended = session => ended,
        () = close.cancelled() => (false, "it is not wanted any more".to_owned()),
    };
    report(NetworkEvent::RelayClosed { connection, displaced, reason }).await;
}
