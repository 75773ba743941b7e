//! The servers as their operators meet them: real programs, real folders, real signals.

mod testnet;

use offst_crypto::Identity;
use offst_proto::ticket::Ticket;
use offst_secure_channel::Authenticator;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};
use testnet::{Running, Said, scrape};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A server program and how its `init` is called.
struct Program {
    executable: &'static str,
    folder: &'static str,
    init: &'static [&'static str],
    /// Arguments of `run` that have it listen where nobody else does.
    listen: &'static [&'static str],
    /// Files that `init` makes, by their endings, with whether they are private.
    files: &'static [(&'static str, bool)],
    ticket: &'static str,
}

const RELAY: Program = Program {
    executable: env!("CARGO_BIN_EXE_strelay"),
    folder: "relay0",
    init: &["init", "--address", "127.0.0.1:8000", "--dir"],
    listen: &["--listen", "127.0.0.1:0"],
    files: &[("ident", true), ("ticket", false), ("toml", false)],
    ticket: "ticket",
};

const INDEX: Program = Program {
    executable: env!("CARGO_BIN_EXE_stindex"),
    folder: "index0",
    init: &["init", "--address", "127.0.0.1:8100", "--federation-address", "127.0.0.1:8200", "--dir"],
    listen: &["--listen", "127.0.0.1:0", "--listen-federation", "127.0.0.1:0"],
    files: &[("ident", true), ("client.ticket", false), ("server.ticket", false), ("toml", false)],
    ticket: "client.ticket",
};

const PROGRAMS: [&Program; 2] = [&RELAY, &INDEX];

impl Program {
    fn command(&self) -> Command {
        self.command_of(self.executable)
    }

    /// Another program, with what this one's environment should be.
    fn command_of(&self, executable: &str) -> Command {
        let mut command = Command::new(executable);
        command.env_remove("OFFST_HOME").env_remove("OFFST_PASSPHRASE").env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// Runs to its end.
    fn output(&self, arguments: &[&str]) -> Said {
        Said::of(self.command().args(arguments))
    }

    /// A fresh folder that `init` has filled.
    fn initialised(&self) -> Installed<'_> {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join(self.folder);
        Said::of(self.command().args(self.init).arg(&folder)).expect();
        Installed { program: self, folder, _outer: outer }
    }
}

struct Installed<'a> {
    program: &'a Program,
    folder: PathBuf,
    _outer: tempfile::TempDir,
}

impl Installed<'_> {
    fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.program.folder))
    }

    fn run_command(&self) -> Command {
        let mut command = self.program.command();
        command.arg("run").args(self.program.listen).arg("--dir").arg(&self.folder);
        command
    }

    /// Starts the server and waits for its `ready`.
    fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.run_command();
        command.args(arguments);
        Running::start(command)
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn init_makes_the_files_and_overwrites_none() {
    for program in PROGRAMS {
        let installed = program.initialised();
        assert_eq!(mode(&installed.folder), 0o700);
        for (ending, private) in program.files {
            let mode = mode(&installed.file(ending));
            assert!(
                if *private { mode == 0o600 } else { mode & 0o400 != 0 && mode & 0o111 == 0 },
                "{ending}: {mode:o}"
            );
        }
        let identity = std::fs::read(installed.file("ident")).unwrap();
        let again = |force: &[&str]| Said::of(program.command().args(program.init).arg(&installed.folder).args(force));
        again(&[]).assert_refused(2, &["ident exists already: give --force to overwrite it"]);
        assert_eq!(std::fs::read(installed.file("ident")).unwrap(), identity);
        again(&["--force"]).expect();
        assert_ne!(std::fs::read(installed.file("ident")).unwrap(), identity);
        assert_eq!(mode(&installed.file("ident")), 0o600);
    }
    let installed = INDEX.initialised();
    assert!(installed.folder.join("trusted").is_dir());
    let server = std::fs::read_to_string(installed.file("server.ticket")).unwrap();
    assert!(server.contains("kind = \"index-server\"") && server.contains("127.0.0.1:8200"), "{server}");
    let client = std::fs::read_to_string(installed.file("client.ticket")).unwrap();
    assert!(client.contains("kind = \"index-client\"") && client.contains("127.0.0.1:8100"), "{client}");
}

#[test]
fn default_folders_lie_in_the_home_folder() {
    for (program, name) in [(&RELAY, "relay"), (&INDEX, "index")] {
        let home = tempfile::tempdir().unwrap();
        let (_, without_dir) = program.init.split_last().unwrap();
        for (variable, folder) in
            [("OFFST_HOME", home.path().join(name)), ("HOME", home.path().join(".offst").join(name))]
        {
            let output = program.command().args(without_dir).env(variable, home.path()).output().unwrap();
            assert_eq!(output.status.code(), Some(0));
            assert!(folder.join(format!("{name}.ident")).is_file());
        }
    }
}

#[test]
fn a_server_says_ready_and_stops_in_order() {
    for program in PROGRAMS {
        let installed = program.initialised();
        for signal in ["-TERM", "-INT"] {
            let running = installed.start(&[]);
            running.stop_by(signal);
        }
    }
}

#[test]
fn a_connection_that_says_nothing_does_not_delay_the_end() {
    for program in PROGRAMS {
        let installed = program.initialised();
        let mut running = installed.start(&[]);
        let _silent = TcpStream::connect(running.logged("listening at ")).unwrap();
        running.stop();
    }
}

#[test]
fn settings_count_where_no_flag_is_given() {
    for program in PROGRAMS {
        let installed = program.initialised();
        let federation = if program.folder == INDEX.folder { "listen_federation = \"127.0.0.2:0\"" } else { "" };
        let text = format!("listen = \"127.0.0.2:0\"\n{federation}");
        std::fs::write(installed.file("toml"), text).unwrap();
        let mut command = program.command();
        command.args(["run", "--dir"]).arg(&installed.folder);
        for (command, ip) in [(command, "127.0.0.2:"), (installed.run_command(), "127.0.0.1:")] {
            let mut running = Running::start(command);
            assert!(running.logged("listening at ").starts_with(ip));
            running.stop();
        }
    }
}

/// The file that `init` writes holds every default: without the comment marks it is read, and changes only the addresses.
#[test]
fn every_commented_setting_is_valid() {
    for program in PROGRAMS {
        let installed = program.initialised();
        let text = std::fs::read_to_string(installed.file("toml")).unwrap();
        let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
        let settings: Vec<&str> = text.lines().filter(is_setting).map(|line| &line[1..]).collect();
        assert!(settings.len() > 10, "{text}");
        std::fs::write(installed.file("toml"), settings.join("\n")).unwrap();
        let running = installed.start(&["--metrics", "127.0.0.1:0"]);
        running.stop();
    }
}

#[test]
fn counters_are_published() {
    for (program, prefix) in [(&RELAY, "offst_relay_"), (&INDEX, "offst_index_")] {
        let installed = program.initialised();
        let mut running = installed.start(&["--metrics", "127.0.0.1:0"]);
        let answer = scrape(running.logged("metrics at http://").split('/').next().unwrap());
        assert!(answer.contains(&format!("\n{prefix}")), "{answer}");
        running.stop();
    }
}

#[test]
fn a_second_server_on_a_folder_is_refused() {
    for program in PROGRAMS {
        let installed = program.initialised();
        let running = installed.start(&[]);
        Said::of(&mut installed.run_command())
            .assert_refused(1, &["another server is running on the folder", program.folder]);
        let init = Said::of(program.command().args(program.init).arg(&installed.folder).arg("--force"));
        init.assert_refused(1, &["another server is running on the folder"]);
        // The lock ends with its holder, even when that is killed.
        running.signal("-KILL");
        assert_eq!(running.end().code, -1);
        let running = installed.start(&[]);
        running.stop();
    }
}

#[test]
fn a_taken_port_is_a_failure_in_one_sentence() {
    for program in PROGRAMS {
        let installed = program.initialised();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = taken.local_addr().unwrap().to_string();
        let said = Said::of(program.command().args(["run", "--listen", &place, "--dir"]).arg(&installed.folder));
        said.assert_refused(1, &["cannot listen at", &place]);
    }
}

#[test]
fn damaged_files_are_named() {
    for program in PROGRAMS {
        let other = program.initialised();
        let cases: [(&str, Option<&[u8]>, &str); 10] = [
            ("ident", Some(b"-----BEGIN PRIVATE KEY-----\nAAAA\n"), "this is not an identity file"),
            ("ident", Some(&[0xff, 0xfe]), "not a text file"),
            ("ident", Some(&[b'x'; 1 << 20]), "too large"),
            ("ident", None, "there is no such file"),
            (program.ticket, Some(b"kind = \"relay\""), "this is not a ticket: missing field `public_key`"),
            (program.ticket, None, "there is no such file"),
            ("toml", Some(b"\ncolour = \"red\"\n"), "line 2: unknown field `colour`"),
            ("toml", Some(b"handshake_timeout_ms = 0\n"), "handshake_timeout_ms is a number from 1 to"),
            ("toml", Some(b"listen = \"everywhere\"\n"), "line 1: invalid socket address syntax"),
            ("toml", Some(b"keepalive_ms = 40000\n"), "idle_timeout_ms is at least twice keepalive_ms (40000)"),
        ];
        for (ending, content, message) in cases {
            let installed = program.initialised();
            match content {
                Some(content) => std::fs::write(installed.file(ending), content).unwrap(),
                None => std::fs::remove_file(installed.file(ending)).unwrap(),
            }
            let name = format!("{}.{ending}", program.folder);
            Said::of(&mut installed.run_command()).assert_refused(2, &[&name, message]);
        }
        let installed = program.initialised();
        let init = Said::of(program.command().args(program.init).arg(installed.file("ident")));
        init.assert_refused(2, &["ident is a file, and a folder is needed: name another"]);
        std::fs::copy(other.file("ident"), installed.file("ident")).unwrap();
        Said::of(&mut installed.run_command()).assert_refused(2, &["belong to different identities"]);
        let missing = program.output(&["run", "--dir", "no-such-folder"]);
        missing.assert_refused(2, &["there is no folder no-such-folder: make it with the command \"init\""]);
    }
}

#[test]
fn an_index_server_has_two_addresses_and_as_many_threads_as_can_be() {
    let twice = ["--address", "127.0.0.1:8100", "--federation-address", "127.0.0.1:8100"];
    let said = Said::of(INDEX.command().arg("init").args(twice));
    said.assert_refused(2, &["127.0.0.1:8100 was given for both: choose another port"]);
    let installed = INDEX.initialised();
    std::fs::write(installed.file("toml"), "searches = 1000000").unwrap();
    Said::of(&mut installed.run_command()).assert_refused(2, &["index0.toml: searches is at most 4096"]);
}

#[test]
fn what_a_killed_program_has_left_is_removed_a_day_later() {
    for program in PROGRAMS {
        let installed = program.initialised();
        let put = |name: &str, age: Duration| {
            std::fs::write(installed.folder.join(name), "half").unwrap();
            let file = File::open(installed.folder.join(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        };
        put(".offst-aaaaaa", Duration::from_secs(25 * 60 * 60));
        put(".offst-bbbbbb", Duration::ZERO);
        installed.start(&[]).stop();
        assert!(!installed.folder.join(".offst-aaaaaa").exists());
        assert!(installed.folder.join(".offst-bbbbbb").exists());
    }
}

#[test]
fn an_encrypted_identity_opens_with_its_passphrase() {
    let installed = RELAY.initialised();
    let path = installed.file("ident");
    let identity = offst_crypto::Identity::from_pem(&std::fs::read_to_string(&path).unwrap(), None).unwrap();
    let pem = identity.to_encrypted_pem("correct horse", &mut offst_crypto::SystemRandom::new());
    std::fs::write(&path, pem.as_bytes()).unwrap();
    Said::of(&mut installed.run_command())
        .assert_refused(2, &["relay0.ident is encrypted: put its passphrase into OFFST_PASSPHRASE"]);
    let with = |passphrase: &str| Said::of(installed.run_command().env("OFFST_PASSPHRASE", passphrase));
    with("wrong").assert_refused(2, &["the passphrase is wrong"]);
    // The right one comes as far as the next wrong file.
    std::fs::write(installed.file("ticket"), "").unwrap();
    with("correct horse").assert_refused(2, &["relay0.ticket: this is not a ticket"]);
}

#[test]
fn wrong_command_lines_are_refused_in_a_sentence() {
    for program in PROGRAMS {
        let cases: [(&[&str], &str); 8] = [
            (&[], "--help"),
            (&["fly"], "unrecognized subcommand 'fly'"),
            (&["run", "--colour"], "unexpected argument '--colour'"),
            (&["run", "--listen", "here"], "invalid value 'here' for '--listen <ADDR:PORT>'"),
            (&["run", "--metrics", "here"], "invalid value 'here' for '--metrics <ADDR:PORT>'"),
            (&["init", "--dir", "x"], "--address <HOST:PORT>"),
            (&["init", "--dir", "x", "--address", "nowhere"], "is not an address of the form HOST:PORT"),
            (&["completions", "noshell"], "possible values: bash"),
        ];
        for (arguments, message) in cases {
            program.output(arguments).assert_refused(2, &[message]);
        }
    }
}

#[test]
fn help_version_completions_and_manual() {
    for program in PROGRAMS {
        let name = Path::new(program.executable).file_name().unwrap().to_str().unwrap();
        for (arguments, message) in [
            (vec!["--help"], "Usage:"),
            (vec!["-h"], "Usage:"),
            (vec!["run", "--help"], "--listen <ADDR:PORT>"),
            (vec!["help"], "Usage:"),
            (vec!["--version"], env!("CARGO_PKG_VERSION")),
            (vec!["-V"], name),
            (vec!["completions", "bash"], name),
            (vec!["completions", "zsh"], name),
            (vec!["completions", "fish"], name),
            (vec!["man"], ".TH"),
        ] {
            let said = program.output(&arguments);
            assert_eq!((said.code, said.err.as_str()), (0, ""), "{arguments:?}");
            assert!(said.out.contains(message), "{arguments:?}: {said:?}");
        }
        let manual = program.output(&["man"]).out;
        assert!(manual.contains(&format!("{name}-run")) && manual.contains("\\-\\-listen"), "{manual}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_program_without_a_word() {
    for program in PROGRAMS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = program.command().arg("man").stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(1), ""));
    }
}

/// Waits in the log of a relay that is started under this limit of open files.
fn log_under_limit(limit: &str) -> (Running, String) {
    let installed = RELAY.initialised();
    let mut shell = RELAY.command_of("sh");
    shell.args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\""), RELAY.executable, "run"]);
    shell.args(RELAY.listen).arg("--dir").arg(&installed.folder);
    let mut running = Running::start(shell);
    let log = running.logged(" WARN ").split_once("] ").map(|(_, line)| line.to_owned()).unwrap_or_default();
    (running, log)
}

#[test]
fn too_few_open_files_are_raised_as_far_as_they_can_be_and_then_named() {
    let hard_limit = "-Sn 256 && ulimit -Hn 4096";
    let (running, log) = log_under_limit(hard_limit);
    assert!(log.starts_with("only 4096 files and sockets may be open at a time"), "{log}");
    assert!(log.contains("the settings need up to 11216"), "{log}");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.id())).unwrap();
    let open_files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(open_files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["4096", "4096"]);
    running.stop();
}

/// A node that is refused is no news the hundredth time.
#[test]
fn whoever_is_refused_again_and_again_does_not_fill_the_log() {
    let installed = RELAY.initialised();
    std::fs::write(installed.file("toml"), "connections_per_address_max = 1\n").unwrap();
    let ticket = std::fs::read_to_string(installed.file("ticket")).unwrap();
    let relay = Ticket::from_toml(&ticket).unwrap().into_relay().unwrap().public_key;
    let mut running = installed.start(&[]);
    let address = running.logged("listening at ").parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let caller = |seed: u8| Authenticator::new(&Identity::from_seed([seed; 32]));
        let connect = async |seed| caller(seed).connect_tcp(&address, relay, Duration::from_secs(60)).await.unwrap();
        let _first = connect(0).await;
        for seed in 1..=60 {
            let mut refused = connect(seed).await;
            // Its end is the event: the relay has made up its mind.
            refused.shutdown().await.unwrap();
            let _ = refused.read_to_end(&mut vec![]).await;
        }
    });
    running.signal("-TERM");
    let log = running.end().err;
    let refused: Vec<_> = log.lines().filter(|line| line.contains(" refused ")).collect();
    assert!((10..20).contains(&refused.len()), "{log}");
    assert!(log.contains("lines like this were left out, because there were too many: refused "), "{log}");
}
