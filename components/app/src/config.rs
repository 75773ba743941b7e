//! Friends, relays and index servers, with the permission `config`. Names are the owner's own, at most
//! [`offst_proto::limits::NAME_BYTES_MAX`] bytes.

use crate::connect::App;
use crate::error::AppError;
use offst_proto::app::{read_text, read_write_off, write_friend_ticket, write_rate, write_server_ticket};
use offst_proto::order::NewFriend;
use offst_proto::report::WriteOffReport;
use offst_proto::ticket::{FriendTicket, ServerTicket};
use offst_proto::wire::app_capnp as wire;
use offst_proto::{Currency, Rate};

fn read_result(result: wire::result::Reader<'_>) -> Result<(), AppError> {
    match result.which()? {
        wire::result::Done(()) => Ok(()),
        wire::result::Refused(sentence) => Err(AppError::Refused(read_text(sentence)?)),
    }
}

/// One method a command: how its arguments are filled in.
macro_rules! commands {
    ($(
        $(#[$doc:meta])*
        $method:ident($($argument:ident: $type:ty),*), $request:ident: |$call:ident| $fill:block
    )*) => {
        impl App {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`AppError::PermissionDenied`], [`AppError::Refused`]; the connection is lost.
                pub async fn $method(&self, $($argument: $type),*) -> Result<(), AppError> {
                    let mut request = self.config_client()?.$request();
                    let mut $call = request.get();
                    $fill
                    read_result(request.send().promise.await?.get()?.get_result()?)
                }
            )*
        }
    };
}

commands! {
    /// Listens at one more relay.
    add_relay(name: &str, ticket: &ServerTicket), add_relay_request: |call| {
        call.set_name(name);
        write_server_ticket(ticket, call.init_ticket());
    }
    /// Listens there no more.
    remove_relay(name: &str), remove_relay_request: |call| {
        call.set_name(name);
    }
    /// Uses one more index server.
    add_index_server(name: &str, ticket: &ServerTicket), add_index_server_request: |call| {
        call.set_name(name);
        write_server_ticket(ticket, call.init_ticket());
    }
    /// Uses it no more.
    remove_index_server(name: &str), remove_index_server_request: |call| {
        call.set_name(name);
    }
    /// Opens an account with a new friend, or one in a further currency with a known one.
    add_friend(friend: &NewFriend), add_friend_request: |call| {
        let mut new = call.reborrow().init_friend();
        new.set_name(friend.name.as_str());
        write_friend_ticket(&friend.ticket, new.reborrow().init_ticket());
        new.set_balance(friend.balance.to_string());
        new.set_currency(friend.currency.as_str());
        new.set_max_debt(friend.max_debt.to_string());
        new.set_open(friend.open);
    }
    /// Closes, drains and removes a friend. `force`: do not wait for pending requests. `forgive`: although the balance
    /// is not 0.
    remove_friend(name: &str, force: bool, forgive: bool), remove_friend_request: |call| {
        call.set_name(name);
        call.set_force(force);
        call.set_forgive(forgive);
    }
    /// Gives a friend another name.
    rename_friend(name: &str, new_name: &str), rename_friend_request: |call| {
        call.set_name(name);
        call.set_new_name(new_name);
    }
    /// Uses a friend again.
    enable_friend(name: &str), enable_friend_request: |call| {
        call.set_name(name);
    }
    /// Closes, drains and stops using a friend. `force`: do not wait for pending requests.
    disable_friend(name: &str, force: bool), disable_friend_request: |call| {
        call.set_name(name);
        call.set_force(force);
    }
    /// Takes a friend's requests, or not.
    set_friend_open(name: &str, currency: &Currency, open: bool), set_friend_open_request: |call| {
        call.set_name(name);
        call.set_currency(currency.as_str());
        call.set_open(open);
    }
    /// What a friend may owe, credits.
    set_friend_max_debt(name: &str, currency: &Currency, max_debt: u128), set_friend_max_debt_request: |call| {
        call.set_name(name);
        call.set_currency(currency.as_str());
        call.set_max_debt(max_debt.to_string());
    }
    /// What is taken for forwarding requests that come from a friend.
    set_friend_rate(name: &str, currency: &Currency, rate: &Rate), set_friend_rate_request: |call| {
        call.set_name(name);
        call.set_currency(currency.as_str());
        write_rate(rate, call.init_rate());
    }
    /// Where a friend is reached.
    set_friend_contact(name: &str, ticket: &FriendTicket), set_friend_contact_request: |call| {
        call.set_name(name);
        write_friend_ticket(ticket, call.init_ticket());
    }
    /// Accepts a friend's terms.
    reset_friend(name: &str, currency: &Currency), reset_friend_request: |call| {
        call.set_name(name);
        call.set_currency(currency.as_str());
    }
    /// The friend has lost its key: its accounts go on with that of the ticket.
    replace_friend_key(name: &str, ticket: &FriendTicket), replace_friend_key_request: |call| {
        call.set_name(name);
        write_friend_ticket(ticket, call.init_ticket());
    }
    /// Clears rings of debts on the node's own from now on, and lets others clear them through it without a fee; or not.
    set_auto_clear(on: bool), set_auto_clear_request: |call| {
        call.set_on(on);
    }
    /// Does what [`App::write_off`] does without asking from now on, with whatever a friend holds for too long. `up_to`: the most that
    /// the friend may then collect of what was written off so, credits; 0: not any more. It ends when the friend collects something
    /// of it.
    set_auto_write_off(name: &str, currency: &Currency, up_to: u128), set_auto_write_off_request: |call| {
        call.set_name(name);
        call.set_currency(currency.as_str());
        call.set_up_to(up_to.to_string());
    }
}

impl App {
    /// Gives those back their credits whose committed payments a friend has held for too long, although it may still collect them
    /// from this node. `up_to`: the most that the friend may then collect of all that was ever written off, credits. The same
    /// order twice does no more than once.
    ///
    /// # Errors
    /// [`AppError::PermissionDenied`], [`AppError::Refused`]; the connection is lost.
    pub async fn write_off(&self, name: &str, currency: &Currency, up_to: u128) -> Result<WriteOffReport, AppError> {
        let mut request = self.config_client()?.write_off_request();
        let mut call = request.get();
        call.set_name(name);
        call.set_currency(currency.as_str());
        call.set_up_to(up_to.to_string());
        let response = request.send().promise.await?;
        match response.get()?.get_result()?.which()? {
            wire::write_off_result::Report(report) => Ok(read_write_off(report?)?),
            wire::write_off_result::Refused(sentence) => Err(AppError::Refused(read_text(sentence)?)),
        }
    }
}
