//! The group `config`: friends, relays and index servers.

use super::arguments::{Named, amount, balance, name, whole_number};
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
use offst_proto::report::AccountStatus;
use offst_proto::ticket::{FriendTicket, ServerTicket, Ticket};
use offst_proto::{Currency, Rate};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Let friends meet the node at one more relay
    AddRelay(AddRelay),
    /// Do not use a relay any more
    RemoveRelay(Named),
    /// Look for routes at one more index server
    AddIndex(AddIndex),
    /// Do not use an index server any more
    RemoveIndex(Named),
    /// Add a friend, or a further currency with a friend; both of you must do so, with opposite balances
    AddFriend(AddFriend),
    /// Settle what is under way with a friend, and forget the friend
    RemoveFriend(RemoveFriend),
    /// Give a friend another name
    RenameFriend(RenameFriend),
    /// Use a friend again
    EnableFriend(Named),
    /// Settle what is under way with a friend, and do not use the friend
    DisableFriend(DisableFriend),
    /// Take a friend's requests
    OpenFriend(Account),
    /// Do not take a friend's requests
    CloseFriend(Account),
    /// Set how much a friend may owe
    SetFriendMaxDebt(MaxDebt),
    /// Set what is taken for carrying on payments that come from a friend: ADD + AMOUNT * MUL / 2^32
    SetFriendRate(FriendRate),
    /// Tell the node where a friend is reached now
    SetFriendRelays(Contact),
    /// Accept a friend's terms for an account on which the two of you do not agree; says the old and the new balance
    ResetFriend(Account),
    /// Give those their credits back whose committed payments a friend has held for more than a minute. The friend may still
    /// collect them, and then you pay: at most as much as you say
    WriteOff(WriteOff),
    /// Do what write-off does without asking, with whatever a friend holds for more than a minute, until the friend collects
    /// something of it: then it is off again for this friend. It is off at first
    SetAutoWriteOff(AutoWriteOff),
    /// Print a line of text that invites a friend to an account on these terms
    Invite(Invite),
    /// Add the friend whose invitation, or whose answer to yours, this is, and take its requests. Accepting an invitation prints
    /// the answer: the inviter accepts it in turn
    Accept(Accept),
    /// Go on with a friend who has lost its key, under the key of its new ticket: the accounts keep their balances, the lost key
    /// is never accepted again
    ReplaceFriendKey(Contact),
    /// Clear rings in which everybody owes the next on your own, without a fee, and let others clear theirs through this node;
    /// index servers are told how much is owed
    SetAutoClear(AutoClear),
}

#[derive(Debug, clap::Args)]
pub(super) struct AutoWriteOff {
    #[command(flatten)]
    account: Account,
    /// The most that you may lose by it: what the friend could collect from you of all that was written off without asking; 0
    /// switches it off
    #[arg(long, value_name = "N", value_parser = amount)]
    up_to: u128,
}

#[derive(Debug, clap::Args)]
pub(super) struct AutoClear {
    /// Whether it is allowed for good
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
    contact: Contact,
    /// What the friend owes you now; negative: what you owe
    #[arg(long, value_parser = balance)]
    balance: i128,
    /// The currency
    #[arg(long, default_value_t)]
    currency: Currency,
    /// How much the friend may owe you
    #[arg(long, value_parser = amount, default_value = "0")]
    max_debt: u128,
    /// Take the friend's requests from the start
    #[arg(long)]
    open: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct RemoveFriend {
    #[command(flatten)]
    named: Named,
    /// Do not wait until what is under way is settled
    #[arg(long)]
    force: bool,
    /// Remove the friend although the balance is not 0. Without it a friend whose last payments leave a balance stays,
    /// disabled
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
    /// Do not wait until what is under way is settled
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
    #[arg(short, long, value_parser = amount)]
    max_debt: u128,
}

#[derive(Debug, clap::Args)]
pub(super) struct FriendRate {
    #[command(flatten)]
    account: Account,
    /// The share of the amount, in units of 1/2^32
    #[arg(long, value_parser = whole_number(0..=u32::MAX))]
    mul: u32,
    /// The flat part, credits
    #[arg(long, value_parser = amount)]
    add: u128,
}

#[derive(Debug, clap::Args)]
pub(super) struct Contact {
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
        Config::AddFriend(AddFriend { contact, .. })
        | Config::SetFriendRelays(contact)
        | Config::ReplaceFriendKey(contact) => Tickets::Friend(load_ticket(&contact.friend, Ticket::into_friend)?),
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
        (Config::AddFriend(AddFriend { contact, balance, currency, max_debt, open }), Tickets::Friend(ticket)) => {
            let friend = NewFriend { name: contact.named.name, ticket, balance, currency, max_debt, open };
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
struct ResetDocument {
    #[serde(flatten)]
    done: Done,
    #[serde(serialize_with = "offst_proto::json::text")]
    local_balance: i128,
    #[serde(serialize_with = "offst_proto::json::optional_text")]
    remote_balance: Option<i128>,
}

/// Accepts a friend's terms, and says which: the owner sees what it comes to.
async fn reset_friend(call: &Account, app: &App, format: OutputFormat) -> Outcome {
    let name = &call.named.name;
    let friend = app.friends().await?.into_iter().find(|friend| friend.name == *name);
    let mut accounts = friend.into_iter().flat_map(|friend| friend.accounts);
    let status = accounts.find(|account| account.currency == call.currency).map(|account| account.status);
    app.reset_friend(name, &call.currency).await?;
    let Some(AccountStatus::Inconsistent { local_balance, remote_balance, .. }) = status else { return format.done() };
    let document = ResetDocument { done: Done::default(), local_balance, remote_balance };
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
