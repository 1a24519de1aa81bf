//! Namespaces: new, shared with the runtime, joined by path; ids of a user namespace; names and sysctls.

use corten_integration::{Container, Sandbox, eventually, on_every_view, once};
use serde_json::json;

const KINDS: [(&str, &str); 5] = [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("mount", "mnt")];

fn namespace_of(pid: &str, file: &str) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/{file}")).unwrap().to_str().unwrap().to_owned()
}

/// A container that holds the namespaces that others join.
fn holder(t: &Sandbox) -> Container<'_> {
    let holder = t.container(t.bundle().namespace("cgroup", "").args(&["sleep", "1000"]));
    holder.run_detached();
    holder
}

#[test]
fn listed_namespaces_are_new() {
    on_every_view(|t| {
        let container = holder(t);
        for (_, file) in KINDS.into_iter().chain([("cgroup", "cgroup")]) {
            assert_ne!(namespace_of(&container.pid().to_string(), file), namespace_of("self", file), "{file}");
        }
        assert_eq!(namespace_of(&container.pid().to_string(), "user"), namespace_of("self", "user"));
    });
}

#[test]
fn namespaces_that_are_not_listed_are_the_callers() {
    on_every_view(|t| {
        for (kind, file) in KINDS.into_iter().filter(|(kind, _)| *kind != "mount") {
            let bundle = t.bundle().args(&["sleep", "1000"]).without_namespace(kind);
            // Without its own network namespace it cannot mount a sysfs of its own, nor name a host that is not its own.
            let bundle = if kind == "uts" { bundle.remove("/hostname") } else { bundle };
            let container = t.container(bundle);
            container.run_detached();
            assert_eq!(namespace_of(&container.pid().to_string(), file), namespace_of("self", file), "{kind}");
        }
    });
}

#[test]
fn namespaces_are_joined_by_path() {
    on_every_view(|t| {
        let holder = holder(t);
        let pid = holder.pid().to_string();
        for (kind, file) in KINDS.into_iter().filter(|(kind, _)| *kind != "mount") {
            let bundle = t.bundle().args(&["sleep", "1000"]).namespace(kind, &format!("/proc/{pid}/ns/{file}"));
            let bundle = if kind == "uts" { bundle.remove("/hostname") } else { bundle };
            let container = t.container(bundle);
            container.run_detached();
            assert_eq!(namespace_of(&container.pid().to_string(), file), namespace_of(&pid, file), "{kind}");
            container.command("delete").option("--force").ok();
        }
    });
}

#[test]
fn a_joined_pid_namespace_shows_its_processes() {
    on_every_view(|t| {
        let holder = holder(t);
        let bundle = t.bundle().namespace("pid", &format!("/proc/{}/ns/pid", holder.pid()));
        let output =
            t.output_of(bundle.sh("tr '\\0' ' ' < /proc/1/cmdline; [ $$ -gt 1 ] && echo and I am not the first"));
        assert_eq!(output, "sleep 1000 and I am not the first\n");
    });
}

#[test]
fn a_new_pid_namespace_begins_with_the_program() {
    once(|t| assert_eq!(t.output_of(t.bundle().sh("echo $$")), "1\n"));
}

#[test]
fn a_new_network_namespace_has_its_loopback_up() {
    once(|t| {
        let output = t.output_of(t.bundle().sh("ls /sys/class/net; ip -o link show lo"));
        assert!(output.starts_with("lo\n") && output.contains("<LOOPBACK,UP"), "{output}");
    });
}

#[test]
fn hostname_and_domainname() {
    on_every_view(|t| {
        let bundle = t.bundle().set("/hostname", "weather").sh("hostname; cat /proc/sys/kernel/domainname");
        let output = t.output_of(bundle.clone());
        assert_eq!(output.lines().next(), Some("weather"));
        if t.differs("domainname") {
            return;
        }
        assert_eq!(t.output_of(bundle.set("/domainname", "example.org")), "weather\nexample.org\n");
    });
}

#[test]
fn sysctl_of_the_containers_own_namespaces() {
    on_every_view(|t| {
        let sysctl = json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "9000", "net.ipv4.ping_group_range": "0 5"});
        let bundle = t.bundle().set("/linux/sysctl", sysctl);
        let script = "cd /proc/sys; cat net/ipv4/ip_forward kernel/msgmax net/ipv4/ping_group_range";
        assert_eq!(t.output_of(bundle.sh(script)), "1\n9000\n0\t5\n");
    });
}

#[test]
fn ids_are_mapped_in_a_user_namespace() {
    on_every_view(|t| {
        let script = "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; id -u; id -g; sleep 1000";
        let container = t.container(t.bundle().user_namespace(100_000).sh(script));
        let output = container.run_detached();
        eventually("the program has printed", || output.stdout().lines().count() == 4);
        assert_eq!(output.stdout(), " 0 100000 65536\n 0 100000 65536\n0\n0\n");
        let status = std::fs::read_to_string(container.proc_file("status")).unwrap();
        assert!(status.contains("Uid:\t100000\t100000\t100000\t100000\n"), "{status}");
        assert!(status.contains("Gid:\t100000\t100000\t100000\t100000\n"), "{status}");
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn several_mappings_and_another_user_in_a_user_namespace() {
    once(|t| {
        let mappings = json!([
            {"containerID": 0, "hostID": 100_000, "size": 10},
            {"containerID": 1000, "hostID": 200_000, "size": 5}
        ]);
        let bundle = t
            .bundle()
            .user_namespace(100_000)
            .set("/linux/uidMappings", mappings.clone())
            .set("/linux/gidMappings", mappings);
        let container =
            t.container(bundle.set("/process/user", json!({"uid": 1002, "gid": 1003})).args(&["sleep", "1000"]));
        container.run_detached();
        let status = std::fs::read_to_string(container.proc_file("status")).unwrap();
        assert!(status.contains("Uid:\t200002\t") && status.contains("Gid:\t200003\t"), "{status}");
    });
}

#[test]
fn devices_work_and_files_have_mapped_owners_in_a_user_namespace() {
    on_every_view(|t| {
        let bundle = t.bundle().user_namespace(100_000).writable();
        std::os::unix::fs::chown(bundle.rootfs("/tmp"), Some(100_007), Some(100_008)).unwrap();
        let script = "echo discarded > /dev/null; head -c 3 /dev/zero | wc -c; stat -c '%u %g' /tmp; stat -c %u /etc; \
                      head -c 2 /dev/urandom | wc -c";
        assert_eq!(t.output_of(bundle.sh(script)), "3\n7 8\n65534\n2\n");
    });
}

#[test]
fn a_user_namespace_is_joined_by_path() {
    on_every_view(|t| {
        let holder = t.container(t.bundle().user_namespace(100_000).args(&["sleep", "1000"]));
        holder.run_detached();
        let path = format!("/proc/{}/ns/user", holder.pid());
        let bundle = t.bundle().user_namespace(100_000).namespace("user", &path).sh("tr -s ' ' < /proc/self/uid_map");
        // runc wants to know the mappings of a joined user namespace as well, hence they stay in the configuration.
        assert_eq!(t.output_of(bundle), " 0 100000 65536\n");
    });
}

#[test]
fn a_cgroup_namespace_hides_the_path() {
    on_every_view(|t| {
        let output = t.output_of(t.bundle().namespace("cgroup", "").args(&["cat", "/proc/self/cgroup"]));
        let line = output.lines().find(|line| line.starts_with("0::") || line.contains(":pids:")).unwrap();
        assert!(line.ends_with(":/"), "{output}");
    });
}
