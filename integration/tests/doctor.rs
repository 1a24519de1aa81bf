//! `doctor`: what it says of this machine, and of machines that lack something.

use corten_integration::{HostView, Output, Runtime, Sandbox, skip};
use serde_json::Value;

macro_rules! sandbox {
    () => {{
        if Runtime::from_environment() != Runtime::Corten {
            skip!("doctor is corten's own command");
        }
        Sandbox::new(HostView::Native)
    }};
}

fn findings(output: &Output) -> Vec<Value> {
    serde_json::from_str(&output.stdout()).unwrap_or_else(|error| panic!("{error}: {output}"))
}

fn ask(t: &Sandbox) -> Vec<Value> {
    findings(&t.command("doctor", &[]).option("--format").option("json").run())
}

fn find<'a>(findings: &'a [Value], area: &str, subject: &str) -> &'a Value {
    let of = |finding: &&Value| finding["area"] == area && finding["subject"].as_str().unwrap().starts_with(subject);
    findings.iter().find(of).unwrap_or_else(|| panic!("{area} {subject} in {findings:#?}"))
}

#[test]
fn a_machine_that_runs_containers_is_good() {
    let t = sandbox!();
    let output = t.command("doctor", &[]).ok();
    for area in ["kernel", "namespaces", "cgroups", "security", "caller", "clients"] {
        assert!(output.stdout().lines().any(|line| line == area), "{area} in {output}");
    }
    let findings = ask(&t);
    for finding in &findings {
        let health = finding["health"].as_str().unwrap();
        assert!(["good", "limited"].contains(&health), "{finding}");
        // Whatever is not good has a fix, and what it means.
        assert_eq!(finding["fix"].is_string(), health != "good", "{finding}");
        assert!(!finding["detail"].as_str().unwrap().is_empty(), "{finding}");
        let line = format!("{}: {}", finding["subject"].as_str().unwrap(), finding["detail"].as_str().unwrap());
        assert!(output.stdout().contains(&line), "{line} in {output}");
    }
    assert_eq!(find(&findings, "kernel", "openat2(2)")["health"], "good");
    let limited = findings.iter().filter(|finding| finding["health"] == "limited").count();
    let summary = format!("containers can run here; limited: {limited} of {}\n", findings.len());
    assert!(output.stdout().ends_with(&summary), "{output}");
    assert!(!t.state_root().exists(), "it has no effects");
}

#[test]
fn without_cgroups_no_container_runs() {
    let t = sandbox!();
    t.host_shell("umount -R /sys/fs/cgroup");
    let output = t.command("doctor", &[]).option("-f").option("json").fails(1);
    let findings = findings(&output);
    let finding = find(&findings, "cgroups", "hierarchies");
    assert_eq!(finding["health"], "missing", "{finding}");
    assert!(finding["fix"].as_str().unwrap().contains("mount -t cgroup2"), "{finding}");
    assert!(output.stderr().contains("containers cannot run here"), "{output}");
}

#[test]
fn a_limit_of_zero_namespaces_is_told() {
    let t = sandbox!();
    let zero = t.new_file("0\n");
    t.host_shell(&format!("mount --bind '{}' /proc/sys/user/max_user_namespaces", zero.display()));
    let findings = ask(&t);
    t.host_shell("umount /proc/sys/user/max_user_namespaces");
    let finding = find(&findings, "namespaces", "user");
    assert_eq!(finding["health"], "limited", "{finding}");
    assert_eq!(finding["fix"], "sysctl -w user.max_user_namespaces=10000");
    assert_eq!(find(&findings, "namespaces", "pid")["health"], "good");
}

/// A mount makes the kernel load the module.
#[test]
fn a_file_system_that_is_a_module_is_as_good_as_one_that_is_known() {
    let t = sandbox!();
    let known = t.new_file("nodev\ttmpfs\nnodev\tdevpts\nnodev\tmqueue\n");
    t.host_shell(&format!("mount --bind '{}' /proc/filesystems", known.display()));
    let has_modules = std::path::Path::new("/lib/modules").is_dir();
    if has_modules {
        t.host_shell("mount -t tmpfs modules /lib/modules");
    }
    let without = ask(&t);
    if has_modules {
        t.host_shell(
            "d=/lib/modules/$(uname -r); mkdir $d && \
             echo 'kernel/fs/overlayfs/overlay.ko.xz: kernel/fs/x.ko.xz' >$d/modules.dep",
        );
        assert_eq!(find(&ask(&t), "kernel", "overlay")["health"], "good");
    }
    t.host_shell("umount /proc/filesystems");
    let finding = find(&without, "kernel", "overlay");
    assert_eq!((&finding["health"], &finding["detail"]), (&"limited".into(), &"mounts of this type will fail".into()));
}

/// systemd hands some controllers down only where a unit asks for them; a container's cgroup may have all that the top has.
#[test]
fn roots_containers_have_the_controllers_of_the_top() {
    let t = sandbox!();
    let Ok(controllers) = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers") else {
        skip!("version 2 alone has them in one file");
    };
    let findings = ask(&t);
    for name in ["memory", "cpu", "cpuset", "pids", "io", "hugetlb"] {
        let expected = if controllers.split_whitespace().any(|word| word == name) { "good" } else { "limited" };
        assert_eq!(find(&findings, "cgroups", name)["health"], expected, "{name}: {controllers}");
    }
}

/// And what it says will be refused, is.
#[test]
fn version_1_needs_controllers_for_devices_and_pauses() {
    let t = sandbox!();
    if t.view().is_unified() {
        skip!("version 2 has both always");
    }
    let health = |subject: &str| find(&ask(&t), "cgroups", subject)["health"].as_str().unwrap().to_owned();
    assert_eq!((health("devices"), health("freezer")), ("good".into(), "good".into()));
    t.host_shell("umount /sys/fs/cgroup/devices /sys/fs/cgroup/freezer");
    assert_eq!(health("devices"), "missing");
    if std::path::Path::new("/sys/fs/cgroup/unified/cgroup.controllers").exists() {
        assert_eq!(find(&ask(&t), "cgroups", "freezer")["detail"], "that of version 2");
        t.host_shell("umount /sys/fs/cgroup/unified");
    }
    assert_eq!(health("freezer"), "limited");
    let output = t.container(t.bundle().args(&["true"])).command("run").fails(1);
    assert!(
        output.stderr().contains("linux.resources.devices: this host has no cgroup v1 controller devices"),
        "{output}"
    );
    t.assert_nothing_left();
}

#[test]
fn who_may_not_write_the_state_directory_is_told() {
    let t = sandbox!();
    let output = t.command("doctor", &[]).option("--format").option("json").unprivileged().fails(1);
    let findings = findings(&output);
    assert_eq!(find(&findings, "caller", "state directory")["health"], "missing");
    assert_eq!(find(&findings, "caller", "CAP_SYS_ADMIN")["health"], "limited");
    for subject in ["user", "/etc/subuid", "newuidmap", "newgidmap"] {
        assert_eq!(find(&findings, "caller", subject)["area"], "caller");
    }
    let delegation = find(&findings, "cgroups", "delegation");
    assert_eq!(delegation["health"], "limited", "{delegation}");
    assert!(delegation["detail"].as_str().unwrap().contains("no limits"), "{delegation}");
}

#[test]
fn the_clients_that_are_told_to_call_corten() {
    let t = sandbox!();
    let write = |file: &str, text: &str| {
        let source = t.new_file(text);
        t.host_shell(&format!("mkdir -p $(dirname {file}) && cp '{}' {file}", source.display()));
    };
    // An /etc of our own, which only this sandbox sees.
    t.host_shell("mount -t tmpfs tmpfs /etc; mount -t tmpfs tmpfs /usr/share 2>/dev/null || true");
    for client in ["docker", "containerd", "podman"] {
        let findings = ask(&t);
        let finding = find(&findings, "clients", client);
        // Whether it is installed depends on the machine.
        let expected = match finding["health"].as_str().unwrap() {
            "good" => "neither installed nor configured here",
            _ => "has no settings here, so it calls another runtime",
        };
        assert_eq!(finding["detail"], expected);
    }
    write("/etc/docker/daemon.json", r#"{"runtimes": {"steel": {"path": "/opt/corten"}}, "default-runtime": "steel"}"#);
    write("/etc/containerd/config.toml", "version = 2\n[x.options]\n  BinaryName = \"/opt/corten\"\n");
    write("/etc/containers/containers.conf", "[engine]\nruntime = \"crun\"\n");
    let said = find(&ask(&t), "clients", "podman")["detail"].as_str().unwrap().to_owned();
    assert_eq!(said, "/etc/containers/containers.conf does not name corten");
    write("/etc/containers/containers.conf.d/steel.conf", "[engine.runtimes]\nsteel = [\"/opt/corten\"]\n");
    let findings = ask(&t);
    for (client, part) in
        [("docker", "\"steel\", the default"), ("containerd", "/opt/corten"), ("podman", "/opt/corten")]
    {
        let finding = find(&findings, "clients", client);
        assert_eq!(finding["health"], "good", "{finding}");
        assert!(finding["detail"].as_str().unwrap().contains(part), "{finding}");
    }
    write("/etc/docker/daemon.json", "{");
    let findings = ask(&t);
    let broken = find(&findings, "clients", "docker");
    assert!(broken["detail"].as_str().unwrap().contains("not JSON"), "{broken}");
}

#[test]
fn an_unknown_format_fails() {
    let t = sandbox!();
    t.command("doctor", &[]).option("--format").option("xml").fails(1);
}
