//! Completions for shells and manual pages, made from the description of the command line.

use crate::outcome::{Failure, Outcome, write_out};
use clap::{Command, CommandFactory, Subcommand};
use clap_complete::Shell;

/// The commands that every program has.
#[derive(Debug, Subcommand)]
pub enum Manual {
    /// Print shell completions
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page; to read it: PROGRAM man | man -l -
    Man,
}

impl Manual {
    /// Prints what was asked for.
    ///
    /// # Errors
    /// stdout cannot be written to.
    pub fn print<Arguments: CommandFactory>(&self) -> Outcome {
        let mut command = Arguments::command();
        let mut bytes = Vec::new();
        match self {
            Manual::Completions { shell } => {
                let name = command.get_name().to_owned();
                clap_complete::generate(*shell, &mut command, name, &mut bytes);
            }
            Manual::Man => {
                command.build();
                write_pages(&command, &mut bytes)?;
            }
        }
        write_out(&String::from_utf8(bytes).map_err(|_| Failure::failed("the manual is not a text"))?)
    }
}

/// The page of a command, then those of the commands below it.
fn write_pages(command: &Command, out: &mut Vec<u8>) -> Outcome {
    clap_mangen::Man::new(command.clone()).render(out)?;
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        write_pages(below, out)?;
    }
    Ok(())
}
