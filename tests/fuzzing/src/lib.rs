//! Everything that reads a stranger's bytes, as functions of bytes. None may panic, and what one of them takes must come out
//! again as it went in. The functions are run in two ways:
//!
//! * by the tests of this crate, over the files in `corpus/` and seeded changes of them, with stable Rust and in seconds;
//! * by libFuzzer, for as long as one likes: `fuzz/README.md`.
//!
//! | file | what it drives |
//! |---|---|
//! | `links` | frames, and the messages of every link |
//! | `signed` | what is signed or sealed: statements, openings, invoices, updates, peer backups |
//! | `texts` | what people copy and paste: invoices, invitations, tickets, receipts, addresses |
//! | `rows` | what lies in a database |
//! | `recovery` | what a friend shows to a node that has lost its disk, and a node to others |
//! | `node` | three whole nodes: payments, crashes, broken connections, lies |
//! | `seeds` | valid inputs to begin with |
//! | `change` | seeded changes of an input |

mod change;
mod links;
mod node;
mod recovery;
mod rows;
mod seeds;
mod signed;
mod texts;

pub use change::changed;

/// Inputs in `corpus/` are small, so that there can be many.
pub const INPUT_BYTES_MAX: usize = 2048;

/// A function of arbitrary bytes. It says whether it took them for something valid.
pub type Drive = fn(&[u8]) -> bool;

/// Something that reads a stranger's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// How its folder of inputs and its fuzz target are called.
    pub name: &'static str,
    /// What is run.
    pub drive: Drive,
    /// Valid inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "frames", drive: links::frames, seeds: seeds::frames },
    Target { name: "friend", drive: links::friend, seeds: seeds::friend },
    Target { name: "relay", drive: links::relay, seeds: seeds::relay },
    Target { name: "index", drive: links::index, seeds: seeds::index },
    Target { name: "federation", drive: links::federation, seeds: seeds::federation },
    Target { name: "app", drive: links::app, seeds: seeds::app },
    Target { name: "statement", drive: signed::statement, seeds: seeds::statement },
    Target { name: "opening", drive: signed::opening, seeds: seeds::opening },
    Target { name: "invoice", drive: signed::invoice, seeds: seeds::invoice },
    Target { name: "update", drive: signed::update, seeds: seeds::update },
    Target { name: "peer_backup", drive: signed::peer_backup, seeds: seeds::peer_backup },
    Target { name: "invoice_text", drive: texts::invoice, seeds: seeds::invoice_text },
    Target { name: "invitation", drive: texts::invitation, seeds: seeds::invitation },
    Target { name: "ticket", drive: texts::ticket, seeds: seeds::ticket },
    Target { name: "receipt", drive: texts::receipt, seeds: seeds::receipt },
    Target { name: "friend_statement", drive: recovery::friend_statement, seeds: seeds::friend_statement },
    Target { name: "words", drive: texts::words, seeds: seeds::words },
    Target { name: "row", drive: rows::row, seeds: seeds::row },
    Target { name: "account", drive: rows::account, seeds: seeds::account },
    Target { name: "evidence", drive: recovery::evidence, seeds: seeds::evidence },
    Target { name: "node", drive: node::node, seeds: seeds::node },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
