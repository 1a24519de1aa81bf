//! What this machine offers to containers, looked at without changing anything. Nothing here is on the way of a start.

mod clients;

use libcorten::host::{Hierarchy, Host, HostCgroups, kernel_calls};
use serde::Serialize;
use std::path::Path;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    /// It works.
    Good,
    /// Some configurations will be refused.
    Limited,
    /// No container can run.
    Missing,
}

impl Health {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Health::Good => "good",
            Health::Limited => "limited",
            Health::Missing => "missing",
        }
    }
}

/// One fact.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) area: &'static str,
    pub(crate) subject: String,
    pub(crate) health: Health,
    /// What was found; for what is not good also what that means.
    pub(crate) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

impl Finding {
    fn good(area: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Finding {
        Finding { area, subject: subject.into(), health: Health::Good, detail: detail.into(), fix: None }
    }

    fn limited(area: &'static str, subject: impl Into<String>, detail: impl Into<String>, fix: &str) -> Finding {
        Finding { health: Health::Limited, fix: Some(fix.to_owned()), ..Finding::good(area, subject, detail) }
    }

    fn missing(area: &'static str, subject: impl Into<String>, detail: impl Into<String>, fix: &str) -> Finding {
        Finding { health: Health::Missing, ..Finding::limited(area, subject, detail, fix) }
    }
}

/// Looks at everything.
pub(crate) fn examine(state_root: &Path) -> Vec<Finding> {
    let mut findings = kernel();
    findings.extend(namespaces());
    findings.extend(cgroups());
    findings.extend(security());
    findings.extend(caller(state_root));
    findings.extend(clients::examine());
    findings
}

/// The first line of a file of /proc or /sys.
fn line(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.lines().next().unwrap_or_default().to_owned())
}

fn kernel() -> Vec<Finding> {
    let release = line("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".into());
    let mut findings = vec![Finding::good("kernel", "release", format!("Linux {release}"))];
    for call in kernel_calls() {
        let subject = format!("{}(2)", call.name);
        findings.push(match call.present {
            true => Finding::good("kernel", subject, call.purpose),
            // The one that has a fallback.
            false if call.name == "mount_setattr" => Finding::limited(
                "kernel",
                subject,
                "not there; attributes of whole mount trees (rro) and id-mapped mounts fail",
                &format!("Linux {} or newer", call.since),
            ),
            false => Finding::missing(
                "kernel",
                subject,
                format!("not there; needed for {}", call.purpose),
                &format!("Linux {} or newer, and no seccomp filter that hides the call", call.since),
            ),
        });
    }
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let known = |name: &str| filesystems.lines().any(|line| line.split_whitespace().next_back() == Some(name));
    // mount(2) has the kernel load the module of a file system that it does not know yet.
    let modules = std::fs::read_to_string(format!("/lib/modules/{release}/modules.dep")).unwrap_or_default();
    let loadable = |name: &str| {
        let file =
            |line: &str| line.split_once(':').map(|(path, _)| path.rsplit('/').next().unwrap_or(path).to_owned());
        modules.lines().filter_map(file).any(|file| file.split_once(".ko").is_some_and(|(module, _)| module == name))
    };
    for name in ["overlay", "tmpfs", "devpts", "mqueue"] {
        findings.push(if known(name) {
            Finding::good("kernel", name, "the file system is known")
        } else if loadable(name) {
            Finding::good("kernel", name, "a module that the kernel loads with the first mount")
        } else {
            Finding::limited(
                "kernel",
                name,
                "mounts of this type will fail",
                "a kernel with the file system or its module",
            )
        });
    }
    findings
}

fn namespaces() -> Vec<Finding> {
    let kinds = ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time"];
    let kind = |name: &&str| {
        let config = name.to_uppercase();
        if std::fs::symlink_metadata(format!("/proc/self/ns/{name}")).is_err() {
            let fix = format!("a kernel with CONFIG_{config}_NS");
            return Finding::limited(
                "namespaces",
                *name,
                "the kernel has none; configurations that ask for one fail",
                &fix,
            );
        }
        match line(&format!("/proc/sys/user/max_{name}_namespaces")).as_deref() {
            Some("0") => {
                let fix = format!("sysctl -w user.max_{name}_namespaces=10000");
                Finding::limited("namespaces", *name, "the limit is 0: none can be made", &fix)
            }
            limit => Finding::good("namespaces", *name, format!("at most {}", limit.unwrap_or("unlimited"))),
        }
    };
    let mut findings: Vec<Finding> = kinds.iter().map(kind).collect();
    let switches = [
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ];
    for (path, closed, fix) in switches {
        if line(path).as_deref() == Some(closed) {
            let detail = format!("{path} is {closed}: ordinary users cannot run containers");
            findings.push(Finding::limited("namespaces", "rootless", detail, &format!("sysctl -w {fix}")));
        }
    }
    findings
}

fn cgroups() -> Vec<Finding> {
    let host = match Host::probe() {
        Ok(host) => host.cgroups,
        Err(error) => {
            let fix = "mount -t cgroup2 none /sys/fs/cgroup";
            return vec![Finding::missing("cgroups", "hierarchies", format!("{error:#}"), fix)];
        }
    };
    let arrangement = match (host.v1.is_empty(), &host.v2) {
        (true, _) => "version 2",
        (false, Some(_)) => "hybrid: version 1, with version 2 beside it",
        (false, None) => "version 1",
    };
    let mut findings = vec![Finding::good("cgroups", "arrangement", arrangement)];
    let available = controllers(&host);
    for (name, element) in [
        ("memory", "memory"),
        ("cpu", "cpu"),
        ("cpuset", "cpu.cpus"),
        ("pids", "pids"),
        (if host.v1.is_empty() { "io" } else { "blkio" }, "blockIO"),
        ("hugetlb", "hugepageLimits"),
    ] {
        findings.push(match available.iter().any(|controller| controller == name) {
            true => Finding::good("cgroups", name, "the controller is there"),
            false => Finding::limited(
                "cgroups",
                name,
                format!("no such controller: linux.resources.{element} will be refused"),
                "a kernel with the controller; cgroup_enable= on its command line; on version 2 delegation by systemd (Delegate=yes)",
            ),
        });
    }
    if !host.v1.is_empty() {
        findings.extend(of_version_1(&available, host.v2.is_some()));
    }
    findings.push(systemd());
    if !nix::unistd::geteuid().is_root() {
        findings.push(delegation(&host));
    }
    findings
}

/// What version 1 has controllers for, and version 2 always.
fn of_version_1(available: &[String], beside_version_2: bool) -> [Finding; 2] {
    let is_there = |name: &str| available.iter().any(|controller| controller == name);
    let fix = "a kernel with the controller, mounted below /sys/fs/cgroup";
    let devices = match (is_there("devices"), nix::unistd::geteuid().is_root()) {
        (true, _) => Finding::good("cgroups", "devices", "the controller is there"),
        (false, true) => {
            let detail = "no such controller: nothing keeps root's containers from devices, so that all are refused";
            Finding::missing("cgroups", "devices", detail, fix)
        }
        (false, false) => Finding::good("cgroups", "devices", "not needed: an ordinary user cannot make device nodes"),
    };
    let freezer = match (is_there("freezer"), beside_version_2) {
        (true, _) => Finding::good("cgroups", "freezer", "the controller is there"),
        (false, true) => Finding::good("cgroups", "freezer", "that of version 2"),
        (false, false) => {
            let detail = "no such controller: containers cannot be paused";
            Finding::limited("cgroups", "freezer", detail, fix)
        }
    };
    [devices, freezer]
}

/// Whether systemd can be asked for a cgroup: by root its system manager, by an ordinary user the user's own.
fn systemd() -> Finding {
    let (area, subject) = ("cgroups", "systemd");
    if !Path::new("/run/systemd/system").is_dir() {
        let fix = "cgroupfs as the engine's cgroup driver";
        return Finding::limited(area, subject, "does not run: --systemd-cgroup will fail", fix);
    }
    let (bus, fix) = match crate::commands::user_bus().unwrap_or_default() {
        None => ("/run/dbus/system_bus_socket".into(), "start dbus (the packages dbus or dbus-broker)"),
        Some(bus) => {
            (bus, "a session of this user (loginctl enable-linger), with XDG_RUNTIME_DIR and dbus-user-session")
        }
    };
    if Path::new(&bus).exists() {
        return Finding::good(area, subject, "runs: engines may use their systemd cgroup driver");
    }
    Finding::limited(area, subject, format!("cannot be asked, there is no {bus}: --systemd-cgroup will fail"), fix)
}

/// An ordinary user has limits only in a cgroup that is the user's own.
fn delegation(host: &HostCgroups) -> Finding {
    let own = host.v2.as_ref().map(|v2| format!("{}{}", v2.mount_point, v2.own_path));
    let writable = |path: &String| nix::unistd::access(Path::new(path), nix::unistd::AccessFlags::W_OK).is_ok();
    match own {
        Some(own) if host.v1.is_empty() && writable(&own) => {
            Finding::good("cgroups", "delegation", format!("{own} is this user's own"))
        }
        Some(own) if host.v1.is_empty() => Finding::limited(
            "cgroups",
            "delegation",
            format!("{own} is not this user's own: containers have no limits, and cannot be paused"),
            "systemd-run --user --scope --property=Delegate=yes COMMAND, or the engine's systemd cgroup driver",
        ),
        _ => Finding::limited(
            "cgroups",
            "delegation",
            "version 1 is not handed to ordinary users: containers have no limits, and cannot be paused",
            "version 2 alone: systemd.unified_cgroup_hierarchy=1 on the kernel's command line",
        ),
    }
}

/// Those that containers may get: root's are below the top, where all can be handed down; an ordinary user's below the user's own.
fn controllers(host: &HostCgroups) -> Vec<String> {
    let of_v1 = host.v1.iter().flat_map(|hierarchy| hierarchy.controllers.iter().cloned());
    let below = |v2: &Hierarchy| match nix::unistd::geteuid().is_root() {
        true => v2.mount_point.clone(),
        false => format!("{}{}", v2.mount_point, v2.own_path),
    };
    let v2 = host.v2.as_ref().and_then(|v2| line(&format!("{}/cgroup.controllers", below(v2))));
    of_v1.chain(v2.unwrap_or_default().split_whitespace().map(str::to_owned)).collect()
}

fn security() -> Vec<Finding> {
    let mut findings = Vec::new();
    let actions = line("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    findings.push(match actions.split(' ').any(|action| action == "errno") {
        true => Finding::good("security", "seccomp", format!("filters with {actions}")),
        false => {
            let fix = "a kernel with CONFIG_SECCOMP_FILTER";
            Finding::limited("security", "seccomp", "no filters: linux.seccomp will be refused", fix)
        }
    });
    let lsms = [
        ("AppArmor", "/sys/module/apparmor/parameters/enabled", "Y", "process.apparmorProfile"),
        ("SELinux", "/sys/fs/selinux/enforce", "", "process.selinuxLabel"),
    ];
    for (name, path, wanted, element) in lsms {
        findings.push(match line(path) {
            Some(text) if text.starts_with(wanted) => Finding::good("security", name, "enabled"),
            _ => Finding::limited(
                "security",
                name,
                format!("not enabled: {element} has nothing to act on"),
                &format!("boot with lsm=…,{}, or leave the element out", name.to_lowercase()),
            ),
        });
    }
    findings
}

fn caller(state_root: &Path) -> Vec<Finding> {
    let euid = nix::unistd::geteuid();
    let mut findings = Vec::new();
    if euid.is_root() {
        findings.push(Finding::good("caller", "user", "root"));
    } else {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = user_name(&passwd, euid.as_raw());
        findings.push(Finding::good("caller", "user", format!("{} ({euid})", user.unwrap_or("without a name"))));
        findings.extend(["/etc/subuid", "/etc/subgid"].map(|path| subordinate(path, euid.as_raw(), user)));
        findings.extend(["newuidmap", "newgidmap"].map(mapper));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = held.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    // capability.h
    for (name, number, meaning, fix) in [
        (
            "CAP_SYS_ADMIN",
            21,
            "containers need a user namespace of their own",
            "a bundle with one (corten spec --rootless, a rootless engine), or run as root",
        ),
        (
            "CAP_SYS_RESOURCE",
            24,
            "hard limits cannot be raised, oom_score_adj cannot be lowered",
            "run as root, with a bounding set that has it",
        ),
    ] {
        if held & (1 << number) == 0 {
            findings.push(Finding::limited("caller", name, format!("not held: {meaning}"), fix));
        }
    }
    let existing = state_root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let writable = nix::unistd::access(existing, nix::unistd::AccessFlags::W_OK);
    let subject = format!("state directory {}", state_root.display());
    findings.push(match writable {
        Ok(()) => Finding::good("caller", subject, "can be written to"),
        Err(errno) => {
            let detail =
                format!("{} cannot be written to: {}", existing.display(), libcorten::errno_in_words(errno as i32));
            Finding::missing("caller", subject, detail, "--root DIR with a directory of the caller's own")
        }
    });
    findings
}

/// What writes the ranges into a user namespace.
fn mapper(program: &str) -> Finding {
    match clients::installed(program) {
        Some(path) => Finding::good("caller", program, path.display().to_string()),
        None => Finding::limited(
            "caller",
            program,
            "not in PATH: only one id can be mapped",
            "install it (the package uidmap or shadow-utils)",
        ),
    }
}

/// The user's name in `/etc/passwd`. The C library would ask other services too, with modules of the host that it loads into
/// this program.
fn user_name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// The ranges of ids that a user may map, see `subuid(5)`.
fn subordinate(path: &str, uid: u32, name: Option<&str>) -> Finding {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let owner = |line: &&str| {
        let owner = line.split(':').next().unwrap_or_default();
        Some(owner) == name || owner == uid.to_string()
    };
    match text.lines().find(owner) {
        Some(range) => Finding::good("caller", path, range),
        None => Finding::limited(
            "caller",
            path,
            "no range for this user: only one id can be mapped",
            &format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}", name.unwrap_or("USER")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::user_name;

    #[test]
    fn users_are_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nalso:x:one\nfirst:x:1000:7::/:\nsecond:x:1000:8::/:\n";
        assert_eq!(user_name(passwd, 0), Some("root"));
        assert_eq!(user_name(passwd, 1000), Some("first"));
        assert_eq!(user_name(passwd, 7), None);
    }
}
