//! The command `check`.

use super::{existing, public_key};
use crate::outcome::{self, Failure, Outcome, say, write_out};
use clap::Args;
use offst_store::{Audit, AuditedAccount, Proven, Store, StoreError};
use serde_json::{Value, json};
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
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Audits the database and prints what was found. Exit code 0: sound.
pub(super) fn check(Check { dir, input, json }: Check) -> Outcome {
    let folder = existing(dir)?;
    let node = public_key(&folder)?;
    let own = folder.file("db");
    let path = input.unwrap_or_else(|| own.clone());
    // The node's own database under whatever name: while the node writes, it looks like a damaged one.
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
    let document = document(&audit);
    if audit.is_sound() {
        return if json { say(document) } else { write_out(&text(&audit)) };
    }
    if !json {
        write_out(&text(&audit))?;
    }
    let sentence = format!(
        "{} is not sound ({wrong} findings): put a backup back, or let the friends show what they know",
        path.display()
    );
    let mut document = document;
    document["error"] = sentence.clone().into();
    Err(Failure::failed(sentence).with_document(document))
}

fn document(audit: &Audit) -> Value {
    let account = |account: &AuditedAccount| {
        let mut document = json!({
            "friend": account.name,
            "public_key": account.friend.to_string(),
            "currency": account.currency,
            "sound": account.finding.is_ok(),
        });
        match &account.finding {
            Err(reason) => document["fault"] = reason.clone().into(),
            Ok(None) => {}
            Ok(Some(proven)) => document["proven"] = proven_document(proven),
        }
        document
    };
    json!({
        "sound": audit.is_sound(),
        "rows": audit.rows,
        "sealed": audit.is_sealed,
        "faults": audit.faults,
        "notes": audit.notes,
        "accounts": audit.accounts.iter().map(account).collect::<Value>(),
    })
}

fn proven_document(proven: &Proven) -> Value {
    let friend = proven.friend.map(|proof| {
        json!({
            "statement": proof.seq,
            "acknowledges": proof.acknowledges,
            "balance": proof.balance.to_string(),
            "local_pending_debt": proof.local_pending.to_string(),
            "remote_pending_debt": proof.remote_pending.to_string(),
        })
    });
    json!({
        "epoch": proven.epoch,
        "opening_balance": proven.opening_balance.to_string(),
        "signed_by_friend": friend,
        "checkpoint": proven.checkpoint,
        "own_statement": proven.own_seq,
        "unacknowledged": proven.unacknowledged,
        "unsigned": proven.unsigned,
        "balance": proven.balance.to_string(),
        "local_pending_debt": proven.local_pending.to_string(),
        "remote_pending_debt": proven.remote_pending.to_string(),
        "pending_requests": proven.pendings,
    })
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

/// Which signature proves what, a sentence each.
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
            "{name}'s signature on statement {} of epoch {epoch}, {acknowledged}, proves the balance {}, with {} frozen \
             by us and {} by {name}",
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
        "together: balance {}, frozen {} by us and {} by {name} in {} requests",
        proven.balance, proven.local_pending, proven.remote_pending, proven.pendings
    ));
    lines
}

fn write_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a text takes everything");
}
