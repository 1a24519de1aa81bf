//! What only a system call tells: [`facts`] asks and changes nothing, [`calls`] tries calls that a filter may refuse.

#![allow(unsafe_code, reason = "the standard library has no words for these")]

use serde_json::{Value, json};
use std::ffi::{CStr, CString};
use std::io::Error;
use std::os::raw::{c_long, c_ulong};

/// `keyctl(2)`, which libc has no names for.
const KEYCTL_DESCRIBE: c_ulong = 6;
const KEY_SPEC_SESSION_KEYRING: c_ulong = -3_i64 as c_ulong;
const IOPRIO_WHO_PROCESS: c_ulong = 1;

fn call(number: c_long, arguments: [c_ulong; 5]) -> Result<c_long, i32> {
    let [a, b, c, d, e] = arguments;
    // SAFETY: every pointer among the arguments is to a buffer that its caller owns, with its length beside it or fixed by
    // the call, and lives until the call has returned; the numbers are those of the functions below.
    let result = unsafe { libc::syscall(number, a, b, c, d, e) };
    if result < 0 { Err(Error::last_os_error().raw_os_error().unwrap_or(0)) } else { Ok(result) }
}

fn told(result: Result<c_long, i32>) -> Value {
    match result {
        Ok(number) => json!(number),
        Err(errno) => json!(format!("errno {errno}")),
    }
}

fn prctl(option: i32) -> Value {
    told(call(libc::SYS_prctl, [option as c_ulong, 0, 0, 0, 0]))
}

/// What `prctl(2)` writes through a pointer.
fn prctl_written(option: i32) -> Value {
    let mut number: i32 = 0;
    let result = call(libc::SYS_prctl, [option as c_ulong, (&raw mut number) as c_ulong, 0, 0, 0]);
    told(result.map(|_| c_long::from(number)))
}

/// The type, owner, rights and name of the session keyring.
fn session_keyring() -> Value {
    let mut text = [0_u8; 256];
    let arguments = [KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, text.as_mut_ptr() as c_ulong, text.len() as c_ulong, 0];
    match call(libc::SYS_keyctl, arguments) {
        Ok(_) => json!(CStr::from_bytes_until_nul(&text).map(|text| text.to_string_lossy()).unwrap_or_default()),
        error => told(error),
    }
}

/// `struct sched_attr` as it was first.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

fn scheduler() -> Value {
    let mut found = Attributes::default();
    let size = std::mem::size_of::<Attributes>() as c_ulong;
    match call(libc::SYS_sched_getattr, [0, (&raw mut found) as c_ulong, size, 0, 0]) {
        Ok(_) => json!({
            "policy": found.policy, "flags": found.flags, "nice": found.nice, "priority": found.priority,
            // The kernel tells its time slice here unless the policy has a runtime of its own.
            "runtime": if found.policy == 6 { found.runtime } else { 0 },
            "deadline": found.deadline, "period": found.period,
        }),
        error => told(error),
    }
}

fn memory_policy() -> Value {
    let (mut mode, mut nodes) = (0_i32, [0 as c_ulong; 16]);
    let bits = (std::mem::size_of_val(&nodes) * 8) as c_ulong;
    let arguments = [(&raw mut mode) as c_ulong, nodes.as_mut_ptr() as c_ulong, bits, 0, 0];
    match call(libc::SYS_get_mempolicy, arguments) {
        Ok(_) => json!({"mode": mode, "nodes": nodes[0]}),
        error => told(error),
    }
}

/// Names of the host and the domain, as `uname(2)` has them.
fn names() -> Value {
    // SAFETY: a utsname is arrays of bytes, for which zero is a value.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a utsname of ours.
    unsafe { libc::uname(&raw mut names) };
    let text = |bytes: &[libc::c_char]| {
        let bytes: Vec<u8> = bytes.iter().map(|&byte| byte as u8).take_while(|byte| *byte != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    json!({"host": text(&names.nodename), "domain": text(&names.domainname)})
}

/// An entry of the auxiliary vector.
fn auxiliary(kind: c_ulong) -> c_ulong {
    // SAFETY: getauxval reads what the kernel has given to this process.
    unsafe { libc::getauxval(kind) }
}

/// The name under which the kernel executed the program.
fn executed_as() -> String {
    let place = auxiliary(libc::AT_EXECFN) as *const libc::c_char;
    if place.is_null() {
        return String::new();
    }
    // SAFETY: AT_EXECFN is a string on the stack of the process, which nobody has changed.
    unsafe { CStr::from_ptr(place) }.to_string_lossy().into_owned()
}

/// The size and the settings of the terminal that standard input is, and its name.
fn terminal() -> Value {
    let (mut size, mut settings) = ([0_u16; 4], [0_u32; 16]);
    let ask = |request: c_ulong, place: c_ulong| call(libc::SYS_ioctl, [0, request, place, 0, 0]);
    if let Err(errno) = ask(libc::TCGETS, settings.as_mut_ptr() as c_ulong) {
        return told(Err(errno));
    }
    if let Err(errno) = ask(libc::TIOCGWINSZ, size.as_mut_ptr() as c_ulong) {
        return told(Err(errno));
    }
    let name = std::fs::read_link("/proc/self/fd/0").map(|name| name.to_string_lossy().into_owned());
    // Flags for input, output, control, local; behind them are the control characters.
    let flags: Vec<String> = settings.iter().take(4).map(|flags| format!("{flags:o}")).collect();
    json!({"rows_and_columns": size, "flags": flags, "name": name.unwrap_or_default()})
}

/// Everything of this module that is only looked at.
pub(crate) fn facts() -> Value {
    json!({
        "session_keyring": session_keyring(),
        "scheduler": scheduler(),
        "io_priority": told(call(libc::SYS_ioprio_get, [IOPRIO_WHO_PROCESS, 0, 0, 0, 0])),
        "memory_policy": memory_policy(),
        "personality": told(call(libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0])),
        "names": names(),
        "terminal": terminal(),
        "executed_as": executed_as(),
        "secure": auxiliary(libc::AT_SECURE),
        "dumpable": prctl(libc::PR_GET_DUMPABLE),
        "securebits": prctl(libc::PR_GET_SECUREBITS),
        "keep_capabilities": prctl(libc::PR_GET_KEEPCAPS),
        "timer_slack": prctl(libc::PR_GET_TIMERSLACK),
        "no_huge_pages": prctl(libc::PR_GET_THP_DISABLE),
        "child_subreaper": prctl_written(libc::PR_GET_CHILD_SUBREAPER),
        "parent_death_signal": prctl_written(libc::PR_GET_PDEATHSIG),
    })
}

/// What the kernel answers to calls that a filter may refuse, none of which can have an effect: their arguments are wrong.
pub(crate) fn calls() -> Value {
    let nowhere = CString::default();
    let path = nowhere.as_ptr() as c_ulong;
    let tries: &[(&str, c_long, [c_ulong; 5])] = &[
        // The older architectures' alone, as is unlink.
        #[cfg(target_arch = "x86_64")]
        ("mkdir", libc::SYS_mkdir, [path, 0, 0, 0, 0]),
        ("mkdirat", libc::SYS_mkdirat, [libc::AT_FDCWD as c_ulong, path, 0, 0, 0]),
        ("chroot", libc::SYS_chroot, [path, 0, 0, 0, 0]),
        #[cfg(target_arch = "x86_64")]
        ("unlink", libc::SYS_unlink, [path, 0, 0, 0, 0]),
        ("getpgid", libc::SYS_getpgid, [0x7fff_fff0, 0, 0, 0, 0]),
        ("kcmp", libc::SYS_kcmp, [0, 0, 99, 0, 0]),
        ("inotify_init1", libc::SYS_inotify_init1, [c_ulong::MAX, 0, 0, 0, 0]),
        ("lseek", libc::SYS_lseek, [0x7fff_fff0, 1, 99, 0, 0]),
    ];
    tries.iter().map(|&(name, number, arguments)| (name.to_owned(), told(call(number, arguments)))).collect()
}
