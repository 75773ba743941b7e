//! The owner's commands: friends, relays, index servers.

use crate::accounts::record::{Friend, FriendRecord, Standing};
use crate::command::{Command, CommandId, Reply};
use crate::funder::Batch;
use crate::io::Output;
use crate::owner::record::ServerRow;
use offst_crypto::PublicKey;
use offst_ledger::{Account, AccountId, AccountKey, Direction, StopReason};
use offst_proto::Amount;
use offst_proto::limits::{CURRENCIES_MAX, RELAYS_MAX};
use offst_proto::name::check_name;
use offst_proto::order::NewFriend;
use offst_proto::ticket::ServerTicket;
use offst_rows::{Row, Table};
use std::collections::BTreeMap;

/// Most relays, and most index servers, that one node uses.
const SERVERS_MAX: usize = 64;

impl Batch<'_> {
    pub(crate) fn command(&mut self, id: CommandId, command: Command) {
        match command {
            Command::CreateInvoice { amount, currency, description, expiry_ms } => {
                self.create_invoice(id, amount, currency, description, expiry_ms);
            }
            Command::CancelInvoice(invoice) => {
                self.state.receiving.cancel_invoice(id, invoice, &mut self.state.accounts, &mut self.context)
            }
            Command::WaitInvoice(invoice) => self.state.receiving.wait_invoice(id, invoice, &mut self.context),
            Command::Pay(order) => self.state.payments.pay(id, None, *order, &self.state.accounts, &mut self.context),
            Command::PayFor(app, order) => {
                self.state.payments.pay(id, Some(app), *order, &self.state.accounts, &mut self.context)
            }
            Command::Quote(order) => self.state.payments.quote(id, &order, &self.state.accounts, &mut self.context),
            Command::Clear { currency, perform } => {
                self.state.payments.clear(id, currency, perform, &self.state.accounts, &mut self.context)
            }
            Command::CancelPayment(payment) => {
                self.state.payments.cancel_payment(id, payment, &mut self.state.accounts, &mut self.context)
            }
            Command::RemoveFriend { name, force, forgive } => self.remove_friend(id, &name, force, forgive),
            Command::DisableFriend { name, force } => self.disable_friend(id, &name, force),
            Command::WriteOff { name, currency, up_to } => self.write_off(id, &name, &currency, up_to),
            Command::PaymentStatus(_)
            | Command::Friends
            | Command::Relays
            | Command::IndexServers
            | Command::Contact
            | Command::KeyReplacements
            | Command::Budgets(_) => {
                let reply = self.report(&command);
                self.context.reply(id, reply);
            }
            command => {
                let reply = match self.configure(command) {
                    Ok(()) => Reply::Done,
                    Err(message) => Reply::Refused(message),
                };
                self.context.reply(id, reply);
            }
        }
    }

    fn configure(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::AddRelay(name, ticket) => {
                add_server(&mut self.state.owner.relays, &name, ticket, "relay")?;
                self.emit_relays();
            }
            Command::RemoveRelay(name) => {
                self.state.owner.relays.remove(&name).ok_or_else(|| no_server("relay", &name))?;
                self.emit_relays();
            }
            Command::AddIndex(name, ticket) => {
                add_server(&mut self.state.owner.index_servers, &name, ticket, "index server")?;
                self.emit_index_servers();
            }
            Command::RemoveIndex(name) => {
                self.state.owner.index_servers.remove(&name).ok_or_else(|| no_server("index server", &name))?;
                self.emit_index_servers();
            }
            Command::AddFriend(new) => self.add_friend(*new)?,
            Command::RenameFriend(name, to) => self.state.accounts.rename_friend(&name, to)?,
            Command::EnableFriend(name) => self.enable_friend(&name)?,
            Command::SetFriendOpen(name, currency, open) => {
                self.state.accounts.friend_account(&name, &currency)?.set_open(open)
            }
            Command::SetFriendMaxDebt(name, currency, limit) => {
                self.state.accounts.friend_account(&name, &currency)?.set_limit(limit);
            }
            Command::SetFriendRate(name, currency, rate) => {
                self.state.accounts.set_rate(&name, currency, rate)?;
            }
            Command::SetFriendContact(name, ticket) => {
                self.state.accounts.set_friend_contact(&name, ticket, &mut self.context)?
            }
            Command::ResetFriend(name, currency) => self.reset_friend(&name, &currency)?,
            Command::ReplaceFriendKey(name, ticket) => self.replace_friend_key(&name, ticket)?,
            Command::SetAutoClear(on) => self.set_auto_clear(on),
            Command::SetAutoWriteOff(name, currency, up_to) => {
                self.state.accounts.set_auto_write_off(&name, &currency, up_to, &mut self.context)?
            }
            _ => unreachable!("handled by its own function"),
        }
        Ok(())
    }

    pub(crate) fn emit_relays(&mut self) {
        self.context
            .outputs
            .push(Output::Relays(self.state.owner.relays.values().map(|relay| relay.ticket().clone()).collect()));
    }

    pub(crate) fn emit_index_servers(&mut self) {
        self.context.outputs.push(Output::IndexServers(
            self.state.owner.index_servers.values().map(|server| server.ticket().clone()).collect(),
        ));
    }

    fn add_friend(&mut self, new: NewFriend) -> Result<(), String> {
        check_name(&new.name)?;
        let key = new.ticket.public_key;
        if key == self.context.local {
            return Err("this is the node's own ticket: a friend is somebody else".into());
        }
        self.state.accounts.check_not_replaced(&key)?;
        let floor = self.floor(&AccountId::new(key, &new.currency));
        if Amount::new(new.balance.unsigned_abs()).is_none() {
            return Err("the balance must be at most 2^96".into());
        }
        if new.ticket.relays.len() > RELAYS_MAX {
            return Err(format!("a friend has at most {RELAYS_MAX} relays"));
        }
        if let Some(other) = self.state.accounts.named(&new.name)
            && other != key
        {
            return Err(format!("another friend is named \"{}\" already: choose another name", new.name));
        }
        // Its node shows what both have signed. An Opening would contradict it.
        let lost = self.account_from_backups(&AccountId::new(key, &new.currency), new.max_debt, new.open);
        if lost.is_some() && new.balance != 0 {
            let message = "a peer backup knows of an account with this friend, whose node shows its balance: add it with a \
                            balance of 0";
            return Err(message.into());
        }
        if let Some(friend) = self.state.accounts.friend(&key) {
            check_further_account(friend, &new)?;
        }
        let friend = self.state.accounts.friend_or_new(key, || FriendRecord {
            name: new.name,
            relays: new.ticket.relays,
            address: new.ticket.address,
            standing: Standing::Enabled,
            rates: BTreeMap::new(),
            auto_write_offs: BTreeMap::new(),
        });
        let account_id = AccountId::new(key, &new.currency);
        let account_key = AccountKey { local: self.context.local, remote: key, currency: new.currency.clone() };
        let signer = &*self.context.environment.signer;
        let account =
            lost.unwrap_or_else(|| Account::open(account_key, new.balance, new.max_debt, new.open, floor, signer));
        if let Some(connection) = friend.connection {
            self.context.outputs.push(Output::Send(key, connection, account.resume_frame()));
        }
        friend.accounts.insert(new.currency, account);
        self.state.accounts.mark_touched(account_id);
        self.state.accounts.emit_contact(key, &mut self.context);
        Ok(())
    }

    fn enable_friend(&mut self, name: &str) -> Result<(), String> {
        let key = self.state.accounts.friend_key(name)?;
        if self.state.accounts.standing_of(&key) == Standing::Enabled {
            return Ok(());
        }
        self.state.accounts.set_standing(key, Standing::Enabled);
        self.recover_left_out(key);
        self.state.accounts.emit_contact(key, &mut self.context);
        self.refuse_drain_waiters(key, &format!("\"{name}\" was enabled again in the meantime"));
        Ok(())
    }

    fn disable_friend(&mut self, id: CommandId, name: &str, force: bool) {
        match self.state.accounts.friend_key(name) {
            Ok(key) => self.drain(id, key, Standing::Disabling, force),
            Err(message) => self.context.reply(id, Reply::Refused(message)),
        }
    }

    fn remove_friend(&mut self, id: CommandId, name: &str, force: bool, forgive: bool) {
        let key = match self.state.accounts.friend_key(name) {
            Ok(key) => key,
            Err(message) => return self.context.reply(id, Reply::Refused(message)),
        };
        if let Some(owed) = self.state.accounts.owed(key).filter(|_| !forgive) {
            let message = format!("the balance with \"{name}\" is not 0 ({owed}): settle it first, or give --forgive");
            return self.context.reply(id, Reply::Refused(message));
        }
        self.drain(id, key, Standing::Removing { forgives: forgive }, force);
    }

    fn drain(&mut self, id: CommandId, key: PublicKey, standing: Standing, force: bool) {
        if self.state.accounts.standing_of(&key) == Standing::Disabled && standing == Standing::Disabling {
            return self.context.reply(id, Reply::Done);
        }
        if self.state.accounts.standing_of(&key) != standing {
            let message = "the friend is being removed or disabled by a later command";
            self.refuse_drain_waiters(key, message);
        }
        self.state.accounts.set_standing(key, standing);
        self.state.owner.await_drain(key, id);
        if force {
            self.end_drain(key);
        }
    }

    /// Answers commands whose drain was called off.
    pub(crate) fn refuse_drain_waiters(&mut self, key: PublicKey, message: &str) {
        for id in self.state.owner.take_drain_waiters(key) {
            self.context.reply(id, Reply::Refused(message.to_owned()));
        }
    }

    /// Stops friends that are to be disabled or removed and have nothing pending any more.
    pub(crate) fn end_drains(&mut self) {
        for key in self.state.accounts.touched_friends() {
            let Some(friend) = self.state.accounts.friend(&key) else { continue };
            let is_draining = matches!(friend.record.standing, Standing::Disabling | Standing::Removing { .. });
            let is_drained = friend.accounts.values().all(|account| {
                let mut pendings = account.epoch().into_iter().flat_map(|epoch| epoch.pendings());
                // What has ended here waits only for the next epoch; what our first Opening offers has not ended.
                let is_empty = pendings
                    .all(|(direction, id, _)| direction == Direction::Incoming && account.has_claimed(id))
                    && (account.epoch().is_some() || account.settled_terms().continuing.is_empty());
                // On an account that has stopped already nobody acknowledges anything any more.
                is_empty && (account.ends_are_known() || account.active().is_none())
            });
            if is_draining && is_drained {
                self.end_drain(key);
            }
        }
    }

    // R1.35.
    fn end_drain(&mut self, key: PublicKey) {
        let account_ids = self.state.accounts.account_ids_of(key);
        for account_id in &account_ids {
            let account = self.state.accounts.account_mut(account_id).expect("listed above");
            account.stop(StopReason::Owner, &*self.context.environment.signer);
            self.account_stopped(account_id, StopReason::Owner);
        }
        let standing = self.state.accounts.standing_of(&key);
        let forgives = standing == Standing::Removing { forgives: true };
        // Payments that ended since the owner asked may have left a balance. It waits for another decision.
        let owed = self.state.accounts.owed(key).filter(|_| matches!(standing, Standing::Removing { .. }) && !forgives);
        if let Some(owed) = &owed {
            let name = self.state.accounts.name_of(&key);
            let message = format!(
                "\"{name}\" is disabled and not removed, because what was under way has left a balance that is not 0 \
                 ({owed}): `enable-friend` goes on with it, so that it can be settled; `remove-friend --forgive` removes it"
            );
            log::warn!("{message}");
            self.refuse_drain_waiters(key, &message);
        }
        if matches!(standing, Standing::Removing { .. }) && owed.is_none() {
            for account_id in account_ids {
                // What is still committed is lost to this side: the owner has chosen not to wait.
                let left = self.forget_account(&account_id);
                log::warn!("an account in {} was removed with {left} requests pending", account_id.currency);
            }
            self.state.accounts.remove_friend(&key);
            self.state.recovery.drop_peer_backup(key);
            self.state.recovery.mark_dirty();
            self.state.accounts.emit_contact(key, &mut self.context);
        } else {
            self.disable_at_once(key);
        }
        for id in self.state.owner.take_drain_waiters(key) {
            self.context.reply(id, Reply::Done);
        }
    }

    /// Drops the connection to a friend, and makes none any more.
    pub(crate) fn disable_at_once(&mut self, key: PublicKey) {
        self.state.accounts.disable(&key);
        self.state.recovery.mark_dirty();
        self.state.accounts.emit_contact(key, &mut self.context);
    }

    /// Takes an account out, leaving its tombstone. Says how many requests were still pending on it.
    fn forget_account(&mut self, account_id: &AccountId) -> usize {
        let account = self.state.accounts.remove_account(account_id, self.context.now.unix_ms);
        let pendings: Vec<_> = account
            .epoch()
            .into_iter()
            .flat_map(|epoch| epoch.pendings())
            .map(|(direction, id, _)| (direction, account_id.request(id)))
            .collect();
        for (direction, key) in &pendings {
            match direction {
                // The upstream is released: this friend will never collect from us again.
                Direction::Outgoing => {
                    let local = self.context.local;
                    self.cancelled(key, offst_proto::payment::CancelReason::AccountStopped, local);
                }
                Direction::Incoming => self.forget_incoming(key),
            }
        }
        self.release_left_out(account_id);
        pendings.len()
    }
}

/// Whether a friend that is known can get the account that is asked for.
fn check_further_account(friend: &Friend, new: &NewFriend) -> Result<(), String> {
    let NewFriend { name, currency, .. } = new;
    if friend.record.name != *name {
        return Err(format!("this friend is named \"{}\" already", friend.record.name));
    }
    if matches!(friend.record.standing, Standing::Disabling | Standing::Removing { .. }) {
        return Err(format!("\"{name}\" is just being disabled or removed: wait until it is done"));
    }
    if friend.accounts.contains_key(currency) {
        return Err(format!("there is an account in {currency} with \"{name}\" already"));
    }
    if friend.accounts.len() >= CURRENCIES_MAX {
        return Err(format!("there are {CURRENCIES_MAX} accounts with \"{name}\", no more fit"));
    }
    Ok(())
}

fn add_server<T: Row<Key = String> + ServerRow>(
    servers: &mut Table<T>,
    name: &str,
    ticket: ServerTicket,
    what: &str,
) -> Result<(), String> {
    check_name(name)?;
    if servers.contains_key(&name.to_owned()) {
        return Err(format!("the name \"{name}\" is taken by another {what}: choose another name, or remove it first"));
    }
    if let Some((other, _)) = servers.iter().find(|(_, known)| known.ticket().public_key == ticket.public_key) {
        return Err(format!("this {what} is configured already, under the name \"{other}\""));
    }
    if servers.len() >= SERVERS_MAX {
        return Err(format!("{SERVERS_MAX} {what}s are configured, no more fit: remove one first"));
    }
    servers.insert(name.to_owned(), T::of(ticket));
    Ok(())
}

fn no_server(what: &str, name: &str) -> String {
    let list = if what == "relay" { "relays" } else { "index" };
    format!("there is no {what} named \"{name}\": see `info {list}`")
}
