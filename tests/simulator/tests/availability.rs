//! Nobody silences others: honest payments succeed while somebody works against them.

use offst_simulator::availability::{Attack, Share, measure};

/// Worlds for each attack.
const WORLDS: u64 = 4;

#[test]
fn enough_honest_payments_succeed_under_every_attack() {
    for attack in Attack::ALL {
        let mut share = Share::default();
        (0..WORLDS).for_each(|seed| share.add(measure(seed, attack).expect("every checker holds")));
        let told = format!("{}: {} % of what succeeds in peace, {share:?}", attack.name(), share.percent());
        println!("{told}");
        assert!(share.paid_in_peace * 10 >= share.ordered * 8, "without an attack most succeed: {told}");
        assert!(share.percent() >= attack.floor(), "{told}");
    }
}
