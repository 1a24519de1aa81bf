//! A blocking connection to a D-Bus daemon, every operation of which has to be done by one deadline.
//!
//! Why not a library: docs/decisions/0006-own-dbus-client.md.

use super::message::{self, Message, Method, Reader, Writer};
use crate::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket};
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

const DAEMON: &str = "org.freedesktop.DBus";

/// See the module.
pub(super) struct Bus {
    socket: OwnedFd,
    /// For messages.
    address: String,
    deadline: Instant,
    serial: u32,
    /// Came in, but is not looked at yet.
    pending: Vec<u8>,
    signals: VecDeque<Message>,
}

/// Why a call failed.
pub(super) enum Failure {
    /// The other side answered with an error of this name and text.
    Refused(String, String),
    /// There was no answer.
    Broken(Error),
}

impl Failure {
    /// Whether it is systemd's error `name`.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Failure::Refused(error, _) if error.strip_prefix("org.freedesktop.systemd1.") == Some(name))
    }

    pub(super) fn into_error(self, what: &str) -> Error {
        match self {
            Failure::Refused(name, text) => {
                Error::new(ErrorKind::Os, format!("{what}: systemd refuses: {text} ({name})"))
            }
            Failure::Broken(error) => error.context(what.to_owned()),
        }
    }
}

impl Bus {
    /// Connects to the bus at the socket `address` and says hello, all within `patience`, which also bounds everything
    /// that follows on the connection.
    pub(super) fn connect(address: &str, patience: Duration) -> Result<Bus> {
        let fault = |e: Errno| Error::os(format!("connect to the D-Bus socket {address}"), e);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(fault)?;
        let target = UnixAddr::new(address).map_err(fault)?;
        let deadline = Instant::now() + patience;
        loop {
            match connect(socket.as_raw_fd(), &target) {
                Ok(()) => break,
                // The daemon has more callers waiting than its queue holds; poll(2) does not tell when that changes.
                Err(Errno::EAGAIN) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(fault(e)),
            }
        }
        let (pending, signals) = (Vec::new(), VecDeque::new());
        let mut bus = Bus { socket, address: address.to_owned(), deadline, serial: 0, pending, signals };
        bus.authenticate()?;
        let hello = Method {
            destination: DAEMON,
            path: "/org/freedesktop/DBus",
            interface: DAEMON,
            member: "Hello",
            signature: "",
        };
        bus.call(&hello, Writer::default()).map_err(|failure| failure.into_error("say hello to D-Bus"))?;
        Ok(bus)
    }

    /// The empty identity stands for the one that the kernel tells of us, right also from within a user namespace.
    fn authenticate(&mut self) -> Result<()> {
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        for expected in ["DATA", "OK"] {
            let line = self.line()?;
            if line.split(' ').next() != Some(expected) {
                return Err(Error::new(ErrorKind::Os, format!("D-Bus at {} refuses us: {line:?}", self.address)));
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.pending.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.pending.drain(..end + 2).take(end).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.pending.len() > message::LONGEST {
                return Err(self.nonsense());
            }
            self.receive()?;
        }
    }

    /// Has signals of that rule sent to us.
    pub(super) fn subscribe(&mut self, rule: &str) -> Result<()> {
        let method = Method {
            destination: DAEMON,
            path: "/org/freedesktop/DBus",
            interface: DAEMON,
            member: "AddMatch",
            signature: "s",
        };
        let mut body = Writer::default();
        body.text(rule);
        self.call(&method, body).map(drop).map_err(|failure| failure.into_error("subscribe to signals of systemd"))
    }

    /// Calls a method and waits for its answer; gives the answer's body.
    pub(super) fn call(&mut self, method: &Method<'_>, body: Writer) -> Result<Vec<u8>, Failure> {
        self.serial += 1;
        let serial = self.serial;
        self.send(&message::call(serial, method, &body.bytes)).map_err(Failure::Broken)?;
        loop {
            let message = self.next().map_err(Failure::Broken)?;
            match message.kind {
                message::RETURN if message.reply_to == Some(serial) => return Ok(message.body),
                message::ERROR if message.reply_to == Some(serial) => {
                    let text = Reader::new(&message.body).text().unwrap_or_default().to_owned();
                    return Err(Failure::Refused(message.error, text));
                }
                message::SIGNAL => self.signals.push_back(message),
                _ => {}
            }
        }
    }

    /// The next signal.
    pub(super) fn signal(&mut self) -> Result<Message> {
        if let Some(signal) = self.signals.pop_front() {
            return Ok(signal);
        }
        loop {
            let message = self.next()?;
            if message.kind == message::SIGNAL {
                return Ok(message);
            }
        }
    }

    fn next(&mut self) -> Result<Message> {
        loop {
            if self.pending.len() >= message::FIXED {
                let length = message::length(&self.pending).ok_or_else(|| self.nonsense())?;
                if self.pending.len() >= length {
                    let bytes: Vec<u8> = self.pending.drain(..length).collect();
                    return message::read(&bytes).ok_or_else(|| self.nonsense());
                }
            }
            self.receive()?;
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLOUT)?,
                Err(Errno::EINTR) => {}
                Err(e) => return Err(self.os("write to", e)),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        // A bus that talks without end has no right to keep us either.
        if Instant::now() >= self.deadline {
            return Err(self.os("wait for", Errno::ETIMEDOUT));
        }
        let mut piece = [0; 4096];
        loop {
            match recv(self.socket.as_raw_fd(), &mut piece, MsgFlags::empty()) {
                Ok(0) => return Err(self.os("read from", Errno::ECONNRESET)),
                Ok(count) => {
                    self.pending.extend_from_slice(piece.get(..count).unwrap_or_default());
                    return Ok(());
                }
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLIN)?,
                Err(Errno::EINTR) => {}
                Err(e) => return Err(self.os("read from", e)),
            }
        }
    }

    fn wait(&self, flags: PollFlags) -> Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), flags)], timeout) {
            Ok(0) => Err(self.os("wait for", Errno::ETIMEDOUT)),
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(e) => Err(self.os("wait for", e)),
        }
    }

    fn os(&self, what: &str, e: Errno) -> Error {
        Error::os(format!("{what} D-Bus at {}", self.address), e)
    }

    fn nonsense(&self) -> Error {
        Error::new(ErrorKind::Os, format!("D-Bus at {} sent what is no message", self.address))
    }
}
