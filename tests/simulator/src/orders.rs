//! What owners have ordered, against what their nodes have done: the amounts, the currency, the destination, and no
//! more fees than were allowed.

use crate::run::Run;
use crate::world::World;
use offst_funder::{Cycle, Payment, Progress};
use offst_proto::Amount;
use offst_proto::fee_bound::FeeBounds;
use offst_proto::order::{Destination, Order, Purpose};
use offst_proto::{PaymentId, RequestId};
use std::collections::{BTreeMap, BTreeSet};

impl Run {
    /// Every payment that a disk of an honest node ever held was ordered, just so, or clears a cycle of the node's
    /// debts.
    ///
    /// # Panics
    /// When something was paid that nobody has ordered, or not as it was ordered.
    pub(crate) fn check_orders(&self) {
        let orders: BTreeMap<(usize, PaymentId), &Order> =
            self.orders.iter().map(|(buyer, order)| ((*buyer, order.payment_id), order)).collect();
        for index in self.honest() {
            let node = &self.world.nodes[index];
            let requests = node.requests();
            let held: BTreeMap<RequestId, u128> = requests.iter().map(|(hop, held)| (hop.id, *held)).collect();
            for payment in node.disks().flat_map(|disk| disk.payments()) {
                match orders.get(&(index, payment.id)) {
                    Some(order) => check_order(&self.world, index, order, &payment),
                    None => {
                        let is_clearing = payment.cycle == Some(Cycle::Clearing) && payment.destination == node.key;
                        assert!(is_clearing, "node {index} pays what nobody has ordered: {payment:?}");
                    }
                }
                for (id, part) in &payment.parts {
                    let leaves = held.get(id).copied().unwrap_or(0);
                    assert!(
                        leaves <= part.total(),
                        "node {index} has signed {leaves} for a part that costs {} and {} in fees",
                        part.amount,
                        part.fees
                    );
                }
            }
        }
        self.check_deliveries(&orders);
    }

    /// No order brings its seller more than it says, however often it was repeated. A node that has lost state does not
    /// know any more what it has paid, and may make a spontaneous payment again. A mediator that lies, or whose account
    /// was forgotten, may release what the seller has collected: that is its own loss, and the buyer pays another part.
    fn check_deliveries(&self, orders: &BTreeMap<(usize, PaymentId), &Order>) {
        let world = &self.world;
        if !world.liars.is_empty() {
            return;
        }
        let mut uncertain = world.uncertain();
        // So may one whose owner has written it off.
        uncertain.extend(world.written_off());
        let mut delivered: BTreeMap<PaymentId, u128> = BTreeMap::new();
        for index in self.honest() {
            let sold = world.nodes[index].sold();
            let inbound_parts = world.nodes[index].disks().flat_map(|disk| &disk.arrived);
            let of: BTreeMap<_, _> = inbound_parts.map(|(hop, inbound_part)| (hop, inbound_part.payment_id)).collect();
            for (hop, amount) in sold.iter().filter(|(hop, _)| !uncertain.contains(&hop.id)) {
                *delivered.entry(of[hop]).or_default() += amount;
            }
        }
        let remembers = |index: &usize| !world.replaced.contains(index) && !world.careless.contains(index);
        let honest: BTreeSet<usize> = self.honest().into_iter().filter(remembers).collect();
        for ((buyer, id), order) in orders.iter().filter(|((buyer, _), _)| honest.contains(buyer)) {
            let (amount, ordered) = (delivered.get(id).copied().unwrap_or(0), amount(order));
            assert!(amount <= ordered.credits(), "node {buyer} has paid {amount} for an order of {ordered}: {order:?}");
        }
    }
}

/// What the destination is to get, credits.
fn amount(order: &Order) -> Amount {
    match &order.purpose {
        Purpose::Invoice(invoice) => invoice.amount,
        Purpose::Spontaneous { amount, .. } | Purpose::Rebalance { amount, .. } => *amount,
    }
}

fn check_order(world: &World, buyer: usize, order: &Order, payment: &Payment) {
    // A friend that has lost its key keeps its name, and an order goes to the friend that has the name when it is
    // given.
    let now = |key| world.key(world.person(world.index(key)));
    let held_cycle = payment.cycle.map(|cycle| match cycle {
        Cycle::Rebalance(first) => Cycle::Rebalance(now(first)),
        cycle => cycle,
    });
    let (destination, invoice, cycle, currency) = match &order.purpose {
        Purpose::Invoice(invoice) => {
            let secret = (invoice.id, invoice.secret.clone());
            (invoice.destination, Some(secret), None, &invoice.currency)
        }
        Purpose::Spontaneous { destination: Destination::Key(key), currency, .. } => (*key, None, None, currency),
        Purpose::Spontaneous { destination: Destination::Friend(name), .. } => {
            panic!("nobody orders by the friend's name here: {name}")
        }
        Purpose::Rebalance { friend, currency, .. } => {
            let friend = (0..world.nodes.len()).find(|index| crate::world::name(*index) == *friend);
            let first = world.key(friend.expect("friends have the names of nodes"));
            (world.key(buyer), None, Some(Cycle::Rebalance(now(first))), currency)
        }
    };
    let ordered = (destination, &invoice, cycle, currency, amount(order), order.max_fee, order.timeout_ms);
    let held = (
        payment.destination,
        &payment.invoice,
        held_cycle,
        &payment.currency,
        payment.total,
        payment.max_fee,
        payment.timeout_ms,
    );
    assert_eq!(held, ordered, "what node {buyer} pays, and what was ordered");
    let fees_max = order.max_fee.unwrap_or_else(|| FeeBounds::default().of(currency, payment.total));
    assert!(
        payment.fees() <= fees_max.credits(),
        "node {buyer} pays {} in fees, and {fees_max} were allowed",
        payment.fees()
    );
    if payment.progress == Progress::Paid {
        let parts: u128 = payment.parts.values().map(|part| part.amount).sum();
        assert!(parts <= payment.total.credits(), "node {buyer} pays {} for an order of {}", parts, payment.total);
    }
    if let Some(Cycle::Rebalance(first)) = cycle {
        assert!(
            payment.parts.values().all(|part| now(part.path[0]) == first),
            "a cycle that begins with another friend"
        );
    }
}
