//! Friends, relays and index servers.

use super::context::{Context, unexpected};
use capnp::Error;
use capnp::capability::Rc;
use offst_funder::{Command, Reply};
use offst_proto::app::{Message, MessageError, Refusal, config_call};
use offst_proto::order::NewFriend;
use offst_proto::wire::app_capnp::{self as wire, config};

pub(super) struct Config {
    pub(super) context: Rc<Context>,
}

impl Config {
    /// Carries out a command; arguments that are none are refused.
    async fn carry_out(
        &self,
        command: Result<Command, MessageError>,
        result: wire::result::Builder<'_>,
    ) -> Result<(), Error> {
        let done = match command {
            Ok(command) => match self.context.command(command).await? {
                Reply::Done => Ok(()),
                Reply::Refused(message) => Err(Refusal::from(message)),
                reply => return Err(unexpected(&reply)),
            },
            Err(error) => Err(error.to_string().into()),
        };
        done.write(result);
        Ok(())
    }
}

/// One method a command: the arguments, and the command that they are.
macro_rules! commands {
    ($($method:ident, $params:ident, $results:ident: |$call:pat_param| $command:expr;)*) => {
        impl config::Server for Config {
            $(async fn $method(
                self: Rc<Self>,
                params: config::$params,
                mut results: config::$results,
            ) -> Result<(), Error> {
                let command = Message::read(params.get()?).map(|$call| $command);
                self.carry_out(command, results.get().init_result()).await
            })*

            async fn add_friend(
                self: Rc<Self>,
                params: config::AddFriendParams,
                mut results: config::AddFriendResults,
            ) -> Result<(), Error> {
                let friend = params.get()?.get_friend().map_err(MessageError::from).and_then(NewFriend::read);
                let command = friend.map(|friend| Command::AddFriend(Box::new(friend)));
                self.carry_out(command, results.get().init_result()).await
            }

            async fn write_off(
                self: Rc<Self>,
                params: config::WriteOffParams,
                mut results: config::WriteOffResults,
            ) -> Result<(), Error> {
                let report = match config_call::WriteOff::read(params.get()?) {
                    Ok(config_call::WriteOff { name, currency, up_to }) => {
                        match self.context.command(Command::WriteOff { name, currency, up_to }).await? {
                            Reply::WrittenOff(report) => Ok(report),
                            Reply::Refused(message) => Err(Refusal::from(message)),
                            reply => return Err(unexpected(&reply)),
                        }
                    }
                    Err(error) => Err(error.to_string().into()),
                };
                report.write(results.get().init_result());
                Ok(())
            }
        }
    };
}

commands! {
    add_relay, AddRelayParams, AddRelayResults:
        |config_call::AddRelay { name, ticket }| Command::AddRelay(name, ticket);
    remove_relay, RemoveRelayParams, RemoveRelayResults:
        |config_call::RemoveRelay { name }| Command::RemoveRelay(name);
    add_index_server, AddIndexServerParams, AddIndexServerResults:
        |config_call::AddIndexServer { name, ticket }| Command::AddIndex(name, ticket);
    remove_index_server, RemoveIndexServerParams, RemoveIndexServerResults:
        |config_call::RemoveIndexServer { name }| Command::RemoveIndex(name);
    remove_friend, RemoveFriendParams, RemoveFriendResults:
        |config_call::RemoveFriend { name, force, forgive }| Command::RemoveFriend { name, force, forgive };
    rename_friend, RenameFriendParams, RenameFriendResults:
        |config_call::RenameFriend { name, new_name }| Command::RenameFriend(name, new_name);
    enable_friend, EnableFriendParams, EnableFriendResults:
        |config_call::EnableFriend { name }| Command::EnableFriend(name);
    disable_friend, DisableFriendParams, DisableFriendResults:
        |config_call::DisableFriend { name, force }| Command::DisableFriend { name, force };
    set_friend_open, SetFriendOpenParams, SetFriendOpenResults:
        |config_call::SetFriendOpen { name, currency, open }| Command::SetFriendOpen(name, currency, open);
    set_friend_max_debt, SetFriendMaxDebtParams, SetFriendMaxDebtResults:
        |config_call::SetFriendMaxDebt { name, currency, max_debt }| Command::SetFriendMaxDebt(name, currency, max_debt);
    set_friend_rate, SetFriendRateParams, SetFriendRateResults:
        |config_call::SetFriendRate { name, currency, rate }| Command::SetFriendRate(name, currency, rate);
    set_friend_contact, SetFriendContactParams, SetFriendContactResults:
        |config_call::SetFriendContact { name, ticket }| Command::SetFriendContact(name, ticket);
    reset_friend, ResetFriendParams, ResetFriendResults:
        |config_call::ResetFriend { name, currency }| Command::ResetFriend(name, currency);
    replace_friend_key, ReplaceFriendKeyParams, ReplaceFriendKeyResults:
        |config_call::ReplaceFriendKey { name, ticket }| Command::ReplaceFriendKey(name, ticket);
    set_auto_clear, SetAutoClearParams, SetAutoClearResults:
        |config_call::SetAutoClear { on }| Command::SetAutoClear(on);
    set_auto_write_off, SetAutoWriteOffParams, SetAutoWriteOffResults:
        |config_call::SetAutoWriteOff { name, currency, up_to }| Command::SetAutoWriteOff(name, currency, up_to);
}
