//! The deliberate bugs by which the simulator is tested are in no program.

/// What stands in every program that is built with them, and some of their names.
const MARKS: [&str; 3] = ["offst-deliberate-bug", "send-before-commit", "collect-partial-sum"];

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
        for mark in MARKS {
            let is_there = bytes.windows(mark.len()).any(|window| window == mark.as_bytes());
            assert!(!is_there, "{program} holds \"{mark}\"");
        }
    }
}
