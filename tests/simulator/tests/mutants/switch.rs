//! The switch of the mutants. The test adds this file to the ledger's copy, with the list of their names.

use std::sync::OnceLock;

static ON: OnceLock<&str> = OnceLock::new();

/// Switches a mutant on, for the whole process.
///
/// # Errors
/// There is none of this name.
pub fn switch_on(name: &str) -> Result<(), String> {
    let found = NAMES.iter().find(|known| **known == name);
    let known = found.ok_or_else(|| format!("there is no mutant \"{name}\"; --mutants lists them"))?;
    ON.set(known).map_err(|on| format!("the mutant \"{on}\" is on already"))
}

/// Whether this mutant is on.
pub fn is_on(name: &str) -> bool {
    ON.get().is_some_and(|on| *on == name)
}

/// The argument that switches the same mutant on.
pub fn flag() -> String {
    ON.get().map(|name| format!(" --mutant {name}")).unwrap_or_default()
}
