//! A server that a test starts with a command line of its own, and whose log it reads.

use super::said::Said;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

/// A server that has said `ready`. Dropping it kills it, so that a test that fails leaves none behind.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    /// Starts the server and waits for its `ready`.
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut running = Running { child, stdout, stderr };
        let mut line = String::new();
        running.stdout.read_line(&mut line).unwrap();
        if line != "ready\n" {
            panic!("{line} {:?}", running.end());
        }
        running
    }

    /// What the server logged behind `phrase`, waiting for it.
    #[track_caller]
    pub(crate) fn logged(&mut self, phrase: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.stderr.read_line(&mut line).unwrap(), 0, "never logged: {phrase}");
            if let Some((_, rest)) = line.trim_end().split_once(phrase) {
                return rest.to_owned();
            }
        }
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, for example `-TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end: its exit code (-1: it was killed), what came on stdout after `ready`, and what it has logged since
    /// the log was last read.
    pub(crate) fn end(mut self) -> Said {
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).unwrap();
        self.stderr.read_to_string(&mut err).unwrap();
        Said { code: self.child.wait().unwrap().code().unwrap_or(-1), out, err }
    }

    /// Asks the server to stop, which it does in order.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.stop_by("-TERM");
    }

    /// Asks the server to stop by this signal, which it does in order.
    #[track_caller]
    pub(crate) fn stop_by(self, signal: &str) {
        self.signal(signal);
        let said = self.end();
        assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself. Its folder is removed next, where it must not write any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The counters that a server publishes, as a scraper gets them, with the head of the answer.
#[track_caller]
pub(crate) fn scrape(place: impl ToSocketAddrs) -> String {
    let mut stream = TcpStream::connect(place).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    answer
}
