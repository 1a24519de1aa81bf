//! `linux.seccomp.listenerPath`: the agent that answers the calls of `SCMP_ACT_NOTIFY` rules gets the listener.
//!
//! The init loads the filter, so the listener is a descriptor of its own. From then on any call of the init may be one
//! that the agent has to answer first, and it has none yet: so the init does no more than write the descriptor's number, and
//! the launcher takes the descriptor out of it (`pidfd_getfd(2)`) and sends it on. Whoever listens at the other end may be
//! slow or hostile: all of it ends at a deadline.

use super::hooks::HookState;
use crate::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg, socket,
};
use serde::Serialize;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long an agent may take to accept and read.
const PATIENCE: Duration = Duration::from_secs(10);

/// The specification's *container process state*.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessState<'a> {
    oci_version: &'a str,
    /// What the descriptors that come with it are.
    fds: [&'a str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: HookState<'a>,
}

impl<'a> ProcessState<'a> {
    /// Of the process `pid` in the container of `state`.
    pub(crate) fn new(pid: i32, metadata: Option<&'a str>, state: HookState<'a>) -> ProcessState<'a> {
        let metadata = metadata.unwrap_or_default();
        ProcessState { oci_version: crate::spec::VERSION, fds: ["seccompFd"], pid, metadata, state }
    }
}

/// Sends the state and with it `listener` to the socket at `path`.
///
/// # Errors
/// Nobody listens there, or does not read in time; at `linux.seccomp.listenerPath`.
pub(crate) fn send(path: &str, state: &ProcessState<'_>, listener: BorrowedFd<'_>) -> Result<()> {
    let text = serde_json::to_vec(state).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    send_within(path, &text, listener, PATIENCE).map_err(|errno| {
        let error = Error::os(format!("send the seccomp listener to {path}"), errno);
        let error = match errno {
            Errno::ETIMEDOUT => error.hint("the agent there does not accept or does not read"),
            Errno::ENOENT | Errno::ECONNREFUSED => error.hint("is the agent running?"),
            _ => error,
        };
        error.at("linux.seccomp.listenerPath")
    })
}

fn send_within(path: &str, text: &[u8], listener: BorrowedFd<'_>, patience: Duration) -> Result<(), Errno> {
    let deadline = Instant::now() + patience;
    let socket = connect_until(path, deadline)?;
    let fds = [listener.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    let (mut rest, mut control) = (text, &rights[..]);
    while !rest.is_empty() {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        match sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(rest)], control, flags, None) {
            Ok(sent) => (rest, control) = (rest.get(sent..).unwrap_or_default(), &[]),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => wait_until_writable(&socket, deadline)?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// A connection; a full queue of the socket is waited for. (`poll(2)` cannot tell when there is room again.)
fn connect_until(path: &str, deadline: Instant) -> Result<OwnedFd, Errno> {
    let address = UnixAddr::new(path)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    loop {
        match connect(socket.as_raw_fd(), &address) {
            Ok(()) => return Ok(socket),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Err(Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
            Err(errno) => return Err(errno),
        }
    }
}

fn wait_until_writable(socket: &OwnedFd, deadline: Instant) -> Result<(), Errno> {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    if left == 0 {
        return Err(Errno::ETIMEDOUT);
    }
    let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], left) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn agent() -> (tempfile::TempDir, String, UnixListener) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent").to_str().unwrap().to_owned();
        let listener = UnixListener::bind(&path).unwrap();
        (directory, path, listener)
    }

    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn a_long_state_arrives_whole() {
        let (_directory, path, listener) = agent();
        let text = vec![b'x'; 3 << 20];
        let reader = std::thread::spawn(move || {
            let mut received = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
            received.len()
        });
        let (one, _other) = UnixStream::pair().unwrap();
        send_within(&path, &text, one.as_fd(), Duration::from_secs(60)).unwrap();
        assert_eq!(reader.join().unwrap(), text.len());
    }

    #[test]
    fn agents_that_do_not_read_or_are_not_there_end_at_the_deadline() {
        let (one, _other) = UnixStream::pair().unwrap();
        let (_directory, path, listener) = agent();
        // Accepted by the kernel, never read: more than the socket's buffers hold.
        let full = send_within(&path, &vec![b'x'; 8 << 20], one.as_fd(), SHORT);
        assert_eq!(full, Err(Errno::ETIMEDOUT));
        drop(listener);
        assert_eq!(send_within(&path, b"x", one.as_fd(), SHORT), Err(Errno::ECONNREFUSED));
        assert_eq!(send_within("/nonexistent/agent", b"x", one.as_fd(), SHORT), Err(Errno::ENOENT));
        assert_eq!(send_within(&"x".repeat(200), b"x", one.as_fd(), SHORT), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn an_agent_that_hangs_up_is_an_error_and_no_signal() {
        let (one, _other) = UnixStream::pair().unwrap();
        let (_directory, path, listener) = agent();
        let closer = std::thread::spawn(move || drop(listener.accept()));
        let result = send_within(&path, &vec![b'x'; 8 << 20], one.as_fd(), Duration::from_secs(60));
        assert!(matches!(result, Err(Errno::EPIPE | Errno::ECONNRESET)), "{result:?}");
        closer.join().unwrap();
    }

    #[test]
    fn a_full_queue_is_waited_for_until_the_deadline() {
        let (one, _other) = UnixStream::pair().unwrap();
        let (_directory, path, _listener) = agent();
        nix::sys::socket::listen(&_listener, nix::sys::socket::Backlog::new(1).unwrap()).unwrap();
        let mut result = Ok(());
        for _ in 0..8 {
            result = result.and(send_within(&path, b"x", one.as_fd(), SHORT));
        }
        assert_eq!(result, Err(Errno::ETIMEDOUT));
    }
}
