//! Children that have ended, without reaping them.

use std::io;
use std::mem::MaybeUninit;

/// Gives `SIGCHLD` its default action. A parent that ignores it hands that on through `execve(2)`, and the kernel then
/// keeps no zombies to wait for. For the command, which owns its process; the library leaves signals alone.
pub fn default_sigchld() {
    // SAFETY: SIG_DFL installs no handler, so no code of ours runs in signal context.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// The pid of a child of this process that has ended and is not reaped yet, `None` if there is none. It stays
/// unreaped: whoever owns it can still wait for it.
///
/// nix's `waitid` cannot serve: it fails for a child that a real-time signal has ended.
///
/// # Errors
/// Those of `waitid(2)`; having no children is none.
pub fn next_zombie() -> io::Result<Option<i32>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid writes at most one siginfo_t through the pointer, which is to a live local of that type.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), flags) };
    match nix::errno::Errno::result(result) {
        Err(nix::errno::Errno::ECHILD) => return Ok(None),
        Err(errno) => return Err(errno.into()),
        Ok(_) => {}
    }
    // SAFETY: siginfo_t is plain data, for which all-zero bytes are a value; it was zeroed above, so si_pid is readable
    // also where the kernel, finding no zombie, has written nothing.
    let pid = unsafe { info.assume_init().si_pid() };
    Ok((pid != 0).then_some(pid))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_child_ended_by_a_real_time_signal_is_seen_and_stays() {
        use std::os::unix::process::ExitStatusExt;
        let signal = libc::SIGRTMIN() + 1;
        let mut child =
            std::process::Command::new("/bin/sh").args(["-c", &format!("kill -{signal} $$")]).spawn().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        // Other tests of this process have children too: only ours matters.
        while super::next_zombie().unwrap() != Some(child.id() as i32) {
            assert!(std::time::Instant::now() < deadline);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(child.wait().unwrap().signal(), Some(signal));
    }
}
