//! The descriptors that the caller chooses for a program: both builders take them, and mean the same.

use crate::error::{Error, ErrorKind, Result};
use crate::launch::Io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Standard streams that are not the caller's own, and where a terminal goes.
#[derive(Debug, Default)]
pub(super) struct Stdio {
    pub(super) streams: [Option<OwnedFd>; 3],
    pub(super) console_socket: Option<OwnedFd>,
}

impl Stdio {
    /// For the launcher, with what is passed on from 3 on.
    pub(super) fn io<'a>(&'a self, preserved: &'a [OwnedFd]) -> Io<'a> {
        Io {
            stdio: self.streams.each_ref().map(|fd| fd.as_ref().map(AsFd::as_fd)),
            console_socket: self.console_socket.as_ref().map(AsFd::as_fd),
            plain_newlines: false,
            start: None,
            preserved: preserved.iter().map(AsFd::as_fd).collect::<Vec<BorrowedFd<'_>>>(),
        }
    }

    /// A terminal has to go somewhere, and only a terminal does.
    pub(super) fn must_fit(&self, terminal: bool) -> Result<()> {
        let message = match (terminal, &self.console_socket) {
            (true, None) => "a terminal needs a console socket",
            (false, Some(_)) => "a console socket needs a terminal",
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::InvalidArgument, message).at("process.terminal"))
    }
}

/// The setters, of a builder with the fields `stdio` and `choices`.
macro_rules! setters {
    () => {
        /// The program's standard input; the caller's own unless set. A `File`, the end of a pipe, a socket: whatever is an
        /// `OwnedFd`. The builder owns it, so that a reader at the other end sees the end of file when the program is through.
        pub fn stdin(mut self, file: impl Into<OwnedFd>) -> Self {
            self.stdio.streams[0] = Some(file.into());
            self
        }

        /// The program's standard output; the caller's own unless set.
        pub fn stdout(mut self, file: impl Into<OwnedFd>) -> Self {
            self.stdio.streams[1] = Some(file.into());
            self
        }

        /// The program's standard error; the caller's own unless set.
        pub fn stderr(mut self, file: impl Into<OwnedFd>) -> Self {
            self.stdio.streams[2] = Some(file.into());
            self
        }

        /// Passes the caller's file descriptors from 3 on to the program, `count` of them, after those of
        /// [`listen_fds`](Self::listen_fds).
        pub fn preserve_fds(mut self, count: u32) -> Self {
            self.choices.preserve_fds = count;
            self
        }

        /// Passes `count` sockets, the caller's descriptors from 3 on, as `sd_listen_fds(3)` describes: `LISTEN_FDS` and
        /// `LISTEN_PID` are added to the program's environment.
        pub fn listen_fds(mut self, count: u32) -> Self {
            self.choices.listen_fds = count;
            self
        }
    };
}
pub(super) use setters;
