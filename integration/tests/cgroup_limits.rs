//! Limits: in the kernel's files of the container's cgroup, and in effect.

use corten_integration::{Bundle, Runtime, Sandbox, cgroup_mount_points, eventually, on_every_view, once};
use serde_json::{Value, json};

/// Runs a sleeping container with these resources (the device rules stay) and compares files of its cgroup.
fn check(t: &Sandbox, resources: &[(&str, Value)], files: &[(&str, &str, &str)]) {
    let set =
        |bundle: Bundle, (name, value): &(&str, Value)| bundle.set(&format!("/linux/resources/{name}"), value.clone());
    let bundle = resources.iter().fold(t.bundle(), set);
    let container = t.container(bundle.args(&["sleep", "1000"]));
    container.run_detached();
    for (controller, file, expected) in files {
        assert_eq!(container.cgroup_file(controller, file), *expected, "{controller}/{file} for {resources:?}");
    }
    container.command("delete").option("--force").ok();
    t.assert_nothing_left();
}

/// The v2 hierarchy of a hybrid machine has no such controllers, so these tests need version 1.
fn on_version_1(test: impl FnOnce(&Sandbox)) {
    once(|t| match t.view().is_unified() {
        true => eprintln!("skipped: this machine's cgroups are version 2 only; integration/vm covers their files"),
        false => test(t),
    });
}

#[test]
fn memory() {
    on_version_1(|t| {
        check(
            t,
            &[("memory", json!({"limit": 33_554_432, "reservation": 16_777_216, "swappiness": 20}))],
            &[
                ("memory", "memory.limit_in_bytes", "33554432"),
                ("memory", "memory.soft_limit_in_bytes", "16777216"),
                ("memory", "memory.swappiness", "20"),
            ],
        );
        check(t, &[("memory", json!({"limit": -1}))], &[("memory", "memory.limit_in_bytes", "9223372036854771712")]);
    });
}

#[test]
fn cpu() {
    on_version_1(|t| {
        check(
            t,
            &[("cpu", json!({"shares": 512, "quota": 50_000, "period": 200_000}))],
            &[
                ("cpu", "cpu.shares", "512"),
                ("cpu", "cpu.cfs_quota_us", "50000"),
                ("cpu", "cpu.cfs_period_us", "200000"),
            ],
        );
        check(t, &[("cpu", json!({"quota": -1}))], &[("cpu", "cpu.cfs_quota_us", "-1")]);
    });
}

#[test]
fn cpuset() {
    on_version_1(|t| {
        check(
            t,
            &[("cpu", json!({"cpus": "0", "mems": "0"}))],
            &[("cpuset", "cpuset.cpus", "0"), ("cpuset", "cpuset.mems", "0")],
        );
        let bundle = t.bundle().set("/linux/resources/cpu", json!({"cpus": "0"})).args(&[
            "grep",
            "Cpus_allowed_list",
            "/proc/self/status",
        ]);
        assert_eq!(t.output_of(bundle), "Cpus_allowed_list:\t0\n");
    });
}

#[test]
fn pids() {
    on_version_1(|t| {
        check(t, &[("pids", json!({"limit": 42}))], &[("pids", "pids.max", "42")]);
        check(t, &[("pids", json!({"limit": -1}))], &[("pids", "pids.max", "max")]);
    });
}

#[test]
fn the_limit_of_pids_is_reached() {
    on_version_1(|t| {
        let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo all started";
        let run = |limit: i64| {
            let bundle = t.bundle().set("/linux/resources/pids", json!({"limit": limit})).sh(script);
            t.container(bundle).command("run").run()
        };
        let (free, limited) = (run(100), run(8));
        assert!(free.stdout().contains("all started") && free.code() == 0, "{free}");
        assert!(!limited.stdout().contains("all started") && limited.code() != 0, "{limited}");
    });
}

#[test]
fn the_limit_of_memory_is_reached() {
    on_version_1(|t| {
        let run = |limit: i64| {
            let memory = json!({"limit": limit, "swap": limit});
            // tail keeps the one line of 64 MB in memory.
            let bundle =
                t.bundle().set("/linux/resources/memory", memory).sh("head -c 64000000 /dev/zero | tail -n 1 | wc -c");
            t.container(bundle).command("run").run()
        };
        let (free, limited) = (run(1 << 30), run(1 << 24));
        assert_eq!(free.stdout(), "64000000\n", "{free}");
        assert_ne!(limited.stdout(), "64000000\n", "{limited}");
    });
}

#[test]
fn the_container_is_in_its_cgroup_in_every_hierarchy() {
    on_every_view(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.run_detached();
        let path = container.bundle().config["linux"]["cgroupsPath"].as_str().unwrap().to_owned();
        let memberships = std::fs::read_to_string(container.proc_file("cgroup")).unwrap();
        let controllers = ["pids", "memory", "cpu", "devices", "freezer"];
        for line in memberships.lines() {
            let (_, rest) = line.split_once(':').unwrap();
            let (controller, at) = rest.split_once(':').unwrap();
            let expected =
                if t.view().is_unified() { controller.is_empty() } else { controllers.contains(&controller) };
            assert!(!expected || at == path, "{line} should be {path}");
        }
        assert!(container.cgroup("pids").is_dir());
    });
}

#[test]
fn cgroups_path_may_be_nested_relative_or_absent() {
    on_every_view(|t| {
        let nested = format!("/{}/a/b", t.unique_name());
        let relative = t.unique_name();
        for path in [Some(nested), Some(relative), None] {
            let bundle = t.bundle().args(&["sleep", "1000"]);
            let bundle = match &path {
                Some(path) => bundle.set("/linux/cgroupsPath", path.as_str()),
                None => bundle.remove("/linux/cgroupsPath"),
            };
            let container = t.container(bundle);
            container.run_detached();
            let last = path.as_deref().unwrap_or(container.id()).rsplit('/').next().unwrap();
            let memberships = std::fs::read_to_string(container.proc_file("cgroup")).unwrap();
            let suffix = format!("/{last}");
            let line = memberships
                .lines()
                .find(|line| if t.view().is_unified() { line.starts_with("0::") } else { line.contains(":pids:") });
            assert!(line.is_some_and(|line| line.ends_with(&suffix)), "{path:?}: {memberships}");
            container.command("delete").option("--force").ok();
            for parent in cgroup_mount_points() {
                // Of a nested path the runtime removes the last part only.
                if let Some((parents, "b")) = path.as_deref().and_then(|path| path.rsplit_once('/')) {
                    let _ = std::fs::remove_dir(parent.join(parents.trim_start_matches('/')));
                    let _ = std::fs::remove_dir(parent.join(parents.trim_start_matches('/')).parent().unwrap());
                }
            }
        }
        t.assert_nothing_left();
    });
}

#[test]
fn a_cgroups_path_with_dots_stays_in_the_hierarchy() {
    on_every_view(|t| {
        let name = t.unique_name();
        for path in [format!("/../../{name}"), format!("../../../{name}"), format!("/{name}/../../{name}")] {
            let container = t.container(t.bundle().set("/linux/cgroupsPath", path.as_str()).args(&["sleep", "1000"]));
            let output = container.command("run").option("--detach").run();
            // corten refuses it. runc and crun take the dots away: it is in a cgroup of that name.
            if t.runtime() == Runtime::Corten {
                assert!(output.code() == 1 && output.stderr().contains("linux.cgroupsPath"), "{path}: {output}");
            } else if output.code() == 0 {
                let memberships = std::fs::read_to_string(container.proc_file("cgroup")).unwrap();
                assert!(!memberships.contains("..") && memberships.contains(&name), "{path}: {memberships}");
                container.command("delete").option("--force").ok();
            }
            assert!(
                !std::path::Path::new("/sys/fs").join(&name).exists()
                    && !std::path::Path::new("/").join(&name).exists()
            );
            t.assert_nothing_left();
        }
    });
}

#[test]
fn cgroups_made_inside_are_removed_too() {
    on_every_view(|t| {
        let mut bundle =
            t.bundle().namespace("cgroup", "").sh("mkdir /sys/fs/cgroup/$SUB/inner && echo made; sleep 1000");
        let subdirectory = if t.view().is_unified() { "." } else { "pids" };
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
        cgroup["options"] = json!(["nosuid", "noexec", "nodev", "relatime", "rw"]);
        let container = t.container(bundle.env(&format!("SUB={subdirectory}")));
        let output = container.run_detached();
        eventually("the inner cgroup is made", || output.stdout() == "made\n");
        assert!(container.cgroup("pids").join("inner").is_dir());
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn a_limit_that_the_kernel_refuses_fails_create_and_leaves_nothing() {
    on_version_1(|t| {
        let container = t.container(t.bundle().set("/linux/resources/cpu", json!({"cpus": "4095"})).args(&["true"]));
        container.command("create").fails(1);
        t.assert_nothing_left();
    });
}
