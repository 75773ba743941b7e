//! What must hold when a healed world has come to rest, seen from outside: replies, disks and both ends of each
//! account.

use crate::expected_state::ExpectedState;
use crate::faults::{EventKind, FaultKind};
use crate::reference::{Model, Paid, signed};
use crate::run::Run;
use crate::world::Node;
use offst_funder::{AccountId, Command, Part, Payment, Progress, Reply};
use offst_proto::report::{ForwardReport, InvoiceStatus, PaymentStatus};
use offst_proto::{Currency, InvoiceId, RequestId};
use std::collections::{BTreeMap, BTreeSet};

/// Who carried a request on, by their own records.
type Carried = BTreeMap<RequestId, Vec<(usize, ForwardReport)>>;

impl Run {
    /// Asks every node, reads every disk, and compares.
    ///
    /// # Panics
    /// When something has failed.
    pub(crate) fn check(&mut self) {
        self.check_answers();
        self.world.check_mirrors();
        let paid = self.check_receipts();
        self.check_orders();
        for index in self.honest() {
            self.world.check_rates(index);
        }
        if self.mix.has(FaultKind::Liars) {
            self.check_losses();
        } else if self.has_losses() {
            self.world.assert_quiet();
            self.check_expected_state();
        } else {
            self.check_expected_state();
            self.world.assert_quiet();
            if self.world.written_off().is_empty() {
                self.check_wealth(&paid);
            }
            self.world.check_histories(&self.honest(), &self.currencies);
        }
        self.count_events(&paid);
    }

    /// The nodes that are honest, or just all of them.
    pub(crate) fn honest(&self) -> Vec<usize> {
        let is_honest = |index: &usize| !self.world.liars.contains(index) && !self.world.is_retired(*index);
        (0..self.world.nodes.len()).filter(is_honest).collect()
    }

    /// Whether any node has lost a part of its state.
    fn has_losses(&self) -> bool {
        !self.world.replaced.is_empty() || !self.world.replacements.is_empty()
    }

    /// Every account holds what was paid over it, whatever nodes have lost. Where an older disk was put back in
    /// silence, its owner may lose something, and nobody else.
    fn check_expected_state(&self) {
        let (world, expected_state) = (&self.world, ExpectedState::of(&self.world));
        for index in self.honest() {
            for currency in &self.currencies {
                let (has, must) = (world.nodes[index].wealth_in(currency), expected_state.wealth(index, currency));
                let may_differ = has > must || world.careless.contains(&index);
                if world.careless.is_empty() || !may_differ {
                    let room = expected_state.room(world, index, currency);
                    assert!(
                        (must - room.below..=must + room.above).contains(&has),
                        "node {index} has {has} {currency}, and was paid and has paid {must}; {room:?} could be forgotten"
                    );
                }
            }
            for (friend, account) in world.nodes[index].accounts().filter(|_| world.careless.is_empty()) {
                let (friend, currency) = (world.index(friend), &account.key().currency);
                let balance = account.epoch().map_or(0, |epoch| epoch.balance());
                let must = expected_state.balance(index, friend, currency);
                let room = expected_state.room_of_account(world, index, friend, currency);
                assert!(
                    (must - room.below..=must + room.above).contains(&balance),
                    "node {friend} owes node {index} {balance} {currency}, and {must} was paid there; {room:?} could be \
                     forgotten"
                );
            }
            if world.replaced.contains(&index) || !world.careless.is_empty() {
                continue;
            }
            let unknown = |payment: &&Payment| payment.parts.keys().any(|id| expected_state.uncertain.contains(id));
            for payment in world.nodes[index].disk.payments().filter(|payment| !unknown(&payment)) {
                let delivered = payment.parts.keys().filter(|id| expected_state.delivered.contains(id)).count();
                let is_told = if payment.progress == Progress::Paid { payment.parts.len() } else { 0 };
                assert_eq!(delivered, is_told, "parts of {payment:?} of node {index} that were collected");
            }
        }
    }

    /// Nobody waits for an answer any more, and nothing is said twice.
    fn check_answers(&mut self) {
        for index in self.honest() {
            // Of a part that was written off on the way nobody gets a receipt.
            let is_vague = self.has_losses() || !self.world.liars.is_empty() || !self.world.written_off().is_empty();
            let world = &mut self.world;
            let payments: Vec<_> = world.nodes[index].disk.payments().map(|payment| payment.id).collect();
            for id in payments {
                let status = world.ask(index, Command::PaymentStatus(id));
                assert_eq!(status, Reply::Unknown, "node {index} is still paying");
            }
            // An application that waits for an invoice that has ended is answered at once.
            let invoices = world.nodes[index].disk.invoices().filter(|record| record.status != InvoiceStatus::Open);
            for record in invoices.collect::<Vec<_>>() {
                let reply = world.ask(index, Command::WaitInvoice(record.invoice.id));
                let is_known = reply == Reply::Unknown || reply == Reply::InvoiceStatus(record.status);
                assert!(is_known, "node {index} says {reply:?} of an invoice that is {:?}", record.status);
            }
            let node = &world.nodes[index];
            for command in &node.commands_of_this_run {
                assert!(node.replies.contains_key(command), "node {index} has not answered command {command}");
            }
            for reply in node.replies.values() {
                if let Reply::Payment(report) = reply {
                    let has_proof = report.receipt.is_some() || is_vague;
                    assert!(has_proof || report.status != PaymentStatus::Paid, "node {index} has no receipt");
                    assert!(report.receipt.is_none() || report.status == PaymentStatus::Paid);
                }
            }
        }
    }

    /// A receipt exists exactly where the seller was credited. Gives back what was paid.
    fn check_receipts(&self) -> Vec<(Payment, Paid)> {
        let world = &self.world;
        let has_liars = !world.liars.is_empty();
        // Somebody does not know any more what it did.
        let written_off = world.written_off();
        let is_vague = has_liars || self.has_losses() || !written_off.is_empty();
        let uncertain = world.uncertain();
        let mut carried = Carried::new();
        for (index, node) in world.nodes.iter().enumerate() {
            for report in &node.disk.forwarded {
                carried.entry(report.request_id).or_default().push((index, report.clone()));
            }
        }
        let sold = |node: &Node| -> BTreeSet<RequestId> { node.sold().into_keys().map(|key| key.id).collect() };
        let collected: Vec<BTreeSet<RequestId>> = world.nodes.iter().map(sold).collect();
        let mut paid = Vec::new();
        let mut paid_invoices: BTreeSet<InvoiceId> = BTreeSet::new();
        for index in self.honest() {
            for payment in world.nodes[index].all_payments() {
                match payment.progress {
                    Progress::Paid => {}
                    Progress::Failed => {
                        assert_eq!(payment.receipt(), None, "a payment that failed has a receipt");
                        continue;
                    }
                    // A node that has lost it does not pay it any more.
                    _ if world.nodes[index].disk.payment(payment.id).is_none() => continue,
                    progress => panic!("a payment of node {index} is {progress:?}: {}", payment.reason),
                }
                let seller = world.index(payment.destination);
                let Some(receipt) = payment.receipt() else {
                    // A seller without its disk takes each part that was committed to it: it knows no total any more. A
                    // buyer with an older disk has forgotten the parts that it had put in the place of others.
                    let is_replaced = [seller, index].iter().any(|node| world.replaced.contains(node));
                    // So does one of whom a part was released where its path was forgotten: the part is not there any
                    // more.
                    let parts: u128 = payment.parts.values().map(|part| part.amount).sum();
                    let may_miss = !uncertain.is_empty() || !written_off.is_empty();
                    let is_uncertain = may_miss && parts < payment.total.credits();
                    let is_short = has_liars || is_replaced || is_uncertain || !world.careless.is_empty();
                    assert!(is_short, "node {index} has no receipt: {payment:?}");
                    continue;
                };
                let invoice = payment.invoice.as_ref().map(|(id, _)| {
                    let is_first = paid_invoices.insert(*id);
                    // But by a seller that goes back to before it was paid, also together with the friend that it was
                    // paid by: then nobody knows of it, and the credits are forgotten, too.
                    let is_torn = world.torn.keys().any(|(a, b)| [*a, *b].contains(&seller));
                    // A liar may deny that it has ever paid one.
                    let is_denied = has_liars && world.replaced.contains(&seller);
                    let goes_back =
                        is_torn || is_denied || world.careless.contains(&seller) || world.liars.contains(&seller);
                    assert!(is_first || goes_back, "an invoice is paid once");
                    let records = world.nodes[seller].disks().filter_map(|disk| disk.invoice(*id));
                    records.last().expect("the seller made it")
                });
                let verified = receipt.verify(world.verifier(), invoice.as_ref().map(|record| &*record.invoice));
                assert_eq!(verified, Ok(()), "the receipt of node {index}");
                if !world.liars.contains(&seller) {
                    let status = invoice.map_or(InvoiceStatus::Paid, |record| record.status);
                    let is_sure = status == InvoiceStatus::Paid || world.replaced.contains(&seller);
                    assert!(is_sure, "node {index} has a receipt for what was not credited");
                    for part in payment.parts.keys() {
                        assert!(collected[seller].contains(part), "part {part} was collected by the seller");
                    }
                }
                let mediators = payment.parts.iter().flat_map(|(id, part)| {
                    let carried = carried.remove(id).unwrap_or_default();
                    let nodes: BTreeSet<_> = carried.iter().map(|(node, _)| world.key(*node)).collect();
                    let path: BTreeSet<_> = part.path[..part.path.len() - 1].iter().copied().collect();
                    assert!(is_vague || nodes == path, "request {id} was carried by others than were asked");
                    carried.into_iter().map(|(node, report)| (node, report.fee.credits()))
                });
                let mediators = mediators.collect();
                let paid_by_it = Paid {
                    buyer: index,
                    seller,
                    currency: payment.currency.clone(),
                    amount: payment.total.credits(),
                    fees: payment.fees(),
                    mediators,
                };
                paid.push((payment, paid_by_it));
            }
        }
        if !is_vague {
            assert!(carried.is_empty(), "mediators collected for payments that were not paid: {carried:?}");
            for (index, node) in world.nodes.iter().enumerate() {
                for record in node.disk.invoices() {
                    let is_paid = paid_invoices.contains(&record.invoice.id);
                    assert_eq!(is_paid, record.status == InvoiceStatus::Paid, "an invoice of node {index}");
                }
            }
        }
        paid
    }

    /// What each node has is what the model says.
    fn check_wealth(&self, paid: &[(Payment, Paid)]) {
        let payments: Vec<Paid> = paid.iter().map(|(_, paid)| paid.clone()).collect();
        let model = Model::after(&payments);
        for currency in &self.currencies {
            let wealth = |index: usize| self.world.nodes[index].wealth_in(currency);
            let all: i128 = (0..self.world.nodes.len()).map(wealth).sum();
            assert_eq!(all, 0, "credits are owed by somebody to somebody");
            for index in 0..self.world.nodes.len() {
                assert_eq!(
                    wealth(index),
                    model.of(index, currency),
                    "what node {index} has in {currency} is what it paid, was paid and took"
                );
            }
        }
    }

    /// An honest node has what its own records say of each friend, less at most what it let that friend owe if it is a
    /// liar.
    fn check_losses(&self) {
        for index in self.honest() {
            if self.world.careless.contains(&index) {
                continue;
            }
            for currency in &self.currencies {
                if self.world.replaced.contains(&index) {
                    self.check_loss_in_all(index, currency);
                } else {
                    self.check_loss_to_each(index, currency);
                }
            }
        }
    }

    /// Of a node that never forgot anything: nobody owes it less than was paid, but a liar, and that one not more than
    /// it was allowed to owe. What its owner gave up by accepting the liar's terms is not owed any more, and may be
    /// borrowed again.
    fn check_loss_to_each(&self, index: usize, currency: &Currency) {
        let world = &self.world;
        let node = &world.nodes[index];
        for friend in (0..world.nodes.len()).filter(|friend| *friend != index) {
            let key = world.key(friend);
            let loss = node.records_with(key, currency) - node.balance_with(key, currency);
            let is_liar = world.liars.contains(&friend);
            let allowed = if is_liar { world.ceiling(index, friend, currency) } else { 0 };
            let given_up = world.given_up(index, friend, currency);
            assert!(
                loss <= signed(allowed) + given_up,
                "node {index} loses {loss} {currency} to node {friend}, which it let owe {allowed} if it is a liar: {is_liar}, and its \
                 owner was shown that this gives {given_up} up"
            );
        }
    }

    /// Of a node that has forgotten something: what it does not remember of one account, it cannot tell apart from what
    /// it does not remember of another, so the loss to all liars is bounded by what all of them were allowed to owe.
    fn check_loss_in_all(&self, index: usize, currency: &Currency) {
        let world = &self.world;
        // A liar may keep to itself what became of a part that its friend has forgotten.
        let is_paid = |id: RequestId, part: &Part| {
            let first = world.index(part.path[0]);
            let hop = AccountId { friend: world.key(index), currency: currency.clone() }.request(id);
            world.liars.contains(&first) || world.nodes[first].collected().contains(&hop)
        };
        let expected = world.nodes[index].records(currency, is_paid) - world.misjudged_fees(index, currency);
        let loss = expected - world.nodes[index].wealth_in(currency);
        // A node that has lost state can be told by a liar that it still owes what it has paid back, or that what the
        // liar owed was never lent. That is so each time.
        let at_risk = |liar: &usize| world.ceiling(index, *liar, currency) + world.stake_of(index, *liar, currency);
        let allowed: u128 = world.liars.iter().map(at_risk).sum();
        let given_up: i128 = world.liars.iter().map(|liar| world.given_up(index, *liar, currency)).sum();
        assert!(
            loss <= signed(allowed) + given_up,
            "node {index} loses {loss} {currency} to liars that it let owe {allowed}"
        );
    }

    fn count_events(&mut self, paid: &[(Payment, Paid)]) {
        for (payment, paid) in paid {
            let events = [
                (payment.parts.len() == 1, EventKind::Single),
                (payment.parts.len() > 1, EventKind::Split),
                (!paid.mediators.is_empty(), EventKind::Mediated),
                (payment.invoice.is_none(), EventKind::Spontaneous),
                (paid.buyer == paid.seller, EventKind::Cycle),
                (payment.currency != Currency::default(), EventKind::OtherCurrency),
            ];
            for (_, event) in events.into_iter().filter(|(is_done, _)| *is_done) {
                self.world.faults.did(event);
            }
        }
    }
}
