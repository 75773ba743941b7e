//! Mutants of the ledger, the funder and the simulator: each must be caught by a checker. They are in a copy of the
//! sources, and so in no program but the one that is built here. The list: mutants.toml.

mod source;

use serde::Deserialize;
use source::{Change, Source};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Every mutant is caught by one of so many seeds.
const SEEDS: &str = "200";

/// How the program is called that a failure prints, up to its arguments.
const CALLED: &str =
    "cargo run --release --manifest-path target/mutants/source/Cargo.toml --target-dir target/mutants/build";

/// Where the switch comes to lie, and how it is known there.
const SWITCH: (&str, &str) = ("components/ledger/src/mutant.rs", "\npub mod mutant;\n");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// The changes by which the program knows `--mutant` and `--mutants`.
    flags: Vec<Change>,
    mutant: Vec<Mutant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    name: String,
    breaks: String,
    change: Vec<Change>,
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the package lies two folders below")
}

fn list() -> List {
    toml::from_str(include_str!("mutants.toml")).expect("mutants.toml is as its head says")
}

/// The sources with all mutants in them.
fn mutated(original: &Source) -> Source {
    let list = list();
    let mut source = original.clone();
    let mut drifted = Vec::new();
    for change in &list.flags {
        drifted.extend(source.change(original, change, "").err().map(|why| format!("the flags: {why}")));
    }
    for Mutant { name, change, .. } in &list.mutant {
        for change in change {
            let switch = format!("{}::mutant::is_on(\"{name}\")", change.ledger());
            drifted.extend(source.change(original, change, &switch).err().map(|why| format!("{name}: {why}")));
        }
    }
    assert!(
        drifted.is_empty(),
        "mutants.toml names text that does not stand once in the sources:\n{}",
        drifted.join("\n")
    );
    let names: Vec<_> = list.mutant.iter().map(|mutant| &mutant.name).collect();
    source.append(SWITCH.0, include_str!("switch.rs"));
    source.append(SWITCH.0, &format!("\n/// The names of all mutants.\npub const NAMES: &[&str] = &{names:?};\n"));
    source.append("components/ledger/src/lib.rs", SWITCH.1);
    source
}

/// Builds the simulator with the mutants in it.
fn build() -> PathBuf {
    let folder = workspace().join("target").join("mutants");
    let (copy, target) = (folder.join("source"), folder.join("build"));
    mutated(&Source::read(workspace())).write(&copy);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--package", "offst-simulator", "--bin", "offst-simulator"])
        .args(["--config", "profile.dev.opt-level=1", "--config", "profile.dev.debug=false", "--target-dir"])
        .arg(&target)
        .current_dir(copy)
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

/// What follows the program's name in a line that begins so.
fn command<'a>(text: &'a str, line: &str) -> &'a str {
    let found = text.lines().find_map(|found| found.strip_prefix(line));
    let command = found.unwrap_or_else(|| panic!("no \"{line}\" in {text}"));
    assert!(command.starts_with(CALLED), "{command}");
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
        assert!(!output.status.success(), "{repeated:?} passed: {again}");
        if line == "repeat it: " {
            assert_eq!(again.lines().next(), Some(first), "{repeated:?} fails with other words");
        }
    }
}

/// Builds nothing: it says at once which entry has to follow a change of the code.
#[test]
fn every_mutant_finds_its_place() {
    let list = list();
    let names: BTreeSet<_> = list.mutant.iter().map(|mutant| &mutant.name).collect();
    assert_eq!(names.len(), list.mutant.len(), "two mutants have the same name");
    for Mutant { name, breaks, change } in &list.mutant {
        assert!(breaks.ends_with('.') && !change.is_empty(), "{name} breaks something, and says so in a sentence");
    }
    mutated(&Source::read(workspace()));
}

#[test]
fn no_source_knows_of_mutants() {
    let source = Source::read(workspace());
    let folders = ["bin", "benches", "components", "examples", "tests/model/src", "tests/simulator/src"];
    for folder in folders.map(Path::new) {
        assert!(source.texts(folder).next().is_some(), "there are sources in {}", folder.display());
        for (path, text) in source.texts(folder) {
            assert!(!text.to_lowercase().contains("mutant"), "{} speaks of mutants", path.display());
        }
    }
}

#[test]
fn every_mutant_is_caught() {
    let program = build();
    let (_, listed) = run(&program, &["--mutants"]);
    let names: Vec<_> = list().mutant.into_iter().map(|mutant| mutant.name).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
    let mut missed = Vec::new();
    for name in &names {
        let (output, text) = run(&program, &["--seeds", SEEDS, "--brief", "--mutant", name]);
        println!("{name}: {}", text.lines().next().unwrap_or_default());
        if output.status.success() {
            missed.push(name);
        } else {
            assert!(command(&text, "repeat it: ").ends_with(&format!(" --mutant {name}")), "{text}");
        }
    }
    assert!(missed.is_empty(), "no checker saw {missed:?} with {SEEDS} seeds");
    let (output, text) = run(&program, &["--seeds", "5"]);
    assert!(output.status.success(), "without a mutant all is well: {text}");
    failures_are_repeated_by_their_commands(&program);
}
