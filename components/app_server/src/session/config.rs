//! Friends, relays and index servers.

use super::{Context, read_name, unexpected};
use capnp::Error;
use capnp::capability::Rc;
use offst_funder::{Command, Reply};
use offst_proto::app::{
    read_amount, read_balance, read_currency, read_friend_ticket, read_rate, read_server_ticket, write_write_off,
};
use offst_proto::encoding::DecodeError;
use offst_proto::order::NewFriend;
use offst_proto::wire::app_capnp::{self as wire, config};

pub(super) struct Config {
    pub(super) context: Rc<Context>,
}

impl Config {
    async fn carry_out(
        &self,
        command: Result<Command, Wrong>,
        mut result: wire::result::Builder<'_>,
    ) -> Result<(), Error> {
        let command = match command {
            Ok(command) => command,
            Err(Wrong(sentence)) => {
                result.set_refused(sentence);
                return Ok(());
            }
        };
        match self.context.command(command).await? {
            Reply::Done => result.set_done(()),
            Reply::Refused(sentence) => result.set_refused(sentence.as_str()),
            reply => return Err(unexpected(&reply)),
        }
        Ok(())
    }

    /// The only command here that has more to say than that it was done.
    async fn write_off_up_to(
        &self,
        call: config::write_off_params::Reader<'_>,
        mut result: wire::write_off_result::Builder<'_>,
    ) -> Result<(), Error> {
        let command = understand(|| {
            Ok(Command::WriteOff {
                name: read_name(call.get_name())?,
                currency: read_currency(call.get_currency())?,
                up_to: read_amount(call.get_up_to())?,
            })
        });
        match command {
            Ok(command) => match self.context.command(command).await? {
                Reply::WrittenOff(report) => write_write_off(&report, result.init_report()),
                Reply::Refused(sentence) => result.set_refused(sentence.as_str()),
                reply => return Err(unexpected(&reply)),
            },
            Err(Wrong(sentence)) => result.set_refused(sentence),
        }
        Ok(())
    }
}

/// Why arguments are no command, for people.
struct Wrong(String);

impl From<DecodeError> for Wrong {
    fn from(error: DecodeError) -> Self {
        Wrong(error.to_string())
    }
}

impl From<capnp::Error> for Wrong {
    fn from(error: capnp::Error) -> Self {
        DecodeError::from(error).into()
    }
}

impl From<String> for Wrong {
    fn from(sentence: String) -> Self {
        Wrong(sentence)
    }
}

fn read_new_friend(friend: wire::new_friend::Reader<'_>) -> Result<NewFriend, Wrong> {
    Ok(NewFriend {
        name: read_name(friend.get_name())?,
        ticket: read_friend_ticket(friend.get_ticket()?)?,
        balance: read_balance(friend.get_balance())?,
        currency: read_currency(friend.get_currency())?,
        max_debt: read_amount(friend.get_max_debt())?,
        open: friend.get_open(),
    })
}

/// Runs what may find that arguments are no command.
fn understand(command: impl FnOnce() -> Result<Command, Wrong>) -> Result<Command, Wrong> {
    command()
}

/// One method a command: how its arguments become the command.
macro_rules! commands {
    ($($method:ident, $params:ident, $results:ident: |$reader:ident| $command:expr;)*) => {
        impl config::Server for Config {
            async fn write_off(
                self: Rc<Self>,
                params: config::WriteOffParams,
                mut results: config::WriteOffResults,
            ) -> Result<(), Error> {
                self.write_off_up_to(params.get()?, results.get().init_result()).await
            }

            $(async fn $method(
                self: Rc<Self>,
                params: config::$params,
                mut results: config::$results,
            ) -> Result<(), Error> {
                let $reader = params.get()?;
                let command = understand(|| Ok($command));
                self.carry_out(command, results.get().init_result()).await
            })*
        }
    };
}

commands! {
    add_relay, AddRelayParams, AddRelayResults: |call|
        Command::AddRelay(read_name(call.get_name())?, read_server_ticket(call.get_ticket()?)?);
    remove_relay, RemoveRelayParams, RemoveRelayResults: |call|
        Command::RemoveRelay(read_name(call.get_name())?);
    add_index_server, AddIndexServerParams, AddIndexServerResults: |call|
        Command::AddIndex(read_name(call.get_name())?, read_server_ticket(call.get_ticket()?)?);
    remove_index_server, RemoveIndexServerParams, RemoveIndexServerResults: |call|
        Command::RemoveIndex(read_name(call.get_name())?);
    add_friend, AddFriendParams, AddFriendResults: |call|
        Command::AddFriend(Box::new(read_new_friend(call.get_friend()?)?));
    remove_friend, RemoveFriendParams, RemoveFriendResults: |call|
        Command::RemoveFriend {
            name: read_name(call.get_name())?,
            force: call.get_force(),
            forgive: call.get_forgive(),
        };
    rename_friend, RenameFriendParams, RenameFriendResults: |call|
        Command::RenameFriend(read_name(call.get_name())?, read_name(call.get_new_name())?);
    enable_friend, EnableFriendParams, EnableFriendResults: |call|
        Command::EnableFriend(read_name(call.get_name())?);
    disable_friend, DisableFriendParams, DisableFriendResults: |call|
        Command::DisableFriend { name: read_name(call.get_name())?, force: call.get_force() };
    set_friend_open, SetFriendOpenParams, SetFriendOpenResults: |call|
        Command::SetFriendOpen(read_name(call.get_name())?, read_currency(call.get_currency())?, call.get_open());
    set_friend_max_debt, SetFriendMaxDebtParams, SetFriendMaxDebtResults: |call|
        Command::SetFriendMaxDebt(
            read_name(call.get_name())?,
            read_currency(call.get_currency())?,
            read_amount(call.get_max_debt())?,
        );
    set_friend_rate, SetFriendRateParams, SetFriendRateResults: |call|
        Command::SetFriendRate(
            read_name(call.get_name())?,
            read_currency(call.get_currency())?,
            read_rate(call.get_rate()?)?,
        );
    set_friend_contact, SetFriendContactParams, SetFriendContactResults: |call|
        Command::SetFriendContact(read_name(call.get_name())?, read_friend_ticket(call.get_ticket()?)?);
    reset_friend, ResetFriendParams, ResetFriendResults: |call|
        Command::ResetFriend(read_name(call.get_name())?, read_currency(call.get_currency())?);
    replace_friend_key, ReplaceFriendKeyParams, ReplaceFriendKeyResults: |call|
        Command::ReplaceFriendKey(read_name(call.get_name())?, read_friend_ticket(call.get_ticket()?)?);
    set_auto_clear, SetAutoClearParams, SetAutoClearResults: |call|
        Command::SetAutoClear(call.get_on());
    set_auto_write_off, SetAutoWriteOffParams, SetAutoWriteOffResults: |call|
        Command::SetAutoWriteOff(
            read_name(call.get_name())?,
            read_currency(call.get_currency())?,
            read_amount(call.get_up_to())?,
        );
}
