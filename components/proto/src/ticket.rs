//! Tickets: small TOML files by which people tell each other where something is and which key it has.

use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::limits::{ADDRESS_BYTES_MAX, RELAYS_MAX};
use offst_crypto::PublicKey;
use serde::{Deserialize, Serialize};

/// A ticket has under 3 kB; anything far larger is another file.
pub const TICKET_BYTES_MAX: usize = 16 * 1024;

/// `HOST:PORT`, where HOST is a name or an address (an IPv6 address in brackets).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not an address of the form HOST:PORT")]
pub struct AddressError {
    text: String,
}

impl Address {
    /// `HOST:PORT`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.0.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("checked when it was parsed")
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        let (host, _) = self.0.rsplit_once(':').expect("checked when it was parsed");
        host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
    }

    /// Whether the host is a loopback address.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError { text: text.chars().take(80).collect() };
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(error());
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let port: u16 = port.parse().map_err(|_| error())?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host_is_valid = match bracketed {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
            }
        };
        if port == 0 || !host_is_valid {
            return Err(error());
        }
        Ok(Address(text.to_owned()))
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.0
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({})", self.0)
    }
}

/// A server's key and the address it is reached at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ServerTicket {
    /// The server's identity: a server that answers at the address with another key is refused.
    #[serde(serialize_with = "crate::json::text")]
    pub public_key: PublicKey,
    /// Where it listens.
    pub address: Address,
}

/// What a ticket speaks of. The file says so, because one kind must not be taken for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ticket {
    /// A relay, for nodes.
    Relay(ServerTicket),
    /// An index server, for nodes.
    IndexClient(ServerTicket),
    /// An index server, for other index servers.
    IndexServer(ServerTicket),
    /// A node, for applications.
    Node(ServerTicket),
    /// An application, for a node's owner.
    App(PublicKey),
    /// A node, for its friends.
    Friend(FriendTicket),
}

/// How friends reach a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FriendTicket {
    /// The node.
    #[serde(serialize_with = "crate::json::text")]
    pub public_key: PublicKey,
    /// The relays it listens at, at most [`RELAYS_MAX`].
    pub relays: Vec<ServerTicket>,
    /// Where it is dialled without a relay.
    pub address: Option<Address>,
}

/// An address that may be missing: an empty text, then.
pub fn encode_optional_address(encoder: &mut Encoder, address: Option<&Address>) {
    encoder.text(address.map_or("", Address::as_str));
}

/// The same, read.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_optional_address(decoder: &mut Decoder<'_>) -> Result<Option<Address>, DecodeError> {
    let text = decoder.text(ADDRESS_BYTES_MAX, "an address")?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| DecodeError::invalid("an address"))
}

impl Canonical for ServerTicket {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.public_key);
        encoder.text(self.address.as_str());
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let public_key = decoder.value()?;
        let address = decode_optional_address(decoder)?.ok_or(DecodeError::invalid("an address"))?;
        Ok(ServerTicket { public_key, address })
    }
}

impl Canonical for FriendTicket {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.public_key);
        encoder.list(&self.relays);
        encode_optional_address(encoder, self.address.as_ref());
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(FriendTicket {
            public_key: decoder.value()?,
            relays: decoder.list(RELAYS_MAX, "a list of relays")?,
            address: decode_optional_address(decoder)?,
        })
    }
}

/// Why a file is not a ticket, or not the right one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not a ticket at all.
    #[error("this is not a ticket: {0}")]
    Format(String),
    /// A ticket of another kind.
    #[error("this is the ticket of {found}, not of {expected}")]
    OtherKind {
        /// What was asked for.
        expected: &'static str,
        /// What the file holds.
        found: &'static str,
    },
}

/// The file's form: one flat table, so that people can read and mail it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kind: Kind,
    public_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    relays: Vec<RelayEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RelayEntry {
    public_key: String,
    address: Address,
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Relay,
    IndexClient,
    IndexServer,
    Node,
    App,
    Friend,
}

impl Ticket {
    /// What the ticket speaks of, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Ticket::Relay(_) => "a relay",
            Ticket::IndexClient(_) => "an index server for nodes",
            Ticket::IndexServer(_) => "an index server for other index servers",
            Ticket::Node(_) => "a node for its applications",
            Ticket::App(_) => "an application",
            Ticket::Friend(_) => "a node for its friends",
        }
    }

    /// The key the ticket speaks of.
    pub fn public_key(&self) -> PublicKey {
        match self {
            Ticket::Relay(server)
            | Ticket::IndexClient(server)
            | Ticket::IndexServer(server)
            | Ticket::Node(server) => server.public_key,
            Ticket::App(key) => *key,
            Ticket::Friend(friend) => friend.public_key,
        }
    }

    /// The text of the file.
    pub fn to_toml(&self) -> String {
        let server = |kind, server: &ServerTicket| File {
            kind,
            public_key: server.public_key.to_string(),
            address: Some(server.address.clone()),
            relays: vec![],
        };
        let file = match self {
            Ticket::Relay(ticket) => server(Kind::Relay, ticket),
            Ticket::IndexClient(ticket) => server(Kind::IndexClient, ticket),
            Ticket::IndexServer(ticket) => server(Kind::IndexServer, ticket),
            Ticket::Node(ticket) => server(Kind::Node, ticket),
            Ticket::App(key) => File { kind: Kind::App, public_key: key.to_string(), address: None, relays: vec![] },
            Ticket::Friend(friend) => File {
                kind: Kind::Friend,
                public_key: friend.public_key.to_string(),
                address: friend.address.clone(),
                relays: friend
                    .relays
                    .iter()
                    .map(|r| RelayEntry { public_key: r.public_key.to_string(), address: r.address.clone() })
                    .collect(),
            },
        };
        let text = toml::to_string(&file).expect("a ticket is a flat table");
        format!("# An Offst ticket: {}.\n{text}", self.kind())
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`TicketError::Format`] with what is wrong.
    pub fn from_toml(text: &str) -> Result<Self, TicketError> {
        let wrong = |reason: String| TicketError::Format(reason);
        if text.len() > TICKET_BYTES_MAX {
            return Err(wrong("the file is too large".into()));
        }
        let file: File =
            toml::from_str(text).map_err(|error| wrong(error.message().lines().collect::<Vec<_>>().join(" ")))?;
        let public_key: PublicKey = file.public_key.parse().map_err(|error| wrong(format!("{error}")))?;
        if file.relays.len() > RELAYS_MAX {
            return Err(wrong(format!("it names more than {RELAYS_MAX} relays")));
        }
        let wants_address = !matches!(file.kind, Kind::App | Kind::Friend);
        if wants_address && file.address.is_none() {
            return Err(wrong("the address is missing".into()));
        }
        let is_surplus = (file.kind == Kind::App && file.address.is_some())
            || (file.kind != Kind::Friend && !file.relays.is_empty());
        if is_surplus {
            return Err(wrong("it holds fields that this kind of ticket does not have".into()));
        }
        let address = file.address;
        let server = || ServerTicket { public_key, address: address.clone().expect("checked above") };
        Ok(match file.kind {
            Kind::Relay => Ticket::Relay(server()),
            Kind::IndexClient => Ticket::IndexClient(server()),
            Kind::IndexServer => Ticket::IndexServer(server()),
            Kind::Node => Ticket::Node(server()),
            Kind::App => Ticket::App(public_key),
            Kind::Friend => {
                let relays = file.relays.into_iter().map(|relay| {
                    let public_key = relay.public_key.parse().map_err(|error| wrong(format!("{error}")))?;
                    Ok(ServerTicket { public_key, address: relay.address })
                });
                Ticket::Friend(FriendTicket {
                    public_key,
                    relays: relays.collect::<Result<_, TicketError>>()?,
                    address,
                })
            }
        })
    }

    fn other_kind(&self, expected: &'static str) -> TicketError {
        TicketError::OtherKind { expected, found: self.kind() }
    }

    /// The relay it speaks of.
    ///
    /// # Errors
    /// [`TicketError::OtherKind`], as for all of these.
    pub fn into_relay(self) -> Result<ServerTicket, TicketError> {
        if let Ticket::Relay(server) = self { Ok(server) } else { Err(self.other_kind("a relay")) }
    }

    /// The index server it speaks of, for nodes.
    ///
    /// # Errors
    /// [`TicketError::OtherKind`].
    pub fn into_index_client(self) -> Result<ServerTicket, TicketError> {
        if let Ticket::IndexClient(server) = self {
            Ok(server)
        } else {
            Err(self.other_kind("an index server for nodes"))
        }
    }

    /// The index server it speaks of, for other index servers.
    ///
    /// # Errors
    /// [`TicketError::OtherKind`].
    pub fn into_index_server(self) -> Result<ServerTicket, TicketError> {
        if let Ticket::IndexServer(server) = self {
            Ok(server)
        } else {
            Err(self.other_kind("an index server for other index servers"))
        }
    }

    /// The node it speaks of, for applications.
    ///
    /// # Errors
    /// [`TicketError::OtherKind`].
    pub fn into_node(self) -> Result<ServerTicket, TicketError> {
        if let Ticket::Node(server) = self { Ok(server) } else { Err(self.other_kind("a node for its applications")) }
    }

    /// The application it speaks of.
    ///
    /// # Errors
    /// [`TicketError::OtherKind`].
    pub fn into_app(self) -> Result<PublicKey, TicketError> {
        if let Ticket::App(key) = self { Ok(key) } else { Err(self.other_kind("an application")) }
    }

    /// The node it speaks of, for friends.
    ///
    /// # Errors
    /// [`TicketError::OtherKind`].
    pub fn into_friend(self) -> Result<FriendTicket, TicketError> {
        if let Ticket::Friend(friend) = self { Ok(friend) } else { Err(self.other_kind("a node for its friends")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::key;

    #[test]
    fn round_trip_of_every_kind() {
        let server = ServerTicket { public_key: key(1), address: "relay.example.org:8000".parse().unwrap() };
        let friend = FriendTicket {
            public_key: key(2),
            relays: vec![server.clone()],
            address: Some("[::1]:9".parse().unwrap()),
        };
        for ticket in [
            Ticket::Relay(server.clone()),
            Ticket::IndexClient(server.clone()),
            Ticket::IndexServer(server.clone()),
            Ticket::Node(server),
            Ticket::App(key(3)),
            Ticket::Friend(friend),
        ] {
            assert_eq!(Ticket::from_toml(&ticket.to_toml()), Ok(ticket));
        }
    }

    #[test]
    fn the_file_is_readable() {
        let server = ServerTicket { public_key: key(1), address: "127.0.0.1:8000".parse().unwrap() };
        let text = Ticket::Relay(server).to_toml();
        assert_eq!(
            text,
            format!(
                "# An Offst ticket: a relay.\nkind = \"relay\"\npublic_key = \"{}\"\naddress = \"127.0.0.1:8000\"\n",
                key(1)
            )
        );
    }

    #[test]
    fn wrong_files_are_refused_in_a_sentence() {
        let small_order = "A".repeat(43);
        for (text, message) in [
            (String::new(), "missing field `kind`"),
            ("kind = \"bank\"\npublic_key = \"\"".into(), "unknown variant"),
            (format!("kind = \"app\"\npublic_key = \"{small_order}\""), "small order"),
            (format!("kind = \"relay\"\npublic_key = \"{}\"", key(1)), "address is missing"),
            (format!("kind = \"app\"\npublic_key = \"{}\"\naddress = \"a:1\"", key(1)), "does not have"),
            (format!("kind = \"relay\"\npublic_key = \"{}\"\naddress = \"a\"", key(1)), "HOST:PORT"),
            ("x".repeat(100_000), "too large"),
        ] {
            let error = Ticket::from_toml(&text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        let error = Ticket::App(key(1)).into_relay().unwrap_err().to_string();
        assert_eq!(error, "this is the ticket of an application, not of a relay");
    }

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:1", "[::1]:9500", "relay.example.org:65535"] {
            assert_eq!(good.parse::<Address>().unwrap().as_str(), good);
        }
        for bad in ["", "host", ":1", "host:0", "host:65536", "ho st:1", "::1:5", "[::1:5", "[x]:5"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        assert!("localhost:1".parse::<Address>().unwrap().is_loopback());
        assert!(!"8.8.8.8:1".parse::<Address>().unwrap().is_loopback());
    }
}
