//! Running one child process to its end and measuring it.
//!
//! A runtime under development may hang, so everything here has a deadline.

use crate::Result;
use crate::program::shown;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long any command may take.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Runs `command` and returns the time from before its fork to its end as its parent sees it.
///
/// # Errors
/// The command cannot be started, fails, or misses the deadline.
pub fn timed(mut command: Command) -> Result<Duration> {
    let begin = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", shown(&command)))?;
    let status = wait(&mut child)?;
    let took = begin.elapsed();
    succeeded(&command, status, "").map(|()| took)
}

/// Runs `command` for its effect and returns what it wrote to its standard output.
///
/// # Errors
/// As for [`timed`]; the message has what the command wrote to its standard error.
pub fn checked(mut command: Command) -> Result<String> {
    // Files and not pipes: the init that a `create` leaves behind would keep a pipe open.
    let fail = |error: std::io::Error| format!("make a temporary file: {error}");
    let (mut stdout, mut stderr) = (tempfile::tempfile().map_err(fail)?, tempfile::tempfile().map_err(fail)?);
    command.stdout(Stdio::from(stdout.try_clone().map_err(fail)?));
    command.stderr(Stdio::from(stderr.try_clone().map_err(fail)?));
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", shown(&command)))?;
    let status = wait(&mut child)?;
    succeeded(&command, status, &written(&mut stderr)?)?;
    written(&mut stdout)
}

fn written(file: &mut std::fs::File) -> Result<String> {
    use std::io::Seek;
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).map_err(|error| format!("read the output: {error}"))?;
    Ok(text)
}

fn succeeded(command: &Command, status: ExitStatus, stderr: &str) -> Result {
    if status.success() {
        return Ok(());
    }
    let separator = if stderr.trim().is_empty() { "" } else { ": " };
    Err(format!("{}: {status}{separator}{}", shown(command), stderr.trim()))
}

/// Waits for `child`, which is killed at the deadline.
///
/// # Errors
/// The deadline passed.
pub fn wait(child: &mut Child) -> Result<ExitStatus> {
    let fail = |error: std::io::Error| format!("wait for a child: {error}");
    // SAFETY: takes integers; the pid is that of a child that nobody has reaped.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(|| fail(std::io::Error::last_os_error()))?;
    // SAFETY: the call above made `fd`, and nothing else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut poll = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one live, writable pollfd.
    let ready = unsafe { libc::poll(&raw mut poll, 1, DEADLINE.as_millis() as libc::c_int) };
    if ready != 1 {
        child.kill().map_err(fail)?;
        child.wait().map_err(fail)?;
        return Err(format!("a command did not end within {} s", DEADLINE.as_secs()));
    }
    child.wait().map_err(fail)
}

/// Runs `command` and returns the peak resident set of its process, in KiB.
///
/// `ru_maxrss` of wait4(2) is of no use here: it is the maximum over the process *and* the children that it reaped, and so
/// counts the container's program, and a process inherits it at execve(2) from whoever forked it, and so counts this
/// program. `VmHWM` of /proc/PID/status belongs to the one address space. It must be read when the process has done
/// everything and is not gone yet: in the stop that ptrace(2) makes of its exit (`PTRACE_O_TRACEEXIT`). Its children
/// are not traced.
///
/// # Errors
/// The command cannot be started or traced, or fails.
pub fn peak_rss(mut command: Command) -> Result<u64> {
    let fail = |errno: nix::Error| format!("trace a child: {}", errno.desc());
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(Into::into)) };
    let child = command.spawn().map_err(|error| format!("{}: {error}", shown(&command)))?;
    let pid = i32::try_from(child.id()).map(Pid::from_raw).map_err(|error| error.to_string())?;
    let mut peak = Err(format!("{}: no exit stop", shown(&command)));
    let mut exec_seen = false;
    let begin = Instant::now();
    loop {
        let deliver = match waitpid(pid, Some(WaitPidFlag::WNOHANG)).map_err(fail)? {
            WaitStatus::StillAlive if begin.elapsed() > DEADLINE => {
                nix::sys::signal::kill(pid, Signal::SIGKILL).map_err(fail)?;
                waitpid(pid, None).map_err(fail)?;
                return Err(format!("{}: did not end in time", shown(&command)));
            }
            WaitStatus::StillAlive => {
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            WaitStatus::Exited(_, 0) => return peak,
            WaitStatus::Exited(_, code) => return Err(format!("{}: exit status {code}", shown(&command))),
            WaitStatus::Signaled(_, signal, _) => return Err(format!("{}: {signal}", shown(&command))),
            WaitStatus::Stopped(_, Signal::SIGTRAP) if !exec_seen => {
                exec_seen = true;
                // TRACEEXEC only turns the SIGTRAP of a further exec into an event of its own.
                let options = ptrace::Options::PTRACE_O_TRACEEXIT | ptrace::Options::PTRACE_O_TRACEEXEC;
                ptrace::setoptions(pid, options).map_err(fail)?;
                None
            }
            WaitStatus::PtraceEvent(_, _, event) => {
                if event == libc::PTRACE_EVENT_EXIT {
                    peak = status_kib(pid.as_raw(), "VmHWM");
                }
                None
            }
            WaitStatus::Stopped(_, signal) => Some(signal),
            _ => None,
        };
        ptrace::cont(pid, deliver).map_err(fail)?;
    }
}

/// The number behind `field` in /proc/PID/status, such as `VmRSS`, in KiB.
///
/// # Errors
/// The process is gone, or has no memory any more.
pub fn status_kib(pid: i32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("read {path}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).ok_or_else(|| format!("no {field} in {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_that_of_the_process_alone() {
        // 64 MiB in this process and in a child of the measured one must not count; 48 MiB in the measured one must.
        let ours = vec![1_u8; 64 << 20];
        let shell = |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]).stdout(Stdio::null());
            peak_rss(command).unwrap()
        };
        assert!(shell("true") < 16 << 10);
        assert!(shell("dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null; true") < 16 << 10);
        assert!(shell("exec dd if=/dev/zero of=/dev/null bs=48M count=1 2>/dev/null") > 48 << 10);
        assert_eq!(ours.iter().rev().take(1).sum::<u8>(), 1);
    }

    #[test]
    fn a_failing_command_names_itself_and_its_message() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo no luck >&2; exit 3"]);
        let message = checked(command).unwrap_err();
        assert!(message.starts_with("/bin/sh -c"), "{message}");
        assert!(message.ends_with("exit status: 3: no luck"), "{message}");
    }
}
