//! What proves to others how the accounts with a friend stand, made from their rows beside the writer.

use crate::error::StoreError;
use crate::history::{History, decoded, rows_where};
use crate::load::rows_with_prefix;
use offst_crypto::{Ed25519Verifier, PublicKey};
use offst_funder::FriendRecord;
use offst_ledger::{ACCOUNT_KINDS, AccountImage, MadeStatement, NoStatement, friend_statement, stored_accounts};
use offst_proto::Currency;
use offst_rows::{Row, RowError, RowKey};
use rusqlite::Connection;

impl History {
    /// The statement of `node`, whose database this is, about its accounts with the friend of this name: all of them, or the one
    /// in `currency`. The reply is a sentence when there is none.
    ///
    /// # Errors
    /// The disk failed or a row is damaged.
    pub fn friend_statement(
        &self,
        node: PublicKey,
        name: &str,
        currency: Option<&Currency>,
    ) -> Result<Result<MadeStatement, String>, StoreError> {
        // All rows as they were in one moment. Reading only, it is dropped at the end.
        let transaction = self.connection.unchecked_transaction()?;
        let Some(friend) = friend_of_name(&transaction, name)? else {
            return Ok(Err(format!("there is no friend named \"{name}\": see `info friends`")));
        };
        let rows = rows_with_prefix(&transaction, &ACCOUNT_KINDS, &friend.to_bytes())?;
        drop(transaction);
        let accounts = stored_accounts(&rows)?.into_iter();
        let accounts = accounts.filter(|account| currency.is_none_or(|currency| *currency == account.currency));
        let accounts = accounts.map(|account| Ok((account.currency.clone(), AccountImage::of(&account, &rows)?)));
        let accounts: Vec<_> = accounts.collect::<Result<_, RowError>>()?;
        if let (Some(currency), true) = (currency, accounts.is_empty()) {
            return Ok(Err(format!("there is no account in {currency} with \"{name}\"")));
        }
        Ok(match friend_statement(node, friend, accounts, &Ed25519Verifier) {
            Ok(made) => Ok(made),
            Err(NoStatement::Damaged { currency, error }) => {
                return Err(StoreError::Unsound(vec![format!("the account in {currency}: {error}")]));
            }
            Err(error) => Err(error.to_string()),
        })
    }
}

fn friend_of_name(connection: &Connection, name: &str) -> Result<Option<PublicKey>, StoreError> {
    let mut found = None;
    rows_where(connection, FriendRecord::KIND, "true", [FriendRecord::KIND.number], |row| {
        let record: FriendRecord = decoded(&row)?;
        if record.name == name {
            found =
                Some(<PublicKey as RowKey>::from_bytes(row.key).map_err(RowError::damaged(FriendRecord::KIND.name))?);
        }
        Ok(())
    })?;
    Ok(found)
}
