//! The command `check`.

use super::node_folder::{existing, public_key};
use crate::outcome::{self, Failure, Outcome, say, write_out};
use clap::Args;
use offst_crypto::PublicKey;
use offst_store::{Audit, AuditedAccount, Proven, Store, StoreError};
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The node's folder [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Check this backup of the node's database instead; the node may be running
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Audits the database and prints what was found. Exit code 0: sound.
pub(super) fn check(Check { dir, input, json }: Check) -> Outcome {
    let folder = existing(dir)?;
    let node = public_key(&folder)?;
    let own = folder.file("db");
    let path = input.unwrap_or_else(|| own.clone());
    // The node's own database, also under another name: while the node writes, it looks like a damaged one.
    let is_own = path == own || own.canonicalize().is_ok_and(|own| path.canonicalize().is_ok_and(|path| path == own));
    let lock = if is_own { Some(folder.lock()?) } else { None };
    let audit = Store::audit(&path, node).map_err(|error| match error {
        StoreError::Missing(_)
        | StoreError::Foreign(_)
        | StoreError::Unreleased(_)
        | StoreError::Newer(_)
        | StoreError::Unopened(_) => Failure::input(error),
        StoreError::OtherNode { .. } => Failure::input(format_args!("{}: {error}", path.display())),
        // That it is damaged is what a check finds.
        error => Failure::failed(format_args!("{} cannot be checked: {error}", path.display())),
    })?;
    drop(lock);
    let wrong = audit.faults.len() + audit.accounts.iter().filter(|account| account.finding.is_err()).count();
    let document = AuditDocument::from(&audit);
    if audit.is_sound() {
        let document = serde_json::to_value(document).map_err(Failure::failed)?;
        return if json { say(document) } else { write_out(&text(&audit)) };
    }
    if !json {
        write_out(&text(&audit))?;
    }
    let message = format!(
        "{} is not sound ({wrong} findings): put a backup back, or let the friends show what they know",
        path.display()
    );
    Err(Failure::failed(message).with_document(&document))
}

/// What programs read.
#[derive(Debug, Serialize)]
struct AuditDocument<'a> {
    sound: bool,
    rows: u64,
    sealed: bool,
    faults: &'a [String],
    notes: &'a [String],
    accounts: Vec<AccountDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct AccountDocument<'a> {
    friend: &'a str,
    #[serde(serialize_with = "offst_proto::json::text")]
    public_key: PublicKey,
    currency: &'a str,
    sound: bool,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'a str>,
    /// What signatures prove; missing before an epoch has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    proven: Option<ProvenDocument>,
}

#[derive(Debug, Serialize)]
struct ProvenDocument {
    epoch: u64,
    #[serde(serialize_with = "offst_proto::json::text")]
    opening_balance: i128,
    signed_by_friend: Option<SignedDocument>,
    checkpoint: Option<u64>,
    own_statement: u64,
    unacknowledged: usize,
    unsigned: usize,
    #[serde(serialize_with = "offst_proto::json::text")]
    balance: i128,
    #[serde(serialize_with = "offst_proto::json::text")]
    local_pending_debt: u128,
    #[serde(serialize_with = "offst_proto::json::text")]
    remote_pending_debt: u128,
    pending_requests: usize,
}

#[derive(Debug, Serialize)]
struct SignedDocument {
    statement: u64,
    acknowledges: u64,
    #[serde(serialize_with = "offst_proto::json::text")]
    balance: i128,
    #[serde(serialize_with = "offst_proto::json::text")]
    local_pending_debt: u128,
    #[serde(serialize_with = "offst_proto::json::text")]
    remote_pending_debt: u128,
}

impl<'a> From<&'a Audit> for AuditDocument<'a> {
    fn from(audit: &'a Audit) -> Self {
        AuditDocument {
            sound: audit.is_sound(),
            rows: audit.rows,
            sealed: audit.is_sealed,
            faults: &audit.faults,
            notes: &audit.notes,
            accounts: audit.accounts.iter().map(AccountDocument::from).collect(),
        }
    }
}

impl<'a> From<&'a AuditedAccount> for AccountDocument<'a> {
    fn from(account: &'a AuditedAccount) -> Self {
        AccountDocument {
            friend: &account.name,
            public_key: account.friend,
            currency: &account.currency,
            sound: account.finding.is_ok(),
            fault: account.finding.as_ref().err().map(String::as_str),
            proven: account.finding.as_ref().ok().and_then(Option::as_ref).map(ProvenDocument::from),
        }
    }
}

impl From<&Proven> for ProvenDocument {
    fn from(proven: &Proven) -> Self {
        let signed_by_friend = proven.friend.as_ref().map(|proof| SignedDocument {
            statement: proof.seq,
            acknowledges: proof.acknowledges,
            balance: proof.balance,
            local_pending_debt: proof.local_pending,
            remote_pending_debt: proof.remote_pending,
        });
        ProvenDocument {
            epoch: proven.epoch,
            opening_balance: proven.opening_balance,
            signed_by_friend,
            checkpoint: proven.checkpoint,
            own_statement: proven.own_seq,
            unacknowledged: proven.unacknowledged,
            unsigned: proven.unsigned,
            balance: proven.balance,
            local_pending_debt: proven.local_pending,
            remote_pending_debt: proven.remote_pending,
            pending_requests: proven.pendings,
        }
    }
}

fn text(audit: &Audit) -> String {
    let mut text = String::new();
    for account in &audit.accounts {
        let AuditedAccount { name, currency, .. } = account;
        let name = outcome::one_line(name);
        match &account.finding {
            Err(reason) => {
                write_line(&mut text, format_args!("{name} ({currency}): NOT SOUND: {}", outcome::one_line(reason)));
            }
            Ok(None) => write_line(&mut text, format_args!("{name} ({currency}): no epoch has begun, nothing is owed")),
            Ok(Some(proven)) => {
                write_line(&mut text, format_args!("{name} ({currency}): balance {}", proven.balance));
                for line in proofs(&name, proven) {
                    write_line(&mut text, format_args!("    {line}"));
                }
            }
        }
    }
    for fault in &audit.faults {
        write_line(&mut text, format_args!("NOT SOUND: {}", outcome::one_line(fault)));
    }
    for note in &audit.notes {
        write_line(&mut text, format_args!("note: {}", outcome::one_line(note)));
    }
    if audit.is_sound() {
        let (accounts, rows) = (audit.accounts.len(), audit.rows);
        let sealed = if audit.is_sealed { "; every byte is what the node left when it stopped" } else { "" };
        write_line(&mut text, format_args!("sound: {accounts} accounts, {rows} rows{sealed}"));
    }
    text
}

/// Which signature proves what: one sentence for each.
fn proofs(name: &str, proven: &Proven) -> Vec<String> {
    let Proven { epoch, .. } = proven;
    let mut lines = vec![format!(
        "both signatures on the openings of epoch {epoch} prove that it began with the balance {}",
        proven.opening_balance
    )];
    if let Some(proof) = &proven.friend {
        let acknowledged = match proof.acknowledges {
            0 => "before any statement of ours".to_owned(),
            seq => format!("which acknowledges our statement {seq}"),
        };
        lines.push(format!(
            "{name}'s signature on statement {} of epoch {epoch}, {acknowledged}, proves the balance {}, with {} pending \
             from us and {} from {name}",
            proof.seq, proof.balance, proof.local_pending, proof.remote_pending
        ));
    }
    if let Some(seq) = proven.checkpoint {
        lines.push(format!("{name}'s signature on statement {seq} covers every request that was pending there"));
    }
    if proven.unacknowledged > 0 {
        lines.push(format!(
            "our own signatures up to statement {}: {name} has not acknowledged the last {}",
            proven.own_seq, proven.unacknowledged
        ));
    }
    if proven.unsigned > 0 {
        lines.push(format!("{} operations wait to be signed", proven.unsigned));
    }
    lines.push(format!(
        "together: balance {}, pending {} from us and {} from {name} in {} requests",
        proven.balance, proven.local_pending, proven.remote_pending, proven.pendings
    ));
    lines
}

fn write_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a text takes everything");
}

/// What an audit may say, for docs/json.md.
#[cfg(test)]
pub(crate) fn example() -> serde_json::Value {
    use offst_store::Proof;
    let proven = Proven {
        epoch: 3,
        opening_balance: 0,
        friend: Some(Proof { seq: 12, acknowledges: 9, balance: -30, local_pending: 0, remote_pending: 40 }),
        checkpoint: Some(10),
        own_seq: 11,
        unacknowledged: 2,
        unsigned: 1,
        balance: -30,
        local_pending: 0,
        remote_pending: 40,
        pendings: 1,
    };
    let account = |currency: &str, finding| AuditedAccount {
        friend: offst_crypto::Identity::from_seed([1; 32]).public_key(),
        name: "bob".into(),
        currency: currency.into(),
        finding,
    };
    let audit = Audit {
        faults: vec!["the row of the friend \"carol\" is damaged".into()],
        notes: vec!["the node did not stop by itself".into()],
        accounts: vec![
            account("credit", Ok(Some(proven))),
            account("eggs", Ok(None)),
            account("hours", Err("its sums are not those of its requests".into())),
        ],
        rows: 120,
        is_sealed: false,
    };
    serde_json::to_value(AuditDocument::from(&audit)).expect("a document is JSON")
}
