//! What engines read of a failure: the lines of `--log FILE --log-format json`, as containerd, Docker and conmon give them.
//!
//! They take the `msg` of the last line with the level error, and look in it for `executable file not found in $PATH` and `no such
//! file or directory` (127), and `permission denied` (126).

use corten_integration::{Bundle, Container, Invocation, Sandbox, on_every_view};
use serde_json::{Value, json};
use std::path::Path;

/// Gives a command a log; checks that all lines have runc's form, and returns the last message.
fn logged<'t>(t: &'t Sandbox, command: Invocation<'t>, code: i32) -> String {
    let log = t.new_path("log");
    let output = command.global("--log").global(&log).global("--log-format").global("json").fails(code);
    let text = std::fs::read_to_string(&log).unwrap_or_else(|error| panic!("{error}: {output}"));
    let mut last = None;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if line["level"] != "error" {
            continue;
        }
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["level", "msg", "time"], "{line}");
        // RFC 3339: 2026-11-30T12:00:00Z or with an offset.
        let time = line["time"].as_str().unwrap();
        assert!(time.len() >= 20 && time.as_bytes()[10] == b'T' && time.as_bytes()[19] != b' ', "{time}");
        last = Some(line);
    }
    let last = last.unwrap_or_else(|| panic!("no error in the log {text:?} of {output}"));
    let message = last["msg"].as_str().unwrap().to_owned();
    // Whoever looks at standard error finds the same reason.
    assert!(
        output.stderr().contains(message.trim()) || output.stderr().contains(&json!(message).to_string()),
        "{output}"
    );
    message
}

/// Files that are no programs.
fn bundle(t: &Sandbox) -> Bundle {
    let bundle = t.bundle().args(&["sleep", "1000"]);
    std::fs::write(bundle.rootfs("/bin/text"), "no program").unwrap();
    let garbage = bundle.rootfs("/bin/garbage");
    std::fs::write(&garbage, [0x7f, 0, 1, 2, 3]).unwrap();
    std::fs::set_permissions(&garbage, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bundle
}

/// What is wrong, as a change of `process`, and what the message has in it.
fn cases(t: &Sandbox) -> Vec<(&'static str, Value, &'static str)> {
    // More than fs.nr_open ever allows.
    let too_many = json!([{"type": "RLIMIT_NOFILE", "soft": 1u64 << 40, "hard": 1u64 << 40}]);
    let mut cases = vec![
        ("args", json!(["no-such-program"]), "exec: \"no-such-program\": executable file not found in $PATH"),
        ("args", json!(["/no/such"]), "exec: \"/no/such\": stat /no/such: no such file or directory"),
        ("args", json!(["/bin/text"]), "exec: \"/bin/text\": permission denied"),
        ("args", json!(["/etc"]), "exec: \"/etc\": "),
        ("cwd", json!("/bin/text"), "ot a directory"),
        ("rlimits", too_many, "rlimits"),
    ];
    if !t.differs("a bad format in the log") {
        cases.push(("args", json!(["/bin/garbage"]), "xec format error"));
    }
    cases
}

fn exec<'t>(t: &'t Sandbox, container: &Container<'_>, process: &Value, detached: Option<&Path>) -> Invocation<'t> {
    let file = t.new_file(&process.to_string());
    let command = t.command("exec", &[container.id()]).option("--process").option(file);
    match detached {
        Some(pid_file) => command.option("--detach").option("--pid-file").option(pid_file),
        None => command,
    }
}

#[test]
fn what_an_exec_fails_of_is_in_the_log() {
    on_every_view(|t| {
        let container = t.container(bundle(t));
        container.run_detached();
        // Of a start it is made.
        let no_directory = ("cwd", json!("/no/such"), "o such file or directory");
        for (element, value, part) in cases(t).into_iter().chain([no_directory]) {
            let mut process = container.bundle().config["process"].clone();
            process[element] = value;
            for pid_file in [None, Some(t.new_path("pid"))] {
                let command = exec(t, &container, &process, pid_file.as_deref());
                let message = logged(t, command, 255);
                assert!(message.starts_with("exec failed: ") && message.contains(part), "{element}: {message}");
                assert!(!pid_file.is_some_and(|path| path.exists()), "{element}: a pid of what does not run");
            }
        }
        assert_eq!(container.cgroup_file("pids", "cgroup.procs").lines().count(), 1);
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn what_a_create_and_a_run_fail_of_is_in_the_log() {
    on_every_view(|t| {
        for (element, value, part) in cases(t) {
            let pid_file = t.new_path("pid");
            let container = t.container(bundle(t).set(&format!("/process/{element}"), value));
            let run = container.command("run").option("--pid-file").option(&pid_file);
            let message = logged(t, run, 1);
            assert!(message.contains(part), "run, {element}: {message}");
            assert!(!pid_file.exists(), "{element}: a pid of what does not run");
        }
        t.assert_nothing_left();
    });
}

/// `OPTIONS ID ARGS` of exec, refused before anything is done inside; `ID` alone is what does not exist.
const COMMAND_LINES: &[(&[&str], &[&str], &str)] = &[
    (&["--user", "nobody"], &["true"], "exec failed: parsing nobody as int for uid failed"),
    (&["--user", "1:staff"], &["true"], "exec failed: parsing staff as int for gid failed"),
    (&["--cwd", "relative"], &["true"], "absolute path"),
    (&["--env", "A"], &["true"], "env"),
    (&["--tty", "--detach"], &["true"], "cannot allocate tty if"),
    (&["--process", "/no/such"], &[], "open /no/such"),
    (&["--preserve-fds", "900"], &["true"], "preserve"),
    (&[], &[], "process args cannot be empty"),
];

#[test]
fn a_wrong_exec_is_in_the_log() {
    on_every_view(|t| {
        let container = t.container(bundle(t));
        container.run_detached();
        for (options, args, part) in COMMAND_LINES {
            let operands: Vec<&str> = [container.id()].iter().chain(*args).copied().collect();
            let command = options.iter().fold(t.command("exec", &operands), |command, option| command.option(option));
            let message = logged(t, command, 255);
            assert!(message.contains(part), "{options:?}: {message}");
        }
        assert!(logged(t, t.command("exec", &["no-such-container", "true"]), 255).contains("does not exist"));
        container.command("pause").ok();
        let message = logged(t, t.command("exec", &[container.id(), "true"]), 255);
        assert!(message.contains("cannot exec in a paused container"), "{message}");
        container.command("resume").ok();
        container.kill("KILL");
        container.wait_for("stopped");
        let message = logged(t, t.command("exec", &[container.id(), "true"]), 255);
        assert!(message.contains("cannot exec in a stopped container"), "{message}");
        // Wrong command lines have a line as well.
        let none: [&str; 0] = [];
        for (verb, operands, part) in [
            ("state", &none[..], "requires exactly 1 argument"),
            ("exec", &none[..], "requires a minimum of 1 argument"),
        ] {
            let message = logged(t, t.command(verb, operands), 1);
            assert!(message.contains(part), "{verb}: {message}");
        }
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}
