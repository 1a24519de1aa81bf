//! Starting the init without forking the caller.
//!
//! The child shares the caller's memory (`CLONE_VM`) for the few system calls until it executes the init, on a stack of
//! its own, while the calling thread waits (`CLONE_VFORK`). So the cost does not grow with the caller's memory, no page
//! of it is ever copied into the container, and no lock that another thread holds can be waited for: the child runs
//! nothing but the system calls below.

use nix::errno::Errno;
use std::ffi::{CStr, c_char, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// A child process and a descriptor of it.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its pid in the caller's pid namespace.
    pub(crate) pid: i32,
    /// Its pidfd.
    pub(crate) pidfd: OwnedFd,
    /// It is in the cgroup that was asked for.
    pub(crate) in_cgroup: bool,
}

/// What to execute in the child.
pub(crate) struct Exec<'a> {
    /// The program file.
    pub(crate) program: BorrowedFd<'a>,
    /// Its arguments, a null pointer at the end.
    pub(crate) args: &'a [*const c_char],
    /// The one descriptor the program gets besides stdio.
    pub(crate) inherit: BorrowedFd<'a>,
}

#[repr(C)]
struct Shared {
    program: RawFd,
    args: *const *const c_char,
    env: *const *const c_char,
    inherit: RawFd,
    outcome: Outcome,
}

/// What a child tells its caller through the memory that they share.
#[derive(Default)]
pub(super) struct Outcome {
    /// The child runs.
    alive: AtomicBool,
    /// The errno of what failed in it, 0 while nothing has.
    failure: AtomicI32,
}

impl Outcome {
    /// The child's first step.
    pub(super) fn begin(&self) {
        self.alive.store(true, Ordering::Release);
    }

    /// The child's last step, if it could not execute its program: `result` is the negative errno of a [`syscall`].
    pub(super) fn fail(&self, result: isize) -> ! {
        self.failure.store(-result as i32, Ordering::Release);
        loop {
            // SAFETY: ends this process; nothing of it has to be unwound.
            unsafe { syscall(libc::SYS_exit_group, [127, 0, 0, 0, 0]) };
        }
    }
}

#[repr(C)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const STACK: usize = 16 << 10;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Starts `exec` in a child in the new namespaces that `flags` (`CLONE_NEW*`) name, in `cgroup` if given.
///
/// Linux since 6.14 kills a child at its birth when `cgroup.kill` was written a different number of times to `cgroup`
/// than to the caller's own (it compares the counters of two cgroups). Such a child has run nothing: it is cloned again
/// where the caller is, and `in_cgroup` tells that it still has to be moved.
///
/// # Errors
/// The clone, or the exec in the child; no child is left then.
pub(crate) fn spawn(flags: u64, cgroup: Option<BorrowedFd<'_>>, exec: &Exec<'_>) -> Result<Child, Errno> {
    if let Some(child) = spawn_once(flags, cgroup, exec)? {
        return Ok(child);
    }
    spawn_once(flags, None, exec)?.ok_or(Errno::ECHILD)
}

/// One try of [`spawn`]: nothing when the child was killed before it ran.
fn spawn_once(flags: u64, cgroup: Option<BorrowedFd<'_>>, exec: &Exec<'_>) -> Result<Option<Child>, Errno> {
    let null: *const c_char = std::ptr::null();
    if exec.args.last() != Some(&null) {
        return Err(Errno::EINVAL);
    }
    let shared = Shared {
        program: exec.program.as_raw_fd(),
        args: exec.args.as_ptr(),
        env: &null,
        inherit: exec.inherit.as_raw_fd(),
        outcome: Outcome::default(),
    };
    // SAFETY: `shared` and what it points to live until the call returns; `child_main` does not return.
    unsafe { clone_and_wait(flags, cgroup, &shared.outcome, child_main, (&raw const shared).cast()) }
}

/// Clones a child that runs `child_main` on `shared`, and waits until it has executed a program or failed to: its
/// `outcome`, which is in `shared`. Nothing when it was killed before it ran.
///
/// # Errors
/// The clone, or what the child gave to [`Outcome::fail`]; no child is left then.
///
/// # Safety
/// `shared` and what it points to must live until this returns. `child_main` runs in the caller's memory beside its other
/// threads: it must make nothing but system calls, and not return.
pub(super) unsafe fn clone_and_wait(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    outcome: &Outcome,
    child_main: extern "C" fn(*const c_void) -> !,
    shared: *const c_void,
) -> Result<Option<Child>, Errno> {
    let mut stack = vec![0u128; STACK / size_of::<u128>()];
    let mut pidfd: RawFd = -1;
    let into = if cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 };
    let fixed = (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD).unsigned_abs();
    let args = CloneArgs {
        flags: flags | u64::from(fixed) | into,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD.unsigned_abs().into(),
        stack: stack.as_mut_ptr() as u64,
        stack_size: (stack.len() * size_of::<u128>()) as u64,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd().unsigned_abs().into()),
    };
    let blocked = BlockedSignals::all();
    // SAFETY: `args` describes a stack that lives until this call returns, which CLONE_VFORK delays until the child has
    // executed the program or ended; so does `shared`, as the caller vouches.
    let result = unsafe { clone3(&args, child_main, shared) };
    drop(blocked);
    if result < 0 {
        return Err(Errno::from_raw(-result as i32));
    }
    // SAFETY: the kernel stored a new descriptor that nothing else knows.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let child = Child { pid: result as i32, pidfd, in_cgroup: cgroup.is_some() };
    if !outcome.alive.load(Ordering::Acquire) {
        let _ = super::pidfd::wait(&child.pidfd);
        return Ok(None);
    }
    match outcome.failure.load(Ordering::Acquire) {
        0 => Ok(Some(child)),
        errno => {
            let _ = super::pidfd::wait(&child.pidfd);
            Err(Errno::from_raw(errno))
        }
    }
}

/// Runs in the child. Raw system calls only: libc's wrappers would write the caller's errno.
extern "C" fn child_main(shared: *const c_void) -> ! {
    // SAFETY: `spawn` passes a `Shared` that lives until this child has executed or ended.
    let shared = unsafe { &*shared.cast::<Shared>() };
    shared.outcome.begin();
    const EMPTY: &CStr = c"";
    // SAFETY: F_SETFD without flags on the child's own copy of the descriptor table; execveat with strings and vectors
    // that `spawn` checked to be terminated.
    let result = unsafe {
        let path = EMPTY.as_ptr() as usize;
        let flags = libc::AT_EMPTY_PATH as usize;
        let (args, env) = (shared.args as usize, shared.env as usize);
        match syscall(libc::SYS_fcntl, [shared.inherit as usize, libc::F_SETFD as usize, 0, 0, 0]) {
            0 => syscall(libc::SYS_execveat, [shared.program as usize, path, args, env, flags]),
            failed => failed,
        }
    };
    shared.outcome.fail(result)
}

/// Blocks every signal of the calling thread until dropped: a handler must not run in the child, in shared memory.
struct BlockedSignals(nix::sys::signal::SigSet);

impl BlockedSignals {
    fn all() -> BlockedSignals {
        use nix::sys::signal::{SigSet, SigmaskHow};
        BlockedSignals(SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK).unwrap_or_else(|_| SigSet::empty()))
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        let _ = self.0.thread_set_mask();
    }
}

/// `clone3(2)` into `child(arg)` on the stack that `args` names; a pid, or a negative errno.
///
/// # Safety
/// The stack must be unused and live as long as the child does in this memory; `child` must not return.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(args: &CloneArgs, child: extern "C" fn(*const c_void) -> !, arg: *const c_void) -> isize {
    let result: isize;
    // SAFETY: the caller vouches for the stack. In the child only registers are used before the call; the kernel set
    // its stack pointer to the 16-byte aligned end of the stack, as a call instruction expects.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r9",
            "call r8",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") args,
            in("rsi") size_of::<CloneArgs>(),
            in("r8") child,
            in("r9") arg,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// `clone3(2)` into `child(arg)` on the stack that `args` names; a pid, or a negative errno.
///
/// # Safety
/// The stack must be unused and live as long as the child does in this memory; `child` must not return.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(args: &CloneArgs, child: extern "C" fn(*const c_void) -> !, arg: *const c_void) -> isize {
    let result: isize;
    // SAFETY: the caller vouches for the stack. In the child only registers are used before the branch; the kernel set
    // its stack pointer to the 16-byte aligned end of the stack.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x10",
            "blr x9",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") args => result,
            in("x1") size_of::<CloneArgs>(),
            in("x9") child,
            in("x10") arg,
        );
    }
    result
}

/// # Safety
/// The arguments must be valid for the call.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn syscall(number: i64, args: [usize; 5]) -> isize {
    let result: isize;
    let [a, b, c, d, e] = args;
    // SAFETY: the caller vouches for the arguments; the kernel preserves all registers but rax, rcx and r11.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// # Safety
/// The arguments must be valid for the call.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn syscall(number: i64, args: [usize; 5]) -> isize {
    let result: isize;
    let [a, b, c, d, e] = args;
    // SAFETY: the caller vouches for the arguments; the kernel preserves all registers but x0.
    unsafe {
        std::arch::asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d,
            in("x4") e, options(nostack));
    }
    result
}
