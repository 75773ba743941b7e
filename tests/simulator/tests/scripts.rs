//! What hardly ever comes about by chance.

use offst_simulator::scripts::SCRIPTS;

#[test]
fn scripted_worlds_come_right() {
    let failed: Vec<_> = SCRIPTS.iter().filter_map(|script| Some((script.name, script.live().err()?))).collect();
    assert!(failed.is_empty(), "{failed:?}");
}
