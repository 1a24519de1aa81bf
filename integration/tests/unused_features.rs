//! A feature that a configuration does not ask for costs no system call, as strace(1) sees them: what each of them cannot do without
//! is in the trace of a container that has it, and not in that of a plain one. How many calls there are in all is what `just bench` prints.

use corten_integration::{Bundle, HostView, Runtime, Sandbox, skip};
use serde_json::json;

/// A configuration with as little as an engine would ever ask for.
fn plain(t: &Sandbox) -> Bundle {
    let bundle = t.bundle().remove("/linux/maskedPaths").remove("/linux/readonlyPaths").remove("/process/rlimits");
    let bundle = bundle.remove("/process/noNewPrivileges").remove("/process/capabilities/ambient").writable();
    bundle.args(&["true"])
}

/// The trace of a `run` and of all that it starts; `None` where nothing may be traced.
fn trace(t: &Sandbox, bundle: Bundle) -> Option<String> {
    let container = t.container(bundle);
    let trace = t.new_path("trace");
    let mut words = t.prefix_of_view();
    words.extend(["strace", "-f", "-s", "256", "-o"].map(String::from));
    words.extend([trace.display().to_string(), t.runtime().program().display().to_string()]);
    words.extend(["--root".to_owned(), t.state_root().display().to_string(), "run".to_owned(), "--bundle".to_owned()]);
    words.extend([container.bundle().path().display().to_string(), container.id().to_owned()]);
    // Some features fail here, such as what takes hardware: they have been tried then.
    let _ = std::process::Command::new(&words[0]).args(&words[1..]).output().unwrap();
    std::fs::read_to_string(&trace).ok().filter(|text| !text.is_empty())
}

/// A feature: its name, a configuration that has it, and what is in its trace then.
type Row = (&'static str, Bundle, &'static str);

fn of_the_process(t: &Sandbox) -> Vec<Row> {
    let set = |pointer: &str, value: serde_json::Value| plain(t).set(pointer, value);
    vec![
        ("scheduler", set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 1})), "sched_setattr("),
        ("ioPriority", set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 7})), "ioprio_set("),
        ("personality", set("/linux/personality", json!({"domain": "LINUX32"})), "personality("),
        ("memoryPolicy", set("/linux/memoryPolicy", json!({"mode": "MPOL_LOCAL"})), "set_mempolicy("),
        ("oomScoreAdj", set("/process/oomScoreAdj", json!(500)), "oom_score_adj"),
        (
            "rlimits",
            set("/process/rlimits", json!([{"type": "RLIMIT_CORE", "soft": 7, "hard": 7}])),
            "RLIMIT_CORE, {rlim_cur=7",
        ),
        ("noNewPrivileges", set("/process/noNewPrivileges", json!(true)), "PR_SET_NO_NEW_PRIVS"),
        ("ambient", plain(t).capabilities(&["CAP_KILL"]), "PR_CAP_AMBIENT_RAISE"),
        (
            "seccomp",
            set(
                "/linux/seccomp",
                json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}),
            ),
            "SECCOMP_SET_MODE_FILTER",
        ),
        ("hooks", set("/hooks/createRuntime", json!([{"path": "/usr/bin/env"}])), "execve(\"/usr/bin/env\""),
        ("intelRdt", set("/linux/intelRdt", json!({"l3CacheSchema": "L3:0=f"})), "resctrl"),
        ("netDevices", set("/linux/netDevices", json!({"corten-none": {"name": "eth0"}})), "NETLINK"),
        ("apparmorProfile", set("/process/apparmorProfile", json!("corten-none")), "apparmor"),
        ("selinuxLabel", set("/process/selinuxLabel", json!("a:b:c:d")), "selinux"),
    ]
}

fn of_the_surroundings(t: &Sandbox) -> Vec<Row> {
    let source = t.new_directory();
    let set = |pointer: &str, value: serde_json::Value| plain(t).set(pointer, value);
    let id = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    let mapped = json!({"destination": "/data", "type": "bind", "source": source, "options": ["bind", "idmap"], "uidMappings": id, "gidMappings": id});
    let node = json!({"path": "/dev/corten-node", "type": "c", "major": 1, "minor": 3});
    let joined = format!("/proc/{}/ns/ipc", std::process::id());
    let memory = if t.view().is_unified() { "memory.max" } else { "memory.limit_in_bytes" };
    let mut rows = vec![
        ("user namespace", plain(t).user_namespace(100_000), "uid_map"),
        (
            "timeOffsets",
            plain(t).namespace("time", "").set("/linux/timeOffsets", json!({"boottime": {"secs": 7}})),
            "timens_offsets",
        ),
        ("a namespace by path", plain(t).namespace("ipc", &joined), "setns("),
        ("domainname", set("/domainname", json!("corten")), "setdomainname("),
        ("sysctl", set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"})), "ip_forward"),
        ("maskedPaths", set("/linux/maskedPaths", json!(["/proc/keys"])), "proc/keys"),
        (
            "readonlyPaths",
            set("/linux/readonlyPaths", json!(["/corten-seal"])).file("/corten-seal/file", "", 0o644),
            "corten-seal",
        ),
        ("devices", plain(t).add("/linux/devices", node), "corten-node"),
        (
            "tmpcopyup",
            plain(t).file("/full/file", "", 0o644).mount("/full", "tmpfs", "tmpfs", &["tmpcopyup"]),
            "getdents64(",
        ),
        (
            "recursive attributes",
            plain(t).mount("/data", "bind", &source, &["rbind", "rro"]),
            "AT_RECURSIVE, {attr_set=",
        ),
        ("id-mapped mounts", plain(t).add("/mounts", mapped), "MOUNT_ATTR_IDMAP"),
        ("limits of processes", set("/linux/resources/pids", json!({"limit": 100})), "pids.max"),
        ("limits of memory", set("/linux/resources/memory", json!({"limit": 268_435_456})), memory),
    ];
    if t.view().is_unified() {
        let unified = set("/linux/resources/unified", json!({"cgroup.max.depth": "7"}));
        rows.push(("unified", unified, "cgroup.max.depth"));
    }
    rows
}

#[test]
fn what_is_not_asked_for_makes_no_system_call() {
    if Runtime::from_environment() != Runtime::Corten {
        skip!("a promise of corten's");
    }
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        skip!("strace is not installed");
    }
    let t = &Sandbox::new(HostView::available()[0]);
    let Some(without) = trace(t, plain(t)) else { skip!("strace may not trace here") };
    assert!(without.contains("execve(\"/bin/true\""), "the plain container has not run: {without}");
    let mut wrong = Vec::new();
    for (feature, bundle, sign) in of_the_process(t).into_iter().chain(of_the_surroundings(t)) {
        if let Some(call) = without.lines().find(|line| line.contains(sign)) {
            wrong.push(format!("{feature} is not asked for: {call}"));
        }
        if !trace(t, bundle).is_some_and(|with| with.contains(sign)) {
            wrong.push(format!("{feature}: nothing with {sign:?} although it is asked for"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
