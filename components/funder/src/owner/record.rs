//! What the owner has set for the node.
use offst_proto::encoding::Decoder;
use offst_proto::ticket::ServerTicket;
use offst_rows::{FieldReader, FieldWriter, Kind, Row, RowError};

/// A relay of ours, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay(pub ServerTicket);

/// An index server of ours, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexServer(pub ServerTicket);

/// A server that the owner has named.
pub(crate) trait ServerRow {
    fn of(ticket: ServerTicket) -> Self;
    fn ticket(&self) -> &ServerTicket;
}

/// What the owner has set for the whole node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// Debt cycles are cleared without asking the owner.
    pub auto_clear: bool,
}

impl ServerRow for Relay {
    fn of(ticket: ServerTicket) -> Self {
        Relay(ticket)
    }

    fn ticket(&self) -> &ServerTicket {
        &self.0
    }
}

impl Row for Relay {
    const KIND: Kind = Kind::state(22, "relays");
    type Key = String;

    fn write(&self, fields: &mut FieldWriter) {
        fields.value(2, &self.0);
    }

    fn read(_: &String, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        fields.value(2).map(Relay)
    }
}

impl ServerRow for IndexServer {
    fn of(ticket: ServerTicket) -> Self {
        IndexServer(ticket)
    }

    fn ticket(&self) -> &ServerTicket {
        &self.0
    }
}

impl Row for IndexServer {
    const KIND: Kind = Kind::state(24, "index servers");
    type Key = String;

    fn write(&self, fields: &mut FieldWriter) {
        fields.value(2, &self.0);
    }

    fn read(_: &String, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        fields.value(2).map(IndexServer)
    }
}

impl Row for Settings {
    const KIND: Kind = Kind::state(26, "settings");
    type Key = ();

    fn write(&self, fields: &mut FieldWriter) {
        fields.with(2, |encoder| encoder.bool(self.auto_clear));
    }

    fn read((): &(), fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Settings { auto_clear: fields.with(2, Decoder::bool)? })
    }
}
