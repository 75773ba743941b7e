//! Routes with their exact fees: what an index server answers and a funder pays along (protocol sections 2 and 5).

use crate::amount::Amount;
use crate::encoding::DecodeError;
use crate::limits::{HOPS_MAX, PARTS_MAX};
use offst_crypto::PublicKey;
use std::collections::BTreeSet;

/// One path and what it carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartPlan {
    /// The nodes after the source in the order of the path; the last is the destination. 1 to [`HOPS_MAX`] nodes, all
    /// different. Only when source and destination are one node, that node stands at the end.
    pub path: Vec<PublicKey>,
    /// What the destination gets, credits.
    pub amount: Amount,
    /// What all mediators together take, credits; the source pays `amount + fees`.
    pub fees: Amount,
}

/// One route: parts whose amounts add up to the amount asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// 1 to [`PARTS_MAX`] parts.
    pub parts: Vec<PartPlan>,
}

impl PartPlan {
    /// Checks the bounds of a part that came from elsewhere.
    ///
    /// # Errors
    /// An empty or too long path, a node that is passed twice, or more than [`Amount::MAX`] with its fees: the first request
    /// could not hold it.
    pub fn check(&self) -> Result<(), DecodeError> {
        if self.path.len() > HOPS_MAX {
            return Err(DecodeError::too_large("a path"));
        }
        if self.path.is_empty() || self.path.iter().collect::<BTreeSet<_>>().len() < self.path.len() {
            return Err(DecodeError::invalid("a path"));
        }
        if self.amount.checked_add(self.fees).is_none() {
            return Err(DecodeError::too_large("an amount with its fees"));
        }
        Ok(())
    }

    /// What leaves the source, credits.
    pub fn total(&self) -> u128 {
        self.amount.credits() + self.fees.credits()
    }
}

impl Route {
    /// Checks the bounds of a route that came from elsewhere.
    ///
    /// # Errors
    /// No part, too many parts, or a part that [`PartPlan::check`] refuses.
    pub fn check(&self) -> Result<(), DecodeError> {
        if self.parts.is_empty() {
            return Err(DecodeError::invalid("a route"));
        }
        if self.parts.len() > PARTS_MAX {
            return Err(DecodeError::too_large("a route"));
        }
        self.parts.iter().try_for_each(PartPlan::check)
    }

    /// What the destination gets over all parts, credits.
    pub fn amount(&self) -> u128 {
        self.parts.iter().map(|part| part.amount).sum()
    }

    /// What the mediators of all parts take, credits.
    pub fn fees(&self) -> u128 {
        self.parts.iter().map(|part| part.fees).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;

    fn part(seeds: std::ops::Range<u8>) -> PartPlan {
        let path = seeds.map(|seed| Identity::from_seed([seed; 32]).public_key()).collect();
        PartPlan { path, amount: 10.into(), fees: 2.into() }
    }

    #[test]
    fn bounds() {
        assert_eq!(part(0..32).check(), Ok(()));
        assert_eq!(part(0..33).check(), Err(DecodeError::too_large("a path")));
        assert_eq!(part(0..0).check(), Err(DecodeError::invalid("a path")));
        let twice = PartPlan { path: vec![part(0..1).path[0]; 2], ..part(0..1) };
        assert_eq!(twice.check(), Err(DecodeError::invalid("a path")));
        let dear = |fees: u32| PartPlan { amount: Amount::MAX, fees: fees.into(), ..part(0..2) };
        assert_eq!(dear(0).check(), Ok(()));
        assert_eq!(dear(1).check(), Err(DecodeError::too_large("an amount with its fees")));
        assert_eq!(Route { parts: vec![] }.check(), Err(DecodeError::invalid("a route")));
        assert_eq!(Route { parts: vec![part(0..1); 17] }.check(), Err(DecodeError::too_large("a route")));
    }

    #[test]
    fn sums() {
        let route = Route { parts: vec![part(0..2), part(2..3)] };
        assert_eq!((route.amount(), route.fees(), route.parts[0].total()), (20, 4, 12));
    }
}
