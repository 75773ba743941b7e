//! The lists of `deny.toml` held against what is linked, where cargo-deny cannot be had: licences and sources of every crate.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every package that the lock file names, on all platforms, as cargo describes it.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version", "1", "--locked"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let Value::Array(packages) = metadata["packages"].take() else { panic!("cargo lists packages") };
    packages
}

fn name(package: &Value) -> String {
    format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap())
}

fn rules() -> toml::Table {
    std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap()
}

/// Whether a licence expression (SPDX) can be met with the licences that are allowed. `/` is how `OR` was once written.
fn is_met(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    let met = any(&mut words, allowed);
    assert!(words.is_empty(), "{expression} is a licence expression");
    met
}

/// `a OR b`. Words are taken from the end of the list.
fn any(words: &mut Vec<&str>, allowed: &BTreeSet<&str>) -> bool {
    let mut met = all(words, allowed);
    while words.pop_if(|word| *word == "OR").is_some() {
        // Not `||`: the right side is to be read all the same.
        met |= all(words, allowed);
    }
    met
}

/// `a AND b`, which binds more tightly.
fn all(words: &mut Vec<&str>, allowed: &BTreeSet<&str>) -> bool {
    let mut met = one(words, allowed);
    while words.pop_if(|word| *word == "AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

/// One licence, perhaps with an exception, or an expression in brackets.
fn one(words: &mut Vec<&str>, allowed: &BTreeSet<&str>) -> bool {
    let word = words.pop().expect("a licence");
    if word == "(" {
        let met = any(words, allowed);
        assert_eq!(words.pop(), Some(")"));
        return met;
    }
    if words.pop_if(|word| *word == "WITH").is_some() {
        let exception = words.pop().expect("an exception");
        return allowed.contains(format!("{word} WITH {exception}").as_str());
    }
    allowed.contains(word)
}

#[test]
fn every_licence_is_allowed() {
    let rules = rules();
    let allowed: BTreeSet<&str> =
        rules["licenses"]["allow"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    let mut faults = Vec::new();
    // Packages without a source are ours: tests/architecture.rs holds their licences.
    let others: Vec<_> = packages().into_iter().filter(|package| !package["source"].is_null()).collect();
    assert!(others.len() > 100, "there are crates of others");
    for package in &others {
        match package["license"].as_str() {
            Some(licence) if is_met(licence, &allowed) => {}
            licence => faults.push(format!("{}: {licence:?} is not among {allowed:?} (deny.toml)", name(package))),
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn everything_comes_from_the_one_registry_with_a_checksum() {
    let rules = rules();
    for what in ["unknown-registry", "unknown-git"] {
        assert_eq!(rules["sources"][what].as_str(), Some("deny"));
    }
    let lock: toml::Table = std::fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    let mut faults = Vec::new();
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        match package.get("source").map(|source| source.as_str().unwrap()) {
            None if name == "offst" || name.starts_with("offst-") => {}
            Some(source) if source.starts_with("registry+") && source.ends_with("/crates.io-index") => {
                if package.get("checksum").is_none() {
                    faults.push(format!("{name} has no checksum"));
                }
            }
            source => faults.push(format!("{name} comes from {source:?}")),
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn licence_expressions_are_read_as_they_are_meant() {
    let allowed = BTreeSet::from(["MIT", "ISC"]);
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("Unlicense/MIT", true),
        ("GPL-3.0-only AND MIT", false),
        ("MIT AND ISC", true),
        ("GPL-3.0-only AND ISC OR MIT", true),
        ("GPL-3.0-only AND (ISC OR MIT)", false),
        ("(GPL-3.0-only OR MIT) AND ISC", true),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("MIT WITH something", false),
    ] {
        assert_eq!(is_met(expression, &allowed), expected, "{expression}");
    }
}
