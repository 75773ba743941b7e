//! What hardly ever comes about by chance.

use offst_simulator::scripts::SCRIPTS;

#[test]
fn scripted_runs_pass() {
    let failed: Vec<_> = SCRIPTS.iter().filter_map(|script| Some((script.name, script.run().err()?))).collect();
    assert!(failed.is_empty(), "{failed:?}");
}
