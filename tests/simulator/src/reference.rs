//! What every node must have in the end, by a model that fits on a page. It knows who paid whom and what mediators took on the
//! way; of accounts, logs, requests, crashes and lies it knows nothing.

use offst_proto::Currency;
use std::collections::BTreeMap;

/// A payment that was paid.
#[derive(Debug, Clone)]
pub(crate) struct Paid {
    pub(crate) buyer: usize,
    pub(crate) seller: usize,
    pub(crate) currency: Currency,
    /// What the seller asked for, credits.
    pub(crate) amount: u128,
    /// What the buyer agreed to pay besides, credits.
    pub(crate) fees: u128,
    /// Who carried it, and what each took, credits.
    pub(crate) mediators: Vec<(usize, u128)>,
}

/// What each node has in each currency: what all its friends together owe it.
#[derive(Debug, Default)]
pub(crate) struct Model(BTreeMap<(usize, Currency), i128>);

impl Model {
    /// The world after these payments, begun with nothing. A payment that failed is none: it moved nothing.
    ///
    /// # Panics
    /// When mediators took something else than the buyer agreed to.
    pub(crate) fn after(payments: &[Paid]) -> Self {
        let mut model = Model::default();
        for payment in payments {
            let taken: u128 = payment.mediators.iter().map(|(_, fee)| fee).sum();
            assert_eq!(taken, payment.fees, "mediators took what the buyer agreed to: {payment:?}");
            model.add(payment.buyer, &payment.currency, -signed(payment.amount + payment.fees));
            model.add(payment.seller, &payment.currency, signed(payment.amount));
            for (mediator, fee) in &payment.mediators {
                model.add(*mediator, &payment.currency, signed(*fee));
            }
        }
        model
    }

    fn add(&mut self, node: usize, currency: &Currency, credits: i128) {
        *self.0.entry((node, currency.clone())).or_default() += credits;
    }

    /// What a node has.
    pub(crate) fn of(&self, node: usize, currency: &Currency) -> i128 {
        self.0.get(&(node, currency.clone())).copied().unwrap_or(0)
    }
}

/// Credits of a simulated payment are few.
pub(crate) fn signed(credits: u128) -> i128 {
    i128::try_from(credits).expect("small")
}
