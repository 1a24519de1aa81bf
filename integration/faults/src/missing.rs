//! A kernel without some system calls: a seccomp filter around the runtime answers for them.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The calls that came late, or that a filter of an engine around the runtime may not know.
const CALLS: [(&str, libc::c_long); 25] = [
    ("openat2", libc::SYS_openat2),
    ("clone3", libc::SYS_clone3),
    ("close_range", libc::SYS_close_range),
    ("mount_setattr", libc::SYS_mount_setattr),
    ("open_tree", libc::SYS_open_tree),
    ("move_mount", libc::SYS_move_mount),
    ("fsopen", libc::SYS_fsopen),
    ("fsconfig", libc::SYS_fsconfig),
    ("fsmount", libc::SYS_fsmount),
    ("fspick", libc::SYS_fspick),
    ("pidfd_open", libc::SYS_pidfd_open),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("statx", libc::SYS_statx),
    ("memfd_create", libc::SYS_memfd_create),
    ("execveat", libc::SYS_execveat),
    ("fchmodat2", 452),
    ("faccessat2", libc::SYS_faccessat2),
    ("seccomp", libc::SYS_seccomp),
    ("keyctl", libc::SYS_keyctl),
    ("bpf", libc::SYS_bpf),
    ("setns", libc::SYS_setns),
    ("pivot_root", libc::SYS_pivot_root),
    ("renameat2", libc::SYS_renameat2),
    ("prlimit64", libc::SYS_prlimit64),
];

const KERNEL_MD: &str = include_str!("../../../docs/KERNEL.md");

/// Whether docs/KERNEL.md says that an ordinary container can be created without the call.
pub(crate) fn is_said_to_work(call: &str, errno: i32, unified: bool) -> bool {
    let words = match errno {
        libc::ENOSYS => "- When it does not exist (`ENOSYS`)",
        _ => "- When it is refused (`EPERM`)",
    };
    let line = KERNEL_MD.lines().find(|line| line.starts_with(words)).expect("KERNEL.md says what works");
    // For the rules of devices on version 2.
    line.contains(&format!("`{call}`")) && !(unified && call == "bpf")
}

/// Each call alone, and all at once.
pub(crate) fn sets() -> Vec<Vec<&'static str>> {
    let names: Vec<&str> = CALLS.iter().map(|(name, _)| *name).collect();
    names.iter().map(|name| vec![*name]).chain([names.clone()]).collect()
}

/// `command`, to which the calls are not there: they fail with `errno`. It is this program that puts the filter on.
pub(crate) fn without(calls: &[&str], errno: i32, command: &Command) -> Command {
    let mut around = Command::new(std::env::current_exe().expect("this program's path"));
    around.args(["--without", &calls.join(","), &errno.to_string()]);
    around.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            around.env(name, value);
        }
    }
    around
}

/// Puts the filter on this process and becomes the program; returns only if that fails.
pub(crate) fn become_program(words: &[String]) -> String {
    let [calls, errno, program, rest @ ..] = words else { return "--without CALLS ERRNO PROGRAM…".to_owned() };
    let Ok(errno) = errno.parse::<u32>() else { return format!("{errno} is no errno") };
    let numbers: Option<Vec<u32>> = calls.split(',').map(number).collect();
    let Some(numbers) = numbers else { return format!("{calls}: not known") };
    if let Err(error) = put_on(&filter(&numbers, errno)) {
        return format!("seccomp: {error}");
    }
    let error = Command::new(program).args(rest).exec();
    format!("{program}: {error}")
}

fn number(name: &str) -> Option<u32> {
    CALLS.iter().find(|(known, _)| *known == name).and_then(|(_, number)| u32::try_from(*number).ok())
}

/// seccomp(2): the number of the call is the first word that a filter sees.
fn filter(numbers: &[u32], errno: u32) -> Vec<libc::sock_filter> {
    let (load, jump, leave) = (
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        (libc::BPF_RET | libc::BPF_K) as u16,
    );
    let mut program = vec![libc::sock_filter { code: load, jt: 0, jf: 0, k: 0 }];
    for number in numbers {
        program.push(libc::sock_filter { code: jump, jt: 0, jf: 1, k: *number });
        program.push(libc::sock_filter { code: leave, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | errno });
    }
    program.push(libc::sock_filter { code: leave, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW });
    program
}

fn put_on(program: &[libc::sock_filter]) -> std::io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions through the pointer, which is to the live slice.
    match unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
