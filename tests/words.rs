//! One word for one thing (docs/glossary.md): the words that are gone stay away from code, documents, help and schemas.
//!
//! Nothing is banned as a part of another word. Identifiers are split into words (`LineKey`, `line_key`: line, key). In
//! prose a phrase matches whole words, whatever their case. What scripts rely on stays as it is: values in JSON, kinds
//! of history, names of settings and of counters; they are strings of one word, and those are not looked at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is not said any more.
enum Old {
    /// A whole identifier, as it is spelt.
    Identifier(&'static str),
    /// Words that follow each other in an identifier. One word alone is not looked for in the sentences that tests are
    /// called by.
    Words(&'static str),
    /// Words with which an identifier begins.
    Beginning(&'static str),
    /// Words that follow each other in documents, comments, help and texts of programs.
    Phrase(&'static str),
}
use Old::{Beginning, Identifier, Phrase, Words};

/// An old word, what to say instead, and the folders or files in which it is banned.
struct Banned {
    old: Old,
    say: &'static str,
    places: &'static [&'static str],
}

const fn ban(old: Old, say: &'static str, places: &'static [&'static str]) -> Banned {
    Banned { old, say, places }
}

const CODE: &[&str] = &["components", "bin", "tests", "examples", "benches", "capnp", "fuzz"];
/// `help` is what the programs print with `man`.
const ALL: &[&str] = &[
    "components",
    "bin",
    "tests",
    "examples",
    "benches",
    "capnp",
    "fuzz",
    "docs",
    "help",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
];
const MONEY: &[&str] =
    &["components/ledger", "components/funder", "components/store", "tests/simulator", "tests/model", "tests/fuzzing"];
/// Where `ring` is not the crate of that name.
const WITHOUT_CRYPTO: &[&str] = &[
    "components/app",
    "components/app_server",
    "components/funder",
    "components/index_client",
    "components/index_server",
    "components/node",
    "components/proto",
    "components/store",
    "bin",
    "tests/simulator",
    "capnp",
];
const LEDGER: &[&str] = &["components/ledger"];
const FUNDER: &[&str] = &["components/funder"];
const INDEX: &[&str] =
    &["components/index_server", "components/index_client", "capnp/index.capnp", "capnp/federation.capnp"];
const SIMULATOR: &[&str] = &["tests/simulator"];
const STCTRL: &[&str] = &["bin/stctrl"];

const BANNED: &[Banned] = &[
    // Accounts, requests, routes.
    ban(Words("line key"), "AccountId", CODE),
    ban(Identifier("line"), "account or account_id", FUNDER),
    ban(Identifier("lines"), "accounts or account_ids", FUNDER),
    ban(Words("line room"), "account room", CODE),
    ban(Phrase("your line to"), "your account with", ALL),
    ban(Phrase("line to the next"), "account with the next", ALL),
    ban(Phrase("own line"), "own account", ALL),
    ban(Phrase("own lines"), "own accounts", ALL),
    ban(Phrase("whole line"), "whole account", ALL),
    ban(Phrase("every line between"), "every account between", ALL),
    ban(Phrase("the line had left"), "the account had left", ALL),
    ban(Phrase("no line carries"), "no account carries", ALL),
    ban(Words("hop key"), "RequestRef", CODE),
    ban(Identifier("Way"), "Route (all parts of a payment) or Path (of one part)", CODE),
    ban(Identifier("Ways"), "Routes or Paths", CODE),
    ban(Identifier("way"), "route (all parts of a payment) or path (of one part)", CODE),
    ban(Identifier("ways"), "routes or paths", CODE),
    ban(Phrase("for ways"), "for routes", ALL),
    ban(Phrase("another way"), "another route or path", ALL),
    ban(Phrase("other way can mend"), "other route can mend", ALL),
    ban(Phrase("cheapest way"), "cheapest route", ALL),
    ban(Phrase("cheaper ways"), "cheaper routes", ALL),
    ban(Phrase("ways to pay"), "routes", ALL),
    ban(Phrase("ways with their fees"), "routes with their fees", ALL),
    ban(Phrase("no other way"), "no other route", ALL),
    ban(Phrase("look for a way"), "look for a route", ALL),
    ban(Phrase("route or way"), "route", ALL),
    // The ledger.
    ban(Identifier("Said"), "SentStatement", LEDGER),
    ban(Identifier("Move"), "ViewUpdate", LEDGER),
    ban(Identifier("hear"), "apply_remote", LEDGER),
    ban(Identifier("act"), "apply_local", LEDGER),
    ban(Identifier("Place"), "LogCursor", LEDGER),
    ban(Identifier("Track"), "LogReplay", LEDGER),
    ban(Identifier("Misstep"), "InvalidTransition", LEDGER),
    ban(Words("window of friend"), "peer_window", LEDGER),
    ban(Identifier("Sound"), "StateTrust::Current", LEDGER),
    ban(Identifier("Doubtful"), "StateTrust::Suspect", LEDGER),
    ban(Identifier("Restored"), "StateTrust::Recovered", LEDGER),
    ban(Words("in doubt"), "suspect", CODE),
    ban(Phrase("in doubt"), "suspect (of a state)", ALL),
    ban(Phrase("comes into doubt"), "becomes suspect", ALL),
    // The funder.
    ban(Words("relink"), "reconcile", CODE),
    ban(Words("relinking"), "reconciling", CODE),
    ban(Phrase("relink"), "reconcile", ALL),
    ban(Words("inherited"), "unresolved_inbound", FUNDER),
    ban(Words("stirred"), "dirty", CODE),
    ban(Identifier("strangers"), "unknown_peers", FUNDER),
    ban(Identifier("forgotten"), "lost_accounts", FUNDER),
    ban(Words("frozen"), "reserved (before the commit), pending (after it)", CODE),
    ban(Phrase("frozen"), "reserved (before the commit), pending (after it), held (either)", ALL),
    ban(Phrase("on its way"), "in flight", ALL),
    ban(Phrase("on their way"), "in flight", ALL),
    ban(Words("arrival"), "inbound part", MONEY),
    ban(Words("arrivals"), "inbound parts", MONEY),
    ban(Words("group key"), "part set key", CODE),
    ban(Words("lane"), "forward pair", FUNDER),
    ban(Words("lanes"), "forward pairs", FUNDER),
    ban(Words("judge hold"), "jamming protection", CODE),
    ban(Words("strikes"), "jamming protection", FUNDER),
    ban(Identifier("silences"), "jamming protection", FUNDER),
    ban(Phrase("against freezing"), "jamming protection", ALL),
    ban(Phrase("the ring"), "the cycle", WITHOUT_CRYPTO),
    ban(Phrase("a ring"), "a cycle", WITHOUT_CRYPTO),
    ban(Phrase("arrival"), "inbound part", FUNDER),
    ban(Phrase("came into doubt"), "became suspect", ALL),
    ban(Words("gift"), "spontaneous payment", CODE),
    ban(Words("gifts"), "spontaneous payments", CODE),
    ban(Phrase("gift"), "spontaneous payment", ALL),
    ban(Phrase("gifts"), "spontaneous payments", ALL),
    ban(Words("circle"), "cycle", CODE),
    ban(Words("circles"), "cycles", CODE),
    ban(Words("homecoming"), "check_return", CODE),
    ban(Words("ring"), "debt cycle", WITHOUT_CRYPTO),
    ban(Words("rings"), "debt cycles", WITHOUT_CRYPTO),
    ban(Phrase("ring of debts"), "debt cycle", ALL),
    ban(Phrase("rings of debts"), "debt cycles", ALL),
    ban(Phrase("ring of such debts"), "cycle of such debts", ALL),
    ban(Phrase("around the ring"), "around the cycle", ALL),
    ban(Words("heir"), "key rotation", CODE),
    ban(Words("heirs"), "key rotation", CODE),
    ban(Words("succession"), "key rotation", CODE),
    ban(Words("successor"), "new key", MONEY),
    ban(Words("handover"), "key rotation", CODE),
    ban(Phrase("succession"), "key rotation", ALL),
    ban(Phrase("successor"), "new key", ALL),
    ban(Beginning("take up"), "resume_", MONEY),
    ban(Beginning("give out"), "emit_", MONEY),
    ban(Beginning("note"), "record_", MONEY),
    ban(Words("proofs came"), "handle_proofs", MONEY),
    ban(Identifier("heard"), "handle_", FUNDER),
    // Servers.
    ban(Phrase("word about"), "announcement of", ALL),
    ban(Phrase("newest word"), "latest announcement", ALL),
    ban(Phrase("edge that was taken back"), "edge that was withdrawn", ALL),
    ban(Words("taken back"), "withdrawn", INDEX),
    ban(Identifier("Book"), "EdgeStore", INDEX),
    ban(Identifier("Turns"), "SearchScheduler", INDEX),
    ban(Identifier("Waiting"), "WorkQueue", INDEX),
    ban(Identifier("Shares"), "AddressQuota", INDEX),
    ban(Identifier("Layer"), "CurrencyGraph", INDEX),
    ban(Phrase("hung up on"), "rejected", ALL),
    ban(Phrase("hangs up on"), "rejects", ALL),
    ban(Words("courtesy"), "dial delay", CODE),
    ban(Phrase("courtesy"), "dial delay", ALL),
    // The programs.
    ban(Identifier("Voice"), "OutputFormat", STCTRL),
    ban(Identifier("How"), "PaymentOptions", STCTRL),
    ban(Identifier("sentence"), "message", CODE),
    // The simulator.
    ban(Words("denial"), "withheld_state", SIMULATOR),
    ban(Words("vain"), "invalid_messages", SIMULATOR),
    ban(Words("theft"), "balance_check", SIMULATOR),
    ban(Words("weather"), "network_faults", SIMULATOR),
    ban(Words("agenda"), "scheduler", SIMULATOR),
    ban(Words("notebook"), "signer_log", SIMULATOR),
    ban(Words("deed"), "event_kind", SIMULATOR),
    ban(Words("truth"), "expected_state", SIMULATOR),
    ban(Words("town"), "testnet", CODE),
    ban(Phrase("town"), "testnet", ALL),
    ban(Words("deliberate bug"), "mutant", CODE),
    ban(Words("deliberate bugs"), "mutants", CODE),
    ban(Phrase("deliberate bug"), "mutant", ALL),
    ban(Phrase("deliberate bugs"), "mutants", ALL),
    ban(Phrase("worlds lived"), "runs", ALL),
    ban(Phrase("worlds a second"), "runs/s", ALL),
    ban(Phrase("comes right"), "passes", ALL),
    ban(Phrase("come right"), "pass", ALL),
    ban(Phrase("came right"), "passed", ALL),
    ban(Words("come right"), "pass", CODE),
    // Of people and nodes.
    ban(Phrase("whoever"), "the node that, the one that, those who", ALL),
    ban(Phrase("he"), "they", ALL),
    ban(Phrase("his"), "their", ALL),
    ban(Phrase("him"), "them", ALL),
];

/// What is called so by a library, and where.
const KEPT: &[(&str, &str)] = &[("tests/plots", "Circle")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A piece of a file.
enum Piece<'a> {
    /// As it is spelt, and its words.
    Identifier(&'a str, Vec<String>),
    /// A comment, or a paragraph of a document.
    Prose(Vec<String>),
    /// A text of a program. One word alone may be what scripts rely on.
    Text(Vec<String>),
}

/// Takes a source apart. Good enough for what rustfmt and the compiler let through; schemas have comments that begin
/// with `#`.
fn pieces(source: &str, is_schema: bool) -> Vec<(usize, Piece<'_>)> {
    let mut pieces = Vec::new();
    let bytes = source.as_bytes();
    let is_part = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source[at..];
        let begins = at;
        if rest.starts_with("//") || is_schema && rest.starts_with('#') {
            // Lines that follow each other are one text, so that a phrase is found across the end of a line.
            let is_comment = |line: &str| {
                let line = line.trim_start();
                line.starts_with("//") || is_schema && line.starts_with('#')
            };
            let lines = rest.split_inclusive('\n').take_while(|line| is_comment(line));
            let length = lines.map(str::len).sum();
            pieces.push((begins, Piece::Prose(spoken(&rest[..length]))));
            at += length;
        } else if rest.starts_with('"') {
            let mut end = 1;
            while end < rest.len() && rest.as_bytes()[end] != b'"' {
                end += if rest.as_bytes()[end] == b'\\' { 2 } else { 1 };
            }
            pieces.push((begins, Piece::Text(spoken(rest.get(1..end).unwrap_or_default()))));
            at += end + 1;
        } else if rest.starts_with("r#\"") || rest.starts_with("r\"") {
            let (start, close) = if rest.starts_with("r#") { (3, "\"#") } else { (2, "\"") };
            let length = rest[start..].find(close).unwrap_or(rest.len() - start);
            pieces.push((begins, Piece::Text(spoken(&rest[start..start + length]))));
            at += start + length + close.len();
        } else if rest.starts_with('\'') {
            // A letter, or the beginning of a lifetime.
            let escaped = usize::from(rest.as_bytes().get(1) == Some(&b'\\'));
            let letter = rest[1 + escaped..].chars().next().map_or(1, char::len_utf8);
            let closes = rest.as_bytes().get(1 + escaped + letter) == Some(&b'\'');
            at += if closes { 2 + escaped + letter } else { 1 };
        } else if is_part(bytes[at]) {
            let length = rest.bytes().position(|c| !is_part(c)).unwrap_or(rest.len());
            pieces.push((begins, Piece::Identifier(&rest[..length], words(&rest[..length]))));
            at += length;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    let (mut line, mut counted) = (1, 0);
    let with_line = |(at, piece)| {
        line += source[counted..at].matches('\n').count();
        counted = at;
        (line, piece)
    };
    pieces.into_iter().map(with_line).collect()
}

/// The words of an identifier: `LineKey`, `line_key` and `LINE_KEY` are line, key.
fn words(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in identifier.chars() {
        if c == '_' || c.is_uppercase() && was_lower {
            words.push(String::new());
        }
        was_lower = c.is_lowercase() || c.is_ascii_digit();
        if c != '_' {
            words.last_mut().expect("there is one").extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The words of a text, whatever stands between them. A line break is no more than a blank.
fn spoken(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '\'';
    text.split(|c| !is_part(c)).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn follow(words: &[String], wanted: &str) -> bool {
    let length = wanted.split(' ').count();
    words.windows(length).any(|window| window.iter().zip(wanted.split(' ')).all(|(word, wanted)| word == wanted))
}

/// Most words of an identifier that is no sentence.
const NAME_WORDS_MAX: usize = 4;

fn is_met(old: &Old, piece: &Piece<'_>) -> bool {
    match (old, piece) {
        (Identifier(wanted), Piece::Identifier(found, _)) => wanted == found,
        (Words(wanted), Piece::Identifier(_, words)) => {
            (wanted.contains(' ') || words.len() <= NAME_WORDS_MAX) && follow(words, wanted)
        }
        (Beginning(wanted), Piece::Identifier(_, words)) => {
            let length = wanted.split(' ').count();
            // The word alone is a noun.
            words.len() > length && words.len() <= NAME_WORDS_MAX && follow(&words[..length], wanted)
        }
        (Phrase(wanted), Piece::Prose(words)) => follow(words, wanted),
        (Phrase(wanted), Piece::Text(words)) => words.len() > 1 && follow(words, wanted),
        _ => false,
    }
}

fn say(old: &Old) -> &'static str {
    match old {
        Identifier(old) | Words(old) | Beginning(old) | Phrase(old) => old,
    }
}

/// Every file in which words are counted, with its text.
fn files() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut waiting: Vec<PathBuf> = ALL.iter().map(|place| root().join(place)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            waiting.extend(
                entries.filter(|entry| entry.file_name().is_none_or(|name| name != "target" && name != "corpus")),
            );
        } else if path
            .extension()
            .is_some_and(|extension| ["rs", "md", "capnp", "toml"].iter().any(|e| extension == *e))
        {
            let text = std::fs::read_to_string(&path).unwrap();
            found.insert(path.strip_prefix(root()).unwrap().to_owned(), text);
        }
    }
    // This table names them all.
    found.remove(Path::new(file!()));
    for (name, program) in [
        ("stnode", env!("CARGO_BIN_EXE_stnode")),
        ("strelay", env!("CARGO_BIN_EXE_strelay")),
        ("stindex", env!("CARGO_BIN_EXE_stindex")),
        ("stctrl", env!("CARGO_BIN_EXE_stctrl")),
    ] {
        let output = Command::new(program).arg("man").output().unwrap();
        assert!(output.status.success(), "{name} man: {output:?}");
        let page = String::from_utf8(output.stdout).unwrap();
        assert!(page.lines().count() > 50, "{name} explains itself");
        found.insert(Path::new("help").join(name), page);
    }
    found
}

/// A paragraph without what stands in backticks (names and values), and nothing of a JSON document.
fn without_values(paragraph: &str) -> String {
    let is_json = paragraph.lines().any(|line| line.trim_start().starts_with('"'));
    if is_json { String::new() } else { paragraph.split('`').step_by(2).collect() }
}

/// What is wrong in one file: file, line, the old word, what to say.
fn faults(path: &Path, text: &str) -> Vec<String> {
    // Most words are in few files.
    let lower = text.to_lowercase();
    let is_there = |ban: &&Banned| say(&ban.old).split(' ').all(|word| lower.contains(&word.to_lowercase()));
    let is_banned = |ban: &&Banned| ban.places.iter().any(|place| path.starts_with(place));
    let banned: Vec<_> = BANNED.iter().filter(is_banned).filter(is_there).collect();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let pieces = match &*extension {
        "rs" | "capnp" => pieces(text, extension == "capnp"),
        // Documents are read by paragraphs, so that a phrase is found across the end of a line.
        _ => text
            .split("\n\n")
            .scan(1, |line, paragraph| {
                let begins = *line;
                *line += paragraph.matches('\n').count() + 2;
                Some((begins, Piece::Prose(spoken(&without_values(paragraph)))))
            })
            .collect(),
    };
    let mut faults = Vec::new();
    for (line, piece) in &pieces {
        let is_kept = |(place, name): &(&str, &str)| {
            path.starts_with(place) && matches!(piece, Piece::Identifier(found, _) if found == name)
        };
        if KEPT.iter().any(is_kept) {
            continue;
        }
        for ban in banned.iter().filter(|ban| is_met(&ban.old, piece)) {
            faults.push(format!("{}:{line}: \"{}\": say {}", path.display(), say(&ban.old), ban.say));
        }
    }
    faults
}

#[test]
fn nobody_says_what_is_not_said_any_more() {
    let faults: Vec<_> = files().iter().flat_map(|(path, text)| faults(path, text)).collect();
    assert!(faults.is_empty(), "\n{}\n{} old words (docs/glossary.md)", faults.join("\n"), faults.len());
}

#[test]
fn nothing_is_banned_as_a_part_of_another_word() {
    assert_eq!(words("LineKey"), ["line", "key"]);
    assert_eq!(words("LINE_KEYS"), ["line", "keys"]);
    assert_eq!(words("baseline_key2"), ["baseline", "key2"]);
    let found = |path: &str, text: &str| faults(Path::new(path), text).len();
    assert_eq!(found("components/funder/src/a.rs", "struct LineKey; // fine\n"), 1);
    assert_eq!(found("components/funder/src/a.rs", "struct BaselineKey; let always = \"way\"; 'a'; f::<'way>()"), 1);
    assert_eq!(found("components/funder/src/a.rs", "fn a_gift_is_paid_once_and_for_all() {}"), 0);
    assert_eq!(found("components/funder/src/a.rs", "let a = \"gift\"; let b = \"a gift for you\"; // a Gift\n"), 2);
    assert_eq!(found("components/crypto/src/a.rs", "use ring::digest;"), 0);
    assert_eq!(found("components/ledger/src/a.rs", "let x = '\\''; let y = \"\\\"\"; hear();"), 1);
    assert_eq!(found("docs/a.md", "It is on\nits way.\n"), 1);
    assert_eq!(found("components/funder/src/a.rs", "    /// It is on\n    /// its way.\n    fn on() {}\n"), 1);
    assert_eq!(found("docs/a.md", "The kind is `gift`.\n\n```json\n{\n  \"kind\": \"gift\"\n}\n```\n\nA gift.\n"), 1);
    assert_eq!(found("tests/plots/a.rs", "Circle::new(circle)"), 1);
    assert_eq!(found("docs/a.md", "The others wait; this page; there is history.\n"), 0);
    assert_eq!(found("capnp/index.capnp", "taken @0 :Bool; # the newest word\n"), 1);
}
