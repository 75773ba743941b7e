//! Friends, relays and index servers, with the permission `config`. Names are the owner's own, at most
//! [`offst_proto::limits::NAME_BYTES_MAX`] bytes.

use crate::connect::App;
use crate::error::AppError;
use offst_proto::Amount;
use offst_proto::app::{Message, Refusal, config_call};
use offst_proto::order::NewFriend;
use offst_proto::report::WriteOffReport;
use offst_proto::ticket::{FriendTicket, ServerTicket};
use offst_proto::{Currency, Rate};

/// One method a command, with what is sent.
macro_rules! commands {
    ($(
        $(#[$doc:meta])*
        $method:ident($($argument:ident: $type:ty),*), $request:ident: $call:expr;
    )*) => {
        impl App {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`AppError::PermissionDenied`], [`AppError::Refused`]; the connection is lost.
                pub async fn $method(&self, $($argument: $type),*) -> Result<(), AppError> {
                    let mut request = self.config_client()?.$request();
                    $call.write(request.get());
                    let response = request.send().promise.await?;
                    Ok(Result::<(), Refusal>::read(response.get()?.get_result()?)??)
                }
            )*
        }
    };
}

commands! {
    /// Listens at one more relay.
    add_relay(name: &str, ticket: &ServerTicket), add_relay_request:
        config_call::AddRelay { name: name.into(), ticket: ticket.clone() };
    /// Does not listen at a relay any more.
    remove_relay(name: &str), remove_relay_request: config_call::RemoveRelay { name: name.into() };
    /// Uses one more index server.
    add_index_server(name: &str, ticket: &ServerTicket), add_index_server_request:
        config_call::AddIndexServer { name: name.into(), ticket: ticket.clone() };
    /// Does not use an index server any more.
    remove_index_server(name: &str), remove_index_server_request: config_call::RemoveIndexServer { name: name.into() };
    /// Closes, drains and removes a friend. `force`: do not wait for pending requests. `forgive`: although the balance
    /// is not 0.
    remove_friend(name: &str, force: bool, forgive: bool), remove_friend_request:
        config_call::RemoveFriend { name: name.into(), force, forgive };
    /// Gives a friend another name.
    rename_friend(name: &str, new_name: &str), rename_friend_request:
        config_call::RenameFriend { name: name.into(), new_name: new_name.into() };
    /// Uses a friend again.
    enable_friend(name: &str), enable_friend_request: config_call::EnableFriend { name: name.into() };
    /// Closes, drains and stops using a friend. `force`: do not wait for pending requests.
    disable_friend(name: &str, force: bool), disable_friend_request:
        config_call::DisableFriend { name: name.into(), force };
    /// Accepts a friend's requests, or not.
    set_friend_open(name: &str, currency: &Currency, open: bool), set_friend_open_request:
        config_call::SetFriendOpen { name: name.into(), currency: currency.clone(), open };
    /// Sets what a friend may owe, credits.
    set_friend_max_debt(name: &str, currency: &Currency, max_debt: Amount), set_friend_max_debt_request:
        config_call::SetFriendMaxDebt { name: name.into(), currency: currency.clone(), max_debt };
    /// Sets the fee for forwarding requests that come from a friend.
    set_friend_rate(name: &str, currency: &Currency, rate: &Rate), set_friend_rate_request:
        config_call::SetFriendRate { name: name.into(), currency: currency.clone(), rate: *rate };
    /// Sets where a friend is reached.
    set_friend_contact(name: &str, ticket: &FriendTicket), set_friend_contact_request:
        config_call::SetFriendContact { name: name.into(), ticket: ticket.clone() };
    /// Accepts a friend's terms.
    reset_friend(name: &str, currency: &Currency), reset_friend_request:
        config_call::ResetFriend { name: name.into(), currency: currency.clone() };
    /// The friend has lost its key: its accounts go on under that of the ticket.
    replace_friend_key(name: &str, ticket: &FriendTicket), replace_friend_key_request:
        config_call::ReplaceFriendKey { name: name.into(), ticket: ticket.clone() };
    /// Clears debt cycles without being asked from now on, and lets others clear theirs through this node without a fee; or not.
    set_auto_clear(on: bool), set_auto_clear_request: config_call::SetAutoClear { on };
    /// Does what [`App::write_off`] does without being asked from now on, for all that a friend holds for too long. `up_to`: the most
    /// that the friend may then collect of what was written off so, credits; 0: switched off. It ends when the friend collects
    /// something of it.
    set_auto_write_off(name: &str, currency: &Currency, up_to: Amount), set_auto_write_off_request:
        config_call::SetAutoWriteOff { name: name.into(), currency: currency.clone(), up_to };
}

impl App {
    /// Opens an account with a new friend, or one in a further currency with a known one.
    ///
    /// # Errors
    /// [`AppError::PermissionDenied`], [`AppError::Refused`]; the connection is lost.
    pub async fn add_friend(&self, friend: &NewFriend) -> Result<(), AppError> {
        let mut request = self.config_client()?.add_friend_request();
        friend.write(request.get().init_friend());
        let response = request.send().promise.await?;
        Ok(Result::<(), Refusal>::read(response.get()?.get_result()?)??)
    }

    /// Releases the credits of others whose committed payments a friend has held for too long, although it may still collect them
    /// from this node. `up_to`: the most that the friend may then collect of all that was ever written off, credits. The same
    /// order twice does no more than once.
    ///
    /// # Errors
    /// [`AppError::PermissionDenied`], [`AppError::Refused`]; the connection is lost.
    pub async fn write_off(&self, name: &str, currency: &Currency, up_to: Amount) -> Result<WriteOffReport, AppError> {
        let mut request = self.config_client()?.write_off_request();
        config_call::WriteOff { name: name.into(), currency: currency.clone(), up_to }.write(request.get());
        let response = request.send().promise.await?;
        Ok(Result::<WriteOffReport, Refusal>::read(response.get()?.get_result()?)??)
    }
}
