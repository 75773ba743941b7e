//! How a program ends: exit code 0, 1 or 2, and when it is not 0 one readable message on stderr.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use serde::Serialize;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Longer values are shown by their beginning.
const SHOWN_CHARS_MAX: usize = 60;

/// Why a program ended without doing what it was asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    fault: Fault,
    message: String,
    /// What `--json` prints instead of the message alone.
    document: Option<serde_json::Value>,
}

/// Where the reason lies; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It was tried and failed: exit code 1.
    Attempt,
    /// The command line or an input file is wrong: exit code 2.
    Input,
    /// The reader of our output has gone, as `head` does: exit code 1 without a word.
    ReaderGone,
}

/// A program's result.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// It was tried and failed: exit code 1. The message says what happened and what to do.
    pub fn failed(message: impl Display) -> Self {
        Failure { fault: Fault::Attempt, message: without_numbers(&one_line(message)), document: None }
    }

    /// The command line or an input file is wrong: exit code 2. The message says what to change.
    pub fn input(message: impl Display) -> Self {
        Failure { fault: Fault::Input, message: without_numbers(&one_line(message)), document: None }
    }

    /// With `--json`, prints this document with the message in it as `error`, instead of the message alone.
    #[must_use]
    pub fn with_document(self, document: &impl Serialize) -> Self {
        let mut document = serde_json::to_value(document).expect("a document of ours is JSON");
        document["error"] = self.message.as_str().into();
        Failure { document: Some(document), ..self }
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// 1 or 2.
    pub fn exit_code(&self) -> u8 {
        match self.fault {
            Fault::Attempt | Fault::ReaderGone => 1,
            Fault::Input => 2,
        }
    }
}

/// Any other error is a failed attempt; its causes join the message.
impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = String::new();
        // Some errors tell their causes themselves.
        for cause in anyhow::Error::from(error).chain().map(ToString::to_string) {
            match text.is_empty() {
                true => text = cause,
                false if !text.contains(&cause) => text = format!("{text}: {cause}"),
                false => {}
            }
        }
        Failure::failed(text)
    }
}

/// Turns a library's error into a [`Failure`] that says what was being done: "WHAT: ERROR".
pub trait Explain<T> {
    /// The attempt failed, exit code 1.
    ///
    /// # Errors
    /// The error, explained.
    fn or_failed(self, what: impl Display) -> Outcome<T>;

    /// The input was wrong, exit code 2.
    ///
    /// # Errors
    /// The error, explained.
    fn or_input(self, what: impl Display) -> Outcome<T>;
}

impl<T, E: Display> Explain<T> for Result<T, E> {
    fn or_failed(self, what: impl Display) -> Outcome<T> {
        self.map_err(|error| Failure::failed(format!("{what}: {error}")))
    }

    fn or_input(self, what: impl Display) -> Outcome<T> {
        self.map_err(|error| Failure::input(format!("{what}: {error}")))
    }
}

/// One line without control characters: what a peer or a file put into an error must not command a terminal.
pub(crate) fn one_line(text: impl Display) -> String {
    let text = text.to_string();
    let words = text.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Without the numbers of the operating system's errors, which say nothing to most people: their words stand before them.
fn without_numbers(message: &str) -> String {
    let mut kept = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((before, after)) = rest.split_once(" (os error ") {
        let Some((number, behind)) = after.split_once(')') else { break };
        kept.push_str(before);
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            kept.push_str(&format!(" (os error {number})"));
        }
        rest = behind;
    }
    kept + rest
}

/// An error of the operating system in plain words.
pub(crate) fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file or folder".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        std::io::ErrorKind::IsADirectory => "it is a folder".into(),
        std::io::ErrorKind::NotADirectory => "a part of its path is not a folder".into(),
        std::io::ErrorKind::StorageFull => "the disk is full".into(),
        std::io::ErrorKind::ReadOnlyFilesystem => "the disk can only be read".into(),
        _ => error.to_string(),
    }
}

/// Prints a line on stdout.
///
/// # Errors
/// stdout cannot be written to. When its reader has gone, the program ends without a word.
pub fn say(line: impl Display) -> Outcome {
    write_out(&format!("{line}\n"))
}

/// Prints a text as it is on stdout.
///
/// # Errors
/// As for [`say`].
pub fn write_out(text: &str) -> Outcome {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure { fault: Fault::ReaderGone, message: String::new(), document: None },
        _ => Failure::failed(format!("the output could not be written: {error}")),
    })
}

/// Whether the command line asks for JSON; also known when the rest of it does not parse.
fn json_is_wanted() -> bool {
    let arguments = crate::invocation::arguments();
    arguments.iter().skip(1).take_while(|argument| *argument != "--").any(|argument| argument == "--json")
}

/// Parses the command line, runs the program, and reports its failure.
pub fn run<Arguments: Parser + CommandFactory>(program: impl FnOnce(Arguments) -> Outcome) -> ExitCode {
    crate::secrecy::no_core_dumps();
    let command = Arguments::command();
    let line = crate::invocation::arguments();
    let help = help_of(&command, &line);
    let outcome = match parse(line) {
        Ok(arguments) => program(arguments),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                // clap colours its help only where colours are wanted.
                return if error.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Err(Failure::input(format!("say what to do: \"{help}\" lists the commands")))
            }
            _ => Err(command_line_failure(&help, &error)),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(command.get_name(), &failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// The arguments. A flag with a value takes a negative number, too: then the message says why that number is wrong, and not
/// that it is no flag.
pub(crate) fn parse<Arguments: Parser>(line: Vec<OsString>) -> Result<Arguments, clap::Error> {
    let mut command = with_negative_numbers(Arguments::command());
    let mut matches = command.try_get_matches_from_mut(line)?;
    Arguments::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

fn with_negative_numbers(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| {
            let takes_value = argument.get_action().takes_values();
            argument.allow_negative_numbers(takes_value)
        })
        .mut_subcommands(with_negative_numbers)
}

/// What explains the command that a line means, as far as it names one: "stctrl info friends --help".
fn help_of(command: &clap::Command, line: &[OsString]) -> String {
    let mut innermost = command;
    let mut words = vec![command.get_name()];
    // A value that is called like a command leads astray, to the help of that command.
    for word in line.iter().skip(1) {
        if let Some(below) = innermost.find_subcommand(word) {
            innermost = below;
            words.push(below.get_name());
        }
    }
    words.push("--help");
    words.join(" ")
}

/// clap's message without the usage block, on one line. `help`: what explains the command.
fn command_line_failure(help: &str, error: &clap::Error) -> Failure {
    let mut text = error.to_string();
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && value.chars().count() > SHOWN_CHARS_MAX
    {
        let shown: String = value.chars().take(SHOWN_CHARS_MAX).collect();
        text = text.replace(value, &format!("{shown}..."));
    }
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = text.split("\n\nUsage:").next().unwrap_or(text);
    let text = text.split("\n\nFor more information").next().unwrap_or(text);
    let text = text.trim_end().replace("\n\n", "; ");
    Failure::input(format!("{text} (\"{help}\" explains the command line)"))
}

fn report(name: &str, failure: &Failure) {
    if failure.fault == Fault::ReaderGone {
        return;
    }
    // Nothing more can be done when these cannot be written either: the exit code still tells.
    let _ = writeln!(std::io::stderr(), "{name}: {}", failure.message);
    if json_is_wanted() {
        let document = failure.document.clone().unwrap_or_else(|| serde_json::json!({ "error": failure.message }));
        let _ = say(document);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_commands_no_terminal() {
        let failure = Failure::failed("line one\n  line two\u{1b}[31m\r\n");
        assert_eq!(failure.message(), "line one line two [31m");
    }

    #[test]
    fn errors_of_the_system_are_told_in_words() {
        for (message, expected) in [
            ("no answer: Connection refused (os error 111)", "no answer: Connection refused"),
            ("a: b (os error 2); c: d (os error 13), e", "a: b; c: d, e"),
            ("friend (os error x) is (os error 7", "friend (os error x) is (os error 7"),
        ] {
            assert_eq!(Failure::failed(message).message(), expected);
            assert_eq!(Failure::input(message).message(), expected);
        }
        assert_eq!(plain(&std::io::ErrorKind::StorageFull.into()), "the disk is full");
    }

    #[test]
    fn errors_carry_their_code_and_what_was_done() {
        let error = || Err::<(), _>(std::io::Error::other("disk on fire"));
        let failure = error().or_input("reading a").unwrap_err();
        assert_eq!((failure.exit_code(), failure.message()), (2, "reading a: disk on fire"));
        let failure = error().or_failed("reading a").unwrap_err();
        assert_eq!((failure.exit_code(), failure.message()), (1, "reading a: disk on fire"));
        let failure = Failure::from(error().unwrap_err());
        assert_eq!((failure.exit_code(), failure.message()), (1, "disk on fire"));
    }

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug)]
        struct Caused(&'static str, std::io::Error);
        impl Display for Caused {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.0)
            }
        }
        impl std::error::Error for Caused {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.1)
            }
        }
        for text in ["the disk failed", "the disk failed: on fire"] {
            let failure = Failure::from(Caused(text, std::io::Error::other("on fire")));
            assert_eq!(failure.message(), "the disk failed: on fire");
        }
    }

    #[test]
    fn the_help_is_that_of_the_command() {
        let command = clap::Command::new("program")
            .subcommand(clap::Command::new("show").subcommand(clap::Command::new("all")))
            .subcommand(clap::Command::new("all"));
        for (line, expected) in [
            ("program", "program --help"),
            ("program nothing --all", "program --help"),
            ("program --json show", "program show --help"),
            ("program show -x 3 all all", "program show all --help"),
        ] {
            let line: Vec<_> = line.split(' ').map(OsString::from).collect();
            assert_eq!(help_of(&command, &line), expected);
        }
    }

    #[test]
    fn command_line_errors_are_one_message() {
        #[derive(Debug, Parser)]
        #[command(name = "program")]
        struct Arguments {
            #[arg(long)]
            count: u8,
        }
        let negative = ["program", "--count", "-1"].map(OsString::from).to_vec();
        let failure = command_line_failure("program --help", &parse::<Arguments>(negative).unwrap_err());
        assert!(failure.message().starts_with("invalid value '-1' for '--count <COUNT>': "), "{}", failure.message());
        let long = "9".repeat(5000);
        let error = Arguments::try_parse_from(["program", "--count", &long]).unwrap_err();
        let failure = command_line_failure("program --help", &error);
        assert!(failure.message().contains("999...' for '--count <COUNT>'"), "{}", failure.message());
        assert!(failure.message().len() < 300, "{}", failure.message());
        for (arguments, message) in [
            (vec!["program"], "the following required arguments were not provided: --count <COUNT>"),
            (vec!["program", "--count", "x"], "invalid value 'x' for '--count <COUNT>'"),
            (vec!["program", "--cuont", "1"], "unexpected argument '--cuont' found; tip: a similar argument exists"),
        ] {
            let error = Arguments::try_parse_from(arguments).unwrap_err();
            let failure = command_line_failure("program --help", &error);
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.message().starts_with(message), "{}", failure.message());
            assert!(failure.message().ends_with("(\"program --help\" explains the command line)"));
            assert!(!failure.message().contains("Usage"), "{}", failure.message());
        }
    }
}
