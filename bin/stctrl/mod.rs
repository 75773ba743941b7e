//! `stctrl`: controls a node from the command line.
//!
//! | file | what it holds |
//! |---|---|
//! | `arguments` | the values that a person writes, parsed and bounded |
//! | `connection` | which node, and as which application |
//! | `init` | makes the folder of a new application |
//! | `info`, `watch`, `events` | what the node reports |
//! | `config` | friends, relays and index servers |
//! | `write_off` | what a friend holds for too long is written off |
//! | `invitation` | becoming friends by two lines of text |
//! | `seller` | invoices |
//! | `funds`, `quote`, `cycles` | payments, what they would cost, and credit that comes back |
//! | `payment_options`, `paying` | what the commands that pay have in common |
//! | `history`, `pages` | long lists |
//! | `verify` | checks of files, without a node |
//! | `statement` | what a friend statement proves |
//! | `friends_table`, `table` | tables for people |
//! | `output` | whether people or programs read what is printed |
//! | `names` | the nodes of a path by the owner's names |
//! | `text`, `drawing`, `progress` | what reaches a terminal |

mod arguments;
mod config;
mod connection;
mod cycles;
mod drawing;
mod events;
#[cfg(test)]
pub(crate) mod examples;
mod friends_table;
mod funds;
mod history;
mod info;
mod init;
mod invitation;
mod names;
mod output;
mod pages;
mod paying;
mod payment_options;
mod progress;
mod quote;
mod seller;
mod statement;
mod table;
mod text;
mod verify;
mod watch;
mod write_off;

use crate::manual::Manual;
use crate::outcome::{self, Outcome};
use clap::{Parser, Subcommand};
use connection::{BEHIND_THE_OTHERS, Connection};
use output::OutputFormat;
use std::process::ExitCode;

/// Controls a node of Offst: friends, payments and invoices
#[derive(Debug, Parser)]
#[command(name = "stctrl", version)]
struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// Print one JSON document; amounts are strings of decimal digits
    #[arg(long, global = true, display_order = BEHIND_THE_OTHERS)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the folder of a new application: its identity and its ticket
    Init(init::Init),
    /// Show friends, servers, balances and keys
    #[command(subcommand)]
    Info(info::Info),
    /// Print one line for each event, until you interrupt it
    Events,
    /// Change friends, relays and index servers
    #[command(subcommand)]
    Config(config::Config),
    /// Make invoices, and wait until they are paid
    #[command(subcommand)]
    Seller(seller::Seller),
    /// Pay, and look at payments
    #[command(subcommand)]
    Funds(funds::Funds),
    /// Check files, without a node
    #[command(subcommand)]
    Verify(verify::Verify),
    #[command(flatten)]
    Manual(Manual),
}

/// The program.
pub fn main() -> ExitCode {
    outcome::run(run)
}

fn run(Arguments { connection, json, command }: Arguments) -> Outcome {
    let format = if json { OutputFormat::Json } else { OutputFormat::Text };
    match command {
        Command::Init(arguments) => init::init(arguments, format),
        Command::Info(command) => info::run(command, &connection, format),
        Command::Events => events::run(&connection, format),
        Command::Config(command) => config::run(command, &connection, format),
        Command::Seller(command) => seller::run(command, &connection, format),
        Command::Funds(command) => funds::run(command, &connection, format),
        Command::Verify(command) => verify::run(command, format),
        Command::Manual(manual) => manual.print::<Arguments>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use offst_proto::invitation::{Invitation, InvitationText};
    use offst_proto::ticket::FriendTicket;

    fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Arguments, clap::Error> {
        outcome::parse(std::iter::once("stctrl").chain(words).map(Into::into).collect())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn command_lines_of_the_contract_parse() {
        let key = offst_crypto::Identity::from_seed([1; 32]).public_key().to_string();
        let id = "AgICAgICAgICAgICAgICAg";
        let identity = offst_crypto::Identity::from_seed([1; 32]);
        let ticket = FriendTicket { public_key: identity.public_key(), relays: vec![], address: None };
        let invitation = Invitation::new(ticket, Default::default(), 100, 50.into(), &identity);
        let invitation = InvitationText::Invitation(invitation).to_text();
        for line in [
            "-I app0/app0.ident -T node0/node0.ticket info friends",
            "info friends --json -I a -T b",
            "init --dir app1",
            "events --json",
            "info relays",
            "info index",
            "info balance",
            "info budget",
            "info budget --json",
            "info public-key",
            "info export-ticket -o FILE",
            "info friend-statement -n NAME -o FILE",
            "info friend-statement -n NAME -o FILE --currency hours --force --json",
            "info watch",
            "config add-relay -n NAME -r FILE",
            "config remove-relay -n NAME",
            "config add-index -n NAME -i FILE",
            "config remove-index -n NAME",
            "config add-friend -n NAME -f FILE --balance -100",
            "config add-friend -n NAME -f FILE --balance 100 --currency hours --max-debt 5 --open",
            "config remove-friend -n NAME --force --forgive",
            "config rename-friend -n NAME --to NEW",
            "config enable-friend -n NAME",
            "config disable-friend -n NAME --force",
            "config open-friend -n NAME",
            "config close-friend -n NAME --currency hours",
            "config set-friend-max-debt -n NAME -m 79228162514264337593543950336",
            "config set-friend-rate -n NAME --mul 4294967295 --add 1",
            "config set-friend-relays -n NAME -f FILE",
            "config reset-friend -n NAME",
            "config write-off -n NAME --up-to 100",
            "config write-off -n NAME --up-to 0 --currency hours --json",
            "config set-auto-write-off -n NAME --up-to 100",
            "config set-auto-write-off -n NAME --up-to 0 --currency hours",
            "seller create-invoice -a 5 -o FILE --currency hours --description bread --expiry 60 --qr",
            "seller cancel-invoice -i FILE",
            "seller invoices",
            "seller wait -i FILE",
            "funds pay-invoice -i FILE -r RECEIPT --max-fee 3 --timeout 10",
            &format!("funds send-funds --amount 5 --dest {key} -r RECEIPT"),
            "funds quote -i FILE --max-fee 3",
            "funds quote --amount 5 --dest node1 --currency hours",
            "funds rebalance -n NAME --amount 5 --max-fee 3 --timeout 9 --currency hours",
            "funds clear",
            "funds clear --perform --currency hours --json",
            "config invite --balance -100 --max-debt 50",
            "config invite --balance 100 --max-debt 50 --currency hours --qr --json",
            &format!("config accept {invitation}"),
            &format!("config accept {invitation} --max-debt 50 -n NAME --qr"),
            &format!("verify invitation {invitation}"),
            "config set-auto-clear on",
            "config set-auto-clear off",
            "funds send-funds --amount 5 --dest node1 --currency hours",
            &format!("funds status {id}"),
            &format!("funds cancel {id}"),
            "funds status --json -pfKBb3eL2xpXluyvwMZ9g",
            "funds status -pfKBb3eL2xpXluyvwMZ9g --json",
            "seller wait -i -pfKBb3eL2xpXluyvwMZ9g",
            "funds send-funds --amount 5 --dest -pfKBb3eL2xpXluyvwMZ9gpfKBb3eL2xpXluyvwMZ9g",
            "funds payments",
            "funds forwards",
            "funds history --csv FILE",
            "verify receipt -i INVOICE -r RECEIPT",
            "verify receipt -r RECEIPT",
            "verify statement FILE",
            "verify ticket FILE",
            "completions bash",
            "man",
        ] {
            if let Err(error) = parse(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn wrong_command_lines_do_not() {
        for line in [
            "",
            "info",
            "info nothing",
            "config add-friend -n NAME -f FILE",
            "config add-friend -n NAME -f FILE --balance 79228162514264337593543950337",
            "config add-friend -n NAME -f FILE --balance -79228162514264337593543950337",
            "config set-friend-max-debt -n NAME -m -1",
            "config set-friend-rate -n NAME --mul 4294967296 --add 1",
            "config enable-friend",
            "config write-off -n NAME",
            "config write-off -n NAME --up-to -1",
            "config set-auto-write-off -n NAME",
            "seller create-invoice -a 0 -o FILE",
            "seller create-invoice -a 1.5 -o FILE",
            "funds pay-invoice -i FILE --timeout 0",
            "funds pay-invoice -i FILE --timeout 3601",
            "funds send-funds --amount 5",
            "funds quote",
            "funds quote --amount 5",
            "funds quote -i FILE --amount 5 --dest node1",
            "funds rebalance -n NAME",
            "config invite --balance 100",
            "config accept",
            "config accept offst1abc",
            "config set-auto-clear",
            "config set-auto-clear yes",
            "funds send-funds --amount 5 --dest node1 --currency Euro",
            "funds status short",
        ] {
            assert!(parse(line.split(' ').filter(|word| !word.is_empty())).is_err(), "{line}");
        }
        let long = "x".repeat(65);
        for name in ["", "a\u{1b}[2J", &long] {
            assert!(parse(["config", "enable-friend", "-n", name]).is_err(), "{name:?}");
        }
    }
}
