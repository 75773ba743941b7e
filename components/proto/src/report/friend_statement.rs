//! Proofs of debt for others.

use crate::Currency;
use crate::app::codec::codec;
use crate::app::message::{Message, MessageError};
use crate::encoding::DecodeError;
use crate::friend_statement::FriendStatement;
use crate::wire::app_capnp as wire;

/// Asks for a friend statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FriendStatementQuery {
    /// The friend, by the owner's name.
    pub name: String,
    /// Only the account in this currency.
    pub currency: Option<Currency>,
}

codec! {
    FriendStatementQuery as reports::friend_statement_params {
        fields {
            name as Name: get_name, set_name;
            currency: get_currency, set_currency;
        }
    }
}

/// What proves to others how the accounts with a friend stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FriendStatementReport {
    /// What the file holds.
    pub statement: FriendStatement,
    /// All that the friend has signed is more than a file holds: it ends with an earlier statement of the friend's.
    pub is_shortened: bool,
}

impl Message for FriendStatementReport {
    type Wire = wire::friend_statement::Owned;

    fn write(&self, mut builder: wire::friend_statement::Builder<'_>) {
        builder.set_file(self.statement.to_toml());
        builder.set_shortened(self.is_shortened);
    }

    fn read(reader: wire::friend_statement::Reader<'_>) -> Result<Self, MessageError> {
        let file = reader.get_file()?.to_str().map_err(DecodeError::from)?;
        let statement = FriendStatement::from_toml(file).map_err(|_| DecodeError::invalid("a friend statement"))?;
        Ok(FriendStatementReport { statement, is_shortened: reader.get_shortened() })
    }
}
