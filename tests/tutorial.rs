//! What docs/ shows is what the programs do: the tutorial pasted into a shell, and the recorded session recorded again, with
//! real programs.

#[path = "testnet/ports.rs"]
mod ports;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing on these pages takes so long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(120);

const PROGRAMS: [(&str, &str); 4] = [
    ("strelay", env!("CARGO_BIN_EXE_strelay")),
    ("stindex", env!("CARGO_BIN_EXE_stindex")),
    ("stnode", env!("CARGO_BIN_EXE_stnode")),
    ("stctrl", env!("CARGO_BIN_EXE_stctrl")),
];

/// The fenced blocks of a language on a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let opened = page.split(&fence).skip(1);
    opened.map(|rest| rest.split("```").next().unwrap_or(rest).to_owned()).collect()
}

/// The script with ports that nobody uses, in place of those that the page names.
fn with_free_ports(script: &str) -> String {
    let host = "127.0.0.1:";
    let mut free: BTreeMap<&str, u16> = BTreeMap::new();
    let mut pieces = script.split(host);
    let mut replaced = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (port, rest) = piece.split_at(piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len()));
        let port = free.entry(port).or_insert_with(ports::free_port);
        replaced += &format!("{host}{port}{rest}");
    }
    assert!(!free.is_empty(), "the page names addresses");
    replaced
}

/// A shell and everything it has started.
struct Shell(Child);

impl Drop for Shell {
    /// Ends whatever still runs in the shell's process group.
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        // Everything may have ended already.
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

fn logs(folder: &Path) -> String {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.is_file()).collect();
    files.sort();
    let shown = files.iter().filter(|path| path.extension().is_some_and(|e| e == "log" || e == "txt"));
    shown.map(|path| format!("--- {}\n{}", path.display(), std::fs::read_to_string(path).unwrap_or_default())).collect()
}

/// Where the folders of a run are: the programs by their names, and an empty folder to work in.
struct Workplace {
    outer: tempfile::TempDir,
}

impl Workplace {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        for folder in ["programs", "work"] {
            std::fs::create_dir(outer.path().join(folder)).unwrap();
        }
        for (name, executable) in PROGRAMS {
            std::os::unix::fs::symlink(executable, outer.path().join("programs").join(name)).unwrap();
        }
        Workplace { outer }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.outer.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Runs bash with the programs on its path. Panics, with all that was printed and logged, unless it ends well.
    #[track_caller]
    fn bash(&self, arguments: &[&str]) {
        let path = std::env::var("PATH").unwrap_or_default();
        let file = |name: &str| std::fs::File::create(self.file(name)).unwrap();
        let mut command = Command::new("bash");
        command
            .args(arguments)
            .current_dir(self.file("work"))
            .env("PATH", format!("{}:{path}", self.file("programs").display()))
            .stdin(Stdio::null())
            // Files: the servers stay behind and would hold a pipe open.
            .stdout(file("out"))
            .stderr(file("err"))
            .process_group(0);
        for variable in ["OFFST_HOME", "STCTRL_IDFILE", "STCTRL_TICKET", "OFFST_PASSPHRASE", "RUST_LOG"] {
            command.env_remove(variable);
        }
        let mut shell = Shell(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = shell.0.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the commands did not end; {}", self.story());
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(status.success(), "{status}; {}", self.story());
    }

    fn story(&self) -> String {
        format!("printed:\n{}complained:\n{}{}", self.read("out"), self.read("err"), logs(&self.file("work")))
    }
}

fn docs(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page)
}

#[test]
fn the_commands_of_the_tutorial_do_what_it_says() {
    let page = std::fs::read_to_string(docs("tutorial.md")).unwrap();
    let script = with_free_ports(&blocks(&page, "sh").concat());
    let workplace = Workplace::new();
    workplace.bash(&["-eu", "-c", &script]);
    assert_eq!(workplace.read("out"), blocks(&page, "text").concat(), "{}", workplace.story());
    // The one sentence on stderr is why the second payment was refused.
    assert_eq!(workplace.read("err").lines().count(), 1, "{}", workplace.story());
}

#[test]
fn the_recorded_session_is_what_the_programs_say_today() {
    let script = docs("pictures/record.sh");
    let workplace = Workplace::new();
    let ports: [String; 6] = std::array::from_fn(|_| ports::free_port().to_string());
    let arguments = ["-eu", script.to_str().unwrap()].into_iter().chain(ports.iter().map(String::as_str));
    workplace.bash(&arguments.collect::<Vec<_>>());
    let kept = std::fs::read_to_string(docs("pictures/session.svg")).unwrap();
    assert_eq!(workplace.read("out"), kept, "run docs/pictures/record.sh > docs/pictures/session.svg");
}
