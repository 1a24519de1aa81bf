//! Random configurations: a handful of edits of the default one, each of one element of a section.
//!
//! Most values are good by themselves, so that many configurations are accepted as a whole; some are at an edge or wrong.
//! In texts, `@DIR` stands for a directory of the sandbox (see `prepare` in `main.rs`) and `@HOLDER` for the pid of a container
//! whose namespaces can be joined. What could reach the machine is not generated: no container is without a mount namespace of
//! its own, and `cgroupsPath` has a name of the sandbox (`@CGROUP`).

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

/// A change of the configuration.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// Sets the element at a JSON pointer.
    Set(String, Value),
    /// Appends to the array there.
    Add(String, Value),
    /// A namespace of its own, one that is joined, or none.
    Namespace(&'static str, Option<String>),
    /// A user namespace with these mappings.
    UserNamespace(Value, Value),
    /// A terminal, with this as the size of its window.
    Terminal(Option<Value>),
}

type Edits = BoxedStrategy<Edit>;

/// The edits of one configuration. Two of three are made of good values only, which does not mean that they go together.
pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let several = |wild, most| proptest::collection::vec(edit(wild), 1..most);
    prop_oneof![2 => several(false, 9), 1 => several(true, 4)]
}

fn edit(wild: bool) -> Edits {
    prop_oneof![
        4 => process(wild), 3 => capabilities(wild), 2 => rlimits(wild), 6 => mounts(wild), 2 => paths(wild),
        2 => namespaces(wild), 1 => user_namespaces(wild), 2 => devices(wild), 2 => device_rules(wild), 2 => resources(wild),
        2 => sysctl(wild), 2 => seccomp(wild), 1 => hooks(wild), 1 => newer(), 1 => terminals(wild),
        2 => the_rest(wild),
    ]
    .boxed()
}

/// The good values, and if `wild` also those that are at an edge or wrong.
fn of<T: Clone>(wild: bool, good: &[T], bad: &[T]) -> Vec<T> {
    if wild { [good, bad].concat() } else { good.to_vec() }
}

fn set(pointer: &'static str, wild: bool, good: Value, bad: Value) -> Edits {
    let values = of(wild, &list(good), &list(bad));
    select(values).prop_map(move |value| Edit::Set(pointer.to_owned(), value)).boxed()
}

fn append(pointer: &'static str, wild: bool, good: Value, bad: Value) -> Edits {
    add(pointer, select(of(wild, &list(good), &list(bad))))
}

fn add(pointer: &'static str, values: impl Strategy<Value = Value> + 'static) -> Edits {
    values.prop_map(move |value| Edit::Add(pointer.to_owned(), value)).boxed()
}

fn list(of: Value) -> Vec<Value> {
    of.as_array().unwrap().clone()
}

/// `values` or nothing at all.
fn sometimes(values: &[&'static str]) -> impl Strategy<Value = Vec<&'static str>> + use<> {
    subsequence(values.to_vec(), 0..=values.len().min(3))
}

const IDS: [u32; 7] = [0, 1, 1000, 5000, 65534, 65535, 4_294_967_294];

fn ids(wild: bool) -> impl Strategy<Value = u32> {
    select(of(wild, &IDS[..5], &IDS[5..]))
}

fn process(wild: bool) -> Edits {
    let groups = subsequence(IDS[..5].to_vec(), 0..4).prop_map(|ids| json!(ids));
    prop_oneof![
        ids(wild).prop_map(|id| Edit::Set("/process/user/uid".into(), json!(id))),
        ids(wild).prop_map(|id| Edit::Set("/process/user/gid".into(), json!(id))),
        groups.prop_map(|ids| Edit::Set("/process/user/additionalGids".into(), ids)),
        set("/process/user/umask", wild, json!([0, 18, 63, 511]), json!([512])),
        set(
            "/process/cwd",
            wild,
            json!(["/", "/tmp", "/root", "/link"]),
            json!(["/new/directory", "relative", "/etc/passwd", ""])
        ),
        append(
            "/process/env",
            wild,
            json!(["A=b", "A=c", "HOME=/tmp", "EMPTY=", "SPACE=a b"]),
            json!(["NOTHING", "=x", "PATH=/x"])
        ),
        set("/process/noNewPrivileges", wild, json!([true, false]), json!([])),
        set("/process/oomScoreAdj", wild, json!([0, 1, 500, 1000]), json!([1001, -1, -1000])),
        set(
            "/process/args/0",
            wild,
            json!(["probe", "/bin/probe", "bin/probe"]),
            json!(["missing", "/etc/passwd", "", "/link/probe", "/bin", "probe/"])
        ),
        set("/process/apparmorProfile", wild, json!([""]), json!(["unconfined", "docker-default"])),
        set("/process/selinuxLabel", wild, json!([""]), json!(["system_u:system_r:container_t:s0"])),
        set("/process/consoleSize", wild, json!([{"height": 24, "width": 80}, null]), json!([])),
    ]
    .boxed()
}

/// The last two are no capabilities; the one before them is not to be had everywhere.
const CAPABILITIES: [&str; 9] = [
    "CAP_CHOWN",
    "CAP_KILL",
    "CAP_SETUID",
    "CAP_NET_RAW",
    "CAP_SYS_ADMIN",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_SYS_RESOURCE",
    "CAP_ODD",
    "cap_chown",
];

fn capabilities(wild: bool) -> Edits {
    let names = || subsequence(of(wild, &CAPABILITIES[..7], &CAPABILITIES[7..]), 0..6);
    let sets = vec!["bounding", "effective", "permitted", "inheritable", "ambient"];
    let one = (select(sets), names())
        .prop_map(|(set, names)| Edit::Set(format!("/process/capabilities/{set}"), json!(names)));
    let all = names().prop_map(|names| {
        let value = json!({
            "bounding": names, "effective": names, "permitted": names, "inheritable": names, "ambient": names
        });
        Edit::Set("/process/capabilities".into(), value)
    });
    let none = set("/process/capabilities", wild, json!([{}, null]), json!([]));
    prop_oneof![if wild { 3 } else { 1 } => one, 3 => all, 1 => none].boxed()
}

fn rlimits(wild: bool) -> Edits {
    let names = [
        "RLIMIT_CPU",
        "RLIMIT_FSIZE",
        "RLIMIT_DATA",
        "RLIMIT_STACK",
        "RLIMIT_CORE",
        "RLIMIT_RSS",
        "RLIMIT_NPROC",
        "RLIMIT_NOFILE",
        "RLIMIT_MEMLOCK",
        "RLIMIT_AS",
        "RLIMIT_LOCKS",
        "RLIMIT_SIGPENDING",
        "RLIMIT_MSGQUEUE",
        "RLIMIT_NICE",
        "RLIMIT_RTPRIO",
        "RLIMIT_RTTIME",
    ];
    // A program that may use no processor, memory or files at all has nothing to tell.
    let least = |name: &str| match name {
        "RLIMIT_CPU" => 100,
        "RLIMIT_NOFILE" | "RLIMIT_NPROC" => 64,
        "RLIMIT_AS" | "RLIMIT_DATA" | "RLIMIT_STACK" | "RLIMIT_FSIZE" => 1 << 32,
        "RLIMIT_RTTIME" => 1 << 30,
        _ => 0,
    };
    let names = of(wild, &names, &["RLIMIT_ODD", "rlimit_core"]);
    let hard = of(wild, &[0, 10, 64], &[1 << 32, u64::MAX]);
    let limit = (select(names), 0..=2_u64, select(hard)).prop_map(move |(name, part, hard)| {
        let hard = hard.max(least(name));
        // Half of it, all of it, and, if anything goes, more than it.
        let soft = if wild { hard / 2 * part } else { (hard / 2 * part).min(hard) };
        // A number that the kernel takes for a negative one lets nobody write to a file, which standard output is with one of the two.
        let soft = if name == "RLIMIT_FSIZE" { soft.min(1 << 62) } else { soft };
        json!({"type": name, "soft": soft.max(least(name)), "hard": hard})
    });
    add("/process/rlimits", limit)
}

const DESTINATIONS: [&str; 9] =
    ["/mnt", "/tmp", "/link/below", "/data//x/../y", "/dev/extra", "/dev/shm", "/mnt/below", "/new/place", "/root"];
const ODD_DESTINATIONS: [&str; 6] = ["/etc/passwd", "/loop", "relative", "/proc/version", "/sys/kernel", "/"];
const FLAGS: [&str; 13] = [
    "ro",
    "rw",
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "noatime",
    "relatime",
    "strictatime",
    "nodiratime",
    "sync",
];
const ODD_FLAGS: [&str; 6] = ["dirsync", "async", "atime", "diratime", "norelatime", "defaults"];

fn mounts(wild: bool) -> Edits {
    let propagation = sometimes(&["private", "slave", "shared", "rprivate", "rslave", "rshared", "unbindable"]);
    let flags = move || subsequence(of(wild, &FLAGS, &ODD_FLAGS), 0..4);
    let place = move || select(of(wild, &DESTINATIONS, &ODD_DESTINATIONS));
    let join = |parts: &[&[&str]]| -> Value { json!(parts.concat()) };
    let sources = of(wild, &["@DIR", "@DIR/tree", "@DIR/tree/below"], &["@DIR/file", "@DIR/missing", "tree"]);
    let bind = (place(), flags(), propagation, select(sources), any::<bool>()).prop_map(
        move |(at, flags, propagation, source, recursive)| {
            let bind: &[&str] = if recursive { &["rbind"] } else { &["bind"] };
            // More than one is an accident that the kernel and runc judge in different ways.
            let propagation = &propagation[..propagation.len().min(1)];
            json!({"destination": at, "type": "bind", "source": source, "options": join(&[bind, &flags, propagation])})
        },
    );
    let data =
        of(wild, &["mode=700", "mode=1777", "size=64k", "size=1m", "nr_inodes=100"], &["uid=5", "gid=5", "odd=1"]);
    let tmpfs = (place(), flags(), sometimes(&data)).prop_map(move |(at, flags, data)| {
        json!({"destination": at, "type": "tmpfs", "source": "tmpfs", "options": join(&[&flags, &data])})
    });
    let kinds = select(of(wild, &["mqueue", "ramfs", "sysfs", "devpts"], &["proc", "cgroup", "odd", ""]));
    let kind = (place(), kinds, flags())
        .prop_map(|(at, kind, flags)| json!({"destination": at, "type": kind, "source": "none", "options": flags}));
    let layers = select(of(
        wild,
        &["lowerdir=@DIR/tree/below:@DIR/tree"],
        &["lowerdir=@DIR/missing", "lowerdir=@DIR/tree", "upperdir=@DIR"],
    ));
    let overlay = (place(), flags(), layers).prop_map(move |(at, flags, layers)| {
        json!({"destination": at, "type": "overlay", "source": "overlay", "options": join(&[&flags, &[layers]])})
    });
    let copied =
        place().prop_map(|at| json!({"destination": at, "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}));
    let recursive =
        subsequence(vec!["rro", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rrelatime", "rnodiratime"], 1..3);
    let attributes = (place(), recursive).prop_map(move |(at, options)| {
        json!({"destination": at, "source": "@DIR/tree", "options": join(&[&["rbind"], &options])})
    });
    // Not those of /proc and /dev/pts: without them there is little to tell. Nor the cgroup mount's: see `known.rs`.
    let existing = (if wild { 0..6_usize } else { 3..6_usize }, flags())
        .prop_map(|(index, flags)| Edit::Set(format!("/mounts/{index}/options"), json!(flags)));
    prop_oneof![
        5 => add("/mounts", bind), 3 => add("/mounts", tmpfs), 1 => add("/mounts", kind), 1 => add("/mounts", copied),
        1 => add("/mounts", attributes), 1 => add("/mounts", overlay), 1 => existing,
    ]
    .boxed()
}

fn paths(wild: bool) -> Edits {
    let good = json!([
        "/proc/version",
        "/sys/kernel",
        "/etc",
        "/etc/passwd",
        "/missing",
        "/tmp",
        "/proc/sys",
        "/dev/null",
        "/data"
    ]);
    let bad = json!(["/link", "/loop", "relative", "/etc/passwd/below", "/"]);
    prop_oneof![
        append("/linux/maskedPaths", wild, good.clone(), bad.clone()),
        append("/linux/readonlyPaths", wild, good, bad),
        set("/linux/maskedPaths", wild, json!([[], ["/etc/passwd", "/etc"]]), json!([null, ["/proc"]])),
        set("/linux/readonlyPaths", wild, json!([[], ["/etc", "/etc/passwd"]]), json!([null, ["/"]])),
        set("/root/readonly", wild, json!([true, false]), json!([null])),
        set(
            "/root/path",
            wild,
            json!(["rootfs", "rootfs/../rootfs", "./rootfs"]),
            json!(["missing", "config.json", ""])
        ),
    ]
    .boxed()
}

/// The kinds that can be left out: without a mount namespace a runtime would change the machine's mounts.
const KINDS: [(&str, &str); 5] =
    [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup")];

fn namespaces(wild: bool) -> Edits {
    let own = select(KINDS.to_vec()).prop_map(|(kind, _)| Edit::Namespace(kind, Some(String::new())));
    // A host name, a sysctl or a sysfs of its own takes the namespace.
    let none = select(if wild { KINDS.to_vec() } else { vec![KINDS[0], KINDS[2], KINDS[4]] })
        .prop_map(|(kind, _)| Edit::Namespace(kind, None));
    let joined =
        select(KINDS.to_vec()).prop_map(|(kind, file)| Edit::Namespace(kind, Some(format!("/proc/@HOLDER/ns/{file}"))));
    let odd = json!([
        {"type": "pid"}, {"type": "odd"}, {"type": "uts", "path": "/proc/@HOLDER/ns/uts"}, {"type": "network", "path": "relative"},
        {"type": "ipc", "path": "/missing"}, {"type": "mount"}, {}
    ]);
    let odd = if wild { append("/linux/namespaces", true, json!([]), odd) } else { own.clone().boxed() };
    let hostname = set("/hostname", wild, json!(["name", "a.b.c", "x".repeat(64)]), json!(["", "x".repeat(65)]));
    prop_oneof![3 => own, 3 => none, 3 => joined, 1 => odd, 2 => hostname].boxed()
}

fn user_namespaces(wild: bool) -> Edits {
    let good = json!([
        [{"containerID": 0, "hostID": 100_000, "size": 65536}],
        [{"containerID": 0, "hostID": 0, "size": 65536}],
        [{"containerID": 0, "hostID": 100_000, "size": 5000}, {"containerID": 5000, "hostID": 1000, "size": 100_000}]
    ]);
    let bad = json!([
        [{"containerID": 0, "hostID": 100_000, "size": 1}],
        [{"containerID": 0, "hostID": 100_000, "size": 10}, {"containerID": 5, "hostID": 200_000, "size": 10}],
        [{"containerID": 0, "hostID": 100_000, "size": 0}],
        [{"containerID": 1, "hostID": 100_001, "size": 100}],
        []
    ]);
    let maps = move || select(of(wild, &list(good.clone()), &list(bad.clone())));
    let same = maps().prop_map(|map| Edit::UserNamespace(map.clone(), map));
    let different = (maps(), maps()).prop_map(|(users, groups)| Edit::UserNamespace(users, groups));
    let stray = maps().prop_map(|map| Edit::Set("/linux/uidMappings".into(), map));
    prop_oneof![4 => same, 2 => different, u32::from(wild) => stray].boxed()
}

/// None on /dev/null: runc opens its own streams again there, and what becomes of them depends on the device.
fn devices(wild: bool) -> Edits {
    let path = select(of(
        wild,
        &["/dev/a", "/dev/deep/er/b", "/dev/full"],
        &["/data/c", "relative", "/dev/shm/d", "/dev/ptmx"],
    ));
    let kind = select(of(wild, &["c", "b", "u", "p"], &["odd", ""]));
    let device = (path, kind, select(vec![1_i64, 5, 10, 250]), select(vec![0_i64, 3, 200, 300]))
        .prop_map(|(path, kind, major, minor)| json!({"path": path, "type": kind, "major": major, "minor": minor}));
    let mode = select(of(wild, &[0o600, 0o666], &[0o4755, 0]));
    let owned = (device, mode, ids(wild), ids(wild)).prop_map(|(mut device, mode, uid, gid)| {
        device["fileMode"] = json!(mode);
        device["uid"] = json!(uid);
        device["gid"] = json!(gid);
        device
    });
    add("/linux/devices", owned)
}

fn device_rules(wild: bool) -> Edits {
    let number = || select(of(wild, &list(json!([null, 1, 5, 10, 200])), &list(json!([-1, 0]))));
    let access = select(of(wild, &["r", "w", "m", "rw", "rwm"], &["", "x", "rr"]));
    let kind = select(of(wild, &["a", "c", "b"], &["", "odd"]));
    let rule = (any::<bool>(), kind, number(), number(), access).prop_map(|(allow, kind, major, minor, access)| {
        let mut rule = json!({"allow": allow, "access": access});
        for (name, value) in [("major", major), ("minor", minor)] {
            if !value.is_null() {
                rule[name] = value;
            }
        }
        if !kind.is_empty() {
            rule["type"] = json!(kind);
        }
        rule
    });
    add("/linux/resources/devices", rule)
}

/// A limit of the rate at which a device of the machine is used, its first disk.
fn disk(rate: u64) -> Value {
    let numbers = std::fs::read_dir("/sys/block").into_iter().flatten().filter_map(|entry| {
        let name = entry.ok()?.path().join("dev");
        let text = std::fs::read_to_string(name).ok()?;
        let (major, minor) = text.trim().split_once(':')?;
        Some((major.parse::<i64>().ok()?, minor.parse::<i64>().ok()?))
    });
    let (major, minor) = numbers.min().unwrap_or((250, 250));
    json!({"major": major, "minor": minor, "rate": rate})
}

fn resources(wild: bool) -> Edits {
    let at = |name: &str| -> &'static str {
        match name {
            "pids" => "/linux/resources/pids",
            "memory" => "/linux/resources/memory",
            "cpu" => "/linux/resources/cpu",
            "blockIO" => "/linux/resources/blockIO",
            "hugepageLimits" => "/linux/resources/hugepageLimits",
            "network" => "/linux/resources/network",
            "rdma" => "/linux/resources/rdma",
            _ => "/linux/resources/unified",
        }
    };
    prop_oneof![
        set(at("pids"), wild, json!([{"limit": 100}, {"limit": 5000}]), json!([{"limit": 0}, {"limit": -1}])),
        set(
            at("memory"),
            wild,
            json!([{"limit": 268_435_456}, {"limit": 268_435_456, "swap": 536_870_912}, {"reservation": 134_217_728}, {"limit": 268_435_456, "swappiness": 50}]),
            json!([
                {"limit": -1}, {"swap": 268_435_456}, {"limit": 268_435_456, "swap": 1000}, {"swappiness": 101},
                {"limit": 268_435_456, "disableOOMKiller": true}, {"kernel": 268_435_456}, {"limit": 0},
                {"kernelTCP": 268_435_456}, {"limit": 268_435_456, "useHierarchy": true}, {"limit": 268_435_456, "checkBeforeUpdate": true}
            ])
        ),
        set(
            at("cpu"),
            wild,
            json!([{"shares": 512}, {"shares": 2}, {"quota": 50_000, "period": 100_000}, {"cpus": "0"}, {"cpus": "0-1", "mems": "0"}]),
            json!([{"shares": 1}, {"shares": 300_000}, {"quota": -1}, {"period": 50_000}, {"quota": 500}, {"cpus": "99"}, {"cpus": "odd"},
                {"realtimeRuntime": 1000, "realtimePeriod": 100_000}, {"quota": 50_000, "burst": 10_000}, {"idle": 1}])
        ),
        set(
            at("blockIO"),
            wild,
            json!([{}, {"throttleReadBpsDevice": [disk(1 << 30)]}, {"throttleWriteIOPSDevice": [disk(100_000)], "throttleReadIOPSDevice": [disk(100_000)]}]),
            json!([
                {"weight": 500}, {"weight": 5}, {"leafWeight": 500}, {"throttleWriteBpsDevice": [{"major": 250, "minor": 250, "rate": 1}]},
                {"weightDevice": [{"major": 254, "minor": 0, "weight": 500, "leafWeight": 500}]}, {"throttleReadBpsDevice": [disk(0)]}
            ])
        ),
        set(
            at("hugepageLimits"),
            wild,
            json!([[], [{"pageSize": "2MB", "limit": 4_194_304}]]),
            json!([[{"pageSize": "3MB", "limit": 0}], [{"pageSize": "odd", "limit": 0}]])
        ),
        set(at("network"), wild, json!([{}]), json!([{"classID": 1_048_577}, {"priorities": [{"name": "lo", "priority": 5}]}])),
        set(at("rdma"), wild, json!([{}]), json!([{"mlx5_1": {"hcaHandles": 3, "hcaObjects": 1000}}])),
        set(at("unified"), wild, json!([{}]), json!([{"pids.max": "100"}, {"cgroup.freeze": "0"}, {"../odd": "1"}])),
    ]
    .boxed()
}

fn sysctl(wild: bool) -> Edits {
    let one = |(name, value): (&str, &str)| Edit::Set("/linux/sysctl".into(), json!({name: value}));
    let good = [
        ("kernel.msgmax", "8193"),
        ("kernel.sem", "250 32000 32 129"),
        ("fs.mqueue.msg_max", "11"),
        ("net.ipv4.ip_default_ttl", "65"),
        ("net/ipv4/ip_default_ttl", "66"),
        ("kernel.shm_rmid_forced", "1"),
        ("net.ipv4.conf.lo.forwarding", "1"),
    ];
    // Those that reach the whole machine have the value there that they have by themselves.
    let bad = [
        ("kernel.odd", "1"),
        ("vm.swappiness", "60"),
        ("kernel.domainname", "domain"),
        ("kernel.hostname", "name"),
        ("net.ipv4.odd", "1"),
        ("", ""),
    ];
    select(of(wild, &good, &bad)).prop_map(one).boxed()
}

fn seccomp(wild: bool) -> Edits {
    let good = json!([
        {"action": "SCMP_ACT_ERRNO"}, {"action": "SCMP_ACT_ERRNO", "errnoRet": 38}, {"action": "SCMP_ACT_ALLOW"},
        {"action": "SCMP_ACT_LOG"}, {"action": "SCMP_ACT_TRACE"}, {"action": "SCMP_ACT_TRACE", "errnoRet": 5}
    ]);
    let bad = json!([{"action": "SCMP_ACT_ODD"}, {"action": "SCMP_ACT_ERRNO", "errnoRet": 5000}]);
    let action = select(of(wild, &list(good), &list(bad)));
    let names = subsequence(
        vec!["mkdir", "mkdirat", "chroot", "unlink", "getpgid", "kcmp", "inotify_init1", "lseek", "no_such_call"],
        1..4,
    );
    let operators = of(
        wild,
        &["SCMP_CMP_EQ", "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_GE", "SCMP_CMP_MASKED_EQ"],
        &["SCMP_CMP_ODD"],
    );
    let index = if wild { 0..7_u32 } else { 0..6_u32 };
    let argument = (index, select(vec![0_u64, 1, 99, 0x7fff_fff0, u64::MAX]), select(operators))
        .prop_map(|(index, value, op)| json!({"index": index, "value": value, "valueTwo": 1, "op": op}));
    let rule = (names, action, proptest::collection::vec(argument, 0..3)).prop_map(|(names, mut rule, arguments)| {
        rule["names"] = json!(names);
        rule["args"] = json!(arguments);
        rule
    });
    let architectures = sometimes(&of(
        wild,
        &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"],
        &["SCMP_ARCH_ODD"],
    ));
    let flags = subsequence(
        of(wild, &["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"], &["ODD"]),
        0..=1,
    );
    // Others end the runtime's own init, or the probe.
    let rest = select(of(
        wild,
        &list(json!([{"defaultAction": "SCMP_ACT_ALLOW"}, {"defaultAction": "SCMP_ACT_LOG"}])),
        &list(json!([
            {"defaultAction": "SCMP_ACT_NOTIFY"}, {"defaultAction": ""}, {"defaultAction": "SCMP_ACT_ODD"},
            {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}, {"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "text"},
            {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "@DIR/missing"}
        ])),
    ));
    (proptest::collection::vec(rule, 0..4), architectures, flags, rest)
        .prop_map(|(rules, architectures, flags, mut profile)| {
            profile["architectures"] = json!(architectures);
            profile["flags"] = json!(flags);
            profile["syscalls"] = json!(rules);
            Edit::Set("/linux/seccomp".into(), profile)
        })
        .boxed()
}

fn hooks(wild: bool) -> Edits {
    let kinds = vec!["prestart", "createRuntime", "createContainer", "poststart", "poststop", "startContainer"];
    // A startContainer hook is a program of the container, which has none but the probe.
    let kinds = if wild { kinds } else { kinds[..5].to_vec() };
    let good =
        json!([{"path": "/bin/true"}, {"path": "/bin/true", "args": ["true", "a"], "env": ["A=b"], "timeout": 30}]);
    let bad = json!([
        {"path": "/bin/false"}, {"path": "relative"}, {"path": "/missing"}, {"path": "/bin/true", "timeout": -1}, {"path": "/bin/probe"},
        {"path": "/bin/true", "timeout": 0}
    ]);
    (select(kinds), select(of(wild, &list(good), &list(bad))))
        .prop_map(|(kind, hook)| Edit::Add(format!("/hooks/{kind}"), hook))
        .boxed()
}

/// Elements that are newer than runc 1.1, which ignores them: nothing else may change for them.
fn newer() -> Edits {
    let none = json!([]);
    prop_oneof![
        set(
            "/process/scheduler",
            false,
            json!([{"policy": "SCHED_BATCH", "nice": 3}, {"policy": "SCHED_OTHER"}, {"policy": "SCHED_IDLE"}, {"policy": "SCHED_RR", "priority": 1}, {"policy": "SCHED_FIFO", "priority": 2, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}]),
            none.clone()
        ),
        set(
            "/process/ioPriority",
            false,
            json!([{"class": "IOPRIO_CLASS_BE", "priority": 7}, {"class": "IOPRIO_CLASS_IDLE"}]),
            none.clone()
        ),
        set("/linux/personality", false, json!([{"domain": "LINUX32"}, {"domain": "LINUX"}]), none.clone()),
        set(
            "/linux/memoryPolicy",
            false,
            json!([{"mode": "MPOL_BIND", "nodes": "0"}, {"mode": "MPOL_DEFAULT"}, {"mode": "MPOL_LOCAL"}]),
            none.clone()
        ),
        set("/domainname", false, json!(["domain", ""]), none.clone()),
        set("/linux/netDevices", false, json!([{}]), none.clone()),
        set("/linux/resources/cpu", false, json!([{"shares": 512, "burst": 0}, {"idle": 0}]), none.clone()),
        set("/process/execCPUAffinity", false, json!([{"initial": "0", "final": "0-1"}]), none),
    ]
    .boxed()
}

/// The program's terminal, which is handed over through a console socket.
fn terminals(wild: bool) -> Edits {
    let good = json!([
        {"height": 24, "width": 80}, {"height": 1, "width": 1}, {"height": 65535, "width": 300}, {"height": 0, "width": 0}, {"width": 7}, {}
    ]);
    let bad =
        json!([{"height": 65536, "width": 80}, {"height": -1, "width": 80}, {"height": 2.5}, {"width": "80"}, []]);
    let sizes = of(wild, &list(good), &list(bad));
    prop_oneof![
        1 => Just(Edit::Terminal(None)),
        2 => select(sizes).prop_map(|size| Edit::Terminal(Some(size))),
    ]
    .boxed()
}

fn the_rest(wild: bool) -> Edits {
    prop_oneof![
        set("/annotations", wild, json!([{"a": "b"}, {}]), json!([{"": ""}, {"org.systemd.property.X": "'y'"}, null])),
        set("/ociVersion", wild, json!(["1.0.0", "1.0.2-dev", "1.3.0", "1.9.7"]), json!(["2.0.0", "odd", "", null])),
        set(
            "/linux/cgroupsPath",
            wild,
            json!(["@CGROUP", "/@CGROUP"]),
            json!(["/../../@CGROUP", "/./x/../@CGROUP", "../@CGROUP"])
        ),
        set(
            "/linux/intelRdt",
            wild,
            json!([null]),
            json!([{"l3CacheSchema": "L3:0=f"}, {"closID": "a/b", "memBwSchema": "MB:0=50"}])
        ),
        set("/windows", wild, json!([{"layerFolders": ["x"]}]), json!([])),
        set("/vm", wild, json!([{"kernel": {"path": "/vmlinuz"}}]), json!([])),
        set("/solaris", wild, json!([{"anet": []}]), json!([])),
        set(
            "/linux/rootfsPropagation",
            wild,
            json!(["", "private", "slave", "rprivate", "rslave"]),
            json!(["shared", "unbindable", "odd"])
        ),
        set("/linux/mountLabel", wild, json!([""]), json!(["system_u:object_r:container_file_t:s0"])),
        set("/unknownElement", wild, json!([1, {"a": []}]), json!([])),
        set("/linux/unknownElement", wild, json!(["a"]), json!([null])),
        set("/process/terminal", wild, json!([false]), json!([null])),
    ]
    .boxed()
}
