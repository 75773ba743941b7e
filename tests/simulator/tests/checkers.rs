//! The checkers see what they are there for: worlds in which somebody breaks a rule on purpose.

use offst_funder::Progress;
use offst_ledger::NEGOTIATIONS;
use offst_rows::{Commit, RowChange, RowKey};
use offst_simulator::World;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a checker said.
#[track_caller]
fn caught(act: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).expect_err("a checker sees it");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// Three nodes in a row; the first has paid the last over the one in the middle.
fn paid() -> World {
    let mut world = World::row(3, 1000);
    let (id, _) = world.send(0, 2, 100);
    world.advance(1_000);
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    world.assert_quiet();
    world
}

#[test]
fn a_disk_that_forgets_a_transaction_is_caught_by_the_second_statement() {
    let mut world = paid();
    let old = world.nodes[0].disk.clone();
    // The friend is not heard from again, so nobody can tell the node what it has forgotten.
    world.send(0, 2, 30);
    world.nodes[1].is_stalled = true;
    world.settle();
    world.kill(0);
    world.nodes[0].disk = old;
    world.nodes[1].is_stalled = false;
    let reason = caught(|| {
        world.start(0);
        world.connect_all();
        world.settle();
        world.send(0, 2, 40);
        world.settle();
        world.connect_all();
        world.advance(100_000);
    });
    assert!(reason.contains("a second statement is signed for one number"), "{reason}");
}

#[test]
fn a_disk_that_loses_a_row_is_caught_by_the_comparison_with_memory() {
    let mut world = paid();
    let friend = world.key(1);
    let line = world.nodes[0].disk.accounts().remove(0);
    assert_eq!(line.friend, friend);
    let row = RowChange::bytes(NEGOTIATIONS, line.to_bytes(), None);
    assert_eq!(world.nodes[0].disk.commit(&[row]), Ok(()));
    let reason = caught(|| {
        for amount in 1..30 {
            world.send(0, 2, amount);
            world.settle();
        }
    });
    assert!(reason.contains("the disk") || reason.contains("not on the disk"), "{reason}");
}

#[test]
fn credits_that_stay_held_are_caught_at_the_end() {
    let mut world = paid();
    world.nodes[2].is_stalled = true;
    world.send(0, 2, 50);
    world.settle();
    let reason = caught(|| world.assert_quiet());
    assert!(reason.contains("node 0 with 1"), "{reason}");
}
