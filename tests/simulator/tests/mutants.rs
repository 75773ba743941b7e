//! Deliberate bugs in the ledger, the funder and the world: each must be caught by a checker. They are in no program but the one
//! that is built here, in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Within so many worlds every bug is caught.
const SEEDS: &str = "200";

/// What a program with the bugs holds.
const MARK: &str = "offst-deliberate-bug";

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the package lies two folders below")
}

/// Builds the simulator with the bugs in it.
fn build() -> PathBuf {
    let target = workspace().join("target").join("mutants");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "offst-simulator", "--bin", "offst-simulator"])
        .args(["--config", "profile.dev.opt-level=1", "--config", "profile.dev.debug=false"])
        .env("RUSTFLAGS", "--cfg mutant")
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("debug").join(format!("offst-simulator{}", std::env::consts::EXE_SUFFIX))
}

fn run(program: &Path, arguments: &[&str]) -> (Output, String) {
    let output = Command::new(program).args(arguments).output().expect("the simulator runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

#[test]
fn every_deliberate_bug_is_caught() {
    let program = build();
    // What no other program may hold (tests/deliberate_bugs.rs) is here.
    let bytes = std::fs::read(&program).expect("it was just built");
    assert!(bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes()));
    let (_, names) = run(&program, &["--mutants"]);
    let names: Vec<&str> = names.lines().collect();
    assert!(names.len() >= 10, "{names:?}");
    let mut missed = Vec::new();
    for name in names {
        let (output, text) = run(&program, &["--seeds", SEEDS, "--brief", "--mutant", name]);
        if output.status.success() {
            missed.push(name);
        }
        println!("{name}: {}", text.lines().next().unwrap_or_default());
    }
    assert!(missed.is_empty(), "no checker saw {missed:?} in {SEEDS} worlds");
    let (output, text) = run(&program, &["--seeds", "5"]);
    assert!(output.status.success(), "without a bug all is well: {text}");
}
