//! Limits of version 1 that no other test looks for in the kernel's files. What a machine has no hierarchy for is left out: the
//! virtual machine has some of them (`integration/vm/run -s -g v1 cgroup_v1`).

use corten_integration::{Sandbox, once, skip};
use serde_json::{Value, json};

/// The numbers of a disk, whose rates can be limited.
fn disk() -> Option<(u64, u64)> {
    let entries = std::fs::read_dir("/sys/block").ok()?;
    let number = |name: std::path::PathBuf| {
        let text = std::fs::read_to_string(name.join("dev")).ok()?;
        let (major, minor) = text.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    entries.filter_map(|entry| number(entry.ok()?.path())).min()
}

/// Resources, and what a line of a file of a hierarchy has to be then.
type Row = (Value, Vec<(&'static str, &'static str, String)>);

fn processors(t: &Sandbox) -> Vec<Row> {
    let line = |file: &'static str, text: &str| ("cpu", file, text.to_owned());
    let mut rows = vec![
        (
            json!({"cpu": {"realtimeRuntime": 10_000, "realtimePeriod": 500_000}}),
            vec![line("cpu.rt_runtime_us", "10000"), line("cpu.rt_period_us", "500000")],
        ),
        (
            json!({"cpu": {"quota": 60_000, "period": 120_000, "shares": 300}}),
            vec![line("cpu.cfs_quota_us", "60000"), line("cpu.cfs_period_us", "120000"), line("cpu.shares", "300")],
        ),
    ];
    if !t.differs("cpu burst and idle on version 1") {
        let burst = json!({"cpu": {"quota": 50_000, "burst": 10_000}});
        rows.push((burst, vec![line("cpu.cfs_burst_us", "10000"), line("cpu.cfs_quota_us", "50000")]));
        rows.push((json!({"cpu": {"idle": 1}}), vec![line("cpu.idle", "1")]));
    }
    rows
}

fn memory() -> Vec<Row> {
    let line = |file: &'static str, text: &str| ("memory", file, text.to_owned());
    let limit = 134_217_728;
    vec![
        (
            json!({"memory": {"limit": limit, "swap": 268_435_456, "reservation": 67_108_864}}),
            vec![
                line("memory.limit_in_bytes", "134217728"),
                line("memory.memsw.limit_in_bytes", "268435456"),
                line("memory.soft_limit_in_bytes", "67108864"),
            ],
        ),
        (json!({"memory": {"limit": limit, "swappiness": 30}}), vec![line("memory.swappiness", "30")]),
        (
            json!({"memory": {"limit": limit, "disableOOMKiller": true}}),
            vec![line("memory.oom_control", "oom_kill_disable 1")],
        ),
    ]
}

fn devices(t: &Sandbox) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some((major, minor)) = disk() {
        for (element, file, rate) in [
            ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", 1_048_576),
            ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", 2_097_152),
            ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", 100),
            ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", 200),
        ] {
            let limit = json!({"blockIO": {element: [{"major": major, "minor": minor, "rate": rate}]}});
            rows.push((limit, vec![("blkio", file, format!("{major}:{minor} {rate}"))]));
        }
    }
    // The kernel's own file of a weight has gone with its scheduler; that of BFQ is there.
    if !t.differs("weights of version 1 without CFQ") {
        rows.push((json!({"blockIO": {"weight": 500}}), vec![("blkio", "blkio.bfq.weight", "500".to_owned())]));
    }
    rows
}

fn network() -> Vec<Row> {
    vec![
        (json!({"network": {"classID": 1_048_577}}), vec![("net_cls", "net_cls.classid", "1048577".to_owned())]),
        (
            json!({"network": {"priorities": [{"name": "lo", "priority": 5}]}}),
            vec![("net_prio", "net_prio.ifpriomap", "lo 5".to_owned())],
        ),
    ]
}

#[test]
fn limits_of_version_1_are_in_their_files() {
    once(|t| {
        if t.view().is_unified() {
            skip!("no hierarchies of version 1");
        }
        // What there is depends on how the kernel was built, and on the hierarchies that are mounted.
        let without = t.container(t.bundle().args(&["sleep", "1000"]));
        without.create();
        let mut found = 0;
        for (resources, lines) in [processors(t), memory(), devices(t), network()].concat() {
            let missing = lines.iter().find(|(controller, file, _)| !without.cgroup(controller).join(file).exists());
            if let Some((_, file, _)) = missing {
                eprintln!("left out: this machine has no {file}: {resources}");
                continue;
            }
            let devices = t.bundle().config["linux"]["resources"]["devices"].clone();
            let mut all = resources.clone();
            all["devices"] = devices;
            let container = t.container(t.bundle().set("/linux/resources", all).args(&["sleep", "1000"]));
            container.create();
            for (controller, file, expected) in lines {
                let text = container.cgroup_file(controller, file);
                assert!(text.lines().any(|line| line == expected), "{resources}: {file}: {text:?}, not {expected:?}");
            }
            container.command("delete").option("--force").ok();
            found += 1;
        }
        without.command("delete").option("--force").ok();
        assert!(found > 0, "nothing could be limited");
        t.assert_nothing_left();
    });
}

/// Who makes a path of several levels gives each what its parent has, but another may come between the two.
#[test]
fn a_cpuset_above_that_somebody_has_only_made_gets_processors() {
    once(|t| {
        if t.view().is_unified() {
            skip!("version 2 gives cpusets what their parents have");
        }
        if !t.hierarchy("cpuset").join("cpuset.cpus").exists() {
            skip!("version 1 has no controller cpuset here");
        }
        let above = t.hierarchy("cpuset").join(t.unique_name());
        std::fs::create_dir(&above).unwrap();
        let path = format!("/{}/child", above.file_name().unwrap().to_str().unwrap());
        let bundle = t.bundle().set("/linux/cgroupsPath", path).args(&["cat", "/proc/self/status"]);
        let output = t.container(bundle).command("run").ok();
        assert!(output.stdout().contains("Cpus_allowed_list:"), "{output}");
        for hierarchy in corten_integration::cgroup_mount_points() {
            let _ = std::fs::remove_dir(hierarchy.join(above.file_name().unwrap()));
        }
    });
}

/// systemd removes what is empty in the hierarchies of version 1 when it looks at its slices: here the test does, once for each container.
#[test]
fn a_cgroup_that_is_removed_before_anybody_is_in_it_is_made_again() {
    once(|t| {
        if t.view().is_unified() {
            skip!("systemd removes nothing of others on version 2");
        }
        if t.differs("cgroups removed while they are made") {
            return;
        }
        let removed: usize = (0..20)
            .map(|_| {
                let name = t.unique_name();
                let own = t.hierarchy("devices").join(&name);
                let mut bundle = t.bundle().set("/linux/cgroupsPath", format!("/{name}")).args(&["true"]);
                // What is made again is not what the container would have mounted a moment before.
                bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
                let ended = std::sync::atomic::AtomicBool::new(false);
                std::thread::scope(|scope| {
                    let remover = scope.spawn(|| {
                        while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                            if std::fs::remove_dir(&own).is_ok() {
                                return 1;
                            }
                        }
                        0
                    });
                    let container = t.container(bundle);
                    let output = container.command("create").run();
                    ended.store(true, std::sync::atomic::Ordering::Relaxed);
                    let removed = remover.join().unwrap();
                    assert_eq!(output.code(), 0, "{output}");
                    assert_eq!(
                        std::fs::read_to_string(own.join("cgroup.procs")).unwrap().trim(),
                        container.pid().to_string()
                    );
                    container.command("delete").option("--force").ok();
                    removed
                })
            })
            .sum();
        assert!(removed > 0, "the test never met the moment");
        t.assert_nothing_left();
    });
}
