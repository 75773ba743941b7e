//! Friends and the accounts with them. Local is this node, remote the friend.

use crate::amount::Amount;
use crate::app::codec::codec;
use crate::app::field::{AnyBalance, As, Field};
use crate::app::message::{Message, MessageError};
use crate::limits::{CURRENCIES_MAX, PENDING_MAX, RELAYS_MAX};
use crate::ticket::{Address, ServerTicket};
use crate::wire::app_capnp as wire;
use crate::{Currency, Rate, RequestId};
use offst_crypto::PublicKey;
use serde::Serialize;

/// One friend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FriendReport {
    /// The owner's name for the friend.
    pub name: String,
    /// The friend's key.
    #[serde(serialize_with = "crate::json::text")]
    pub public_key: PublicKey,
    /// Whether the owner uses this friend.
    pub enabled: bool,
    /// Whether a connection is up.
    pub online: bool,
    /// Whether that goes without a relay.
    pub direct: bool,
    /// The relays the friend listens at.
    pub relays: Vec<ServerTicket>,
    /// Where the friend is dialled without a relay.
    pub address: Option<Address>,
    /// One account for each currency, in the order of their names.
    #[serde(rename = "currencies")]
    pub accounts: Vec<AccountReport>,
}

codec! {
    FriendReport as friend {
        fields {
            name: get_name, set_name;
            public_key: get_public_key, set_public_key;
            enabled: get_enabled, set_enabled;
            online: get_online, set_online;
            direct: get_direct, set_direct;
            address: get_address, set_address;
        }
        lists {
            relays: get_relays, init_relays, RELAYS_MAX, "the number of relays";
            accounts: get_accounts, init_accounts, CURRENCIES_MAX, "the number of currencies";
        }
    }
}

/// One account with a friend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountReport {
    /// The currency.
    pub currency: Currency,
    /// Whether both sides agree.
    #[serde(flatten)]
    pub status: AccountStatus,
    /// What the friend owes us, credits.
    #[serde(serialize_with = "crate::json::text")]
    pub balance: i128,
    /// What the friend lets us owe, credits.
    pub local_max_debt: Amount,
    /// What we let the friend owe, credits.
    pub remote_max_debt: Amount,
    /// Credits in flight in our requests.
    #[serde(serialize_with = "crate::json::text")]
    pub local_pending_debt: u128,
    /// Credits in flight in the friend's requests.
    #[serde(serialize_with = "crate::json::text")]
    pub remote_pending_debt: u128,
    /// Whether we accept the friend's requests.
    pub local_open: bool,
    /// Whether the friend accepts ours.
    pub remote_open: bool,
    /// What we take for forwarding requests that come from this friend.
    pub rate: Rate,
    /// Requests that the friend has held for too long after they were committed.
    pub overdue: Vec<OverdueReport>,
    /// The most that the friend may still collect of what is written off without asking the owner, credits; none: nothing is.
    pub auto_write_off: Option<Amount>,
}

codec! {
    AccountReport as account {
        fields {
            currency: get_currency, set_currency;
            balance as AnyBalance: get_balance, set_balance;
            local_max_debt: get_local_max_debt, set_local_max_debt;
            remote_max_debt: get_remote_max_debt, set_remote_max_debt;
            local_pending_debt: get_local_pending_debt, set_local_pending_debt;
            remote_pending_debt: get_remote_pending_debt, set_remote_pending_debt;
            local_open: get_local_open, set_local_open;
            remote_open: get_remote_open, set_remote_open;
            auto_write_off: get_auto_write_off, set_auto_write_off;
        }
        groups { status: get_status, init_status; }
        structs { rate: get_rate, init_rate; }
        lists { overdue: get_overdue, init_overdue, PENDING_MAX, "the number of overdue requests"; }
    }
}

/// A committed request that a friend neither collects nor cancels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OverdueReport {
    /// The request.
    pub request_id: RequestId,
    /// Credits in flight in it.
    pub amount: Amount,
    /// The friend that sent it has the credits back: we pay for it if this friend collects it.
    pub written_off: bool,
}

codec! {
    OverdueReport as overdue {
        fields {
            request_id: get_request_id, set_request_id;
            amount: get_amount, set_amount;
            written_off: get_written_off, set_written_off;
        }
    }
}

/// Whether the two sides of an account agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", content = "terms", rename_all = "snake_case")]
pub enum AccountStatus {
    /// They do.
    Consistent,
    /// The friend has not shown its terms yet.
    Waiting,
    /// They do not: the owner settles it with `reset-friend`, or the friend does.
    Inconsistent {
        /// The balance we propose, from our side.
        #[serde(serialize_with = "crate::json::text")]
        local_balance: i128,
        /// The balance the friend proposes, turned to our side; none when it has not shown any.
        #[serde(serialize_with = "crate::json::optional_text")]
        remote_balance: Option<i128>,
        /// What happened.
        reason: String,
    },
}

impl Message for AccountStatus {
    type Wire = wire::account::status::Owned;

    fn write(&self, mut builder: wire::account::status::Builder<'_>) {
        match self {
            AccountStatus::Consistent => builder.set_consistent(()),
            AccountStatus::Waiting => builder.set_waiting(()),
            AccountStatus::Inconsistent { local_balance, remote_balance, reason } => {
                let mut terms = builder.init_inconsistent();
                terms.set_local_balance(AnyBalance::write(local_balance));
                terms.set_remote_balance(AnyBalance::write(remote_balance));
                terms.set_reason(reason.to_wire());
            }
        }
    }

    fn read(reader: wire::account::status::Reader<'_>) -> Result<Self, MessageError> {
        Ok(match reader.which()? {
            wire::account::status::Consistent(()) => AccountStatus::Consistent,
            wire::account::status::Waiting(()) => AccountStatus::Waiting,
            wire::account::status::Inconsistent(terms) => {
                let terms = terms?;
                AccountStatus::Inconsistent {
                    local_balance: AnyBalance::read(terms.get_local_balance())?,
                    remote_balance: AnyBalance::read(terms.get_remote_balance())?,
                    reason: Field::from_wire(terms.get_reason())?,
                }
            }
        })
    }
}

/// What is owed in one currency, by all friends together or by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// The currency.
    pub currency: Currency,
    /// Credits; positive when the node is owed.
    #[serde(serialize_with = "crate::json::text")]
    pub balance: i128,
}
