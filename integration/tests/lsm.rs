//! What the security modules make of the program. They are at work in the virtual machine: AppArmor (`integration/vm/run lsm`), or
//! SELinux (`integration/vm/run -l lsm`).

use corten_integration::{Bundle, Profile, Sandbox, apparmor_is_on, label_of, on_every_view, once, skip};
use serde_json::json;
use std::path::Path;

fn selinux_is_on() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

#[test]
fn labels_of_a_module_that_is_not_at_work_are_errors() {
    on_every_view(|t| {
        for (element, on) in [("apparmorProfile", apparmor_is_on()), ("selinuxLabel", selinux_is_on())] {
            if on {
                continue;
            }
            let container = t.container(t.bundle().set(&format!("/process/{element}"), json!("corten-test")));
            let output = container.command("run").fails(1);
            let said = output.stderr().to_lowercase();
            let module = element.trim_end_matches("Profile").trim_end_matches("Label");
            assert!(said.contains(module) || t.differs("names of security modules"), "{said}");
            t.assert_nothing_left();
        }
        if t.differs("an empty AppArmor profile") {
            return;
        }
        // An empty one asks for nothing.
        assert_eq!(t.output_of(t.bundle().set("/process/apparmorProfile", json!("")).args(&["echo", "ok"])), "ok\n");
    });
}

#[test]
fn a_label_of_mounts_is_an_error_where_selinux_is_not_at_work() {
    if selinux_is_on() {
        skip!("SELinux is at work here");
    }
    once(|t| {
        let bundle = t.bundle().args(&["echo", "ok"]);
        let bundle = bundle.set("/linux/mountLabel", json!("system_u:object_r:container_file_t:s0:c1,c2"));
        let output = t.container(bundle.clone()).command("run").fails(1);
        // The kernel's own words are those of the file system that does not know the option.
        assert!(output.stderr().contains("linux.mountLabel") || t.differs("names of elements"), "{output}");
        t.assert_nothing_left();
        // Neither procfs nor sysfs nor a bind gets one, nor does anything else, if it is empty.
        let source = t.new_directory();
        let mounts = json!([{"destination": "/proc", "type": "proc"}, {"destination": "/sys", "type": "sysfs"},
            {"destination": "/data", "source": source, "type": "bind", "options": ["bind"]}]);
        let unlabelled =
            bundle.clone().set("/mounts", mounts).remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
        assert_eq!(t.output_of(unlabelled), "ok\n");
        assert_eq!(t.output_of(bundle.set("/linux/mountLabel", json!(""))), "ok\n");
    });
}

#[test]
fn the_profile_holds_for_the_program_and_for_those_that_are_added() {
    if !apparmor_is_on() {
        skip!("AppArmor is not at work on this kernel");
    }
    once(|t| {
        let profile = Profile::load("holds");
        let script = "cat /proc/self/attr/current; mkdir -p /forbidden; echo x >/forbidden/x && echo written";
        for (no_new_privileges, user_namespace) in [(false, false), (true, false), (true, true)] {
            let bundle = if user_namespace { t.bundle().user_namespace(100_000) } else { t.bundle() };
            let bundle = bundle.set("/process/apparmorProfile", json!(profile.name()));
            let bundle = bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
            let bundle = bundle.set("/root/readonly", json!(false));
            let output = t.container(bundle.clone().sh(script)).command("run").run();
            assert_eq!(output.stdout(), format!("{}\n", profile.label()), "{output}");
            let container = t.container(bundle.args(&["sleep", "1000"]));
            container.run_detached();
            let output = t.command("exec", &[container.id(), "sh", "-c", script]).run();
            assert_eq!(output.stdout(), format!("{}\n", profile.label()), "{output}");
            let output =
                t.command("exec", &[container.id(), "sh", "-c", script]).option("--apparmor").option("unconfined");
            assert!(output.run().stdout().starts_with("unconfined\n"));
            container.command("delete").option("--force").ok();
        }
        t.assert_nothing_left();
    });
}

#[test]
fn selinux_labels_the_program_those_that_are_added_and_the_mounts() {
    if !selinux_is_on() {
        skip!("SELinux is not at work on this kernel");
    }
    once(|t| {
        let process = |categories: &str| format!("system_u:system_r:unconfined_t:s0:{categories}");
        let of_files = "system_u:object_r:tmp_t:s0:c1,c2";
        // What the kernel says ends with a NUL byte.
        let own = ["sh", "-c", "tr -d '\\0' </proc/self/attr/current"];
        for (no_new_privileges, user_namespace) in [(false, false), (true, false), (true, true)] {
            let bundle = if user_namespace { t.bundle().user_namespace(100_000) } else { t.bundle() };
            let bundle = bundle.set("/process/selinuxLabel", json!(process("c1,c2")));
            let bundle = bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
            assert_eq!(t.output_of(bundle.clone().args(&own)), process("c1,c2"));
            // Of a user namespace, the kernel takes no context for mqueue.
            let bundle = if user_namespace { bundle } else { bundle.set("/linux/mountLabel", json!(of_files)) };
            let container = t.container(bundle.args(&["sleep", "1000"]));
            container.run_detached();
            let exec = || t.command("exec", &[&[container.id()], &own[..]].concat());
            assert_eq!(exec().ok().stdout(), process("c1,c2"));
            let other = exec().option("--process-label").option(process("c3"));
            assert_eq!(other.ok().stdout(), process("c3"));
            let mounts = t.command("exec", &[container.id(), "cat", "/proc/self/mountinfo"]).ok().stdout();
            for line in mounts.lines().filter(|_| !user_namespace) {
                let (mount, system) = line.split_once(" - ").expect("a line of mountinfo");
                let is_own = mount.split(' ').nth(4) != Some("/")
                    && ["tmpfs ", "devpts "].iter().any(|kind| system.starts_with(kind));
                let labelled =
                    line.contains(&format!("context={of_files}")) || line.contains(&format!("context=\"{of_files}\""));
                assert_eq!(labelled, is_own, "{line}");
            }
            container.command("delete").option("--force").ok();
        }
        t.assert_nothing_left();
    });
}

#[test]
fn a_label_that_selinux_does_not_know_is_an_error() {
    if !selinux_is_on() {
        skip!("SELinux is not at work on this kernel");
    }
    once(|t| {
        for element in ["/process/selinuxLabel", "/linux/mountLabel"] {
            let container = t.container(t.bundle().set(element, json!("system_u:system_r:corten_test_unknown_t:s0")));
            let output = container.command("run").fails(1);
            let name = element.trim_start_matches('/').replace('/', ".");
            assert!(output.stderr().contains(&name) || t.differs("names of elements"), "{output}");
            t.assert_nothing_left();
        }
    });
}

#[test]
fn a_profile_that_is_not_loaded_is_an_error() {
    if !apparmor_is_on() {
        skip!("AppArmor is not at work on this kernel");
    }
    once(|t| {
        let container = t.container(t.bundle().set("/process/apparmorProfile", json!("corten-test-not-loaded")));
        let output = container.command("run").fails(1);
        assert!(output.stderr().contains("apparmor"), "{output}");
        t.assert_nothing_left();
    });
}

/// What of an image, or of a configuration, looks like the files of procfs that take labels.
fn false_procfs(t: &Sandbox) -> Vec<(&'static str, Bundle)> {
    const FILES: [&str; 6] = [
        "self/attr/exec",
        "self/attr/current",
        "self/attr/apparmor/exec",
        "thread-self/attr/exec",
        "thread-self/attr/apparmor/exec",
        "1/attr/apparmor/exec",
    ];
    let plain = |directory: &str| {
        let bundle = t.bundle().remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
        FILES.iter().fold(bundle, |bundle, file| bundle.file(&format!("{directory}/{file}"), "false", 0o666))
    };
    let at_proc = |mount: serde_json::Value| plain("/false").set("/mounts/0", mount);
    let below = plain("/false");
    let place = |path: &str| below.rootfs(&format!("/false/{path}"));
    let bind = |path: &str, source: &str| plain("/false").bind(place(source), path, &[]);
    vec![
        ("files on /proc, covered by a procfs", plain("/proc")),
        ("files on /proc, and no procfs", plain("/proc").remove("/mounts/0")),
        ("/proc is a link", plain("/false").link("/proc", "/false")),
        ("/proc is a link, and no procfs", plain("/false").link("/proc", "/false").remove("/mounts/0")),
        ("a tmpfs on /proc", at_proc(json!({"destination": "/proc", "type": "tmpfs", "source": "tmpfs"}))),
        ("a tmpfs with files on /proc", {
            let mount = json!({"destination": "/proc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]});
            plain("/proc").set("/mounts/0", mount)
        }),
        ("a directory on /proc", {
            let mount = json!({"destination": "/proc", "type": "bind", "source": place(""), "options": ["bind"]});
            at_proc(mount)
        }),
        ("a procfs with little in it", {
            at_proc(
                json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["subset=pid", "hidepid=2"]}),
            )
        }),
        ("a tmpfs on the procfs", plain("/false").mount("/proc", "tmpfs", "tmpfs", &[])),
        ("a directory on the procfs", bind("/proc", "")),
        ("a file on exec", bind("/proc/self/attr/exec", "self/attr/exec")),
        ("a file on apparmor/exec", bind("/proc/self/attr/apparmor/exec", "self/attr/exec")),
        ("a file on the thread's exec", bind("/proc/thread-self/attr/apparmor/exec", "self/attr/exec")),
        ("a directory on attr", bind("/proc/self/attr", "self/attr")),
        ("a directory on self", bind("/proc/self", "self")),
        ("a directory on attr through a link", bind("/way/self/attr", "self/attr").link("/way", "/proc")),
    ]
}

/// Class 8 of docs/SECURITY.md (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881): the start fails, or the label holds.
#[test]
fn a_false_procfs_does_not_take_the_label_away() {
    if !apparmor_is_on() {
        skip!("AppArmor is not at work on this kernel");
    }
    once(|t| {
        let profile = Profile::load("false-procfs");
        let mut started = Vec::new();
        for (name, bundle) in false_procfs(t) {
            let bundle = bundle.set("/process/apparmorProfile", json!(profile.name())).writable();
            let container = t.container(bundle.args(&["sleep", "1000"]));
            let output = container.command("run").option("--detach").run();
            if output.code() != 0 {
                assert!(!output.stderr().trim().is_empty(), "{name}: {output}");
                continue;
            }
            started.push(name);
            let label = label_of(container.pid(), "sleep");
            assert_eq!(label.as_deref(), Some(&*profile.label()), "{name}");
            let pid_file = t.new_path("pid");
            let exec = t.command("exec", &[container.id(), "sleep", "1000"]).option("--detach");
            let output = exec.option("--pid-file").option(&pid_file).run();
            if output.code() == 0 {
                let pid = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
                assert_eq!(label_of(pid, "sleep").as_deref(), Some(&*profile.label()), "exec, {name}");
            }
            for file in ["/proc/self/attr/exec", "/false/self/attr/exec"] {
                let text = std::fs::read_to_string(container.bundle().rootfs(file)).unwrap_or("false".into());
                assert_eq!(text, "false", "{name}: {file} was written to");
            }
            container.command("delete").option("--force").ok();
        }
        eprintln!("started with their label: {started:?}");
        assert!(started.contains(&"files on /proc, covered by a procfs"), "{started:?}");
        t.assert_nothing_left();
    });
}
