//! Data-driven tests of the whole way from text to meaning: a change to the example configuration, and what comes of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod intel_rdt;
mod mounts;
mod net_devices;
mod reading;
mod scheduling;

use super::*;
use crate::trials::{self, thinned};
use serde_json::{Value, json};

/// The example configuration with `changes`: JSON pointers and values; `null` removes, `/-` at the end appends.
fn changed(changes: &[(&str, Value)]) -> Value {
    let mut config = serde_json::to_value(example(None, false)).unwrap();
    for (pointer, value) in changes {
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        let mut target = &mut config;
        for step in parent.split('/').skip(1) {
            target = match target {
                Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
                target => &mut target[step],
            };
        }
        match target {
            Value::Array(items) if last == "-" => items.push(value.clone()),
            Value::Array(items) => items[last.parse::<usize>().unwrap()] = value.clone(),
            Value::Object(members) if value.is_null() => drop(members.remove(last).expect("something to remove")),
            target => target[last] = value.clone(),
        }
    }
    config
}

fn text(config: &Value) -> Vec<u8> {
    serde_json::to_vec(config).unwrap()
}

/// `parse` gives the first of `expected`, `faults` all of them; none means that it is accepted.
#[track_caller]
fn check(changes: &[(&str, Value)], expected: &[&str]) {
    let text = text(&changed(changes));
    let all: Vec<String> = faults(&text).iter().map(Error::to_string).collect();
    assert_eq!(all, expected, "{changes:?}");
    let first = parse(&text).err().map(|error| error.to_string());
    assert_eq!(first.as_deref(), expected.first().copied(), "{changes:?}");
}

#[track_caller]
fn valid(changes: &[(&str, Value)]) -> ValidSpec {
    parse(&text(&changed(changes))).unwrap()
}

/// `linux.namespaces` of these types.
fn kinds(types: &[&str]) -> Value {
    types.iter().map(|kind| json!({ "type": kind })).collect()
}

const ALL: [&str; 5] = ["pid", "network", "ipc", "uts", "mount"];

#[test]
fn the_example_is_what_runc_writes() {
    for (written, example) in [
        (include_str!("../../../tests/fixtures/runc-spec/root.json"), example(None, false)),
        (include_str!("../../../tests/fixtures/runc-spec/root-unified.json"), example(None, true)),
        (include_str!("../../../tests/fixtures/runc-spec/rootless.json"), example(Some((0, 0)), false)),
        (include_str!("../../../tests/fixtures/runc-spec/rootless-unified.json"), example(Some((0, 0)), true)),
    ] {
        // runc's order is not checked: the sets of capabilities have none here.
        let sorted = |mut spec: Value| {
            for set in spec["process"]["capabilities"].as_object_mut().unwrap().values_mut() {
                set.as_array_mut().unwrap().sort_by_key(|name| name.as_str().unwrap().to_owned());
            }
            spec
        };
        let written = sorted(serde_json::from_str(written).unwrap());
        assert_eq!(sorted(serde_json::to_value(&example).unwrap()), written);
        validate(example).unwrap();
    }
    let mapped = validate(example(Some((1000, 100)), false)).unwrap();
    assert_eq!(mapped.uid_mappings, [IdMap { inside: 0, outside: 1000, size: 1 }]);
    assert_eq!(mapped.gid_mappings, [IdMap { inside: 0, outside: 100, size: 1 }]);
}

#[test]
fn version_root_and_process() {
    check(&[], &[]);
    check(&[("/ociVersion", json!("1.99.0+meta"))], &[]);
    check(&[("/ociVersion", json!("0.5.0-dev"))], &[]);
    check(&[("/ociVersion", Value::Null)], &["ociVersion: is missing"]);
    check(&[("/ociVersion", json!("2.0.0"))], &["ociVersion: version 2.0.0 of the specification is not supported"]);
    check(&[("/ociVersion", json!("1.0"))], &[r#"ociVersion: "1.0" is not a semantic version such as 1.3.0"#]);
    check(&[("/ociVersion", json!(1))], &["ociVersion: expected a string, found 1"]);
    check(&[("/root", Value::Null)], &["root: root must be specified"]);
    check(&[("/root/path", json!(""))], &["root.path: is empty"]);
    check(&[("/root/path", json!("a\0b"))], &["root.path: contains a NUL byte"]);
    check(&[("/process", Value::Null)], &["process: process property must not be empty"]);
    check(&[("/process/user", Value::Null)], &[]);
    check(&[("/process/args", Value::Null)], &["process.args: args must not be empty"]);
    check(&[("/process/args", json!([]))], &["process.args: args must not be empty"]);
    check(&[("/process/args", json!([""]))], &["process.args[0]: exec: \"\": executable file not found in $PATH"]);
    check(&[("/process/args", json!(["a", "", "b\0"]))], &["process.args[2]: contains a NUL byte"]);
    check(
        &[("/process/env", json!(["A=", "B", "=c", "D=\0", "E=a=b"]))],
        &[
            "process.env[1]: is not of the form NAME=value",
            "process.env[2]: has no name before the \"=\"",
            "process.env[3]: contains a NUL byte",
        ],
    );
    check(&[("/process/cwd", Value::Null)], &["process.cwd: is missing"]);
    check(&[("/process/cwd", json!(""))], &["process.cwd: is empty"]);
    check(&[("/process/cwd", json!("tmp"))], &[r#"process.cwd: "tmp" is not an absolute path"#]);
    check(&[("/process/cwd", json!("/\0"))], &["process.cwd: contains a NUL byte"]);
    check(&[("/process/cwd", json!("/x".repeat(2048)))], &["process.cwd: is longer than 4095 bytes"]);
    check(&[("/process/selinuxLabel", json!("a\0"))], &["process.selinuxLabel: contains a NUL byte"]);
    let spec = valid(&[("/process/selinuxLabel", json!("")), ("/process/apparmorProfile", json!("web"))]);
    assert_eq!(spec.process.selinux_label, None);
    assert_eq!(spec.process.apparmor_profile.as_deref(), Some("web"));
}

#[test]
fn numbers_of_the_process_have_ranges() {
    let user = |user: Value| [("/process/user", user)];
    check(&user(json!({"umask": 0o777})), &[]);
    check(&user(json!({"umask": 0o1000})), &["process.user.umask: 0o1000 is out of range 0-0o777"]);
    check(&user(json!({"uid": u32::MAX})), &["process.user.uid: 4294967295 is not a valid id"]);
    check(&user(json!({"uid": -1})), &["process.user.uid: expected an integer from 0 to 4294967295, found -1"]);
    check(
        &user(json!({"additionalGids": [1, u32::MAX]})),
        &["process.user.additionalGids[1]: 4294967295 is not a valid id"],
    );
    for (score, expected) in [(1000, None), (-1000, None), (1001, Some(1001)), (-1001, Some(-1001))] {
        let expected = expected.map(|score| format!("process.oomScoreAdj: {score} is out of range -1000-1000"));
        check(&[("/process/oomScoreAdj", json!(score))], &expected.as_deref().into_iter().collect::<Vec<_>>());
    }
    let size = json!({"width": 70000, "height": 24});
    check(&[("/process/consoleSize", size.clone())], &["process.consoleSize.width: 70000 is out of range 0-65535"]);
    let spec = valid(&[("/process/consoleSize", size), ("/process/terminal", json!(false))]);
    assert_eq!(spec.process.console_size, None);
    let spec = valid(&[("/process/consoleSize", json!({"width": 80, "height": 24}))]);
    assert_eq!(spec.process.console_size, Some(ConsoleSize { width: 80, height: 24 }));
    for half in [json!({"width": 80}), json!({"height": 24}), json!({"width": 0, "height": 0}), json!({})] {
        assert_eq!(valid(&[("/process/consoleSize", half)]).process.console_size, None);
    }
}

#[test]
fn rlimits_and_capabilities_become_the_kernels_numbers() {
    let rlimit = |kind: &str, soft: u64, hard: u64| json!({"type": kind, "soft": soft, "hard": hard});
    let spec = valid(&[("/process/rlimits", json!([rlimit("RLIMIT_RTTIME", 1, u64::MAX)]))]);
    let expected = Rlimit { name: "RLIMIT_RTTIME".to_owned(), resource: 15, soft: 1, hard: u64::MAX };
    assert_eq!(spec.process.rlimits, [expected]);
    check(
        &[("/process/rlimits", json!([rlimit("RLIMIT_CORE", 1, 2), rlimit("RLIMIT_CORE", 3, 2)]))],
        &[
            "process.rlimits[1].type: RLIMIT_CORE is given twice",
            "process.rlimits[1].soft: 3 is greater than the hard limit 2",
        ],
    );
    check(
        &[("/process/rlimits", json!([rlimit("RLIMIT_FOO", 1, 1)]))],
        &[r#"process.rlimits[0].type: unknown rlimit "RLIMIT_FOO""#],
    );
    let spec = valid(&[(
        "/process/capabilities",
        json!({"bounding": ["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE", "CAP_CHOWN"], "ambient": ["CAP_SYS_ADMIN"]}),
    )]);
    let capabilities = spec.process.capabilities.unwrap();
    assert_eq!(capabilities.bounding, CapSet(1 << 40 | 1));
    assert_eq!(capabilities.ambient, CapSet(1 << 21));
    assert_eq!(capabilities.effective, CapSet(0));
    assert_eq!(valid(&[("/process/capabilities", Value::Null)]).process.capabilities, None);
    let spec = valid(&[("/process/capabilities/bounding", json!(["CAP_KILL", "CAP_CHOWN", "CAP_FOO\n"]))]);
    assert_eq!(spec.process.capabilities.unwrap().bounding, CapSet(1 << 5 | 1));
    assert_eq!(spec.warnings, [r"process.capabilities.bounding[2]: ignoring unknown capability CAP_FOO\n"]);
    for name in ["cap_chown", "CHOWN", "chown", "Cap_Chown", "CAP_CHOWn", " CAP_CHOWN"] {
        let spec = valid(&[("/process/capabilities/bounding", json!([name]))]);
        assert_eq!(spec.warnings, [format!("process.capabilities.bounding[0]: ignoring unknown capability {name}")]);
        assert_eq!(spec.process.capabilities.map(|sets| sets.bounding), Some(CapSet(0)), "{name}");
    }
}

#[test]
fn every_capability_is_the_one_of_its_name() {
    for capability in thinned(caps::all(), 3) {
        let spec = valid(&[("/process/capabilities", json!({"effective": [capability.to_string()]}))]);
        assert_eq!(spec.process.capabilities.unwrap().effective, CapSet(1 << capability.index()), "{capability}");
    }
}

#[test]
fn every_rlimit_is_the_one_of_its_name() {
    let names = "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME";
    for (number, name) in thinned(names.split(' ').enumerate().collect::<Vec<_>>(), 3) {
        let name = format!("RLIMIT_{name}");
        let spec = valid(&[("/process/rlimits", json!([{"type": name, "soft": 0, "hard": 0}]))]);
        let rlimit = &spec.process.rlimits[0];
        assert_eq!((rlimit.name.as_str(), rlimit.resource as usize), (name.as_str(), number));
    }
}

#[test]
fn namespaces() {
    let with = |extra: Value| {
        let mut list = kinds(&ALL);
        list.as_array_mut().unwrap().push(extra);
        [("/linux/namespaces", list)]
    };
    let spec = valid(&with(json!({"type": "time", "path": "/proc/1/ns/time"})));
    assert_eq!(spec.namespaces.time, Namespace::Join { index: 5, path: "/proc/1/ns/time".to_owned() });
    assert_eq!((spec.namespaces.pid, spec.namespaces.cgroup), (Namespace::New, Namespace::Host));
    assert_eq!(valid(&with(json!({"type": "cgroup", "path": ""}))).namespaces.cgroup, Namespace::New);
    check(&with(json!({"type": "pid"})), &[r#"linux.namespaces[5].type: duplicated namespace "pid""#]);
    check(&with(json!({"type": "foo"})), &[r#"linux.namespaces[5].type: unknown namespace type "foo""#]);
    check(&with(json!({"type": "mnt"})), &[r#"linux.namespaces[5].type: unknown namespace type "mnt""#]);
    check(&with(json!({})), &["linux.namespaces[5].type: is missing"]);
    check(
        &with(json!({"type": "cgroup", "path": "ns"})),
        &[r#"linux.namespaces[5].path: "ns" is not an absolute path"#],
    );
    check(
        &[("/linux/namespaces", kinds(&["pid", "network", "ipc", "mount"])), ("/domainname", json!("x"))],
        &[
            "hostname: unable to set hostname without a private UTS namespace",
            "domainname: unable to set domainname without a private UTS namespace",
        ],
    );
    check(
        &[("/linux/namespaces", kinds(&["pid", "uts"]))],
        &[
            "mounts: unable to mount without a private mount namespace",
            "root.readonly: unable to make the root read-only without a private mount namespace",
            "linux.maskedPaths: unable to restrict paths without a private mount namespace",
            "linux.readonlyPaths: unable to restrict paths without a private mount namespace",
        ],
    );
    check(
        &[
            ("/linux/namespaces", kinds(&["pid", "uts", "user"])),
            ("/linux/uidMappings", json!([{"containerID": 0, "hostID": 1, "size": 1}])),
            ("/linux/gidMappings", json!([{"containerID": 0, "hostID": 1, "size": 1}])),
            ("/linux/maskedPaths", json!([])),
            ("/linux/readonlyPaths", json!([])),
            ("/linux/rootfsPropagation", json!("slave")),
            ("/root/readonly", json!(true)),
            ("/mounts", json!([])),
        ],
        &[
            "root.readonly: unable to make the root read-only without a private mount namespace",
            "linux.rootfsPropagation: unable to set the propagation without a private mount namespace",
            "linux.namespaces: a user namespace needs a mount namespace of its own: its devices are bound from the host",
        ],
    );
    check(&[("/hostname", json!("x".repeat(65)))], &["hostname: is longer than 64 bytes"]);
    check(&[("/hostname", json!("x\0"))], &["hostname: contains a NUL byte"]);
    assert_eq!(valid(&[("/hostname", json!(""))]).hostname, None);
}

#[test]
fn id_mappings() {
    let maps = |extents: &[(u32, u32, u32)]| -> Value {
        extents.iter().map(|(i, o, s)| json!({"containerID": i, "hostID": o, "size": s})).collect()
    };
    let gids = maps(&[(0, 0, 10)]);
    let user = kinds(&["pid", "network", "ipc", "uts", "mount", "user"]);
    let with = |uids: Value| {
        vec![("/linux/namespaces", user.clone()), ("/linux/uidMappings", uids), ("/linux/gidMappings", gids.clone())]
    };
    check(
        &[("/linux/namespaces", user.clone())],
        &[
            "linux.uidMappings: user namespace enabled, but no uid mappings found",
            "linux.gidMappings: user namespace enabled, but no gid mappings found",
        ],
    );
    check(&with(maps(&[(0, 1000, 10), (10, 5000, u32::MAX - 5000)])), &[]);
    check(&with(maps(&[(0, 0, 1), (5, 5, 0)])), &["linux.uidMappings[1].size: is zero"]);
    check(
        &with(maps(&[(0, 0, 2), (2, u32::MAX, 1)])),
        &["linux.uidMappings[1].hostID: 4294967295 and 1 more do not fit into 32 bits"],
    );
    check(
        &with(maps(&[(0, 100, 10), (9, 200, 1), (20, 99, 2)])),
        &[
            "linux.uidMappings[1].containerID: overlaps linux.uidMappings[0]",
            "linux.uidMappings[2].hostID: overlaps linux.uidMappings[0]",
        ],
    );
    check(&with(maps(&[(1, 1000, 10)])), &["process.user.uid: 0 is not mapped by linux.uidMappings"]);
    let many: Vec<_> = (0..341).map(|i| (i, i, 1)).collect();
    check(&with(maps(&many)), &["linux.uidMappings: 341 mappings, the kernel takes at most 340"]);
    check(&with(maps(&many[..340])), &[]);
    let mut outsider = with(maps(&[(0, 0, 10)]));
    outsider.push(("/process/user", json!({"uid": 10, "gid": 9, "additionalGids": [3, 11]})));
    check(
        &outsider,
        &[
            "process.user.uid: 10 is not mapped by linux.uidMappings",
            "process.user.additionalGids[1]: 11 is not mapped by linux.gidMappings",
        ],
    );
    // Without a new user namespace they say nothing: not at all, or of one that has its own.
    let no_maps = |changes: &[(&str, Value)]| assert_eq!(valid(changes).uid_mappings, []);
    no_maps(&[("/linux/uidMappings", maps(&[(0, 0, 0)]))]);
    let mut joined = kinds(&ALL);
    joined.as_array_mut().unwrap().push(json!({"type": "user", "path": "/proc/1/ns/user"}));
    no_maps(&[("/linux/namespaces", joined), ("/linux/uidMappings", maps(&[(5, 0, 1)]))]);
}

#[test]
fn sysctls_belong_to_a_namespace_of_the_container() {
    let set = |names: &[&str]| -> Value { names.iter().map(|name| ((*name).to_owned(), json!("1"))).collect() };
    let good = [
        "kernel.msgmax",
        "kernel/shm_rmid_forced",
        "kernel.sem",
        "fs.mqueue.msg_max",
        "net.ipv4.ip_forward",
        "net/ipv4/conf/eth0.1/forwarding",
        "kernel.domainname",
    ];
    let spec = valid(&[("/linux/sysctl", set(&good))]);
    assert_eq!(spec.sysctl.len(), good.len());
    assert!(spec.sysctl.contains_key("kernel/shm_rmid_forced"));
    for (name, why) in [
        ("kernel.foo", "is not in a separate kernel namespace"),
        ("kernel.semx", "is not in a separate kernel namespace"),
        ("vm.swappiness", "is not in a separate kernel namespace"),
        ("net", "is not in a separate kernel namespace"),
        ("kernel.hostname", "is not allowed as it conflicts with hostname"),
        ("kernel/hostname", "is not allowed as it conflicts with hostname"),
        ("net/../kernel/foo", "is not the name of a sysctl"),
        ("net.ipv4.", "is not the name of a sysctl"),
        ("", "is not the name of a sysctl"),
        ("/net/x", "is not the name of a sysctl"),
        ("net.a\0", "is not the name of a sysctl"),
    ] {
        check(&[("/linux/sysctl", set(&[name]))], &[&format!("linux.sysctl[{name:?}]: {why}")]);
    }
    check(&[("/linux/sysctl", json!({"net.x": "\0"}))], &[r#"linux.sysctl["net.x"]: contains a NUL byte"#]);
    check(&[("/linux/sysctl", json!({"net.x": 1}))], &[r#"linux.sysctl["net.x"]: expected a string, found 1"#]);
    for (name, kind) in [("kernel.msgmax", "ipc"), ("net.x", "network"), ("fs.mqueue.x", "ipc")] {
        let others: Vec<&str> = ALL.into_iter().filter(|other| *other != kind).collect();
        check(
            &[("/linux/namespaces", kinds(&others)), ("/linux/sysctl", set(&[name]))],
            &[&format!("linux.sysctl[{name:?}]: is not allowed in the host's {kind} namespace")],
        );
    }
}

#[test]
fn paths_and_devices() {
    check(
        &[("/linux/maskedPaths", json!(["/a", "b", ""])), ("/linux/readonlyPaths", json!(["c\0"]))],
        &[
            r#"linux.maskedPaths[1]: "b" is not an absolute path"#,
            "linux.maskedPaths[2]: is empty",
            "linux.readonlyPaths[0]: contains a NUL byte",
        ],
    );
    check(&[("/linux/cgroupsPath", json!("/a\0"))], &["linux.cgroupsPath: contains a NUL byte"]);
    assert_eq!(valid(&[("/linux/cgroupsPath", json!("a:b:c"))]).cgroups_path.as_deref(), Some("a:b:c"));
    assert_eq!(valid(&[("/linux/mountLabel", json!("l"))]).mount_label.as_deref(), Some("l"));
    check(&[("/linux/mountLabel", json!("a\",b"))], &["linux.mountLabel: contains a quotation mark"]);

    let device = |device: Value| [("/linux/devices", json!([device]))];
    let good = json!({"path": "/dev/x", "type": "u", "major": 4095, "minor": 1048575, "fileMode": 0o20640, "uid": 1});
    let expected = Device {
        index: Some(0),
        path: "/dev/x".into(),
        kind: DeviceKind::Char,
        major: 4095,
        minor: 1048575,
        mode: 0o640,
        uid: 1,
        gid: 0,
    };
    assert_eq!(valid(&device(good)).devices, [expected]);
    let fifo = &valid(&device(json!({"path": "/dev/p", "type": "p", "major": -1}))).devices[0];
    assert_eq!((fifo.kind, fifo.major, fifo.mode), (DeviceKind::Fifo, 0, 0o666));
    check(
        &device(json!({"path": "x", "type": "c", "major": 4096, "minor": -1, "fileMode": 0o200000, "gid": u32::MAX})),
        &[
            r#"linux.devices[0].path: "x" is not an absolute path"#,
            "linux.devices[0].major: 4096 is out of range 0-4095",
            "linux.devices[0].minor: -1 is out of range 0-1048575",
            "linux.devices[0].fileMode: 0o200000 is not a file mode",
            "linux.devices[0].gid: 4294967295 is not a valid id",
        ],
    );
    check(&device(json!({"path": "/x", "type": "a"})), &[r#"linux.devices[0].type: invalid device type "a""#]);
    check(&device(json!({"path": "/x", "type": "x"})), &[r#"linux.devices[0].type: unknown device type "x""#]);
    check(&device(json!({"path": "/x"})), &["linux.devices[0].type: is missing"]);
}

#[test]
fn hooks() {
    let spec = valid(&[(
        "/hooks",
        json!({"prestart": [{"path": "/h", "args": [], "timeout": 3}], "poststop": [{"path": "/i", "args": ["j"]}]}),
    )]);
    assert_eq!(
        spec.hooks.prestart,
        [Hook { path: "/h".into(), args: vec!["/h".into()], env: vec![], timeout: Some(3) }]
    );
    assert_eq!(spec.hooks.poststop[0].args, ["j"]);
    check(
        &[(
            "/hooks",
            json!({"createRuntime": [{"path": "h", "timeout": 0}], "poststart": [{"path": "/h", "args": ["\0"], "env": ["\0"], "timeout": -1}]}),
        )],
        &[
            r#"hooks.createRuntime[0].path: "h" is not an absolute path"#,
            "hooks.createRuntime[0].timeout: 0 is not greater than zero",
            "hooks.poststart[0].args[0]: contains a NUL byte",
            "hooks.poststart[0].env[0]: contains a NUL byte",
            "hooks.poststart[0].timeout: -1 is not greater than zero",
        ],
    );
}

#[test]
fn resources_cannot_lead_out_of_the_cgroup() {
    let with = |resources: Value| [("/linux/resources", resources)];
    for good in ["2MB", "64KB", "1GB"] {
        check(&with(json!({"hugepageLimits": [{"pageSize": good, "limit": 1}]})), &[]);
    }
    for bad in ["64kB", "../2MB", "0MB", "MB", "2", "2MBx", ""] {
        let expected =
            format!("linux.resources.hugepageLimits[0].pageSize: {bad:?} is not a page size such as 64KB, 2MB or 1GB");
        check(&with(json!({"hugepageLimits": [{"pageSize": bad, "limit": 1}]})), &[&expected]);
    }
    check(&with(json!({"unified": {"memory.max": "max"}})), &[]);
    for bad in ["../x", "a/b", "..", "", "."] {
        check(
            &with(json!({"unified": {bad: "1"}})),
            &[&format!("linux.resources.unified[{bad:?}]: is not a file name")],
        );
    }
    check(
        &with(json!({
            "devices": [{"allow": true, "type": "p", "access": "x", "major": -2, "minor": 4294967296u64}],
            "cpu": {"cpus": "0\n"}, "rdma": {"a b": {}}, "network": {"priorities": [{"name": "e 0", "priority": 1}]}
        })),
        &[
            r#"linux.resources.devices[0].type: invalid device type "p""#,
            r#"linux.resources.devices[0].access: "x" has a letter other than r, w and m"#,
            "linux.resources.devices[0].major: -2 is out of range -1-4294967295",
            "linux.resources.devices[0].minor: 4294967296 is out of range -1-4294967295",
            "linux.resources.cpu.cpus: is not a list of numbers",
            r#"linux.resources.network.priorities[0].name: "e 0" is not the name of an interface"#,
            r#"linux.resources.rdma["a b"]: is not the name of a device"#,
        ],
    );
}

#[test]
fn time_offsets() {
    let with = |namespace: Option<Value>, offsets: Value| {
        let mut list = kinds(&ALL);
        list.as_array_mut().unwrap().extend(namespace);
        [("/linux/namespaces", list), ("/linux/timeOffsets", offsets)]
    };
    let new = || Some(json!({"type": "time"}));
    let offsets = json!({"monotonic": {"secs": -5}, "boottime": {"secs": 1, "nanosecs": 999_999_999}});
    let spec = valid(&with(new(), offsets));
    let offset = |clock: &str, secs, nanosecs| TimeOffset { clock: clock.to_owned(), secs, nanosecs };
    assert_eq!(spec.time_offsets, [offset("boottime", 1, 999_999_999), offset("monotonic", -5, 0)]);
    check(&with(None, json!({})), &[]);
    let one = || json!({"boottime": {"secs": 1}});
    check(&with(None, one()), &["linux.timeOffsets: are given, but no time namespace"]);
    let joined = Some(json!({"type": "time", "path": "/proc/1/ns/time"}));
    check(&with(joined, one()), &["linux.timeOffsets: cannot be set in a time namespace that exists"]);
    check(
        &with(new(), json!({"realtime": {"nanosecs": 1_000_000_000}})),
        &[
            r#"linux.timeOffsets["realtime"]: is neither monotonic nor boottime"#,
            r#"linux.timeOffsets["realtime"].nanosecs: 1000000000 is not below 1000000000"#,
        ],
    );
}

#[test]
fn sections_of_other_platforms_say_nothing() {
    // The sections of other platforms say nothing about a Linux container, whatever they hold.
    for platform in ["solaris", "windows", "vm", "zos", "freebsd", "something"] {
        for value in [json!({}), json!([1]), json!("x"), json!({"hypervisor": 5})] {
            check(&[(&format!("/{platform}"), value)], &[]);
        }
    }
}
