//! Bundles: a busybox root file system and a configuration that starts as `runc spec` writes it.

use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A bundle directory whose configuration is edited by JSON pointer and written by [`Bundle::write`].
#[derive(Clone, Debug)]
pub struct Bundle {
    directory: PathBuf,
    /// The configuration.
    pub config: Value,
}

struct Busybox {
    program: PathBuf,
    applets: Vec<String>,
}

fn busybox() -> &'static Busybox {
    static BUSYBOX: OnceLock<Busybox> = OnceLock::new();
    BUSYBOX.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap();
        let program = std::env::split_paths(&path)
            .map(|directory| directory.join("busybox"))
            .find(|path| path.is_file())
            .expect("busybox: install Debian's busybox-static");
        let list = std::process::Command::new(&program).arg("--list").output().unwrap();
        let applets = String::from_utf8(list.stdout).unwrap().lines().map(String::from).collect();
        Busybox { program, applets }
    })
}

/// Puts busybox and its applets into `root`. A copy, not a hard link: what a faulty runtime lets a container write must
/// not reach the machine's own busybox.
fn add_busybox(root: &Path) {
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::copy(&busybox().program, root.join("bin/busybox")).unwrap();
    for applet in busybox().applets.iter().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
}

/// A root without programs.
fn make_rootfs(root: &Path) {
    for directory in ["bin", "etc", "root", "tmp"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
        .unwrap();
    std::fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\n").unwrap();
}

impl Bundle {
    pub(crate) fn new(directory: PathBuf, cgroups_path: &str, marker: &str, with_cgroup_namespace: bool) -> Bundle {
        add_busybox(&directory.join("rootfs"));
        Bundle::bare(directory, cgroups_path, marker, with_cgroup_namespace)
    }

    pub(crate) fn bare(directory: PathBuf, cgroups_path: &str, marker: &str, with_cgroup_namespace: bool) -> Bundle {
        make_rootfs(&directory.join("rootfs"));
        let mut config = default_config();
        config["linux"]["cgroupsPath"] = json!(cgroups_path);
        config["process"]["env"].as_array_mut().unwrap().push(json!(marker));
        let bundle = Bundle { directory, config };
        match with_cgroup_namespace {
            true => bundle.add("/linux/namespaces", json!({"type": "cgroup"})),
            false => bundle,
        }
    }

    /// The bundle directory.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// A path inside the root file system, as the machine sees it.
    pub fn rootfs(&self, inside: &str) -> PathBuf {
        self.directory.join("rootfs").join(inside.trim_start_matches('/'))
    }

    /// Puts a file into the root file system.
    pub fn file(self, inside: &str, contents: &str, mode: u32) -> Bundle {
        use std::os::unix::fs::PermissionsExt;
        let path = self.rootfs(inside);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, contents).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Puts a symbolic link into the root file system.
    pub fn link(self, inside: &str, target: &str) -> Bundle {
        symlink(target, self.rootfs(inside)).unwrap();
        self
    }

    /// Sets the element at a JSON pointer, creating the objects on the way.
    ///
    /// # Panics
    /// When the pointer leads through something that is neither an object nor an existing array element.
    pub fn set(mut self, pointer: &str, value: impl Into<Value>) -> Bundle {
        let mut place = &mut self.config;
        for token in pointer.split('/').skip(1) {
            if place.is_null() {
                *place = json!({});
            }
            place = match place {
                Value::Array(items) => &mut items[token.parse::<usize>().unwrap()],
                Value::Object(members) => members.entry(token).or_insert(Value::Null),
                other => panic!("{pointer}: {other} has no elements"),
            };
        }
        *place = value.into();
        self
    }

    /// Appends to the array at a JSON pointer, creating it if need be.
    pub fn add(self, pointer: &str, value: impl Into<Value>) -> Bundle {
        let mut items = self.config.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
        items.push(value.into());
        self.set(pointer, Value::Array(items))
    }

    /// Removes the element at a JSON pointer.
    ///
    /// # Panics
    /// When its parent does not exist.
    pub fn remove(mut self, pointer: &str) -> Bundle {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match self.config.pointer_mut(parent).unwrap() {
            Value::Array(items) => drop(items.remove(name.parse().unwrap())),
            other => drop(other.as_object_mut().unwrap().remove(name)),
        }
        self
    }

    /// Sets the program and its arguments.
    pub fn args(self, args: &[&str]) -> Bundle {
        self.set("/process/args", args)
    }

    /// Runs a shell script.
    pub fn sh(self, script: &str) -> Bundle {
        self.args(&["sh", "-c", script])
    }

    /// Puts the probe, which a test finds at `env!("CARGO_BIN_EXE_probe")`, into the root file system, and runs it with these
    /// arguments. A hard link where it can be one: the file is large and the sandbox's own.
    pub fn probe(self, program: &Path, arguments: &[&str]) -> Bundle {
        let inside = self.rootfs("/bin/probe");
        if std::fs::hard_link(program, &inside).is_err() {
            std::fs::copy(program, &inside).unwrap();
        }
        let args: Vec<&str> = ["/bin/probe"].into_iter().chain(arguments.iter().copied()).collect();
        self.args(&args)
    }

    /// Adds a variable (`NAME=value`) to the program's environment.
    pub fn env(self, variable: &str) -> Bundle {
        self.add("/process/env", variable)
    }

    /// Adds a mount.
    pub fn mount(self, destination: &str, kind: &str, source: impl AsRef<Path>, options: &[&str]) -> Bundle {
        let source = source.as_ref().to_str().unwrap();
        let kind = if kind.is_empty() { json!({}) } else { json!({"type": kind}) };
        let mut mount = json!({"destination": destination, "source": source, "options": options});
        mount.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        self.add("/mounts", mount)
    }

    /// Binds `source` on `destination`.
    pub fn bind(self, source: impl AsRef<Path>, destination: &str, options: &[&str]) -> Bundle {
        let options: Vec<&str> = options.iter().copied().chain(["bind"]).collect();
        self.mount(destination, "bind", source, &options)
    }

    /// Lets the root file system be written to.
    pub fn writable(self) -> Bundle {
        self.set("/root/readonly", false)
    }

    /// Joins the namespace of that type at `path`, or makes a new one when `path` is empty.
    pub fn namespace(self, kind: &str, path: &str) -> Bundle {
        let bundle = self.without_namespace(kind);
        let namespace = if path.is_empty() { json!({"type": kind}) } else { json!({"type": kind, "path": path}) };
        bundle.add("/linux/namespaces", namespace)
    }

    /// Stays in the runtime's namespace of that type.
    pub fn without_namespace(mut self, kind: &str) -> Bundle {
        let namespaces = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != kind);
        self
    }

    /// The five capability sets, all with these names.
    pub fn capabilities(self, names: &[&str]) -> Bundle {
        ["bounding", "effective", "permitted", "inheritable", "ambient"]
            .into_iter()
            .fold(self, |bundle, set| bundle.set(&format!("/process/capabilities/{set}"), names))
    }

    /// A new user namespace in which root is the machine's `first` and 65536 ids are mapped. That root owns the directory of the
    /// root file system, so that mount points can be made in it.
    pub fn user_namespace(self, first: u32) -> Bundle {
        std::os::unix::fs::chown(self.rootfs("/"), Some(first), Some(first)).unwrap();
        let mappings = json!([{"containerID": 0, "hostID": first, "size": 65536}]);
        self.namespace("user", "").set("/linux/uidMappings", mappings.clone()).set("/linux/gidMappings", mappings)
    }

    /// Writes `config.json`.
    pub fn write(&self) {
        std::fs::write(self.directory.join("config.json"), serde_json::to_vec_pretty(&self.config).unwrap()).unwrap();
    }
}

/// What `runc spec` writes, with a program that needs no terminal.
fn default_config() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities, "ambient": capabilities
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "container",
        "mounts": default_mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

fn default_mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
    ])
}
