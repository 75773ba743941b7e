//! The node's database: one SQLite file, written in one transaction a batch.
//!
//! | file | what it holds |
//! |---|---|
//! | `schema.sql`, `schema2.sql` | the tables, and what a later version has added |
//! | `database` | opening and creating the file, and its settings |
//! | `checksum` | the checksum at the end of every row |
//! | `load` | all rows that a running node needs |
//! | `write` | one batch in one transaction |
//! | `history` | payments, invoices and what was carried on or received, page by page |
//! | `archive` | what is looked up for friends who have forgotten it |
//! | `friend_statement` | what proves to others how the accounts with a friend stand |
//! | `structure` | whether file and rows are what was written |
//! | `log_file` | whether the log beside the file is what was written |
//! | `audit` | whether what the rows say follows from what was signed |
//! | `seal` | whether the whole file is what the node left when it stopped |
//! | `copy` | backups, and putting one in the place of a database |
//! | `error` | what can go wrong, in sentences |

mod archive;
mod audit;
mod checksum;
mod copy;
mod database;
mod error;
mod friend_statement;
mod history;
mod load;
mod log_file;
mod seal;
mod structure;
mod write;

pub use audit::{Audit, AuditedAccount};
pub use database::Store;
pub use error::StoreError;
pub use history::History;
pub use offst_ledger::{MadeStatement, Proof, Proven};
pub use seal::Seal;
