//! The state directory: what exists, and what was chosen for it.
//!
//! `ROOT/ID/` is a container. Making the directory claims the id; `record.json` (written to a temporary name and renamed)
//! holds what was chosen at create and the limits of the last update; `init.json` holds the first process once it is ready. Commands that
//! change a container hold a `flock(2)` on the directory, which the kernel releases when its holder dies. A container's
//! status is asked of the kernel every time.
//!
//! A create that is killed between the claim and the record leaves an empty, unlocked directory: no effect came before
//! the record, so the next create of that id takes the directory over.

mod notify;
mod record;
mod state;

pub(crate) use record::{InitProcess, Record};
pub(crate) use state::Now;
pub use state::{State, Status};

use crate::error::{Error, ErrorKind, Result};
use crate::id::ContainerId;
use crate::sys::{lock, pidfd};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

const RECORD: &str = "record.json";
const INIT: &str = "init.json";
const PREPARED_INIT: &str = "init.json.tmp";
/// The FIFO that start writes into.
const START: &str = "start.fifo";
/// Where the init reports what fails after create has returned.
const REPORT: &str = "report";
/// Everything that may be in a container's directory.
/// The record goes last: as long as it is there, a delete that was cut off can be done again.
const FILES: [&str; 6] = [INIT, PREPARED_INIT, START, REPORT, "record.json.tmp", RECORD];

/// A state file is never this large.
const FILE_LIMIT: u64 = 64 << 20;

/// Most are smaller than this.
const USUAL_SIZE: usize = 16 << 10;

/// `/run/corten` for root, `$XDG_RUNTIME_DIR/corten` for others (`/run/user/UID/corten` without that variable: never a
/// place that somebody else could make first, for a record tells what to run and whom to kill).
///
/// Root of a user namespace, as which rootless Podman calls a runtime, has no right to `/run` and takes the second as well;
/// where `USER` says `root` it is a whole system in a container, with a `/run` of its own. runc decides in the same way.
pub fn default_state_root() -> PathBuf {
    let euid = nix::unistd::geteuid();
    let of_user = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    match of_user {
        Some(dir) if !euid.is_root() || is_ordinary_user_as_root() => Path::new(&dir).join("corten"),
        None if !euid.is_root() => PathBuf::from(format!("/run/user/{euid}/corten")),
        _ => PathBuf::from("/run/corten"),
    }
}

/// Whether root of this process is an ordinary user of the machine.
fn is_ordinary_user_as_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
    !whole && !map.is_empty() && std::env::var_os("USER").is_none_or(|user| user != "root")
}

/// A container's directory.
#[derive(Debug)]
pub(crate) struct Entry {
    path: PathBuf,
    id: ContainerId,
    dir: OwnedFd,
}

/// The lock of a container's directory; released when dropped.
#[derive(Debug)]
pub(crate) struct Lock(OwnedFd);

impl Drop for Lock {
    fn drop(&mut self) {
        // Its open file may be that of the entry, which goes on.
        lock::release(&self.0);
    }
}

fn os(what: &str, path: &Path) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::os(format!("{what} {}", path.display()), errno)
}

fn open_dir(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

impl Entry {
    /// Claims `id` below `root`, which is created if it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`].
    pub(crate) fn claim(root: &Path, id: &ContainerId) -> Result<(Entry, Lock)> {
        let path = root.join(id.as_str());
        let mode = Mode::from_bits_truncate(0o711);
        let mut made = mkdirat(nix::fcntl::AT_FDCWD, &path, mode);
        if made == Err(Errno::ENOENT) {
            make_root(root)?;
            made = mkdirat(nix::fcntl::AT_FDCWD, &path, mode);
        }
        match made {
            Ok(()) => Entry::take(path.clone(), id, true).inspect_err(|error| {
                // Nobody knows of it but we, and a directory that is not empty stays.
                if error.kind() != ErrorKind::AlreadyExists {
                    let _ = unlinkat(nix::fcntl::AT_FDCWD, &path, UnlinkatFlags::RemoveDir);
                }
            }),
            Err(Errno::EEXIST) => Entry::take(path, id, false),
            Err(errno) => Err(os("create", &path)(errno)),
        }
    }

    /// Takes the directory at `path`, which was just made or was there.
    fn take(path: PathBuf, id: &ContainerId, made: bool) -> Result<(Entry, Lock)> {
        let exists = || Error::new(ErrorKind::AlreadyExists, format!("container with given ID already exists: {id}"));
        let dir = match open_dir(&path) {
            Err(Errno::ENOENT) => return Err(exists()), // just deleted: it existed when we asked
            dir => dir.map_err(os("open", &path))?,
        };
        let entry = Entry { path, id: id.clone(), dir };
        // Who made the directory waits: a state command may be asking for the lock just now.
        let lock = if made { Some(entry.lock()?) } else { entry.try_lock()? }.ok_or_else(exists)?;
        // Ours, or left without a record by a create that was killed. Or deleted since it was opened.
        if entry.has(RECORD)? || !entry.is_current()? {
            return Err(exists());
        }
        if !made {
            entry.remove_files()?;
            let _ = std::fs::remove_dir_all(entry.notify_directory());
        }
        Ok((entry, lock))
    }

    /// Finds `id` below `root`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub(crate) fn find(root: &Path, id: &ContainerId) -> Result<Entry> {
        let path = root.join(id.as_str());
        match open_dir(&path) {
            Ok(dir) => Ok(Entry { path, id: id.clone(), dir }),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {
                Err(Error::new(ErrorKind::NotFound, "container does not exist"))
            }
            Err(errno) => Err(os("open", &path)(errno)),
        }
    }

    /// The ids below `root` that have a directory.
    pub(crate) fn scan(root: &Path) -> Result<Vec<ContainerId>> {
        let entries = match std::fs::read_dir(root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| Error::os(format!("read {}", root.display()), error))?,
        };
        let names = entries.filter_map(|entry| entry.ok().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())));
        let mut ids: Vec<_> = names.filter_map(|e| ContainerId::new(e.file_name().to_str()?).ok()).collect();
        ids.sort();
        Ok(ids)
    }

    /// Takes the lock if nobody has it. The directory is opened anew: a duplicate would share the lock of this handle, and
    /// release it when dropped.
    pub(crate) fn try_lock(&self) -> Result<Option<Lock>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = openat(&self.dir, ".", flags, Mode::empty()).map_err(os("open", &self.path))?;
        match lock::try_exclusive(&dir) {
            Ok(()) => Ok(Some(Lock(dir))),
            Err(Errno::EWOULDBLOCK) => Ok(None),
            Err(errno) => Err(os("lock", &self.path)(errno)),
        }
    }

    /// Waits for the lock.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let dir = self.dir.try_clone().map_err(|error| Error::os("duplicate a descriptor", error))?;
        lock::exclusive(&dir).map_err(os("lock", &self.path))?;
        Ok(Lock(dir))
    }

    /// Whether somebody works on the container now.
    pub(crate) fn is_locked(&self) -> Result<bool> {
        self.try_lock().map(|lock| lock.is_none())
    }

    /// Whether the directory still stands under its name: it may have been deleted, and the id used again, while this
    /// handle waited for the lock.
    ///
    /// # Errors
    /// It cannot be found out.
    pub(crate) fn is_current(&self) -> Result<bool> {
        let opened = nix::sys::stat::fstat(&self.dir).map_err(os("examine", &self.path))?;
        match nix::sys::stat::lstat(&self.path) {
            Ok(named) => Ok((opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(os("examine", &self.path)(errno)),
        }
    }

    /// The id.
    pub(crate) fn id(&self) -> &ContainerId {
        &self.id
    }

    fn has(&self, name: &str) -> Result<bool> {
        use nix::unistd::{AccessFlags, faccessat};
        match faccessat(&self.dir, name, AccessFlags::F_OK, nix::fcntl::AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(os("look for", &self.path.join(name))(errno)),
        }
    }

    /// Writes what is to become the file `name`, beside it.
    fn prepare<T: serde::Serialize>(&self, name: &str, content: &T) -> Result<()> {
        let path = self.path.join(name);
        let text = serde_json::to_vec(content).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let file = openat(&self.dir, format!("{name}.tmp").as_str(), flags, Mode::from_bits_truncate(0o600));
        let mut file = File::from(file.map_err(os("create", &path))?);
        file.write_all(&text).map_err(|error| Error::os(format!("write {}", path.display()), error))
    }

    /// What was prepared becomes the file: it is there whole or not at all.
    fn commit(&self, name: &str) -> Result<()> {
        let prepared = format!("{name}.tmp");
        renameat(&self.dir, prepared.as_str(), &self.dir, name).map_err(os("rename", &self.path.join(name)))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.path.join(name);
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = match openat(&self.dir, name, flags, Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(None),
            file => File::from(file.map_err(os("open", &path))?),
        };
        // Room for most of them, so that it is one call that reads them.
        let mut text = Vec::with_capacity(USUAL_SIZE);
        let read = file.take(FILE_LIMIT).read_to_end(&mut text);
        read.map_err(|error| Error::os(format!("read {}", path.display()), error))?;
        let corrupt = || Error::new(ErrorKind::CorruptState, format!("read {}", path.display()));
        let text = std::str::from_utf8(&text).map_err(|error| corrupt().because(error))?;
        serde_json::from_str(text).map(Some).map_err(|error| corrupt().because(error))
    }

    /// Records what was chosen: before the first effect.
    pub(crate) fn write_record(&self, record: &Record) -> Result<()> {
        self.prepare(RECORD, record)?;
        self.commit(RECORD)
    }

    /// Notes that the cgroups are made, for a `run` whose init may start hooks before it is known here: if the launcher is
    /// killed by then, what is in the cgroups is the container's, and does not end by itself.
    pub(crate) fn note_cgroups(&self) -> Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let file = openat(&self.dir, PREPARED_INIT, flags, Mode::from_bits_truncate(0o600));
        file.map(drop).map_err(os("create", &self.path.join(PREPARED_INIT)))
    }

    /// Prepares the record of the first process; it counts once it is committed.
    pub(crate) fn prepare_init(&self, init: &InitProcess) -> Result<()> {
        self.prepare(INIT, init)
    }

    /// Records the first process: after it is ready, before it may go on.
    pub(crate) fn commit_init(&self) -> Result<()> {
        self.commit(INIT)
    }

    /// Records the first process of a `run` that was killed after it let the program go: what it had prepared counts from
    /// here on. Only once the process `pid`, which is that of `pidfd`, has executed the program: its root is in place then.
    /// An init that was not let go ends by itself, and there is nothing to record.
    pub(crate) fn commit_left_behind(&self, pid: i32, pidfd: &OwnedFd) -> Result<bool> {
        for _ in 0..100 {
            let executed = std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| !is_init(&path));
            if pidfd::ends_within(pidfd, Duration::from_millis(if executed { 0 } else { 10 })).unwrap_or(false) {
                return Ok(false);
            }
            if executed {
                // Somebody who works on it may have done the same.
                let _lock = self.lock()?;
                return if self.has(INIT)? { Ok(true) } else { self.commit_init().map(|()| true) };
            }
        }
        Ok(false)
    }

    /// What was chosen; none while it is being created, or when its create was killed right at the beginning.
    pub(crate) fn record(&self) -> Result<Option<Record>> {
        /// What every layout has.
        #[derive(serde::Deserialize)]
        struct Layout {
            format: u32,
        }
        let newer = |format: u32| {
            let message = format!(
                "{} has layout {format} of a newer version; this one knows {}",
                self.path.join(RECORD).display(),
                record::FORMAT
            );
            Error::new(ErrorKind::CorruptState, message).hint("use the version that created the container")
        };
        match self.read::<Record>(RECORD) {
            Ok(Some(record)) if record.format > record::FORMAT => Err(newer(record.format)),
            Err(error) if error.kind() == ErrorKind::CorruptState => match self.read::<Layout>(RECORD) {
                Ok(Some(layout)) if layout.format > record::FORMAT => Err(newer(layout.format)),
                _ => Err(error),
            },
            record => record,
        }
    }

    /// The first process as far as it is known while the container is being created.
    pub(crate) fn early_init(&self) -> Result<Option<InitProcess>> {
        match self.read(INIT)? {
            Some(init) => Ok(Some(init)),
            None => Ok(self.read(PREPARED_INIT).unwrap_or_default()),
        }
    }

    /// The first process, once it was ready.
    pub(crate) fn init(&self) -> Result<Option<InitProcess>> {
        self.read(INIT)
    }

    /// Whether its create came past the making of its cgroups, after which the record says which of them were there.
    pub(crate) fn is_past_cgroups(&self) -> Result<bool> {
        Ok(self.has(INIT)? || self.has(START)? || self.has(PREPARED_INIT)?)
    }

    /// Makes what the init waits on: the FIFO, open for both ends so that reading blocks, and the report file.
    pub(crate) fn make_start(&self) -> Result<(OwnedFd, OwnedFd)> {
        let path = self.path.join(START);
        let mode = Mode::from_bits_truncate(0o600);
        nix::sys::stat::mknodat(&self.dir, START, nix::sys::stat::SFlag::S_IFIFO, mode, 0)
            .map_err(os("create", &path))?;
        let fifo =
            openat(&self.dir, START, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).map_err(os("open", &path))?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let report = openat(&self.dir, REPORT, flags, mode).map_err(os("create", &self.path.join(REPORT)))?;
        Ok((fifo, report))
    }

    /// The FIFO's writing end, if an init waits at the other. Opening it disturbs nobody, and cannot succeed once the
    /// init has executed the program: this is how "created" is told from "running".
    pub(crate) fn open_start(&self) -> Result<Option<OwnedFd>> {
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        match openat(&self.dir, START, flags, Mode::empty()) {
            // Anything else than a FIFO takes a byte as well, and tells nobody.
            Ok(fifo) => match nix::sys::stat::fstat(&fifo) {
                Ok(stat) if stat.st_mode & libc::S_IFMT == libc::S_IFIFO => Ok(Some(fifo)),
                Ok(_) => {
                    let message = format!("{} is not a FIFO", self.path.join(START).display());
                    Err(Error::new(ErrorKind::CorruptState, message))
                }
                Err(errno) => Err(os("examine", &self.path.join(START))(errno)),
            },
            Err(Errno::ENXIO | Errno::ENOENT) => Ok(None),
            Err(errno) => Err(os("open", &self.path.join(START))(errno)),
        }
    }

    /// What the init reported after create had returned.
    pub(crate) fn report(&self) -> Result<Vec<u8>> {
        let path = self.path.join(REPORT);
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = openat(&self.dir, REPORT, flags, Mode::empty()).map_err(os("open", &path))?;
        let mut text = Vec::new();
        let read = File::from(file).take(4096).read_to_end(&mut text);
        read.map_err(|error| Error::os(format!("read {}", path.display()), error)).map(|_| text)
    }

    fn remove_files(&self) -> Result<()> {
        for name in FILES {
            match unlinkat(&self.dir, name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(os("remove", &self.path.join(name))(errno)),
            }
        }
        Ok(())
    }

    /// Removes the directory; nothing of the container is left then.
    pub(crate) fn remove(&self) -> Result<()> {
        self.remove_files()?;
        let remove = || unlinkat(nix::fcntl::AT_FDCWD, &self.path, UnlinkatFlags::RemoveDir);
        let mut removed = remove();
        if removed == Err(Errno::ENOTEMPTY) {
            // Whatever is in it: in a user namespace the container may have had the right to write there.
            let directory = self.notify_directory();
            match std::fs::remove_dir_all(&directory) {
                // Then it is something else that is in the way.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::os(format!("remove {}", directory.display()), error));
                }
                _ => removed = remove(),
            }
        }
        match removed {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(os("remove", &self.path)(errno)),
        }
    }
}

/// Whether the link of `/proc/PID/exe` leads to the init's memfd.
fn is_init(exe: &Path) -> bool {
    exe.to_str().is_some_and(|exe| exe.starts_with("/memfd:corten-init"))
}

fn make_root(root: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o711).create(root);
    made.map_err(|error| Error::os(format!("create {}", root.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(root: &Path) -> (Entry, Lock) {
        Entry::claim(root, &ContainerId::new("one").unwrap()).unwrap()
    }

    #[test]
    fn a_probe_neither_gets_nor_releases_a_lock_that_is_held() {
        let root = tempfile::tempdir().unwrap();
        let (entry, lock) = entry(root.path());
        assert!(entry.is_locked().unwrap());
        assert!(entry.is_locked().unwrap(), "the first probe has released it");
        drop(lock);
        assert!(!entry.is_locked().unwrap());
    }

    #[test]
    fn a_handle_knows_that_its_container_was_deleted_and_made_anew() {
        let root = tempfile::tempdir().unwrap();
        let (old, lock) = entry(root.path());
        assert!(old.is_current().unwrap());
        old.remove().unwrap();
        drop(lock);
        assert!(!old.is_current().unwrap());
        let (new, _lock) = entry(root.path());
        assert!(new.is_current().unwrap() && !old.is_current().unwrap());
    }

    #[test]
    fn what_a_cut_off_delete_left_is_taken_over_clean() {
        let root = tempfile::tempdir().unwrap();
        let (entry, lock) = entry(root.path());
        drop(entry.make_start().unwrap());
        drop(lock);
        let (again, _lock) = Entry::claim(root.path(), entry.id()).unwrap();
        again.make_start().unwrap();
    }
}
