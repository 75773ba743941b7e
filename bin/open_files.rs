//! How many files and sockets this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that every server has open besides its connections: the log, the database, sockets that listen, threads.
const OTHERS: u64 = 64;

/// Raises the limit of open files as far as the system lets us, and warns when `connections` are more than that.
/// Without a warning a server would find out when strangers have taken the last one.
pub(crate) fn allow(connections: usize) {
    let needed = (connections as u64).saturating_add(OTHERS);
    if let Some(message) = warning(needed, raise()) {
        log::warn!("{message}");
    }
}

/// Raises the soft limit to the hard limit, and gives what is allowed then; nothing: there is no limit.
fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(_) => limit.current,
    }
}

fn warning(needed: u64, allowed: Option<u64>) -> Option<String> {
    let allowed = allowed.filter(|allowed| *allowed < needed)?;
    Some(format!(
        "only {allowed} files and sockets may be open at a time, and the settings need up to {needed}: when they are used \
         up, nobody can connect. Raise the hard limit (\"ulimit -Hn {needed}\", or LimitNOFILE={needed} in a systemd unit), \
         or lower the limits of connections and handshakes in the settings"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_low_a_limit_is_named_with_what_is_needed() {
        let message = warning(11_216, Some(1024)).unwrap();
        assert!(message.starts_with("only 1024 files") && message.contains("LimitNOFILE=11216"), "{message}");
        assert_eq!(warning(11_216, Some(11_216)), None);
        assert_eq!(warning(11_216, None), None);
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_limit() {
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(raise(), limit.maximum);
        assert_eq!(getrlimit(Resource::Nofile).current, limit.maximum);
    }
}
