//! A row of mediators between attackers and honest neighbours, and payments over routes that are given.

use offst_proto::Amount;
use offst_proto::route::{PartPlan, Route};
use offst_simulator::{Paths, World};

/// 0 and 4 are one attacker at both ends of a row of honest mediators 1, 2, 3. 5 is an honest buyer beside 0, 6 an
/// honest seller beside 4.
pub(crate) fn street() -> World {
    let mut world = World::new(7, 1);
    for (a, b) in [(0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (3, 6)] {
        world.befriend(a, b, 1000, 1000);
    }
    world.connect_all();
    world.settle();
    world
}

/// The one route that index servers answer with from now on: over this path, with a fee of 1 for each mediator.
pub(crate) fn route(world: &World, path: &[usize], amount: u128) -> Paths {
    let fees = path.len() as u128 - 1;
    let path = path.iter().map(|index| world.key(*index)).collect();
    Paths::Given(
        [vec![Route { parts: vec![PartPlan { path, amount: Amount::capped(amount), fees: Amount::capped(fees) }] }]]
            .into(),
    )
}
