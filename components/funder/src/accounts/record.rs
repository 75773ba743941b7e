//! What is kept of a friend and of accounts that are over.
use crate::archive::Allowance;
use offst_crypto::PublicKey;
use offst_ledger::{Account, AccountId};
use offst_proto::Amount;
use offst_proto::Signable;
use offst_proto::encoding::{DecodeError, Decoder};
use offst_proto::key_replacement::KeyReplacement;
use offst_proto::limits::{CURRENCIES_MAX, NAME_BYTES_MAX, RELAYS_MAX};
use offst_proto::ticket::{Address, ServerTicket, decode_optional_address, encode_optional_address};
use offst_proto::{Currency, Rate, RequestId, Unverified, Verified};
use offst_rows::{FieldReader, FieldWriter, Kind, Row, RowError};
use std::collections::{BTreeMap, BTreeSet};

/// What the owner has told us of a friend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FriendRecord {
    /// The owner's name for the friend.
    pub name: String,
    /// Its relays.
    pub relays: Vec<ServerTicket>,
    /// Where it can be called without a relay.
    pub address: Option<Address>,
    /// Whether it is used.
    pub standing: Standing,
    /// What is taken for forwarding requests that come from it.
    pub rates: BTreeMap<Currency, Rate>,
    /// What it may still collect at most, credits, of all that is written off without asking the owner; none: nothing is.
    pub auto_write_offs: BTreeMap<Currency, Amount>,
}

/// Whether a friend is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Enabled,
    /// No new requests; disabled when none is pending.
    Disabling,
    /// No new requests; removed when none is pending.
    Removing {
        /// Also with a balance other than 0. Otherwise it is only disabled then.
        forgives: bool,
    },
    /// It is not.
    Disabled,
}

/// A friend as the running machine sees it.
#[derive(Debug)]
pub(crate) struct Friend {
    pub(crate) record: FriendRecord,
    pub(crate) accounts: BTreeMap<Currency, Account>,
    /// The live connection.
    pub(crate) connection: Option<crate::io::ConnectionId>,
    /// Since when it is up, uptime ms.
    pub(crate) connected_ms: u64,
    /// Committed requests that it has held for too long.
    pub(crate) overdue: BTreeSet<(Currency, RequestId)>,
    /// How often it may still have the database read.
    pub(crate) allowance: Allowance,
    /// It was asked in this run for the backup that it keeps.
    pub(crate) was_recalled: bool,
    /// It was asked for it on this connection, and has not answered yet.
    pub(crate) owes_backup: bool,
}

/// The last epoch of an account that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// Nothing is signed in this epoch or one before it again.
    pub epoch: u64,
}

/// What we have agreed to when a friend lost its key. The rows of its accounts with the lost key stay as evidence, where no
/// running node sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement(pub Verified<KeyReplacement>);

impl Row for FriendRecord {
    const KIND: Kind = Kind::state(16, "friends");
    type Key = PublicKey;

    fn write(&self, fields: &mut FieldWriter) {
        fields.with(2, |encoder| encoder.text(&self.name));
        fields.with(4, |encoder| encoder.list(&self.relays));
        fields.with(6, |encoder| encode_optional_address(encoder, self.address.as_ref()));
        fields.with(8, |encoder| {
            encoder.u8(match self.standing {
                Standing::Enabled => 0,
                Standing::Disabling => 1,
                Standing::Removing { forgives: false } => 2,
                Standing::Disabled => 3,
                Standing::Removing { forgives: true } => 4,
            });
        });
        fields.with(10, |encoder| {
            encoder.count(self.rates.len());
            for (currency, rate) in &self.rates {
                encoder.value(currency);
                encoder.value(rate);
            }
        });
        fields.with(12, |encoder| {
            encoder.count(self.auto_write_offs.len());
            for (currency, up_to) in &self.auto_write_offs {
                encoder.value(currency);
                encoder.value(up_to);
            }
        });
    }

    fn read(_: &PublicKey, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(FriendRecord {
            name: fields.with(2, |decoder| decoder.text(NAME_BYTES_MAX, "a name"))?,
            relays: fields.with(4, |decoder| decoder.list(RELAYS_MAX, "a list of relays"))?,
            address: fields.with(6, decode_optional_address)?,
            standing: fields.with(8, |decoder| {
                Ok(match decoder.u8()? {
                    0 => Standing::Enabled,
                    1 => Standing::Disabling,
                    2 => Standing::Removing { forgives: false },
                    3 => Standing::Disabled,
                    4 => Standing::Removing { forgives: true },
                    _ => return Err(DecodeError::invalid("a friend's standing")),
                })
            })?,
            rates: fields.with(10, |decoder| {
                let count = decoder.count(CURRENCIES_MAX, "rates")?;
                (0..count).map(|_| Ok((decoder.value()?, decoder.value()?))).collect()
            })?,
            auto_write_offs: fields.with(12, |decoder| {
                let count = decoder.count(CURRENCIES_MAX, "settings of an account")?;
                (0..count).map(|_| Ok((decoder.value()?, decoder.value()?))).collect()
            })?,
        })
    }
}

/// Only what the owner has told is stored.
impl Row for Friend {
    const KIND: Kind = FriendRecord::KIND;
    type Key = PublicKey;

    fn write(&self, fields: &mut FieldWriter) {
        self.record.write(fields);
    }

    fn read(key: &PublicKey, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        FriendRecord::read(key, fields).map(Friend::new)
    }
}

impl Row for Tombstone {
    const KIND: Kind = Kind::state(18, "removed accounts");
    type Key = AccountId;

    fn write(&self, fields: &mut FieldWriter) {
        fields.with(2, |encoder| encoder.u64(self.epoch));
    }

    fn read(_: &AccountId, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Tombstone { epoch: fields.with(2, Decoder::u64)? })
    }
}

/// By the lost key.
impl Row for Replacement {
    const KIND: Kind = Kind::state(20, "key replacements");
    type Key = PublicKey;

    fn write(&self, fields: &mut FieldWriter) {
        fields.with(2, |encoder| encoder.fixed(self.0.wire()));
    }

    fn read(_: &PublicKey, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        fields.with(2, |decoder| {
            let wire = decoder.rest(KeyReplacement::BYTES_MAX, "a key replacement")?;
            Ok(Replacement(Unverified::<KeyReplacement>::from_wire(wire)?.trust_own_database()))
        })
    }
}
