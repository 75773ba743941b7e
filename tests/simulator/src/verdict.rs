//! What must hold when a healed world has come to rest, seen from outside: replies, disks and both ends of each account.

use crate::keys::FakeVerifier;
use crate::life::Life;
use crate::world::Node;
use offst_crypto::PublicKey;
use offst_funder::{Command, Progress, Reply};
use offst_proto::report::{InvoiceStatus, PaymentStatus};
use std::collections::{BTreeMap, BTreeSet};

impl Life {
    /// Asks every node, reads every disk, and compares.
    ///
    /// # Panics
    /// When something did not come right.
    pub(crate) fn check(&mut self) {
        let world = &mut self.world;
        for index in 0..world.nodes.len() {
            let payments: Vec<_> = world.nodes[index].disk.payments().map(|payment| payment.id).collect();
            for id in payments {
                assert_eq!(
                    world.ask(index, Command::PaymentStatus(id)),
                    Reply::Unknown,
                    "node {index} is still paying"
                );
            }
            // Whoever waits for an invoice that has ended is answered at once.
            let invoices = world.nodes[index].disk.invoices().filter(|record| record.status != InvoiceStatus::Open);
            for record in invoices.collect::<Vec<_>>() {
                let reply = world.ask(index, Command::WaitInvoice(record.invoice.id));
                let is_known = reply == Reply::Unknown || reply == Reply::InvoiceStatus(record.status);
                assert!(is_known, "node {index} says {reply:?} of an invoice that is {:?}", record.status);
            }
        }
        world.assert_quiet();
        world.check_mirrors();
        // What each node has, from what it paid, was paid and earned. Nothing is begun with, and nothing else moves money.
        let mut expected: BTreeMap<PublicKey, i128> = BTreeMap::new();
        let mut paid_invoices = BTreeSet::new();
        for (index, node) in world.nodes.iter().enumerate() {
            for payment in node.disk.payments() {
                match payment.progress {
                    Progress::Paid => {
                        let receipt = payment.receipt();
                        let receipt = receipt.unwrap_or_else(|| panic!("node {index} has no receipt: {payment:?}"));
                        let invoice = payment.invoice.as_ref().map(|(id, _)| {
                            assert!(paid_invoices.insert(*id), "an invoice is paid once");
                            let seller = world.index(payment.destination);
                            world.nodes[seller].disk.invoice(*id).expect("the seller made it").invoice
                        });
                        assert_eq!(receipt.verify(&FakeVerifier, invoice.as_deref()), Ok(()));
                        let price = payment.total + payment.fees();
                        *expected.entry(node.key).or_default() -= i128::try_from(price).expect("small");
                        *expected.entry(payment.destination).or_default() +=
                            i128::try_from(payment.total).expect("small");
                    }
                    Progress::Failed => assert_eq!(payment.receipt(), None),
                    progress => panic!("a payment of node {index} is {progress:?}: {}", payment.reason),
                }
            }
            for forwarded in &node.disk.forwarded {
                *expected.entry(node.key).or_default() += i128::try_from(forwarded.fee).expect("small");
            }
        }
        assert_eq!(world.nodes.iter().map(Node::wealth).sum::<i128>(), 0, "credits are owed by somebody to somebody");
        for (index, node) in world.nodes.iter().enumerate() {
            let expected = expected.get(&node.key).copied().unwrap_or(0);
            assert_eq!(node.wealth(), expected, "what node {index} has is what it paid and earned");
            for record in node.disk.invoices() {
                let is_paid = paid_invoices.contains(&record.invoice.id);
                assert_eq!(is_paid, record.status == InvoiceStatus::Paid, "invoice of node {index}");
            }
            for command in &node.commands_of_this_run {
                assert!(node.replies.contains_key(command), "node {index} has not answered command {command}");
            }
            for reply in node.replies.values() {
                if let Reply::Payment(report) = reply {
                    assert_eq!(report.receipt.is_some(), report.status == PaymentStatus::Paid);
                }
            }
        }
    }
}
