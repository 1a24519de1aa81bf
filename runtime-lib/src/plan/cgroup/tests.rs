use super::*;
use crate::host::Hierarchy;
use crate::spec::{Hooks, Namespaces, Process, Root, User};
use oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};

fn spec(path: Option<&str>, resources: Value) -> ValidSpec {
    let user = User { uid: 0, gid: 0, umask: None, additional_gids: vec![] };
    let process = Process {
        args: vec!["true".into()],
        env: vec![],
        cwd: "/".into(),
        terminal: false,
        console_size: None,
        user,
        capabilities: None,
        rlimits: vec![],
        no_new_privileges: false,
        oom_score_adj: None,
        apparmor_profile: None,
        selinux_label: None,
        scheduler: None,
        io_priority: None,
        exec_cpu_affinity: None,
    };
    ValidSpec {
        oci_version: "1.3.0".into(),
        root: Root { path: "rootfs".into(), readonly: false },
        hostname: None,
        domainname: None,
        process,
        namespaces: Namespaces::default(),
        uid_mappings: vec![],
        gid_mappings: vec![],
        time_offsets: Vec::new(),
        mounts: vec![],
        devices: vec![],
        masked_paths: vec![],
        readonly_paths: vec![],
        rootfs_propagation: None,
        sysctl: Default::default(),
        cgroups_path: path.map(str::to_owned),
        resources: serde_json::from_value::<Option<LinuxResources>>(resources).unwrap(),
        mount_label: None,
        net_devices: vec![],
        intel_rdt: None,
        personality: None,
        memory_policy: None,
        seccomp: None,
        hooks: Hooks::default(),
        annotations: Default::default(),
        warnings: vec![],
    }
}

fn hierarchy(controllers: &[&str], own_path: &str) -> Hierarchy {
    let name = controllers.join(",");
    Hierarchy {
        controllers: controllers.iter().map(|&c| c.to_owned()).collect(),
        mount_point: format!("/cg/{}", name.trim_start_matches("name=")),
        own_path: own_path.to_owned(),
    }
}

fn v1() -> HostCgroups {
    let v1 = [
        hierarchy(&["name=systemd"], "/user"),
        hierarchy(&["cpu", "cpuacct"], "/"),
        hierarchy(&["cpuset"], "/"),
        hierarchy(&["memory"], "/own/deep"),
        hierarchy(&["devices"], "/"),
        hierarchy(&["pids"], "/"),
        hierarchy(&["blkio"], "/"),
        hierarchy(&["net_cls", "net_prio"], "/"),
        hierarchy(&["name=elogind"], "/"),
    ];
    HostCgroups { v1: v1.to_vec(), v2: None }
}

fn unified(own_path: &str) -> Hierarchy {
    Hierarchy { controllers: vec![], mount_point: "/cg".into(), own_path: own_path.into() }
}

fn hybrid() -> HostCgroups {
    HostCgroups { v2: Some(Hierarchy { mount_point: "/cg/unified".into(), ..unified("/me") }), ..v1() }
}

fn v2() -> HostCgroups {
    HostCgroups { v1: vec![], v2: Some(unified("/user/session")) }
}

fn lowered(host: &HostCgroups, path: Option<&str>, resources: Value) -> Result<CgroupPlan> {
    lower(&spec(path, resources), host, &ContainerId::new("web").unwrap(), Driver::Cgroupfs)
}

fn directories(plan: &CgroupPlan) -> Vec<String> {
    plan.paths.directories().map(|directory| directory.absolute().display().to_string()).collect()
}

#[test]
fn paths_are_where_runc_puts_them() {
    let own_v1 = |name: &str| {
        let own = ["systemd/user", "cpu,cpuacct", "cpuset", "memory/own/deep", "devices", "pids", "blkio"];
        own.iter().chain(&["net_cls,net_prio"]).map(|own| format!("/cg/{own}/{name}")).collect::<Vec<_>>()
    };
    for (path, expected) in [(None, "web"), (Some(""), "web"), (Some("pod/./web"), "pod/web")] {
        assert_eq!(directories(&lowered(&v1(), path, Value::Null).unwrap()), own_v1(expected));
        let mut hybrid_paths = own_v1(expected);
        hybrid_paths.push(format!("/cg/unified/me/{expected}"));
        assert_eq!(directories(&lowered(&hybrid(), path, Value::Null).unwrap()), hybrid_paths);
        // On version 2 beside the caller, who is in /user/session, and not below.
        assert_eq!(directories(&lowered(&v2(), path, Value::Null).unwrap()), [format!("/cg/user/{expected}")]);
    }
    let absolute = lowered(&hybrid(), Some("//pod//web/"), Value::Null).unwrap();
    assert!(directories(&absolute).contains(&"/cg/memory/pod/web".to_owned()));
    assert!(directories(&absolute).contains(&"/cg/unified/pod/web".to_owned()));
    for own in ["/", "/session"] {
        let host = HostCgroups { v1: vec![], v2: Some(unified(own)) };
        assert_eq!(directories(&lowered(&host, None, Value::Null).unwrap()), ["/cg/web"]);
    }
}

#[test]
fn a_path_cannot_leave_its_hierarchy() {
    for host in [v1(), hybrid(), v2()] {
        for path in ["..", "../web", "a/../../web", "/../web", "/a/..", "/", "./", "//", ".", "a\0b", "a\nb"] {
            let error = lowered(&host, Some(path), Value::Null).unwrap_err();
            assert_eq!(error.location(), Some("linux.cgroupsPath"), "{path:?}: {error}");
        }
    }
}

#[test]
fn mounts_show_each_hierarchy_of_the_host() {
    let host = hybrid();
    let plan = lowered(&host, Some("/web"), Value::Null).unwrap();
    let mounts = plan.paths.mounts(&host);
    assert_eq!(mounts.len(), 9);
    assert_eq!(mounts[1].controllers, ["cpu", "cpuacct"]);
    assert_eq!(mounts[1].directory.to_str(), Some("/cg/cpu,cpuacct/web"));
    assert_eq!(mounts[8].mount_point, "/cg/unified");
}

#[test]
fn systemd_has_the_limits_as_properties() {
    let id = ContainerId::new("web").unwrap();
    let plan = lower(&spec(None, json!({"pids": {"limit": 7}})), &v1(), &id, Driver::Systemd).unwrap();
    assert_eq!(properties_of(&plan.writes), [("TasksMax".to_owned(), super::Value::U64(7))]);
    let plan = lower(&spec(None, json!({"pids": {"limit": 7}})), &v2(), &id, Driver::Systemd).unwrap();
    assert_eq!(plan.systemd.unwrap().unit, "corten-web.scope");
    assert_eq!(properties_of(&plan.writes), [("TasksMax".to_owned(), super::Value::U64(7))]);
}

/// The writes but for those of devices, as `file=value`, with ? for a file that may be absent.
fn writes(plan: &CgroupPlan) -> String {
    let limits = plan.writes.iter().filter(|write| write.location != "linux.resources.devices");
    let shown = limits.map(|write| match &write.if_absent {
        IfAbsent::Fail => format!("{}={}", write.file, write.value),
        IfAbsent::Skip => format!("{}={}?", write.file, write.value),
        IfAbsent::Write { file, value } => format!("{}={}|{file}={value}", write.file, write.value),
    });
    shown.collect::<Vec<_>>().join("; ")
}

/// Compares the writes, or the error after "! ", on either version.
fn check(resources: Value, expected_v1: &str, expected_v2: &str) {
    for (host, expected) in [(v1(), expected_v1), (v2(), expected_v2)] {
        let shown = match lowered(&host, None, resources.clone()) {
            Ok(plan) => writes(&plan),
            Err(error) => format!("! {error}"),
        };
        assert_eq!(shown, expected, "{resources} with {} v1 hierarchies", host.v1.len());
    }
}

#[test]
fn memory_limits_become_writes() {
    check(Value::Null, "", "");
    let mem = |limits: Value| json!({ "memory": limits });
    check(Value::Null, "", "");
    check(
        mem(json!({"limit": 100, "swap": 250, "reservation": 50})),
        "memory.limit_in_bytes=100; memory.memsw.limit_in_bytes=250; memory.soft_limit_in_bytes=50",
        "memory.max=100; memory.swap.max=150; memory.low=50",
    );
    check(
        mem(json!({"limit": 100, "swap": 100})),
        "memory.limit_in_bytes=100; memory.memsw.limit_in_bytes=100",
        "memory.max=100; memory.swap.max=0?",
    );
    check(
        mem(json!({"limit": -1})),
        "memory.limit_in_bytes=-1; memory.memsw.limit_in_bytes=-1?",
        "memory.max=max; memory.swap.max=max?",
    );
    check(
        mem(json!({"limit": 100, "swap": -1})),
        "memory.limit_in_bytes=100; memory.memsw.limit_in_bytes=-1",
        "memory.max=100; memory.swap.max=max?",
    );
    check(mem(json!({"limit": 0, "swap": 0, "reservation": 0, "checkBeforeUpdate": true})), "", "");
    let swap_fault = "! linux.resources.memory.swap: unable to set swap limit without memory limit";
    check(mem(json!({"swap": 100})), swap_fault, swap_fault);
    check(mem(json!({"limit": -1, "swap": 100})), swap_fault, swap_fault);
    let less = "! linux.resources.memory.swap: memory+swap limit should be >= memory limit";
    check(mem(json!({"limit": 200, "swap": 100})), less, less);
    let negative = "! linux.resources.memory.limit: invalid memory value: -5";
    check(mem(json!({"limit": -5})), negative, negative);
    check(mem(json!({"swappiness": 50, "disableOOMKiller": true})), "memory.swappiness=50; memory.oom_control=1", "");
    check(
        mem(json!({"swappiness": 101})),
        "! linux.resources.memory.swappiness: invalid memory swappiness value: 101 (valid range is 0-100)",
        "",
    );
}

#[test]
fn cpu_limits_become_writes() {
    let cpu = |limits: Value| json!({ "cpu": limits });
    check(
        cpu(json!({"shares": 1024, "quota": 50000, "period": 200000, "burst": 1000, "idle": 1})),
        "cpu.shares=1024; cpu.idle=1; cpu.cfs_period_us=200000; cpu.cfs_quota_us=50000; cpu.cfs_burst_us=1000",
        "cpu.weight=100; cpu.idle=1; cpu.max=50000 200000; cpu.max.burst=1000",
    );
    check(cpu(json!({"quota": -1})), "cpu.cfs_quota_us=-1", "cpu.max=max 100000");
    check(cpu(json!({"quota": 0, "period": 50000})), "cpu.cfs_period_us=50000", "cpu.max=max 50000");
    check(cpu(json!({"shares": 0, "quota": 0, "period": 0})), "", "");
    check(
        cpu(json!({"shares": 1})),
        "! linux.resources.cpu.shares: the minimum allowed cpu-shares is 2",
        "cpu.weight=1",
    );
    check(
        cpu(json!({"shares": 300000})),
        "! linux.resources.cpu.shares: the maximum allowed cpu-shares is 262144",
        "cpu.weight=10000",
    );
    check(
        cpu(json!({"realtimeRuntime": 1000, "realtimePeriod": 100000})),
        "cpu.rt_period_us=100000; cpu.rt_runtime_us=1000",
        "",
    );
    check(cpu(json!({"cpus": "0-1", "mems": "0"})), "cpuset.cpus=0-1; cpuset.mems=0", "cpuset.cpus=0-1; cpuset.mems=0");
}

#[test]
fn other_limits_become_writes() {
    for (limit, expected) in [(0, ""), (-1, "pids.max=max"), (-2, "pids.max=max"), (7, "pids.max=7")] {
        check(json!({"pids": {"limit": limit}}), expected, expected);
    }
    check(
        json!({"blockIO": {"weight": 505, "leafWeight": 20, "weightDevice": [{"major": 8, "minor": 0, "weight": 30}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 9}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 2, "rate": 5}]}}),
        "blkio.weight=505|blkio.bfq.weight=505; blkio.leaf_weight=20; \
         blkio.weight_device=8:0 30|blkio.bfq.weight_device=8:0 30; blkio.throttle.read_bps_device=8:1 9; \
         blkio.throttle.write_iops_device=8:2 5",
        "io.bfq.weight=505|io.weight=5000; io.bfq.weight=8:0 30?; io.max=8:1 rbps=9; io.max=8:2 wiops=5",
    );
    for (weight, io) in [(9, 0), (10, 1), (1000, 10_000), (1001, 10_010)] {
        check(
            json!({"blockIO": {"weight": weight}}),
            &format!("blkio.weight={weight}|blkio.bfq.weight={weight}"),
            &format!("io.bfq.weight={weight}|io.weight={io}"),
        );
    }
    check(
        json!({"network": {"classID": 1048577, "priorities": [{"name": "lo", "priority": 3}]}}),
        "net_cls.classid=1048577; net_prio.ifpriomap=lo 3",
        "",
    );
    check(
        json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}),
        "! linux.resources.hugepageLimits[0]: cannot set hugetlb limit: this host has no cgroup v1 controller hugetlb",
        "hugetlb.2MB.max=4194304; hugetlb.2MB.rsvd.max=4194304?",
    );
    check(
        json!({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 4}}}),
        "! linux.resources.rdma.mlx5_1: cannot set rdma limit: this host has no cgroup v1 controller rdma",
        "rdma.max=mlx5_1 hca_handle=3 hca_object=4",
    );
    check(
        json!({"unified": {"memory.high": "5", "io.max": "8:0 rbps=1\n8:1 rbps=2", "cgroup.max.depth": "4"}}),
        "! linux.resources.unified: cannot use unified on cgroup v1",
        "cgroup.max.depth=4; io.max=8:0 rbps=1; io.max=8:1 rbps=2; memory.high=5",
    );
}

#[test]
fn names_in_resources_cannot_reach_other_files() {
    for size in ["../x", "2MB/../../x", "", "MB", "2", "2MB.max", "2mb", "2MB\0"] {
        let error = lowered(&v2(), None, json!({"hugepageLimits": [{"pageSize": size, "limit": 1}]})).unwrap_err();
        assert_eq!(error.location(), Some("linux.resources.hugepageLimits[0].pageSize"), "{size:?}");
    }
    for key in ["../x", "a/b.c", "..", ".", "nodot", ".x", "x.", "...", "memory.max\0"] {
        let error = lowered(&v2(), None, json!({"unified": {key: "1"}})).unwrap_err();
        assert_eq!(error.location(), Some("linux.resources.unified"), "{key:?}");
    }
    let error = lowered(&v2(), None, json!({"rdma": {"a b": {"hcaHandles": 3}}})).unwrap_err();
    assert_eq!(error.location(), Some("linux.resources.rdma.a b"));
    let network = json!({"network": {"priorities": [{"name": "lo 1\neth0", "priority": 3}]}});
    let error = lowered(&v1(), None, network).unwrap_err();
    assert_eq!(error.location(), Some("linux.resources.network.priorities[0].name"));
}

#[test]
fn only_the_controllers_that_are_needed_are_enabled() {
    assert_eq!(lowered(&v2(), None, Value::Null).unwrap().enable, [""; 0]);
    let some = json!({"memory": {"limit": 5, "swap": 9}, "pids": {"limit": 1}, "unified": {"cgroup.max.depth": "1"}});
    assert_eq!(lowered(&v2(), None, some).unwrap().enable, ["memory", "pids"]);
}

#[test]
fn kernel_memory_is_ignored_with_runcs_warning() {
    let plan = lowered(&v1(), None, json!({"memory": {"kernel": 5, "kernelTCP": 5}})).unwrap();
    assert_eq!((writes(&plan).as_str(), plan.warnings.len()), ("", 1));
}

#[test]
fn shares_keep_their_meaning_as_weight() {
    for (shares, weight) in [(1, 1), (2, 1), (3, 2), (102, 17), (512, 59), (1024, 100), (2048, 174), (262_144, 10_000)]
    {
        assert_eq!(v2::weight_of_shares(shares), weight, "{shares}");
    }
    let weights: Vec<u64> = (2..=262_144).step_by(97).map(v2::weight_of_shares).collect();
    assert!(weights.is_sorted() && weights.iter().all(|weight| (1..=10_000).contains(weight)));
}

/// What every container has besides its rules, in the plan's order.
const ALWAYS: &str = "b *:* m; c *:* m; c 1:3 rwm; c 1:5 rwm; c 1:7 rwm; c 1:8 rwm; c 1:9 rwm; c 5:0 rwm; c 5:2 rwm; \
                      c 10:200 rwm; c 136:* rwm";

#[test]
fn device_rules_are_replayed_into_one_policy() {
    let check = |rules: Value, expected: &str| {
        for host in [v1(), v2()] {
            let shown = match lowered(&host, None, json!({ "devices": rules })) {
                Ok(CgroupPlan { devices, .. }) => {
                    let rules: Vec<String> = devices.exceptions.iter().map(ToString::to_string).collect();
                    let default = if devices.allow_by_default { "allow but " } else { "" };
                    format!("{default}{}", rules.join("; "))
                }
                Err(error) => format!("! {error}"),
            };
            assert_eq!(shown, expected, "{rules}");
        }
    };
    check(json!([]), ALWAYS);
    check(json!([{"allow": false, "access": "rwm"}]), ALWAYS);
    check(json!([{"allow": true, "access": "rwm"}]), "allow but ");
    check(
        json!([{"allow": true, "access": "rwm"}, {"allow": false, "access": "w", "type": "b", "major": 8, "minor": 1}]),
        "allow but b 8:1 w",
    );
    // The devices of every container are taken from what is denied.
    check(
        json!([{"allow": true, "access": "r"}, {"allow": false, "access": "rw", "type": "c", "major": 1, "minor": 3}]),
        "allow but ",
    );
    check(
        json!([{"allow": true, "access": "rw", "type": "c", "major": 1, "minor": 11},
               {"allow": false, "access": "w", "type": "c", "major": 1, "minor": 11}]),
        &ALWAYS.replace("c 5:0", "c 1:11 r; c 5:0"),
    );
    check(
        json!([{"allow": true, "access": "r", "type": "c", "major": -1, "minor": 11}]),
        &ALWAYS.replace("c 1:3", "c *:11 r; c 1:3"),
    );
    let at = |text: &str| format!("! linux.resources.devices[0]: {text}");
    check(json!([{"allow": false}]), &at("device access field cannot be empty"));
    check(
        json!([{"allow": true, "access": "rx", "type": "c", "major": 1, "minor": 11}]),
        &ALWAYS.replace("c 5:0", "c 1:11 r; c 5:0"),
    );
    check(json!([{"allow": true, "access": "x", "type": "c", "major": 1, "minor": 11}]), ALWAYS);
    check(json!([{"allow": true, "access": "r", "type": "p"}]), &at("invalid cgroup device type \"p\""));
    check(json!([{"allow": true, "access": "r", "type": "c", "major": -2}]), &at("invalid major number -2"));
    check(
        json!([{"allow": true, "access": "r", "type": "c", "minor": 1u64 << 33}]),
        &at("invalid minor number 8589934592"),
    );
    check(
        json!([{"allow": true, "access": "rw", "type": "c"},
               {"allow": false, "access": "rw", "type": "c", "major": 1, "minor": 3}]),
        "! linux.resources.devices[1]: cannot punch a hole into the wider rule \"c *:* rw\"",
    );
}

#[test]
fn version_1_sets_the_device_default_first() {
    let writes = |rules: Value| {
        let plan = lowered(&v1(), None, json!({ "devices": rules })).unwrap();
        plan.writes.iter().map(|write| format!("{}={}", write.file, write.value)).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(
        writes(json!([])),
        format!(
            "devices.deny=a; {}",
            ALWAYS.split("; ").map(|r| format!("devices.allow={r}")).collect::<Vec<_>>().join("; ")
        )
    );
    assert_eq!(
        writes(json!([{"allow": true, "access": "rwm"}, {"allow": false, "access": "w", "type": "b"}])),
        "devices.allow=a; devices.deny=b *:* w"
    );
}

#[test]
fn a_cgroup_is_given_to_the_user_of_the_program_where_that_is_safe() {
    let owner_on = |host: &HostCgroups, adapt: &dyn Fn(&mut ValidSpec)| {
        let config = serde_json::json!({
            "ociVersion": "1.3.0", "root": {"path": "rootfs"},
            "process": {"cwd": "/", "args": ["x"], "user": {"uid": 5, "gid": 0}},
            "mounts": [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]}],
            "linux": {
                "namespaces": [{"type": "cgroup"}, {"type": "user"}, {"type": "mount"}],
                "uidMappings": [{"containerID": 0, "hostID": 99_997, "size": 6}],
                "gidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]
            }
        });
        let mut spec = crate::spec::parse(config.to_string().as_bytes()).unwrap();
        adapt(&mut spec);
        lower(&spec, host, &ContainerId::new("web").unwrap(), Driver::Cgroupfs).unwrap().owner
    };
    let owner = |adapt: &dyn Fn(&mut ValidSpec)| owner_on(&v2(), adapt);
    assert_eq!(owner(&|_| ()), Some(100_002));
    assert_eq!(owner(&|spec| spec.namespaces.user = Namespace::Host), Some(5));
    assert_eq!(owner_on(&v1(), &|_| ()), None);
    assert_eq!(owner(&|spec| spec.process.user.uid = 6), None);
    assert_eq!(owner(&|spec| spec.namespaces.cgroup = Namespace::Host), None);
    assert_eq!(owner(&|spec| spec.mounts[0].attrs.set |= libc::MS_RDONLY), None);
    assert_eq!(owner(&|spec| spec.mounts.clear()), None);
    assert_eq!(owner(&|spec| spec.namespaces.user = Namespace::Join { index: 1, path: "/x".to_owned() }), None);
}
