//! What a verb returns when it cannot do its work.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

/// A message for the log and an exit code; for a wrong command line also the usage to print.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    usage: Option<String>,
    code: u8,
}

impl Failure {
    /// A failure with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), usage: None, code: 1 }
    }

    /// A failed system call; `operation` names its purpose and arguments, as in `open log /var/log/corten`.
    pub(crate) fn os(operation: impl Display, error: &io::Error) -> Failure {
        // The errno in words, without Rust's "(os error N)".
        match error.raw_os_error() {
            Some(errno) => Failure::new(format!("{operation}: {}", libcorten::errno_in_words(errno))),
            None => Failure::new(format!("{operation}: {error}")),
        }
    }

    /// Adds what the user could do about it.
    pub(crate) fn hint(self, hint: &str) -> Failure {
        Failure { message: format!("{} ({hint})", self.message), ..self }
    }

    /// A wrong command line; `help` goes to standard output below a line that says what is wrong, as with runc.
    pub(crate) fn usage_error(message: impl Into<String>, help: &str) -> Failure {
        let message = message.into();
        let usage = format!("Incorrect Usage: {message}\n\n{help}");
        Failure { message, usage: Some(usage), code: 1 }
    }

    /// The same failure with another exit code.
    pub(crate) fn with_code(self, code: u8) -> Failure {
        Failure { code, ..self }
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn usage(&self) -> Option<&str> {
        self.usage.as_deref()
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl From<libcorten::Error> for Failure {
    fn from(error: libcorten::Error) -> Failure {
        Failure::new(format!("{error:#}"))
    }
}
