//! File descriptors over `AF_UNIX` sockets, see `SCM_RIGHTS` in `unix(7)`.
//!
//! nix returns received descriptors as bare numbers, and taking ownership of a number is unsafe: it is done here, once.

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Sends `fd` over `socket`, with `name` as the message's bytes (at least one is needed to carry a descriptor).
pub(crate) fn send_fd(socket: BorrowedFd<'_>, name: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
    let descriptors = [fd.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    // MSG_NOSIGNAL: a peer that has gone is an error, not a SIGPIPE.
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(name)], &rights, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Receives one message from `socket` and the descriptor in it; any more are closed.
///
/// `None` means that the message had no descriptor, or that the peer has closed its end.
pub(crate) fn receive_fd(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let mut name = [0; 4096];
    // SCM_MAX_FD: no message has more. Where they do not all fit, nix gives none, and those that did would stay open.
    let mut control = nix::cmsg_space!([std::os::fd::RawFd; 253]);
    let mut buffers = [IoSliceMut::new(&mut name)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut buffers, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut received = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            // SAFETY: the kernel has just installed these descriptors in this process for this call alone: nobody else
            // knows their numbers, so nobody else owns or closes them (recvmsg's result is the only copy).
            received.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    Ok(received.into_iter().next())
}

/// A close-on-exec duplicate of whatever descriptor of this process has this number.
pub(crate) fn duplicate(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC has no memory effects, and fails for a number that is not open.
    let copy = nix::errno::Errno::result(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the kernel just made this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_descriptor_arrives_open_and_cloexec() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let mut reader = std::fs::File::from(reader);
        send_fd(theirs.as_fd(), b"pipe", writer.as_fd()).unwrap();
        drop(writer);
        let arrived = receive_fd(ours.as_fd()).unwrap().unwrap();
        let flags = nix::fcntl::fcntl(&arrived, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        std::fs::File::from(arrived).write_all(b"through").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn all_but_one_of_many_are_closed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, writer) =
            nix::unistd::pipe().map(|(reader, writer)| (std::fs::File::from(reader), writer)).unwrap();
        let many = [writer.as_raw_fd(); 253];
        let rights = [ControlMessage::ScmRights(&many)];
        sendmsg::<()>(theirs.as_raw_fd(), &[IoSlice::new(b"x")], &rights, MsgFlags::empty(), None).unwrap();
        drop(writer);
        drop(receive_fd(ours.as_fd()).unwrap().unwrap());
        // The end of the file: nobody has the writing end any more.
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_peer_that_sends_none_is_not_an_error() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"nothing").unwrap();
        assert!(receive_fd(ours.as_fd()).unwrap().is_none());
        drop(theirs);
        assert!(receive_fd(ours.as_fd()).unwrap().is_none());
    }
}
