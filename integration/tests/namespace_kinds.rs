//! Namespaces beyond the usual: time namespaces and their offsets, no mount namespace, several joined at once, and what
//! is refused of them.

use corten_integration::{Bundle, Container, Sandbox, eventually, on_every_view, once};
use serde_json::json;

fn namespace_of(pid: &str, file: &str) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/{file}")).unwrap().to_str().unwrap().to_owned()
}

fn sleeper(t: &Sandbox, bundle: Bundle) -> Container<'_> {
    let container = t.container(bundle.args(&["sleep", "1000"]));
    container.run_detached();
    container
}

/// The seconds since the machine's boot, as the machine has them.
fn uptime() -> i64 {
    std::fs::read_to_string("/proc/uptime").unwrap().split('.').next().unwrap().parse().unwrap()
}

const DAY: i64 = 86_400;

/// A configuration whose boot-time clock is some days ahead and whose monotonic clock is an hour.
fn ahead(bundle: Bundle, days: i64) -> Bundle {
    let offsets = json!({"boottime": {"secs": days * DAY}, "monotonic": {"secs": 3600, "nanosecs": 5}});
    bundle.namespace("time", "").set("/linux/timeOffsets", offsets)
}

fn days_of(output: &str) -> i64 {
    (output.split('.').next().unwrap().trim().parse::<i64>().unwrap() - uptime() + DAY / 2) / DAY
}

#[test]
fn clocks_of_a_new_time_namespace_are_offset() {
    on_every_view(|t| {
        if t.differs("time namespaces") {
            return;
        }
        let users: [fn(Bundle) -> Bundle; 3] =
            [|bundle| bundle, |bundle| bundle.user_namespace(100_000), |bundle| bundle.without_namespace("pid")];
        for user in users {
            let bundle = user(ahead(t.bundle(), 7)).sh("cat /proc/uptime; tr -s ' ' < /proc/self/timens_offsets");
            let output = t.output_of(bundle);
            assert_eq!(days_of(&output), 7, "{output}");
            assert!(output.contains("monotonic 3600 5") && output.contains("boottime 604800 0"), "{output}");
        }
        // Without offsets it is a namespace of its own that tells the machine's time.
        let container = sleeper(t, t.bundle().namespace("time", ""));
        assert_ne!(namespace_of(&container.pid().to_string(), "time"), namespace_of("self", "time"));
    });
}

#[test]
fn the_program_is_the_first_process_of_its_pid_namespace_in_a_time_namespace_as_well() {
    once(|t| {
        if t.differs("time namespaces") {
            return;
        }
        assert_eq!(t.output_of(ahead(t.bundle(), 1).sh("echo $$")), "1\n");
        assert_eq!(t.output_of(ahead(t.bundle().user_namespace(100_000), 1).sh("echo $$")), "1\n");
    });
}

#[test]
fn a_time_namespace_is_joined_by_path() {
    once(|t| {
        if t.differs("time namespaces") {
            return;
        }
        let first = sleeper(t, ahead(t.bundle(), 3));
        let path = format!("/proc/{}/ns/time", first.pid());
        assert_eq!(days_of(&t.output_of(t.bundle().namespace("time", &path).args(&["cat", "/proc/uptime"]))), 3);
        let second = sleeper(t, t.bundle().namespace("time", &path));
        assert_eq!(namespace_of(&second.pid().to_string(), "time"), namespace_of(&first.pid().to_string(), "time"));
    });
}

#[test]
fn an_offset_that_the_kernel_refuses_fails_create_and_leaves_nothing() {
    on_every_view(|t| {
        if t.differs("time namespaces") {
            return;
        }
        let bundle = t.bundle().namespace("time", "").set("/linux/timeOffsets/boottime", json!({"secs": i64::MIN}));
        let output = t.container(bundle).command("create").fails(1);
        assert!(output.stderr().contains("linux.timeOffsets") || t.differs("names of elements"), "{output}");
        t.assert_nothing_left();
    });
}

#[test]
fn several_namespaces_are_joined_at_once_whatever_their_order() {
    on_every_view(|t| {
        for user in [false, true] {
            let first = t.bundle().namespace("cgroup", "");
            let first = sleeper(t, if user { first.user_namespace(100_000) } else { first });
            let pid = first.pid().to_string();
            let mut kinds = vec![("uts", "uts"), ("pid", "pid"), ("network", "net"), ("ipc", "ipc")];
            if user {
                kinds.push(("user", "user"));
            }
            for reversed in [false, true] {
                if reversed {
                    kinds.reverse();
                }
                let bundle = if user { t.bundle().user_namespace(100_000) } else { t.bundle() };
                let join = |bundle: Bundle, (kind, file): &(&str, &str)| {
                    bundle.namespace(kind, &format!("/proc/{pid}/ns/{file}"))
                };
                let second = sleeper(t, kinds.iter().fold(bundle.remove("/hostname"), join));
                for (_, file) in &kinds {
                    assert_eq!(namespace_of(&second.pid().to_string(), file), namespace_of(&pid, file), "{file}");
                }
                second.command("delete").option("--force").ok();
            }
        }
    });
}

#[test]
fn a_path_of_another_kind_of_namespace_is_refused() {
    once(|t| {
        let kinds = [
            ("pid", "pid"),
            ("network", "net"),
            ("ipc", "ipc"),
            ("uts", "uts"),
            ("cgroup", "cgroup"),
            ("time", "time"),
        ];
        for (place, (kind, _)) in kinds.iter().enumerate() {
            if *kind == "time" && t.differs("time namespaces") {
                continue;
            }
            let other = kinds[(place + 1) % kinds.len()].1;
            let bundle = t.bundle().remove("/hostname").namespace(kind, &format!("/proc/self/ns/{other}"));
            let output = t.container(bundle).command("create").fails(1);
            let named = output.stderr().contains(&format!("is not a {kind} namespace"));
            assert!(named || t.differs("kinds of joined namespaces in messages"), "{output}");
        }
        t.assert_nothing_left();
    });
}

#[test]
fn kill_and_delete_end_every_process_of_a_container_in_anothers_pid_namespace() {
    on_every_view(|t| {
        let first = sleeper(t, t.bundle());
        let pid = format!("/proc/{}/ns/pid", first.pid());
        let script = "trap '' TERM HUP; sleep 1001 & setsid sleep 1002 & sleep 1003 & wait";
        let forced = t.container(t.bundle().namespace("pid", &pid).sh(script));
        forced.run_detached();
        let processes = || std::fs::read_to_string(forced.cgroup("pids").join("cgroup.procs")).unwrap_or_default();
        eventually("all of its processes run", || processes().lines().count() == 4);
        if t.differs("delete --force removes a shared-pid cgroup on v2") && t.view().is_unified() {
            return;
        }
        forced.command("delete").option("--force").ok();
        assert!(!forced.cgroup("pids").exists());
        // The other container is not touched.
        assert_eq!(first.status(), "running");
    });
}

/// No mounts, and nothing that would need any.
fn without_mounts(t: &Sandbox) -> Bundle {
    let bundle = t.bundle().without_namespace("mount").set("/mounts", json!([])).writable();
    std::fs::create_dir(bundle.rootfs("/dev")).unwrap();
    bundle.remove("/linux/maskedPaths").remove("/linux/readonlyPaths")
}

#[test]
fn a_container_without_a_mount_namespace_is_in_its_root_and_mounts_nothing() {
    on_every_view(|t| {
        if t.differs("no mount namespace") {
            return;
        }
        t.host_shell("true");
        let bundle = without_mounts(t).file("/etc/mark", "of the image", 0o644);
        let script = "cat /etc/mark; ls -a /.. | grep -c bundle; pwd; head -c 2 /dev/zero | wc -c; cat /proc/mounts";
        let output = t.container(bundle.sh(script)).command("run").run();
        assert_eq!(output.stdout(), "of the image0\n/\n2\n", "{output}");
        let container = sleeper(t, without_mounts(t));
        assert_eq!(
            std::fs::read_dir(container.proc_file("root/proc")).map(|_| ()).map_err(|e| e.kind()).err(),
            Some(std::io::ErrorKind::NotFound)
        );
        if t.runtime() == corten_integration::Runtime::Corten {
            // It must not run among the host's files.
            let output = t.command("exec", &[container.id(), "sh", "-c", "cat /proc/self/mounts"]).run();
            assert_ne!(output.code(), 0, "{output}");
            assert!(output.stderr().contains("without a mount namespace"), "{output}");
        }
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}
