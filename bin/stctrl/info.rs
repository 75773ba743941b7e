//! The group `info`: what the node knows.

use super::arguments::{Named, Output};
use super::connection::Connection;
use super::friends_table::friends_table;
use super::output::{OutputFormat, PublicKeyDocument};
use super::table::Table;
use super::{statement, watch};
use crate::budgets;
use crate::files::Readers;
use crate::outcome::Outcome;
use clap::Subcommand;
use offst_app::App;
use offst_proto::Currency;
use offst_proto::budget::BudgetsReport;
use offst_proto::report::{Balance, FriendReport, KeyReplacementReport, ServerReport, ServerState};
use offst_proto::ticket::{FriendTicket, Ticket};
use std::collections::BTreeMap;

/// What is said when not all that the friend has signed fits into the file.
const SHORTENED: &str =
    "The friend has signed more than a file holds, so this one ends earlier. Ask again when less is under way.\n";

#[derive(Debug, Subcommand)]
pub(super) enum Info {
    /// Show all friends and the accounts with them
    Friends,
    /// Show the relays over which friends reach the node
    Relays,
    /// Show the index servers; connected ones have a star
    Index,
    /// Show what all friends together owe you, minus what you owe them
    Balance,
    /// Show how much this application may spend
    Budget,
    /// Show the node's public key
    PublicKey,
    /// Show which keys friends have lost, and under which key and with which balances the accounts go on
    ReplacedKeys,
    /// Write this node's ticket, with which friends add it
    ExportTicket(Output),
    /// Write a proof of the accounts with a friend: what the friend has signed, for others to check
    FriendStatement(FriendStatementFile),
    /// Show all friends again whenever something changes, until you interrupt it
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

pub(super) fn run(info: Info, connection: &Connection, format: OutputFormat) -> Outcome {
    if let Info::ExportTicket(output) | Info::FriendStatement(FriendStatementFile { output, .. }) = &info {
        output.check()?;
    }
    connection.run(async |app| match info {
        Info::Friends => {
            let friends = app.friends().await?;
            format.print(&friends, || friends_table(&friends))
        }
        Info::Relays => {
            let relays = app.relays().await?;
            format.print(&relays, || servers_table(&relays))
        }
        Info::Index => {
            let servers = app.index_servers().await?;
            format.print(&servers, || servers_table(&servers))
        }
        Info::Balance => {
            let balances = balances(&app.friends().await?);
            format.print(&balances, || balances_text(&balances))
        }
        Info::Budget => {
            let budgets = app.budgets().await?;
            format.print(&budgets, || budgets_text(&budgets))
        }
        Info::PublicKey => {
            let public_key = app.node();
            format.print(&PublicKeyDocument { public_key }, || format!("{public_key}\n"))
        }
        Info::ReplacedKeys => {
            let replacements = app.key_replacements().await?;
            let reports: Vec<_> = replacements.iter().map(KeyReplacementReport::from).collect();
            format.print(&reports, || replaced_keys_table(&reports))
        }
        Info::ExportTicket(output) => {
            let contact = app.contact().await?;
            let ticket =
                FriendTicket { public_key: contact.public_key, relays: contact.relays, address: contact.address };
            output.write(&Ticket::Friend(ticket).to_toml(), Readers::Anyone)?;
            format.print(&PublicKeyDocument { public_key: contact.public_key }, String::new)
        }
        Info::FriendStatement(arguments) => friend_statement(&arguments, &app, format).await,
        Info::Watch => watch::run(&app, format).await,
    })
}

fn budgets_text(budgets: &BudgetsReport) -> String {
    if !budgets.limited {
        return "This app may spend without a limit.\n".to_owned();
    }
    budgets::lines(&budgets.budgets).map(|line| format!("This app {line}\n")).collect()
}

async fn friend_statement(arguments: &FriendStatementFile, app: &App, format: OutputFormat) -> Outcome {
    let FriendStatementFile { named, currency, output } = arguments;
    let report = app.friend_statement(&named.name, currency.as_ref()).await?;
    // Those who get it will check it, too.
    let proven = statement::check(&report.statement)?;
    output.write(&report.statement.to_toml(), Readers::Owner)?;
    let document = statement::document(&report.statement, &proven, Some(report.is_shortened));
    format.print(&document, || {
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

fn replaced_keys_table(replacements: &[KeyReplacementReport]) -> String {
    let mut table = Table::new(["lost key", "goes on as", "balance"]);
    for replacement in replacements {
        let (lost, new_key) = (replacement.lost_key.to_string(), replacement.public_key.to_string());
        let balances: Vec<_> =
            replacement.balances.iter().map(|of| format!("{} {}", of.balance, of.currency)).collect();
        table.row([lost.as_str(), new_key.as_str(), &balances.join(", ")]);
    }
    table.to_text()
}

/// What all friends together owe, in each currency.
pub(super) fn balances(friends: &[FriendReport]) -> Vec<Balance> {
    let mut sums = BTreeMap::new();
    for account in friends.iter().flat_map(|friend| &friend.accounts) {
        let sum: &mut i128 = sums.entry(account.currency.clone()).or_default();
        *sum = sum.saturating_add(account.balance);
    }
    if sums.is_empty() {
        sums.insert(Currency::default(), 0);
    }
    sums.into_iter().map(|(currency, balance)| Balance { currency, balance }).collect()
}

fn balances_text(balances: &[Balance]) -> String {
    match balances {
        [Balance { balance, .. }] => format!("{balance}\n"),
        several => several.iter().map(|of| format!("{} {}\n", of.balance, of.currency)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::friends_table::tests::{friend, line};
    use super::*;
    use offst_proto::report::AccountReport;
    use offst_proto::ticket::ServerTicket;

    #[test]
    fn balances_are_a_number_alone_or_one_a_line() {
        let credit = |balance| AccountReport { balance, ..line("credit") };
        let balance = |friends: &[FriendReport]| balances_text(&balances(friends));
        assert_eq!(balance(&[]), "0\n");
        assert_eq!(balance(&[friend("a", vec![credit(-30)]), friend("b", vec![credit(10)])]), "-20\n");
        let both = [friend("a", vec![credit(-30), line("hours")]), friend("b", vec![line("hours")])];
        assert_eq!(balance(&both), "-30 credit\n200 hours\n");
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
