//! A container's terminal shown on the terminal of the caller.
//!
//! The container's pseudoterminal does line editing, echo and signal characters, so the host's terminal is set to raw
//! mode for as long as the program runs, but for the output of newlines: runc leaves `\n` → `\r\n` to the host's
//! terminal and clears it on the container's, so that output into a file has plain newlines.

use crate::failure::Failure;
use libcorten::console::{set_window_size, window_size};
use libcorten::spec::ConsoleSize;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{read, write};
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A write of no more never blocks on a pipe that polls as writable: `PIPE_BUF`, see `pipe(7)`.
const CHUNK: usize = 4096;
const NO_TERMINAL: &str = "there is no terminal here: do without, or give one with --detach and --console-socket";

/// The caller's terminal; gets its settings back when dropped.
pub(crate) struct HostTerminal {
    fd: OwnedFd,
    saved: Option<Termios>,
}

impl HostTerminal {
    /// The terminal among the standard streams, else the controlling one.
    pub(crate) fn find() -> Result<HostTerminal, Failure> {
        let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let streams = [error.as_fd(), output.as_fd(), input.as_fd()];
        let fd = match streams.into_iter().find(IsTerminal::is_terminal) {
            Some(stream) => stream.try_clone_to_owned(),
            None => File::options().read(true).write(true).open("/dev/tty").map(OwnedFd::from),
        };
        let fd = fd.map_err(|error| Failure::os("process.terminal: open /dev/tty", &error).hint(NO_TERMINAL))?;
        Ok(HostTerminal { fd, saved: None })
    }

    /// Sets raw mode until this is dropped.
    pub(crate) fn set_raw(&mut self) -> Result<(), Failure> {
        let failed = |errno: Errno| Failure::os("set the terminal to raw mode", &errno.into());
        let saved = tcgetattr(&self.fd).map_err(failed)?;
        let mut raw = saved.clone();
        cfmakeraw(&mut raw);
        raw.output_flags.insert(OutputFlags::OPOST);
        tcsetattr(&self.fd, SetArg::TCSANOW, &raw).map_err(failed)?;
        self.saved.get_or_insert(saved);
        Ok(())
    }

    /// Its size, if it has one.
    pub(crate) fn size(&self) -> Option<ConsoleSize> {
        let size = window_size(self.fd.as_fd()).ok().filter(|size| size.rows != 0 || size.columns != 0)?;
        Some(ConsoleSize { width: size.columns, height: size.rows })
    }

    /// Gives `master` the size of this terminal, which may have changed.
    pub(crate) fn copy_size(&self, master: BorrowedFd<'_>) {
        // A terminal without a size (a serial line) leaves the container's as it is.
        if let Ok(size) = window_size(self.fd.as_fd()) {
            let _ = set_window_size(master, size);
        }
    }
}

impl Drop for HostTerminal {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            // The terminal may have gone.
            let _ = tcsetattr(&self.fd, SetArg::TCSANOW, saved);
        }
    }
}

/// Copies between the standard streams and the master of the container's terminal, never blocking on either.
pub(crate) struct Relay<'a> {
    master: OwnedFd,
    input: Option<BorrowedFd<'a>>,
    output: Option<BorrowedFd<'a>>,
    to_master: Pending,
    to_output: Pending,
    /// Nobody in the container has the terminal open; somebody may open it again.
    hung_up: bool,
}

/// One of the descriptors that a [`Relay`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Input,
    Output,
    Master,
}

impl<'a> Relay<'a> {
    /// Prepares `master`; copying is done by [`on_event`](Relay::on_event).
    pub(crate) fn new(master: OwnedFd, input: BorrowedFd<'a>, output: BorrowedFd<'a>) -> Result<Relay<'a>, Failure> {
        let failed = |errno: Errno| Failure::os("prepare the container's terminal", &errno.into());
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL).map_err(failed)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map_err(failed)?;
        let mut settings = tcgetattr(&master).map_err(failed)?;
        settings.output_flags.remove(OutputFlags::ONLCR);
        tcsetattr(&master, SetArg::TCSANOW, &settings).map_err(failed)?;
        Ok(Relay {
            master,
            input: Some(input),
            output: Some(output),
            to_master: Pending::default(),
            to_output: Pending::default(),
            hung_up: false,
        })
    }

    pub(crate) fn master(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// Whether nobody has the container's terminal open: then the master always polls as ready, and is left out of
    /// [`interests`](Relay::interests) once, so that the caller should look again after a moment.
    pub(crate) fn take_hung_up(&mut self) -> bool {
        std::mem::take(&mut self.hung_up)
    }

    /// What to poll for now.
    pub(crate) fn interests(&self, with_master: bool) -> Vec<(End, PollFd<'_>)> {
        let mut interests = Vec::with_capacity(3);
        if let Some(input) = self.input.filter(|_| self.to_master.is_empty()) {
            interests.push((End::Input, PollFd::new(input, PollFlags::POLLIN)));
        }
        if let Some(output) = self.output.filter(|_| !self.to_output.is_empty()) {
            interests.push((End::Output, PollFd::new(output, PollFlags::POLLOUT)));
        }
        let mut master = PollFlags::empty();
        master.set(PollFlags::POLLIN, self.to_output.is_empty());
        master.set(PollFlags::POLLOUT, !self.to_master.is_empty());
        if with_master && !master.is_empty() {
            interests.push((End::Master, PollFd::new(self.master.as_fd(), master)));
        }
        interests
    }

    /// Copies what `end` is ready for.
    pub(crate) fn on_event(&mut self, end: End) {
        match end {
            End::Input => self.read_input(),
            End::Output => self.write_output(),
            End::Master => {
                self.write_master();
                if self.to_output.is_empty() {
                    self.hung_up = self.read_master() == Arrival::HungUp;
                }
            }
        }
    }

    /// Called when the program has ended: whether all that it wrote has been copied.
    pub(crate) fn is_drained(&mut self) -> bool {
        // The kernel hands over everything written before it reports that there is nothing.
        self.to_output.is_empty() && self.read_master() != Arrival::Bytes
    }

    fn read_input(&mut self) {
        let Some(input) = self.input else { return };
        match self.to_master.fill(input) {
            Arrival::Bytes => self.write_master(),
            Arrival::Nothing => {}
            // As with runc, the end of the input does not end the container's terminal.
            Arrival::HungUp => self.input = None,
        }
    }

    fn write_output(&mut self) {
        let Some(output) = self.output else { return };
        if self.to_output.flush(output).is_err() {
            // Nobody reads: the program must not stop at a full terminal because of that.
            self.output = None;
            self.to_output.clear();
        }
    }

    fn write_master(&mut self) {
        if self.to_master.flush(self.master.as_fd()).is_err() {
            self.to_master.clear();
        }
    }

    fn read_master(&mut self) -> Arrival {
        let arrival = self.to_output.fill(self.master.as_fd());
        if self.output.is_none() {
            self.to_output.clear();
        }
        arrival
    }
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    Bytes,
    Nothing,
    HungUp,
}

/// Bytes that were read and are not written yet.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    written: usize,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.written >= self.bytes.len()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }

    /// Reads once; what is pending must have been written.
    fn fill(&mut self, source: BorrowedFd<'_>) -> Arrival {
        self.written = 0;
        self.bytes.resize(CHUNK, 0);
        let result = read(source, &mut self.bytes);
        self.bytes.truncate(result.unwrap_or(0));
        match result {
            Ok(0) => Arrival::HungUp,
            Ok(_) => Arrival::Bytes,
            Err(Errno::EAGAIN | Errno::EINTR) => Arrival::Nothing,
            Err(_) => Arrival::HungUp,
        }
    }

    /// Writes once; a target that takes nothing now is no error.
    fn flush(&mut self, target: BorrowedFd<'_>) -> Result<(), Errno> {
        let rest = self.bytes.get(self.written..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        match write(target, rest) {
            Ok(count) => self.written += count,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        if self.is_empty() {
            self.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollTimeout, poll};
    use std::io::{Read, Write};

    fn pipe() -> (File, File) {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        (reader.into(), writer.into())
    }

    /// Copies until nothing has happened for a while.
    fn copy(relay: &mut Relay<'_>) {
        loop {
            let (ends, mut fds): (Vec<_>, Vec<_>) = relay.interests(true).into_iter().unzip();
            if poll(&mut fds, PollTimeout::from(50u16)).unwrap() == 0 {
                return;
            }
            let ready: Vec<End> = ends.iter().zip(&fds).filter(|(_, fd)| fd.any().unwrap()).map(|(e, _)| *e).collect();
            drop(fds);
            ready.into_iter().for_each(|end| relay.on_event(end));
            if relay.take_hung_up() {
                return;
            }
        }
    }

    #[test]
    fn bytes_go_both_ways_with_plain_newlines() {
        let pair = nix::pty::openpty(None, None).unwrap();
        let (input, mut typed) = pipe();
        let (mut shown, output) = pipe();
        let mut relay = Relay::new(pair.master, input.as_fd(), output.as_fd()).unwrap();
        let mut slave = File::from(pair.slave);
        slave.write_all(b"prompt\n").unwrap();
        typed.write_all(b"line\n").unwrap();
        copy(&mut relay);
        let mut line = [0; 64];
        let count = slave.read(&mut line).unwrap();
        assert_eq!(&line[..count], b"line\n");
        let count = shown.read(&mut line).unwrap();
        // The terminal echoes what is typed.
        assert_eq!(&line[..count], b"prompt\nline\n");
    }

    #[test]
    fn the_last_bytes_are_not_lost() {
        let pair = nix::pty::openpty(None, None).unwrap();
        let input = File::open("/dev/null").unwrap();
        let (mut shown, output) = pipe();
        let mut relay = Relay::new(pair.master, input.as_fd(), output.as_fd()).unwrap();
        let text = "0123456789".repeat(1_000);
        let slave = File::from(pair.slave);
        let (reader, writer) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut all = vec![0; text.len()];
                shown.read_exact(&mut all).map(|()| all)
            });
            let writer = scope.spawn(|| {
                // The only write, and the only one to have the terminal open.
                let mut slave = slave;
                slave.write_all(text.as_bytes())
            });
            let mut ended = false;
            while !(ended && relay.is_drained()) {
                relay.write_output();
                if relay.to_output.is_empty() && !ended {
                    relay.read_master();
                }
                ended = writer.is_finished();
            }
            (reader.join().unwrap(), writer.join().unwrap())
        });
        writer.unwrap();
        assert_eq!(String::from_utf8(reader.unwrap()).unwrap(), text);
    }

    #[test]
    fn output_that_nobody_reads_does_not_stop_the_program() {
        let pair = nix::pty::openpty(None, None).unwrap();
        let input = File::open("/dev/null").unwrap();
        let (shown, output) = pipe();
        drop(shown);
        let mut relay = Relay::new(pair.master, input.as_fd(), output.as_fd()).unwrap();
        let mut slave = File::from(pair.slave);
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || slave.write_all(&[b'x'; 100_000]));
            while !writer.is_finished() {
                copy(&mut relay);
            }
            writer.join().unwrap().unwrap();
        });
    }
}
