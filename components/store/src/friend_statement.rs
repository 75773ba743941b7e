//! What proves to others how the accounts with a friend stand, made from their rows beside the writer.

use crate::error::StoreError;
use crate::history::History;
use crate::load::{Bytes, load_accounts, public_key, value};
use offst_crypto::{Ed25519Verifier, PublicKey};
use offst_funder::FriendRecord;
use offst_ledger::{MadeStatement, NoStatement, friend_statement};
use offst_proto::Currency;
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
        let accounts = load_accounts(&transaction, Some(friend))?.into_iter();
        let accounts: Vec<_> = accounts
            .map(|(_, line, image)| (line.currency, image))
            .filter(|(of, _)| currency.is_none_or(|currency| currency == of))
            .collect();
        drop(transaction);
        if let (Some(currency), true) = (currency, accounts.is_empty()) {
            return Ok(Err(format!("there is no account in {currency} with \"{name}\"")));
        }
        Ok(match friend_statement(node, friend, accounts, &Ed25519Verifier) {
            Ok(made) => Ok(made),
            Err(NoStatement::Damaged { currency, error }) => {
                return Err(StoreError::damaged(&format!("the account in {currency}"))(error));
            }
            Err(error) => Err(error.to_string()),
        })
    }
}

fn friend_of_name(connection: &Connection, name: &str) -> Result<Option<PublicKey>, StoreError> {
    let mut friends = connection.prepare_cached("SELECT public_key, record FROM friend")?;
    let mut rows = friends.query([])?;
    while let Some(row) = rows.next()? {
        let record: FriendRecord = value("a friend", &row.get::<_, Bytes>(1)?)?;
        if record.name == name {
            return public_key(&row.get::<_, Bytes>(0)?).map(Some);
        }
    }
    Ok(None)
}
