//! The command `events`: one line for each event, until interrupted.

use super::connection::Connection;
use super::output::OutputFormat;
use super::text::clean;
use crate::outcome::Outcome;
use offst_proto::report::Event;
use serde::Serialize;

pub(super) fn run(connection: &Connection, format: OutputFormat) -> Outcome {
    connection.run(async |app| {
        let subscription = app.subscribe().await?;
        loop {
            let news = subscription.next().await?;
            if news.lost {
                format.print(&Lost::default(), || "some events were lost\n".into())?;
            }
            for event in &news.events {
                format.print(event, || format!("{}\n", line(event)))?;
            }
        }
    })
}

/// More happened than the node keeps for an application that does not read.
#[derive(Debug, Serialize)]
struct Lost {
    event: &'static str,
}

impl Default for Lost {
    fn default() -> Self {
        Lost { event: "lost" }
    }
}

/// An event for people.
fn line(event: &Event) -> String {
    match event {
        Event::FriendChanged { name } => format!("friend {} changed", clean(name)),
        Event::PaymentChanged { payment_id, status } => {
            format!("payment {payment_id} is {status}")
        }
        Event::InvoiceChanged { invoice_id, status } => {
            format!("invoice {invoice_id} is {status}")
        }
        Event::Overdue { name, request_id, amount } => {
            format!("friend {} has held {amount} for too long, in the request {request_id}", clean(name))
        }
        Event::AutoWriteOffEnded { name, currency, amount } => {
            let name = clean(name);
            format!(
                "friend {name} has collected {amount} {currency} that was written off: set-auto-write-off is off for it"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_proto::report::InvoiceStatus;
    use offst_proto::{InvoiceId, RequestId};

    #[test]
    fn events_in_words() {
        let paid = Event::InvoiceChanged { invoice_id: InvoiceId::from_bytes([2; 16]), status: InvoiceStatus::Paid };
        assert_eq!(line(&paid), "invoice AgICAgICAgICAgICAgICAg is paid");
        let overdue =
            Event::Overdue { name: "a\u{7}".into(), request_id: RequestId::from_bytes([2; 16]), amount: 40.into() };
        let expected = "friend a\u{fffd} has held 40 for too long, in the request AgICAgICAgICAgICAgICAg";
        assert_eq!(line(&overdue), expected);
        let ended =
            Event::AutoWriteOffEnded { name: "a\u{7}".into(), currency: "hours".parse().unwrap(), amount: 40.into() };
        let expected = "friend a\u{fffd} has collected 40 hours that was written off: set-auto-write-off is off for it";
        assert_eq!(line(&ended), expected);
    }
}
