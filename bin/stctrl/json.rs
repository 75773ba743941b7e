//! Reports as JSON documents: amounts are decimal strings, keys and ids their texts, times unix milliseconds.

use offst_proto::key_replacement::KeyReplacement;
use offst_proto::report::{
    Event, ForwardReport, FriendReport, InvoiceReport, InvoiceStatus, LineReport, LineStatus, PaymentKind,
    PaymentReport, PaymentStatus, ServerReport, ServerState,
};
use offst_proto::ticket::ServerTicket;
use offst_proto::{Rate, Verified};
use serde_json::{Value, json};

pub(super) fn friend(friend: &FriendReport) -> Value {
    json!({
        "name": friend.name,
        "public_key": friend.public_key.to_string(),
        "enabled": friend.enabled,
        "online": friend.online,
        "direct": friend.direct,
        "relays": friend.relays.iter().map(server_ticket).collect::<Vec<_>>(),
        "address": friend.address.as_ref().map(|address| address.as_str()),
        "currencies": friend.lines.iter().map(line).collect::<Vec<_>>(),
    })
}

pub(super) fn key_replacement(replacement: &Verified<KeyReplacement>) -> Value {
    json!({
        "lost_key": replacement.lost.to_string(),
        "public_key": replacement.successor.to_string(),
        "time_ms": replacement.time_ms,
        "balances": replacement.accounts.iter().map(|account| json!({
            "currency": account.currency.as_str(),
            "balance": account.balance.to_string(),
        })).collect::<Vec<_>>(),
        "record": replacement.wire().iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    })
}

pub(super) fn server_ticket(ticket: &ServerTicket) -> Value {
    json!({ "public_key": ticket.public_key.to_string(), "address": ticket.address.as_str() })
}

fn line(line: &LineReport) -> Value {
    let mut document = json!({
        "currency": line.currency.as_str(),
        "status": match line.status {
            LineStatus::Consistent => "consistent",
            LineStatus::Waiting => "waiting",
            LineStatus::Inconsistent { .. } => "inconsistent",
        },
        "balance": line.balance.to_string(),
        "local_max_debt": line.local_max_debt.to_string(),
        "remote_max_debt": line.remote_max_debt.to_string(),
        "local_pending_debt": line.local_pending_debt.to_string(),
        "remote_pending_debt": line.remote_pending_debt.to_string(),
        "local_open": line.local_open,
        "remote_open": line.remote_open,
        "rate": rate(&line.rate),
        "overdue": line.overdue.iter().map(|request| json!({
            "request_id": request.request_id.to_string(),
            "amount": request.amount.to_string(),
            "written_off": request.written_off,
        })).collect::<Vec<_>>(),
        "auto_write_off": line.auto_write_off.map(|up_to| up_to.to_string()),
    });
    if let LineStatus::Inconsistent { local_balance, remote_balance, reason } = &line.status {
        document["terms"] = json!({
            "local_balance": local_balance.to_string(),
            "remote_balance": remote_balance.map(|balance| balance.to_string()),
            "reason": reason,
        });
    }
    document
}

fn rate(rate: &Rate) -> Value {
    json!({ "mul": rate.mul.to_string(), "add": rate.add.to_string() })
}

pub(super) fn server(server: &ServerReport) -> Value {
    let (state, reason) = match &server.state {
        ServerState::Connected => ("connected", ""),
        ServerState::Disconnected { reason } => ("disconnected", reason.as_str()),
        ServerState::Displaced => ("displaced", "another node with our key has taken our place"),
    };
    let mut document = server_ticket(&server.ticket);
    document["name"] = json!(server.name);
    document["state"] = json!(state);
    document["reason"] = json!(reason);
    document
}

pub(super) fn payment_status(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Paid => "paid",
        PaymentStatus::Failed => "failed",
        PaymentStatus::Pending => "pending",
    }
}

pub(super) fn payment_kind(kind: PaymentKind) -> &'static str {
    match kind {
        PaymentKind::Payment => "payment",
        PaymentKind::Rebalance => "rebalance",
        PaymentKind::Clearing => "clearing",
    }
}

pub(super) fn payment(payment: &PaymentReport) -> Value {
    json!({
        "payment_id": payment.payment_id.to_string(),
        "status": payment_status(payment.status),
        "kind": payment_kind(payment.kind),
        "destination": payment.destination.to_string(),
        "invoice_id": payment.invoice_id.map(|id| id.to_string()),
        "currency": payment.currency.as_str(),
        "amount": payment.amount.to_string(),
        "fees": payment.fees.to_string(),
        "parts": payment.parts,
        "reason": payment.reason,
        "created_ms": payment.created_ms,
        "duration_ms": payment.duration_ms,
        "app": payment.app.map(|app| app.to_string()),
    })
}

pub(super) fn invoice_status(status: InvoiceStatus) -> &'static str {
    match status {
        InvoiceStatus::Open => "open",
        InvoiceStatus::Paid => "paid",
        InvoiceStatus::Cancelled => "cancelled",
        InvoiceStatus::Expired => "expired",
    }
}

pub(super) fn invoice(invoice: &InvoiceReport) -> Value {
    json!({
        "invoice_id": invoice.invoice_id.to_string(),
        "status": invoice_status(invoice.status),
        "currency": invoice.currency.as_str(),
        "amount": invoice.amount.to_string(),
        "description": invoice.description,
        "created_ms": invoice.created_ms,
        "expires_ms": invoice.expires_ms,
    })
}

pub(super) fn forward(forward: &ForwardReport) -> Value {
    json!({
        "request_id": forward.request_id.to_string(),
        "from": forward.from.map(|from| from.to_string()),
        "to": forward.to.to_string(),
        "currency": forward.currency.as_str(),
        "amount": forward.amount.to_string(),
        "fee": forward.fee.to_string(),
        "time_ms": forward.time_ms,
    })
}

pub(super) fn event(event: &Event) -> Value {
    match event {
        Event::FriendChanged { name } => json!({ "event": "friend_changed", "name": name }),
        Event::PaymentChanged { payment_id, status } => json!({
            "event": "payment_changed",
            "payment_id": payment_id.to_string(),
            "status": payment_status(*status),
        }),
        Event::InvoiceChanged { invoice_id, status } => json!({
            "event": "invoice_changed",
            "invoice_id": invoice_id.to_string(),
            "status": invoice_status(*status),
        }),
        Event::Overdue { name, request_id, amount } => json!({
            "event": "overdue",
            "name": name,
            "request_id": request_id.to_string(),
            "amount": amount.to_string(),
        }),
        Event::AutoWriteOffEnded { name, currency, amount } => json!({
            "event": "auto-write-off-ended",
            "name": name,
            "currency": currency.as_str(),
            "amount": amount.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::friends_table::tests::{friend as friend_report, line as line_report};
    use super::*;
    use offst_crypto::Identity;
    use offst_proto::{Currency, PaymentId};

    #[test]
    fn a_friend_has_the_fields_of_the_contract() {
        let document = friend(&friend_report("node1", vec![line_report("credit")]));
        let expected = json!({
            "name": "node1",
            "public_key": "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w",
            "enabled": true,
            "online": true,
            "direct": false,
            "relays": [],
            "address": null,
            "currencies": [{
                "currency": "credit",
                "status": "consistent",
                "balance": "100",
                "local_max_debt": "150",
                "remote_max_debt": "200",
                "local_pending_debt": "0",
                "remote_pending_debt": "0",
                "local_open": true,
                "remote_open": true,
                "rate": { "mul": "7", "add": "1" },
                "overdue": [],
                "auto_write_off": null,
            }],
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn terms_that_do_not_agree_are_told() {
        let status = LineStatus::Inconsistent { local_balance: -3, remote_balance: None, reason: "they differ".into() };
        let document = line(&LineReport { status, ..line_report("credit") });
        assert_eq!(document["status"], "inconsistent");
        let expected = json!({ "local_balance": "-3", "remote_balance": null, "reason": "they differ" });
        assert_eq!(document["terms"], expected);
    }

    #[test]
    fn a_payment_has_the_fields_of_the_contract() {
        let report = PaymentReport {
            app: Some(Identity::from_seed([1; 32]).public_key()),
            payment_id: PaymentId::from_bytes([2; 16]),
            status: PaymentStatus::Pending,
            kind: PaymentKind::Payment,
            destination: Identity::from_seed([1; 32]).public_key(),
            invoice_id: None,
            currency: Currency::default(),
            amount: 1 << 96,
            fees: 3,
            parts: 2,
            reason: "node1 is away".into(),
            created_ms: 5,
            duration_ms: 6,
            receipt: None,
        };
        let expected = json!({
            "payment_id": "AgICAgICAgICAgICAgICAg",
            "status": "pending",
            "kind": "payment",
            "destination": "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w",
            "invoice_id": null,
            "currency": "credit",
            "amount": "79228162514264337593543950336",
            "fees": "3",
            "parts": 2,
            "reason": "node1 is away",
            "created_ms": 5,
            "duration_ms": 6,
            "app": "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w",
        });
        assert_eq!(payment(&report), expected);
    }
}
