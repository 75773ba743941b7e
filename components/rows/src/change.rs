//! The rows that a transaction writes.

use crate::error::RowError;
use crate::fields::UnknownFields;
use crate::kind::Kind;
use crate::row::{Row, RowKey};

/// One row that a transaction has to write: all that a store has to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// What it is.
    pub kind: Kind,
    /// What names it among the rows of its kind.
    pub key: Vec<u8>,
    /// What it is from now on; none: it is gone.
    pub value: Option<Vec<u8>>,
    /// Of a [listed](crate::Keeping::Listed) row: it is history from now on.
    pub has_ended: bool,
}

/// A change as the type of its row has it: the key, and the value unless it goes.
pub type ReadChange<T> = (<T as Row>::Key, Option<T>);

impl RowChange {
    /// A row that is written, or written anew.
    pub fn put<T: Row>(key: &T::Key, value: &T) -> RowChange {
        RowChange::keep(key, value, &UnknownFields::default())
    }

    /// The same with fields that this version does not know.
    pub(crate) fn keep<T: Row>(key: &T::Key, value: &T, unknown: &UnknownFields) -> RowChange {
        RowChange {
            kind: T::KIND,
            key: key.to_bytes(),
            value: Some(value.to_bytes(unknown)),
            has_ended: value.has_ended(),
        }
    }

    /// A row that goes.
    pub fn remove<T: Row>(key: &T::Key) -> RowChange {
        RowChange { kind: T::KIND, key: key.to_bytes(), value: None, has_ended: false }
    }

    /// The row as its type has it: the key, and the value unless it goes. None: it is a row of another type.
    ///
    /// # Errors
    /// Key or value are not what was written.
    pub fn read<T: Row>(&self) -> Result<Option<ReadChange<T>>, RowError> {
        if self.kind != T::KIND {
            return Ok(None);
        }
        let key = T::Key::from_bytes(&self.key).map_err(RowError::damaged(T::KIND.name))?;
        let value = self.value.as_ref().map(|value| T::from_bytes(&key, value)).transpose()?;
        Ok(Some((key, value.map(|(value, _)| value))))
    }

    /// A row whose value is bytes that somebody has signed or sealed: it has no fields, and none can be added.
    pub fn bytes(kind: Kind, key: Vec<u8>, value: Option<Vec<u8>>) -> RowChange {
        RowChange { kind, key, value, has_ended: false }
    }
}

/// Writes a batch's changes in one transaction.
pub trait Commit {
    /// Why it could not.
    type Error;

    /// Makes all changes durable, in their order, or none.
    ///
    /// # Errors
    /// The disk failed. The process must end: a restart loads what is durable.
    fn commit(&mut self, changes: &[RowChange]) -> Result<(), Self::Error>;
}
