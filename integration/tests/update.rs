//! update: the kernel's files, what is in effect, and what is refused.

use corten_integration::{Container, Invocation, Runtime, Sandbox, eventually, on_every_view, once, skip};
use serde_json::{Value, json};

/// A running container with these resources beside the device rules.
fn running<'t>(t: &'t Sandbox, resources: &[(&str, Value)]) -> Container<'t> {
    let bundle = resources
        .iter()
        .fold(t.bundle(), |bundle, (name, value)| bundle.set(&format!("/linux/resources/{name}"), value.clone()));
    let container = t.container(bundle.args(&["sleep", "1000"]));
    container.run_detached();
    container
}

fn with<'t>(container: &Container<'t>, options: &[&str]) -> Invocation<'t> {
    options.iter().fold(container.command("update"), |command, option| command.option(*option))
}

fn with_json<'t>(container: &Container<'t>, resources: &Value) -> Invocation<'t> {
    container.command("update").option("-r").option("-").input(&resources.to_string())
}

fn check(container: &Container<'_>, files: &[(&str, &str, &str)]) {
    for (controller, file, expected) in files {
        assert_eq!(container.cgroup_file(controller, file), *expected, "{controller}/{file}");
    }
}

/// The v2 hierarchy of a hybrid machine has no such controllers.
fn on_version_1(test: impl FnOnce(&Sandbox)) {
    once(|t| match t.view().is_unified() {
        true => eprintln!("skipped: this machine's cgroups are version 2 only"),
        false => test(t),
    });
}

const MEMORY: &str = "memory.limit_in_bytes";
const WITH_SWAP: &str = "memory.memsw.limit_in_bytes";

#[test]
fn options_reach_the_kernel() {
    on_version_1(|t| {
        let container = running(t, &[]);
        let last = std::fs::read_to_string("/sys/fs/cgroup/cpuset/cpuset.cpus").unwrap();
        let last = last.trim().rsplit(['-', ',']).next().unwrap().to_owned();
        for (options, files) in [
            (vec!["--memory", "64m"], vec![("memory", MEMORY, "67108864")]),
            (vec!["--memory", "48MiB", "--memory-swap", "96m"], vec![("memory", WITH_SWAP, "100663296")]),
            (vec!["--memory-reservation=16777216"], vec![("memory", "memory.soft_limit_in_bytes", "16777216")]),
            (vec!["--cpu-share", "512"], vec![("cpu", "cpu.shares", "512")]),
            (
                vec!["--cpu-period", "200000", "--cpu-quota", "50000"],
                vec![("cpu", "cpu.cfs_period_us", "200000"), ("cpu", "cpu.cfs_quota_us", "50000")],
            ),
            (vec!["--cpu-quota=-1"], vec![("cpu", "cpu.cfs_quota_us", "-1"), ("cpu", "cpu.cfs_period_us", "200000")]),
            (vec!["--pids-limit", "20"], vec![("pids", "pids.max", "20"), ("cpu", "cpu.shares", "512")]),
            (vec!["--pids-limit", "-1"], vec![("pids", "pids.max", "max")]),
            (vec!["--cpuset-cpus", last.as_str()], vec![("cpuset", "cpuset.cpus", last.as_str())]),
            (vec!["--cpuset-mems", "0"], vec![("cpuset", "cpuset.mems", "0")]),
            (vec![], vec![("memory", MEMORY, "50331648"), ("pids", "pids.max", "max")]),
        ] {
            let output = with(&container, &options).run();
            assert_eq!(output.code(), 0, "{options:?}: {output}");
            check(&container, &files);
        }
    });
}

#[test]
fn limits_of_memory_rise_and_fall_in_the_right_order() {
    on_version_1(|t| {
        let container = running(t, &[("memory", json!({"limit": 64 << 20, "swap": 64 << 20}))]);
        for (memory, swap) in [(128, 128), (32, 32), (512, 1024), (256, 256), (64, 512), (256, 300)] {
            let (memory, swap) = (memory << 20, swap << 20);
            with_json(&container, &json!({"memory": {"limit": memory, "swap": swap}})).ok();
            check(&container, &[("memory", MEMORY, &memory.to_string()), ("memory", WITH_SWAP, &swap.to_string())]);
        }
        // The other one of the two is what it was.
        with(&container, &["--memory-swap", "400m"]).ok();
        check(&container, &[("memory", MEMORY, "268435456"), ("memory", WITH_SWAP, "419430400")]);
        with(&container, &["--memory", "-1"]).ok();
        let unlimited = "9223372036854771712";
        check(&container, &[("memory", MEMORY, unlimited), ("memory", WITH_SWAP, unlimited)]);
    });
}

#[test]
fn quota_and_period_rise_and_fall_in_the_right_order() {
    on_version_1(|t| {
        // A parent's bandwidth bounds that of the container at every step.
        let container = running(t, &[("cpu", json!({"quota": 50_000, "period": 100_000}))]);
        for (quota, period) in [(500_000, 1_000_000), (5_000, 10_000), (100_000, 200_000), (2_000, 4_000)] {
            with_json(&container, &json!({"cpu": {"quota": quota, "period": period}})).ok();
            check(
                &container,
                &[("cpu", "cpu.cfs_quota_us", &quota.to_string()), ("cpu", "cpu.cfs_period_us", &period.to_string())],
            );
        }
    });
}

#[test]
fn resources_come_from_a_file_or_from_standard_input_and_zero_changes_nothing() {
    on_version_1(|t| {
        let container = running(t, &[("pids", json!({"limit": 30})), ("memory", json!({"limit": 64 << 20}))]);
        let file = t.new_file(&json!({"pids": {"limit": 40}}).to_string());
        // The other options are ignored then.
        container.command("update").option("--resources").option(file).option("--memory").option("128m").ok();
        check(&container, &[("pids", "pids.max", "40"), ("memory", MEMORY, "67108864")]);
        container.command("update").option("--resources=-").input(r#"{"pids": {"limit": 50}}"#).ok();
        check(&container, &[("pids", "pids.max", "50")]);
        let zero = json!({"memory": {"limit": 0, "swap": 0, "reservation": 0}, "pids": {"limit": 0}, "blockIO": {},
            "cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0, "cpus": "", "mems": ""}});
        with_json(&container, &zero).ok();
        check(&container, &[("memory", MEMORY, "67108864"), ("cpu", "cpu.shares", "1024")]);
    });
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    on_version_1(|t| {
        let container = running(t, &[("pids", json!({"limit": 30})), ("cpu", json!({"shares": 500}))]);
        for options in [
            vec!["--memory", "10x"],
            vec!["--memory-swap", "-2"],
            vec!["--cpu-share", "x"],
            vec!["--cpu-share", "-5"],
            vec!["--cpu-period", "1.5"],
            vec!["--pids-limit", "x"],
            vec!["--cpuset-cpus", "4095"],
            vec!["--cpu-share", "600", "--cpuset-cpus", "4095"],
            vec!["--pids-limit", "31", "--memory", "1"],
            vec!["--l3-cache-schema", "L3:0=f"],
            vec!["--resources", "/nonexistent"],
            vec!["--bogus"],
        ] {
            let output = with(&container, &options).fails(1);
            check(&container, &[("pids", "pids.max", "30"), ("cpu", "cpu.shares", "500")]);
            drop(output);
        }
        for text in ["", "x", "{\"memory\": 1}", "{\"pids\": {\"limit\": \"1\"}}", "[1"] {
            container.command("update").option("-r").option("-").input(text).fails(1);
        }
        assert_eq!(container.status(), "running");
    });
}

#[test]
fn a_container_is_updated_when_created_or_paused_but_not_when_stopped() {
    on_version_1(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.create();
        with(&container, &["--pids-limit", "20"]).ok();
        container.start();
        container.command("pause").ok();
        with(&container, &["--pids-limit", "21"]).ok();
        check(&container, &[("pids", "pids.max", "21"), ("freezer", "freezer.state", "FROZEN")]);
        container.command("resume").ok();
        container.kill("KILL");
        container.wait_for("stopped");
        let failed = with(&container, &["--pids-limit", "22"]).fails(1);
        assert!(failed.stderr().contains("container not running"), "{failed}");
    });
}

#[test]
fn an_updated_limit_is_in_effect() {
    on_version_1(|t| {
        let script = "while [ ! -e /proc/self/fd/9 ]; do
            if ( for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1 & done; kill $(jobs -p) ) 2>/dev/null; then echo many; else echo few; fi
            sleep 0.1; done";
        let container = t.container(t.bundle().set("/linux/resources/pids", json!({"limit": 100})).sh(script));
        let output = container.run_detached();
        eventually("there is room", || output.stdout().contains("many"));
        with(&container, &["--pids-limit", "4"]).ok();
        let before = output.stdout().len();
        eventually("there is none", || output.stdout()[before..].matches("few").count() > 1);
    });
}

#[test]
fn the_device_rules_are_replaced_and_nothing_else_touches_them() {
    on_every_view(|t| {
        if t.differs("update replaces device rules") {
            return;
        }
        // The numbers of /dev/fuse, which anybody can open: they are no default of any runtime.
        let script = "while :; do if head -c 0 /dev/own 2>/dev/null; then echo yes; else echo no; fi; sleep 0.05; done";
        let node = json!({"path": "/dev/own", "type": "c", "major": 10, "minor": 229, "fileMode": 438});
        let container = t.container(t.bundle().add("/linux/devices", node).sh(script));
        let output = container.run_detached();
        let becomes = |word: &str| {
            let before = output.stdout().len();
            let others = |text: &str| text.lines().rev().take(3).filter(|line| *line == word).count() == 3;
            eventually(&format!("access is {word}"), || others(&output.stdout()[before..]));
        };
        becomes("no");
        let all = json!({"allow": false, "access": "rwm"});
        let own = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"});
        with_json(&container, &json!({"devices": [all, own]})).ok();
        becomes("yes");
        with_json(&container, &json!({"hugepageLimits": []})).ok();
        becomes("yes");
        with_json(&container, &json!({"devices": [{"allow": true, "access": "rwm"}]})).ok();
        becomes("yes");
        with_json(&container, &json!({"devices": [all]})).ok();
        becomes("no");
    });
}

/// Killed before its first write, and after it: the next update neither forgets it nor takes it back.
#[test]
fn an_update_that_is_cut_off_is_completed_by_the_next() {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        skip!("strace is not installed");
    }
    once(|t| {
        if t.view().is_unified() || t.runtime() != Runtime::Corten {
            skip!("told by two limits of version 1's memory controller, and runc does not know what it has set");
        }
        let limits = json!({"limit": 64 << 20, "swap": -1});
        let container = t.container(t.bundle().set("/linux/resources/memory", limits).args(&["sleep", "1000"]));
        container.run_detached();
        let file = |name: &str| container.cgroup_file("memory", name);
        let path = container.cgroup("memory").join("memory.limit_in_bytes").display().to_string();
        // By then the new limit is not written; it is, and the file is being closed.
        for (limit, calls, written) in [(80u64 << 20, "openat", false), (96 << 20, "close", true)] {
            let which = if written { format!("{calls}:signal=KILL:when=2") } else { format!("{calls}:signal=KILL") };
            let mut words = t.prefix_of_view();
            words.extend(["strace", "-o", "/dev/null", "-P"].map(String::from));
            words.extend([path.clone(), format!("--inject={which}"), t.runtime().program().display().to_string()]);
            words.extend(["--root".to_owned(), t.state_root().display().to_string()]);
            words.extend(["update", "--memory", &limit.to_string(), container.id()].map(String::from));
            let before = file("memory.limit_in_bytes");
            assert!(!std::process::Command::new(&words[0]).args(&words[1..]).status().unwrap().success());
            assert_eq!(file("memory.limit_in_bytes"), if written { limit.to_string() } else { before });
            let swap = (200u64 << 20).to_string();
            container.command("update").option("--memory-swap").option(&swap).ok();
            assert_eq!((file("memory.limit_in_bytes"), file("memory.memsw.limit_in_bytes")), (limit.to_string(), swap));
        }
    });
}
