//! What a program that holds keys does against its memory being kept by others.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Switches core dumps off: the memory of a program that crashes holds its keys. A system that refuses is no reason not to run.
pub(crate) fn no_core_dumps() {
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, nothing);
}
