//! The node as its owner meets it: the real program, real folders, real signals.

mod testnet;

use offst_crypto::Identity;
use offst_funder::{IndexServer, Relay};
use offst_proto::ticket::{ServerTicket, Ticket};
use offst_store::Store;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testnet::{Running, Said, free_port, scrape};

/// The program, with only what a test says in its environment.
fn stnode() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stnode"));
    for variable in ["OFFST_HOME", "OFFST_PASSPHRASE", "OFFST_NEW_PASSPHRASE", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

/// A folder with tickets, where nodes and apps are made.
struct Place {
    outer: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Place { outer: tempfile::tempdir().unwrap() };
        let server = |seed| ServerTicket { public_key: key(seed), address: "127.0.0.1:9".parse().unwrap() };
        place.put("relay0.ticket", Ticket::Relay(server(1)).to_toml());
        place.put("relay1.ticket", Ticket::Relay(server(2)).to_toml());
        place.put("index0.client.ticket", Ticket::IndexClient(server(3)).to_toml());
        place.put("index0.server.ticket", Ticket::IndexServer(server(3)).to_toml());
        place.put("app1.ticket", Ticket::App(key(4)).to_toml());
        place.put("app2.ticket", Ticket::App(key(5)).to_toml());
        place
    }

    /// With a node in `node0`.
    fn with_node() -> Self {
        let place = Place::new();
        place.done("init --dir node0");
        place
    }

    fn path(&self, file: &str) -> PathBuf {
        self.outer.path().join(file)
    }

    fn put(&self, file: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(file), content).unwrap();
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    /// A command line; arguments end at spaces.
    fn command(&self, line: &str) -> Command {
        let mut command = stnode();
        command.args(line.split_whitespace()).current_dir(self.outer.path());
        command
    }

    fn output(&self, line: &str) -> Said {
        Said::of(&mut self.command(line))
    }

    /// What a command prints that succeeds.
    fn done(&self, line: &str) -> String {
        let said = self.output(line);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{line}");
        said.out
    }

    fn refused(&self, line: &str, code: i32, parts: &[&str]) {
        self.output(line).assert_refused(code, parts);
    }

    /// Starts the node and waits for its `ready`.
    fn start(&self, line: &str) -> Running {
        Running::start(self.command(line))
    }

    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.outer.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.clone(), std::fs::read(path).unwrap());
                }
            }
        }
        files
    }
}

fn key(seed: u8) -> offst_crypto::PublicKey {
    Identity::from_seed([seed; 32]).public_key()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

const RUN: &str = "run --dir node0 --listen 127.0.0.1:0";

#[test]
fn init_makes_the_files_and_overwrites_none() {
    let place = Place::new();
    let line = "init --dir node0 --address node.example.org:9501 --relay relay0.ticket --relay relay1.ticket \
                --index index0.client.ticket --app app0";
    assert_eq!(place.done(line), "");
    for (folder, endings) in [("node0", vec!["ident", "db", "ticket", "toml"]), ("app0", vec!["ident", "ticket"])] {
        assert_eq!(mode(&place.path(folder)), 0o700);
        for ending in endings {
            let mode = mode(&place.path(&format!("{folder}/{folder}.{ending}")));
            let is_private = ["ident", "db"].contains(&ending);
            assert!(if is_private { mode == 0o600 } else { mode & 0o511 == 0o400 }, "{ending}: {mode:o}");
        }
    }
    let identity = Identity::from_pem(&place.text("node0/node0.ident"), None).unwrap();
    let ticket = Ticket::from_toml(&place.text("node0/node0.ticket")).unwrap().into_node().unwrap();
    assert_eq!(ticket.public_key, identity.public_key());
    assert_eq!(ticket.address.as_str(), "node.example.org:9501");
    let rows = Store::open(&place.path("node0/node0.db"), identity.public_key()).unwrap().load().unwrap();
    let relays = rows.read::<Relay>().unwrap().into_iter().map(|(name, relay)| (name, relay.0.public_key));
    assert_eq!(relays.collect::<Vec<_>>(), [("relay0".to_owned(), key(1)), ("relay1".to_owned(), key(2))]);
    let servers = rows.read::<IndexServer>().unwrap().into_iter().map(|(name, server)| (name, server.0.public_key));
    assert_eq!(servers.collect::<Vec<_>>(), [("index0".to_owned(), key(3))]);
    let app = Ticket::from_toml(&place.text("app0/app0.ticket")).unwrap().into_app().unwrap();
    assert_eq!(Identity::from_pem(&place.text("app0/app0.ident"), None).unwrap().public_key(), app);
    assert_eq!(place.done("apps --dir node0"), format!("app0  {app}  routes,buyer,seller,config\n"));

    let before = place.files();
    place.refused(line, 2, &["node0.ident exists already: give --force to overwrite it"]);
    place.refused("init --dir node1 --app app0", 2, &["app0.ident exists already"]);
    std::fs::remove_file(place.path("node0/node0.ident")).unwrap();
    place.refused(line, 2, &["node0.ticket exists already"]);
    place.put("node0/node0.ident", &before[&place.path("node0/node0.ident")]);
    assert_eq!(place.files(), before);
    assert!(!place.path("node1").exists());

    // What a killed node left beside its database does not come into the new one.
    place.put("node0/node0.db-wal", "old");
    place.done(&format!("{line} --force"));
    let after = place.files();
    assert_ne!(after[&place.path("node0/node0.ident")], before[&place.path("node0/node0.ident")]);
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "nothing is left over");
    place.start(RUN).stop();
}

#[test]
fn the_address_defaults_to_this_machine_and_the_folders_to_the_home_folder() {
    for (variable, folder) in [("OFFST_HOME", ""), ("HOME", ".offst/")] {
        let place = Place::new();
        let command = |line: &str| {
            let mut command = place.command(line);
            command.env(variable, place.outer.path());
            command
        };
        assert_eq!(command("init").status().unwrap().code(), Some(0));
        let ticket = Ticket::from_toml(&place.text(&format!("{folder}node/node.ticket"))).unwrap();
        assert_eq!(ticket.into_node().unwrap().address.as_str(), "127.0.0.1:9500");
        let app = Ticket::from_toml(&place.text(&format!("{folder}app/app.ticket"))).unwrap().into_app().unwrap();
        let apps = command("apps").output().unwrap().stdout;
        assert_eq!(String::from_utf8(apps).unwrap(), format!("app  {app}  routes,buyer,seller,config\n"));
        Running::start(command("run --listen 127.0.0.1:0")).stop();
    }
}

#[test]
fn init_checks_everything_before_it_writes_anything() {
    let place = Place::new();
    place.put("damaged.ticket", "kind = \"relay\"");
    std::fs::copy(place.path("relay0.ticket"), place.path("copy.ticket")).unwrap();
    let before = place.files();
    for (arguments, message) in [
        ("--address nowhere", "\"nowhere\" is not an address of the form HOST:PORT"),
        ("--address 127.0.0.1:0", "is not an address"),
        ("--relay app1.ticket", "app1.ticket: this is the ticket of an application, not of a relay"),
        ("--relay index0.client.ticket", "this is the ticket of an index server for nodes, not of a relay"),
        ("--index relay0.ticket", "this is the ticket of a relay, not of an index server for nodes"),
        (
            "--index index0.server.ticket",
            "of an index server for other index servers, not of an index server for nodes",
        ),
        ("--relay damaged.ticket", "damaged.ticket: this is not a ticket: missing field `public_key`"),
        ("--relay missing.ticket", "missing.ticket cannot be read: there is no such file"),
        ("--relay relay0.ticket --relay copy.ticket", "copy.ticket was given twice"),
    ] {
        place.refused(&format!("init --dir node0 --app app0 {arguments}"), 2, &[message]);
        assert_eq!(place.files(), before, "{arguments}");
        assert!(!place.path("node0").exists() && !place.path("app0").exists(), "{arguments}");
    }
    place.refused("init --dir node0 --app ./node0/.", 2, &["the node and the app need a folder each"]);
    assert!(!place.path("node0/node0.ident").exists());
}

#[test]
fn apps_are_trusted_and_no_longer() {
    let place = Place::with_node();
    assert_eq!(place.done("apps --dir node0"), "");
    assert_eq!(place.done("trust --dir node0 --app app1.ticket --permissions routes,buyer"), "");
    assert_eq!(
        place.text("node0/trusted/app1.toml"),
        format!(
            "# An application that may use this node, and what it may do.\npublic_key = \"{}\"\npermissions = \"routes,buyer\"\n",
            key(4)
        )
    );
    place.done("trust --dir node0 --app app2.ticket --permissions=");
    assert_eq!(
        place.done("apps --dir node0"),
        format!("app1  {}  routes,buyer\napp2  {}  reading only\n", key(4), key(5))
    );
    // Again with others: they are changed.
    place.done("trust --dir node0 --app app1.ticket --permissions config");
    let json: serde_json::Value = serde_json::from_str(&place.done("apps --dir node0 --json")).unwrap();
    let expected = serde_json::json!([
        {
            "name": "app1", "public_key": key(4).to_string(), "permissions": ["config"], "limited": false, "budgets": [],
        },
        { "name": "app2", "public_key": key(5).to_string(), "permissions": [], "limited": false, "budgets": [] },
    ]);
    assert_eq!(json, expected);

    std::fs::create_dir(place.path("other")).unwrap();
    std::fs::copy(place.path("app2.ticket"), place.path("other/app1.ticket")).unwrap();
    std::fs::copy(place.path("app1.ticket"), place.path("other/mine.ticket")).unwrap();
    let before = place.files();
    for (line, message) in [
        ("trust --dir node0 --app app1.ticket --permissions root", "\"root\" is not a permission"),
        ("trust --dir node0 --app app1.ticket", "--permissions <PERMISSIONS>"),
        ("trust --dir node0 --app relay0.ticket --permissions config", "the ticket of a relay, not of an application"),
        ("trust --dir node0 --app missing.ticket --permissions config", "there is no such file"),
        ("trust --dir node0 --app other/mine.ticket --permissions config", "trusted under the name \"app1\" already"),
        ("trust --dir node0 --app other/app1.ticket --permissions config", "trusted under the name \"app2\" already"),
        ("trust --dir nowhere --app app1.ticket --permissions config", "there is no node in the folder nowhere"),
        ("untrust --dir node0 --app app3", "no trusted app of this name"),
        ("untrust --dir node0 --app ../trusted/app1", "no trusted app of this name"),
        ("untrust --dir node0 --app relay0.ticket", "the ticket of a relay, not of an application"),
        ("untrust --dir nowhere --app app1", "there is no node in the folder nowhere"),
        ("apps --dir nowhere", "there is no node in the folder nowhere"),
    ] {
        place.refused(line, 2, &[message]);
    }
    assert_eq!(place.files(), before);

    place.done("untrust --dir node0 --app app2");
    place.refused("trust --dir node0 --app other/app1.ticket --permissions config", 2, &["app1.toml exists already"]);
    place.refused("untrust --dir node0 --app app2.ticket", 2, &["the app of app2.ticket is not trusted"]);
    place.done("untrust --dir node0 --app other/mine.ticket");
    assert_eq!(place.done("apps --dir node0 --json"), "[]\n");
}

#[test]
fn a_damaged_trusted_file_is_named_and_its_app_not_trusted() {
    let place = Place::with_node();
    place.done("trust --dir node0 --app app1.ticket --permissions config");
    place.put("node0/trusted/bad.toml", "public_key = 1");
    place.refused(RUN, 2, &["bad.toml: invalid type", "repair the file, or remove it"]);
    let listed = place.done("apps --dir node0");
    assert!(listed.contains(&format!("app1  {}  config\n", key(4))), "{listed}");
    assert!(listed.contains("not trusted: ") && listed.contains("bad.toml: invalid type"), "{listed}");
    let json: serde_json::Value = serde_json::from_str(&place.done("apps --dir node0 --json")).unwrap();
    assert_eq!(json[1]["name"], "bad");
    assert!(json[1]["error"].as_str().unwrap().contains("invalid type"), "{json}");
    place.done("untrust --dir node0 --app bad");
    place.start(RUN).stop();
}

#[test]
fn an_app_has_budgets() {
    let place = Place::with_node();
    let file = || place.text("node0/trusted/app1.toml");
    let since = || file().lines().find(|line| line.starts_with("budgets_since_ms = ")).map(ToOwned::to_owned);
    let trust = "trust --dir node0 --app app1.ticket --permissions buyer";
    place.done(&format!("{trust} --budget 500/day --budget 20:hours"));
    assert!(file().contains("budgets = [\"500/day\", \"20:hours\"]\n"), "{}", file());
    let begun = since();
    assert!(begun.is_some());
    let listed = place.done("apps --dir node0");
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines[0], format!("app1  {}  buyer", key(4)));
    assert!(lines[1].starts_with("      may spend 500 credits a day; 500 are left until 20"), "{listed}");
    assert_eq!(lines[2], "      may spend 20 hours in all; 20 are left");
    // What is not said stays; another amount does not begin anew.
    place.done("trust --dir node0 --app app1.ticket --permissions routes,buyer");
    assert!(file().contains("\"500/day\""), "{}", file());
    place.done(&format!("{trust} --budget 700/week"));
    assert!(file().contains("budgets = [\"700/week\"]\n"), "{}", file());
    assert_eq!(since(), begun);
    let json: serde_json::Value = serde_json::from_str(&place.done("apps --dir node0 --json")).unwrap();
    assert_eq!(json[0]["limited"], true);
    let budget = &json[0]["budgets"][0];
    assert!(budget["until_ms"].is_u64(), "{json}");
    for (name, value) in [
        ("currency", "credit"),
        ("amount", "700"),
        ("period", "week"),
        ("spent", "0"),
        ("under_way", "0"),
        ("left", "700"),
    ] {
        assert_eq!(budget[name], value, "{name}");
    }
    let before = place.files();
    for (arguments, message) in [
        ("--budget 5/year", "a budget is a whole number of credits up to 2^96"),
        ("--budget 5/day --budget 6", "there are two budgets in credit"),
        ("--budget 5 --budget none", "takes every limit away: give it alone"),
    ] {
        place.refused(&format!("{trust} {arguments}"), 2, &[message]);
    }
    for app in ["app1", "app2"] {
        let line = format!("trust --dir node0 --app {app}.ticket --permissions routes --budget 5");
        place.refused(&line, 2, &["a budget is for an app that may pay"]);
    }
    assert_eq!(place.files(), before);
    place.done(&format!("{trust} --budget none"));
    assert!(!file().contains("budget"), "{}", file());
    // Nobody loses a limit because its file is damaged.
    place.put("node0/trusted/app1.toml", "damaged");
    place.refused(&format!("{trust} --force"), 2, &["a budget may stand in it: say --budget, or --budget none"]);
    place.done(&format!("{trust} --force --budget 5"));
}

#[test]
fn a_running_node_sees_who_is_trusted() {
    let place = Place::with_node();
    let mut running = place.start(RUN);
    place.done("trust --dir node0 --app app1.ticket --permissions buyer");
    assert_eq!(running.logged("the app \"app1\" is trusted with the permissions "), "\"buyer\"");
    place.put("node0/trusted/app1.toml", "damaged");
    assert!(running.logged("app1.toml: ").ends_with("until it is repaired it trusts nobody"));
    place.done("trust --dir node0 --app app1.ticket --permissions config --force");
    assert_eq!(running.logged("the app \"app1\" is trusted with the permissions "), "\"config\"");
    place.done("untrust --dir node0 --app app1.ticket");
    running.logged("the app \"app1\" is no longer trusted");
    running.stop();
}

#[test]
fn a_node_says_ready_and_stops_in_order() {
    let place = Place::with_node();
    for signal in ["-TERM", "-INT"] {
        let mut running = place.start(RUN);
        let address: SocketAddr = running.logged("listening at ").parse().unwrap();
        assert!(address.ip().is_loopback());
        // One that says nothing does not delay the end.
        let _silent = TcpStream::connect(address).unwrap();
        running.stop_by(signal);
    }
    // Relays and index servers that cannot be reached hinder nobody.
    place.done("init --dir node1 --relay relay0.ticket --relay relay1.ticket --index index0.client.ticket");
    place.start("run --dir node1 --listen 127.0.0.1:0").stop();
}

#[test]
fn a_killed_node_starts_again() {
    let place = Place::with_node();
    let running = place.start(RUN);
    running.signal("-KILL");
    assert_eq!(running.end().code, -1);
    place.start(RUN).stop();
}

#[test]
fn one_node_at_a_time_uses_a_folder() {
    let place = Place::with_node();
    let running = place.start(RUN);
    place.refused(RUN, 1, &["another server is running on the folder node0"]);
    let before = place.text("node0/node0.ident");
    place.refused("init --dir node0 --force", 1, &["another server is running on the folder node0"]);
    assert_eq!(place.text("node0/node0.ident"), before);
    running.stop();
}

/// Also while the node runs; nothing half-made has the backup's name, and no passphrase is asked for.
#[test]
fn a_backup_is_made_beside_a_running_node() {
    let place = Place::with_node();
    place.done("backup --dir node0 --output stopped.db");
    let node = place.start("run --dir node0 --listen 127.0.0.1:0");
    place.done("trust --dir node0 --app app1.ticket --permissions buyer");
    place.done("backup --dir node0 --output running.db");
    place.refused(
        "backup --dir node0 --output running.db",
        2,
        &["running.db exists already: give --force to overwrite it"],
    );
    place.done("backup --dir node0 --output running.db --force");
    node.stop();
    let ticket = Ticket::from_toml(&place.text("node0/node0.ticket")).unwrap().into_node().unwrap();
    for file in ["stopped.db", "running.db"] {
        assert_eq!(mode(&place.path(file)), 0o600);
        Store::open(&place.path(file), ticket.public_key).unwrap().load().unwrap();
    }
    let before = place.files();
    for (line, code, parts) in [
        ("backup --dir node1 --output x.db", 2, ["there is no node in the folder node1", ""]),
        (
            "backup --dir node0 --output nowhere/x.db",
            2,
            ["nowhere/x.db cannot be written: there is no folder nowhere", ""],
        ),
        ("backup --dir node0 --output node0/node0.db --force", 2, ["is the node's own database", ""]),
    ] {
        place.refused(line, code, &parts);
    }
    assert_eq!(place.files(), before);
    place.done("init --dir node1");
    std::fs::copy(place.path("node1/node1.db"), place.path("node0/node0.db")).unwrap();
    place.refused("backup --dir node0 --output x.db", 2, &["the files of two nodes are mixed"]);
    assert!(!place.path("x.db").exists());
}

#[test]
fn damaged_files_are_named() {
    let other = Place::with_node();
    let database = std::fs::read(other.path("node0/node0.db")).unwrap();
    let cases: [(&str, Option<&[u8]>, &str); 17] = [
        ("ident", Some(b"-----BEGIN PRIVATE KEY-----\nAAAA\n"), "this is not an identity file"),
        ("ident", Some(&[b'x'; 1 << 20]), "too large"),
        ("ident", None, "there is no node in the folder node0"),
        ("ticket", Some(b"kind = \"node\""), "this is not a ticket: missing field `public_key`"),
        ("ticket", None, "there is no such file"),
        ("db", Some(b"not a database at all, but long enough to be looked at"), "is not the database of an Offst node"),
        ("db", Some(b""), "is not the database of an Offst node"),
        ("db", Some(&database), "the files of two nodes are mixed"),
        ("db", Some(&database[..database.len() / 2]), "the database is damaged: "),
        ("db", None, "there is no database at"),
        ("toml", Some(b"\ncolour = \"red\"\n"), "line 2: unknown field `colour`"),
        ("toml", Some(b"batch_max = 9223372036854775807\n"), "batch_max is a number from 1 to 281474976710656"),
        ("toml", Some(b"batch_max = 0\n"), "batch_max is a number from 1 to"),
        ("toml", Some(b"batch_max = 18446744073709551616\n"), "line 1: "),
        ("toml", Some(b"patience_ms = 3600001\n"), "patience_ms is at most 3600000"),
        ("toml", Some(b"relay_keepalive_ms = 50000\n"), "relay_idle_timeout_ms is at least twice relay_keepalive_ms"),
        ("toml", Some(b"listen = \"everywhere\"\n"), "line 1: invalid socket address syntax"),
    ];
    for (ending, content, message) in cases {
        let place = Place::with_node();
        let file = place.path(&format!("node0/node0.{ending}"));
        match content {
            Some(content) => std::fs::write(&file, content).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        place.refused(RUN, 2, &["node0", message]);
    }
    let place = Place::with_node();
    std::fs::copy(other.path("node0/node0.ident"), place.path("node0/node0.ident")).unwrap();
    place.refused(RUN, 2, &["belong to different identities"]);
    place.put("node0/node0.ticket", place.text("relay0.ticket"));
    place.refused(RUN, 2, &["node0.ticket: this is the ticket of a relay, not of a node for its applications"]);
    place.refused("run --dir nowhere", 2, &["there is no node in the folder nowhere: make one with the command"]);
}

#[test]
fn files_that_are_no_databases_are_named() {
    let place = Place::with_node();
    std::fs::create_dir(place.path("folder")).unwrap();
    place.put("empty", "");
    place.done("backup --dir node0 --output good.db");
    let database = std::fs::read(place.path("good.db")).unwrap();
    place.put("half.db", &database[..database.len() / 2]);
    let before = place.text("node0/node0.ident");
    for (line, code, message) in [
        ("restore --dir node0 --force --input folder", 2, "folder is not the database of an Offst node"),
        ("restore --dir node0 --force --input empty", 2, "empty is not the database of an Offst node"),
        ("restore --dir node0 --force --input half.db", 2, "half.db was not put back: the database is damaged: "),
        ("check --dir node0 --input folder", 2, "folder is not the database of an Offst node"),
        ("check --dir node0 --input half.db", 1, "half.db cannot be checked: the database is damaged: "),
        ("backup --dir node0 --output folder --force", 2, "folder cannot be written: it names a folder"),
        ("init --dir empty", 2, "empty is a file, and a folder is needed"),
        ("init --dir node1 --app empty", 2, "empty is a file, and a folder is needed"),
    ] {
        place.refused(line, code, &[message]);
    }
    assert_eq!(place.text("node0/node0.ident"), before);
    let left = place
        .path("")
        .read_dir()
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(left.count(), 0);
    place.done("check --dir node0 --input good.db");
    // A database on a disk that is not there at the moment is not replaced unasked.
    std::fs::remove_file(place.path("node0/node0.db")).unwrap();
    std::os::unix::fs::symlink("nowhere/node0.db", place.path("node0/node0.db")).unwrap();
    place.refused("restore --dir node0 --input good.db", 2, &["there is a database at node0/node0.db already"]);
    // Nobody writes to this pipe.
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    place.refused("restore --dir node0 --force --input pipe", 2, &["pipe is not the database of an Offst node"]);
}

/// The file that `init` writes holds every default: without the comment marks it is read, and changes only the addresses.
#[test]
fn every_commented_setting_is_valid() {
    let place = Place::with_node();
    let text = place.text("node0/node0.toml");
    let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
    let settings: Vec<&str> = text.lines().filter(is_setting).map(|line| &line[1..]).collect();
    assert!(settings.len() > 30, "{text}");
    place.put("node0/node0.toml", settings.join("\n"));
    place.start(&format!("{RUN} --listen-friends 127.0.0.1:0 --metrics 127.0.0.1:0")).stop();
}

#[test]
fn settings_count_where_no_flag_is_given() {
    let place = Place::with_node();
    place.put("node0/node0.toml", "listen = \"127.0.0.2:0\"");
    for (line, ip) in [("run --dir node0", "127.0.0.2:"), (RUN, "127.0.0.1:")] {
        let mut running = place.start(line);
        assert!(running.logged("listening at ").starts_with(ip));
        running.stop();
    }
}

#[test]
fn a_node_listens_for_friends_where_it_is_told() {
    let place = Place::with_node();
    let port = free_port();
    // Flags win over the file; an address alone says where to listen, too.
    place.put("node0/node0.toml", format!("listen_friends = \"127.0.0.2:0\"\nfriend_address = \"127.0.0.3:{port}\""));
    let also = [
        ("", "127.0.0.2:"),
        ("--friend-address 127.0.0.1:9", "127.0.0.2:"),
        ("--listen-friends 127.0.0.1:0", "127.0.0.1:"),
    ];
    for (flags, ip) in also {
        let mut running = place.start(&format!("{RUN} {flags}"));
        assert!(running.logged("listening for friends at ").starts_with(ip));
        running.stop();
    }
    place.put("node0/node0.toml", "");
    let mut running = place.start(&format!("{RUN} --friend-address 127.0.0.1:{port}"));
    assert_eq!(running.logged("listening for friends at "), format!("127.0.0.1:{port}"));
    // The port is taken now, and so is the node's folder: another node.
    place.done("init --dir node1");
    let taken = format!("run --dir node1 --listen 127.0.0.1:0 --friend-address 127.0.0.1:{port}");
    let said = Said::of(place.command(&taken).env("RUST_LOG", "error"));
    said.assert_refused(1, &["cannot listen at", &port.to_string()]);
    running.stop();
    place.refused(
        "run --dir node0 --friend-address 127.0.0.1:9500",
        2,
        &["friends and applications need an address each"],
    );
    place.refused("run --dir node0 --friend-address nowhere", 2, &["is not an address of the form HOST:PORT"]);
    place.put("node0/node0.toml", "friend_address = \"nowhere\"");
    place.refused("run --dir node0", 2, &["node0.toml, line 1", "is not an address of the form HOST:PORT"]);
}

#[test]
fn counters_are_published() {
    let place = Place::with_node();
    let mut running = place.start(&format!("{RUN} --metrics 127.0.0.1:0"));
    let address = running.logged("metrics at http://");
    let answer = scrape(address.split('/').next().unwrap());
    assert!(answer.contains("\noffst_node_"), "{answer}");
    running.stop();
}

#[test]
fn a_passphrase_is_set_changed_and_removed() {
    let place = Place::with_node();
    let with = |line: &str, old: Option<&str>, new: Option<&str>| {
        let mut command = place.command(line);
        old.map(|old| command.env("OFFST_PASSPHRASE", old));
        new.map(|new| command.env("OFFST_NEW_PASSPHRASE", new));
        Said::of(&mut command)
    };
    let change = "passphrase --dir node0";
    let identity = place.text("node0/node0.ident");
    with(change, None, None).assert_refused(2, &["put the new passphrase into OFFST_NEW_PASSPHRASE"]);
    with(change, None, Some("")).assert_refused(2, &["an empty passphrase protects nothing"]);
    assert_eq!(place.text("node0/node0.ident"), identity);
    with(change, None, Some("horse")).expect();
    assert!(place.text("node0/node0.ident").starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    assert_eq!(mode(&place.path("node0/node0.ident")), 0o600);
    with(RUN, None, None).assert_refused(2, &["node0.ident is encrypted: put its passphrase into OFFST_PASSPHRASE"]);
    with(change, Some("wrong"), Some("cow")).assert_refused(2, &["the passphrase is wrong"]);
    with(change, Some("horse"), Some("cow")).expect();
    with(RUN, Some("horse"), None)
        .assert_refused(2, &["the passphrase is wrong", "it was the passphrase in OFFST_PASSPHRASE"]);
    let mut command = place.command(RUN);
    command.env("OFFST_PASSPHRASE", "cow");
    Running::start(command).stop();
    with(&format!("{change} --remove"), Some("cow"), None).expect();
    assert_eq!(place.text("node0/node0.ident"), identity);
}

#[test]
fn wrong_command_lines_are_refused_in_a_sentence() {
    let place = Place::new();
    for (line, message) in [
        ("", "--help"),
        ("fly", "unrecognized subcommand 'fly'"),
        ("run --colour", "unexpected argument '--colour'"),
        ("run --listen here", "invalid value 'here' for '--listen <ADDR:PORT>'"),
        ("untrust --dir node0", "--app <FILE|NAME>"),
        ("init --dir /", "name a folder below it"),
        ("completions noshell", "possible values: bash"),
    ] {
        place.refused(line, 2, &[message]);
    }
    let mut homeless = place.command("run");
    homeless.env_remove("HOME");
    Said::of(&mut homeless).assert_refused(2, &["there is no home folder: give --dir, or set OFFST_HOME"]);
}

#[test]
fn help_version_completions_and_manual() {
    let place = Place::new();
    for (line, message) in [
        ("--help", "Usage:"),
        ("-h", "trust"),
        ("run --help", "--listen <ADDR:PORT>"),
        ("run --help", "--friend-address <HOST:PORT>"),
        ("--version", env!("CARGO_PKG_VERSION")),
        ("-V", "stnode"),
        ("completions bash", "stnode"),
        ("completions zsh", "stnode"),
        ("completions fish", "stnode"),
        ("man", "stnode-untrust"),
    ] {
        let text = place.done(line);
        assert!(text.contains(message), "{line}: {text}");
    }
}
