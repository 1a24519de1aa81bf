//! What a verb returns when it cannot do its work.

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

/// Only for what needs no context.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::new(crate::log::os_text(&error))
    }
}

impl From<nix::errno::Errno> for Failure {
    fn from(errno: nix::errno::Errno) -> Failure {
        Failure::new(errno.desc())
    }
}
