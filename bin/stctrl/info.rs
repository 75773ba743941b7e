//! The group `info`: what the node knows.

use super::arguments::{Named, Output};
use super::connection::Connection;
use super::friends_table::friends_table;
use super::table::Table;
use super::{Voice, json, statement, watch};
use crate::budgets;
use crate::files::Readers;
use crate::outcome::Outcome;
use clap::Subcommand;
use offst_app::App;
use offst_proto::budget::BudgetReport;
use offst_proto::key_replacement::KeyReplacement;
use offst_proto::report::{FriendReport, ServerReport, ServerState};
use offst_proto::ticket::{FriendTicket, Ticket};
use offst_proto::{Currency, Verified};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is said when not all that the friend has signed fits into the file.
const SHORTENED: &str =
    "The friend has signed more than a file holds, so this one ends earlier. Ask again when less is under way.\n";

#[derive(Debug, Subcommand)]
pub(super) enum Info {
    /// Friends and the accounts with them
    Friends,
    /// The relays where friends meet the node
    Relays,
    /// The index servers, connected ones with a star
    Index,
    /// What all friends together owe you, less what you owe them
    Balance,
    /// What this application may spend
    Budget,
    /// The node's key
    PublicKey,
    /// The keys that friends have lost, and what this node has agreed to when they went on under others
    ReplacedKeys,
    /// Write the ticket that friends need to add this node
    ExportTicket(Output),
    /// Write down, for others to check, how the accounts with a friend stand by the friend's own signatures
    FriendStatement(FriendStatementFile),
    /// Show the friends again whenever something changes, until interrupted
    Watch,
}

#[derive(Debug, clap::Args)]
pub(super) struct FriendStatementFile {
    #[command(flatten)]
    named: Named,
    /// Only the account in this currency
    #[arg(long)]
    currency: Option<Currency>,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(info: Info, connection: &Connection, voice: Voice) -> Outcome {
    if let Info::ExportTicket(output) | Info::FriendStatement(FriendStatementFile { output, .. }) = &info {
        output.check()?;
    }
    connection.run(async |app| match info {
        Info::Friends => {
            let friends = app.friends().await?;
            voice.say(friends.iter().map(json::friend).collect(), || friends_table(&friends))
        }
        Info::Relays => {
            let relays = app.relays().await?;
            voice.say(relays.iter().map(json::server).collect(), || servers_table(&relays))
        }
        Info::Index => {
            let servers = app.index_servers().await?;
            voice.say(servers.iter().map(json::server).collect(), || servers_table(&servers))
        }
        Info::Balance => {
            let balances = balances(&app.friends().await?);
            voice.say(balances_json(&balances), || balances_text(&balances))
        }
        Info::Budget => {
            let budgets = app.budgets().await?;
            voice.say(budgets_json(budgets.as_deref()), || budgets_text(budgets.as_deref()))
        }
        Info::PublicKey => {
            let public_key = app.node().to_string();
            voice.say(json!({ "public_key": public_key }), || format!("{public_key}\n"))
        }
        Info::ReplacedKeys => {
            let replacements = app.key_replacements().await?;
            voice.say(replacements.iter().map(json::key_replacement).collect(), || replaced_keys_table(&replacements))
        }
        Info::ExportTicket(output) => {
            let contact = app.contact().await?;
            let ticket =
                FriendTicket { public_key: contact.public_key, relays: contact.relays, address: contact.address };
            output.write(&Ticket::Friend(ticket).to_toml(), Readers::Anyone)?;
            voice.say(json!({ "public_key": contact.public_key.to_string() }), String::new)
        }
        Info::FriendStatement(arguments) => friend_statement(&arguments, &app, voice).await,
        Info::Watch => watch::run(&app, voice).await,
    })
}

pub(super) fn budgets_json(budgets: Option<&[BudgetReport]>) -> Value {
    let documents = budgets.unwrap_or_default().iter().map(budgets::document);
    json!({ "limited": budgets.is_some(), "budgets": documents.collect::<Value>() })
}

fn budgets_text(budgets: Option<&[BudgetReport]>) -> String {
    match budgets {
        None => "This app may spend without a limit.\n".to_owned(),
        Some(budgets) => budgets::lines(budgets).map(|line| format!("This app {line}\n")).collect(),
    }
}

async fn friend_statement(arguments: &FriendStatementFile, app: &App, voice: Voice) -> Outcome {
    let FriendStatementFile { named, currency, output } = arguments;
    let report = app.friend_statement(&named.name, currency.as_ref()).await?;
    // Whoever gets it will check it, too.
    let proven = statement::check(&report.statement)?;
    output.write(&report.statement.to_toml(), Readers::Owner)?;
    let mut document = statement::document(&report.statement, &proven);
    document["shortened"] = report.is_shortened.into();
    voice.say(document, || {
        let text = statement::text(&report.statement, &proven);
        if report.is_shortened { text + SHORTENED } else { text }
    })
}

fn servers_table(servers: &[ServerReport]) -> String {
    let mut table = Table::new(["", "name", "address", "public key", "state"]);
    for server in servers {
        let (star, state) = match &server.state {
            ServerState::Connected => ("*", "connected".to_owned()),
            ServerState::Disconnected { reason } if reason.is_empty() => ("", "disconnected".to_owned()),
            ServerState::Disconnected { reason } => ("", format!("disconnected: {reason}")),
            ServerState::Displaced => ("", "displaced: another node with our key has taken our place".to_owned()),
        };
        let key = server.ticket.public_key.to_string();
        table.row([star, &server.name, server.ticket.address.as_str(), &key, &state]);
    }
    table.to_text()
}

fn replaced_keys_table(replacements: &[Verified<KeyReplacement>]) -> String {
    let mut table = Table::new(["lost key", "goes on as", "balance"]);
    for replacement in replacements {
        let (lost, successor) = (replacement.lost.to_string(), replacement.successor.to_string());
        let balances: Vec<_> =
            replacement.accounts.iter().map(|account| format!("{} {}", account.balance, account.currency)).collect();
        table.row([lost.as_str(), successor.as_str(), &balances.join(", ")]);
    }
    table.to_text()
}

/// What all friends together owe, in each currency.
pub(super) fn balances(friends: &[FriendReport]) -> BTreeMap<Currency, i128> {
    let mut balances = BTreeMap::new();
    for line in friends.iter().flat_map(|friend| &friend.lines) {
        let sum: &mut i128 = balances.entry(line.currency.clone()).or_default();
        *sum = sum.saturating_add(line.balance);
    }
    if balances.is_empty() {
        balances.insert(Currency::default(), 0);
    }
    balances
}

pub(super) fn balances_json(balances: &BTreeMap<Currency, i128>) -> Value {
    let entry = |(currency, balance): (&Currency, &i128)| json!({ "currency": currency.as_str(), "balance": balance.to_string() });
    balances.iter().map(entry).collect()
}

fn balances_text(balances: &BTreeMap<Currency, i128>) -> String {
    let several = balances.len() > 1;
    let line = |(currency, balance): (&Currency, &i128)| {
        if several { format!("{balance} {currency}\n") } else { format!("{balance}\n") }
    };
    balances.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::friends_table::tests::{friend, line};
    use super::*;
    use offst_proto::report::LineReport;
    use offst_proto::ticket::ServerTicket;

    #[test]
    fn balances_are_a_number_alone_or_one_a_line() {
        let credit = |balance| LineReport { balance, ..line("credit") };
        let balance = |friends: &[FriendReport]| balances_text(&balances(friends));
        assert_eq!(balance(&[]), "0\n");
        assert_eq!(balance(&[friend("a", vec![credit(-30)]), friend("b", vec![credit(10)])]), "-20\n");
        let both = [friend("a", vec![credit(-30), line("hours")]), friend("b", vec![line("hours")])];
        assert_eq!(balance(&both), "-30 credit\n200 hours\n");
        let expected = json!([{ "currency": "credit", "balance": "-30" }, { "currency": "hours", "balance": "200" }]);
        assert_eq!(balances_json(&balances(&both)), expected);
    }

    #[test]
    fn connected_servers_have_a_star() {
        let public_key = offst_crypto::Identity::from_seed([1; 32]).public_key();
        let server = |name: &str, state| ServerReport {
            name: name.into(),
            ticket: ServerTicket { public_key, address: "127.0.0.1:1".parse().unwrap() },
            state,
        };
        let table = servers_table(&[
            server("index0", ServerState::Connected),
            server("index1", ServerState::Disconnected { reason: "no answer".into() }),
        ]);
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[1].starts_with("| * | index0 | 127.0.0.1:1 | iojj3"), "{table}");
        assert!(lines[2].starts_with("|   | index1 |") && lines[2].ends_with("| disconnected: no answer |"), "{table}");
    }
}
