//! Events for an application that asks for them.

use super::context::Context;
use capnp::Error;
use capnp::capability::Rc;
use offst_proto::app::{length, write_list};
use offst_proto::report::Event;
use offst_proto::wire::app_capnp::subscription;
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{Mutex, OwnedSemaphorePermit, broadcast};

/// Most events of one answer.
const EVENTS_MAX: usize = 256;

pub(super) struct Subscription {
    context: Rc<Context>,
    events: Mutex<broadcast::Receiver<Event>>,
    _permit: OwnedSemaphorePermit,
}

impl Subscription {
    /// Events are kept for it from now on, as many as the backend's channel holds.
    pub(super) fn new(context: Rc<Context>) -> Result<Self, Error> {
        let permit = context
            .subscriptions
            .clone()
            .try_acquire_owned()
            .map_err(|_| Error::overloaded("this app has too many subscriptions: release some".into()))?;
        let events = Mutex::new(context.backend.events());
        Ok(Subscription { context, events, _permit: permit })
    }
}

/// Waits for the first event, up to a time, and takes what else is there. True when events were lost before these.
async fn next_events(
    receiver: &mut broadcast::Receiver<Event>,
    wait_time: Duration,
) -> Result<(Vec<Event>, bool), Error> {
    let mut events = vec![];
    match tokio::time::timeout(wait_time, receiver.recv()).await {
        Err(_) => return Ok((events, false)),
        Ok(Ok(event)) => events.push(event),
        Ok(Err(RecvError::Lagged(_))) => return Ok((events, true)),
        Ok(Err(RecvError::Closed)) => return Err(Error::disconnected("the node is stopping".into())),
    }
    while events.len() < EVENTS_MAX {
        match receiver.try_recv() {
            Ok(event) => events.push(event),
            // The next call tells of the loss.
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            Err(TryRecvError::Lagged(_)) => return Ok((events, true)),
        }
    }
    Ok((events, false))
}

impl subscription::Server for Subscription {
    async fn next(
        self: Rc<Self>,
        _: subscription::NextParams,
        mut results: subscription::NextResults,
    ) -> Result<(), Error> {
        let _wait = self.context.wait()?;
        let mut receiver = self.events.lock().await;
        let (events, lost) = next_events(&mut receiver, self.context.wait_time).await?;
        let mut answer = results.get();
        answer.set_lost(lost);
        write_list(&events, answer.init_events(length(&events)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(60);

    fn event(number: usize) -> Event {
        Event::FriendChanged { name: number.to_string() }
    }

    #[tokio::test]
    async fn events_come_in_order_and_a_loss_is_told() {
        let (sender, mut receiver) = broadcast::channel(4);
        for number in 0..3 {
            sender.send(event(number)).unwrap();
        }
        assert_eq!(next_events(&mut receiver, WAIT).await.unwrap(), (vec![event(0), event(1), event(2)], false));
        for number in 0..9 {
            sender.send(event(number)).unwrap();
        }
        assert_eq!(next_events(&mut receiver, WAIT).await.unwrap(), (vec![], true));
        assert_eq!(
            next_events(&mut receiver, WAIT).await.unwrap(),
            (vec![event(5), event(6), event(7), event(8)], false)
        );
        let nothing = next_events(&mut receiver, Duration::from_millis(1)).await.unwrap();
        assert_eq!(nothing, (vec![], false));
        drop(sender);
        assert!(next_events(&mut receiver, WAIT).await.is_err());
    }
}
