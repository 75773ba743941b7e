//! The node's database: one SQLite file, written in one transaction a batch. It keeps rows of whatever kinds (`offst-rows`), and
//! knows what they mean only where people page through them.
//!
//! | file | what it holds |
//! |---|---|
//! | `schema.sql` | the tables |
//! | `tables` | which table rows of a kind are in |
//! | `database` | opening and creating the file, its settings, what later versions add |
//! | `checksum` | the checksum at the end of every row |
//! | `kinds` | how many rows each kind has, and the sum of their checksums |
//! | `scan` | tables from one end to the other, against both |
//! | `load` | all rows that a running node needs |
//! | `write` | one batch in one transaction |
//! | `history` | payments, invoices and what was carried on or received, page by page |
//! | `archive` | what is looked up for friends who have forgotten it |
//! | `friend_statement` | what proves to others how the accounts with a friend stand |
//! | `structure` | whether file and rows are what was written |
//! | `log_file` | whether the log beside the file is what was written |
//! | `audit` | the same, and whether what the rows say follows from what was signed |
//! | `seal` | whether the whole file is what the node left when it stopped |
//! | `copy` | backups, and putting one in the place of a database |
//! | `files` | the names of files beside a database |
//! | `error` | what can go wrong, in sentences |

mod archive;
mod audit;
mod checksum;
mod copy;
mod database;
mod error;
mod files;
mod friend_statement;
mod history;
mod kinds;
mod load;
mod log_file;
mod scan;
mod seal;
mod structure;
mod tables;
mod write;

pub use audit::Audit;
pub use database::Store;
pub use error::StoreError;
pub use history::History;
pub use offst_funder::AuditedAccount;
pub use offst_ledger::{MadeStatement, Proof, Proven};
pub use seal::Seal;
