//! Two statements of a node's for one place of its log: a friend that shows it the one that it has forgotten is believed.

use crate::World;
use crate::world::name;
use offst_funder::Command;
use offst_proto::Currency;

/// Both ends of an account go back to older disks, in silence. The node signs something else for the place, its friend does not
/// hear it and comes back to the disk that holds the first one.
pub(super) fn a_fork_of_our_own() {
    let mut world = World::row(3, 1000);
    world.advance(60_000);
    let old = [0, 1].map(|index| world.nodes[index].disk.clone());
    let limit = |world: &mut World, limit| {
        world.ask(1, Command::SetFriendMaxDebt(name(0), Currency::default(), limit));
        world.settle();
    };
    limit(&mut world, 700.into());
    let newer = world.nodes[0].disk.clone();
    for (index, disk) in old.into_iter().enumerate() {
        world.replace_disk(index, disk, false);
    }
    world.connect_all();
    world.settle();
    assert!(world.is_consistent(0, 1), "both have forgotten the same");
    world.nodes[0].is_stalled = true;
    limit(&mut world, 800.into());
    limit(&mut world, 900.into());
    let signed = world.nodes[1].account(world.key(0)).epoch().map(|epoch| epoch.mine.seq);
    let before = world.nodes[1].account(world.key(0)).epoch().map(|epoch| epoch.number);
    world.nodes[0].is_stalled = false;
    world.replace_disk(0, newer, false);
    let known = world.nodes[0].account(world.key(1)).epoch().map(|epoch| epoch.theirs.seq);
    assert!(
        known < signed,
        "the friend knows {known:?}, another statement for the same place, and node 1 has signed {signed:?}"
    );
    world.connect_all();
    world.advance(1_000);
    let account = world.nodes[1].account(world.key(0));
    let begun = account.epoch().map(|epoch| epoch.number);
    assert!(
        begun > before && account.is_resumed(),
        "node 1 was shown its own signature under a statement that it does not know, and does not recover: {:?} in epoch {begun:?}",
        account.status()
    );
}
