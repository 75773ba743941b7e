//! What the owner is told.

use crate::accounts::record::Friend;
use crate::command::{Command, Reply};
use crate::funder::Batch;
use crate::owner::record::ServerRow;
use crate::payments::record::Payment;
use crate::receiving::record::InvoiceRecord;
use offst_crypto::PublicKey;
use offst_ledger::{Account, AccountId, Direction, Status};
use offst_proto::Amount;
use offst_proto::limits::RELAYS_MAX;
use offst_proto::report::{
    AccountReport, AccountStatus, ContactReport, FriendReport, InvoiceReport, OverdueReport, PaymentReport,
    PaymentStatus, ServerReport, ServerState,
};
use offst_rows::{Row, Table};

impl Batch<'_> {
    pub(crate) fn report(&self, command: &Command) -> Reply {
        match command {
            Command::PaymentStatus(id) => match self.state.payments.all().get(id) {
                Some(payment) => Reply::Payment(Box::new(self.state.payments.payment_report(payment, &self.context))),
                None => Reply::Unknown,
            },
            Command::Friends => {
                Reply::Friends(self.state.accounts.keys_by_name().map(|key| self.friend_report(*key)).collect())
            }
            Command::Relays => Reply::Servers(servers(&self.state.owner.relays)),
            Command::IndexServers => Reply::Servers(servers(&self.state.owner.index_servers)),
            Command::Contact => Reply::Contact(ContactReport {
                public_key: self.context.local,
                // A ticket with more would be refused by its reader.
                relays: self.state.owner.relays.values().take(RELAYS_MAX).map(|relay| relay.ticket().clone()).collect(),
                address: None,
            }),
            Command::KeyReplacements => {
                let mut replacements: Vec<_> =
                    self.state.accounts.replacements().values().map(|replacement| replacement.0.clone()).collect();
                replacements.sort_by_key(|replacement| replacement.time_ms);
                Reply::KeyReplacements(replacements)
            }
            Command::Budgets(app) => Reply::Budgets(self.state.payments.budgets_of(*app, &self.context)),
            _ => unreachable!("only commands that ask are reported on"),
        }
    }

    fn friend_report(&self, key: PublicKey) -> FriendReport {
        let friend = &self.state.accounts.friends()[&key];
        let accounts = friend.accounts.iter();
        FriendReport {
            name: friend.record.name.clone(),
            public_key: key,
            enabled: friend.is_enabled(),
            online: friend.connection.is_some(),
            // What carries a connection is known to those who carry it.
            direct: false,
            relays: friend.record.relays.clone(),
            address: friend.record.address.clone(),
            accounts: accounts
                .map(|(currency, account)| self.account_report(&AccountId::new(key, currency), friend, account))
                .collect(),
        }
    }

    fn account_report(&self, account_id: &AccountId, friend: &Friend, account: &Account) -> AccountReport {
        let currency = &account.key().currency;
        let (status, terms) = match account.status() {
            Status::Consistent => (AccountStatus::Consistent, None),
            Status::Waiting { mine } => (AccountStatus::Waiting, Some(mine)),
            Status::Inconsistent { mine, theirs, reason } => {
                let status = AccountStatus::Inconsistent {
                    local_balance: mine.balance,
                    remote_balance: theirs.map(|theirs| theirs.balance),
                    reason: reason
                        .map_or("the two sides propose different balances".into(), |reason| reason.to_string()),
                };
                (status, Some(mine))
            }
        };
        let epoch = account.epoch();
        let overdue = friend.overdue.iter().filter(|(overdue, _)| overdue == currency).filter_map(|(_, id)| {
            let pending = account.pending(Direction::Outgoing, *id)?;
            let written_off = self.state.forwarding.written_off().contains_key(&account_id.request(*id));
            Some(OverdueReport { request_id: *id, amount: pending.held, written_off })
        });
        AccountReport {
            currency: currency.clone(),
            status,
            balance: epoch.map(|epoch| epoch.balance()).or(terms.map(|terms| terms.balance)).unwrap_or(0),
            local_max_debt: epoch.map_or(Amount::ZERO, |epoch| epoch.theirs.limit),
            remote_max_debt: account.limit(),
            local_pending_debt: epoch.map_or(0, |epoch| epoch.local_pending()),
            remote_pending_debt: epoch.map_or(0, |epoch| epoch.remote_pending()),
            local_open: account.is_open(),
            remote_open: epoch.is_some_and(|epoch| epoch.theirs.open),
            rate: friend.record.rates.get(currency).copied().unwrap_or_default(),
            overdue: overdue.collect(),
            auto_write_off: friend.record.auto_write_offs.get(currency).copied(),
        }
    }
}

impl Payment {
    /// The payment as its owner sees it. `now_ms`: unix.
    pub fn report(&self, now_ms: u64) -> PaymentReport {
        let status = self.status();
        PaymentReport {
            payment_id: self.id,
            status,
            kind: self.kind(),
            destination: self.destination,
            invoice_id: self.invoice.as_ref().map(|(id, _)| *id),
            currency: self.currency.clone(),
            amount: self.total,
            fees: if status == PaymentStatus::Failed { 0 } else { self.fees() },
            parts: u32::try_from(self.parts.len()).expect("parts are few"),
            reason: self.reason.clone(),
            created_ms: self.created_ms,
            duration_ms: self.ended_ms.unwrap_or(now_ms).saturating_sub(self.created_ms),
            app: self.app,
            receipt: self.receipt().map(|receipt| receipt.to_toml()),
        }
    }
}

impl InvoiceRecord {
    /// The invoice as its owner sees it.
    pub fn report(&self) -> InvoiceReport {
        InvoiceReport {
            invoice_id: self.invoice.id,
            status: self.status,
            currency: self.invoice.currency.clone(),
            amount: self.invoice.amount,
            description: self.invoice.description.clone(),
            created_ms: self.created_ms,
            expires_ms: self.invoice.expires_ms,
        }
    }
}

fn servers<T: Row<Key = String> + ServerRow>(servers: &Table<T>) -> Vec<ServerReport> {
    servers
        .iter()
        .map(|(name, server)| ServerReport {
            name: name.clone(),
            ticket: server.ticket().clone(),
            state: ServerState::Disconnected { reason: "connecting".into() },
        })
        .collect()
}
