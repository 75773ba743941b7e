//! Deliberate bugs in the ledger, the funder and the world: each must be caught by a checker. They are in no program but the one
//! that is built here, in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Within so many worlds every bug is caught.
const SEEDS: &str = "200";

/// What every program with the bugs holds. Of those that users get tests/deliberate_bugs.rs shows that none holds it.
const MARK: &str = "offst-deliberate-bug";

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the package lies two folders below")
}

/// Builds the package's programs with the bugs in them: the simulator, and the economy, which cannot switch them on.
fn build() -> [PathBuf; 2] {
    let target = workspace().join("target").join("mutants");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "offst-simulator", "--bins"])
        .args(["--config", "profile.dev.opt-level=1", "--config", "profile.dev.debug=false"])
        .env("RUSTFLAGS", "--cfg mutant")
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    ["offst-simulator", "economy"]
        .map(|name| target.join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

fn holds(program: &Path, text: &str) -> bool {
    let bytes = std::fs::read(program).expect("it was just built");
    String::from_utf8_lossy(&bytes).contains(text)
}

fn run(program: &Path, arguments: &[&str]) -> (Output, String) {
    let output = Command::new(program).args(arguments).output().expect("the simulator runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

/// What follows the program's name in a line that begins so.
fn command<'a>(text: &'a str, line: &str) -> &'a str {
    let found = text.lines().find_map(|found| found.strip_prefix(line));
    let command = found.unwrap_or_else(|| panic!("no \"{line}\" in {text}"));
    assert!(command.starts_with("RUSTFLAGS=\"--cfg mutant\" cargo run"), "{command}");
    command.split_once(" -- ").expect("the simulator's own arguments").1
}

/// Both commands that a failure prints lead back to it: nothing that matters is missing in them.
fn failures_are_repeated_by_their_commands(program: &Path) {
    let without = ["--mutant", "forget-cancel", "--without", "slow-disks,delays", "--nodes", "5"];
    let (output, text) = run(program, &[&["--seeds", SEEDS, "--threads", "1"][..], &without].concat());
    assert!(!output.status.success(), "{text}");
    let first = text.lines().next().expect("it says what is wrong");
    for line in ["repeat it: ", "the shortest way there: "] {
        let repeated: Vec<&str> = command(&text, line).split(' ').chain(["--brief"]).collect();
        for argument in ["--mutant", "forget-cancel", "--nodes", "--without"] {
            assert!(repeated.contains(&argument), "{argument} is missing: {repeated:?}");
        }
        let (output, again) = run(program, &repeated);
        assert!(!output.status.success(), "{repeated:?} came right: {again}");
        if line == "repeat it: " {
            assert_eq!(again.lines().next(), Some(first), "{repeated:?} fails in another way");
        }
    }
}

#[test]
fn every_deliberate_bug_is_caught() {
    let [program, economy] = build();
    // As a node would be that was built so by mistake: it has the bugs, and nothing in it that names or chooses one.
    assert!(holds(&economy, MARK) && !holds(&economy, "forget-cancel"));
    assert!(holds(&program, MARK) && holds(&program, "forget-cancel"));
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
        if !output.status.success() {
            assert!(command(&text, "repeat it: ").ends_with(&format!(" --mutant {name}")), "{text}");
        }
    }
    assert!(missed.is_empty(), "no checker saw {missed:?} in {SEEDS} worlds");
    let (output, text) = run(&program, &["--seeds", "5"]);
    assert!(output.status.success(), "without a bug all is well: {text}");
    failures_are_repeated_by_their_commands(&program);
}
