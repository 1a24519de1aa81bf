//! Terminals: what a program that keeps the terminal of a container needs.
//!
//! The container's init opens the pseudoterminal inside the container, so that its slave is of the container's own
//! devpts, and sends the master over the socket given to
//! [`ContainerBuilder::console_socket`](crate::ContainerBuilder::console_socket).

use crate::error::{Error, ErrorKind, Result};
use crate::sys::fdpass;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

pub use crate::sys::tty::{WindowSize, set_window_size, window_size};

/// Receives the master of a container's terminal from the other end of the container's console socket; waits for it no
/// longer than `timeout`, so that a container that died cannot hang its caller.
///
/// # Errors
/// [`ErrorKind::Internal`] when none came; [`ErrorKind::Os`].
pub fn receive_master(socket: BorrowedFd<'_>, timeout: Duration) -> Result<OwnedFd> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up: a rest of less than a millisecond must not become a busy loop.
        let left = PollTimeout::try_from(left.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket, PollFlags::POLLIN)], left) {
            Ok(0) if Instant::now() >= deadline => {
                return Err(Error::new(ErrorKind::Internal, "the container did not send its terminal in time"));
            }
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => break,
            Err(errno) => return Err(Error::os("poll the console socket", errno)),
        }
    }
    match fdpass::receive_fd(socket) {
        Ok(Some(master)) => Ok(master),
        Ok(None) => Err(Error::new(ErrorKind::Internal, "the container ended without sending its terminal")),
        Err(error) => Err(Error::os("receive the terminal from the console socket", error)),
    }
}

/// Sends `fd` over a connected `AF_UNIX` socket (`SCM_RIGHTS`); `name` says what it is to a receiver that logs it.
///
/// # Errors
/// [`ErrorKind::Os`].
pub fn send_fd(socket: BorrowedFd<'_>, name: &str, fd: BorrowedFd<'_>) -> Result<()> {
    fdpass::send_fd(socket, name.as_bytes(), fd)
        .map_err(|error| Error::os(format!("send the {name} descriptor over the socket"), error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_master_that_is_sent_is_received() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let pair = nix::pty::openpty(None, None).unwrap();
        send_fd(theirs.as_fd(), "terminal", pair.master.as_fd()).unwrap();
        let master = receive_master(ours.as_fd(), Duration::from_secs(5)).unwrap();
        let size = WindowSize { rows: 5, columns: 7 };
        set_window_size(master.as_fd(), size).unwrap();
        assert_eq!(window_size(pair.slave.as_fd()).unwrap(), size);
    }

    #[test]
    fn a_container_that_sends_nothing_hangs_nobody() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let start = Instant::now();
        let error = receive_master(ours.as_fd(), Duration::from_millis(20)).unwrap_err();
        assert!(error.to_string().contains("in time"), "{error}");
        assert!(start.elapsed() >= Duration::from_millis(20));
        drop(theirs);
        let error = receive_master(ours.as_fd(), Duration::from_secs(60)).unwrap_err();
        assert!(error.to_string().contains("without sending"), "{error}");
    }
}
