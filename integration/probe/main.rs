//! Tells, as JSON on standard output, what a process finds out about itself and its surroundings: the inside view of a
//! container. Tests compare what two runtimes make of one configuration by it.
//!
//! `probe [path=PATH | file=PATH]…`: `path` looks at a file (type, owner, rights, whether it can be written), `file` tells its text.
//!
//! It has a C `main` because Rust's own start-up changes what is to be told: it ignores SIGPIPE, handles SIGSEGV, and opens missing
//! standard streams.

#![no_main]

mod kernel;

use serde_json::{Map, Value, json};
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Where the C library begins.
#[allow(unsafe_code, reason = "the name that the C library looks for; no other function has it")]
#[unsafe(no_mangle)]
pub extern "C" fn main() -> i32 {
    let report = report();
    let mut out = std::io::stdout();
    match writeln!(out, "{report:#}").and_then(|()| out.flush()) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn report() -> Value {
    // First, so that nothing of ours is open.
    let descriptors = descriptors();
    let mut paths = Map::new();
    let mut files = Map::new();
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some(("path", path)) => drop(paths.insert(path.to_owned(), inspect(Path::new(path)))),
            Some(("file", path)) => drop(files.insert(path.to_owned(), text(path))),
            _ => {}
        }
    }
    json!({
        "descriptors": descriptors,
        "arguments": std::env::args_os().map(|text| lossy(&text)).collect::<Vec<_>>(),
        "environment": environment(),
        "working_directory": link("/proc/self/cwd"),
        "root": link("/proc/self/root"),
        "executable": link("/proc/self/exe"),
        "status": status(),
        "process": process(),
        "limits": limits(),
        "namespaces": namespaces(),
        "mounts": mounts(),
        "devices": tree(Path::new("/dev")),
        "cgroup": text("/proc/self/cgroup"),
        "user_map": squeezed("/proc/self/uid_map"),
        "group_map": squeezed("/proc/self/gid_map"),
        "setgroups": text("/proc/self/setgroups"),
        "time_offsets": squeezed("/proc/self/timens_offsets"),
        "oom_score_adj": text("/proc/self/oom_score_adj"),
        "core_filter": text("/proc/self/coredump_filter"),
        "label": text("/proc/self/attr/current"),
        "network": interfaces(),
        "loopback": loopback(),
        "kernel": kernel::facts(),
        "calls": kernel::calls(),
        "paths": paths,
        "files": files,
    })
}

fn lossy(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

fn failed(error: &std::io::Error) -> Value {
    json!(format!("errno {}", error.raw_os_error().unwrap_or(0)))
}

fn link(path: &str) -> Value {
    fs::read_link(path).map_or_else(|error| failed(&error), |target| json!(lossy(target.as_os_str())))
}

fn text(path: &str) -> Value {
    match fs::read(path) {
        Ok(bytes) => json!(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\0'])),
        Err(error) => failed(&error),
    }
}

/// A table without the blanks that align its columns.
fn squeezed(path: &str) -> Value {
    match text(path) {
        Value::String(text) => text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect(),
        other => other,
    }
}

/// As the kernel has put it there: in order, and with what is there twice.
fn environment() -> Value {
    let block = fs::read("/proc/self/environ").unwrap_or_default();
    block.split(|byte| *byte == 0).filter(|text| !text.is_empty()).map(|text| lossy(OsStr::from_bytes(text))).collect()
}

/// The open descriptors: what they are of, and their flags.
fn descriptors() -> Value {
    let numbers = match fs::read_dir("/proc/self/fd") {
        // The list itself is the last.
        Ok(entries) => entries.filter_map(Result::ok).map(|entry| lossy(&entry.file_name())).collect::<Vec<_>>(),
        Err(error) => return failed(&error),
    };
    let mut found = Map::new();
    for number in numbers {
        let Ok(target) = fs::read_link(format!("/proc/self/fd/{number}")) else { continue };
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default().trim();
        found.insert(number, json!({"of": lossy(target.as_os_str()), "flags": flags}));
    }
    Value::Object(found)
}

/// Lines of `/proc/self/status` that are about what was given to the process, not about how it fares.
const STATUS: &[&str] = &[
    "Name",
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "NStgid",
    "NSpgid",
    "NSsid",
    "Kthread",
    "Threads",
    "SigPnd",
    "ShdPnd",
    "SigBlk",
    "SigIgn",
    "SigCgt",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "Speculation_Store_Bypass",
    "SpeculationIndirectBranch",
    "Cpus_allowed_list",
    "Mems_allowed_list",
    "THP_enabled",
    "TracerPid",
    "CoreDumping",
];

fn status() -> Value {
    let status = match fs::read_to_string("/proc/self/status") {
        Ok(status) => status,
        Err(error) => return failed(&error),
    };
    let lines = status.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| STATUS.contains(name));
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    lines.map(|(name, value)| (name.to_owned(), json!(words(value)))).collect()
}

/// Parent, group, session, terminal, and nice value: the fields of `/proc/self/stat` behind the program's name.
fn process() -> Value {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or_default();
    json!({
        "id": std::process::id(), "parent": field(4), "group": field(5), "session": field(6), "terminal": field(7),
        "foreground": field(8), "nice": field(19), "real_time_priority": field(40), "policy": field(41),
    })
}

fn limits() -> Value {
    let limits = match fs::read_to_string("/proc/self/limits") {
        Ok(limits) => limits,
        Err(error) => return failed(&error),
    };
    let row = |line: &str| {
        let (name, rest) = line.split_at_checked(26)?;
        let mut values = rest.split_whitespace();
        Some((name.trim().to_owned(), json!([values.next()?, values.next()?])))
    };
    limits.lines().skip(1).filter_map(row).collect()
}

fn namespaces() -> Value {
    let names = ["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"];
    names.iter().map(|name| ((*name).to_owned(), link(&format!("/proc/self/ns/{name}")))).collect()
}

/// The mounts in the order of the kernel's list: where, of what, with which options and propagation.
fn mounts() -> Value {
    let table = match fs::read_to_string("/proc/self/mountinfo") {
        Ok(table) => table,
        Err(error) => return failed(&error),
    };
    let row = |line: &str| {
        let (mount, system) = line.split_once(" - ")?;
        let mount: Vec<&str> = mount.split(' ').collect();
        let system: Vec<&str> = system.split(' ').collect();
        let options = |text: &&str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        Some(json!({
            "at": mount.get(4)?, "root": mount.get(3)?, "options": options(mount.get(5)?),
            "propagation": mount.get(6..)?, "type": system.first()?, "source": system.get(1)?,
            "system_options": options(system.get(2)?),
        }))
    };
    table.lines().map(row).collect()
}

fn interfaces() -> Value {
    let table = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let names = table.lines().skip(2).filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}

/// Whether a packet can be sent to this machine itself.
fn loopback() -> bool {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0");
    socket.is_ok_and(|socket| socket.local_addr().is_ok_and(|address| socket.send_to(b"", address).is_ok()))
}

/// What is at a path, without following a link there.
fn inspect(path: &Path) -> Value {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    let kind = found.file_type();
    let mut about = json!({"mode": format!("{:o}", found.mode()), "user": found.uid(), "group": found.gid()});
    if kind.is_symlink() {
        about["target"] = link(path.to_str().unwrap_or_default());
        return about;
    }
    if kind.is_block_device() || kind.is_char_device() {
        about["device"] = json!(format!("{}:{}", libc::major(found.rdev()), libc::minor(found.rdev())));
    } else if kind.is_dir() {
        about["entries"] = fs::read_dir(path).map_or_else(|error| failed(&error), |entries| json!(entries.count()));
    }
    // Not a FIFO: it would wait for a reader. Not a device: to open some has effects.
    if kind.is_file() {
        let opened = fs::OpenOptions::new().append(true).open(path);
        about["append"] = opened.map_or_else(|error| failed(&error), |_| json!("opened"));
    } else if kind.is_dir() {
        about["create"] = creates(path);
    }
    about
}

/// Whether an entry can be made in a directory; it is taken away again.
fn creates(path: &Path) -> Value {
    let entry = path.join(".probe");
    match fs::create_dir(&entry) {
        Ok(()) => fs::remove_dir(&entry).map_or_else(|error| failed(&error), |()| json!("made")),
        Err(error) => failed(&error),
    }
}

/// Everything below a directory, by its path.
fn tree(top: &Path) -> Value {
    let mut found = Map::new();
    let mut rest = vec![top.to_owned()];
    while let Some(directory) = rest.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && found.len() < 500 {
                rest.push(path.clone());
            }
            found.insert(lossy(path.as_os_str()), inspect(&path));
        }
    }
    Value::Object(found)
}
