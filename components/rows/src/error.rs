//! Why a row cannot be read.

use offst_proto::encoding::DecodeError;

/// Why a row cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Its key or its value is not what was written.
    #[error("{kind}: {error}")]
    Damaged {
        /// The kind's name.
        kind: &'static str,
        /// What is wrong.
        error: DecodeError,
    },
    /// A later version has written something that must not be ignored.
    #[error(
        "{kind} hold a field ({tag}) that this version of Offst does not know: use the version that has written the database"
    )]
    UnknownField {
        /// The kind's name.
        kind: &'static str,
        /// The field's tag, an even one.
        tag: u8,
    },
    /// A later version has written a kind of row that must not be ignored.
    #[error("rows of the kind {0} are unknown to this version of Offst: use the version that has written the database")]
    UnknownKind(u16),
    /// Two rows that are fine alone do not belong together.
    #[error("{0}")]
    Unfit(&'static str),
}

impl RowError {
    /// [`RowError::Damaged`], for rows of a kind with this name.
    pub fn damaged(kind: &'static str) -> impl Fn(DecodeError) -> RowError {
        move |error| RowError::Damaged { kind, error }
    }
}
