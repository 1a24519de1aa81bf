//! Limits on version 2 with all its controllers: the kernel's files after `run` and after `update`. `integration/vm/run cgroup_v2`
//! has such a machine; the version 2 view of a hybrid one has no controllers, and the tests are skipped there.

use corten_integration::{Container, Sandbox, eventually, once, skip};
use serde_json::{Value, json};

/// Runs where the kernel's version 2 has the controllers.
fn on_version_2(test: impl FnOnce(&Sandbox)) {
    once(|t| {
        let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
        match ["memory", "cpu", "pids", "io", "cpuset"]
            .iter()
            .all(|name| controllers.split_whitespace().any(|c| c == *name))
        {
            true => test(t),
            false => eprintln!("skipped: no version 2 with controllers here; integration/vm has one"),
        }
    });
}

/// The number of a disk that the machine has.
fn disk() -> (u64, u64) {
    let mut names: Vec<_> = std::fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| !path.ends_with("ram0") && std::fs::read_to_string(path.join("size")).unwrap().trim() != "0");
    names.sort();
    let text = std::fs::read_to_string(names[0].join("dev")).unwrap();
    let (major, minor) = text.trim().split_once(':').unwrap();
    (major.parse().unwrap(), minor.parse().unwrap())
}

fn check(container: &Container<'_>, files: &[(&str, &str)], what: &Value) {
    for (file, expected) in files {
        let found = container.cgroup_file("", file);
        let found =
            if file.starts_with("io.max") { found.lines().next().unwrap_or_default().to_owned() } else { found };
        assert_eq!(found, *expected, "{file} of {what}");
    }
}

/// `linux.resources`, and the files in which they are.
type Row<'a> = (Value, Vec<(&'a str, &'a str)>);

fn check_all(t: &Sandbox, table: &[Row<'_>]) {
    for (resources, files) in table {
        let set = |bundle: corten_integration::Bundle, (name, value): (&String, &Value)| {
            bundle.set(&format!("/linux/resources/{name}"), value.clone())
        };
        let bundle = resources.as_object().unwrap().iter().fold(t.bundle(), set);
        let container = t.container(bundle.args(&["sleep", "1000"]));
        container.run_detached();
        check(&container, files, resources);
        container.command("delete").option("--force").ok();
    }
    t.assert_nothing_left();
}

#[test]
fn limits_of_memory_are_in_their_files() {
    on_version_2(|t| {
        let table = vec![
            (
                json!({"memory": {"limit": 33_554_432, "reservation": 16_777_216}}),
                vec![("memory.max", "33554432"), ("memory.low", "16777216")],
            ),
            (json!({"memory": {"limit": -1}}), vec![("memory.max", "max"), ("memory.swap.max", "max")]),
            (
                json!({"memory": {"limit": 67_108_864, "swap": 100_663_296}}),
                vec![("memory.max", "67108864"), ("memory.swap.max", "33554432")],
            ),
            (json!({"memory": {"limit": 67_108_864, "swap": 67_108_864}}), vec![("memory.swap.max", "0")]),
            (json!({"memory": {"limit": 67_108_864, "swap": -1}}), vec![("memory.swap.max", "max")]),
        ];
        check_all(t, &table);
    });
}

#[test]
fn limits_of_processors_are_in_their_files() {
    on_version_2(|t| {
        let mut table = vec![
            (json!({"cpu": {"quota": 50_000, "period": 200_000}}), vec![("cpu.max", "50000 200000")]),
            (json!({"cpu": {"quota": 50_000}}), vec![("cpu.max", "50000 100000")]),
            (json!({"cpu": {"period": 200_000}}), vec![("cpu.max", "max 200000")]),
            (json!({"cpu": {"quota": -1}}), vec![("cpu.max", "max 100000")]),
            (json!({"cpu": {"shares": 2}}), vec![("cpu.weight", "1")]),
            (json!({"cpu": {"shares": 262_144}}), vec![("cpu.weight", "10000")]),
            (json!({"cpu": {"cpus": "0", "mems": "0"}}), vec![("cpuset.cpus", "0"), ("cpuset.mems", "0")]),
        ];
        if !t.differs("cpu.weight of the default cpu.shares") {
            table.push((json!({"cpu": {"shares": 1024}}), vec![("cpu.weight", "100")]));
        }
        if !t.differs("cpu burst and idle") {
            table.push((json!({"cpu": {"quota": 50_000, "burst": 10_000}}), vec![("cpu.max.burst", "10000")]));
            table.push((json!({"cpu": {"idle": 1}}), vec![("cpu.idle", "1")]));
        }
        check_all(t, &table);
    });
}

#[test]
fn limits_of_processes_devices_and_pages_are_in_their_files() {
    on_version_2(|t| {
        let (major, minor) = disk();
        let throttled = format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=100 wiops=200");
        let device = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
        let throttle = json!({"throttleReadBpsDevice": device(1_048_576), "throttleWriteBpsDevice": device(2_097_152),
            "throttleReadIOPSDevice": device(100), "throttleWriteIOPSDevice": device(200)});
        let unified = json!({"memory.high": "20480000", "memory.oom.group": "1", "pids.max": "33", "cpu.weight": "77"});
        let mut table = vec![
            (json!({"pids": {"limit": 42}}), vec![("pids.max", "42")]),
            (json!({"pids": {"limit": -1}}), vec![("pids.max", "max")]),
            (json!({"blockIO": throttle}), vec![("io.max", throttled.as_str())]),
            (
                json!({"unified": unified}),
                vec![("memory.high", "20480000"), ("memory.oom.group", "1"), ("pids.max", "33"), ("cpu.weight", "77")],
            ),
        ];
        if !t.differs("what version 2 has no counterpart for") {
            // Nothing of these is a limit, and the rest has no counterpart.
            let memory = json!({"limit": 0, "swap": 0, "swappiness": 20, "disableOOMKiller": true});
            let cpu = json!({"shares": 0, "quota": 0, "realtimeRuntime": 1000, "cpus": ""});
            let files = vec![("memory.max", "max"), ("pids.max", "max"), ("cpu.max", "max 100000")];
            table.push((json!({"memory": memory, "pids": {"limit": 0}, "cpu": cpu}), files));
        }
        let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
        if controllers.contains("hugetlb") && std::path::Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists()
        {
            let limit = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]});
            table.push((limit.clone(), vec![("hugetlb.2MB.max", "4194304")]));
            if !t.differs("reservations of huge pages") {
                table.push((limit, vec![("hugetlb.2MB.rsvd.max", "4194304")]));
            }
        }
        check_all(t, &table);
    });
}

/// Debian's kernel has BFQ as a module, and the machine is the test's own.
#[test]
fn weights_are_those_of_bfq_where_it_is() {
    on_version_2(|t| {
        let (major, minor) = disk();
        let queue = std::path::PathBuf::from(format!("/sys/dev/block/{major}:{minor}/queue/scheduler"));
        let _ = std::process::Command::new("modprobe").arg("bfq").status();
        let before = std::fs::read_to_string(&queue).unwrap();
        let chosen = before.split_whitespace().find(|word| word.starts_with('[')).unwrap().trim_matches(['[', ']']);
        if !before.contains("bfq") {
            skip!("this kernel has no BFQ");
        }
        std::fs::write(&queue, "bfq").unwrap();
        let weight = json!({"blockIO": {"weight": 500}});
        let of_device = json!({"blockIO": {"weightDevice": [{"major": major, "minor": minor, "weight": 700}]}});
        let device = format!("default 100\n{major}:{minor} 700");
        let table =
            [(weight, vec![("io.bfq.weight", "default 500")]), (of_device, vec![("io.bfq.weight", device.as_str())])];
        check_all(t, &table);
        std::fs::write(&queue, chosen).unwrap();
    });
}

#[test]
fn update_changes_what_it_names_and_nothing_else() {
    on_version_2(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.run_detached();
        let with =
            |options: &[&str]| options.iter().fold(container.command("update"), |c, option| c.option(*option)).ok();
        for (options, files) in [
            (vec!["--memory", "64m"], vec![("memory.max", "67108864")]),
            (
                vec!["--memory", "48MiB", "--memory-swap", "96m"],
                vec![("memory.max", "50331648"), ("memory.swap.max", "50331648")],
            ),
            (vec!["--memory-reservation=16777216"], vec![("memory.low", "16777216"), ("memory.max", "50331648")]),
            (vec!["--cpu-share", "2"], vec![("cpu.weight", "1")]),
            (vec!["--cpu-period", "200000", "--cpu-quota", "50000"], vec![("cpu.max", "50000 200000")]),
            (vec!["--pids-limit", "20"], vec![("pids.max", "20"), ("cpu.weight", "1"), ("cpu.max", "50000 200000")]),
            (vec!["--pids-limit", "-1"], vec![("pids.max", "max")]),
            (vec!["--cpuset-cpus", "0", "--cpuset-mems", "0"], vec![("cpuset.cpus", "0"), ("cpuset.mems", "0")]),
        ] {
            with(&options);
            check(&container, &files, &json!(options));
        }
        if t.differs("update of one of two values") {
            return;
        }
        with(&["--cpu-quota=-1"]);
        check(&container, &[("cpu.max", "max 200000")], &json!("quota"));
        with(&["--memory-swap", "128m"]);
        check(&container, &[("memory.max", "50331648"), ("memory.swap.max", "83886080")], &json!("swap"));
        with(&["--memory", "-1"]);
        check(&container, &[("memory.max", "max"), ("memory.swap.max", "max")], &json!("memory"));
        let unified = json!({"unified": {"memory.high": "20480000"}}).to_string();
        container.command("update").option("-r").option("-").input(&unified).ok();
        check(&container, &[("memory.high", "20480000"), ("pids.max", "max")], &json!("unified"));
    });
}

#[test]
fn a_limit_below_what_is_used_is_refused_when_it_is_to_be_checked() {
    on_version_2(|t| {
        let memory = json!({"limit": 67_108_864, "swap": 67_108_864, "checkBeforeUpdate": true});
        let bundle = t.bundle().set("/linux/resources/memory", memory);
        // A file of a tmpfs is memory that cannot be reclaimed.
        let container = t.container(bundle.sh("head -c 16000000 /dev/zero >/dev/shm/file; echo there; sleep 1000"));
        let output = container.run_detached();
        eventually("it is in memory", || output.stdout() == "there\n");
        let less = json!({"memory": {"limit": 8_388_608, "swap": 8_388_608, "checkBeforeUpdate": true}}).to_string();
        let failed = container.command("update").option("-r").option("-").input(&less).fails(1);
        assert!(failed.stderr().contains("<= usage"), "{failed}");
        check(&container, &[("memory.max", "67108864")], &json!("refused"));
        assert_eq!(container.status(), "running");
    });
}

#[test]
fn a_limit_that_the_kernel_refuses_leaves_nothing_and_changes_nothing() {
    on_version_2(|t| {
        let refused = t.container(t.bundle().set("/linux/resources/cpu", json!({"cpus": "4095"})).args(&["true"]));
        refused.command("create").fails(1);
        let container =
            t.container(t.bundle().set("/linux/resources/pids", json!({"limit": 30})).args(&["sleep", "1000"]));
        container.run_detached();
        if t.differs("update of all limits or none") {
            return;
        }
        let update =
            container.command("update").option("--pids-limit").option("31").option("--cpuset-cpus").option("4095");
        update.fails(1);
        check(&container, &[("pids.max", "30")], &json!("all or nothing"));
    });
}

#[test]
fn stats_are_what_the_kernel_counts() {
    on_version_2(|t| {
        if t.runtime() == corten_integration::Runtime::Crun {
            eprintln!("crun has no events command");
            return;
        }
        let resources = json!({"devices": [{"allow": false, "access": "rwm"}], "memory": {"limit": 64 << 20},
            "pids": {"limit": 50}, "cpu": {"quota": 10_000, "period": 100_000}});
        let container = t.container(t.bundle().set("/linux/resources", resources).sh("while :; do :; done"));
        container.run_detached();
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let stats = || -> Value {
            let output = container.command("events").option("--stats").ok().stdout();
            serde_json::from_str::<Value>(&output).unwrap()["data"].clone()
        };
        eventually("it is throttled", || number(&stats()["cpu"]["throttling"]["throttledPeriods"]) > 2);
        let used = || {
            let stat = container.cgroup_file("", "cpu.stat");
            stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap().parse::<u64>().unwrap() * 1000
        };
        let (before, data, after) = (used(), stats(), used());
        assert!((before..=after).contains(&number(&data["cpu"]["usage"]["total"])), "{before} {after} {data}");
        assert_eq!(data["memory"]["usage"]["limit"], 64 << 20);
        assert!(number(&data["memory"]["raw"]["anon"]) > 0 && number(&data["memory"]["usage"]["usage"]) > 0, "{data}");
        assert_eq!(data["pids"], json!({"current": 1, "limit": 50}));
        let pressure = container.cgroup("").join("cpu.pressure");
        if pressure.exists() && t.runtime() == corten_integration::Runtime::Corten {
            assert!(data["cpu"]["psi"]["some"]["avg10"].is_number(), "{data}");
        }
    });
}
