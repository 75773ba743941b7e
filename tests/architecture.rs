//! The rules of docs/architecture.md as tests: which crate may see which, where the crates of others are at home, and what
//! no file may hold.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The licence of what an author of applications links.
const LINKED: &str = "MIT OR Apache-2.0";
/// The licence of everything else.
const CORE: &str = "AGPL-3.0-only";

/// Our libraries: folder, layer, licence. A library sees lower layers only.
const LIBRARIES: &[(&str, u8, &str)] = &[
    ("crypto", 0, LINKED),
    ("proto", 1, LINKED),
    ("rows", 2, CORE),
    ("secure_channel", 2, LINKED),
    ("ledger", 3, CORE),
    ("channeler", 3, CORE),
    ("relay", 3, CORE),
    ("index_server", 3, CORE),
    ("index_client", 3, CORE),
    ("funder", 4, CORE),
    ("store", 5, CORE),
    ("app", 5, LINKED),
    ("app_server", 5, CORE),
    ("node", 6, CORE),
];

/// The layer of every package that is not one of the [`LIBRARIES`]: the programs, the simulator, the load programs.
const PROGRAMS: u8 = 7;

/// Stands in [`HOMES`] for the packages of layer [`PROGRAMS`].
const BIN: &str = "programs";

/// Stands in [`HOMES`] for the package that feeds bytes to every decoder, those of the application interface among them.
const FUZZING: &str = "fuzzing";

/// Crates of others and the only folders in which they are normal or build dependencies. `*` is everywhere.
const HOMES: &[(&str, &[&str])] = &[
    // Facades without behaviour of their own.
    ("log", &["*"]),
    ("thiserror", &["*"]),
    // Keys and files of keys. Everybody else has them through crypto; the programs read the passphrases of those files.
    ("pkcs8", &["crypto"]),
    ("ring", &["crypto"]),
    ("zeroize", &["crypto", BIN]),
    // To leave no core dumps.
    ("rustix", &[BIN]),
    // The texts of keys, and of everything else that a file holds.
    ("base64", &["crypto", "proto"]),
    // The wire. app and app_server speak RPC, whose generated code has capnp's types in its face.
    ("capnp", &["proto", "app", "app_server", FUZZING]),
    ("capnp-rpc", &["app", "app_server"]),
    ("capnpc", &["proto"]),
    // TLS. webpki is here because a pinned key is compared with the one inside the peer's certificate.
    ("rustls", &["secure_channel"]),
    ("rustls-webpki", &["secure_channel"]),
    ("tokio-rustls", &["secure_channel"]),
    ("yamux", &["relay"]),
    ("rusqlite", &["store"]),
    ("rusqlite_migration", &["store"]),
    ("crc32fast", &["store"]),
    // Sockets and tasks: never in the core (crypto, proto, rows, ledger, funder, channeler), nor where the database is.
    ("tokio", &["secure_channel", "relay", "index_server", "index_client", "app", "app_server", "node", BIN, FUZZING]),
    ("tokio-util", &["secure_channel", "relay", "index_server", "index_client", "app", "app_server", "node", BIN]),
    // Where capnp-rpc and yamux need it; in node the boxed futures that app_server asks its backend for.
    ("futures", &["relay", "app", "app_server", "node"]),
    // Files: tickets, invoices and receipts in proto, settings in the programs.
    ("serde", &["proto", BIN]),
    ("toml", &["proto", BIN]),
    ("serde_json", &[BIN]),
    ("anyhow", &[BIN]),
    // Every order of events in the model of the account protocol.
    ("stateright", &[BIN]),
    // Plots of the load program.
    ("plotters", &[BIN]),
    ("clap", &[BIN]),
    ("clap_complete", &[BIN]),
    ("clap_mangen", &[BIN]),
    ("env_logger", &[BIN]),
    ("qrcode", &[BIN]),
    ("rpassword", &[BIN]),
    // The limit of open files.
    ("rustix", &[BIN]),
    ("tempfile", &[BIN]),
];

/// Modules of crates with sockets that decide, and so have none themselves. The crates without sockets are held to the
/// same by components/clippy.toml.
const DECISIONS: &[&str] = &[
    "index_client/src/publisher.rs",
    "index_client/src/queries.rs",
    "index_client/src/route_cache.rs",
    "index_client/src/timestamps.rs",
    "index_server/src/address_quota.rs",
    "index_server/src/admission.rs",
    "index_server/src/capacity_graph.rs",
    "index_server/src/clearing_graph.rs",
    "index_server/src/connections.rs",
    "index_server/src/edge_store.rs",
    "index_server/src/edge_store/bucket.rs",
    "index_server/src/edge_store/changes.rs",
    "index_server/src/edge_store/node_record.rs",
    "index_server/src/fair_queue.rs",
    "index_server/src/graph.rs",
    "index_server/src/graph/arc.rs",
    "index_server/src/graph/capacity.rs",
    "index_server/src/graph/currency_graph.rs",
    "index_server/src/graph/lists.rs",
    "index_server/src/graph/numbers.rs",
    "index_server/src/graph/prefetch.rs",
    "index_server/src/graph/rates.rs",
    "index_server/src/index.rs",
    "index_server/src/neighbour_links.rs",
    "index_server/src/query_graphs.rs",
    "index_server/src/replica.rs",
    "index_server/src/search.rs",
    "index_server/src/search/bounded_hops.rs",
    "index_server/src/search/cheapest.rs",
    "index_server/src/search/cost.rs",
    "index_server/src/search/different.rs",
    "index_server/src/search/flow.rs",
    "index_server/src/search/marks.rs",
    "index_server/src/search/overlay.rs",
    "index_server/src/search/parts.rs",
    "index_server/src/search/path_query.rs",
    "index_server/src/search/route_search.rs",
    "index_server/src/search/scratch.rs",
    "index_server/src/search/short.rs",
    "index_server/src/search/split.rs",
    "index_server/src/search/work.rs",
    "index_server/src/search_scheduler.rs",
    "index_server/src/token_bucket.rs",
    "relay/src/connection_rate.rs",
    "relay/src/rate.rs",
    "relay/src/registry.rs",
    "secure_channel/src/backoff.rs",
    "secure_channel/src/certificate.rs",
    "secure_channel/src/keepalive.rs",
    "secure_channel/src/network.rs",
    "secure_channel/src/occupancy.rs",
];

/// What a decision does not see: sockets, tasks, clocks, and orders that differ from run to run.
const NOT_IN_DECISIONS: &[&str] =
    &["tokio", "std::net::Tcp", "std::thread", "Instant", "SystemTime", "HashMap", "HashSet", "SystemRandom"];

/// Most lines of one file.
const LINES_MAX: usize = 700;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A package of the workspace.
struct Package {
    /// `offst-index-server`.
    name: String,
    /// `components/index_server`, relative to the root; empty for the root itself.
    folder: PathBuf,
    licence: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// `normal`, `build` or `dev`.
    kind: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is a text")).to_owned()
}

/// What cargo knows of the workspace.
fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let workspace_root = PathBuf::from(text(&metadata["workspace_root"]));
    let read = |package: &Value| Package {
        name: text(&package["name"]),
        folder: Path::new(package["manifest_path"].as_str().unwrap())
            .parent()
            .and_then(|folder| folder.strip_prefix(&workspace_root).ok())
            .expect("every package is in the workspace's folder")
            .to_owned(),
        licence: package["license"].as_str().unwrap_or_default().to_owned(),
        dependencies: package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|dependency| Dependency {
                name: text(&dependency["name"]),
                kind: dependency["kind"].as_str().unwrap_or("normal").to_owned(),
            })
            .collect(),
    };
    metadata["packages"].as_array().unwrap().iter().map(read).collect()
}

impl Package {
    /// The name by which [`LIBRARIES`] and [`HOMES`] call it.
    fn home(&self) -> &str {
        match self.folder.strip_prefix("components") {
            Ok(folder) => folder.to_str().unwrap(),
            Err(_) if self.folder == Path::new("tests/fuzzing") => FUZZING,
            Err(_) => BIN,
        }
    }

    fn layer(&self) -> u8 {
        layer_of(self.home())
    }
}

fn layer_of(home: &str) -> u8 {
    LIBRARIES.iter().find(|(folder, ..)| *folder == home).map_or(PROGRAMS, |(_, layer, _)| *layer)
}

/// The folder of our library of this name.
fn our_library(name: &str) -> Option<String> {
    let folder = name.strip_prefix("offst-")?.replace('-', "_");
    LIBRARIES.iter().any(|(known, ..)| *known == folder).then_some(folder)
}

/// Every source file of the libraries and the programs, with its path from the root.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            waiting.extend(entries.filter(|entry| entry.file_name().is_none_or(|name| name != "target")));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(root()).unwrap().to_owned(), source));
        }
    }
    found.sort();
    assert!(!found.is_empty(), "there are sources in {folders:?}");
    found
}

/// Fails with all the faults at once.
#[track_caller]
fn expect_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_component_has_its_place() {
    let found: BTreeMap<_, _> = packages()
        .into_iter()
        .filter(|package| ![BIN, FUZZING].contains(&package.home()))
        .map(|package| (package.home().to_owned(), package.name))
        .collect();
    let expected: BTreeMap<_, _> = LIBRARIES
        .iter()
        .map(|(folder, ..)| ((*folder).to_owned(), format!("offst-{}", folder.replace('_', "-"))))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_crate_sees_lower_layers_only() {
    let mut faults = Vec::new();
    for package in packages() {
        for dependency in &package.dependencies {
            let Some(other) = our_library(&dependency.name) else { continue };
            let (layer, below) = (package.layer(), layer_of(&other));
            // A test may bring a neighbour of the same layer to talk to (index_client its server, app_server its client),
            // never a crate that is built on top of the one that is tested.
            let allowed = if dependency.kind == "dev" { below <= layer } else { below < layer };
            if !allowed {
                let kind = &dependency.kind;
                faults.push(format!(
                    "{} (layer {layer}) must not have {} (layer {below}) as a {kind} dependency",
                    package.name, dependency.name
                ));
            }
        }
    }
    expect_none(&faults);
}

#[test]
fn the_crates_of_others_have_one_home() {
    let mut faults = Vec::new();
    for package in packages() {
        for dependency in &package.dependencies {
            let is_ours = dependency.name.starts_with("offst");
            // The load program measures the bare database of the machine beside ours.
            let is_floor = package.name == "offst-bench" && dependency.name == "rusqlite";
            if is_ours || is_floor || dependency.kind == "dev" {
                continue;
            }
            let homes = HOMES.iter().find(|(name, _)| *name == dependency.name).map(|(_, homes)| *homes);
            match homes {
                None => faults.push(format!(
                    "{} uses {}, which has no home yet: give it one in HOMES",
                    package.name, dependency.name
                )),
                Some(homes) if !homes.contains(&"*") && !homes.contains(&package.home()) => {
                    faults.push(format!("{} uses {}, which is at home in {homes:?}", package.name, dependency.name));
                }
                Some(_) => {}
            }
        }
    }
    expect_none(&faults);
}

#[test]
fn every_crate_has_its_licence() {
    let mut faults = Vec::new();
    for package in packages() {
        let known = LIBRARIES.iter().find(|(folder, ..)| *folder == package.home());
        let expected = known.map_or(CORE, |(_, _, licence)| licence);
        if package.licence != expected {
            faults.push(format!("{}: the licence is {:?}, not {expected:?}", package.name, package.licence));
        }
        // What is given away under one licence must not need what is under the other.
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind != "dev") {
            let other = our_library(&dependency.name).and_then(|o| LIBRARIES.iter().find(|(folder, ..)| *folder == o));
            if expected == LINKED && other.is_some_and(|(_, _, licence)| *licence != LINKED) {
                faults.push(format!("{} is {LINKED}, {} is not", package.name, dependency.name));
            }
        }
    }
    expect_none(&faults);
    for (file, words) in [
        ("LICENSE", ["GNU AFFERO GENERAL PUBLIC LICENSE", "How to Apply These Terms to Your New Programs"]),
        ("LICENSE-MIT", ["Permission is hereby granted", "THE SOFTWARE IS PROVIDED"]),
        ("LICENSE-APACHE", ["Apache License", "How to apply the Apache License to your work"]),
    ] {
        let content = std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let words = words.map(str::to_lowercase);
        assert!(words.iter().all(|word| content.to_lowercase().contains(word)), "{file} is whole");
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let read = |folder: &Path| -> toml::Table {
        std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap().parse().unwrap()
    };
    let lints = read(Path::new(""))["workspace"]["lints"].clone();
    assert_eq!(lints["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for lint in ["dbg_macro", "todo", "unimplemented"] {
        assert!(lints["clippy"].get(lint).is_some(), "clippy::{lint} is on");
    }
    for package in packages() {
        let manifest = read(&package.folder);
        let taken = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(taken, Some(true), "{} has [lints] workspace = true", package.name);
    }
}

/// The core must not see what differs from run to run. Which crates are exempt is said by where a clippy.toml lies.
#[test]
fn the_core_stays_under_the_ban() {
    let exempt: BTreeSet<_> = LIBRARIES
        .iter()
        .map(|(folder, ..)| *folder)
        .filter(|folder| root().join("components").join(folder).join("clippy.toml").exists())
        .collect();
    let core = ["crypto", "proto", "rows", "ledger", "funder", "channeler"];
    let expected = LIBRARIES.iter().map(|(folder, ..)| *folder).filter(|folder| !core.contains(folder)).collect();
    assert_eq!(exempt, expected, "the crates with a clippy.toml of their own");
    let bans: toml::Table = std::fs::read_to_string(root().join("components/clippy.toml")).unwrap().parse().unwrap();
    let banned = |list: &str| -> BTreeSet<String> {
        bans[list].as_array().unwrap().iter().map(|ban| text_of(&ban["path"])).collect()
    };
    for path in ["std::collections::HashMap", "std::collections::HashSet"] {
        assert!(banned("disallowed-types").contains(path), "{path} is banned");
    }
    for path in ["std::time::Instant::now", "std::time::SystemTime::now", "std::thread::spawn", "std::thread::sleep"] {
        assert!(banned("disallowed-methods").contains(path), "{path} is banned");
    }
}

fn text_of(value: &toml::Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is a text")).to_owned()
}

#[test]
fn decisions_have_no_sockets_and_no_clock() {
    let mut faults = Vec::new();
    let decisions = DECISIONS.iter().map(|file| Path::new("components").join(file));
    // The simulator repeats a run from its seed. Only its program looks at the clock, to say how fast it was.
    let world =
        sources(&["tests/simulator/src"]).into_iter().map(|(path, _)| path).filter(|path| !path.ends_with("main.rs"));
    for file in decisions.chain(world) {
        let path = root().join(&file);
        let file = file.display();
        let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if let Some(word) = NOT_IN_DECISIONS.iter().find(|word| line.contains(**word)) {
                faults.push(format!("{file}:{}: a decision has no {word}", number + 1));
            }
        }
    }
    expect_none(&faults);
}

#[test]
fn no_file_is_too_long_to_read_in_one_sitting() {
    let long = |(path, source): (PathBuf, String)| {
        let lines = source.lines().count();
        (lines > LINES_MAX).then(|| format!("{} has {lines} lines, more than {LINES_MAX}", path.display()))
    };
    expect_none(&sources(&["components", "bin", "tests", "examples"]).into_iter().filter_map(long).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here so that this file does not find itself.
    let leftovers = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!"));
    let marks = [("TO", "DO"), ("FIX", "ME")].map(|(start, end)| format!("{start}{end}"));
    let mut faults = Vec::new();
    for (path, source) in sources(&["components", "bin", "tests", "examples", "benches"]) {
        for (number, line) in source.lines().enumerate() {
            if let Some(word) = leftovers.iter().chain(&marks).find(|word| line.contains(word.as_str())) {
                faults.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    expect_none(&faults);
}

#[test]
fn no_module_is_a_drawer_for_everything() {
    let drawers = ["utils", "util", "common", "helpers", "helper", "misc"];
    let mut faults = Vec::new();
    for (path, _) in sources(&["components", "bin", "tests", "examples", "benches"]) {
        let is_drawer = path.with_extension("").components().any(|part| drawers.iter().any(|d| part.as_os_str() == *d));
        if is_drawer {
            faults.push(format!("{}: say in the name what it is for", path.display()));
        }
    }
    expect_none(&faults);
}

/// A number stands in every database that was ever written, so it names one kind for ever.
#[test]
fn every_kind_of_row_has_a_number_of_its_own() {
    let mut kinds: BTreeMap<u16, String> = BTreeMap::new();
    for (path, source) in sources(&["components/ledger/src", "components/funder/src"]) {
        for keeping in ["state", "log", "listed", "journal", "shelf"] {
            for found in source.split(&format!("Kind::{keeping}(")).skip(1) {
                let number: String = found.chars().take_while(char::is_ascii_digit).collect();
                let Ok(number) = number.parse() else { continue };
                let here = path.display().to_string();
                if let Some(other) = kinds.insert(number, here.clone()) {
                    panic!("{here} and {other} both have rows of the kind {number}");
                }
            }
        }
    }
    assert!(kinds.len() > 20, "kinds are found: {kinds:?}");
}
