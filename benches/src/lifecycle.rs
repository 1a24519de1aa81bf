//! What can be seen of a container between `create` and `start`, and what the two cost in system calls.

use crate::Result;
use crate::process::{DEADLINE, checked, status_kib, timed, wait};
use crate::program::Program;
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The process that waits between `create` and `start`.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// `VmRSS` in KiB.
    pub rss_kib: u64,
    /// Size in bytes of the file that it executes, be that in a file system or in a memfd.
    pub executable: u64,
}

/// A container id that this program has not used yet.
pub fn fresh_id() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("corten-bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Removes what a failed run may have left. There is nothing to say if nothing was left.
pub fn discard(program: &Program, id: &str) {
    if program.is_runtime() {
        let _ = timed(program.delete(id));
    }
    // The floor program ends with its cgroup removed, unless it was killed.
    let _ = fs::remove_dir(Path::new("/sys/fs/cgroup").join(id));
}

/// Creates a container, looks at the process that waits, and lets the container run to its end.
///
/// # Errors
/// A command of the runtime failed, or the process ended by itself.
pub fn waiting(program: &Program, directory: &Path) -> Result<Waiting> {
    let id = fresh_id();
    let pid_file = directory.join(format!("{id}.pid"));
    let seen = checked(program.create(&id, &pid_file)).and_then(|_| {
        let pid = read_pid(&pid_file)?;
        let seen = Waiting { rss_kib: status_kib(pid.as_raw(), "VmRSS")?, executable: executable_size(pid)? };
        checked(program.start(&id))?;
        reap(pid)?;
        Ok(seen)
    });
    discard(program, &id);
    seen
}

/// The system calls of `create` and `start` and of everything that they start, up to and including those of the
/// container's program, counted by strace(1).
///
/// # Errors
/// strace is not installed or may not trace, or a command of the runtime failed.
pub fn system_calls(program: &Program, directory: &Path) -> Result<u64> {
    let id = fresh_id();
    let pid_file = directory.join(format!("{id}.pid"));
    let counts = [directory.join(format!("{id}.create")), directory.join(format!("{id}.start"))];
    let traced = traced_lifecycle(program, &id, &pid_file, [&counts[0], &counts[1]]);
    discard(program, &id);
    if let Ok(pid) = read_pid(&pid_file) {
        let _ = reap(pid);
    }
    traced?;
    Ok(total(&counts[0])? + total(&counts[1])?)
}

/// strace follows the container's init, so the one that traces `create` ends only after the container.
fn traced_lifecycle(program: &Program, id: &str, pid_file: &Path, counts: [&Path; 2]) -> Result {
    let [for_create, for_start] = counts;
    let mut create = spawn(&mut strace(&program.create(id, pid_file), for_create))?;
    let begin = Instant::now();
    while !checked(program.state(id)).is_ok_and(|state| state.contains("\"created\"")) {
        if begin.elapsed() > DEADLINE || create.try_wait().is_ok_and(|ended| ended.is_some()) {
            let _ = create.kill();
            let _ = create.wait();
            return Err(format!("{}: `create` under strace made no container", program.name));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let started = spawn(&mut strace(&program.start(id), for_start)).and_then(|mut start| wait(&mut start));
    if started.is_err() {
        discard(program, id); // ends the init, and with it the first strace
    }
    let created = wait(&mut create)?;
    match (created.success(), started?.success()) {
        (true, true) => Ok(()),
        _ => Err(format!("{}: `create` or `start` failed under strace", program.name)),
    }
}

fn strace(command: &Command, counts: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-o"]).arg(counts).arg(command.get_program()).args(command.get_args());
    strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    strace
}

fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))
}

/// The number of calls in the last line of what `strace -c` writes: per cent, seconds, µs per call, calls, errors, "total".
fn total(counts: &Path) -> Result<u64> {
    let text = fs::read_to_string(counts).map_err(|error| format!("read {}: {error}", counts.display()))?;
    let line = text.lines().rev().find(|line| line.trim_end().ends_with(" total"));
    let calls = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    calls.ok_or_else(|| "strace wrote no total".to_owned())
}

fn read_pid(file: &Path) -> Result<Pid> {
    let text = fs::read_to_string(file).map_err(|error| format!("read the pid file: {error}"))?;
    text.trim().parse().map(Pid::from_raw).map_err(|error| format!("read the pid file: {text:?}: {error}"))
}

/// The link /proc/PID/exe leads to the file itself, also where its text, as for a memfd, is no path.
fn executable_size(pid: Pid) -> Result<u64> {
    let path = format!("/proc/{pid}/exe");
    fs::metadata(&path).map(|metadata| metadata.len()).map_err(|error| format!("stat {path}: {error}"))
}

/// Takes the children that have ended by now: the first processes of containers that were discarded, which are those of
/// this process since it is a subreaper.
pub fn reap_all() {
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
}

/// Waits for the init of a container. It is a child of this process once the `create` that made it is gone, since the
/// bench is a subreaper.
fn reap(pid: Pid) -> Result {
    let begin = Instant::now();
    while begin.elapsed() < DEADLINE {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
            Ok(_) | Err(Errno::ECHILD) => return Ok(()),
            Err(errno) => return Err(format!("wait for the container: {}", errno.desc())),
        }
    }
    Err("the container did not end".to_owned())
}
