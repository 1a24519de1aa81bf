//! The containers on which faults are tried, and what their program says of itself.

use crate::operation::Operation;
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// What a container has beyond the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: what engines ask for by default.
    Plain,
    /// Hooks of all six kinds.
    Hooks,
    /// A user namespace.
    User,
    /// A terminal, whose other end goes over a console socket or to the terminal of the command.
    Terminal,
    /// A network device of the host's.
    Device,
    /// A seccomp agent that gets the listener, and a time namespace.
    Agent,
    /// A service manager that is told when the program is ready, by NOTIFY_SOCKET.
    Notify,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 7] =
        [Kind::Plain, Kind::Hooks, Kind::User, Kind::Terminal, Kind::Device, Kind::Agent, Kind::Notify];

    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Plain => "plain",
            Kind::Hooks => "hooks",
            Kind::User => "user",
            Kind::Terminal => "terminal",
            Kind::Device => "device",
            Kind::Agent => "agent",
            Kind::Notify => "notify",
        }
    }

    /// Whether the operation is another one with it than with a plain container.
    pub(crate) fn concerns(self, operation: Operation) -> bool {
        use Operation::{Create, Delete, DeleteForce, Exec, ExecDetached, Run, RunDetached, Start};
        match self {
            Kind::Plain | Kind::Hooks | Kind::User => true,
            Kind::Terminal => matches!(operation, Create | Run | RunDetached | Exec | ExecDetached),
            Kind::Device => matches!(operation, Create | Run | RunDetached | DeleteForce),
            Kind::Agent => matches!(operation, Create | Run | RunDetached | Exec | ExecDetached),
            Kind::Notify => matches!(operation, Create | Run | RunDetached | Start | Delete | DeleteForce),
        }
    }
}

/// The network device of [`Kind::Device`].
pub(crate) const DEVICE: &str = "cfault0";

/// What the program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// It says what it sees and waits.
    Speaks,
    /// It says what it sees and ends.
    Ends,
    /// It waits.
    Waits,
}

impl Program {
    /// All of them.
    pub(crate) const ALL: [Program; 3] = [Program::Speaks, Program::Ends, Program::Waits];

    /// The bundle's directory.
    pub(crate) fn directory(self) -> &'static str {
        match self {
            Program::Speaks => "speaks",
            Program::Ends => "ends",
            Program::Waits => "waits",
        }
    }
}

/// Tells everything that a fault which was passed over could have changed.
pub(crate) const SPEAK: &str = r#"
cat /proc/self/status /proc/self/mountinfo /proc/self/limits /proc/self/cgroup /proc/self/oom_score_adj \
    /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/self/environ \
    /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/hugetlb.2MB.max /proc/kcore /proc/timer_list /etc/hello 2>&1
ls -lnd /proc/self/ns/* /dev/* /proc/acpi/* /tmp /srv 2>&1
(: >/dev/kmsg) 2>&1
(: >/proc/sys/kernel/domainname) 2>&1
(: >/file) 2>&1
umask; pwd; set -- /proc/self/fd/*; echo "$@"
echo END"#;

/// Makes a bundle for each program below `directory`.
pub(crate) fn make(directory: &Path, kind: Kind, unified: bool, cgroup: &str, agent: &Path) {
    let rootfs = directory.join("rootfs");
    for inside in ["bin", "proc", "dev", "sys", "tmp", "etc", "srv"] {
        std::fs::create_dir_all(rootfs.join(inside)).unwrap();
    }
    std::fs::copy("/bin/busybox", rootfs.join("bin/busybox")).expect("busybox: install Debian's busybox-static");
    for applet in ["sh", "cat", "ls", "sleep", "true"] {
        symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
    }
    std::fs::write(rootfs.join("etc/hello"), "").unwrap();
    std::fs::write(directory.join("hello"), "hello\n").unwrap();
    for path in [directory, &rootfs] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    for program in Program::ALL {
        let mut config = config(directory, unified, cgroup, program);
        match kind {
            Kind::Plain => {}
            Kind::Hooks => config["hooks"] = hooks(directory),
            Kind::User => add_user_namespace(&mut config),
            Kind::Terminal => config["process"]["terminal"] = true.into(),
            Kind::Device => config["linux"]["netDevices"] = json!({ DEVICE: {} }),
            Kind::Agent => {
                // A call that the program does not make: the listener is handed over, and nothing waits for an answer.
                config["linux"]["seccomp"]["syscalls"][0]["action"] = "SCMP_ACT_NOTIFY".into();
                config["linux"]["seccomp"]["listenerPath"] = agent.display().to_string().into();
                // The other namespace for which the init forks.
                config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "time"}));
                config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 100, "nanosecs": 0}});
            }
            Kind::Notify => {}
        }
        let bundle = directory.join(program.directory());
        std::fs::create_dir(&bundle).unwrap();
        std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    }
}

fn config(directory: &Path, unified: bool, cgroup: &str, program: Program) -> Value {
    let args = match program {
        Program::Speaks => json!(["/bin/sh", "-c", format!("{SPEAK}\nexec sleep 600")]),
        Program::Ends => json!(["/bin/sh", "-c", SPEAK]),
        Program::Waits => json!(["/bin/sleep", "600"]),
    };
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let namespaces: Vec<Value> =
        ["pid", "network", "ipc", "uts", "mount", "cgroup"].iter().map(|kind| json!({ "type": kind })).collect();
    let mut resources = json!({"devices": [{"allow": false, "access": "rwm"}]});
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    // Those of a real machine are given to systemd's slices without it.
    if unified && !controllers.contains("pids") {
        resources["hugepageLimits"] = json!([{"pageSize": "2MB", "limit": 4194304}]);
    } else {
        resources["pids"] = json!({"limit": 100});
    }
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 1000, "gid": 1000, "additionalGids": [2000], "umask": 18},
            "args": args,
            "env": ["PATH=/bin", "TERM=xterm"],
            "cwd": "/srv",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities,
                "inheritable": capabilities, "ambient": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 512, "soft": 256}],
            "noNewPrivileges": true,
            "oomScoreAdj": 100,
        },
        "root": {"path": directory.join("rootfs"), "readonly": true},
        "hostname": "faults",
        "mounts": mounts(directory),
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": namespaces,
            "resources": resources,
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "500"},
            "devices": [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 438, "uid": 0, "gid": 0}],
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/timer_list"],
            "readonlyPaths": ["/proc/bus", "/proc/sys"],
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]},
        },
    })
}

fn mounts(directory: &Path) -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
        {"destination": "/etc/hello", "type": "bind", "source": directory.join("hello"), "options": ["rbind", "ro"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "tmpcopyup"]},
    ])
}

/// Each hook outside of the root leaves its name.
fn hooks(directory: &Path) -> Value {
    let log = directory.join("hooks.log");
    let hook = |name: &str| {
        let script = format!("echo {name} >>{}", log.display());
        json!([{"path": "/bin/busybox", "args": ["busybox", "sh", "-c", script]}])
    };
    json!({
        "prestart": hook("prestart"),
        "createRuntime": hook("createRuntime"),
        "createContainer": hook("createContainer"),
        "startContainer": [{"path": "/bin/busybox", "args": ["busybox", "true"]}],
        "poststart": hook("poststart"),
        "poststop": hook("poststop"),
    })
}

fn add_user_namespace(config: &mut Value) {
    let linux = config["linux"].as_object_mut().unwrap();
    linux["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    linux.insert("uidMappings".into(), mapping.clone());
    linux.insert("gidMappings".into(), mapping);
}

/// What a program said, without what differs from one container to the next. None until it has said all.
pub(crate) fn normalised(text: &str, host: &[String]) -> Option<Vec<String>> {
    const VARIES: [&str; 25] = [
        "Seccomp_filters:",
        "Pid:",
        "PPid:",
        "Ngid:",
        "Tgid:",
        "NStgid:",
        "NSpid:",
        "NSpgid:",
        "NSsid:",
        "Vm",
        "Rss",
        "voluntary_ctxt",
        "nonvoluntary_ctxt",
        "Cpus_",
        "Mems_",
        "HugetlbPages:",
        "SigQ:",
        "CoreDumping:",
        "Hugetlb",
        "FDSize",
        "THP_enabled",
        "untag_mask",
        "x86_Thread",
        "Speculation",
        "State:",
    ];
    if !text.lines().any(|line| line.trim_end() == "END") {
        return None;
    }
    // A terminal ends lines with both.
    let lines = text
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .filter(|line| !VARIES.iter().any(|start| line.starts_with(start)));
    Some(lines.map(|line| normalised_line(line, host)).collect())
}

fn normalised_line(line: &str, host: &[String]) -> String {
    if let Some((_, namespace)) = line.split_once(" /proc/self/ns/") {
        let whose = if host.iter().any(|hosts| namespace.ends_with(hosts.as_str())) { "the host's" } else { "own" };
        return format!("{} {whose}", namespace.split(" -> ").next().unwrap_or_default());
    }
    let words: Vec<&str> = line.split(' ').collect();
    let numeric = |word: &&str| word.parse::<u32>().is_ok();
    if words.len() > 6 && words[..2].iter().all(numeric) && words[2].contains(':') {
        // mountinfo: the ids of mounts, devices and peer groups are numbers of the moment.
        let unnumbered = words[3..].iter().map(|word| match word.split_once(':') {
            Some(("shared" | "master" | "propagate_from", _)) => word.split(':').next().unwrap_or_default(),
            _ => word,
        });
        let line = unnumbered.collect::<Vec<_>>().join(" ");
        // Where the container may not mount its cgroups it gets the host's, which are the same by another name.
        return match line.split_once(" - cgroup2 ") {
            Some((mount, name)) => {
                format!("{mount} - cgroup2 {}", name.split_once(' ').map_or("", |(_, options)| options))
            }
            None => line,
        };
    }
    // ls: without the time and the size.
    if line.starts_with(['c', 'd', 'l', '-', 'b']) && words.len() > 6 {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let name = columns.iter().position(|word| word.starts_with('/')).map_or(&[][..], |at| &columns[at..]);
        return [&columns[..4.min(columns.len())], name].concat().join(" ");
    }
    line.to_owned()
}

/// The namespaces of this process, as `readlink` tells them.
pub(crate) fn own_namespaces() -> Vec<String> {
    let links = std::fs::read_dir("/proc/self/ns").unwrap().flatten();
    links
        .filter_map(|link| std::fs::read_link(link.path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .collect()
}
