//! createContainer and startContainer hooks: programs that run inside.

use crate::console::push_number;
use crate::fault::{During, Fault, OfElement, Step};
use crate::link::Link;
use crate::path::PathBuf;
use crate::program::Vector;
use crate::sys::{self, Errno, RawFd};
use crate::wire::{Hook, HookState, List, Op};

const SIGCHLD: u64 = 17;

/// Runs the hooks one after another; `before` is the state's text up to the pid.
pub fn run(hooks: List<'_, Hook<'_>>, before: &[u8], state: &HookState<'_>, link: &Link) -> Step {
    for (place, hook) in hooks.iter().enumerate() {
        run_one(&hook, before, state, link).of(place)?;
    }
    Ok(())
}

fn run_one(hook: &Hook<'_>, before: &[u8], state: &HookState<'_>, link: &Link) -> Step {
    // A file and not a pipe: a hook that does not read its input must not block us.
    let stdin = sys::memfd(c"state").during(Op::Whole)?;
    let mut pid = PathBuf::new();
    push_number(&mut pid, sys::getpid().unsigned_abs()).during(Op::Whole)?;
    for part in [before, pid.as_bytes(), state.rest] {
        sys::write(stdin.0, part).during(Op::Whole)?;
    }
    sys::rewind(stdin.0).during(Op::Whole)?;
    let output = match state.output {
        Some(index) => Some(link.fd(index)?),
        None => None,
    };
    let args = Vector::new(hook.args.iter(), None).during(Op::Whole)?;
    let env = Vector::new(hook.env.iter(), None).during(Op::Whole)?;
    let pid = sys::fork(0, SIGCHLD).during(Op::Fork)?;
    if pid == 0 {
        become_hook(hook, stdin.0, output, &args, &env);
    }
    let finished = sys::pidfd_open(pid).and_then(|pidfd| sys::wait_readable(pidfd.0, hook.timeout));
    if finished != Ok(true) {
        sys::kill(-pid); // all that it has started in its group, unless it had not come to make one
        sys::kill(pid);
    }
    let status = sys::wait(pid).during(Op::Whole)?;
    match finished.during(Op::Whole)? {
        false => Err(Fault::new(Op::HookTimeout, Errno::ETIMEDOUT)),
        true if status == 0 => Ok(()),
        true => Err(Fault { detail: i64::from(status), ..Fault::new(Op::HookFailed, Errno(0)) }),
    }
}

/// The child. The exit code 127 stands for a program that could not be executed, as in shells.
fn become_hook(hook: &Hook<'_>, stdin: RawFd, output: Option<RawFd>, args: &Vector, env: &Vector) -> ! {
    let placed = sys::dup_to(stdin, 0)
        .and_then(|()| output.map_or(Ok(()), |output| sys::dup_to(output, 1).and_then(|()| sys::dup_to(output, 2))))
        .and_then(|()| sys::cloexec_range(3, u32::MAX));
    if placed.is_err() {
        sys::exit(127); // rather than with descriptors that are not meant for it
    }
    let _ = sys::set_process_group();
    sys::unblock_signals();
    sys::umask(0o022); // ours is 0
    sys::execve(hook.path, args.as_slice(), env.as_slice());
    sys::exit(127)
}
