//! Keys that friends have lost.

use super::friend::Balance;
use crate::Verified;
use crate::app::message::{Message, MessageError};
use crate::key_replacement::KeyReplacement;
use crate::wire::app_capnp::reports::key_replacements_results as wire;
use offst_crypto::PublicKey;
use serde::Serialize;

/// What the node has signed when friends lost their keys, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReplacements {
    /// The signed bytes of a [`KeyReplacement`] each.
    pub records: Vec<Vec<u8>>,
}

impl Message for SignedReplacements {
    type Wire = wire::Owned;

    fn write(&self, builder: wire::Builder<'_>) {
        let mut list = builder.init_records(crate::app::message::length(&self.records));
        for (position, record) in (0..).zip(&self.records) {
            list.set(position, record);
        }
    }

    fn read(reader: wire::Reader<'_>) -> Result<Self, MessageError> {
        let records = reader.get_records()?.iter().map(|record| Ok(record?.to_vec()));
        Ok(SignedReplacements { records: records.collect::<Result<_, MessageError>>()? })
    }
}

/// A key that a friend has lost, and what the node has agreed to when the friend went on under another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyReplacementReport {
    /// The lost key. It is never accepted again.
    #[serde(serialize_with = "crate::json::text")]
    pub lost_key: PublicKey,
    /// The key that its accounts go on under.
    #[serde(serialize_with = "crate::json::text")]
    pub public_key: PublicKey,
    /// When that was signed, unix ms.
    pub time_ms: u64,
    /// The balances that go on.
    pub balances: Vec<Balance>,
    /// What the node has signed, as hexadecimal digits.
    pub record: String,
}

impl From<&Verified<KeyReplacement>> for KeyReplacementReport {
    fn from(replacement: &Verified<KeyReplacement>) -> Self {
        let balances = replacement.accounts.iter();
        KeyReplacementReport {
            lost_key: replacement.lost,
            public_key: replacement.new_key,
            time_ms: replacement.time_ms,
            balances: balances
                .map(|account| Balance { currency: account.currency.clone(), balance: account.balance })
                .collect(),
            record: replacement.wire().iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}
