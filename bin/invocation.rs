//! With which arguments a program was called.

use std::ffi::OsString;
use std::sync::OnceLock;

static OF_ROLE: OnceLock<Vec<OsString>> = OnceLock::new();

/// The arguments of the program that runs here, its name first.
pub(crate) fn arguments() -> Vec<OsString> {
    OF_ROLE.get().cloned().unwrap_or_else(|| std::env::args_os().collect())
}

/// From now on these are the arguments, the program's name first: this executable plays the role of that program. Only the
/// first call has an effect.
pub(crate) fn take_role(arguments: Vec<OsString>) {
    let _ = OF_ROLE.set(arguments);
}
