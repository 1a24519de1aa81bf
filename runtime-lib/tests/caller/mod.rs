//! The program that embeds the library, and a place for its containers.

use libcorten::{Bundle, Container, ContainerBuilder, Force};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// The tests look at properties of the whole process: one at a time.
pub(crate) fn alone() -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: containers with cgroups and devices need root");
        return None;
    }
    Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A bundle directory, the state directory beside it, and a word in all names of this test.
pub(crate) struct Place {
    dir: TempDir,
    word: String,
}

impl Place {
    pub(crate) fn new(name: &str) -> Place {
        let dir = TempDir::new().unwrap();
        let root = dir.path().join("rootfs");
        for directory in ["bin", "proc", "dev", "sys", "tmp"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        let path = std::env::var_os("PATH").unwrap();
        let mut programs = std::env::split_paths(&path).map(|directory| directory.join("busybox"));
        let busybox = programs.find(|path| path.is_file()).expect("busybox in PATH: install Debian's busybox-static");
        std::fs::copy(busybox, root.join("bin/busybox")).unwrap();
        for applet in ["sh", "cat", "ls", "true", "sleep"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        Place { dir, word: format!("corten-embed-{}-{name}", std::process::id()) }
    }

    /// The bundle directory.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(crate) fn state_root(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn id(&self, number: usize) -> String {
        format!("{}-{number}", self.word)
    }

    /// The configuration of `runc spec` with a shell script as its program.
    pub(crate) fn config(&self, id: &str, script: &str) -> Value {
        let mut config = serde_json::to_value(libcorten::spec::example(None, false)).unwrap();
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["sh", "-c", script]);
        config["linux"]["cgroupsPath"] = json!(format!("/{id}"));
        config
    }

    pub(crate) fn bundle(&self, config: Value) -> Bundle {
        let spec: Spec = serde_json::from_value(config).unwrap();
        Bundle::with_spec(self.dir.path(), spec).unwrap()
    }

    pub(crate) fn builder(&self, id: &str, config: Value) -> ContainerBuilder {
        Container::builder(id).unwrap().state_root(self.state_root()).loaded_bundle(self.bundle(config))
    }

    pub(crate) fn assert_nothing_left(&self) {
        if let Ok(entries) = std::fs::read_dir(self.state_root()) {
            let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            assert!(names.is_empty(), "state: {names:?}");
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let directory = self.dir.path().to_str().unwrap();
        assert!(!mounts.contains(directory) && !mounts.contains(&self.word), "{mounts}");
        let mut directories = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                assert!(!name.to_string_lossy().contains(&self.word), "cgroup {:?}", entry.path());
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    directories.push(entry.path());
                }
            }
        }
    }
}

/// A test that fails must not leave a container behind.
impl Drop for Place {
    fn drop(&mut self) {
        for state in Container::list(self.state_root()).map(|(states, _)| states).unwrap_or_default() {
            let _ =
                Container::load(self.state_root(), &state.id).and_then(|mut container| container.delete(Force::Yes));
        }
    }
}

pub(crate) fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    (reader.into(), writer)
}

pub(crate) fn read_all(mut reader: File) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

/// What the library must not change, in text.
#[derive(Debug, PartialEq)]
pub(crate) struct Caller(BTreeMap<String, String>);

impl Caller {
    pub(crate) fn now() -> Caller {
        use nix::sys::prctl;
        let mut facts = BTreeMap::new();
        let mut fact = |name: &str, value: String| facts.insert(name.to_owned(), value);
        let read = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap();
        fact("cwd", format!("{:?}", std::env::current_dir().unwrap()));
        fact("dumpable", prctl::get_dumpable().unwrap().to_string());
        fact("subreaper", prctl::get_child_subreaper().unwrap().to_string());
        for file in ["oom_score_adj", "limits", "cgroup", "uid_map", "timerslack_ns", "personality"] {
            fact(file, read(file));
        }
        let stable = ["Umask", "Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "SigIgn", "SigCgt", "Cpus_"];
        let status = read("status");
        let status = status.lines().filter(|line| stable.iter().any(|name| line.starts_with(name)));
        fact("status", status.collect::<Vec<_>>().join("\n"));
        let environment: BTreeMap<_, _> = std::env::vars_os().filter(|(name, _)| name != HAMMERED).collect();
        fact("environment", format!("{environment:?}"));
        fact("namespaces", format!("{:?}", links("/proc/self/ns")));
        fact("descriptors", format!("{:#?}", descriptors()));
        fact("dispositions", format!("{:?}", dispositions()));
        fact("session keyring", session_keyring().to_string());
        Caller(facts)
    }

    pub(crate) fn assert_unchanged(&self) {
        let now = Caller::now();
        for (name, before) in &self.0 {
            assert_eq!(before, &now.0[name], "{name} has changed");
        }
        // No child at all is left, not even a zombie.
        use nix::sys::wait::{Id, WaitPidFlag, waitid};
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        assert_eq!(waitid(Id::All, flags), Err(nix::errno::Errno::ECHILD), "a child is left");
    }
}

pub(crate) fn links(directory: &str) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    // The descriptor of the listing itself is gone by the time it is read.
    let read = entries.filter_map(|entry| Some((entry.file_name(), std::fs::read_link(entry.path()).ok()?)));
    read.map(|(name, target)| (name.into_string().unwrap(), target.to_string_lossy().into_owned())).collect()
}

/// Number, file and flags of every descriptor.
pub(crate) fn descriptors() -> Vec<String> {
    let own = format!("/proc/{}/fd", std::process::id());
    let described = links("/proc/self/fd").into_iter().filter(|(_, target)| *target != own).map(|(number, target)| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find(|line| line.starts_with("flags:")).unwrap_or_default().to_owned();
        format!("{number} {target} {flags}")
    });
    described.collect()
}

pub(crate) fn dispositions() -> Vec<(i32, usize, i32)> {
    let read = |signal| {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: with a null new action sigaction only writes the old one, through a pointer to a live local.
        (unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) } == 0).then(|| {
            // SAFETY: plain data, written by the successful call above.
            let action = unsafe { action.assume_init() };
            (signal, action.sa_sigaction, action.sa_flags)
        })
    };
    (1..=64).filter_map(read).collect()
}

pub(crate) fn session_keyring() -> i64 {
    const KEYCTL_GET_KEYRING_ID: libc::c_long = 0;
    const KEY_SPEC_SESSION_KEYRING: libc::c_long = -3;
    // SAFETY: this operation takes numbers only and makes nothing.
    unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0) }
}

/// The variable that is written and removed all the time.
pub(crate) const HAMMERED: &str = "CORTEN_EMBED_HAMMERED";
