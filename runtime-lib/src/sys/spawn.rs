//! Programs of the machine that the runtime runs for itself: hooks, newuidmap and newgidmap.
//!
//! `std::process::Command` and `posix_spawn(3)` hand on every descriptor of the caller that is not close-on-exec, and it is
//! not for us to change a flag of the caller's. So the child closes what is not its own, in the few system calls between
//! the clone and the exec; it starts with default signals, none blocked, whatever the calling thread has.

use super::clone::{Child, Outcome, clone_and_wait, syscall};
use nix::errno::Errno;
use std::ffi::{CStr, c_char, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// What to run, and with what.
pub(crate) struct Program<'a> {
    /// The file.
    pub(crate) path: &'a CStr,
    /// The arguments, with the name first.
    pub(crate) args: &'a [&'a CStr],
    /// The whole environment.
    pub(crate) env: &'a [&'a CStr],
    /// The working directory; the caller's own unless given.
    pub(crate) directory: Option<&'a CStr>,
    /// Standard input; not one of the descriptors 0 to 2.
    pub(crate) input: BorrowedFd<'a>,
    /// Standard output and error; not one of the descriptors 0 to 2.
    pub(crate) output: BorrowedFd<'a>,
}

/// What the child finds in the caller's memory.
#[repr(C)]
struct Shared {
    path: *const c_char,
    args: *const *const c_char,
    env: *const *const c_char,
    /// Null to stay where the caller is.
    directory: *const c_char,
    input: RawFd,
    output: RawFd,
    outcome: Outcome,
}

/// Starts `program` as the leader of a process group of its own.
///
/// # Errors
/// Those of `clone3(2)`, `chdir(2)` and `execve(2)`; nothing runs then.
pub(crate) fn spawn(program: &Program<'_>) -> Result<Child, Errno> {
    let (input, output) = (program.input.as_raw_fd(), program.output.as_raw_fd());
    if input <= 2 || output <= 2 {
        return Err(Errno::EINVAL);
    }
    let pointers = |strings: &[&CStr]| -> Vec<*const c_char> {
        strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (args, env) = (pointers(program.args), pointers(program.env));
    let shared = Shared {
        path: program.path.as_ptr(),
        args: args.as_ptr(),
        env: env.as_ptr(),
        directory: program.directory.map_or(std::ptr::null(), CStr::as_ptr),
        input,
        output,
        outcome: Outcome::default(),
    };
    // SAFETY: `shared`, the vectors and the strings behind them live until the call returns; `child_main` makes nothing
    // but system calls and does not return.
    let child = unsafe { clone_and_wait(0, None, &shared.outcome, child_main, (&raw const shared).cast()) };
    child?.ok_or(Errno::ECHILD)
}

/// The kernel's `struct sigaction`, all zero: the default action, no flags, nothing blocked.
static DEFAULT_ACTION: [usize; 4] = [0; 4];
/// The kernel's signal set, of which no signal is in.
static NO_SIGNALS: u64 = 0;
const LAST_SIGNAL: usize = 64;

/// Runs in the child. Raw system calls only: libc's wrappers would write the caller's errno.
extern "C" fn child_main(shared: *const c_void) -> ! {
    // SAFETY: `spawn` passes a `Shared` that lives until this child has executed or ended.
    let shared = unsafe { &*shared.cast::<Shared>() };
    shared.outcome.begin();
    for signal in 1..=LAST_SIGNAL {
        let action = (&raw const DEFAULT_ACTION) as usize;
        // SAFETY: sets the child's own disposition from a constant. SIGKILL and SIGSTOP are refused, and have no other.
        unsafe { syscall(libc::SYS_rt_sigaction, [signal, action, 0, size_of::<u64>(), 0]) };
    }
    let set = (&raw const NO_SIGNALS) as usize;
    // SAFETY: all change only this child, which shares no more than memory with the caller: its process group, its
    // descriptors, its directory, its signal mask. The strings and vectors are terminated, see `spawn`.
    let result = unsafe {
        let step = |before: isize, number, args| if before < 0 { before } else { syscall(number, args) };
        let mut result = syscall(libc::SYS_setpgid, [0; 5]);
        for (from, to) in [(shared.input, 0), (shared.output, 1), (shared.output, 2)] {
            result = step(result, libc::SYS_dup3, [from as usize, to, 0, 0, 0]);
        }
        result = step(result, libc::SYS_close_range, [3, u32::MAX as usize, 0, 0, 0]);
        if !shared.directory.is_null() {
            result = step(result, libc::SYS_chdir, [shared.directory as usize, 0, 0, 0, 0]);
        }
        let how = libc::SIG_SETMASK as usize;
        result = step(result, libc::SYS_rt_sigprocmask, [how, set, 0, size_of::<u64>(), 0]);
        step(result, libc::SYS_execve, [shared.path as usize, shared.args as usize, shared.env as usize, 0, 0])
    };
    shared.outcome.fail(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{memfd, pidfd};
    use std::io::{Read as _, Seek as _};
    use std::os::fd::AsFd as _;

    fn run(args: &[&CStr]) -> (Result<pidfd::Ended, Errno>, String) {
        let (input, mut output) = (memfd::scratch(c"in").unwrap(), memfd::scratch(c"out").unwrap());
        let program = Program {
            path: args[0],
            args,
            env: &[c"A=1"],
            directory: Some(c"/usr"),
            input: input.as_fd(),
            output: output.as_fd(),
        };
        let ended = spawn(&program).map(|child| pidfd::wait(&child.pidfd).unwrap());
        let mut text = String::new();
        output.rewind().unwrap();
        output.read_to_string(&mut text).unwrap();
        (ended, text)
    }

    #[test]
    fn a_program_gets_its_three_descriptors_and_no_other() {
        let inherited = nix::unistd::dup(std::io::stderr()).unwrap();
        let script = c"pwd; echo $A; cd /proc/self/fd; for i in *; do [ -e $i ] && echo $i; done";
        let (ended, text) = run(&[c"/bin/sh", c"-c", script]);
        assert!(matches!(ended, Ok(pidfd::Ended::Exited(_))));
        assert_eq!(text, "/usr\n1\n0\n1\n2\n");
        drop(inherited);
    }

    #[test]
    fn what_cannot_be_executed_is_told() {
        assert!(matches!(run(&[c"/nonexistent"]).0, Err(Errno::ENOENT)));
        assert!(matches!(run(&[c"/etc/passwd"]).0, Err(Errno::EACCES)));
    }
}
