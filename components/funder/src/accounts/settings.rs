//! What the owner has told of friends.

use super::Accounts;
use crate::accounts::record::{Replacement, Standing};
use crate::context::Context;
use crate::io::{Contact, Output};
use crate::payments::record::Payment;
use offst_crypto::PublicKey;
use offst_ledger::{Account, AccountId};
use offst_proto::Amount;
use offst_proto::limits::RELAYS_MAX;
use offst_proto::name::check_name;
use offst_proto::order::Destination;
use offst_proto::report::Event;
use offst_proto::ticket::FriendTicket;
use offst_proto::{Currency, Rate};

impl Accounts {
    pub(crate) fn friend_key(&self, name: &str) -> Result<PublicKey, String> {
        self.names.get(name).copied().ok_or_else(|| no_friend(name))
    }

    /// The friend that has this name, if one does.
    pub(crate) fn named(&self, name: &str) -> Option<PublicKey> {
        self.names.get(name).copied()
    }

    /// The keys of all friends, in the order of their names.
    pub(crate) fn keys_by_name(&self) -> impl Iterator<Item = &PublicKey> {
        self.names.values()
    }

    pub(crate) fn friend_account(&mut self, name: &str, currency: &Currency) -> Result<&mut Account, String> {
        let key = self.friend_key(name)?;
        self.touch(&AccountId::new(key, currency))
            .ok_or_else(|| format!("there is no account in {currency} with \"{name}\""))
    }

    pub(crate) fn emit_contact(&self, key: PublicKey, context: &mut Context<'_>) {
        let contact = self
            .friends
            .get(&key)
            .filter(|friend| friend.record.standing != Standing::Disabled)
            .map(|friend| Contact { relays: friend.record.relays.clone(), address: friend.record.address.clone() });
        context.outputs.push(Output::Contact(key, contact));
    }

    pub(crate) fn rename_friend(&mut self, name: &str, to: String) -> Result<(), String> {
        let key = self.friend_key(name)?;
        check_name(&to)?;
        if self.names.contains_key(&to) {
            return Err(format!("a friend is named \"{to}\" already: choose another name"));
        }
        self.names.remove(name);
        self.names.insert(to.clone(), key);
        self.friends.get_mut(&key).expect("names and friends agree").record.name = to;
        Ok(())
    }

    pub(crate) fn set_standing(&mut self, key: PublicKey, standing: Standing) {
        if self.friends[&key].record.standing == standing {
            return;
        }
        let friend = self.friends.get_mut(&key).expect("names and friends agree");
        friend.record.standing = standing;
        self.touched.extend(friend.accounts.keys().map(|currency| AccountId::new(key, currency)));
    }

    pub(crate) fn set_friend_contact(
        &mut self,
        name: &str,
        ticket: FriendTicket,
        context: &mut Context<'_>,
    ) -> Result<(), String> {
        let key = self.friend_key(name)?;
        if ticket.relays.len() > RELAYS_MAX {
            return Err(format!("a friend has at most {RELAYS_MAX} relays"));
        }
        if ticket.public_key != key {
            return Err(format!("the ticket has another key than \"{name}\": it is somebody else's"));
        }
        let friend = self.friends.get_mut(&key).expect("names and friends agree");
        friend.record.relays = ticket.relays;
        friend.record.address = ticket.address;
        self.emit_contact(key, context);
        Ok(())
    }

    /// What would be forgotten with a friend: its balances other than 0, in words.
    pub(crate) fn owed(&self, key: PublicKey) -> Option<String> {
        let accounts = self.friends[&key].accounts.iter();
        let owed: Vec<_> = accounts
            .filter_map(|(currency, account)| {
                // Also what was not agreed on with the friend yet: after its key was replaced that is what the two owe
                // each other.
                let balance = account.settled_terms().balance;
                if account.is_recovering() {
                    Some(format!("not known in {currency}, until its node has shown the account"))
                } else {
                    (balance != 0).then(|| format!("{balance} in {currency}"))
                }
            })
            .collect();
        (!owed.is_empty()).then(|| owed.join(", "))
    }

    /// A key that was lost may be in anybody's hands.
    /// (R7.26.)
    pub(crate) fn check_not_replaced(&self, key: &PublicKey) -> Result<(), String> {
        let Some(Replacement(replacement)) = self.replacements.get(key) else {
            return Ok(());
        };
        let friend = self.friends.get(&replacement.new_key);
        let new_key = friend.map_or_else(|| replacement.new_key.to_string(), |friend| friend.record.name.clone());
        Err(format!("this key was lost, and was replaced by that of \"{new_key}\": it cannot be used again"))
    }

    /// The owner's name for a node; for the one that is paid what it is; for any other the beginning of its key.
    pub(crate) fn node_name(&self, payment: &Payment, key: &PublicKey) -> String {
        match self.friends.get(key) {
            Some(friend) => friend.record.name.clone(),
            None if *key == payment.destination && payment.invoice.is_some() => "the seller".into(),
            None if *key == payment.destination => "the destination".into(),
            None => key.to_string().chars().take(8).collect::<String>() + "...",
        }
    }

    pub(crate) fn destination_key(
        &self,
        destination: &Destination,
        context: &Context<'_>,
    ) -> Result<PublicKey, String> {
        let key = match destination {
            Destination::Key(key) => *key,
            Destination::Friend(name) => match self.names.get(name) {
                Some(key) => *key,
                None => return Err(format!("there is no friend named \"{name}\", and it is not a public key")),
            },
        };
        if key == context.local {
            return Err("this is the node's own key: sending to oneself would change nothing".into());
        }
        Ok(key)
    }

    /// What is taken for carrying on what comes over an account.
    pub(crate) fn set_rate(&mut self, name: &str, currency: Currency, rate: Rate) -> Result<(), String> {
        self.friend_account(name, &currency)?;
        let key = self.friend_key(name)?;
        let friend = self.friends.get_mut(&key).expect("names and friends agree");
        friend.record.rates.insert(currency, rate);
        Ok(())
    }

    /// What may be written off on an account without asking, credits; 0: nothing.
    pub(crate) fn set_auto_write_off(
        &mut self,
        name: &str,
        currency: &Currency,
        up_to: Amount,
        context: &mut Context<'_>,
    ) -> Result<(), String> {
        self.friend_account(name, currency)?;
        let key = self.friend_key(name)?;
        let record = &mut self.friends.get_mut(&key).expect("names and friends agree").record;
        if up_to == 0 {
            record.auto_write_offs.remove(currency);
        } else {
            record.auto_write_offs.insert(currency.clone(), up_to);
        }
        self.friend_changed(key, context);
        self.overdue.insert(AccountId::new(key, currency));
        Ok(())
    }

    /// The friend has collected what was written off without asking: nothing more is.
    /// (R8.3.)
    pub(crate) fn end_auto_write_off(&mut self, account_id: &AccountId, amount: Amount, context: &mut Context<'_>) {
        let is_set =
            self.friends.get(&account_id.friend).is_some_and(|friend| !friend.record.auto_write_offs.is_empty());
        if !is_set {
            return;
        }
        let friend = self.friends.get_mut(&account_id.friend).expect("looked above");
        friend.record.auto_write_offs.clear();
        let name = friend.record.name.clone();
        log::warn!(
            "\"{name}\" has collected {amount} in {} that set-auto-write-off had written off: it is off now for \"{name}\"",
            account_id.currency
        );
        context.event(Event::AutoWriteOffEnded { name, currency: account_id.currency.clone(), amount });
    }

    /// What the owner allows to be written off on an account without asking, credits.
    pub(crate) fn auto_write_off(&self, account_id: &AccountId) -> Option<Amount> {
        self.friends.get(&account_id.friend)?.record.auto_write_offs.get(&account_id.currency).copied()
    }
}

pub(crate) fn no_friend(name: &str) -> String {
    format!("there is no friend named \"{name}\": see `info friends`")
}
