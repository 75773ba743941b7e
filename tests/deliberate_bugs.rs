//! The deliberate bugs by which the simulator is tested are in no program.

/// What stands in every program that is built with them, as tests/simulator/tests/mutants.rs shows: also in one that cannot
/// switch any of them on.
const MARK: &str = "offst-deliberate-bug";

#[test]
fn no_program_holds_a_deliberate_bug() {
    let programs = [
        env!("CARGO_BIN_EXE_stnode"),
        env!("CARGO_BIN_EXE_strelay"),
        env!("CARGO_BIN_EXE_stindex"),
        env!("CARGO_BIN_EXE_stctrl"),
    ];
    for program in programs {
        let bytes = std::fs::read(program).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(MARK), "{program} was built with deliberate bugs");
    }
}
