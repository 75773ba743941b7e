//! What friends show each other when one of them has lost its state: passed between the accounts, the connections and
//! the database.

use crate::funder::Batch;
use crate::io::{ConnectionId, Output};
use crate::recovery::heads::{Signed, signed};
use offst_crypto::PublicKey;
use offst_ledger::{Account, AccountId, EvidenceRows};
use offst_proto::Verified;
use offst_proto::friend::Evidence;
use offst_proto::statement::Statement;

impl Batch<'_> {
    /// The database has given what proves where an account stands.
    pub(crate) fn show_evidence(&mut self, account_id: &AccountId, connection: ConnectionId, rows: EvidenceRows) {
        let now_ms = self.context.now.unix_ms;
        let shown = self.with_account(account_id, connection, |account, environment| {
            account.evidence(rows, now_ms, &*environment.signer)
        });
        if let Some((before, (frames, outcome))) = shown {
            self.context
                .outputs
                .extend(frames.into_iter().map(|frame| Output::Send(account_id.friend, connection, frame)));
            self.evidence_came(account_id, before, outcome);
        }
    }

    pub(crate) fn evidence_begins(&mut self, key: PublicKey, connection: ConnectionId, evidence: Evidence) {
        let (account_id, now_ms) = (AccountId::new(key, &evidence.currency), self.context.now.unix_ms);
        if self.state.accounts.is_current(key, connection)
            && self.state.accounts.account(&account_id).is_some_and(Account::is_suspect)
        {
            self.recover_left_out(key);
        }
        let outcome = self.with_account(&account_id, connection, |account, environment| {
            account.take_evidence(evidence, now_ms, &*environment.signer, &*environment.verifier)
        });
        if let Some((before, outcome)) = outcome {
            self.evidence_came(&account_id, before, outcome);
        }
    }

    pub(crate) fn evidence_continues(
        &mut self,
        key: PublicKey,
        connection: ConnectionId,
        statements: Vec<Verified<Statement>>,
    ) {
        let Some(first) = statements.first() else { return };
        let (account_id, now_ms) = (AccountId::new(key, &first.currency), self.context.now.unix_ms);
        let outcome = self.with_account(&account_id, connection, |account, environment| {
            account.take_evidence_statements(statements, now_ms, &*environment.signer)
        });
        if let Some((before, outcome)) = outcome {
            self.evidence_came(&account_id, before, outcome);
        }
    }

    /// Takes a step on an account. Also says how much this node remembered to have signed before it.
    fn with_account<T>(
        &mut self,
        account_id: &AccountId,
        connection: ConnectionId,
        step: impl FnOnce(&mut Account, &crate::io::Environment) -> T,
    ) -> Option<(Signed, T)> {
        if !self.state.accounts.is_current(account_id.friend, connection) {
            return None;
        }
        self.state.accounts.mark_touched(account_id.clone());
        let account = self.state.accounts.account_mut(account_id)?;
        Some((signed(account), step(account, self.context.environment)))
    }
}
