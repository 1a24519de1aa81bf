//! System calls: their names, and how they can fail.

#![allow(non_upper_case_globals, reason = "the numbers have the names that libc gives them")]

use libc::*;
use std::os::unix::fs::FileExt;

macro_rules! calls {
    ($($name:ident $number:ident $path:tt $errnos:tt),* $(,)?) => {
        /// The name, the place of the argument that is a path (6: none has one), and the errors worth trying.
        fn known(number: i64) -> Option<(&'static str, usize, &'static [i32])> {
            match number {
                $($number => Some((stringify!($name), $path, &$errnos)),)*
                _ => None,
            }
        }
    };
}

const NO_PATH: usize = 6;

calls! {
    openat SYS_openat 1 [ENOENT, EACCES, EMFILE, ENOMEM],
    open SYS_open 0 [ENOENT, EACCES, EMFILE, ENOMEM],
    openat2 SYS_openat2 1 [EACCES, EMFILE, EAGAIN, ENOSYS],
    read SYS_read NO_PATH [EINTR, EIO],
    pread64 SYS_pread64 NO_PATH [EIO],
    write SYS_write NO_PATH [EINTR, ENOSPC, EACCES, EIO],
    writev SYS_writev NO_PATH [EINTR, ENOSPC],
    recvmsg SYS_recvmsg NO_PATH [EINTR, ECONNRESET, ENOMEM],
    recvfrom SYS_recvfrom NO_PATH [EINTR, ECONNRESET],
    sendmsg SYS_sendmsg NO_PATH [EINTR, ENOBUFS],
    sendto SYS_sendto NO_PATH [EINTR, ENOBUFS],
    close SYS_close NO_PATH [EIO, EINTR],
    clone3 SYS_clone3 NO_PATH [EAGAIN, ENOMEM, EPERM, EINVAL, EBUSY, ENOSPC, ENOSYS],
    clone SYS_clone NO_PATH [EAGAIN, ENOMEM],
    vfork SYS_vfork NO_PATH [EAGAIN, ENOMEM],
    fork SYS_fork NO_PATH [EAGAIN, ENOMEM],
    execve SYS_execve 0 [ENOENT, EACCES, ENOMEM, ETXTBSY],
    execveat SYS_execveat NO_PATH [ENOENT, EACCES, ENOMEM],
    mount SYS_mount 1 [EPERM, EINVAL, ENOMEM],
    umount2 SYS_umount2 0 [EBUSY, EPERM],
    pivot_root SYS_pivot_root 0 [EINVAL, EBUSY, EPERM],
    open_tree SYS_open_tree 1 [EPERM, EINVAL, ENOMEM, ENOSYS],
    move_mount SYS_move_mount NO_PATH [EPERM, EINVAL, ENOMEM, ENOSYS],
    fsopen SYS_fsopen 0 [EPERM, ENODEV, ENOMEM, ENOSYS],
    fsconfig SYS_fsconfig 2 [EPERM, EINVAL, EBUSY],
    fsmount SYS_fsmount NO_PATH [EPERM, EMFILE],
    fspick SYS_fspick 1 [EPERM, ENOSYS],
    mount_setattr SYS_mount_setattr 1 [EPERM, EINVAL, ENOSYS],
    mkdirat SYS_mkdirat 1 [EACCES, ENOSPC, EROFS],
    mkdir SYS_mkdir 0 [EACCES, ENOSPC, EROFS, EAGAIN],
    mknodat SYS_mknodat 1 [EPERM, ENOSPC],
    symlinkat SYS_symlinkat 0 [ENOSPC],
    unlinkat SYS_unlinkat 1 [EBUSY, EACCES],
    unlink SYS_unlink 0 [EACCES],
    rmdir SYS_rmdir 0 [EBUSY, EACCES],
    renameat SYS_renameat 1 [ENOSPC, EACCES],
    rename SYS_rename 0 [ENOSPC, EACCES],
    fchown SYS_fchown NO_PATH [EPERM, EROFS],
    fchownat SYS_fchownat 1 [EPERM, EROFS],
    fchmod SYS_fchmod NO_PATH [EPERM],
    fchmodat SYS_fchmodat 1 [EPERM],
    ftruncate SYS_ftruncate NO_PATH [ENOSPC],
    setresuid SYS_setresuid NO_PATH [EPERM, EAGAIN],
    setresgid SYS_setresgid NO_PATH [EPERM],
    setgroups SYS_setgroups NO_PATH [EPERM, EINVAL],
    capset SYS_capset NO_PATH [EPERM],
    capget SYS_capget NO_PATH [EINVAL],
    prctl SYS_prctl NO_PATH [EINVAL, EPERM],
    seccomp SYS_seccomp NO_PATH [EINVAL, EACCES, ENOMEM, ENOSYS],
    setsid SYS_setsid NO_PATH [EPERM],
    setpgid SYS_setpgid NO_PATH [EPERM],
    prlimit64 SYS_prlimit64 NO_PATH [EPERM, EINVAL],
    keyctl SYS_keyctl NO_PATH [EDQUOT, EACCES, ENOSYS],
    sethostname SYS_sethostname NO_PATH [EPERM],
    setdomainname SYS_setdomainname NO_PATH [EPERM],
    setns SYS_setns NO_PATH [EINVAL, EPERM, ESRCH, ENOMEM],
    unshare SYS_unshare NO_PATH [EPERM, ENOMEM, ENOSPC],
    poll SYS_poll NO_PATH [EINTR, ENOMEM],
    ppoll SYS_ppoll NO_PATH [EINTR, ENOMEM],
    wait4 SYS_wait4 NO_PATH [EINTR, ECHILD],
    waitid SYS_waitid NO_PATH [EINTR, ECHILD],
    flock SYS_flock NO_PATH [EINTR, ENOLCK],
    pidfd_open SYS_pidfd_open NO_PATH [EMFILE, ENOSYS],
    pidfd_send_signal SYS_pidfd_send_signal NO_PATH [EPERM, ENOSYS],
    pidfd_getfd SYS_pidfd_getfd NO_PATH [EPERM, EMFILE, ENOSYS],
    kill SYS_kill NO_PATH [EPERM],
    memfd_create SYS_memfd_create 0 [EMFILE, ENOMEM, ENOSYS],
    fcntl SYS_fcntl NO_PATH [EMFILE],
    dup SYS_dup NO_PATH [EMFILE],
    dup2 SYS_dup2 NO_PATH [EMFILE, EBUSY],
    dup3 SYS_dup3 NO_PATH [EMFILE, EBUSY],
    socketpair SYS_socketpair NO_PATH [EMFILE],
    socket SYS_socket NO_PATH [EMFILE, EAFNOSUPPORT],
    connect SYS_connect NO_PATH [ECONNREFUSED, EAGAIN],
    pipe2 SYS_pipe2 NO_PATH [EMFILE],
    ioctl SYS_ioctl NO_PATH [EINVAL, EPERM, EIO],
    bpf SYS_bpf NO_PATH [EPERM, EINVAL, ENOMEM],
    fstat SYS_fstat NO_PATH [EIO],
    newfstatat SYS_newfstatat 1 [ENOENT, EACCES, EIO],
    statx SYS_statx 1 [ENOENT, EACCES, ENOSYS],
    stat SYS_stat 0 [ENOENT, EACCES],
    lstat SYS_lstat 0 [ENOENT, EACCES],
    statfs SYS_statfs 0 [ENOENT, EIO],
    fstatfs SYS_fstatfs NO_PATH [EIO, ENOSYS],
    getdents64 SYS_getdents64 NO_PATH [EIO, ENOENT],
    lseek SYS_lseek NO_PATH [EINVAL],
    readlink SYS_readlink 0 [ENOENT, EINVAL],
    readlinkat SYS_readlinkat 1 [ENOENT, EINVAL],
    faccessat SYS_faccessat 1 [ENOENT, EACCES],
    faccessat2 SYS_faccessat2 1 [ENOENT, EACCES, ENOSYS],
    access SYS_access 0 [ENOENT, EACCES],
    getcwd SYS_getcwd NO_PATH [ENOENT],
    getrandom SYS_getrandom NO_PATH [EINTR, ENOSYS],
    mmap SYS_mmap NO_PATH [ENOMEM],
    mremap SYS_mremap NO_PATH [ENOMEM],
    mprotect SYS_mprotect NO_PATH [ENOMEM],
    nanosleep SYS_nanosleep NO_PATH [EINTR],
    clock_nanosleep SYS_clock_nanosleep NO_PATH [EINTR],
    chdir SYS_chdir 0 [ENOENT, EACCES],
    fchdir SYS_fchdir NO_PATH [EACCES],
    chroot SYS_chroot 0 [EPERM],
    close_range SYS_close_range NO_PATH [ENOSYS, ENOMEM, EINVAL],
    sched_setaffinity SYS_sched_setaffinity NO_PATH [EINVAL],
    sched_getaffinity SYS_sched_getaffinity NO_PATH [EINVAL],
    getgroups SYS_getgroups NO_PATH [EINVAL],
    setsockopt SYS_setsockopt NO_PATH [ENOPROTOOPT],
    exit_group SYS_exit_group NO_PATH [],
    exit SYS_exit NO_PATH [],
    brk SYS_brk NO_PATH [],
    munmap SYS_munmap NO_PATH [],
    rt_sigaction SYS_rt_sigaction NO_PATH [],
    rt_sigprocmask SYS_rt_sigprocmask NO_PATH [],
    rt_sigreturn SYS_rt_sigreturn NO_PATH [],
    restart_syscall SYS_restart_syscall NO_PATH [],
    sigaltstack SYS_sigaltstack NO_PATH [],
    arch_prctl SYS_arch_prctl NO_PATH [],
    set_tid_address SYS_set_tid_address NO_PATH [],
    set_robust_list SYS_set_robust_list NO_PATH [],
    rseq SYS_rseq NO_PATH [],
    futex SYS_futex NO_PATH [],
    umask SYS_umask NO_PATH [],
    getpid SYS_getpid NO_PATH [],
    gettid SYS_gettid NO_PATH [],
    getuid SYS_getuid NO_PATH [],
    geteuid SYS_geteuid NO_PATH [],
    getgid SYS_getgid NO_PATH [],
    getegid SYS_getegid NO_PATH [],
    uname SYS_uname NO_PATH [],
}

/// The errors with which the call is let fail. Those are left out which say that there is nothing to do (`EEXIST` of mkdir,
/// `ENOENT` of unlink, `EPIPE` from a peer that lives): they would be a lie about the file system, not a failure.
pub(crate) fn errnos(number: i64) -> &'static [i32] {
    known(number).map_or(&[EIO, ENOSYS], |(_, _, errnos)| errnos)
}

/// Whether one of the call's arguments is a path.
pub(crate) fn is_about_a_path(number: i64) -> bool {
    known(number).is_some_and(|(_, place, _)| place != NO_PATH)
}

/// The call's name.
pub(crate) fn name(number: i64) -> String {
    known(number).map_or_else(|| format!("call {number}"), |(name, ..)| name.to_owned())
}

/// The call that a stopped process is about to make: its name, and its path if it has one.
pub(crate) fn describe(pid: i32, registers: &user_regs_struct) -> String {
    let number = registers.orig_rax as i64;
    let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9].map(Some);
    let place = known(number).map_or(NO_PATH, |(_, place, _)| place);
    let path = arguments.get(place).copied().flatten().filter(|address| *address != 0);
    if number == SYS_getdents64 {
        // An error that says that the directory is gone may be true of a cgroup, and is a lie of another.
        let directory = std::fs::read_link(format!("/proc/{pid}/fd/{}", registers.rdi)).unwrap_or_default();
        return format!("getdents64 {}", directory.display());
    }
    match path.map(|address| text_at(pid, address)) {
        Some(path) => format!("{} {path}", name(number)),
        None => format!("{} {:x},{:x},{:x}", name(number), registers.rdi, registers.rsi, registers.rdx),
    }
}

fn text_at(pid: i32, address: u64) -> String {
    let mut bytes = [0; 200];
    let memory = std::fs::File::open(format!("/proc/{pid}/mem"));
    let count = memory.and_then(|memory| memory.read_at(&mut bytes, address)).unwrap_or(0);
    let text = bytes[..count].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
