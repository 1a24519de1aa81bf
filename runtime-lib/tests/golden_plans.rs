//! Plans of typical bundles for typical machines, compared with the files under `golden/`: text and JSON. No machine is
//! looked at, so they are the same everywhere, for everybody.
//!
//! `UPDATE_GOLDEN=1` writes the files anew; the difference is then to be read like any other change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use libcorten::host::{Hierarchy, Host, HostCgroups, Resctrl};
use libcorten::plan::{self, Choices};
use libcorten::{Bundle, ContainerId, Plan};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn hierarchy(controllers: &[&str], mount_point: &str, own_path: &str) -> Hierarchy {
    Hierarchy {
        controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
        mount_point: mount_point.to_owned(),
        own_path: own_path.to_owned(),
    }
}

/// Version 1 hierarchies as a distribution of that time mounted them.
fn v1(with_unified: bool) -> Host {
    let v1 = vec![
        hierarchy(&["name=systemd"], "/sys/fs/cgroup/systemd", "/user.slice"),
        hierarchy(&["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct", "/"),
        hierarchy(&["cpuset"], "/sys/fs/cgroup/cpuset", "/"),
        hierarchy(&["blkio"], "/sys/fs/cgroup/blkio", "/"),
        hierarchy(&["memory"], "/sys/fs/cgroup/memory", "/"),
        hierarchy(&["devices"], "/sys/fs/cgroup/devices", "/"),
        hierarchy(&["freezer"], "/sys/fs/cgroup/freezer", "/"),
        hierarchy(&["pids"], "/sys/fs/cgroup/pids", "/"),
    ];
    let v2 = with_unified.then(|| hierarchy(&[], "/sys/fs/cgroup/unified", "/"));
    Host { cgroups: HostCgroups { v1, v2 }, euid: 0, resctrl: None }
}

fn v2(euid: u32) -> Host {
    let own_path = if euid == 0 { "/" } else { "/user.slice/user-1000.slice/user@1000.service/app.slice" };
    let cgroups = HostCgroups { v1: Vec::new(), v2: Some(hierarchy(&[], "/sys/fs/cgroup", own_path)) };
    Host { cgroups, euid, resctrl: None }
}

/// The configuration of `runc spec`.
fn default_config(rootless: Option<(u32, u32)>) -> Value {
    serde_json::to_value(libcorten::spec::example(rootless, true)).unwrap()
}

fn engine_config(name: &str) -> Value {
    let text = std::fs::read_to_string(golden().join("configs").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn plan_of(config: Value, host: &Host, choices: &Choices) -> Plan {
    let spec = serde_json::from_value(config).unwrap();
    let bundle = Bundle::with_spec("/bundle", spec).unwrap();
    plan::lower(&bundle, &ContainerId::new("example").unwrap(), host, choices).unwrap()
}

fn compare(path: &Path, now: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, now).unwrap();
    }
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let Some(line) = (0..).zip(before.lines().chain([""]).zip(now.lines().chain([""]))).find(|(_, (a, b))| a != b)
    else {
        return assert_eq!(before, now, "{}", path.display());
    };
    let (number, (before, now)) = line;
    let path = path.display();
    panic!("{path}:{}: was\n{before}\nand is\n{now}\nUPDATE_GOLDEN=1 takes the new plan over", number + 1);
}

fn check_with(name: &str, config: Value, host: &Host, choices: &Choices) {
    let plan = plan_of(config, host, choices);
    compare(&golden().join(format!("{name}.txt")), &plan.to_string());
    compare(&golden().join(format!("{name}.json")), &(serde_json::to_string_pretty(&plan).unwrap() + "\n"));
}

fn check(name: &str, config: Value, host: &Host) {
    check_with(name, config, host, &Choices::default());
}

#[test]
fn default_bundle_on_v2() {
    check("default-v2", default_config(None), &v2(0));
}

#[test]
fn default_bundle_on_v1() {
    let mut config = default_config(None);
    config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "cgroup");
    check("default-v1", config, &v1(false));
}

#[test]
fn docker_on_hybrid() {
    check("docker-hybrid", engine_config("docker.json"), &v1(true));
}

#[test]
fn docker_on_v2() {
    check("docker-v2", engine_config("docker.json"), &v2(0));
}

#[test]
fn podman_on_v2() {
    check("podman-v2", engine_config("podman.json"), &v2(0));
}

#[test]
fn a_users_own_container() {
    check("rootless-v2", default_config(Some((1000, 1000))), &v2(1000));
}

#[test]
fn roots_user_namespace_with_a_range() {
    let mut config = default_config(None);
    config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    for mapping in ["uidMappings", "gidMappings"] {
        config["linux"][mapping] = json!([
            {"containerID": 0, "hostID": 100_000, "size": 1000},
            {"containerID": 1000, "hostID": 1000, "size": 1},
        ]);
    }
    check("user-namespace-v2", config, &v2(0));
}

/// As a pod's second container joins the first one's.
#[test]
fn joined_namespaces() {
    let mut config = default_config(None);
    let join = |kind: &str, file: &str| json!({"type": kind, "path": format!("/proc/4321/ns/{file}")});
    config["linux"]["namespaces"] = json!([
        join("network", "net"), join("ipc", "ipc"), join("uts", "uts"), join("pid", "pid"), {"type": "mount"},
    ]);
    config.as_object_mut().unwrap().remove("hostname");
    check("joined-v2", config, &v2(0));
}

#[test]
fn hooks_limits_devices_and_choices() {
    let mut config = default_config(None);
    let hook = |name: &str| json!([{"path": format!("/usr/libexec/{name}"), "args": [name, "--now"], "env": ["A=b"]}]);
    config["hooks"] = json!({
        "prestart": hook("prestart"), "createRuntime": hook("create-runtime"),
        "createContainer": hook("create-container"), "startContainer": hook("start-container"),
        "poststart": hook("poststart"), "poststop": hook("poststop"),
    });
    config["hooks"]["poststop"][0]["timeout"] = json!(5);
    config["process"]["rlimits"] = json!([
        {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": u64::MAX},
    ]);
    config["process"]["oomScoreAdj"] = json!(500);
    config["process"]["scheduler"] = json!({"policy": "SCHED_RR", "priority": 3, "flags": ["SCHED_RESET_ON_FORK"]});
    config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 4});
    config["process"]["execCPUAffinity"] = json!({"initial": "0", "final": "0-1,3"});
    config["linux"]["netDevices"] = json!({"eth1": {"name": "lan"}, "eth0": {}});
    config["linux"]["personality"] = json!({"domain": "LINUX32"});
    config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]});
    config["process"]["args"] = json!(["sh", "-c", "echo \"a b\"\necho c"]);
    config["process"]["env"].as_array_mut().unwrap().push(json!("TEXT=two\nlines"));
    config["linux"]["devices"] = json!([
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666, "uid": 0, "gid": 0},
        {"path": "/dev/disk", "type": "b", "major": 8, "minor": 1, "fileMode": 0o660, "uid": 0, "gid": 6},
        {"path": "/dev/pipe", "type": "p"},
    ]);
    config["linux"]["resources"] = json!({
        "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}],
        "memory": {"limit": 1 << 28}, "cpu": {"shares": 2048, "cpus": "0-3", "mems": "0"}, "pids": {"limit": 50},
    });
    config["linux"]["cgroupsPath"] = json!("group/example");
    config["linux"]["sysctl"] = json!({"net.core.somaxconn": "256"});
    config["linux"]["rootfsPropagation"] = json!("shared");
    config["mounts"].as_array_mut().unwrap().push(json!({
        "destination": "/mnt", "type": "bind", "source": "data", "options": ["rbind", "rro", "nosuid", "rslave"],
    }));
    let choices =
        Choices { no_pivot: true, no_new_keyring: true, preserve_fds: 2, listen_fds: 1, ..Choices::default() };
    check_with("everything-v2", config, &v2(0), &choices);
}

#[test]
fn caches_and_memory_bandwidth() {
    let mut config = default_config(None);
    config["linux"]["intelRdt"] = json!({
        "l3CacheSchema": "L3:0=f;1=f", "memBwSchema": "MB:0=50", "schemata": ["L2:0=3"], "enableMonitoring": true,
    });
    let resctrl =
        Resctrl { mount_point: "/sys/fs/resctrl".to_owned(), l3_cache: true, memory_bandwidth: true, monitoring: true };
    check("resctrl-v2", config, &Host { resctrl: Some(resctrl), ..v2(0) });
}

#[test]
fn every_golden_file_belongs_to_a_test() {
    let own = include_str!("golden_plans.rs");
    for entry in std::fs::read_dir(golden()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(name == "configs" || own.contains(&format!("\"{name}\"")), "{name}");
    }
}
