//! Friends, and the servers that the owner has configured.

use super::{
    length, read_amount, read_amount_option, read_any_balance, read_currency, read_friend_ticket, read_key,
    read_optional_address, read_rate, read_relays, read_request_id, read_server_ticket, read_text, read_total, wire,
    write_friend_ticket, write_rate, write_relays, write_server_ticket,
};
use crate::encoding::DecodeError;
use crate::friend_statement::FriendStatement;
use crate::limits::CURRENCIES_MAX;
use crate::report::{
    ContactReport, FriendReport, FriendStatementReport, LineReport, LineStatus, OverdueReport, ServerReport,
    ServerState,
};
use crate::ticket::FriendTicket;

/// Fills in a friend.
pub fn write_friend(friend: &FriendReport, mut builder: wire::friend::Builder<'_>) {
    builder.set_name(friend.name.as_str());
    builder.set_public_key(friend.public_key.as_bytes());
    builder.set_enabled(friend.enabled);
    builder.set_online(friend.online);
    builder.set_direct(friend.direct);
    if let Some(address) = &friend.address {
        builder.set_address(address.as_str());
    }
    write_relays(&friend.relays, builder.reborrow().init_relays(length(&friend.relays)));
    let mut lines = builder.init_lines(length(&friend.lines));
    for (position, line) in (0..).zip(&friend.lines) {
        write_line(line, lines.reborrow().get(position));
    }
}

/// Reads a friend.
///
/// # Errors
/// A field is not valid.
pub fn read_friend(reader: wire::friend::Reader<'_>) -> Result<FriendReport, DecodeError> {
    let lines = reader.get_lines()?;
    if lines.len() as usize > CURRENCIES_MAX {
        return Err(DecodeError::too_large("the number of currencies"));
    }
    Ok(FriendReport {
        name: read_text(reader.get_name())?,
        public_key: read_key(reader.get_public_key())?,
        enabled: reader.get_enabled(),
        online: reader.get_online(),
        direct: reader.get_direct(),
        relays: read_relays(reader.get_relays()?)?,
        address: read_optional_address(reader.get_address())?,
        lines: lines.iter().map(read_line).collect::<Result<_, _>>()?,
    })
}

/// Fills in a friend statement.
pub fn write_friend_statement(report: &FriendStatementReport, mut builder: wire::friend_statement::Builder<'_>) {
    builder.set_file(report.statement.to_toml());
    builder.set_shortened(report.is_shortened);
}

/// Reads a friend statement.
///
/// # Errors
/// It is not one.
pub fn read_friend_statement(reader: wire::friend_statement::Reader<'_>) -> Result<FriendStatementReport, DecodeError> {
    let statement = FriendStatement::from_toml(reader.get_file()?.to_str()?);
    Ok(FriendStatementReport {
        statement: statement.map_err(|_| DecodeError::invalid("a friend statement"))?,
        is_shortened: reader.get_shortened(),
    })
}

fn write_line(line: &LineReport, mut builder: wire::line::Builder<'_>) {
    builder.set_currency(line.currency.as_str());
    let mut status = builder.reborrow().init_status();
    match &line.status {
        LineStatus::Consistent => status.set_consistent(()),
        LineStatus::Waiting => status.set_waiting(()),
        LineStatus::Inconsistent { local_balance, remote_balance, reason } => {
            let mut terms = status.init_inconsistent();
            terms.set_local_balance(local_balance.to_string());
            if let Some(remote_balance) = remote_balance {
                terms.set_remote_balance(remote_balance.to_string());
            }
            terms.set_reason(reason.as_str());
        }
    }
    builder.set_balance(line.balance.to_string());
    builder.set_local_max_debt(line.local_max_debt.to_string());
    builder.set_remote_max_debt(line.remote_max_debt.to_string());
    builder.set_local_pending_debt(line.local_pending_debt.to_string());
    builder.set_remote_pending_debt(line.remote_pending_debt.to_string());
    builder.set_local_open(line.local_open);
    builder.set_remote_open(line.remote_open);
    write_rate(&line.rate, builder.reborrow().init_rate());
    if let Some(up_to) = line.auto_write_off {
        builder.set_auto_write_off(up_to.to_string());
    }
    let mut overdue = builder.init_overdue(length(&line.overdue));
    for (position, request) in (0..).zip(&line.overdue) {
        let mut entry = overdue.reborrow().get(position);
        entry.set_request_id(request.request_id.as_bytes());
        entry.set_amount(request.amount.to_string());
        entry.set_written_off(request.written_off);
    }
}

fn read_line(reader: wire::line::Reader<'_>) -> Result<LineReport, DecodeError> {
    let status = match reader.get_status().which()? {
        wire::line::status::Consistent(()) => LineStatus::Consistent,
        wire::line::status::Waiting(()) => LineStatus::Waiting,
        wire::line::status::Inconsistent(terms) => {
            let terms = terms?;
            let remote_balance = match terms.get_remote_balance() {
                Ok(text) if text.is_empty() => None,
                text => Some(read_any_balance(text)?),
            };
            LineStatus::Inconsistent {
                local_balance: read_any_balance(terms.get_local_balance())?,
                remote_balance,
                reason: read_text(terms.get_reason())?,
            }
        }
    };
    let overdue = reader.get_overdue()?.iter().map(|entry| {
        Ok(OverdueReport {
            request_id: read_request_id(entry.get_request_id())?,
            amount: read_amount(entry.get_amount())?,
            written_off: entry.get_written_off(),
        })
    });
    Ok(LineReport {
        currency: read_currency(reader.get_currency())?,
        status,
        balance: read_any_balance(reader.get_balance())?,
        local_max_debt: read_amount(reader.get_local_max_debt())?,
        remote_max_debt: read_amount(reader.get_remote_max_debt())?,
        local_pending_debt: read_total(reader.get_local_pending_debt())?,
        remote_pending_debt: read_total(reader.get_remote_pending_debt())?,
        local_open: reader.get_local_open(),
        remote_open: reader.get_remote_open(),
        rate: read_rate(reader.get_rate()?)?,
        overdue: overdue.collect::<Result<_, DecodeError>>()?,
        auto_write_off: read_amount_option(reader.get_auto_write_off())?,
    })
}

/// Fills in a relay or an index server.
pub fn write_server(server: &ServerReport, mut builder: wire::server::Builder<'_>) {
    builder.set_name(server.name.as_str());
    write_server_ticket(&server.ticket, builder.reborrow().init_ticket());
    let mut state = builder.init_state();
    match &server.state {
        ServerState::Connected => state.set_connected(()),
        ServerState::Disconnected { reason } => state.set_disconnected(reason.as_str()),
        ServerState::Displaced => state.set_displaced(()),
    }
}

/// Reads a relay or an index server.
///
/// # Errors
/// A field is not valid.
pub fn read_server(reader: wire::server::Reader<'_>) -> Result<ServerReport, DecodeError> {
    Ok(ServerReport {
        name: read_text(reader.get_name())?,
        ticket: read_server_ticket(reader.get_ticket()?)?,
        state: match reader.get_state().which()? {
            wire::server::state::Connected(()) => ServerState::Connected,
            wire::server::state::Disconnected(reason) => ServerState::Disconnected { reason: read_text(reason)? },
            wire::server::state::Displaced(()) => ServerState::Displaced,
        },
    })
}

/// Fills in how friends reach the node.
pub fn write_contact(contact: &ContactReport, builder: wire::friend_ticket::Builder<'_>) {
    let ContactReport { public_key, relays, address } = contact.clone();
    write_friend_ticket(&FriendTicket { public_key, relays, address }, builder);
}

/// Reads how friends reach the node.
///
/// # Errors
/// A field is not valid.
pub fn read_contact(reader: wire::friend_ticket::Reader<'_>) -> Result<ContactReport, DecodeError> {
    let FriendTicket { public_key, relays, address } = read_friend_ticket(reader)?;
    Ok(ContactReport { public_key, relays, address })
}
