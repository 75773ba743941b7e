//! The Markdown of the repository: every link leads somewhere, and the book leaves no page out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page: its text without code, which holds no links, the pieces of code in its sentences, and what its headings are called in
/// links.
struct Page {
    prose: String,
    code: Vec<String>,
    anchors: BTreeSet<String>,
}

/// Every page of the repository, by its path from the root.
fn pages() -> BTreeMap<PathBuf, Page> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root().to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            waiting.extend(entries.filter(|entry| {
                let name = entry.file_name().unwrap_or_default().to_string_lossy();
                name != "target" && !name.starts_with('.')
            }));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.insert(path.strip_prefix(root()).unwrap().to_owned(), read(&text));
        }
    }
    assert!(found.len() > 10, "there are pages: {:?}", found.keys());
    found
}

fn read(text: &str) -> Page {
    let (mut prose, mut code, mut anchors) = (String::new(), Vec::new(), BTreeSet::new());
    let mut is_code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            continue;
        }
        if is_code || line.starts_with("    ") {
            continue;
        }
        let heading = line.trim_start_matches('#');
        if heading.len() < line.len() && heading.starts_with(' ') {
            let name = anchor(heading);
            let again = (1..).map(|number| format!("{name}-{number}"));
            let unused = std::iter::once(name.clone()).chain(again).find(|name| !anchors.contains(name));
            anchors.extend(unused);
        }
        line.split('`').step_by(2).for_each(|text| prose += text);
        code.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        prose.push('\n');
    }
    Page { prose, code, anchors }
}

/// What a heading is called in links: lower case, hyphens for spaces, without punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// What the links of a page point at.
fn targets(prose: &str) -> impl Iterator<Item = &str> {
    prose.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(normal.pop(), "{} leads out of the repository", path.display()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut faults = Vec::new();
    let mut links = 0;
    for (path, page) in &pages {
        for target in targets(&page.prose).filter(|target| !target.contains("://")) {
            links += 1;
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let file = if file.is_empty() { path.clone() } else { normal(&path.parent().unwrap().join(file)) };
            if !root().join(&file).exists() {
                faults.push(format!("{}: {target}: there is no {}", path.display(), file.display()));
            } else if let Some(anchor) = anchor {
                let known = pages.get(&file).is_some_and(|page| page.anchors.contains(anchor));
                if !known {
                    faults.push(format!("{}: {target}: no heading is called so", path.display()));
                }
            }
        }
    }
    assert!(links > 50, "only {links} links were found");
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_file_that_is_named_exists() {
    const FOLDERS: &[&str] =
        &["bin/", "benches/", "capnp/", "components/", "docs/", "examples/", "tests/", ".ci/", ".config/"];
    let mut faults = Vec::new();
    let mut named = 0;
    for (path, page) in pages() {
        for file in page.code.iter().filter(|code| FOLDERS.iter().any(|folder| code.starts_with(folder))) {
            // `tests/*.rs`, `bin/PROGRAM/settings.rs`, `src/{links,seeds}.rs`: patterns.
            let is_pattern = file.contains(['*', '{', ' '])
                || file.split(['/', '.']).any(|part| !part.is_empty() && part == part.to_uppercase());
            named += usize::from(!is_pattern);
            let in_package = path.parent().unwrap().join(file);
            if !is_pattern && !root().join(file).exists() && !root().join(in_package).exists() {
                faults.push(format!("{}: there is no `{file}`", path.display()));
            }
        }
    }
    assert!(named > 50, "only {named} files are named");
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_module_that_is_named_exists() {
    let mut found = 0;
    let mut missing = Vec::new();
    for (name, page) in pages() {
        for (crate_name, module) in page.code.iter().filter_map(|code| code.split_once("::")) {
            let source = root().join("components").join(crate_name).join("src");
            if !source.is_dir() || !module.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                continue;
            }
            found += 1;
            if ![format!("{module}.rs"), format!("{module}/mod.rs")].iter().any(|file| source.join(file).is_file()) {
                missing.push(format!("{}: {crate_name}::{module}", name.display()));
            }
        }
    }
    assert!(found > 3, "modules are named: {found}");
    assert!(missing.is_empty(), "there are no such modules: {missing:#?}");
}

#[test]
fn the_book_leaves_no_page_out() {
    let pages = pages();
    let summary = Path::new("docs/SUMMARY.md");
    let listed: BTreeSet<PathBuf> =
        targets(&pages[summary].prose).map(|target| normal(&Path::new("docs").join(target))).collect();
    let docs = pages.keys().filter(|page| page.starts_with("docs") && *page != summary);
    let missing: Vec<_> = docs.filter(|page| !listed.contains(*page)).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md does not name {missing:?}");
}

#[test]
fn every_crate_says_what_it_knows_and_what_it_does_not() {
    let mut faults = Vec::new();
    for folder in std::fs::read_dir(root().join("components")).unwrap().map(|entry| entry.unwrap().path()) {
        if !folder.join("Cargo.toml").exists() {
            continue;
        }
        let manifest: toml::Table = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap();
        let name = manifest["package"]["name"].as_str().unwrap();
        let page = std::fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
        let title = format!("# {name} ");
        for part in [title.as_str(), "does not know", "egin with"].iter().filter(|part| !words.contains(**part)) {
            faults.push(format!("{}/README.md: {part:?} is missing", folder.display()));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_tests_of_the_readme_are_those_of_the_gate() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let gate = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    let commands: Vec<_> = readme.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    let [_village, tests] = commands[..] else { panic!("the README has two commands: {commands:?}") };
    assert!(gate.contains(tests), ".ci/run does not run `{tests}`");
}

#[test]
fn headings_are_called_as_a_git_host_calls_them() {
    assert_eq!(anchor(" `info friends` shows `W`: waiting"), "info-friends-shows-w-waiting");
    assert_eq!(anchor(" 10. Known and absent"), "10-known-and-absent");
    let page = read("# One\n## One\n```\n# no heading [x](y)\n```\n`[a](b)` [c](d)\n");
    assert_eq!(page.anchors, BTreeSet::from(["one".to_owned(), "one-1".to_owned()]));
    assert_eq!(targets(&page.prose).collect::<Vec<_>>(), ["d"]);
    assert_eq!(page.code, ["[a](b)"]);
}
