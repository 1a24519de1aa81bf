//! Configurations and ids that cannot be honoured: one clear line, runc's exit code, nothing left behind.

use corten_integration::{Bundle, Container, Output, Runtime, Sandbox, on_every_view, once};
use serde_json::{Value, json};

/// A configuration that must be refused.
struct Case {
    /// The element to set.
    pointer: &'static str,
    /// Its bad value.
    value: Value,
    /// What corten's line names.
    names: &'static str,
    /// Whether runc 1.1.5 takes it all the same: it ignores the element, or what is wrong with it.
    runc_accepts: bool,
}

fn case(pointer: &'static str, value: Value, names: &'static str) -> Case {
    Case { pointer, value, names, runc_accepts: false }
}

fn only_corten(pointer: &'static str, value: Value, names: &'static str) -> Case {
    Case { pointer, value, names, runc_accepts: true }
}

fn process_cases() -> Vec<Case> {
    vec![
        case("/process", Value::Null, "process"),
        case("/process/args", json!([]), "process.args"),
        case("/process/args", json!([""]), "process.args[0]"),
        case("/process/args", json!("sh"), "process.args"),
        case("/process/args", json!(["a\0b"]), "process.args[0]"),
        case("/process/args", json!(["not-there"]), "process.args[0]"),
        case("/process/args", json!(["/not/there"]), "process.args[0]"),
        case("/process/args", json!(["/etc/passwd"]), "process.args[0]"),
        case("/process/args", json!(["/bin"]), "process.args[0]"),
        case("/process/cwd", json!(""), "process.cwd"),
        case("/process/cwd", json!("relative"), "process.cwd"),
        case("/process/cwd", json!("/bin/busybox"), "process.cwd"),
        case("/process/env", json!(["A=\0"]), "process.env[0]"),
        case("/process/user/uid", json!(-1), "process.user.uid"),
        case("/process/user/uid", json!(4_294_967_296_u64), "process.user.uid"),
        case("/process/user/uid", json!("root"), "process.user.uid"),
        case("/process/user/additionalGids", json!([0, -5]), "process.user.additionalGids[1]"),
        case("/process/oomScoreAdj", json!(5000), "process.oomScoreAdj"),
        case("/process/oomScoreAdj", json!(99_999_999_999_u64), "process.oomScoreAdj"),
        case("/process/rlimits/0/type", json!("RLIMIT_FOO"), "process.rlimits[0].type"),
        case("/process/rlimits/0/soft", json!(2000), "process.rlimits[0]"),
        case("/process/rlimits/0/soft", json!(-1), "process.rlimits[0].soft"),
        case("/process/consoleSize", json!({"height": -1, "width": 1}), "process.consoleSize.height"),
        case("/process/terminal", json!("yes"), "process.terminal"),
        // Not there, or not loaded.
        case("/process/apparmorProfile", json!("corten-none"), "process.apparmorProfile"),
        only_corten("/process/rlimits/1", json!({"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}), "process.rlimits[1]"),
    ]
}

fn linux_cases() -> Vec<Case> {
    vec![
        case("/root", Value::Null, "root"),
        case("/root/path", json!("missing"), "root.path"),
        case("/root/path", json!("config.json"), "root.path"),
        case("/hostname", json!("x".repeat(100)), "hostname"),
        case("/linux/namespaces/0", json!({"type": "foo"}), "linux.namespaces[0].type"),
        case("/linux/namespaces/0", json!({"type": "network"}), "linux.namespaces[1]"),
        case("/linux/namespaces/0", json!({"type": "pid", "path": "/not/there"}), "linux.namespaces[0].path"),
        case("/linux/namespaces/0", json!({"type": "pid", "path": "/proc/self/ns/net"}), "linux.namespaces[0].path"),
        case("/linux/namespaces/2", json!({"type": "user"}), "linux.uidMappings"),
        case("/linux/rootfsPropagation", json!("sideways"), "linux.rootfsPropagation"),
        case("/linux/sysctl", json!({"kernel.foo": "1"}), "linux.sysctl"),
        case("/linux/sysctl", json!({"net.ipv4.not_there": "1"}), "linux.sysctl"),
        case(
            "/linux/devices",
            json!([{"path": "/dev/x", "type": "z", "major": 1, "minor": 3}]),
            "linux.devices[0].type",
        ),
        case("/linux/resources/memory", json!({"limit": "much"}), "linux.resources.memory.limit"),
        case("/linux/resources/pids", json!({"limit": 1e40}), "linux.resources.pids.limit"),
        case("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_FOO"}), "linux.seccomp.defaultAction"),
        case("/hooks", json!({"createRuntime": [{"path": "relative"}]}), "hooks.createRuntime[0].path"),
        only_corten(
            "/linux/devices",
            json!([{"path": "relative", "type": "c", "major": 1, "minor": 3}]),
            "linux.devices[0].path",
        ),
        only_corten("/linux/maskedPaths", json!(["relative"]), "linux.maskedPaths[0]"),
        only_corten("/ociVersion", json!("2.0.0"), "ociVersion"),
    ]
}

/// Arrays where objects belong, with the values of their members in turn, and an object for a word.
fn shape_cases() -> Vec<Case> {
    vec![
        case("/root", json!(["rootfs", false]), "root"),
        case("/process/rlimits/0", json!(["RLIMIT_NOFILE", 1024, 1024]), "process.rlimits[0]"),
        case("/mounts/6", json!(["/data", "tmpfs", "tmpfs", []]), "mounts[6]"),
        case("/hooks", json!({"createRuntime": [["/bin/true"]]}), "hooks.createRuntime[0]"),
        case("/linux/namespaces/0", json!(["pid", null]), "linux.namespaces[0]"),
        case("/linux/devices", json!([["/dev/x", "c", 1, 3, null, null, null]]), "linux.devices[0]"),
        case("/linux/resources", json!([]), "linux.resources"),
        case("/linux/resources/pids", json!([5]), "linux.resources.pids"),
        case("/linux/seccomp", json!({"defaultAction": {"SCMP_ACT_ALLOW": null}}), "linux.seccomp.defaultAction"),
    ]
}

fn mount_cases() -> Vec<Case> {
    let mount = |kind: &str, source: &str, destination: &str, options: &[&str]| json!({"type": kind, "source": source, "destination": destination, "options": options});
    // The last of the default mounts is replaced; its index is 6.
    vec![
        case("/mounts/6", mount("bind", "/not/there", "/data", &["bind"]), "mounts[6]"),
        case("/mounts/6", mount("bind", "\0", "/data", &["bind"]), "mounts[6].source"),
        case("/mounts/6", mount("nofs", "x", "/data", &[]), "mounts[6]"),
        case("/mounts/6", mount("tmpfs", "x", "/data", &["bogus"]), "mounts[6]"),
        case("/mounts/6", mount("tmpfs", "x", "/data", &["size=lots"]), "mounts[6]"),
        case("/mounts/6", mount("tmpfs", "x", "/bin/busybox", &[]), "mounts[6]"),
        case("/mounts/6", mount("bind", "/etc", "/bin/busybox", &["bind"]), "mounts[6]"),
        case("/mounts/6", mount("bind", "/etc/passwd", "/bin", &["bind"]), "mounts[6]"),
        case("/mounts/6", json!({"type": "tmpfs", "source": "x", "destination": 5}), "mounts[6].destination"),
    ]
}

fn apply(bundle: Bundle, case: &Case) -> Bundle {
    let bundle = bundle.args(&["true"]);
    match case.pointer {
        "/process/rlimits/1" => bundle.add("/process/rlimits", case.value.clone()),
        pointer => bundle.set(pointer, case.value.clone()),
    }
}

/// Fails unless `create` or `run` (what is wrong with a program shows at the latest in the latter) refuses the container.
fn refused(t: &Sandbox, container: &Container<'_>, names: &str, what: &str) {
    let output = container.command("run").run();
    assert_eq!(output.code(), 1, "{what}: {output}");
    assert_eq!(output.stdout(), "", "{what}: {output}");
    let stderr = output.stderr();
    let errors: Vec<&str> =
        stderr.lines().filter(|line| line.contains("level=error") || t.runtime() != Runtime::Runc).collect();
    assert!(!errors.is_empty(), "{what}: {output}");
    if t.runtime() == Runtime::Corten {
        assert_eq!(errors.len(), 1, "{what}: one line: {output}");
        assert!(errors[0].contains(names), "{what}: the line should name {names}: {output}");
    }
    t.assert_nothing_left();
}

fn check(cases: fn() -> Vec<Case>) {
    on_every_view(|t| {
        for case in cases() {
            let what = format!("{} = {}", case.pointer, case.value);
            let good = t.bundle().args(&["true"]);
            let container = t.container(apply(good.clone(), &case));
            if case.runc_accepts && t.runtime() != Runtime::Corten {
                eprintln!("known difference of {}: accepts {what}", t.runtime().name());
                continue;
            }
            refused(t, &container, case.names, &what);
            // The id can be used again at once.
            let again = t.command("run", &[container.id()]).option("--bundle").option(good.path());
            good.write();
            again.ok();
        }
    });
}

#[test]
fn process() {
    check(process_cases);
}

#[test]
fn linux() {
    check(linux_cases);
}

#[test]
fn arrays_in_place_of_objects() {
    check(shape_cases);
}

#[test]
fn mounts() {
    check(mount_cases);
}

#[test]
fn unknown_capabilities_are_ignored_with_a_warning_that_names_them() {
    once(|t| {
        let container = t.container(t.bundle().add("/process/capabilities/bounding", "CAP_FOO").args(&["echo", "ran"]));
        let output = container.command("run").run();
        assert!(output.stderr().contains("CAP_FOO"), "{output}");
        assert_eq!((output.code(), output.stdout().as_str()), (0, "ran\n"), "{output}");
        if t.runtime() == Runtime::Corten {
            assert!(output.stderr().contains("process.capabilities.bounding[3]"), "{output}");
        }
    });
}

#[test]
fn signals_that_do_not_exist() {
    once(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.create();
        for signal in ["FOO", "SIGFOO", "99999", "-5"] {
            t.command("kill", &["--", container.id(), signal]).fails(1);
            assert_eq!(container.status(), "created", "{signal:?}");
        }
    });
}

#[test]
fn ids_that_would_leave_the_state_directory() {
    once(|t| {
        let bundle = t.bundle().args(&["true"]);
        bundle.write();
        let long = "x".repeat(1025);
        for id in ["", ".", "..", "../x", "a/b", "/a", "a b", "a\n", "ä", "a:b", &long] {
            t.command("create", &[id]).option("--bundle").option(bundle.path()).fails(1);
            t.command("state", &[id]).fails(1);
        }
        t.assert_nothing_left();
    });
}

#[test]
fn configurations_that_are_not_json_or_not_there() {
    once(|t| {
        let container = t.container(t.bundle());
        let path = container.bundle().path().join("config.json");
        for text in ["", "{", "[]", "{\"process\": }", "\"text\"", "{} {}", "\u{feff}{}"] {
            std::fs::write(&path, text).unwrap();
            container.command("create").fails(1);
        }
        if !t.differs("config.json is null") {
            std::fs::write(&path, "null").unwrap();
            container.command("create").fails(1);
        }
        std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
        container.command("create").fails(1);
        std::fs::remove_file(&path).unwrap();
        let output = container.command("create").fails(1);
        assert!(output.stderr().contains("config.json"), "{output}");
        std::fs::create_dir(&path).unwrap();
        container.command("create").fails(1);
        t.command("create", &[container.id()]).option("--bundle").option(t.new_path("missing")).fails(1);
        t.assert_nothing_left();
    });
}

#[test]
fn the_earliest_failure_leaves_a_line_in_the_log() {
    once(|t| {
        let container = t.container(t.bundle().set("/process/args", json!([])));
        let log = t.new_path("log");
        let command = container.command("create").global("--log").global(&log).global("--log-format").global("json");
        assert_eq!(command.run().code(), 1);
        let text = std::fs::read_to_string(&log).unwrap();
        let line: Value = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .find(|line: &Value| line["level"] == "error")
            .unwrap();
        assert!(line["msg"].as_str().is_some_and(|message| message.contains("args")), "{text}");
        assert!(line["time"].is_string(), "{text}");
    });
}

#[test]
fn a_program_of_a_bad_format() {
    once(|t| {
        let bundle = |t: &Sandbox| t.bundle().file("/bin/odd", "\x7fELF but not really", 0o755);
        let output = t.container(bundle(t).args(&["odd"])).command("run").run();
        assert!(output.code() != 0 && output.stderr().to_lowercase().contains("exec format error"), "{output}");
        // The program is executed when runc's start and exec have said that all is well.
        if t.differs("a program of a bad format in start and exec") {
            return;
        }
        let message = |output: &Output| {
            let text = output.stderr();
            text[text.find("exec: ").unwrap_or_else(|| panic!("{output}"))..].to_owned()
        };
        let created = t.container(bundle(t).args(&["odd"]));
        created.create();
        let running = t.container(bundle(t).args(&["sleep", "1000"]));
        running.run_detached();
        let others = [created.command("start").fails(1), t.command("exec", &[running.id(), "odd"]).fails(255)];
        for other in others {
            assert_eq!(message(&other), message(&output), "{other}");
        }
    });
}
