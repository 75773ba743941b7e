//! What a friend statement proves, for people and for programs.

use crate::outcome::{Failure, Outcome};
use offst_crypto::{Ed25519Verifier, PublicKey};
use offst_ledger::{Acknowledged, acknowledged};
use offst_proto::Currency;
use offst_proto::friend_statement::FriendStatement;
use serde::Serialize;

/// What signatures do not say.
const NO_TIME: &str =
    "No time is signed: it was so when the friend signed this, and newer statements may say something else.";

/// What it proves of each account.
///
/// # Errors
/// It proves nothing (exit code 1).
pub(super) fn check(statement: &FriendStatement) -> Outcome<Vec<Acknowledged>> {
    let FriendStatement { node, friend, accounts } = statement;
    let proven = accounts.iter().map(|evidence| {
        acknowledged(*node, *friend, evidence.clone(), &Ed25519Verifier).map_err(|error| {
            Failure::failed(format!("the statement is not valid: the account in {}: {error}", evidence.currency))
        })
    });
    proven.collect()
}

/// What programs read.
#[derive(Debug, Serialize)]
pub(super) struct StatementDocument {
    valid: bool,
    #[serde(serialize_with = "offst_proto::json::text")]
    node: PublicKey,
    #[serde(serialize_with = "offst_proto::json::text")]
    friend: PublicKey,
    accounts: Vec<AccountDocument>,
    /// Whether all that the friend has signed is more than the file holds; not known when the file alone is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    shortened: Option<bool>,
}

/// What is proven of one account. A balance is positive when the friend owes the node.
#[derive(Debug, Serialize)]
struct AccountDocument {
    currency: Currency,
    #[serde(serialize_with = "offst_proto::json::text")]
    balance: i128,
    epoch: u64,
    statement: u64,
    acknowledges: u64,
    #[serde(serialize_with = "offst_proto::json::text")]
    node_pending_debt: u128,
    #[serde(serialize_with = "offst_proto::json::text")]
    friend_pending_debt: u128,
    #[serde(serialize_with = "offst_proto::json::text")]
    friend_committed: u128,
    #[serde(serialize_with = "offst_proto::json::text")]
    collected: u128,
}

impl From<&Acknowledged> for AccountDocument {
    fn from(account: &Acknowledged) -> Self {
        AccountDocument {
            currency: account.currency.clone(),
            balance: account.balance,
            epoch: account.epoch,
            statement: account.seq,
            acknowledges: account.acknowledges,
            node_pending_debt: account.node_pending,
            friend_pending_debt: account.friend_pending,
            friend_committed: account.committed,
            collected: account.collected,
        }
    }
}

pub(super) fn document(
    statement: &FriendStatement,
    proven: &[Acknowledged],
    shortened: Option<bool>,
) -> StatementDocument {
    let accounts = proven.iter().map(AccountDocument::from).collect();
    StatementDocument { valid: true, node: statement.node, friend: statement.friend, accounts, shortened }
}

/// The text for people: who is meant, then a line for each account and what else is known of it.
pub(super) fn text(statement: &FriendStatement, proven: &[Acknowledged]) -> String {
    let mut lines = vec![format!("node:   {}", statement.node), format!("friend: {}", statement.friend)];
    lines.extend(proven.iter().flat_map(account_lines));
    lines.push(NO_TIME.to_owned());
    lines.join("\n") + "\n"
}

fn account_lines(account: &Acknowledged) -> Vec<String> {
    let Acknowledged { currency, epoch, seq, balance, .. } = account;
    let owes = match balance.signum() {
        1 => format!("the friend owes the node {balance}"),
        -1 => format!("the node owes the friend {}", balance.unsigned_abs()),
        _ => "neither owes the other anything".to_owned(),
    };
    let signed = match seq {
        0 => format!("the opening of epoch {epoch}"),
        seq => format!("statement {seq} of epoch {epoch}"),
    };
    let mut lines = vec![format!("{currency}: {owes}, by the friend's signature on {signed}")];
    let (by_node, by_friend) = (account.node_pending, account.friend_pending);
    if by_node > 0 || by_friend > 0 {
        let committed = account.committed;
        lines.push(format!(
            "    pending: {by_friend} of the friend's requests, of which it has committed to pay {committed}; {by_node} of \
             the node's"
        ));
    }
    if account.collected > 0 {
        lines.push(format!(
            "    the friend owes {} more: it has committed to pay them, and the preimages are shown here",
            account.collected
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;

    fn account() -> Acknowledged {
        Acknowledged {
            currency: Default::default(),
            epoch: 3,
            seq: 12,
            acknowledges: 9,
            balance: 351,
            node_pending: 3,
            friend_pending: 22,
            committed: 15,
            collected: 8,
        }
    }

    fn statement() -> FriendStatement {
        let key = |seed| Identity::from_seed([seed; 32]).public_key();
        FriendStatement { node: key(1), friend: key(2), accounts: vec![] }
    }

    #[test]
    fn people_read_who_owes_whom_by_whose_signature() {
        let hours = Acknowledged {
            currency: "hours".parse().unwrap(),
            seq: 0,
            balance: -7,
            node_pending: 0,
            friend_pending: 0,
            collected: 0,
            ..account()
        };
        let expected = "\
            node:   iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w\n\
            friend: gTl3Dqh9F19Wo1Rmw0x-zMuNipG07jeiXfYPW4_Js5Q\n\
            credit: the friend owes the node 351, by the friend's signature on statement 12 of epoch 3\n    \
                pending: 22 of the friend's requests, of which it has committed to pay 15; 3 of the node's\n    \
                the friend owes 8 more: it has committed to pay them, and the preimages are shown here\n\
            hours: the node owes the friend 7, by the friend's signature on the opening of epoch 3\n\
            No time is signed: it was so when the friend signed this, and newer statements may say something else.\n";
        assert_eq!(text(&statement(), &[account(), hours.clone()]), expected);
        let even = Acknowledged { balance: 0, ..hours };
        assert!(text(&statement(), &[even]).contains("hours: neither owes the other anything, by"));
    }
}
