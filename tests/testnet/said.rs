//! What a program said when it ended, and what a test expects of it.

use std::process::{Command, Output};

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn of(command: &mut Command) -> Self {
        command.output().unwrap().into()
    }

    /// Refused: this exit code, and one sentence that holds all of `parts`; on stdout nothing, or the sentence as JSON.
    #[track_caller]
    pub(crate) fn assert_refused(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "\"{part}\" is not in {self:?}");
        }
        assert!(self.out.is_empty() || self.document()["error"].is_string(), "{self:?}");
    }

    /// The output of a command that must succeed.
    #[track_caller]
    pub(crate) fn expect(self) -> String {
        assert_eq!(self.code, 0, "the command failed: {}{}", self.out, self.err);
        self.out
    }

    /// Whether it ended well.
    pub(crate) fn succeeded(&self) -> bool {
        self.code == 0
    }

    /// The JSON document of a command that must succeed.
    #[track_caller]
    pub(crate) fn json(self) -> serde_json::Value {
        assert_eq!(self.code, 0, "the command failed: {}{}", self.out, self.err);
        self.document()
    }

    /// The JSON document it printed, however it ended.
    #[track_caller]
    pub(crate) fn document(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {}", self.out))
    }
}
