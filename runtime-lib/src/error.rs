//! The one error type of the library.
//!
//! An error says *which configuration element* could not be honoured ([`Error::location`]), what was attempted, and why
//! the kernel refused. Each layer adds only its own fact; [`Error`]'s `Display` prints the fact of this layer, its
//! alternate form (`{:#}`) the whole chain on one line: `mounts[3]: bind /src on /data: open source: No such file or
//! directory`.

mod words;

use std::fmt;
pub use words::errno_in_words;

/// A `Result` with the library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarse enough to decide what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The container id is empty, too long or has a character outside `[A-Za-z0-9_+.-]`.
    InvalidId,
    /// `config.json` cannot be parsed, or an element of it has no valid meaning.
    InvalidConfig,
    /// An argument of the call (not of the configuration) is invalid.
    InvalidArgument,
    /// No container of that id.
    NotFound,
    /// A container of that id exists already.
    AlreadyExists,
    /// The container's status does not allow the operation (start of a running one, …).
    WrongStatus,
    /// This host (its kernel, its configuration, the caller's privileges) cannot do what was asked.
    Unsupported,
    /// The program to run was not found: exit code 127 in shells and engines.
    ProgramNotFound,
    /// The program to run exists but cannot be executed: exit code 126 in shells and engines.
    ProgramNotExecutable,
    /// A hook failed or timed out.
    Hook,
    /// The state directory holds something that is not a record of ours.
    CorruptState,
    /// A system call failed.
    Os,
    /// The init ended without a word, or said something it must not say: a bug, or somebody killed it.
    Internal,
}

/// An error of libcorten. Opaque: ask it for [`kind`](Error::kind), [`location`](Error::location) and
/// [`errno`](Error::errno), or print it.
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    location: Option<String>,
    message: String,
    hint: Option<String>,
    errno: Option<i32>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with no cause beneath it.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Repr { kind, location: None, message: message.into(), hint: None, errno: None, source: None }))
    }

    /// An element of the configuration that has no valid meaning; `location` as in `process.args[0]`.
    pub(crate) fn config(location: impl Into<String>, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidConfig, message).at(location)
    }

    /// A failed system call; `operation` names the call's purpose and arguments (`open /proc/self/ns/net`).
    pub(crate) fn os(operation: impl Into<String>, errno: impl Into<std::io::Error>) -> Error {
        let source: std::io::Error = errno.into();
        let mut error = Error::new(ErrorKind::Os, operation);
        error.0.errno = source.raw_os_error();
        error.0.source = Some(Box::new(ErrnoText(source)));
        error
    }

    /// Puts `source` beneath this error.
    pub(crate) fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// Wraps this error in the fact of an outer layer; kind, location and errno stay reachable.
    pub(crate) fn context(self, message: impl Into<String>) -> Error {
        let (kind, errno) = (self.0.kind, self.0.errno);
        let mut outer = Error::new(kind, message);
        outer.0.errno = errno;
        outer.0.source = Some(Box::new(self));
        outer
    }

    /// Names the configuration element, if none is named yet.
    pub(crate) fn at(mut self, location: impl Into<String>) -> Error {
        if self.0.location.is_none() {
            self.0.location = Some(location.into());
        }
        self
    }

    /// Continues the message.
    pub(crate) fn and(mut self, more: &str) -> Error {
        self.0.message.push_str(more);
        self
    }

    /// Adds what the user could do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Error {
        self.0.hint = Some(hint.into());
        self
    }

    /// Replaces the kind.
    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Error {
        self.0.kind = kind;
        self
    }

    /// What went wrong, coarsely.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The element of `config.json` that could not be honoured, such as `mounts[3]` or
    /// `process.capabilities.bounding[2]`.
    pub fn location(&self) -> Option<&str> {
        self.0.location.as_deref().or_else(|| self.inner().and_then(Error::location))
    }

    /// The errno of the system call that failed, if one did.
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// What the user could do about it, where that is known.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref().or_else(|| self.inner().and_then(Error::advice))
    }

    fn inner(&self) -> Option<&Error> {
        self.0.source.as_deref().and_then(|source| source.downcast_ref::<Error>())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.0.location {
            write!(f, "{location}: ")?;
        }
        f.write_str(&self.0.message)?;
        if f.alternate() {
            let mut source = std::error::Error::source(self);
            while let Some(error) = source {
                write!(f, ": {error}")?;
                source = error.source();
            }
            if let Some(hint) = self.advice() {
                write!(f, " ({hint})")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}, \"{:#}\")", self.0.kind, self)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// An errno in words alone, without the "(os error N)" of `std::io::Error`, as `strerror(3)` puts it.
#[derive(Debug)]
struct ErrnoText(std::io::Error);

impl fmt::Display for ErrnoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.raw_os_error() {
            Some(errno) => f.write_str(errno_in_words(errno)),
            None => self.0.fmt(f),
        }
    }
}

impl std::error::Error for ErrnoText {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_prints_every_fact_once() {
        let error = Error::os("open source", std::io::Error::from_raw_os_error(libc::ENOENT))
            .context("bind /nonexistent/src on /data")
            .at("mounts[3]");
        assert_eq!(error.to_string(), "mounts[3]: bind /nonexistent/src on /data");
        assert_eq!(
            format!("{error:#}"),
            "mounts[3]: bind /nonexistent/src on /data: open source: No such file or directory"
        );
        assert_eq!(error.location(), Some("mounts[3]"));
        assert_eq!(error.errno(), Some(libc::ENOENT));
        assert_eq!(error.kind(), ErrorKind::Os);
    }

    #[test]
    fn location_and_advice_of_an_inner_error_stay_reachable() {
        let error = Error::config("process.cwd", "is not absolute").hint("begin it with /").context("load bundle");
        assert_eq!(error.location(), Some("process.cwd"));
        assert_eq!(format!("{error:#}"), "load bundle: process.cwd: is not absolute (begin it with /)");
    }
}
