//! Freezing, and killing what must not get away meanwhile.

use super::{Cgroup, files, processes_below};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::pidfd;
use nix::errno::Errno;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long processes may take to stop: one in an uninterruptible sleep stops only when it wakes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long [`Cgroup::kill`] waits for that: it can do without, and one that does not stop is to be killed all the more.
const PATIENCE_TO_KILL: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// How many times new processes are looked for that a killed one left behind.
const ROUNDS: usize = 100;

/// The directory that freezes, and how.
enum Freezer {
    /// `freezer.state` of version 1.
    V1(PathBuf),
    /// `cgroup.freeze` of version 2.
    V2(PathBuf),
}

impl Cgroup {
    /// Whether the container is frozen or about to be: what joins it now stops. A cgroup that is gone, or cannot freeze, is not.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn is_frozen(&self) -> Result<bool> {
        self.freezer_if_ours()?.map_or(Ok(false), |freezer| freezer.is_frozen())
    }

    /// Whether to freeze it would change nothing: on version 1 it has come to a stop, which one that is only asked to may never do.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) fn needs_no_freeze(&self) -> Result<bool> {
        self.freezer_if_ours()?.map_or(Ok(false), |freezer| match freezer {
            Freezer::V1(_) => freezer.has_stopped(),
            Freezer::V2(_) => freezer.is_asked(),
        })
    }

    /// Whether the container was asked to freeze, whether or not its processes have come to a stop: also what a freeze
    /// that was killed half-way has left. A cgroup that is gone, or cannot freeze, was not.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn is_freezing(&self) -> Result<bool> {
        self.freezer_if_ours()?.map_or(Ok(false), |freezer| freezer.is_asked())
    }

    /// Stops all processes and waits until they have stopped, up to ten seconds; if they have not, they run on.
    ///
    /// # Errors
    /// The kernel refuses, a process does not stop in time, or somebody thawed it meanwhile
    /// ([`ErrorKind::WrongStatus`]). [`ErrorKind::Unsupported`] without a freezer.
    pub fn freeze(&self) -> Result<()> {
        self.freeze_within(PATIENCE)
    }

    /// Whatever the fault, nothing stays frozen.
    fn freeze_within(&self, patience: Duration) -> Result<()> {
        let freezer = self.freezer_or_fault()?;
        freezer.ask(true)?;
        freezer.wait_until_stopped(patience).inspect_err(|_| drop(freezer.ask(false)))
    }

    /// Lets all processes run.
    ///
    /// # Errors
    /// The kernel refuses. [`ErrorKind::Unsupported`] without a freezer.
    pub fn thaw(&self) -> Result<()> {
        self.freezer_or_fault()?.ask(false)
    }

    /// Sends `signal` to every process in the cgroup and below, none of which can fork its way out. A container that
    /// was frozen stays so, unless it is killed. A cgroup that is gone has no processes.
    ///
    /// # Errors
    /// The processes cannot be listed, or one cannot be signalled.
    pub fn kill(&self, signal: i32) -> Result<()> {
        if !self.is_still_ours()? {
            return Ok(());
        }
        if let Some(unified) = self.paths.unified().filter(|_| signal == libc::SIGKILL) {
            let path = unified.absolute().join("cgroup.kill");
            // The kernel does it all at once since 5.14. Beside version 1 what is left there is looked after below.
            let done = files::write(&path, "1").is_ok();
            if done && self.paths.directories().count() == 1 {
                return Ok(());
            }
        }
        let Some(directory) = self.counting_directory() else { return Ok(()) };
        let was_frozen = self.is_frozen()?;
        if !was_frozen {
            // Without a freezer, or with a process that does not stop, the rounds below still catch up with forks.
            let _ = self.freeze_within(PATIENCE_TO_KILL);
        }
        let result = signal_all(&directory, signal);
        let thawed = if was_frozen && signal != libc::SIGKILL { Ok(()) } else { self.thaw_if_there() };
        let left = result?;
        thawed?;
        if signal == libc::SIGKILL && left { kill_rest(&directory) } else { Ok(()) }
    }

    /// Lets all processes run if they were asked to stop; a cgroup that is gone has none.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn thaw_if_freezing(&self) -> Result<()> {
        if self.is_freezing()? { self.thaw_if_there() } else { Ok(()) }
    }

    fn thaw_if_there(&self) -> Result<()> {
        match self.freezer_if_ours()?.map(|freezer| freezer.ask(false)) {
            Some(Err(error)) if error.errno() != Some(Errno::ENOENT as i32) => Err(error),
            _ => Ok(()),
        }
    }

    /// None in a unit that is somebody else's by now.
    fn freezer_if_ours(&self) -> Result<Option<Freezer>> {
        Ok(if self.is_still_ours()? { self.freezer() } else { None })
    }

    fn freezer(&self) -> Option<Freezer> {
        let v1 = self.paths.of_controller("freezer").map(|(_, directory)| Freezer::V1(directory.absolute()));
        v1.or_else(|| self.paths.unified().map(|directory| Freezer::V2(directory.absolute())))
    }

    fn freezer_or_fault(&self) -> Result<Freezer> {
        self.must_be_ours()?;
        self.freezer().ok_or_else(|| Error::new(ErrorKind::Unsupported, "this host has no cgroup freezer"))
    }
}

impl Freezer {
    fn directory(&self) -> &Path {
        let (Freezer::V1(directory) | Freezer::V2(directory)) = self;
        directory
    }

    fn ask(&self, frozen: bool) -> Result<()> {
        let (file, value) = match (self, frozen) {
            (Freezer::V1(_), true) => ("freezer.state", "FROZEN"),
            (Freezer::V1(_), false) => ("freezer.state", "THAWED"),
            (Freezer::V2(_), true) => ("cgroup.freeze", "1"),
            (Freezer::V2(_), false) => ("cgroup.freeze", "0"),
        };
        let path = self.directory().join(file);
        files::write(&path, value).map_err(|e| Error::os(format!("write {value} to {}", path.display()), e))
    }

    /// A kill thaws what it kills: to ask again would keep the killed from ending.
    fn wait_until_stopped(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        while !self.has_stopped()? {
            if !self.is_asked()? {
                let text = format!("{} was thawed by somebody else while it froze", self.directory().display());
                return Err(Error::new(ErrorKind::WrongStatus, text));
            }
            if Instant::now() >= deadline {
                return Err(Error::os(format!("freeze {}", self.directory().display()), Errno::ETIMEDOUT));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            if pause == LONGEST_PAUSE && matches!(self, Freezer::V1(_)) && self.is_asked()? {
                // Version 1 can stay half frozen when processes fork meanwhile, until it is asked again.
                self.ask(true)?;
            }
        }
        Ok(())
    }

    fn is_asked(&self) -> Result<bool> {
        match self {
            Freezer::V1(_) => self.says("freezer.self_freezing", "1"),
            Freezer::V2(_) => self.says("cgroup.freeze", "1"),
        }
    }

    fn is_frozen(&self) -> Result<bool> {
        match self {
            // Also below a directory that is frozen. A freeze may be under way, or have been killed half-way.
            Freezer::V1(_) => self.says_one_of("freezer.state", &["FROZEN", "FREEZING"]),
            Freezer::V2(_) => self.is_asked(),
        }
    }

    fn has_stopped(&self) -> Result<bool> {
        match self {
            Freezer::V1(_) => self.says("freezer.state", "FROZEN"),
            Freezer::V2(_) => self.says("cgroup.events", "frozen 1"),
        }
    }

    fn says(&self, file: &str, line: &str) -> Result<bool> {
        self.says_one_of(file, &[line])
    }

    fn says_one_of(&self, file: &str, lines: &[&str]) -> Result<bool> {
        let path = self.directory().join(file);
        match files::read_value(&path) {
            Ok(text) => Ok(text.lines().any(|line| lines.contains(&line))),
            Err(Errno::ENOENT | Errno::ENODEV) => Ok(false),
            Err(e) => Err(Error::os(format!("read {}", path.display()), e)),
        }
    }
}

/// Whether an existing directory, of whichever hierarchy, is frozen.
pub(super) fn directory_is_frozen(directory: &Path) -> Result<bool> {
    Ok(Freezer::V1(directory.to_owned()).is_frozen()? || Freezer::V2(directory.to_owned()).is_frozen()?)
}

/// Signals each process once, and says whether there were any.
fn signal_all(directory: &Path, signal: i32) -> Result<bool> {
    let pids = processes_below(directory)?;
    send(&pids, signal, || processes_below(directory))?;
    Ok(!pids.is_empty())
}

/// SIGKILL is pending for all that were seen; what forked without a freezer is killed in further rounds. A killed
/// process may take its time to go: that is for the removal to wait for, so the rounds end when only the known are left.
fn kill_rest(directory: &Path) -> Result<()> {
    let mut known = Vec::new();
    for _ in 0..ROUNDS {
        let pids = processes_below(directory)?;
        let fresh: Vec<i32> = pids.iter().copied().filter(|pid| !known.contains(pid)).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        send(&fresh, libc::SIGKILL, || processes_below(directory))?;
        known = pids;
    }
    Err(Error::new(ErrorKind::Os, format!("processes in {} fork faster than they can be killed", directory.display())))
}

/// Signals the processes `pids` of a cgroup whose processes `list` gives. A number may be another process by now, of whomever:
/// who is still in the cgroup once it is held by a descriptor is the one that is meant.
fn send(pids: &[i32], signal: i32, list: impl Fn() -> Result<Vec<i32>>) -> Result<()> {
    // Few at a time: they are descriptors of the caller's.
    for some in pids.chunks(64) {
        let mut held = Vec::with_capacity(some.len());
        for &pid in some {
            match pidfd::open(pid) {
                Ok(process) => held.push((pid, process)),
                Err(Errno::ESRCH) => {}
                Err(errno) => return Err(Error::os(format!("open process {pid}"), errno)),
            }
        }
        let left = list()?;
        for (pid, process) in held.iter().filter(|(pid, _)| left.contains(pid)) {
            match pidfd::signal(process, signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(Error::os(format!("kill {pid} with signal {signal}"), errno)),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_no_longer_in_the_cgroup_is_not_signalled() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id() as i32;
        send(&[pid], libc::SIGKILL, || Ok(Vec::new())).unwrap();
        send(&[pid, i32::MAX], 0, || Ok(vec![pid, i32::MAX])).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        send(&[pid], libc::SIGKILL, || Ok(vec![pid])).unwrap();
        assert!(!child.wait().unwrap().success());
    }
}
