//! The rules of docs/protocol.md and the code: each numbered rule is cited where it is enforced and where it is broken by a test,
//! and no citation leads nowhere.
//!
//! A rule is `- **R1.14** Only ...` at the beginning of a line. A citation is its number in a comment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Section and number.
type Rule = (u32, u32);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rule whose number a text begins with, without the `R`.
fn number(text: &str) -> Option<Rule> {
    let (section, rest) = text.split_once('.')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((section.parse().ok()?, rest[..digits].parse().ok()?))
}

/// Every number of a rule in a text: `R1.14`, not as a part of a longer word.
fn numbers(text: &str) -> impl Iterator<Item = Rule> {
    text.match_indices('R').filter_map(|(at, _)| {
        let is_word = text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        (!is_word).then(|| number(&text[at + 1..])).flatten()
    })
}

/// The rules in the order of the page. Panics if one is given twice or out of order.
fn rules() -> Vec<Rule> {
    let page = std::fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    let rules: Vec<Rule> = page.lines().filter_map(|line| number(line.strip_prefix("- **R")?)).collect();
    assert!(rules.len() > 50, "docs/protocol.md has rules");
    for (section, of_section) in rules.chunk_by(|a, b| a.0 == b.0).map(|chunk| (chunk[0].0, chunk)) {
        for (place, rule) in of_section.iter().enumerate() {
            assert_eq!(rule.1 as usize, place + 1, "the rules of section {section} are numbered from 1, each once");
        }
    }
    rules
}

/// What a source says about rules: citations in code that runs, and in tests.
#[derive(Default)]
struct Citations {
    production: BTreeMap<Rule, BTreeSet<PathBuf>>,
    tests: BTreeMap<Rule, BTreeSet<PathBuf>>,
}

/// All files with an ending in these folders, by their paths from the root.
fn files(places: &[&str], ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = places.iter().map(|place| root().join(place)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            waiting.extend(entries.filter(|entry| entry.file_name().is_none_or(|name| name != "target")));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
    found.sort();
    found
}

/// Whether a whole file is a test: it lies in a folder of tests, or is called so.
fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.components().any(|part| part.as_os_str() == "tests") || stem == "tests" || stem.ends_with("_tests")
}

/// The comment of a line, if it has one.
fn comment(line: &str) -> Option<&str> {
    line.find("//").map(|start| &line[start..])
}

fn citations() -> Citations {
    let mut citations = Citations::default();
    let this_file = Path::new(file!());
    for path in files(&["components", "bin", "tests", "examples", "benches"], "rs") {
        if path.ends_with(this_file) {
            continue;
        }
        let source = std::fs::read_to_string(root().join(&path)).unwrap();
        let mut is_in_test = is_test(&path);
        for line in source.lines() {
            is_in_test |= line.trim_start().starts_with("#[cfg(test)]");
            for rule in comment(line).into_iter().flat_map(numbers) {
                let places = if is_in_test { &mut citations.tests } else { &mut citations.production };
                places.entry(rule).or_default().insert(path.clone());
            }
        }
    }
    citations
}

fn named(rules: impl IntoIterator<Item = Rule>) -> String {
    rules.into_iter().map(|(section, number)| format!("R{section}.{number} ")).collect()
}

#[test]
fn every_rule_is_cited_where_it_is_enforced() {
    let cited = citations().production;
    let missing: Vec<_> = rules().into_iter().filter(|rule| !cited.contains_key(rule)).collect();
    assert!(missing.is_empty(), "no code in components/ or bin/ says in a comment that it enforces {}", named(missing));
}

#[test]
fn every_rule_is_cited_by_a_test() {
    let cited = citations().tests;
    let missing: Vec<_> = rules().into_iter().filter(|rule| !cited.contains_key(rule)).collect();
    assert!(missing.is_empty(), "no test says in a comment that it tries to break {}", named(missing));
}

#[test]
fn every_citation_leads_to_a_rule() {
    let known: BTreeSet<Rule> = rules().into_iter().collect();
    let Citations { production, tests } = citations();
    let unknown = production.into_iter().chain(tests).filter(|(rule, _)| !known.contains(rule));
    let faults: Vec<_> = unknown.map(|(rule, places)| format!("{}in {places:?}", named([rule]))).collect();
    assert!(faults.is_empty(), "there is no rule with this number in docs/protocol.md: {faults:#?}");
    // The pages themselves cite rules, too.
    let mut faults = Vec::new();
    for page in files(&["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "components", "tests", "benches"], "md")
    {
        let text = std::fs::read_to_string(root().join(&page)).unwrap();
        let unknown = numbers(&text).filter(|rule| !known.contains(rule));
        faults.extend(unknown.map(|rule| format!("{}: {}", page.display(), named([rule]))));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn numbers_are_read_as_they_are_meant() {
    assert_eq!(numbers("R1.14, (R7.2) and R10.1.").collect::<Vec<_>>(), [(1, 14), (7, 2), (10, 1)]);
    assert_eq!(numbers("XR1.14 R1 R.4 Rx.1 RFC 8032").count(), 0);
    assert_eq!(comment("let a = 1; // R1.2"), Some("// R1.2"));
    assert_eq!(comment("let a = 1;"), None);
}
