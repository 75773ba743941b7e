//! The four programs of Offst as functions; each `main.rs` is one call. Around them what every program does alike: how it
//! ends, how it treats files and folders, how a server starts, is configured and stops.

mod budgets;
pub mod command_line;
pub mod files;
pub mod folder;
mod invocation;
#[cfg(test)]
mod json_page;
mod leftovers;
pub mod manual;
pub mod metrics;
mod open_files;
pub mod outcome;
pub mod passphrase;
mod quiet_log;
mod secrecy;
pub mod serving;
pub mod settings;
pub mod stctrl;
pub mod stindex;
pub mod stnode;
pub mod strelay;
mod trusted;
