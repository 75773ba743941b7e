//! The command line of a program that may run inside another executable: the demonstration and the load program start
//! themselves again in the role of each server, because cargo does not build the programs for an example.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::OnceLock;

/// The hidden first argument: the role follows, then the role's own arguments.
pub const ROLE: &str = "role";

static OF_ROLE: OnceLock<Vec<OsString>> = OnceLock::new();

/// The arguments of the program that runs here, its name first.
pub fn arguments() -> Vec<OsString> {
    OF_ROLE.get().cloned().unwrap_or_else(|| std::env::args_os().collect())
}

/// Runs one of the programs when this executable was started as `EXECUTABLE role PROGRAM ARGUMENTS...`.
pub fn run_role() -> Option<ExitCode> {
    let mut given = std::env::args_os().skip(1);
    if given.next()? != ROLE {
        return None;
    }
    let rest: Vec<OsString> = given.collect();
    let program = match rest.first().and_then(|name| name.to_str()) {
        Some("strelay") => crate::strelay::main,
        Some("stindex") => crate::stindex::main,
        Some("stnode") => crate::stnode::main,
        Some("stctrl") => crate::stctrl::main,
        _ => return None,
    };
    // Only the first call can set it, and `main` is the only caller.
    let _ = OF_ROLE.set(rest);
    Some(program())
}
