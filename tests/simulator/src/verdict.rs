//! What must hold when a healed world has come to rest, seen from outside: replies, disks and both ends of each account.

use crate::faults::{Deed, Kind};
use crate::life::Life;
use crate::reference::{Model, Paid, signed};
use crate::world::Node;
use offst_funder::{Command, Payment, Progress, Reply};
use offst_proto::report::{ForwardReport, InvoiceStatus, PaymentStatus};
use offst_proto::{Currency, InvoiceId, RequestId};
use std::collections::{BTreeMap, BTreeSet};

/// Who carried a request on, by their own records.
type Carried = BTreeMap<RequestId, Vec<(usize, ForwardReport)>>;

impl Life {
    /// Asks every node, reads every disk, and compares.
    ///
    /// # Panics
    /// When something did not come right.
    pub(crate) fn check(&mut self) {
        self.check_answers();
        self.world.check_mirrors();
        let paid = self.check_receipts();
        if self.mix.has(Kind::Liars) {
            self.check_losses();
        } else {
            self.world.assert_quiet();
            self.check_wealth(&paid);
        }
        self.count_deeds(&paid);
    }

    /// The nodes that are honest, or just all of them.
    fn honest(&self) -> Vec<usize> {
        (0..self.world.nodes.len()).filter(|index| !self.world.liars.contains(index)).collect()
    }

    /// Nobody waits for an answer any more, and nothing is said twice.
    fn check_answers(&mut self) {
        for index in self.honest() {
            let world = &mut self.world;
            let has_liars = !world.liars.is_empty();
            let payments: Vec<_> = world.nodes[index].disk.payments().map(|payment| payment.id).collect();
            for id in payments {
                let status = world.ask(index, Command::PaymentStatus(id));
                assert_eq!(status, Reply::Unknown, "node {index} is still paying");
            }
            // Whoever waits for an invoice that has ended is answered at once.
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
                    let has_proof = report.receipt.is_some() || has_liars;
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
        let mut carried = Carried::new();
        for (index, node) in world.nodes.iter().enumerate() {
            for report in &node.disk.forwarded {
                carried.entry(report.request_id).or_default().push((index, report.clone()));
            }
        }
        let arrived = |node: &Node| -> BTreeSet<RequestId> {
            let collected = node.collected().into_iter().filter(|key| node.disk.arrived.contains_key(key));
            collected.map(|key| key.id).collect()
        };
        let collected: Vec<BTreeSet<RequestId>> = world.nodes.iter().map(arrived).collect();
        let mut paid = Vec::new();
        let mut paid_invoices: BTreeSet<InvoiceId> = BTreeSet::new();
        for index in self.honest() {
            for payment in world.nodes[index].disk.payments() {
                match payment.progress {
                    Progress::Paid => {}
                    Progress::Failed => {
                        assert_eq!(payment.receipt(), None, "a payment that failed has a receipt");
                        continue;
                    }
                    progress => panic!("a payment of node {index} is {progress:?}: {}", payment.reason),
                }
                let seller = world.index(payment.destination);
                let Some(receipt) = payment.receipt() else {
                    assert!(has_liars, "node {index} has no receipt: {payment:?}");
                    continue;
                };
                let invoice = payment.invoice.as_ref().map(|(id, _)| {
                    assert!(paid_invoices.insert(*id), "an invoice is paid once");
                    world.nodes[seller].disk.invoice(*id).expect("the seller made it")
                });
                let verified = receipt.verify(world.verifier(), invoice.as_ref().map(|record| &*record.invoice));
                assert_eq!(verified, Ok(()), "the receipt of node {index}");
                if !world.liars.contains(&seller) {
                    let status = invoice.map_or(InvoiceStatus::Paid, |record| record.status);
                    assert_eq!(status, InvoiceStatus::Paid, "node {index} has a receipt for what was not credited");
                    for part in payment.parts.keys() {
                        assert!(collected[seller].contains(part), "part {part} was collected by the seller");
                    }
                }
                let mediators = payment.parts.iter().flat_map(|(id, part)| {
                    let carried = carried.remove(id).unwrap_or_default();
                    let nodes: BTreeSet<_> = carried.iter().map(|(node, _)| world.key(*node)).collect();
                    let route: BTreeSet<_> = part.route[..part.route.len() - 1].iter().copied().collect();
                    assert!(has_liars || nodes == route, "request {id} was carried by others than were asked");
                    carried.into_iter().map(|(node, report)| (node, report.fee))
                });
                let mediators = mediators.collect();
                let paid_by_it = Paid {
                    buyer: index,
                    seller,
                    currency: payment.currency.clone(),
                    amount: payment.total,
                    fees: payment.fees(),
                    mediators,
                };
                paid.push((payment, paid_by_it));
            }
        }
        if !has_liars {
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

    /// An honest node has what its own records say, less at most what it let liars owe.
    fn check_losses(&self) {
        for index in self.honest() {
            for currency in &self.currencies {
                let expected = self.world.nodes[index].records(currency);
                let loss = expected - self.world.nodes[index].wealth_in(currency);
                let liars = self.world.liars.iter();
                let allowed: u128 = liars.map(|liar| self.world.ceiling(index, *liar, currency)).sum();
                assert!(
                    loss <= signed(allowed),
                    "node {index} loses {loss} {currency} to liars that it let owe {allowed}"
                );
            }
        }
    }

    fn count_deeds(&mut self, paid: &[(Payment, Paid)]) {
        for (payment, paid) in paid {
            let deeds = [
                (payment.parts.len() > 1, Deed::Split),
                (!paid.mediators.is_empty(), Deed::Mediated),
                (payment.invoice.is_none(), Deed::Gift),
                (paid.buyer == paid.seller, Deed::Cycle),
                (payment.currency != Currency::default(), Deed::OtherCurrency),
            ];
            for (_, deed) in deeds.into_iter().filter(|(is_done, _)| *is_done) {
                self.world.faults.did(deed);
            }
        }
    }
}
