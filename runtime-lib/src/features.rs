//! What this library can do, as the specification's *features structure*.
//!
//! What is here is not a list that somebody keeps: words come from the tables that read them in a configuration, and
//! whether an element is supported is found out by planning a configuration that has it.

use crate::host::{Hierarchy, Host, HostCgroups, Resctrl};
use crate::plan::{self, Choices};
use crate::seccomp::{Arch, Backend, Filter};
use crate::{Bundle, ContainerId, spec};
use serde_json::{Value, json};

/// The specification's features structure. Apart from `supportedFlags` of seccomp, which is what this kernel knows, it
/// does not depend on the machine.
pub fn features() -> Value {
    let systemd = plans(json!({}), true);
    let unsafe_annotations = if systemd { json!(["org.systemd.property."]) } else { json!([]) };
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": spec::VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": mount_options(),
        "linux": linux(systemd),
        "annotations": annotations(),
        "potentiallyUnsafeConfigAnnotations": unsafe_annotations,
    })
}

/// As runc names the version of libseccomp, where that is what compiles the filters.
fn annotations() -> Value {
    let mut annotations = json!({"org.corten.version": env!("CARGO_PKG_VERSION")});
    if let Some(version) = Backend::BUILT_IN.library_version() {
        merge(&mut annotations, json!({"io.github.seccomp.libseccomp.version": version}));
    }
    annotations
}

fn linux(systemd: bool) -> Value {
    let linux = |element: &str, value: Value| plans(json!({"linux": {element: value}}), false);
    let rdma = json!({"rdma": {"mlx5_0": {"hcaHandles": 1}}});
    // Devices can only move to a network namespace of the container.
    let net_devices =
        json!({"linux": {"namespaces": [{"type": "mount"}, {"type": "network"}], "netDevices": {"eth0": {}}}});
    json!({
        "namespaces": namespaces(),
        "capabilities": capabilities(),
        "cgroup": {
            "v1": true, "v2": true, "systemd": systemd, "systemdUser": systemd, "rdma": linux("resources", rdma),
        },
        "seccomp": seccomp(),
        "apparmor": {"enabled": plans(json!({"process": {"apparmorProfile": "unconfined"}}), false)},
        "selinux": {"enabled": plans(json!({"process": {"selinuxLabel": "a:b:c:s0"}}), false)},
        "intelRdt": {
            "enabled": linux("intelRdt", json!({"closID": "a", "l3CacheSchema": "L3:0=f"})),
            "schemata": linux("intelRdt", json!({"schemata": ["L3:0=f"]})),
            "monitoring": linux("intelRdt", json!({"enableMonitoring": true})),
        },
        "mountExtensions": {"idmap": {"enabled": id_maps()}},
        "netDevices": {"enabled": plans(net_devices, false)},
    })
}

fn seccomp() -> Value {
    let flags = Filter::FLAGS;
    let known: Vec<&str> = flags.iter().map(|(name, _)| *name).collect();
    let supported = flags.iter().filter(|(_, flag)| crate::sys::seccomp::knows_flag(*flag));
    let mut archs: Vec<&str> = Arch::ALL.iter().map(|arch| arch.oci_name()).collect();
    archs.sort_unstable();
    json!({
        "enabled": Arch::native().is_some(),
        "actions": [
            "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
            "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
        ],
        "operators": [
            "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
            "SCMP_CMP_NE",
        ],
        "archs": archs,
        "knownFlags": known,
        "supportedFlags": supported.map(|(name, _)| *name).collect::<Vec<_>>(),
    })
}

fn namespaces() -> Vec<&'static str> {
    let all = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];
    let ids = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    let planned = |kind: &&str| {
        let mut kinds = vec![json!({"type": "mount"})];
        if *kind != "mount" {
            kinds.push(json!({"type": kind}));
        }
        let mut linux = json!({"namespaces": kinds});
        if *kind == "user" {
            merge(&mut linux, json!({"uidMappings": ids, "gidMappings": ids}));
        }
        plans(json!({"linux": linux}), false)
    };
    all.into_iter().filter(planned).collect()
}

fn mount_options() -> Vec<&'static str> {
    let id_maps = id_maps();
    spec::mount_options().filter(|name| id_maps || !matches!(*name, "idmap" | "ridmap")).collect()
}

fn id_maps() -> bool {
    let ids = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    let mount = json!({"destination": "/data", "source": "/data", "type": "bind", "options": ["bind", "idmap"],
        "uidMappings": ids, "gidMappings": ids});
    plans(json!({"mounts": [mount]}), false)
}

fn capabilities() -> Vec<String> {
    let mut all: Vec<caps::Capability> = caps::all().into_iter().collect();
    all.sort_unstable_by_key(|capability| capability.index());
    all.into_iter().map(|capability| capability.to_string()).collect()
}

/// Whether a machine that has everything could be given a container with these elements.
fn plans(elements: Value, systemd_cgroup: bool) -> bool {
    let mut config = json!({
        "ociVersion": spec::VERSION,
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["true"]},
        "linux": {"namespaces": [{"type": "mount"}]},
    });
    merge(&mut config, elements);
    let (Ok(bundle), Ok(id)) = (Bundle::with_config("/bundle", config.to_string()), ContainerId::new("features"))
    else {
        return false;
    };
    let choices = Choices { systemd_cgroup, ..Choices::default() };
    let v2 = Hierarchy { controllers: Vec::new(), mount_point: "/sys/fs/cgroup".to_owned(), own_path: "/".to_owned() };
    let resctrl =
        Resctrl { mount_point: "/sys/fs/resctrl".to_owned(), l3_cache: true, memory_bandwidth: true, monitoring: true };
    let host = Host { cgroups: HostCgroups { v1: Vec::new(), v2: Some(v2) }, euid: 0, resctrl: Some(resctrl) };
    plan::lower(&bundle, &id, &host, &choices).is_ok()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}
