//! What mediators take, against what their owners have set.

use super::World;
use offst_proto::Amount;
use offst_proto::Rate;

impl World {
    /// For everything that a node has forwarded it kept exactly the fee by a rate that its owner had set for the friend
    /// that asked, or by the default one; of a debt cycle it may have taken none, when its owner ever allowed that.
    ///
    /// # Panics
    /// When a node took something else.
    pub(crate) fn check_rates(&self, index: usize) {
        for (hop, went) in self.nodes[index].requests() {
            let currency = &hop.account.currency;
            let Some(asked) = self.rates.asked.get(&(index, hop.id, currency.clone())) else { continue };
            let is_right = asked.iter().any(|asked| {
                let name = super::name(self.index(asked.from));
                let set = self.rates.set.get(&(index, name, currency.clone())).into_iter().flatten().copied();
                let is_by_rate = |rate: Rate| {
                    Amount::new(asked.held).and_then(|held| rate.forwarded(held)).map(Amount::credits) == Some(went)
                };
                let is_waived = asked.clears && self.rates.clearing.contains(&index) && asked.held == went;
                is_waived || set.chain([Rate::default()]).any(is_by_rate)
            });
            assert!(
                is_right,
                "node {index} passes {went} {currency} of request {} on, which is by none of its rates: {asked:?}",
                hop.id
            );
        }
    }

    /// What honest nodes have published of each other is what their accounts can carry now: nothing is under way.
    ///
    /// # Panics
    /// When an account has room that is not published, or the other way round.
    pub(crate) fn check_published(&self, honest: &[usize]) {
        for index in honest.iter().copied() {
            for (friend, account) in self.nodes[index].accounts().filter(|(_, account)| account.is_resumed()) {
                let Some(epoch) = account.active() else { continue };
                let edge = self.edges.get(&(self.key(index), friend, account.key().currency.clone()));
                let said = edge.map(|edge| (edge.send_capacity.credits(), edge.receive_capacity.credits()));
                assert_eq!(
                    said,
                    Some((epoch.send_capacity(), epoch.receive_capacity())),
                    "what node {index} publishes of its account with node {} in {}",
                    self.index(friend),
                    account.key().currency
                );
            }
        }
    }
}
