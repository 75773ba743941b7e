//! The servers as their operators meet them: real programs, real folders, real signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

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
        let mut command = Command::new(self.executable);
        command.env_remove("OFFST_HOME").env_remove("OFFST_PASSPHRASE").env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// Runs to its end.
    fn output(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// A fresh folder that `init` has filled.
    fn initialised(&self) -> Installed<'_> {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join(self.folder);
        let output = self.command().args(self.init).arg(&folder).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
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

struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let running = Running { child, stdout, stderr };
        if line != "ready\n" {
            panic!("{line} {:?}", running.end());
        }
        running
    }

    /// The address that the server logged behind `phrase`, before it was ready.
    fn logged_address(&mut self, phrase: &str) -> SocketAddr {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.stderr.read_line(&mut line).unwrap(), 0, "never logged: {phrase}");
            if let Some((_, rest)) = line.trim_end().split_once(phrase) {
                return rest.split('/').next().unwrap().parse().unwrap();
            }
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end: exit code, what came on stdout after `ready`, and stderr.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.stderr.read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stdout, stderr)
    }
}

impl Drop for Running {
    /// A test that fails leaves no server behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// The program refused: this exit code, nothing on stdout, one sentence on stderr that holds all of `parts`.
fn assert_refused(output: &Output, code: i32, parts: &[&str]) {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{part}: {stderr}");
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
        let again = |force: &[&str]| program.command().args(program.init).arg(&installed.folder).args(force).output();
        assert_refused(&again(&[]).unwrap(), 2, &["ident exists already: give --force to overwrite it"]);
        assert_eq!(std::fs::read(installed.file("ident")).unwrap(), identity);
        assert_eq!(again(&["--force"]).unwrap().status.code(), Some(0));
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
            running.signal(signal);
            let (code, stdout, stderr) = running.end();
            assert_eq!(code, Some(0), "{stderr}");
            assert_eq!(stdout, "", "ready is the only line");
            assert!(!stderr.contains("panicked"), "{stderr}");
        }
    }
}

#[test]
fn a_connection_that_says_nothing_does_not_delay_the_end() {
    for program in PROGRAMS {
        let installed = program.initialised();
        let mut running = installed.start(&[]);
        let _silent = TcpStream::connect(running.logged_address("listening at ")).unwrap();
        running.signal("-TERM");
        assert_eq!(running.end().0, Some(0));
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
        for (command, ip) in [(command, [127, 0, 0, 2]), (installed.run_command(), [127, 0, 0, 1])] {
            let mut running = Running::start(command);
            assert_eq!(running.logged_address("listening at ").ip(), IpAddr::from(ip));
            running.signal("-TERM");
            assert_eq!(running.end().0, Some(0));
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
        running.signal("-TERM");
        assert_eq!(running.end().0, Some(0));
    }
}

#[test]
fn counters_are_published() {
    for (program, prefix) in [(&RELAY, "offst_relay_"), (&INDEX, "offst_index_")] {
        let installed = program.initialised();
        let mut running = installed.start(&["--metrics", "127.0.0.1:0"]);
        let mut stream = TcpStream::connect(running.logged_address("metrics at http://")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains(&format!("\n{prefix}")), "{answer}");
        running.signal("-TERM");
        assert_eq!(running.end().0, Some(0));
    }
}

#[test]
fn a_second_server_on_a_folder_is_refused() {
    for program in PROGRAMS {
        let installed = program.initialised();
        let running = installed.start(&[]);
        let second = installed.run_command().output().unwrap();
        assert_refused(&second, 1, &["another server is running on the folder", program.folder]);
        let init = program.command().args(program.init).arg(&installed.folder).arg("--force").output().unwrap();
        assert_refused(&init, 1, &["another server is running on the folder"]);
        // The lock ends with its holder, even when that is killed.
        running.signal("-KILL");
        assert_eq!(running.end().0, None);
        let running = installed.start(&[]);
        running.signal("-TERM");
        assert_eq!(running.end().0, Some(0));
    }
}

#[test]
fn a_taken_port_is_a_failure_in_one_sentence() {
    for program in PROGRAMS {
        let installed = program.initialised();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = taken.local_addr().unwrap().to_string();
        let output = program.command().args(["run", "--listen", &place, "--dir"]).arg(&installed.folder).output();
        assert_refused(&output.unwrap(), 1, &["cannot listen at", &place]);
    }
}

#[test]
fn damaged_files_are_named() {
    for program in PROGRAMS {
        let other = program.initialised();
        let cases: [(&str, Option<&[u8]>, &str); 9] = [
            ("ident", Some(b"-----BEGIN PRIVATE KEY-----\nAAAA\n"), "this is not an identity file"),
            ("ident", Some(&[0xff, 0xfe]), "not a text file"),
            ("ident", Some(&[b'x'; 1 << 20]), "too large"),
            ("ident", None, "there is no such file"),
            (program.ticket, Some(b"kind = \"relay\""), "this is not a ticket: missing field `public_key`"),
            (program.ticket, None, "there is no such file"),
            ("toml", Some(b"\ncolour = \"red\"\n"), "line 2: unknown field `colour`"),
            ("toml", Some(b"handshake_timeout_ms = 0\n"), "handshake_timeout_ms is a number from 1 to"),
            ("toml", Some(b"listen = \"everywhere\"\n"), "line 1: invalid socket address syntax"),
        ];
        for (ending, content, message) in cases {
            let installed = program.initialised();
            match content {
                Some(content) => std::fs::write(installed.file(ending), content).unwrap(),
                None => std::fs::remove_file(installed.file(ending)).unwrap(),
            }
            let name = format!("{}.{ending}", program.folder);
            assert_refused(&installed.run_command().output().unwrap(), 2, &[&name, message]);
        }
        let installed = program.initialised();
        std::fs::copy(other.file("ident"), installed.file("ident")).unwrap();
        assert_refused(&installed.run_command().output().unwrap(), 2, &["belong to different identities"]);
        let missing = program.output(&["run", "--dir", "no-such-folder"]);
        assert_refused(&missing, 2, &["there is no folder no-such-folder: make it with the command \"init\""]);
    }
}

#[test]
fn an_encrypted_identity_opens_with_its_passphrase() {
    let installed = RELAY.initialised();
    let path = installed.file("ident");
    let identity = offst_crypto::Identity::from_pem(&std::fs::read_to_string(&path).unwrap(), None).unwrap();
    let pem = identity.to_encrypted_pem("correct horse", &mut offst_crypto::SystemRandom::new());
    std::fs::write(&path, pem.as_bytes()).unwrap();
    let refused = installed.run_command().output().unwrap();
    assert_refused(&refused, 2, &["relay0.ident is encrypted: put its passphrase into OFFST_PASSPHRASE"]);
    let refused = installed.run_command().env("OFFST_PASSPHRASE", "wrong").output().unwrap();
    assert_refused(&refused, 2, &["the passphrase is wrong"]);
    // The right one comes as far as the next wrong file.
    std::fs::write(installed.file("ticket"), "").unwrap();
    let refused = installed.run_command().env("OFFST_PASSPHRASE", "correct horse").output().unwrap();
    assert_refused(&refused, 2, &["relay0.ticket: this is not a ticket"]);
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
            assert_refused(&program.output(arguments), 2, &[message]);
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
            let output = program.output(&arguments);
            let stdout = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(0), "{arguments:?}");
            assert!(stdout.contains(message), "{arguments:?}: {stdout}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        }
        let manual = String::from_utf8(program.output(&["man"]).stdout).unwrap();
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
