//! `floor ROOTFS ID`: the floor under the time of `RUNTIME run`.
//!
//! This is not a runtime. It states how long the *kernel's* part of running a container takes, so that a runtime can be
//! compared with what cannot be saved: it makes only the system calls that the default bundle of `runc spec` needs
//! (without a terminal, `/bin/true` as the program, and in a cgroup namespace of its own, as on a host with cgroup v2).
//! It reads no JSON, keeps no state, defends against nothing inside ROOTFS, and creates its cgroup as `/sys/fs/cgroup/ID`
//! of a host where that is a cgroup2 mount. It ends with the exit code of the program.
//!
//! What a runtime may also do for that bundle and the floor does not, since the bundle's meaning for the container's
//! program does not change by it, or runtimes differ: raising the loopback interface, a session keyring, the eBPF program
//! for `linux.resources.devices`, and the hand-off between `create` and `start`.
//!
//! The bundle asks for ambient capabilities without inheritable ones. The kernel refuses to raise those
//! (capabilities(7)), so the container has none, and the floor only clears the set.

#![allow(clippy::print_stderr, reason = "a program's message to its user")]

use libc::{MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC, MS_RELATIME, MS_REMOUNT};
use libc::{c_char, c_int, c_long, c_ulong};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::ptr::{null, null_mut};

/// A failed call: what was attempted, and the errno in words.
type Result<T = ()> = std::result::Result<T, String>;

/// One element of the bundle's `mounts`.
struct Mount {
    source: &'static CStr,
    /// Relative to the rootfs, which is the working directory while the mounts are made.
    target: &'static CStr,
    kind: &'static CStr,
    flags: c_ulong,
    data: Option<&'static CStr>,
    /// Whether the mount point may have to be made first.
    make: bool,
}

const NO_SUID_EXEC_DEV: c_ulong = MS_NOSUID | MS_NOEXEC | MS_NODEV;

/// `mounts`, in the bundle's order.
const MOUNTS: [Mount; 7] = [
    Mount { source: c"proc", target: c"proc", kind: c"proc", flags: 0, data: None, make: true },
    Mount {
        source: c"tmpfs",
        target: c"dev",
        kind: c"tmpfs",
        flags: MS_NOSUID | libc::MS_STRICTATIME,
        data: Some(c"mode=755,size=65536k"),
        make: true,
    },
    Mount {
        source: c"devpts",
        target: c"dev/pts",
        kind: c"devpts",
        flags: MS_NOSUID | MS_NOEXEC,
        data: Some(c"newinstance,ptmxmode=0666,mode=0620,gid=5"),
        make: true,
    },
    Mount {
        source: c"shm",
        target: c"dev/shm",
        kind: c"tmpfs",
        flags: NO_SUID_EXEC_DEV,
        data: Some(c"mode=1777,size=65536k"),
        make: true,
    },
    Mount {
        source: c"mqueue",
        target: c"dev/mqueue",
        kind: c"mqueue",
        flags: NO_SUID_EXEC_DEV,
        data: None,
        make: true,
    },
    Mount {
        source: c"sysfs",
        target: c"sys",
        kind: c"sysfs",
        flags: NO_SUID_EXEC_DEV | MS_RDONLY,
        data: None,
        make: true,
    },
    Mount {
        source: c"cgroup",
        target: c"sys/fs/cgroup",
        kind: c"cgroup2",
        flags: NO_SUID_EXEC_DEV | MS_RDONLY | MS_RELATIME,
        data: None,
        make: false,
    },
];

/// The devices that every container has: name, major, minor (config-linux.md, "Default Devices").
const DEVICES: [(&CStr, u32, u32); 6] = [
    (c"dev/null", 1, 3),
    (c"dev/zero", 1, 5),
    (c"dev/full", 1, 7),
    (c"dev/random", 1, 8),
    (c"dev/urandom", 1, 9),
    (c"dev/tty", 5, 0),
];

/// The symbolic links that every container has: target, name (runtime-linux.md, "Dev symbolic links").
const LINKS: [(&CStr, &CStr); 5] = [
    (c"pts/ptmx", c"dev/ptmx"),
    (c"/proc/self/fd", c"dev/fd"),
    (c"/proc/self/fd/0", c"dev/stdin"),
    (c"/proc/self/fd/1", c"dev/stdout"),
    (c"/proc/self/fd/2", c"dev/stderr"),
];

/// `linux.readonlyPaths`.
const READONLY: [&CStr; 5] = [c"/proc/bus", c"/proc/fs", c"/proc/irq", c"/proc/sys", c"/proc/sysrq-trigger"];

/// Those of `linux.maskedPaths` that are files.
const MASKED_FILES: [&CStr; 6] = [
    c"/proc/kcore",
    c"/proc/keys",
    c"/proc/latency_stats",
    c"/proc/timer_list",
    c"/proc/timer_stats",
    c"/proc/sched_debug",
];

/// Those of `linux.maskedPaths` that are directories.
const MASKED_DIRECTORIES: [&CStr; 4] = [c"/proc/acpi", c"/proc/asound", c"/sys/firmware", c"/proc/scsi"];

/// `CAP_KILL`, `CAP_NET_BIND_SERVICE` and `CAP_AUDIT_WRITE` (capabilities(7)): the container's three.
const CAPABILITIES: u32 = 1 << 5 | 1 << 10 | 1 << 29;

/// `_LINUX_CAPABILITY_VERSION_3`: two 32-bit words per set (capget(2)).
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// clone(2); libc's constant of this name does not fit its type and is 0.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `__user_cap_header_struct`.
#[repr(C)]
struct CapHeader {
    version: u32,
    pid: c_int,
}

/// `__user_cap_data_struct`.
#[repr(C)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(rootfs), Some(id), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: floor ROOTFS ID");
        return ExitCode::FAILURE;
    };
    let mut cgroup = b"/sys/fs/cgroup/".to_vec();
    cgroup.extend(id.into_vec());
    match (CString::new(rootfs.into_vec()), CString::new(cgroup)) {
        (Ok(rootfs), Ok(cgroup)) => run(&rootfs, &cgroup).unwrap_or_else(|message| {
            eprintln!("floor: {message}");
            ExitCode::FAILURE
        }),
        _ => ExitCode::FAILURE, // arguments of a process hold no NUL
    }
}

/// The parent: the cgroup's life around that of the container.
fn run(rootfs: &CStr, cgroup: &CStr) -> Result<ExitCode> {
    // SAFETY: `cgroup` is a NUL-terminated string that outlives the call.
    check("mkdir the cgroup", unsafe { libc::mkdir(cgroup.as_ptr(), 0o755) }.into())?;
    let ended = run_in_cgroup(rootfs, cgroup);
    // SAFETY: as above.
    check("rmdir the cgroup", unsafe { libc::rmdir(cgroup.as_ptr()) }.into())?;
    ended
}

fn run_in_cgroup(rootfs: &CStr, cgroup: &CStr) -> Result<ExitCode> {
    // SAFETY: `cgroup` is a NUL-terminated string that outlives the call.
    let fd = unsafe { libc::open(cgroup.as_ptr(), libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) };
    check("open the cgroup", fd.into())?;
    let pid = clone_into(fd)?;
    if pid == 0 {
        let Err(message) = become_container(rootfs);
        eprintln!("floor: {message}");
        // SAFETY: ends only this child, without running the exit handlers of the parent's copy.
        unsafe { libc::_exit(1) }
    }
    let mut status = 0;
    // SAFETY: `status` is a live, writable c_int.
    check("wait for the container", unsafe { libc::waitpid(pid, &raw mut status, 0) }.into())?;
    if libc::WIFEXITED(status) {
        return Ok(ExitCode::from(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX)));
    }
    Err(format!("the container's program was ended by signal {}", libc::WTERMSIG(status)))
}

/// Clones this process into new namespaces and into the cgroup of `fd`; returns 0 in the child. The cgroup namespace
/// cannot be among those: its root would be the cgroup that the parent is in.
fn clone_into(fd: c_int) -> Result<c_int> {
    let namespaces =
        libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNS;
    // SAFETY: clone_args is a struct of integers, for which all zeroes is a value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = namespaces as u64 | CLONE_INTO_CGROUP;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.cgroup = fd as u64;
    // SAFETY: `arguments` is live and as long as the size says. Without CLONE_VM the child has a copy of this memory, and
    // this process has one thread, so no lock can be held by a thread that the child does not have.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    check("clone3", pid)?;
    c_int::try_from(pid).map_err(|_| format!("clone3 returned {pid}"))
}

/// The child, up to and including the exec.
fn become_container(rootfs: &CStr) -> Result<std::convert::Infallible> {
    // SAFETY: takes no pointer; this process has one thread.
    check("unshare the cgroup namespace", unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }.into())?;
    mount(c"none", c"/", None, MS_REC | MS_PRIVATE, None)?;
    mount(rootfs, rootfs, None, MS_BIND | MS_REC, None)?;
    chdir(rootfs)?;
    populate()?;
    enter_root()?;
    let hostname = c"runc";
    // SAFETY: `hostname` is readable for the length given.
    check("sethostname", unsafe { libc::sethostname(hostname.as_ptr(), hostname.count_bytes()) }.into())?;
    hide()?;
    confine()?;
    let program = c"/bin/true".as_ptr();
    let arguments = [program, null()];
    let path = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let environment: [*const c_char; 3] = [path.as_ptr(), c"TERM=xterm".as_ptr(), null()];
    // SAFETY: both arrays are live, hold NUL-terminated strings, and end in a null pointer.
    unsafe { libc::execve(program, arguments.as_ptr(), environment.as_ptr()) };
    Err(failure("execve /bin/true"))
}

/// The mounts, devices and links, with the rootfs as working directory.
fn populate() -> Result {
    for Mount { source, target, kind, flags, data, make } in &MOUNTS {
        if *make {
            // SAFETY: `target` is a NUL-terminated static string.
            tolerate(libc::EEXIST, "mkdir", target, unsafe { libc::mkdir(target.as_ptr(), 0o755) }.into())?;
        }
        mount(source, target, Some(kind), *flags, *data)?;
    }
    // SAFETY: umask takes no pointer and cannot fail.
    let umask = unsafe { libc::umask(0) };
    for (name, major, minor) in DEVICES {
        // SAFETY: `name` is a NUL-terminated static string.
        let made = unsafe { libc::mknod(name.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(major, minor)) };
        check("mknod", made.into())?;
    }
    // SAFETY: as above.
    unsafe { libc::umask(umask) };
    for (target, name) in LINKS {
        // SAFETY: both are NUL-terminated static strings.
        check("symlink", unsafe { libc::symlink(target.as_ptr(), name.as_ptr()) }.into())?;
    }
    Ok(())
}

/// Makes the working directory the root, read-only, and lets go of the old one.
fn enter_root() -> Result {
    let here = c".".as_ptr();
    // SAFETY: `here` is a NUL-terminated static string.
    check("pivot_root", unsafe { libc::syscall(libc::SYS_pivot_root, here, here) })?;
    // SAFETY: as above.
    check("umount the old root", unsafe { libc::umount2(here, libc::MNT_DETACH) }.into())?;
    chdir(c"/")?;
    mount(c"none", c"/", None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)
}

/// `readonlyPaths` and `maskedPaths`; those that this kernel does not have are left out.
fn hide() -> Result {
    for path in READONLY {
        if tolerate(libc::ENOENT, "bind", path, try_mount(path, path, None, MS_BIND | MS_REC, None))? {
            mount(c"none", path, None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)?;
        }
    }
    for path in MASKED_FILES {
        tolerate(libc::ENOENT, "mask", path, try_mount(c"/dev/null", path, None, MS_BIND, None))?;
    }
    for path in MASKED_DIRECTORIES {
        tolerate(libc::ENOENT, "mask", path, try_mount(c"tmpfs", path, Some(c"tmpfs"), MS_RDONLY, None))?;
    }
    Ok(())
}

/// Resource limit, ids, capabilities and no_new_privs.
fn confine() -> Result {
    let limit = libc::rlimit { rlim_cur: 1024, rlim_max: 1024 };
    // SAFETY: `limit` is a live, readable rlimit.
    check("setrlimit", unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }.into())?;
    // SAFETY: a list of no groups may be null; the other calls take integers. Raw calls suffice with one thread.
    unsafe {
        check("setgroups", libc::syscall(libc::SYS_setgroups, 0, null_mut::<libc::gid_t>()))?;
        check("setresgid", libc::syscall(libc::SYS_setresgid, 0, 0, 0))?;
        check("setresuid", libc::syscall(libc::SYS_setresuid, 0, 0, 0))?;
    }
    for capability in 0..u32::BITS * 2 {
        if CAPABILITIES.checked_shr(capability).unwrap_or(0) & 1 == 1 {
            continue;
        }
        // SAFETY: this option takes an integer.
        let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, c_ulong::from(capability), 0, 0, 0) };
        if !tolerate(libc::EINVAL, "drop", c"a capability of the bounding set", dropped.into())? {
            break; // past the last capability of this kernel
        }
    }
    // SAFETY: these options take integers.
    unsafe {
        let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong;
        check("clear the ambient set", libc::prctl(libc::PR_CAP_AMBIENT, clear, 0, 0, 0).into())?;
        check("no_new_privs", libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as c_ulong, 0, 0, 0).into())?;
    }
    let header = CapHeader { version: CAPABILITY_VERSION, pid: 0 };
    let sets = [
        CapData { effective: CAPABILITIES, permitted: CAPABILITIES, inheritable: 0 },
        CapData { effective: 0, permitted: 0, inheritable: 0 },
    ];
    // SAFETY: the header is live, and version 3 reads two data structs, which `sets` holds.
    check("capset", unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) }).map(drop)
}

fn chdir(path: &CStr) -> Result {
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    check("chdir", unsafe { libc::chdir(path.as_ptr()) }.into()).map(drop)
}

fn mount(source: &CStr, target: &CStr, kind: Option<&CStr>, flags: c_ulong, data: Option<&CStr>) -> Result {
    if try_mount(source, target, kind, flags, data) == 0 {
        return Ok(());
    }
    Err(failure(&format!("mount {} on {}", source.to_string_lossy(), target.to_string_lossy())))
}

fn try_mount(source: &CStr, target: &CStr, kind: Option<&CStr>, flags: c_ulong, data: Option<&CStr>) -> c_long {
    let kind = kind.map_or(null(), CStr::as_ptr);
    let data = data.map_or(null(), CStr::as_ptr);
    // SAFETY: every pointer is null, which mount(2) takes for these flags, or a NUL-terminated string that outlives the call.
    unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind, flags, data.cast()) }.into()
}

/// Turns the -1 of a system call into its message.
fn check(what: &str, returned: c_long) -> Result<c_long> {
    if returned < 0 { Err(failure(what)) } else { Ok(returned) }
}

/// As [`check`], but false for the one errno that is no failure here.
fn tolerate(errno: c_int, what: &str, path: &CStr, returned: c_long) -> Result<bool> {
    if returned >= 0 {
        return Ok(true);
    }
    if std::io::Error::last_os_error().raw_os_error() == Some(errno) {
        return Ok(false);
    }
    Err(failure(&format!("{what} {}", path.to_string_lossy())))
}

fn failure(what: &str) -> String {
    format!("{what}: {}", std::io::Error::last_os_error())
}
