//! The socket between the launcher and the init.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A connected pair.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
}

/// Sends `bytes` with `fds`; gives how many bytes went out.
pub(crate) fn send(socket: &OwnedFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
    let raw: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &rights[..0] } else { &rights[..] };
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Receives into `bytes`; 0 at the end.
pub(crate) fn receive(socket: &OwnedFd, bytes: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match nix::unistd::read(socket, bytes) {
            Err(Errno::EINTR) => {}
            // The init ended with words of ours unread: for us that is the end.
            Err(Errno::ECONNRESET) => return Ok(0),
            result => return result,
        }
    }
}

/// Whether there is something to receive, or the other end is closed.
pub(crate) fn is_readable(socket: &OwnedFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// Waits until there is something to receive; false when the process of `pidfd` has ended and there is nothing.
pub(crate) fn readable_unless_ended(socket: &OwnedFd, pidfd: &OwnedFd) -> Result<bool, Errno> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let readable =
        |timeout| poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout).map(|count| count > 0);
    let both = [socket.as_fd(), pidfd.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    while let Err(errno) = poll(&mut both.clone(), PollTimeout::NONE) {
        if errno != Errno::EINTR {
            return Err(errno);
        }
    }
    // What it said before it ended is there by now.
    readable(PollTimeout::ZERO)
}
