//! The section "By hand" of the README, pasted into a shell: real programs, and what they print is what the README shows.

#[path = "town/ports.rs"]
mod ports;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing in the README takes so long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(120);

const PROGRAMS: [(&str, &str); 4] = [
    ("strelay", env!("CARGO_BIN_EXE_strelay")),
    ("stindex", env!("CARGO_BIN_EXE_stindex")),
    ("stnode", env!("CARGO_BIN_EXE_stnode")),
    ("stctrl", env!("CARGO_BIN_EXE_stctrl")),
];

/// The fenced blocks of a language in the section with this heading.
fn blocks(readme: &str, heading: &str, language: &str) -> Vec<String> {
    let section = readme.split(heading).nth(1).unwrap_or_else(|| panic!("the README has the section {heading:?}"));
    let section = section.split("\n## ").next().unwrap_or(section);
    let fence = format!("```{language}\n");
    let opened = section.split(&fence).skip(1);
    opened.map(|rest| rest.split("```").next().unwrap_or(rest).to_owned()).collect()
}

/// The script with ports that nobody uses, in place of those that the README names.
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
    assert!(!free.is_empty(), "the README names addresses");
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

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let script = with_free_ports(&blocks(&readme, "\n## By hand\n", "sh").concat());
    let expected = blocks(&readme, "\n## By hand\n", "text").concat();

    let outer = tempfile::tempdir().unwrap();
    let (programs, work) = (outer.path().join("programs"), outer.path().join("work"));
    for folder in [&programs, &work] {
        std::fs::create_dir(folder).unwrap();
    }
    for (name, executable) in PROGRAMS {
        std::os::unix::fs::symlink(executable, programs.join(name)).unwrap();
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let (out, err) = (outer.path().join("out"), outer.path().join("err"));
    let file = |path: &Path| std::fs::File::create(path).unwrap();
    let mut command = Command::new("bash");
    command
        .args(["-eu", "-c", &script])
        .current_dir(&work)
        .env("PATH", format!("{}:{path}", programs.display()))
        .stdin(Stdio::null())
        // Files: the servers stay behind and would hold a pipe open.
        .stdout(file(&out))
        .stderr(file(&err))
        .process_group(0);
    for variable in ["OFFST_HOME", "STCTRL_IDFILE", "STCTRL_TICKET", "OFFST_PASSPHRASE", "RUST_LOG"] {
        command.env_remove(variable);
    }
    let mut shell = Shell(command.spawn().unwrap());
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = shell.0.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > deadline {
            break None;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let story = || format!("printed:\n{}complained:\n{}{}", read(&out), read(&err), logs(&work));
    let status = status.unwrap_or_else(|| panic!("the commands did not end; {}", story()));
    assert!(status.success(), "{status}; {}", story());
    assert_eq!(read(&out), expected, "{}", story());
    // The one sentence on stderr is why the second payment was refused.
    assert_eq!(read(&err).lines().count(), 1, "{}", story());
    drop(shell);
}

#[test]
fn the_readme_names_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["README.md", "docs/protocol.md", "docs/architecture.md", "docs/operating.md"] {
        let content = std::fs::read_to_string(root.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        let folder = root.join(page).parent().unwrap().to_owned();
        for target in content.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap();
            let is_ours = !path.is_empty() && !path.contains("://");
            assert!(!is_ours || folder.join(path).exists(), "{page} links to {target}, which does not exist");
        }
    }
}
