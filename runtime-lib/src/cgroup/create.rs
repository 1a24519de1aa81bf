//! Making the directories and writing the limits.

use super::files::{self, ControlFile};
use super::found::{MARKED, may_be_taken_over};
use super::{Cgroup, CgroupDirectory, CgroupPaths, CgroupPlan, device_list, devices, owner};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::cgroup::{CgroupWrite, IfAbsent, device_properties, properties_of};
use nix::errno::Errno;
use nix::sys::stat::Mode;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// How often a directory is made again that somebody removes between its making and that of the one in it, or before anybody is in it.
pub(crate) const RACES: usize = 8;

/// What [`Cgroup::create`] has made.
#[derive(Debug, Clone)]
#[must_use = "what was made has to be recorded or undone"]
pub struct Made {
    cgroup: Cgroup,
    /// In the order of their making.
    directories: Vec<PathBuf>,
}

impl Made {
    /// The cgroups in effect, to record: what was chosen, or [`CgroupPaths::Unmanaged`] for a caller without the right
    /// to make any.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// The directories made, in order: the container's own and those above them that did not exist.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// The second half of [`Cgroup::create`]: the limits and device rules. What is written so far is taken back by
    /// [`undo`](Self::undo).
    ///
    /// # Errors
    /// The kernel refuses a limit: the error names the element of the configuration.
    pub fn apply(&self, plan: &CgroupPlan) -> Result<()> {
        self.apply_writes(plan, &plan.writes)
    }

    /// [`apply`](Self::apply) when the first process has joined: without what [`join`](Self::join) has done.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply).
    pub fn apply_after_join(&self, plan: &CgroupPlan) -> Result<()> {
        if !self.rules_before_join() {
            return self.apply(plan);
        }
        let writes: Vec<CgroupWrite> = plan.writes.iter().filter(|write| !is_device_rule(write)).cloned().collect();
        self.apply_writes(plan, &writes)
    }

    /// Version 1 takes device rules one at a time, the first of which denies everything: an init that made its devices
    /// just then would be refused, and bind those of the host. What systemd makes is not there before somebody joins.
    fn rules_before_join(&self) -> bool {
        self.cgroup.scope.is_none() && !matches!(self.cgroup.paths, CgroupPaths::V2 { .. })
    }

    /// Then the init has to wait for them, before it makes its devices.
    pub(crate) fn rules_after_join(&self) -> bool {
        self.cgroup.scope.is_some() && self.cgroup.is_version_1()
    }

    fn apply_writes(&self, plan: &CgroupPlan, writes: &[CgroupWrite]) -> Result<()> {
        let paths = &self.cgroup.paths;
        let enabling = enable_all(plan, self.cgroup.scope.is_some());
        write_all(&self.own_directories(), writes, enabling, &mut |_| ())?;
        match paths {
            CgroupPaths::V2 { directory } => {
                devices::attach(&directory.absolute(), &plan.devices)?;
                let owner = plan.owner.filter(|&owner| owner != nix::unistd::geteuid().as_raw());
                match owner.filter(|_| self.cgroup.existed.is_empty()) {
                    Some(owner) => owner::give(&directory.absolute(), owner),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// The directory to clone the container's first process into, as [`Cgroup::clone_fd`]; systemd makes it only when
    /// that process is there.
    ///
    /// # Errors
    /// The directory cannot be opened.
    pub fn clone_fd(&self) -> Result<Option<OwnedFd>> {
        if self.cgroup.scope.is_some() { Ok(None) } else { self.cgroup.clone_fd() }
    }

    /// Puts the container's first process, `pid`, into the cgroups; here is where systemd makes its own.
    ///
    /// # Errors
    /// Those of [`Cgroup::join`]; systemd cannot be reached, refuses, or does not answer in time.
    pub fn join(&self, plan: &CgroupPlan, pid: i32) -> Result<()> {
        if self.rules_before_join() {
            self.write_rules(plan)?;
        }
        let (Some(scope), Some(asked)) = (&self.cgroup.scope, &plan.systemd) else { return self.cgroup.join(pid) };
        let version_1 = self.cgroup.is_version_1();
        let mut properties = properties_of(&plan.writes);
        if version_1 {
            properties.extend(device_properties(&plan.devices));
            // What is left of somebody else of that name in a hierarchy that systemd does not look at.
            let old = self.cgroup.paths.directories().map(CgroupDirectory::absolute).filter(|path| path.exists());
            let taken = old.into_iter().try_for_each(|path| may_be_taken_over(&path));
            taken.map_err(|error| scope.is_taken(error))?;
        }
        scope.start(asked, version_1, properties, pid)?;
        let Some(directory) = self.cgroup.paths.of_systemd() else { return Ok(()) };
        let path = format!("/proc/{pid}/cgroup");
        let text = files::read(Path::new(&path)).map_err(|e| Error::os(format!("read {path}"), e))?;
        let prefix = if directory.controllers.is_empty() { "0::" } else { ":name=systemd:" };
        let now = text.lines().find_map(|line| line.split_once(prefix)).map_or("", |(_, now)| now);
        if now != directory.path {
            let text = format!("systemd put the container into the cgroup {now} instead of {}", directory.path);
            return Err(Error::config("linux.cgroupsPath", text));
        }
        scope.mark(&directory.absolute())?;
        if version_1 { self.join_beside_systemd(pid) } else { Ok(()) }
    }

    /// Whether one of the container's directories is not there any more. A systemd that looks at its slices, as at a reload, removes
    /// whatever is empty in the hierarchies of version 1: also what is to be joined in a moment.
    pub(crate) fn has_lost_any(&self) -> bool {
        let own = self.own_directories();
        self.rules_before_join() && !own.iter().all(|directory| directory.is_dir())
    }

    /// Version 1 has hierarchies that systemd leaves alone, and others in which it makes a unit's cgroup only when a
    /// property asks for it: the container has one in each, as from runc.
    fn join_beside_systemd(&self, pid: i32) -> Result<()> {
        self.make_missing()?;
        self.cgroup.join_all(pid)
    }

    /// Makes those of the container's directories that are not there (any more).
    ///
    /// # Errors
    /// As for [`Cgroup::make`].
    pub(crate) fn make_missing(&self) -> Result<()> {
        for directory in self.cgroup.paths.directories() {
            let mut fresh = Vec::new();
            make_directory(directory, &mut fresh)?;
            if directory.controllers.iter().any(|name| name == "cpuset") {
                inherit_cpuset(directory, &fresh)?;
            }
        }
        Ok(())
    }

    /// Those of an existing cgroup take the place of what it had, which may have others below.
    fn write_rules(&self, plan: &CgroupPlan) -> Result<()> {
        let directory = self.cgroup.paths.of_controller("devices").map(|(_, directory)| directory.absolute());
        if let Some(existing) = directory.filter(|directory| self.cgroup.existed.contains(directory)) {
            return device_list::replace(&existing, &plan.devices);
        }
        let rules: Vec<CgroupWrite> = plan.writes.iter().filter(|write| is_device_rule(write)).cloned().collect();
        write_all(&self.own_directories(), &rules, Ok(()), &mut |_| ())
    }

    fn own_directories(&self) -> Vec<PathBuf> {
        self.cgroup.paths.directories().map(CgroupDirectory::absolute).collect()
    }

    /// Removes what was made and nothing else, a directory above only if nothing else is in it by now. Processes must
    /// be gone or going: see [`Cgroup::remove`] for how long it waits.
    ///
    /// # Errors
    /// One of the container's own directories cannot be removed.
    pub fn undo(self) -> Result<()> {
        if self.cgroup.scope.is_some() {
            return self.cgroup.remove();
        }
        let own = self.own_directories();
        let mut result = Ok(());
        // Those that existed lose the container's device rules.
        for directory in own.iter().filter(|directory| self.cgroup.existed.contains(*directory)) {
            result = result.and(self.cgroup.remove_but_existed(directory));
        }
        for directory in self.directories.iter().rev() {
            if own.contains(directory) {
                result = result.and(self.cgroup.remove_but_existed(directory));
            } else {
                // Another container may have moved in meanwhile: the directory is theirs then.
                let _ = std::fs::remove_dir(directory);
            }
        }
        result
    }
}

pub(super) fn is_device_rule(write: &CgroupWrite) -> bool {
    write.location == "linux.resources.devices" || write.location.starts_with("linux.resources.devices[")
}

impl Cgroup {
    /// Makes the directories, and writes the limits and device rules of `plan`, the one this was
    /// [chosen](Self::chosen) from. If anything fails, what was made is removed again.
    ///
    /// # Errors
    /// The kernel refuses a limit: the error names the element of the configuration. A cgroup of that path exists and
    /// has processes in it, or is frozen: [`ErrorKind::InvalidConfig`] for `linux.cgroupsPath`.
    pub fn create(&self, plan: &CgroupPlan) -> Result<Made> {
        let made = self.make(plan)?;
        match made.apply(plan) {
            Ok(()) => Ok(made),
            Err(error) => {
                let _ = made.undo();
                Err(error)
            }
        }
    }

    /// The first half of [`create`](Self::create): the directories, so that processes can join. The limits follow with
    /// [`Made::apply`], while the container is being built.
    ///
    /// # Errors
    /// As for [`create`](Self::create), but for the limits.
    pub fn make(&self, plan: &CgroupPlan) -> Result<Made> {
        let mut made = Made { cgroup: self.clone(), directories: Vec::new() };
        if self.scope.is_some() {
            return Ok(made); // see Made::join
        }
        match make_directories(&mut made) {
            Ok(()) => Ok(made),
            Err(error) if may_do_without(plan, &error) => {
                made.undo()?;
                let cgroup = Cgroup { paths: CgroupPaths::Unmanaged, scope: None, ..self.clone() };
                Ok(Made { cgroup, directories: Vec::new() })
            }
            // The first fault is the one to tell.
            Err(error) => {
                let _ = made.undo();
                Err(error)
            }
        }
    }
}

/// A caller who is not root has often no right to make cgroups. Without a path or a limit in the configuration there is
/// no need of them.
fn may_do_without(plan: &CgroupPlan, error: &Error) -> bool {
    let refused = [Errno::EACCES, Errno::EPERM, Errno::EROFS].iter().any(|&e| error.errno() == Some(e as i32));
    let limited = plan.writes.iter().any(|write| !is_device_rule(write));
    refused && plan.default_path && !limited && is_rootless()
}

/// Whether the caller is not root of the whole machine: another user, or root of a user namespace other than the first
/// (which maps all ids). Device rules need that; without it they are left out, as by runc, since such a caller
/// cannot make device nodes either.
pub(super) fn is_rootless() -> bool {
    !nix::unistd::geteuid().is_root() || in_user_namespace()
}

fn in_user_namespace() -> bool {
    files::read(Path::new("/proc/self/uid_map")).is_ok_and(|map| {
        let fields: Vec<&str> = map.split_whitespace().collect();
        fields != ["0", "0", "4294967295"]
    })
}

fn make_directories(made: &mut Made) -> Result<()> {
    let cgroup = made.cgroup.clone();
    for directory in cgroup.paths.directories() {
        let known = made.directories.len();
        make_directory(directory, &mut made.directories)?;
        let own = directory.absolute();
        if !made.directories.contains(&own) {
            may_be_taken_over(&own)?;
            made.cgroup.note_existing(&own);
        }
        if directory.controllers.iter().any(|name| name == "cpuset") {
            inherit_cpuset(directory, made.directories.get(known..).unwrap_or_default())?;
        }
    }
    Ok(())
}

/// Makes the container's directory in one hierarchy, unless it is there, and the missing ones above it.
fn make_directory(directory: &CgroupDirectory, made: &mut Vec<PathBuf>) -> Result<()> {
    let path = directory.absolute();
    let fault = |path: &Path, e: Errno| Error::os(format!("mkdir {}", path.display()), e).at("linux.cgroupsPath");
    for _ in 0..RACES {
        match nix::unistd::mkdir(&path, MARKED) {
            Ok(()) => {
                made.push(path);
                return Ok(());
            }
            Err(Errno::EEXIST) => return Ok(()),
            Err(Errno::ENOENT) => make_above(directory, made).map_err(|(path, e)| fault(&path, e))?,
            Err(e) => return Err(fault(&path, e)),
        }
    }
    Err(fault(&path, Errno::ENOENT))
}

/// Makes the directories between the mount point and the container's.
fn make_above(directory: &CgroupDirectory, made: &mut Vec<PathBuf>) -> Result<(), (PathBuf, Errno)> {
    for path in above(directory) {
        match nix::unistd::mkdir(&path, Mode::from_bits_truncate(0o755)) {
            Ok(()) if !made.contains(&path) => made.push(path),
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(e) => return Err((path, e)),
        }
    }
    Ok(())
}

/// The directories between the mount point and the container's, from the top.
fn above(directory: &CgroupDirectory) -> Vec<PathBuf> {
    let root = Path::new(&directory.mount_point);
    let own = directory.absolute();
    let mut above: Vec<PathBuf> =
        own.ancestors().skip(1).take_while(|path| *path != root).map(Path::to_owned).collect();
    above.reverse();
    above
}

/// A new version 1 cpuset has neither processors nor memory, and no process can join it: it gets its parent's, level by
/// level; the container's own are written over them.
fn inherit_cpuset(directory: &CgroupDirectory, made: &[PathBuf]) -> Result<()> {
    let own = directory.absolute();
    let existing = (!made.contains(&own)).then_some(&own);
    for path in made.iter().chain(existing) {
        for name in ["cpuset.cpus", "cpuset.mems"] {
            if Some(path) != existing || !has_value(&path.join(name)) {
                inherit(path, name, Path::new(&directory.mount_point))?;
            }
        }
    }
    Ok(())
}

/// Whoever made the parent at the same moment may not have come to give it what it needs: it gets it now.
fn inherit(path: &Path, name: &str, root: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let (from, to) = (parent.join(name), path.join(name));
    let read = || files::read_value(&from).map_err(|e| Error::os(format!("read {}", from.display()), e));
    let mut list = read()?;
    if list.is_empty() && parent != root && parent.starts_with(root) {
        inherit(parent, name, root)?;
        list = read()?;
    }
    files::write(&to, &list).map_err(|e| Error::os(format!("write {list} to {}", to.display()), e))
}

fn has_value(file: &Path) -> bool {
    files::read_value(file).is_ok_and(|list| !list.is_empty())
}

/// The controllers of version 2 that systemd knows. It enables them where the properties of its units and their delegation need it,
/// and takes back what others enable of these; `systemd.resource-control(5)`.
const SYSTEMDS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// Enables the controllers that the plan's writes need; in a unit of systemd's those that it leaves to others, such as hugetlb.
pub(super) fn enable_all(plan: &CgroupPlan, in_unit: bool) -> Result<()> {
    let Some(unified) = plan.paths.unified() else { return Ok(()) };
    let ours = |name: &&String| !in_unit || !SYSTEMDS.contains(&name.as_str());
    let controllers: Vec<&str> = plan.enable.iter().filter(ours).map(String::as_str).collect();
    if controllers.is_empty() { Ok(()) } else { enable(unified, &controllers) }
}

/// Enables controllers for the container's directory in all above it. Whether that succeeded shows when a limit is
/// written; the first real fault is kept for the message then. A controller that is not there at all is ENOENT.
fn enable(directory: &CgroupDirectory, controllers: &[&str]) -> Result<()> {
    let mut result = Ok(());
    for path in std::iter::once(PathBuf::from(&directory.mount_point)).chain(above(directory)) {
        let control = path.join("cgroup.subtree_control");
        let outcomes = match ControlFile::open(&control) {
            Ok(file) => controllers.iter().map(|name| (*name, file.put(&format!("+{name}")))).collect(),
            Err(e) => vec![("controllers", Err(e))],
        };
        for (name, outcome) in outcomes {
            match outcome {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(e) => result = result.and(Err(Error::os(format!("enable {name} in {}", control.display()), e))),
            }
        }
    }
    result
}

/// Writes the limits in order, opening a file once for values that follow each other; `before` sees each file that is
/// about to be written.
///
/// The kernel checks a limit against those that are there: memory against memory with swap, a quota against a period
/// and a burst. Which order is right depends on whether they rise or fall, so what is refused for that is tried once
/// more when the others are written.
pub(super) fn write_all(
    own: &[PathBuf],
    writes: &[CgroupWrite],
    enabling: Result<()>,
    before: &mut dyn FnMut(&Path),
) -> Result<()> {
    let mut enabling = enabling.err();
    let same = |a: &CgroupWrite, b: &CgroupWrite| a.directory == b.directory && a.file == b.file;
    let mut refused = Vec::new();
    for group in writes.chunk_by(same) {
        if let Err((write, path, e)) = write_group(own, group, before) {
            if depends_on_others(write, e) {
                refused.push(group);
            } else {
                return Err(limit_fault(&path, write, e, enabling.take()));
            }
        }
    }
    for group in refused {
        write_group(own, group, before).map_err(|(write, path, e)| limit_fault(&path, write, e, enabling.take()))?;
    }
    Ok(())
}

fn depends_on_others(write: &CgroupWrite, e: Errno) -> bool {
    let coupled = ["memory.", "cpu."].iter().any(|controller| write.file.starts_with(controller));
    coupled && matches!(e, Errno::EINVAL | Errno::EBUSY)
}

/// Writes values to one file; a failure comes with the value and the path.
fn write_group<'a>(
    own: &[PathBuf],
    group: &'a [CgroupWrite],
    before: &mut dyn FnMut(&Path),
) -> Result<(), (&'a CgroupWrite, PathBuf, Errno)> {
    let Some((directory, first)) = group.first().and_then(|first| Some((own.get(first.directory)?, first))) else {
        return Ok(());
    };
    let path = directory.join(&first.file);
    before(&path);
    let outcome = match ControlFile::open(&path) {
        Ok(file) => group.iter().try_for_each(|write| file.put(&write.value).map_err(|e| (write, e))),
        Err(e) => Err((first, e)),
    };
    let Err((write, e)) = outcome else { return Ok(()) };
    match (&write.if_absent, e) {
        (IfAbsent::Skip, Errno::ENOENT) => Ok(()),
        (IfAbsent::Write { file, value }, Errno::ENOENT) => {
            let path = directory.join(file);
            before(&path);
            files::write(&path, value).map_err(|e| (write, path, e))
        }
        (_, Errno::EPERM | Errno::EACCES) if write.location == "linux.resources.devices" && is_rootless() => Ok(()),
        _ => Err((write, path, e)),
    }
}

fn limit_fault(path: &Path, write: &CgroupWrite, e: Errno, enabling: Option<Error>) -> Error {
    let value = match &write.if_absent {
        IfAbsent::Write { file, value } if path.ends_with(file) => value,
        _ => &write.value,
    };
    let error = Error::os(format!("write {value:?} to {}", path.display()), e);
    let error = match (e, enabling) {
        (Errno::ENOENT, enabling) => {
            let controller = write.file.split('.').next().unwrap_or_default();
            let text = format!("cgroup controller {controller} is not available: there is no {}", path.display());
            let error = Error::new(ErrorKind::Unsupported, text);
            match enabling {
                Some(cause) => error.because(cause),
                None => error,
            }
        }
        // What Docker and Kubernetes show their user when an update is refused: EBUSY alone does not say why.
        (Errno::EBUSY, _) if write.file.starts_with("memory.") => {
            let usage = std::fs::read_to_string(path.with_file_name("memory.usage_in_bytes")).unwrap_or_default();
            match usage.trim() {
                "" => error,
                usage => error.hint(format!("{usage} bytes are in use, and the kernel could not free enough of them")),
            }
        }
        (Errno::EINVAL | Errno::ERANGE, _) => match write.location.as_str() {
            "linux.resources.cpu.cpus" => error.hint("see /sys/devices/system/cpu/online"),
            "linux.resources.cpu.mems" => error.hint("see /sys/devices/system/node/online"),
            "linux.resources.cpu.quota" | "linux.resources.cpu.period" => {
                error.hint("in microseconds: a quota of 1000 at least, a period of 1000 to 1000000")
            }
            _ => error,
        },
        _ => error,
    };
    error.at(&write.location)
}
