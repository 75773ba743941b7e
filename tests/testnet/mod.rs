//! A testnet of real programs on loopback: relays, index servers and nodes in a temporary folder, each a process of its own,
//! driven through `stctrl` as a person would. Used by the tests and by the demonstration.

// Each user of this module needs another part of it.
#![allow(dead_code, unused_imports)]

mod ports;
mod running;
mod said;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use ports::free_port;
pub(crate) use running::{Running, scrape};
pub(crate) use said::Said;

/// Nothing in a testnet takes so long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a program is started: its name to a command without arguments.
pub(crate) type Launcher = fn(&str) -> Command;

/// The programs as cargo has built them for the tests.
pub(crate) fn built(program: &str) -> Command {
    let path = match program {
        "strelay" => option_env!("CARGO_BIN_EXE_strelay"),
        "stindex" => option_env!("CARGO_BIN_EXE_stindex"),
        "stnode" => option_env!("CARGO_BIN_EXE_stnode"),
        "stctrl" => option_env!("CARGO_BIN_EXE_stctrl"),
        other => unreachable!("{other}"),
    };
    Command::new(path.expect("cargo names the programs to tests"))
}

/// The running executable again, in the role of a program. Its `main` starts with `offst::command_line::run_role`.
pub(crate) fn itself(program: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the system knows which program runs"));
    command.args([offst::command_line::ROLE, program]);
    command
}

/// Real programs and their folders. Dropping it kills them all.
pub(crate) struct Testnet {
    folder: tempfile::TempDir,
    launcher: Launcher,
    servers: BTreeMap<String, Server>,
}

struct Server {
    program: &'static str,
    child: Option<Child>,
    metrics: u16,
}

impl Testnet {
    /// An empty testnet.
    pub(crate) fn new(launcher: Launcher) -> Self {
        let folder = tempfile::Builder::new().prefix("offst-testnet").tempdir().unwrap();
        Testnet { folder, launcher, servers: BTreeMap::new() }
    }

    /// A testnet with one relay, one index server, and nodes in a row: each is a friend of the next one, and they let each other
    /// owe `limit`. All are online. `settings` is appended to each node's settings file.
    #[track_caller]
    pub(crate) fn row(nodes: &[&str], limit: u128, settings: &str) -> Self {
        let mut testnet = Testnet::new(built);
        testnet.relay("relay0");
        testnet.index("index0");
        for node in nodes {
            testnet.node(node, &["relay0"], &["index0"], settings);
        }
        for pair in nodes.windows(2) {
            testnet.befriend(pair[0], pair[1], limit);
        }
        testnet.wait_online(nodes);
        testnet
    }

    /// Where the folders of all programs are.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A file in the testnet's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// A command of one of the programs, run in the testnet's folder.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = (self.launcher)(program);
        command.args(arguments).current_dir(self.root()).stdin(Stdio::null()).env_remove("OFFST_HOME");
        command
    }

    /// Runs a command of one of the programs to its end.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Said {
        Said::of(&mut self.command(program, arguments))
    }

    /// Makes and starts a relay.
    pub(crate) fn relay(&mut self, name: &str) {
        let address = format!("127.0.0.1:{}", free_port());
        self.run("strelay", &["init", "--dir", name, "--address", &address]).expect();
        self.enlist(name, "strelay");
        self.start(name);
    }

    /// Makes and starts an index server.
    pub(crate) fn index(&mut self, name: &str) {
        let (address, federation) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        let arguments = ["init", "--dir", name, "--address", &address, "--federation-address", &federation];
        self.run("stindex", &arguments).expect();
        self.enlist(name, "stindex");
        self.start(name);
    }

    /// Makes and starts a node with an app folder of its own. `settings` is appended to its settings file.
    pub(crate) fn node(&mut self, name: &str, relays: &[&str], indexes: &[&str], settings: &str) {
        self.init_node(name, relays, indexes, settings);
        self.start(name);
    }

    /// Makes a node without starting it.
    pub(crate) fn init_node(&mut self, name: &str, relays: &[&str], indexes: &[&str], settings: &str) {
        let address = format!("127.0.0.1:{}", free_port());
        let app = format!("{name}-app");
        let mut arguments = vec!["init", "--dir", name, "--address", &address, "--app", &app];
        let relays: Vec<_> = relays.iter().map(|relay| format!("{relay}/{relay}.ticket")).collect();
        let indexes: Vec<_> = indexes.iter().map(|index| format!("{index}/{index}.client.ticket")).collect();
        relays.iter().for_each(|ticket| arguments.extend(["--relay", ticket]));
        indexes.iter().for_each(|ticket| arguments.extend(["--index", ticket]));
        self.run("stnode", &arguments).expect();
        let file = self.file(name).join(format!("{name}.toml"));
        let defaults = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{defaults}\n{settings}\n")).unwrap();
        self.enlist(name, "stnode");
    }

    fn enlist(&mut self, name: &str, program: &'static str) {
        self.servers.insert(name.to_owned(), Server { program, child: None, metrics: free_port() });
    }

    /// Takes a folder that was made otherwise, for example copied, as a node of the testnet.
    pub(crate) fn adopt_node(&mut self, name: &str) {
        self.enlist(name, "stnode");
    }

    /// Starts a server and waits until it says that it is ready.
    pub(crate) fn start(&mut self, name: &str) {
        self.start_with(name, &[]);
    }

    /// Starts a server with further arguments.
    pub(crate) fn start_with(&mut self, name: &str, arguments: &[&str]) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_file(name)).unwrap();
        let Server { program, metrics, .. } = self.servers[name];
        let metrics = format!("127.0.0.1:{metrics}");
        let mut command = self.command(program, &["run", "--dir", name, "--metrics", &metrics]);
        command.args(arguments).env("RUST_LOG", "info").stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "{name} did not start: {}", self.log(name));
        self.servers.get_mut(name).unwrap().child = Some(child);
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.log"))
    }

    /// What a server has logged so far.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.log_file(name)).unwrap_or_default()
    }

    /// The process of a server that runs.
    pub(crate) fn process_id(&self, name: &str) -> u32 {
        self.servers[name].child.as_ref().unwrap().id()
    }

    /// Has an index server trust another one: puts the other's server ticket into its folder `trusted`.
    pub(crate) fn trust(&self, index: &str, other: &str) {
        let ticket = self.trusted_ticket(index, other);
        let new = ticket.with_extension("new");
        std::fs::copy(self.file(other).join(format!("{other}.server.ticket")), &new).unwrap();
        std::fs::rename(new, ticket).unwrap();
    }

    /// Takes the other's ticket away.
    pub(crate) fn distrust(&self, index: &str, other: &str) {
        std::fs::remove_file(self.trusted_ticket(index, other)).unwrap();
    }

    fn trusted_ticket(&self, index: &str, other: &str) -> PathBuf {
        self.file(index).join("trusted").join(format!("{other}.server.ticket"))
    }

    /// A counter of an index server that runs.
    pub(crate) fn counter(&self, index: &str, name: &str) -> u64 {
        let answer = scrape(("127.0.0.1", self.metrics_port(index)));
        let prefix = format!("offst_index_{name} ");
        let value = answer.lines().find_map(|line| line.strip_prefix(&prefix));
        value.unwrap_or_else(|| panic!("no counter {name} in {answer}")).parse().unwrap()
    }

    /// Where a server that runs publishes its counters.
    pub(crate) fn metrics_port(&self, name: &str) -> u16 {
        self.servers[name].metrics
    }

    /// Sends a signal to a server.
    pub(crate) fn signal(&self, name: &str, signal: &str) {
        let id = self.process_id(name).to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap();
        assert!(status.success());
    }

    /// Kills a server at once, as a power cut would.
    pub(crate) fn kill(&mut self, name: &str) {
        let mut child = self.servers.get_mut(name).unwrap().child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks a server to stop, and says with which code it did.
    pub(crate) fn stop(&mut self, name: &str) -> i32 {
        self.signal(name, "TERM");
        let mut child = self.servers.get_mut(name).unwrap().child.take().unwrap();
        child.wait().unwrap().code().unwrap_or(-1)
    }

    /// Whether a server's process is still there.
    pub(crate) fn is_running(&mut self, name: &str) -> bool {
        let child = self.servers.get_mut(name).unwrap().child.as_mut();
        child.is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// An `stctrl` command to a node, not started.
    pub(crate) fn control(&self, node: &str, arguments: &[&str]) -> Command {
        let identity = format!("{node}-app/{node}-app.ident");
        let ticket = format!("{node}/{node}.ticket");
        let mut command = self.command("stctrl", &["-I", &identity, "-T", &ticket]);
        command.args(arguments);
        command
    }

    /// Runs an `stctrl` command to a node.
    pub(crate) fn stctrl(&self, node: &str, arguments: &[&str]) -> Said {
        Said::of(&mut self.control(node, arguments))
    }

    /// Makes two nodes friends. Each lets the other owe `limit`; both start at 0.
    pub(crate) fn befriend(&self, one: &str, other: &str, limit: u128) {
        self.befriend_within(one, other, [limit, limit]);
    }

    /// Makes two nodes friends. The limits are what `one` lets `other` owe, and the other way around.
    #[track_caller]
    pub(crate) fn befriend_within(&self, one: &str, other: &str, limits: [u128; 2]) {
        for ((node, friend), limit) in [(one, other), (other, one)].into_iter().zip(limits) {
            let ticket = format!("{friend}.friend");
            if !self.file(&ticket).exists() {
                self.stctrl(friend, &["info", "export-ticket", "-o", &ticket]).expect();
            }
            let limit = limit.to_string();
            let arguments =
                ["config", "add-friend", "-n", friend, "-f", &ticket, "--balance", "0", "--max-debt", &limit, "--open"];
            self.stctrl(node, &arguments).expect();
        }
    }

    /// What a node says of its friends.
    pub(crate) fn friends(&self, node: &str) -> Vec<serde_json::Value> {
        self.stctrl(node, &["info", "friends", "--json"]).json().as_array().unwrap().clone()
    }

    /// One account, as its node sees it.
    pub(crate) fn account(&self, node: &str, friend: &str) -> serde_json::Value {
        let friends = self.friends(node);
        let friend = friends.iter().find(|f| f["name"] == friend).unwrap_or_else(|| panic!("{node} knows {friend}"));
        friend["currencies"][0].clone()
    }

    /// Credits that `node` is owed by `friend`.
    pub(crate) fn balance(&self, node: &str, friend: &str) -> i128 {
        amount(&self.account(node, friend)["balance"])
    }

    /// Asks again and again until the answer is yes.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "waited too long until {what}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until every friend of these nodes is online, agrees, and is open both ways.
    #[track_caller]
    pub(crate) fn wait_online(&self, nodes: &[&str]) {
        for node in nodes {
            self.wait_until(&format!("all friends of {node} are online"), |testnet| {
                testnet.friends(node).iter().all(|friend| {
                    let line = &friend["currencies"][0];
                    friend["online"] == true && line["status"] == "consistent" && line["remote_open"] == true
                })
            });
        }
    }

    /// Waits until nothing is pending on any account of these nodes.
    #[track_caller]
    pub(crate) fn wait_settled(&self, nodes: &[&str]) {
        for node in nodes {
            self.wait_until(&format!("nothing is pending at {node}"), |testnet| {
                testnet.friends(node).iter().all(|friend| {
                    let line = &friend["currencies"][0];
                    line["local_pending_debt"] == "0" && line["remote_pending_debt"] == "0"
                })
            });
        }
    }

    /// Makes an invoice and says in which file it is.
    pub(crate) fn invoice(&self, seller: &str, amount: u128, file: &str) -> String {
        // The text goes through the file, as it would between people.
        let amount = amount.to_string();
        self.stctrl(seller, &["seller", "create-invoice", "-a", &amount, "-o", file]).expect();
        file.to_owned()
    }

    /// Pays an invoice. An index server may still be learning of the friends, so a payment for which there is no route yet is
    /// tried again.
    #[track_caller]
    pub(crate) fn pay_when_routed(&self, buyer: &str, invoice: &str, receipt: &str) -> serde_json::Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.stctrl(buyer, &["funds", "pay-invoice", "-i", invoice, "-r", receipt, "--json"]);
            if said.code == 0 {
                return said.json();
            }
            assert!(Instant::now() < deadline, "{buyer} could not pay: {}{}", said.out, said.err);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        for server in self.servers.values_mut() {
            if let Some(mut child) = server.child.take() {
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if std::thread::panicking() {
            for name in self.servers.keys() {
                let log = self.log(name);
                let tail: Vec<_> = log.lines().rev().take(15).collect();
                eprintln!("--- {name} ---");
                tail.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
    }
}

/// A decimal string of a JSON report.
pub(crate) fn amount(value: &serde_json::Value) -> i128 {
    value.as_str().unwrap_or_else(|| panic!("{value} is a decimal string")).parse().unwrap()
}
