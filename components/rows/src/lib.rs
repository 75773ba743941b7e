//! What a node stores: rows. A row has a kind, a key and a value; a transaction is a list of rows to write. A store needs to know
//! nothing else, and nobody who owns a row needs to know the store.
//!
//! ```text
//! Table (marks what changes) -> RowChange -> Commit (one transaction)
//! the store's rows at a start -> Rows -> Table
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `kind` | what a row is: a number, a name, and how it is kept |
//! | `fields` | tagged values: a field can be added later, and one that is unknown is kept |
//! | `row` | the trait of everything that is stored, and its keys |
//! | `table` | the rows of one kind in memory, which mark their changes by themselves |
//! | `change` | the rows that a transaction writes |
//! | `memory` | all rows of a node in memory, as a store keeps them |
//! | `error` | why a row cannot be read |

mod change;
mod error;
mod fields;
mod kind;
mod memory;
mod row;
mod table;

pub use change::{Commit, ReadChange, RowChange};
pub use error::RowError;
pub use fields::{FieldReader, FieldWriter, UnknownFields};
pub use kind::{Keeping, Kind};
pub use memory::Rows;
pub use row::{Row, RowKey};
pub use table::Table;
