//! The command line of a program that may run inside another executable: the demonstration and the load program start
//! themselves again in the role of each server, because cargo does not build the programs for an example.

use crate::invocation;
use std::ffi::OsString;
use std::process::ExitCode;

/// The hidden first argument: the role follows, then the role's own arguments.
pub const ROLE: &str = "role";

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
    invocation::take_role(rest);
    Some(program())
}
