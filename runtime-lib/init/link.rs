//! The socket to the launcher.

use crate::fault::{During, Fault, Step};
use crate::sys::{self, Errno, RawFd};
use crate::wire::{self, Op, Orders, Phase, Reader, Report, Wire};

/// The init's end of the socket.
pub struct Link {
    socket: RawFd,
    /// What start writes into.
    fifo: Option<RawFd>,
    /// Where a failure is written once the launcher is gone.
    report: Option<RawFd>,
    /// The launcher is gone.
    alone: bool,
    fds: [RawFd; 254],
    received: usize,
}

impl Link {
    /// The end that was inherited as `socket`.
    pub fn new(socket: RawFd) -> Link {
        Link { socket, fifo: None, report: None, alone: false, fds: [0; 254], received: 0 }
    }

    /// Receives the orders and the descriptors that come with them.
    pub fn orders(&mut self) -> Step<Orders<'static>> {
        let mut prefix = [0u8; wire::PREFIX];
        let (count, received) = sys::receive_fds(self.socket, &mut prefix, &mut self.fds).during(Op::Link)?;
        self.received = received;
        if count != prefix.len() {
            return Err(Fault::new(Op::Link, Errno::EPROTO));
        }
        let length = u64::from_le_bytes(prefix);
        if length > wire::ORDERS_LIMIT {
            return Err(Fault::new(Op::Decode, Errno::EPROTO));
        }
        let text = sys::memory((length as usize).max(1)).during(Op::Link)?;
        let mut filled = 0;
        while filled < length as usize {
            let rest = text.get_mut(filled..length as usize).unwrap_or_default();
            match sys::read(self.socket, rest).during(Op::Link)? {
                0 => return Err(Fault::new(Op::Link, Errno::EPROTO)),
                count => filled += count,
            }
        }
        let malformed = Fault::new(Op::Decode, Errno::EPROTO);
        let mut reader = Reader::new(text.get(..filled).unwrap_or_default());
        let orders = Orders::get(&mut reader).map_err(|_| malformed)?;
        if reader.is_empty() { Ok(orders) } else { Err(malformed) }
    }

    /// The descriptor that came at this place.
    pub fn fd(&self, index: wire::FdIndex) -> Step<RawFd> {
        let received = self.fds.get(..self.received).unwrap_or_default();
        received.get(index as usize).copied().ok_or(Fault::new(Op::Decode, Errno::EBADF))
    }

    /// The socket's number.
    pub fn socket(&self) -> RawFd {
        self.socket
    }

    /// Takes note of how the start will be told.
    pub fn begin_wait(&mut self, start: &wire::Start) -> Step {
        if let (Some(fifo), Some(report)) = (start.fifo, start.report) {
            self.fifo = Some(self.fd(fifo)?);
            self.report = Some(self.fd(report)?);
        }
        Ok(())
    }

    /// Waits for the byte that start writes into the FIFO. The launcher is gone then, and failures go to the report file.
    pub fn wait_for_start(&mut self) -> Step {
        let Some(fifo) = self.fifo else { return Ok(()) };
        sys::close(self.socket);
        self.alone = true;
        match sys::read(fifo, &mut [0u8]).during(Op::Whole)? {
            1 => Ok(()),
            _ => Err(Fault::new(Op::Whole, Errno::EPROTO)),
        }
    }

    /// Waits for `word` of the launcher. A launcher that died closes the socket: the container ends with it.
    pub fn hear(&self, word: u8) -> Step {
        let mut heard = [0u8];
        match sys::read(self.socket, &mut heard).during(Op::Link)? {
            1 if heard == [word] => Ok(()),
            _ => Err(Fault::new(Op::Link, Errno::EPROTO)),
        }
    }

    /// "This step is reached."
    pub fn say(&self, phase: Phase, detail: i64) -> Step {
        self.send(&Report::reached(phase, detail)).during(Op::Link)
    }

    /// Tells what failed; there is nobody left to tell that telling failed.
    pub fn fail(&self, report: &Report) {
        let _ = self.send(report);
        if let (Some(file), false) = (self.report, self.alone) {
            // A launcher that has said its last word does not listen any more.
            let _ = sys::write(file, &report.bytes());
        }
    }

    fn send(&self, report: &Report) -> sys::Result {
        match self.report {
            Some(file) if self.alone => sys::write(file, &report.bytes()).map(drop),
            // write and not sendmsg: a seccomp profile may be in effect, and one that forbids write allows no program.
            _ => sys::write(self.socket, &report.bytes()).map(drop),
        }
    }

    /// Moves all descriptors that are still needed out of the way of those below `least`.
    pub fn move_above(&mut self, least: RawFd) -> Step {
        self.socket = sys::dup_above(self.socket, least).during(Op::Link)?;
        for file in self.fds.iter_mut().take(self.received) {
            *file = sys::dup_above(*file, least).during(Op::Link)?;
        }
        for file in [&mut self.fifo, &mut self.report].into_iter().flatten() {
            *file = sys::dup_above(*file, least).during(Op::Link)?;
        }
        Ok(())
    }
}
