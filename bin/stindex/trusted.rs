//! The files of the folder `trusted`: the server tickets of the other index servers that this one is linked with.

use crate::files;
use crate::trusted::Trusted;
use offst_crypto::PublicKey;
use offst_proto::ticket::{ServerTicket, Ticket};
use std::path::Path;

/// Another index server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TrustedServer(ServerTicket);

impl Trusted for TrustedServer {
    type Use = ServerTicket;
    const ENDING: &'static str = "ticket";
    const FILES_MAX: usize = 64;
    const KIND: &'static str = "index server";

    fn read(path: &Path, _name: &str) -> Result<Self, String> {
        let ticket = files::load_ticket(path, Ticket::into_index_server);
        ticket.map(TrustedServer).map_err(|failure| failure.message().to_owned())
    }

    fn public_key(&self) -> PublicKey {
        self.0.public_key
    }

    fn to_use(&self) -> ServerTicket {
        self.0.clone()
    }

    fn who(&self, name: &str) -> String {
        format!("the index server {name} ({})", self.0.public_key)
    }

    fn how(&self) -> String {
        format!("at {}", self.0.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;
    use crate::trusted::TrustedFolder;
    use offst_crypto::Identity;

    #[test]
    fn tickets_for_other_index_servers_count() {
        let outer = tempfile::tempdir().unwrap();
        let folder = Folder::new(Some(outer.path().to_owned()), "index").unwrap();
        let inner = folder.create_inner("trusted").unwrap();
        let server = |seed: u8| ServerTicket {
            public_key: Identity::from_seed([seed; 32]).public_key(),
            address: format!("127.0.0.1:{seed}").parse().unwrap(),
        };
        let put = |name: &str, text: &str| std::fs::write(inner.join(name), text).unwrap();
        put("one.server.ticket", &Ticket::IndexServer(server(1)).to_toml());
        put("two.ticket", &Ticket::IndexServer(server(2)).to_toml());
        put("node.ticket", &Ticket::IndexClient(server(3)).to_toml());
        put("empty.ticket", "");
        let reading = TrustedFolder::<TrustedServer>::of(&folder).read();
        assert_eq!(reading.by_key(), [1, 2].map(|seed| (server(seed).public_key, server(seed))).into());
        let faults: Vec<_> = reading.faults.keys().map(String::as_str).collect();
        assert_eq!(faults, ["empty", "node"]);
        assert!(reading.faults["node"].contains("node.ticket: "), "{:?}", reading.faults);
        assert!(reading.faults["node"].contains("not of an index server for other index servers"));
    }
}
