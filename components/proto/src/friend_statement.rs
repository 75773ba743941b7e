//! Friend statements: what proves to a third person how the accounts between a node and its friend stood, by signatures
//! alone (protocol section 1, *Friend statements*).
//!
//! It holds for each account what the two would show each other, see [`crate::friend::Evidence`]. What it proves is for
//! those who know the rules of an account to say; here it is only taken apart.

use crate::friend::EvidenceCheckpoint;
use crate::limits::{CHECKPOINT_BYTES_MAX, CURRENCIES_MAX, FRIEND_STATEMENT_BYTES_MAX};
use crate::opening::Opening;
use crate::statement::Statement;
use crate::{Currency, Signable, Unverified};
use offst_crypto::{PublicKey, base64_text, parse_bounded_base64_text};
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// What a node shows of its accounts with one friend. It means something only after its signatures and rules were
/// checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FriendStatement {
    /// Who shows it.
    pub node: PublicKey,
    /// Whose word it is.
    pub friend: PublicKey,
    /// The accounts, at least one, in the order of their currencies.
    pub accounts: Vec<AccountEvidence>,
}

/// What both have signed of the newest epoch of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountEvidence {
    /// The account's currency.
    pub currency: Currency,
    /// The Openings that the epoch rests on, the node's and the friend's.
    pub openings: [Unverified<Opening>; 2],
    /// Where the statements start; none: with the epoch. The node is the sender.
    pub checkpoint: Option<EvidenceCheckpoint>,
    /// The statements of both, each side's in the order of their seq.
    pub statements: Vec<Unverified<Statement>>,
}

/// Why a file is not a friend statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a friend statement: {0}")]
pub struct NotAFriendStatement(String);

impl FriendStatement {
    /// The text of a file.
    pub fn to_toml(&self) -> String {
        let file = File {
            node: self.node.to_string(),
            friend: self.friend.to_string(),
            accounts: self.accounts.iter().map(AccountEntry::from).collect(),
        };
        let text = toml::to_string(&file).expect("a friend statement is a table with a list of flat tables");
        format!("# An Offst friend statement. `stctrl verify statement` says what it proves.\n{text}")
    }

    /// Reads the text of a file. Nothing is verified yet.
    ///
    /// # Errors
    /// It is too large, or not what [`FriendStatement::to_toml`] writes; says what is wrong.
    pub fn from_toml(text: &str) -> Result<Self, NotAFriendStatement> {
        if text.len() > FRIEND_STATEMENT_BYTES_MAX {
            return Err(NotAFriendStatement("the file is too large".into()));
        }
        let file: File = crate::toml_text::from_toml(text).map_err(NotAFriendStatement)?;
        if !(1..=CURRENCIES_MAX).contains(&file.accounts.len()) {
            return Err(NotAFriendStatement(format!("it has 1 to {CURRENCIES_MAX} accounts")));
        }
        let accounts = file.accounts.into_iter().map(AccountEntry::into_evidence).collect::<Result<Vec<_>, _>>()?;
        if !accounts.is_sorted_by(|one, next| one.currency < next.currency) {
            return Err(NotAFriendStatement("its accounts are not in the order of their currencies".into()));
        }
        Ok(FriendStatement {
            node: file.node.parse().map_err(|error| wrong("node", error))?,
            friend: file.friend.parse().map_err(|error| wrong("friend", error))?,
            accounts,
        })
    }
}

fn wrong(field: &str, error: impl Display) -> NotAFriendStatement {
    NotAFriendStatement(format!("{field}: {error}"))
}

/// The file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    node: String,
    friend: String,
    accounts: Vec<AccountEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountEntry {
    currency: String,
    node_opening: String,
    friend_opening: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint_by: Option<Author>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
    statements: Vec<String>,
}

/// Whose checkpoint it is.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Author {
    Node,
    Friend,
}

impl From<&AccountEvidence> for AccountEntry {
    fn from(evidence: &AccountEvidence) -> Self {
        let checkpoint = evidence.checkpoint.as_ref();
        AccountEntry {
            currency: evidence.currency.to_string(),
            node_opening: base64_text(evidence.openings[0].wire()),
            friend_opening: base64_text(evidence.openings[1].wire()),
            checkpoint_by: checkpoint.map(|point| if point.by_sender { Author::Node } else { Author::Friend }),
            checkpoint: checkpoint.map(|point| base64_text(&point.set)),
            statements: evidence.statements.iter().map(|statement| base64_text(statement.wire())).collect(),
        }
    }
}

impl AccountEntry {
    fn into_evidence(self) -> Result<AccountEvidence, NotAFriendStatement> {
        let checkpoint = match (self.checkpoint_by, self.checkpoint) {
            (None, None) => None,
            (Some(author), Some(set)) => {
                let set = parse_bounded_base64_text(&set, CHECKPOINT_BYTES_MAX);
                let set = set.map_err(|error| wrong("checkpoint", error))?;
                Some(EvidenceCheckpoint { by_sender: matches!(author, Author::Node), set })
            }
            _ => return Err(wrong("checkpoint", "a checkpoint has an author")),
        };
        let statements = self.statements.iter().map(|text| signed("statements", text)).collect::<Result<_, _>>()?;
        Ok(AccountEvidence {
            currency: self.currency.parse().map_err(|error| wrong("currency", error))?,
            openings: [signed("node_opening", &self.node_opening)?, signed("friend_opening", &self.friend_opening)?],
            checkpoint,
            statements,
        })
    }
}

fn signed<T: Signable>(field: &str, text: &str) -> Result<Unverified<T>, NotAFriendStatement> {
    let wire = parse_bounded_base64_text(text, T::BYTES_MAX).map_err(|error| wrong(field, error))?;
    Unverified::from_wire(&wire).map_err(|error| wrong(field, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verified;
    use crate::statement::{Operation, Totals};
    use crate::test_values::identity;
    use offst_crypto::{Identity, sha256};
    use proptest::prelude::*;

    fn unverified<T: Signable>(value: T, signer: &Identity) -> Unverified<T> {
        Unverified::from_wire(Verified::sign(value, signer).wire()).unwrap()
    }

    fn evidence(currency: &str) -> AccountEvidence {
        let opening = |author: u8, other: u8, balance| {
            let opening = Opening {
                author: identity(author).public_key(),
                other: identity(other).public_key(),
                currency: currency.parse().unwrap(),
                epoch: 0,
                balance,
                continuing: vec![],
                accepts: None,
            };
            unverified(opening, &identity(author))
        };
        let statement = Statement {
            author: identity(2).public_key(),
            other: identity(1).public_key(),
            currency: currency.parse().unwrap(),
            epoch: 0,
            seq: 1,
            prev_hash: sha256(b"agreement"),
            ack_seq: 0,
            ack_hash: sha256(b"agreement"),
            operations: vec![Operation::SetLimit(5.into())],
            totals: Totals::default(),
            pending_hash: None,
        };
        AccountEvidence {
            currency: currency.parse().unwrap(),
            openings: [opening(1, 2, 5), opening(2, 1, -5)],
            checkpoint: None,
            statements: vec![unverified(statement, &identity(2))],
        }
    }

    fn friend_statement() -> FriendStatement {
        let checkpoint = Some(EvidenceCheckpoint { by_sender: false, set: vec![1, 2, 3] });
        FriendStatement {
            node: identity(1).public_key(),
            friend: identity(2).public_key(),
            accounts: vec![evidence("credit"), AccountEvidence { checkpoint, ..evidence("hours") }],
        }
    }

    #[test]
    fn a_file_says_what_was_written() {
        let statement = friend_statement();
        assert_eq!(FriendStatement::from_toml(&statement.to_toml()), Ok(statement.clone()));
        let hours = FriendStatement { accounts: statement.accounts[1..].to_vec(), ..statement };
        insta::assert_snapshot!(hours.to_toml(), @r#"
    # An Offst friend statement. `stctrl verify statement` says what it proves.
    node = "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w"
    friend = "gTl3Dqh9F19Wo1Rmw0x-zMuNipG07jeiXfYPW4_Js5Q"

    [[accounts]]
    currency = "hours"
    node_opening = "AAAAD29mZnN0L29wZW5pbmcvMYqI4910CfGV_VLbLTy6XXLKZwm_HZQSG_N0iAG0D29cgTl3Dqh9F19Wo1Rmw0x-zMuNipG07jeiXfYPW4_Js5QAAAAFaG91cnMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAUAAAAAACcbrV9SgGeIb4Eps4pPTeJjeTjkt7hTcb__lfn473r8FAg7knj5maJGyp16X_UmdUzsc3gGjoQyoCI3yGsExgI"
    friend_opening = "AAAAD29mZnN0L29wZW5pbmcvMYE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOUiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1wAAAAFaG91cnMAAAAAAAAAAP____________________sAAAAAANtY3Lu82N0tKtzltKqhQZ-6WSQwtlD_4jiJMfBjT-e94Axx923kVGc3SudBsGWtWaeiIZUCrtwnRUNECNCDNA8"
    checkpoint_by = "friend"
    checkpoint = "AQID"
    statements = ["AAAAEW9mZnN0L3N0YXRlbWVudC8xgTl3Dqh9F19Wo1Rmw0x-zMuNipG07jeiXfYPW4_Js5SKiOPddAnxlf1S2y08ul1yymcJvx2UEhvzdIgBtA9vXAAAAAVob3VycwAAAAAAAAAAAAAAAAAAAAFGqBc5xu58HV7QhOfehDp-15Q1zURVE-TdXE5aw5X7SwAAAAAAAAAARqgXOcbufB1e0ITn3oQ6fteUNc1EVRPk3VxOWsOV-0sAAAABBgAAAAAAAAAAAAAAAAAAAAUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAKEnnMtvHhw2xuRFYlf6_TrJTKMFYSHgxBiQOFTUD5A5iMDEFLEyHh5HTBZVZleD-Rt7a9SoCxGYJxJM-GYZsBg"]
    "#);
    }

    #[test]
    fn wrong_files_are_refused_in_a_sentence() {
        let text = friend_statement().to_toml();
        for (wrong, error) in [
            (text.replace("node =", "mode ="), "unknown field `mode`"),
            (text.replace("\"credit\"", "\"hours\""), "not in the order of their currencies"),
            (text.replace("\"credit\"", "\"Credit\""), "currency: "),
            (text.replace("checkpoint_by = \"friend\"\n", ""), "checkpoint: a checkpoint has an author"),
            (text.replace("checkpoint = \"AQID\"", "checkpoint = \"AQI+\""), "checkpoint: it is not URL-safe base64"),
            (text.replace("statements = [\"", "statements = [\"AAAA"), "statements: "),
            (text.replace("friend_opening = \"", "friend_opening = \"AAAA"), "friend_opening: "),
            (text.split("[[").next().unwrap().to_owned() + "accounts = []", "it has 1 to 8 accounts"),
            (text.clone() + &"#".repeat(FRIEND_STATEMENT_BYTES_MAX), "the file is too large"),
            (String::new(), "missing field `node`"),
        ] {
            let refused = FriendStatement::from_toml(&wrong).unwrap_err().to_string();
            assert!(refused.starts_with("this is not a friend statement: "), "{refused}");
            assert!(refused.contains(error) && refused.lines().count() == 1, "{refused}");
        }
    }

    proptest! {
        #[test]
        fn changed_files_are_read_or_refused(at in any::<prop::sample::Index>(), to in any::<char>()) {
            let text = friend_statement().to_toml();
            let mut letters: Vec<char> = text.chars().collect();
            letters[at.index(text.len())] = to;
            let _ = FriendStatement::from_toml(&String::from_iter(letters));
            let _ = FriendStatement::from_toml(&text[..at.index(text.len())]);
        }
    }
}
