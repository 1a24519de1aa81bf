//! What happens to a container, and what it uses.

use super::Container;
use crate::cgroup::{OomWatch, Stats};
use crate::error::{Error, ErrorKind, Result};
use crate::resctrl::Group;
use crate::sys::pidfd;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// A longer wait is cut into these.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What [`Events::wait`] was waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Memory ran out, and the kernel killed a process of the container.
    OutOfMemory,
    /// The first process has ended: nothing follows.
    Ended,
    /// Nothing happened in the time given.
    TimedOut,
}

/// The events of a container; see [`Container::events`].
#[derive(Debug)]
pub struct Events {
    pidfd: OwnedFd,
    oom: OomWatch,
}

impl Container {
    /// What the container uses and has used.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] when it is stopped; the kernel's counters cannot be read.
    pub fn stats(&self) -> Result<Stats> {
        self.first_process()?;
        let record = self.entry.record()?.ok_or_else(|| self.does_not_run())?;
        let intel_rdt = record.resctrl.as_ref().map(Group::stats).unwrap_or_default();
        Ok(Stats { intel_rdt, ..record.cgroup.stats()? })
    }

    /// Begins to watch the container.
    ///
    /// ```no_run
    /// use libcorten::{Container, Event};
    /// use std::time::Duration;
    ///
    /// # fn main() -> libcorten::Result<()> {
    /// let container = Container::load("/run/corten", "web")?;
    /// let mut events = container.events()?;
    /// loop {
    ///     match events.wait(Duration::from_secs(5))? {
    ///         Event::OutOfMemory => println!("out of memory"),
    ///         Event::TimedOut => println!("{} ns", container.stats()?.cpu.usage.total),
    ///         Event::Ended => return Ok(()),
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] when it is stopped; the kernel refuses the watch.
    pub fn events(&self) -> Result<Events> {
        let pidfd = self.first_process()?.try_clone();
        let pidfd = pidfd.map_err(|error| Error::os("duplicate a pidfd", error))?;
        let record = self.entry.record()?.ok_or_else(|| self.does_not_run())?;
        Ok(Events { pidfd, oom: record.cgroup.watch_oom()? })
    }

    fn first_process(&self) -> Result<&OwnedFd> {
        self.pidfd.as_ref().filter(|pidfd| !pidfd::has_ended(pidfd)).ok_or_else(|| self.does_not_run())
    }

    fn does_not_run(&self) -> Error {
        Error::new(ErrorKind::WrongStatus, format!("container with id {} is not running", self.id()))
    }
}

impl Events {
    /// Waits for the next event, for as long as `patience` at most.
    ///
    /// # Errors
    /// The kernel's counters cannot be read.
    pub fn wait(&mut self, patience: Duration) -> Result<Event> {
        let deadline = Instant::now().checked_add(patience);
        loop {
            // In this order: what ran out before the end is told before the end.
            let ended = pidfd::has_ended(&self.pidfd);
            if self.oom.take()? {
                return Ok(Event::OutOfMemory);
            }
            if ended {
                return Ok(Event::Ended);
            }
            let left = deadline.map_or(LONGEST_WAIT, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(Event::TimedOut);
            }
            self.poll(left.min(LONGEST_WAIT))?;
        }
    }

    fn poll(&self, patience: Duration) -> Result<()> {
        // Rounded up, so that no wait is turned into asking again and again.
        let milliseconds = u16::try_from(patience.as_millis().saturating_add(1)).unwrap_or(u16::MAX);
        let mut polled: Vec<PollFd<'_>> = [Some(self.pidfd.as_fd()), self.oom.fd()]
            .into_iter()
            .flatten()
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut polled, PollTimeout::from(milliseconds)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(e) => Err(Error::os("wait for events of the container", e)),
        }
    }
}
