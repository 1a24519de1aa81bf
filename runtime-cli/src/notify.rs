//! `NOTIFY_SOCKET`, see `sd_notify(3)`: a manager such as systemd waits on it until its service is ready, and the service is
//! the container's program. That gets a socket of its own; what it says of being ready is passed on, with the pid that the
//! manager is to watch, and nothing else, as runc does it. The host's socket itself is not in the container: whoever can
//! send there can tell systemd what it likes.

use crate::announcement::delete_after;
use crate::failure::Failure;
use crate::log::Log;
use libcorten::Container;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

const VARIABLE: &str = "NOTIFY_SOCKET";

/// How long the manager may take to make room for a message.
const SEND_PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take to read what was sent before this process ends, in milliseconds.
const BARRIER_PATIENCE: u16 = 30_000;

/// How many messages are read before anything else is looked at again, more than a socket holds: a container that never stops
/// talking must not keep this process from signals, nor from its own end.
const AT_ONCE: usize = 1024;

/// Whether a manager waits for word of a container.
pub(crate) fn is_wanted() -> bool {
    manager().is_some()
}

fn manager() -> Option<OsString> {
    std::env::var_os(VARIABLE).filter(|address| !address.is_empty())
}

/// Listens to a container for its manager.
pub(crate) struct Notify {
    socket: UnixDatagram,
    manager: OsString,
}

impl Notify {
    /// Listens to `container`, if a manager waits for word of it and the container was created with a socket.
    pub(crate) fn listen(container: &mut Container) -> Result<Option<Notify>, Failure> {
        let Some(manager) = manager() else { return Ok(None) };
        let Some(socket) = container.notify_socket()? else { return Ok(None) };
        socket.set_nonblocking(true).map_err(|error| Failure::os("set up the notify socket", &error))?;
        Ok(Some(Notify { socket, manager }))
    }

    /// As [`listen`](Self::listen), to a container that has just been made: if that fails, it goes.
    pub(crate) fn listen_to_new(mut container: Container) -> Result<(Container, Option<Notify>), Failure> {
        match Notify::listen(&mut container) {
            Ok(notify) => Ok((container, notify)),
            Err(failure) => Err(delete_after(container, failure)),
        }
    }

    /// Readable when the container has said something.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What the container says of being ready, if it has said that by now.
    pub(crate) fn ready(&self) -> Option<Vec<u8>> {
        let mut datagram = [0; 4096];
        for _ in 0..AT_ONCE {
            let Ok(length) = self.socket.recv(&mut datagram) else { break };
            let mut lines = datagram.get(..length).unwrap_or_default().split(|byte| *byte == b'\n');
            if let Some(line) = lines.find(|line| line.starts_with(b"READY=")) {
                return Some(line.to_vec());
            }
        }
        None
    }

    /// Tells the manager, and that `pid` is the process to watch.
    pub(crate) fn pass_on(&self, ready: &[u8], pid: u32, log: &Log) -> Option<UnixDatagram> {
        let told = self.connect().and_then(|manager| {
            manager.send(&[ready, b"\n"].concat())?;
            manager.send(format!("MAINPID={pid}\n").as_bytes())?;
            Ok(manager)
        });
        told.inspect_err(|error| self.warn(log, "tell", error)).ok()
    }

    /// Waits until the container is ready or has ended, and tells the manager. The message counts only once the manager has
    /// read it: it does not believe a process that is gone.
    pub(crate) fn wait(self, container: &Container, log: &Log) -> Result<(), Failure> {
        let (Some(pid), Some(pidfd)) = (container.pid(), container.pidfd()) else { return Ok(()) };
        let mut ended = false;
        loop {
            if let Some(ready) = self.ready() {
                if let Some(manager) = self.pass_on(&ready, pid.unsigned_abs(), log) {
                    await_reading(&manager).unwrap_or_else(|error| self.warn(log, "wait for", &error));
                }
                return Ok(());
            }
            // Whoever has the socket still may go on for ever; what the program itself had said has been read.
            if ended {
                return Ok(());
            }
            let mut fds = [self.as_fd(), pidfd].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(Failure::os("poll the notify socket", &errno.into())),
            }
            let [_, of_program] = &fds;
            ended = of_program.any().unwrap_or(true);
        }
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let address = match self.manager.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&self.manager)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hang a container's start.
        socket.set_write_timeout(Some(SEND_PATIENCE))?;
        socket.connect_addr(&address).map(|()| socket)
    }

    fn warn(&self, log: &Log, what: &str, error: &io::Error) {
        let operation = format!("{what} the manager at {VARIABLE}={}", std::path::Path::new(&self.manager).display());
        log.warning(Failure::os(operation, error).message());
    }
}

/// `sd_notify_barrier(3)`: the manager closes the descriptor that it gets when it has come so far.
fn await_reading(manager: &UnixDatagram) -> io::Result<()> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    let rights = [writer.as_raw_fd()];
    let message = [IoSlice::new(b"BARRIER=1")];
    let rights = [ControlMessage::ScmRights(&rights)];
    sendmsg::<()>(manager.as_raw_fd(), &message, &rights, MsgFlags::MSG_NOSIGNAL, None)?;
    drop(writer);
    match poll(&mut [PollFd::new(reader.as_fd(), PollFlags::empty())], PollTimeout::from(BARRIER_PATIENCE))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}
