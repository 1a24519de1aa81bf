//! Mistakes that people make, and what the one line of the error says beside the element: what the kernel's errno alone does
//! not tell, or what to do.

use corten_integration::{Bundle, Runtime, Sandbox, once, skip};
use serde_json::json;

macro_rules! corten_only {
    () => {
        if Runtime::from_environment() != Runtime::Corten {
            skip!("about corten's own words");
        }
    };
}

/// Runs the bundle, which must fail in one line that has all of `words`.
fn check(t: &Sandbox, bundle: Bundle, words: &[&str]) {
    let container = t.container(bundle);
    let output = container.command("run").fails(1);
    let errors: Vec<String> =
        output.stderr().lines().filter(|line| line.contains("level=error")).map(str::to_owned).collect();
    assert_eq!(errors.len(), 1, "{output}");
    for word in words {
        assert!(errors[0].contains(word), "{word}: {output}");
    }
}

#[test]
fn programs_that_are_there_and_cannot_be_executed() {
    corten_only!();
    once(|t| {
        let run = |text: &str, words: &[&str]| {
            check(t, t.bundle().file("/bin/given", text, 0o755).args(&["/bin/given"]), words);
        };
        run("#!/bin/not-there\n", &["process.args[0]: exec: ", "no such file or directory (", "#! line", "loader"]);
        run("echo without a line\n", &["process.args[0]: exec: ", "exec format error (", "another architecture"]);
        check(t, t.bundle().args(&["/not/there"]), &["stat /not/there: no such file or directory\""]);
    });
}

#[test]
fn mounts_that_the_kernel_refuses_without_a_reason() {
    corten_only!();
    once(|t| {
        for (destination, kind, source, options, words) in [
            (
                "/data",
                "tmpfs",
                "tmpfs",
                &["noexecs"][..],
                &["mount tmpfs on /data", "Invalid argument (", "noexecs"][..],
            ),
            ("/data", "tmpfs", "tmpfs", &["nosuid", "size=many"], &["Invalid argument (", "size=many"]),
            ("/data", "tmpf", "tmpf", &[], &["No such device (", "/proc/filesystems"]),
            ("/etc", "bind", "/etc/passwd", &["bind"], &["a directory can be mounted on a directory only"]),
            ("/etc/passwd", "bind", "/etc", &["bind"], &["a directory can be mounted on a directory only"]),
        ] {
            check(t, t.bundle().mount(destination, kind, source, options), &[&["mounts["], words].concat());
        }
    });
}

#[test]
fn what_is_missing_around_the_container() {
    corten_only!();
    once(|t| {
        let output = t.container(t.bundle()).command("run").unprivileged().fails(1);
        assert!(output.stderr().contains("(an ordinary user needs one"), "{output}");
    });
}

/// Two ends of an engine that do not agree about the driver: it works, in an odd directory.
#[test]
fn a_path_for_systemd_without_it_is_warned_of() {
    corten_only!();
    once(|t| {
        let name = t.unique_name();
        let path = format!("system.slice:corten:{name}");
        let container = t.container(t.bundle().args(&["true"]).set("/linux/cgroupsPath", path.as_str()));
        let output = container.command("run").ok();
        assert!(output.stderr().contains("level=warning") && output.stderr().contains("--systemd-cgroup"), "{output}");
        let output = t.container(t.bundle().args(&["true"])).command("run").ok();
        assert_eq!(output.stderr(), "");
    });
}

#[test]
fn limits_that_the_kernel_refuses() {
    corten_only!();
    once(|t| {
        for (pointer, value, words) in [
            ("/linux/resources/cpu", json!({"cpus": "0-9999"}), &["linux.resources.cpu.cpus: ", "/cpu/online)"][..]),
            (
                "/linux/resources/cpu",
                json!({"quota": 10, "period": 100_000}),
                &["linux.resources.cpu.", "1000 at least"],
            ),
        ] {
            let output = t.container(t.bundle().set(pointer, value)).command("run").fails(1);
            // Without the controller there is another reason.
            let other = output.stderr().contains("controller");
            assert!(other || words.iter().all(|word| output.stderr().contains(word)), "{output}");
        }
    });
}
