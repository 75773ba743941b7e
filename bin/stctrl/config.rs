//! The group `config`: friends, relays and index servers.

use super::arguments::{Named, balance, name, whole_number};
use super::connection::Connection;
use super::invitation::{self, Accept, Invite};
use super::output::{Done, OutputFormat};
use super::progress::with_progress;
use super::text::clean;
use super::write_off::{self, WriteOff};
use crate::files::load_ticket;
use crate::outcome::Outcome;
use clap::Subcommand;
use offst_app::{App, AppError, NewFriend};
use offst_proto::Amount;
use offst_proto::report::AccountStatus;
use offst_proto::ticket::{FriendTicket, ServerTicket, Ticket};
use offst_proto::{Currency, Rate};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Add a relay over which friends reach the node
    AddRelay(AddRelay),
    /// Remove a relay
    RemoveRelay(Named),
    /// Add an index server that finds routes for the node
    AddIndex(AddIndex),
    /// Remove an index server
    RemoveIndex(Named),
    /// Add a friend, or an account in a further currency with a friend
    ///
    /// Both of you must do it, with opposite balances.
    AddFriend(AddFriend),
    /// Remove a friend, after everything under way with the friend has ended
    RemoveFriend(RemoveFriend),
    /// Change your name for a friend
    RenameFriend(RenameFriend),
    /// Enable a friend that was disabled
    EnableFriend(Named),
    /// Stop using a friend, after everything under way with the friend has ended
    DisableFriend(DisableFriend),
    /// Accept requests from a friend: pay and forward for it
    OpenFriend(Account),
    /// Do not accept requests from a friend
    CloseFriend(Account),
    /// Set how much a friend may owe you
    SetFriendMaxDebt(MaxDebt),
    /// Set your fee for forwarding payments that come from a friend: ADD + AMOUNT * MUL / 2^32
    SetFriendRate(FriendRate),
    /// Change where a friend is reached: take its relays and address from its new ticket
    SetFriendRelays(FriendTicketFile),
    /// Accept the friend's balance for an account that is inconsistent, and show the old and the new balance
    ResetFriend(Account),
    /// Release payments of others that a friend has held for too long, at your own risk
    ///
    /// These are payments that were committed more than a minute ago. Those who sent them get their credits back. The friend may still
    /// collect them. Then you pay, at most --up-to.
    WriteOff(WriteOff),
    /// Let the node do `write-off` by itself from now on
    ///
    /// It does so for everything that a friend holds for more than a minute. When the friend collects something of it, this is switched
    /// off again for the friend. By default it is off.
    SetAutoWriteOff(AutoWriteOff),
    /// Print an invitation: a line of text that offers a friend an account on these terms
    Invite(Invite),
    /// Accept an invitation, or the answer to your own
    ///
    /// The friend is added, and its requests are accepted. Accepting an invitation prints an answer, which the inviter must accept.
    Accept(Accept),
    /// Replace the key of a friend who has lost it by the key of a new ticket
    ///
    /// The accounts keep their balances. The lost key is never accepted again.
    ReplaceFriendKey(FriendTicketFile),
    /// Let the node clear debt cycles by itself, and let others clear theirs through it, without a fee
    ///
    /// In a debt cycle each node owes the next. Clearing makes every debt in it smaller. Index servers are then told how much is owed.
    SetAutoClear(AutoClear),
}

#[derive(Debug, clap::Args)]
pub(super) struct AutoWriteOff {
    #[command(flatten)]
    account: Account,
    /// The most that you may lose: what the friend could still collect of everything that was written off automatically. 0
    /// switches it off
    #[arg(long, value_name = "N")]
    up_to: Amount,
}

#[derive(Debug, clap::Args)]
pub(super) struct AutoClear {
    /// Whether the node does so
    #[arg(value_enum)]
    switch: Switch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, clap::Args)]
pub(super) struct AddRelay {
    #[command(flatten)]
    named: Named,
    /// The relay's ticket
    #[arg(short, long, value_name = "FILE")]
    relay: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct AddIndex {
    #[command(flatten)]
    named: Named,
    /// The index server's ticket for nodes
    #[arg(short, long, value_name = "FILE")]
    index: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct AddFriend {
    #[command(flatten)]
    file: FriendTicketFile,
    /// What the friend owes you at the start; negative if you owe the friend
    #[arg(long, value_parser = balance)]
    balance: i128,
    /// The currency
    #[arg(long, default_value_t)]
    currency: Currency,
    /// How much the friend may owe you
    #[arg(long, default_value = "0")]
    max_debt: Amount,
    /// Accept the friend's requests from the start
    #[arg(long)]
    open: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct RemoveFriend {
    #[command(flatten)]
    named: Named,
    /// Do not wait until everything under way has ended
    #[arg(long)]
    force: bool,
    /// Remove the friend even if the balance is not 0. Without this flag, a friend with a balance stays, but disabled
    #[arg(long)]
    forgive: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct RenameFriend {
    #[command(flatten)]
    named: Named,
    /// The new name
    #[arg(long, value_name = "NAME", value_parser = name)]
    to: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct DisableFriend {
    #[command(flatten)]
    named: Named,
    /// Do not wait until everything under way has ended
    #[arg(long)]
    force: bool,
}

/// One account with a friend.
#[derive(Debug, clap::Args)]
pub(super) struct Account {
    #[command(flatten)]
    named: Named,
    /// The currency
    #[arg(long, default_value_t)]
    currency: Currency,
}

#[derive(Debug, clap::Args)]
pub(super) struct MaxDebt {
    #[command(flatten)]
    account: Account,
    /// How much the friend may owe you
    #[arg(short, long)]
    max_debt: Amount,
}

#[derive(Debug, clap::Args)]
pub(super) struct FriendRate {
    #[command(flatten)]
    account: Account,
    /// The proportional part of the fee, in units of 1/2^32 of the amount
    #[arg(long, value_parser = whole_number(0..=u32::MAX))]
    mul: u32,
    /// The fixed part of the fee, in credits
    #[arg(long)]
    add: Amount,
}

#[derive(Debug, clap::Args)]
pub(super) struct FriendTicketFile {
    #[command(flatten)]
    named: Named,
    /// The friend's ticket
    #[arg(short, long, value_name = "FILE")]
    friend: PathBuf,
}

/// The files of a command, read before the node is called.
enum Tickets {
    None,
    Server(ServerTicket),
    Friend(FriendTicket),
}

pub(super) fn run(config: Config, connection: &Connection, format: OutputFormat) -> Outcome {
    let config = match config {
        Config::Invite(invite) => return invitation::invite(invite, connection, format),
        Config::Accept(accept) => return invitation::accept(accept, connection, format),
        Config::WriteOff(order) => return write_off::run(order, connection, format),
        config => config,
    };
    let tickets = match &config {
        Config::AddRelay(AddRelay { relay, .. }) => Tickets::Server(load_ticket(relay, Ticket::into_relay)?),
        Config::AddIndex(AddIndex { index, .. }) => Tickets::Server(load_ticket(index, Ticket::into_index_client)?),
        Config::AddFriend(AddFriend { file, .. }) | Config::SetFriendRelays(file) | Config::ReplaceFriendKey(file) => {
            Tickets::Friend(load_ticket(&file.friend, Ticket::into_friend)?)
        }
        _ => Tickets::None,
    };
    if let Config::ResetFriend(call) = config {
        return connection.run(async |app| reset_friend(&call, &app, format).await);
    }
    connection.run(async |app| {
        let drains = matches!(config, Config::RemoveFriend(_) | Config::DisableFriend(_));
        let work = carry_out(config, tickets, &app);
        if drains {
            with_progress("Settling what is under way (--force does not wait)", work).await?;
        } else {
            work.await?;
        }
        format.done()
    })
}

async fn carry_out(config: Config, tickets: Tickets, app: &App) -> Result<(), AppError> {
    match (config, tickets) {
        (Config::AddRelay(call), Tickets::Server(ticket)) => app.add_relay(&call.named.name, &ticket).await,
        (Config::RemoveRelay(call), _) => app.remove_relay(&call.name).await,
        (Config::AddIndex(call), Tickets::Server(ticket)) => app.add_index_server(&call.named.name, &ticket).await,
        (Config::RemoveIndex(call), _) => app.remove_index_server(&call.name).await,
        (Config::AddFriend(AddFriend { file, balance, currency, max_debt, open }), Tickets::Friend(ticket)) => {
            let friend = NewFriend { name: file.named.name, ticket, balance, currency, max_debt, open };
            app.add_friend(&friend).await
        }
        (Config::RemoveFriend(call), _) => app.remove_friend(&call.named.name, call.force, call.forgive).await,
        (Config::RenameFriend(call), _) => app.rename_friend(&call.named.name, &call.to).await,
        (Config::EnableFriend(call), _) => app.enable_friend(&call.name).await,
        (Config::DisableFriend(call), _) => app.disable_friend(&call.named.name, call.force).await,
        (Config::OpenFriend(call), _) => app.set_friend_open(&call.named.name, &call.currency, true).await,
        (Config::CloseFriend(call), _) => app.set_friend_open(&call.named.name, &call.currency, false).await,
        (Config::SetFriendMaxDebt(MaxDebt { account, max_debt }), _) => {
            app.set_friend_max_debt(&account.named.name, &account.currency, max_debt).await
        }
        (Config::SetFriendRate(FriendRate { account, mul, add }), _) => {
            app.set_friend_rate(&account.named.name, &account.currency, &Rate { mul, add }).await
        }
        (Config::SetFriendRelays(call), Tickets::Friend(ticket)) => {
            app.set_friend_contact(&call.named.name, &ticket).await
        }
        (Config::ReplaceFriendKey(call), Tickets::Friend(ticket)) => {
            app.replace_friend_key(&call.named.name, &ticket).await
        }
        (Config::SetAutoClear(call), _) => app.set_auto_clear(call.switch == Switch::On).await,
        (Config::SetAutoWriteOff(AutoWriteOff { account, up_to }), _) => {
            app.set_auto_write_off(&account.named.name, &account.currency, up_to).await
        }
        (
            Config::ResetFriend(_)
            | Config::Invite(_)
            | Config::Accept(_)
            | Config::WriteOff(_)
            | Config::AddRelay(_)
            | Config::AddIndex(_)
            | Config::AddFriend(_)
            | Config::SetFriendRelays(_)
            | Config::ReplaceFriendKey(_),
            _,
        ) => {
            unreachable!("the ticket of this command was read before, and others have functions of their own")
        }
    }
}

/// What programs read when a friend's terms were accepted.
#[derive(Debug, Serialize)]
pub(super) struct ResetDocument {
    #[serde(flatten)]
    done: Done,
    #[serde(serialize_with = "offst_proto::json::text")]
    local_balance: i128,
    #[serde(serialize_with = "offst_proto::json::optional_text")]
    remote_balance: Option<i128>,
}

impl ResetDocument {
    pub(super) fn new(local_balance: i128, remote_balance: Option<i128>) -> Self {
        ResetDocument { done: Done::default(), local_balance, remote_balance }
    }
}

/// Accepts a friend's terms, and says which: the owner sees what it comes to.
async fn reset_friend(call: &Account, app: &App, format: OutputFormat) -> Outcome {
    let name = &call.named.name;
    let friend = app.friends().await?.into_iter().find(|friend| friend.name == *name);
    let mut accounts = friend.into_iter().flat_map(|friend| friend.accounts);
    let status = accounts.find(|account| account.currency == call.currency).map(|account| account.status);
    app.reset_friend(name, &call.currency).await?;
    let Some(AccountStatus::Inconsistent { local_balance, remote_balance, .. }) = status else { return format.done() };
    let document = ResetDocument::new(local_balance, remote_balance);
    let (name, currency) = (clean(name), &call.currency);
    format.print(&document, || match remote_balance {
        Some(balance) => {
            format!("accepted: the balance with {name} was {local_balance} and is {balance} ({currency})\n")
        }
        None => format!(
            "offered to {name}: to go on with a balance of {local_balance} ({currency}), all that is left here\n"
        ),
    })
}
