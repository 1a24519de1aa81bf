//! System calls, typed: the only unsafe code of the init besides its entry.
//!
//! Strings are `CStr`s and descriptors plain numbers: the process is single-threaded and short-lived, and what it leaves
//! open `close_range(2)` or `execve(2)` closes. [`Fd`] closes itself where something is opened in a loop.

use crate::arch::{crash, nr, syscall};
use core::ffi::CStr;

/// An error number of a system call, always positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

#[allow(missing_docs)]
impl Errno {
    pub const EPERM: Errno = Errno(1);
    pub const ENOENT: Errno = Errno(2);
    pub const EINTR: Errno = Errno(4);
    pub const EBADF: Errno = Errno(9);
    pub const EACCES: Errno = Errno(13);
    pub const EBUSY: Errno = Errno(16);
    pub const EEXIST: Errno = Errno(17);
    pub const ENODEV: Errno = Errno(19);
    pub const ENOTDIR: Errno = Errno(20);
    pub const EISDIR: Errno = Errno(21);
    pub const EINVAL: Errno = Errno(22);
    pub const EROFS: Errno = Errno(30);
    pub const ENAMETOOLONG: Errno = Errno(36);
    pub const ENOSYS: Errno = Errno(38);
    pub const ELOOP: Errno = Errno(40);
    pub const EPROTO: Errno = Errno(71);
    pub const ETIMEDOUT: Errno = Errno(110);
}

/// The result of a system call.
pub type Result<T = ()> = core::result::Result<T, Errno>;

/// A file descriptor's number.
pub type RawFd = i32;

/// Paths are taken from the working directory.
pub const AT_FDCWD: RawFd = -100;
/// The path is empty: the descriptor itself is meant.
pub const AT_EMPTY_PATH: usize = 0x1000;
/// See `stat(2)`.
pub const AT_SYMLINK_NOFOLLOW: usize = 0x100;
/// For the whole tree of mounts.
pub const AT_RECURSIVE: usize = 0x8000;

#[allow(missing_docs)]
pub mod open {
    pub const RDONLY: u64 = 0;
    pub const WRONLY: u64 = 1;
    pub const RDWR: u64 = 2;
    pub const NOCTTY: u64 = 0o400;
    pub const NONBLOCK: u64 = 0o4000;
    pub const CLOEXEC: u64 = 0o2000000;
    pub const PATH: u64 = 0o10000000;
    #[cfg(target_arch = "x86_64")]
    pub const DIRECTORY: u64 = 0o200000;
    #[cfg(target_arch = "x86_64")]
    pub const NOFOLLOW: u64 = 0o400000;
    #[cfg(target_arch = "x86_64")]
    pub const LARGEFILE: u64 = 0o100000;
    #[cfg(target_arch = "aarch64")]
    pub const DIRECTORY: u64 = 0o40000;
    #[cfg(target_arch = "aarch64")]
    pub const NOFOLLOW: u64 = 0o100000;
    #[cfg(target_arch = "aarch64")]
    pub const LARGEFILE: u64 = 0o400000;
}

#[allow(missing_docs)]
pub mod resolve {
    pub const NO_XDEV: u64 = 0x01;
    pub const NO_MAGICLINKS: u64 = 0x02;
    pub const NO_SYMLINKS: u64 = 0x04;
    pub const BENEATH: u64 = 0x08;
    pub const IN_ROOT: u64 = 0x10;
}

fn check(result: isize) -> Result<usize> {
    if result < 0 { Err(Errno(result.unsigned_abs() as i32)) } else { Ok(result.unsigned_abs()) }
}

macro_rules! call {
    ($number:ident $(, $arg:expr)*) => {
        // SAFETY: every pointer among the arguments is made in the same expression from a reference, `CStr` or slice
        // that outlives the call, with its length beside it where the call takes one.
        check(unsafe { syscall(nr::$number, pad([$($arg),*])) })
    };
}

mod attributes;
mod credentials;
mod scheduling;
pub use attributes::*;
pub use credentials::*;
pub use scheduling::*;

fn pad<const N: usize>(args: [usize; N]) -> [usize; 6] {
    let mut all = [0; 6];
    for (place, arg) in all.iter_mut().zip(args) {
        *place = arg;
    }
    all
}

fn text(value: &CStr) -> usize {
    value.as_ptr() as usize
}

fn fd(value: RawFd) -> usize {
    value as isize as usize
}

fn address<T: ?Sized>(value: &T) -> usize {
    core::ptr::from_ref(value).cast::<u8>() as usize
}

fn address_mut<T: ?Sized>(value: &mut T) -> usize {
    core::ptr::from_mut(value).cast::<u8>() as usize
}

/// An open file descriptor that closes itself.
pub struct Fd(pub RawFd);

impl Drop for Fd {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// `close(2)`.
pub fn close(file: RawFd) {
    let _ = call!(CLOSE, fd(file));
}

/// `close_range(2)`.
pub fn close_range(first: u32, last: u32) -> Result {
    call!(CLOSE_RANGE, first as usize, last as usize, 0).map(drop)
}

/// `close_range(2)` with `CLOSE_RANGE_CLOEXEC`, which Linux 5.11 brought. Before, each descriptor by itself: those that the init opens
/// have the flag from the beginning, and the others have low numbers.
pub fn cloexec_range(first: u32, last: u32) -> Result {
    match call!(CLOSE_RANGE, first as usize, last as usize, 4) {
        Err(Errno::EINVAL) => {
            for file in first..=last.min(first.saturating_add(1023)) {
                // F_SETFD of FD_CLOEXEC; most numbers are of nothing.
                let _ = call!(FCNTL, file as usize, 2, 1);
            }
            Ok(())
        }
        result => result.map(drop),
    }
}

/// `read(2)`, again when a signal comes.
pub fn read(file: RawFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match call!(READ, fd(file), address_mut(buffer), buffer.len()) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// `write(2)`, again when a signal comes.
pub fn write(file: RawFd, bytes: &[u8]) -> Result<usize> {
    loop {
        match call!(WRITE, fd(file), address(bytes), bytes.len()) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Back to the beginning of a file.
pub fn rewind(file: RawFd) -> Result {
    call!(LSEEK, fd(file), 0, 0).map(drop)
}

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// `openat2(2)`; `O_CLOEXEC` is always set.
pub fn openat2(dir: RawFd, path: &CStr, flags: u64, mode: u64, resolve: u64) -> Result<Fd> {
    let how = OpenHow { flags: flags | open::CLOEXEC, mode, resolve };
    loop {
        match call!(OPENAT2, fd(dir), text(path), address(&how), size_of::<OpenHow>()) {
            // EAGAIN: a rename elsewhere on the machine raced with the walk; the man page says to try again.
            Err(Errno::EINTR | Errno(11)) => {}
            result => return result.map(|file| Fd(file as RawFd)),
        }
    }
}

/// `openat(2)`; `O_CLOEXEC` is always set.
pub fn openat(dir: RawFd, path: &CStr, flags: u64) -> Result<Fd> {
    call!(OPENAT, fd(dir), text(path), (flags | open::CLOEXEC) as usize, 0).map(|file| Fd(file as RawFd))
}

/// `mkdirat(2)`.
pub fn mkdirat(dir: RawFd, path: &CStr, mode: u32) -> Result {
    call!(MKDIRAT, fd(dir), text(path), mode as usize).map(drop)
}

/// `mknodat(2)`.
pub fn mknodat(dir: RawFd, path: &CStr, mode: u32, device: u32) -> Result {
    call!(MKNODAT, fd(dir), text(path), mode as usize, device as usize).map(drop)
}

/// `symlinkat(2)`.
pub fn symlinkat(target: &CStr, dir: RawFd, path: &CStr) -> Result {
    call!(SYMLINKAT, text(target), fd(dir), text(path)).map(drop)
}

/// `unlinkat(2)`.
pub fn unlinkat(dir: RawFd, path: &CStr) -> Result {
    call!(UNLINKAT, fd(dir), text(path), 0).map(drop)
}

/// `readlinkat(2)`.
pub fn readlinkat(dir: RawFd, path: &CStr, buffer: &mut [u8]) -> Result<usize> {
    call!(READLINKAT, fd(dir), text(path), address_mut(buffer), buffer.len())
}

/// `fchownat(2)` of the link itself.
pub fn lchownat(dir: RawFd, path: &CStr, uid: u32, gid: u32) -> Result {
    call!(FCHOWNAT, fd(dir), text(path), uid as usize, gid as usize, AT_SYMLINK_NOFOLLOW).map(drop)
}

/// `fchown(2)`.
pub fn fchown(file: RawFd, uid: u32, gid: u32) -> Result {
    call!(FCHOWN, fd(file), uid as usize, gid as usize).map(drop)
}

/// `faccessat2(2)` for execution, with the effective ids; `faccessat(2)` where a seccomp filter does not know it, which
/// is the same once the real ids are those of the program.
pub fn executable(path: &CStr) -> Result {
    match call!(FACCESSAT2, fd(AT_FDCWD), text(path), 1, 0x200) {
        Err(Errno::ENOSYS | Errno::EPERM) => call!(FACCESSAT, fd(AT_FDCWD), text(path), 1).map(drop),
        result => result.map(drop),
    }
}

/// `setxattr(2)` of text.
pub fn set_xattr(path: &CStr, name: &CStr, value: &CStr) -> Result {
    call!(SETXATTR, text(path), text(name), text(value), value.to_bytes().len(), 0).map(drop)
}

/// `fchmod(2)`.
pub fn fchmod(file: RawFd, mode: u32) -> Result {
    call!(FCHMOD, fd(file), mode as usize).map(drop)
}

/// `struct statx`, up to the fields that are used.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Statx {
    pub mask: u32,
    pub blksize: u32,
    pub attributes: u64,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub mode: u16,
    spare0: u16,
    pub ino: u64,
    pub size: u64,
    pub blocks: u64,
    pub attributes_mask: u64,
    times: [u64; 8],
    pub rdev_major: u32,
    pub rdev_minor: u32,
    pub dev_major: u32,
    pub dev_minor: u32,
    pub mount: u64,
    spare: [u64; 13],
}

impl Statx {
    /// The type bits of the mode.
    pub fn kind(&self) -> u32 {
        u32::from(self.mode) & 0o170000
    }

    /// The number of a device, as `mknod(2)` takes it.
    pub fn device(&self) -> u32 {
        (self.rdev_minor & 0xff) | (self.rdev_major << 8) | ((self.rdev_minor & !0xff) << 12)
    }
}

/// `statx(2)` of an open file.
pub fn stat(file: RawFd) -> Result<Statx> {
    statx(file, c"", AT_EMPTY_PATH)
}

/// `statx(2)` by path.
pub fn statx(dir: RawFd, path: &CStr, flags: usize) -> Result<Statx> {
    // SAFETY: all-zero is a valid `Statx`: it has only integers.
    let mut buffer: Statx = unsafe { core::mem::zeroed() };
    // STATX_BASIC_STATS | STATX_MNT_ID
    call!(STATX, fd(dir), text(path), flags, 0x17ff, address_mut(&mut buffer)).map(|_| buffer)
}

/// `mmap(2)` of new, private memory.
pub fn memory(length: usize) -> Result<&'static mut [u8]> {
    let place = call!(MMAP, 0, length, 3, 0x22, usize::MAX, 0)?;
    // SAFETY: the kernel just made `length` zeroed bytes at `place` that nothing else refers to, and they are never
    // unmapped.
    Ok(unsafe { core::slice::from_raw_parts_mut(place as *mut u8, length) })
}

/// `fchdir(2)`.
pub fn fchdir(dir: RawFd) -> Result {
    call!(FCHDIR, fd(dir)).map(drop)
}

/// `chdir(2)`.
pub fn chdir(path: &CStr) -> Result {
    call!(CHDIR, text(path)).map(drop)
}

/// `chroot(2)`.
pub fn chroot(path: &CStr) -> Result {
    call!(CHROOT, text(path)).map(drop)
}

/// `getcwd(2)`, the system call: a directory outside of the root begins with `(unreachable)`.
pub fn getcwd(buffer: &mut [u8]) -> Result<usize> {
    call!(GETCWD, address_mut(buffer), buffer.len())
}

/// `pivot_root(2)`.
pub fn pivot_root(new: &CStr, old: &CStr) -> Result {
    call!(PIVOT_ROOT, text(new), text(old)).map(drop)
}

/// `mount(2)`; an absent string is a null pointer.
pub fn mount(source: Option<&CStr>, target: &CStr, fstype: Option<&CStr>, flags: u64, data: Option<&CStr>) -> Result {
    let or_null = |value: Option<&CStr>| value.map_or(0, text);
    call!(MOUNT, or_null(source), text(target), or_null(fstype), flags as usize, or_null(data)).map(drop)
}

/// `umount2(2)` with `MNT_DETACH`.
pub fn detach(target: &CStr) -> Result {
    call!(UMOUNT2, text(target), 2).map(drop)
}

/// `open_tree(2)` with `OPEN_TREE_CLONE`: a detached copy of a mount.
pub fn clone_tree(dir: RawFd, path: &CStr, recursive: bool) -> Result<Fd> {
    let empty = if path.is_empty() { AT_EMPTY_PATH } else { 0 };
    let flags = 1 | open::CLOEXEC as usize | empty | if recursive { AT_RECURSIVE } else { 0 };
    call!(OPEN_TREE, fd(dir), text(path), flags).map(|file| Fd(file as RawFd))
}

/// `move_mount(2)`: attaches the mount `tree` to the directory or file `target`.
pub fn attach(tree: RawFd, target: RawFd) -> Result {
    // MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    call!(MOVE_MOUNT, fd(tree), text(c""), fd(target), text(c""), 0x44).map(drop)
}

/// A new file system without options, as a detached mount.
pub fn new_mount(fstype: &CStr, options: &[(&CStr, &CStr)], attributes: u64) -> Result<Fd> {
    let context = Fd(call!(FSOPEN, text(fstype), 1)? as RawFd);
    for (key, value) in options {
        call!(FSCONFIG, fd(context.0), 1, text(key), text(value), 0)?;
    }
    call!(FSCONFIG, fd(context.0), 6, 0, 0, 0)?;
    call!(FSMOUNT, fd(context.0), 1, attributes as usize).map(|file| Fd(file as RawFd))
}

/// `dup3(2)`.
pub fn dup_to(from: RawFd, to: RawFd) -> Result {
    call!(DUP3, fd(from), fd(to), 0).map(drop)
}

/// `F_DUPFD_CLOEXEC`: a duplicate with a number of at least `least`.
pub fn dup_above(file: RawFd, least: RawFd) -> Result<RawFd> {
    call!(FCNTL, fd(file), 1030, fd(least)).map(|file| file as RawFd)
}

/// `setns(2)`, whatever the kind.
pub fn setns(namespace: RawFd) -> Result {
    call!(SETNS, fd(namespace), 0).map(drop)
}

/// `setns(2)` with a pidfd: all the namespaces of the process that `kinds` (`CLONE_NEW*`) names, or none.
pub fn setns_of(process: RawFd, kinds: u64) -> Result {
    call!(SETNS, fd(process), kinds as usize).map(drop)
}

/// `unshare(2)`.
pub fn unshare(flags: u64) -> Result {
    call!(UNSHARE, flags as usize).map(drop)
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
}

/// `fork(2)` with the flags of `clone3(2)`; 0 in the child.
pub fn fork(flags: u64, exit_signal: u64) -> Result<i32> {
    let args = CloneArgs { flags, pidfd: 0, child_tid: 0, parent_tid: 0, exit_signal, stack: 0, stack_size: 0, tls: 0 };
    call!(CLONE3, address(&args), size_of::<CloneArgs>()).map(|pid| pid as i32)
}

/// `pidfd_open(2)`.
pub fn pidfd_open(pid: i32) -> Result<Fd> {
    call!(PIDFD_OPEN, pid as usize, 0).map(|file| Fd(file as RawFd))
}

/// Waits until `file` is readable: false when the seconds are over first; 0 seconds are for ever.
pub fn wait_readable(file: RawFd, seconds: u64) -> Result<bool> {
    #[repr(C)]
    struct PollFd(i32, i16, i16);
    let mut poll = PollFd(file, 1, 0);
    let time = [seconds, 0u64];
    let time = if seconds == 0 { 0 } else { address(&time) };
    loop {
        match call!(PPOLL, address_mut(&mut poll), 1, time, 0, 8) {
            Err(Errno::EINTR) => {}
            result => return result.map(|ready| ready > 0),
        }
    }
}

/// `wait4(2)`: the wait status.
pub fn wait(pid: i32) -> Result<i32> {
    let mut status = 0i32;
    loop {
        match call!(WAIT4, pid as isize as usize, address_mut(&mut status), 0, 0) {
            Err(Errno::EINTR) => {}
            result => return result.map(|_| status),
        }
    }
}

/// `kill(2)` with SIGKILL; a negative number is that of a process group.
pub fn kill(pid: i32) {
    let _ = call!(KILL, pid as isize as usize, 9);
}

/// `exit_group(2)`.
pub fn exit(code: i32) -> ! {
    let _ = call!(EXIT_GROUP, code as usize);
    // A seccomp profile may let it fail.
    crash()
}

/// `getpid(2)`.
pub fn getpid() -> i32 {
    call!(GETPID).unwrap_or(0) as i32
}

/// `setsid(2)`.
pub fn setsid() -> Result {
    call!(SETSID).map(drop)
}

/// `setpgid(2)`: this process leads a group of its own.
pub fn set_process_group() -> Result {
    call!(SETPGID, 0, 0).map(drop)
}

/// `umask(2)`.
pub fn umask(mask: u32) {
    let _ = call!(UMASK, mask as usize);
}

/// `prctl(2)`.
pub fn prctl(option: usize, second: usize, third: usize) -> Result<usize> {
    call!(PRCTL, option, second, third, 0, 0)
}

/// Sets the name that ps shows.
pub fn set_name(name: &CStr) {
    let _ = prctl(15, text(name), 0);
}

/// `prlimit(2)` of this process.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> Result {
    let limit = [soft, hard];
    call!(PRLIMIT64, 0, resource as usize, address(&limit), 0).map(drop)
}

/// The type of the file system that a file is in, by `fstatfs(2)`.
pub fn file_system(file: RawFd) -> Result<u64> {
    Ok(statfs(file)?.first().copied().unwrap_or(0))
}

/// `struct statfs`, in words.
fn statfs(file: RawFd) -> Result<[u64; 15]> {
    let mut statfs = [0u64; 15];
    call!(FSTATFS, fd(file), address_mut(&mut statfs)).map(|_| statfs)
}

/// Whether the file is in a procfs.
pub fn is_in_procfs(file: RawFd) -> Result<bool> {
    Ok(file_system(file)? == 0x9fa0)
}

/// `keyctl(2)`: `KEYCTL_JOIN_SESSION_KEYRING`; the keyring's serial number.
pub fn join_session_keyring(name: &CStr) -> Result<usize> {
    call!(KEYCTL, 1, text(name))
}

/// `keyctl(2)`: `KEYCTL_SETPERM`.
pub fn set_key_permissions(key: usize, permissions: u32) -> Result {
    call!(KEYCTL, 5, key, permissions as usize).map(drop)
}

/// `sethostname(2)`.
pub fn sethostname(name: &CStr) -> Result {
    call!(SETHOSTNAME, text(name), name.count_bytes()).map(drop)
}

/// `setdomainname(2)`.
pub fn setdomainname(name: &CStr) -> Result {
    call!(SETDOMAINNAME, text(name), name.count_bytes()).map(drop)
}

/// Every signal gets its default action. Signals that the launcher's process ignores would stay ignored otherwise.
pub fn default_signals() {
    let default = [0u64; 4];
    for signal in 1..=64 {
        let _ = call!(RT_SIGACTION, signal, address(&default), 0, 8);
    }
}

/// No signal is blocked.
pub fn unblock_signals() {
    let none = 0u64;
    let _ = call!(RT_SIGPROCMASK, 2, address(&none), 0, 8);
}

/// An anonymous file.
pub fn memfd(name: &CStr) -> Result<Fd> {
    call!(MEMFD_CREATE, text(name), 1).map(|file| Fd(file as RawFd))
}

/// `ioctl(2)` with a number.
pub fn ioctl(file: RawFd, request: usize, argument: usize) -> Result<usize> {
    call!(IOCTL, fd(file), request, argument)
}

/// `ioctl(2)` that reads or writes a value.
pub fn ioctl_with<T>(file: RawFd, request: usize, argument: &mut T) -> Result<usize> {
    call!(IOCTL, fd(file), request, address_mut(argument))
}

/// Brings the loopback device up, see `netdevice(7)`.
pub fn loopback_up() -> Result {
    const SIOCSIFFLAGS: usize = 0x8914;
    #[repr(C)]
    struct IfReq {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }
    let mut name = [0; 16];
    name.iter_mut().zip(b"lo").for_each(|(place, byte)| *place = *byte);
    // IFF_UP; the others of a loopback device the kernel keeps.
    let mut request = IfReq { name, flags: 1, rest: [0; 22] };
    // AF_INET, SOCK_DGRAM | SOCK_CLOEXEC
    let socket = Fd(call!(SOCKET, 2, 0x80002, 0)? as RawFd);
    ioctl_with(socket.0, SIOCSIFFLAGS, &mut request).map(drop)
}

/// `seccomp(2)`: `SECCOMP_SET_MODE_FILTER`.
pub fn set_seccomp(filter: &[u8], flags: u64) -> Result<usize> {
    #[repr(C)]
    struct Program {
        length: u16,
        filter: usize,
    }
    let program = Program { length: (filter.len() / 8) as u16, filter: address(filter) };
    call!(SECCOMP, 1, flags as usize, address(&program))
}

/// `execve(2)`: only returns when it failed. Both vectors end with a null pointer.
pub fn execve(path: &CStr, args: &[usize], env: &[usize]) -> Errno {
    match call!(EXECVE, text(path), address(args), address(env)) {
        Err(errno) => errno,
        Ok(_) => Errno::EPROTO,
    }
}

/// `getdents64(2)`.
pub fn getdents(dir: RawFd, buffer: &mut [u8]) -> Result<usize> {
    call!(GETDENTS64, fd(dir), address_mut(buffer), buffer.len())
}

#[repr(C)]
struct Message {
    name: usize,
    name_length: u32,
    iov: usize,
    iov_count: usize,
    control: usize,
    control_length: usize,
    flags: i32,
}

/// The header of a control message, and room for the descriptors one may carry (`SCM_MAX_FD`).
#[repr(C, align(8))]
struct Control {
    length: usize,
    level: i32,
    kind: i32,
    fds: [RawFd; 254],
}

const CONTROL_HEADER: usize = 16;

/// Sends `bytes` and, with them, `file`.
pub fn send_fd(socket: RawFd, bytes: &[u8], file: RawFd) -> Result {
    let mut control = Control { length: CONTROL_HEADER + 4, level: 1, kind: 1, fds: [0; 254] };
    if let Some(first) = control.fds.first_mut() {
        *first = file;
    }
    let iov = [address(bytes), bytes.len()];
    let message = Message {
        name: 0,
        name_length: 0,
        iov: address(&iov),
        iov_count: 1,
        control: address(&control),
        control_length: CONTROL_HEADER + 8,
        flags: 0,
    };
    // MSG_NOSIGNAL: the other end may be gone.
    call!(SENDMSG, fd(socket), address(&message), 0x4000).map(drop)
}

/// Receives bytes and descriptors: how many of each.
pub fn receive_fds(socket: RawFd, bytes: &mut [u8], fds: &mut [RawFd; 254]) -> Result<(usize, usize)> {
    let mut control = Control { length: 0, level: 0, kind: 0, fds: [0; 254] };
    let iov = [address_mut(bytes), bytes.len()];
    let mut message = Message {
        name: 0,
        name_length: 0,
        iov: address(&iov),
        iov_count: 1,
        control: address_mut(&mut control),
        control_length: size_of::<Control>(),
        flags: 0,
    };
    // MSG_CMSG_CLOEXEC
    let count = loop {
        match call!(RECVMSG, fd(socket), address_mut(&mut message), 0x4000_0000) {
            Err(Errno::EINTR) => {}
            result => break result?,
        }
    };
    let mut received = 0;
    if message.control_length >= CONTROL_HEADER && control.level == 1 && control.kind == 1 {
        received = (control.length.saturating_sub(CONTROL_HEADER) / 4).min(fds.len());
        for (place, file) in fds.iter_mut().zip(control.fds).take(received) {
            *place = file;
        }
    }
    Ok((count, received))
}
