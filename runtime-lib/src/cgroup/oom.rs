//! Being told when memory runs out in a container.
//!
//! Version 1 signals an eventfd that was registered for `memory.oom_control` (cgroup-v1/memory.rst, *OOM Control*);
//! version 2 counts kills in `memory.events`, a file that can be watched (inotify(7)).

use super::{Cgroup, CgroupPaths, files};
use crate::error::{Error, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Tells when memory runs out in a container's cgroup.
#[derive(Debug)]
pub struct OomWatch(Kind);

#[derive(Debug)]
enum Kind {
    V1 {
        event: EventFd,
        control: PathBuf,
    },
    V2 {
        inotify: Inotify,
        events: PathBuf,
        /// Kills that are known.
        kills: u64,
    },
    /// The host does not control memory in this cgroup.
    Blind,
}

impl Cgroup {
    /// Begins to watch. Without a memory controller there is nothing to see: such a watch never tells anything.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn watch_oom(&self) -> Result<OomWatch> {
        self.must_be_ours()?;
        let kind = match (&self.paths, self.paths.of_controller("memory")) {
            (CgroupPaths::V2 { directory }, _) => version_2(&directory.absolute().join("memory.events"))?,
            (_, Some((_, directory))) => version_1(&directory.absolute())?,
            _ => Kind::Blind,
        };
        Ok(OomWatch(kind))
    }
}

fn version_1(directory: &Path) -> Result<Kind> {
    let control = directory.join("memory.oom_control");
    let fault = |what: &str, e| Error::os(format!("{what} {}", control.display()), e);
    let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
    let event = event.map_err(|e| fault("make an eventfd for", e))?;
    let opened = open(&control, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map_err(|e| fault("open", e))?;
    let numbers = [event.as_fd(), opened.as_fd()].map(|fd| std::os::fd::AsRawFd::as_raw_fd(&fd).to_string());
    files::write(&directory.join("cgroup.event_control"), &numbers.join(" ")).map_err(|e| fault("watch", e))?;
    Ok(Kind::V1 { event, control })
}

fn version_2(events: &Path) -> Result<Kind> {
    let fault = |e| Error::os(format!("watch {}", events.display()), e);
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(fault)?;
    match inotify.add_watch(events, AddWatchFlags::IN_MODIFY) {
        Ok(_) => {}
        Err(Errno::ENOENT) => return Ok(Kind::Blind),
        Err(e) => return Err(fault(e)),
    }
    Ok(Kind::V2 { inotify, events: events.to_owned(), kills: kills(events)? })
}

/// `oom_kill` of `memory.events`; of a cgroup that is gone none.
fn kills(events: &Path) -> Result<u64> {
    let text = match files::read_value(events) {
        Err(Errno::ENOENT | Errno::ENODEV) => return Ok(0),
        text => text.map_err(|e| Error::os(format!("read {}", events.display()), e))?,
    };
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    Ok(count.and_then(|count| count.trim().parse().ok()).unwrap_or(0))
}

impl OomWatch {
    /// Readable when there may be something to [take](Self::take); `None` when there never is.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Kind::V1 { event, .. } => Some(event.as_fd()),
            Kind::V2 { inotify, .. } => Some(inotify.as_fd()),
            Kind::Blind => None,
        }
    }

    /// Whether memory ran out since it was asked last. Does not wait.
    ///
    /// # Errors
    /// The kernel's counters cannot be read.
    pub fn take(&mut self) -> Result<bool> {
        match &mut self.0 {
            // The removal of the cgroup signals as well.
            Kind::V1 { event, control } => match event.read() {
                Ok(count) => Ok(count > 0 && control.exists()),
                Err(Errno::EAGAIN) => Ok(false),
                Err(e) => Err(Error::os("read an eventfd", e)),
            },
            Kind::V2 { inotify, events, kills: known } => {
                match inotify.read_events() {
                    Ok(_) | Err(Errno::EAGAIN) => {}
                    Err(e) => return Err(Error::os("read an inotify descriptor", e)),
                }
                let now = kills(events)?;
                let happened = now > *known;
                *known = now.max(*known);
                Ok(happened)
            }
            Kind::Blind => Ok(false),
        }
    }
}
