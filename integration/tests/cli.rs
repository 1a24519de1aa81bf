//! The command line: global options, help, spec, exit codes of wrong usage.

use corten_integration::{Runtime, once, skip};
use serde_json::Value;

#[test]
fn version() {
    once(|t| {
        let output = t.command("--version", &[]).ok();
        let stdout = output.stdout();
        assert!(stdout.starts_with(&format!("{} version ", t.runtime().name())), "{output}");
        assert!(stdout.lines().any(|line| line.starts_with("spec: 1.")), "{output}");
    });
}

/// Engines that know only runc by its name find it by a link.
#[test]
fn a_link_named_runc_works() {
    once(|t| {
        let bin = t.new_directory();
        std::os::unix::fs::symlink(t.runtime().program(), bin.join("runc")).unwrap();
        let container = t.container(t.bundle().sh("echo inside; exit 7"));
        container.bundle().write();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let output = std::process::Command::new("sh")
            .args(["-c", "exec runc --root \"$1\" run --bundle \"$2\" \"$3\"", "sh"])
            .args([t.state_root().as_os_str(), container.bundle().path().as_os_str(), container.id().as_ref()])
            .env("PATH", path)
            .output()
            .unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), &b"inside\n"[..]), "{output:?}");
        t.assert_nothing_left();
    });
}

#[test]
fn debug_logs_how_long_each_phase_takes() {
    once(|t| {
        if t.runtime() != Runtime::Corten {
            skip!("others have no such lines");
        }
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        let lines = |verb: &str, debug: bool, operands: &[&str]| {
            let log = t.new_path("log");
            let mut command = operands.iter().fold(container.command(verb), |command, word| command.operand(word));
            command = command.global("--log").global(&log).global("--log-format").global("json");
            if debug {
                command = command.global("--debug");
            }
            command.ok();
            let text = std::fs::read_to_string(&log).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.map(|line| format!("{} {}", line["level"], line["msg"])).collect::<Vec<_>>()
        };
        for (verb, operands, phase) in [
            ("create", &[][..], "plan"),
            ("start", &[], "startContainer hooks, execute the program"),
            ("exec", &["true"], "the init gets ready and executes the program"),
            ("kill", &["KILL"], ""),
            ("delete", &[], "remove the cgroups"),
        ] {
            if verb == "delete" {
                container.wait_for("stopped");
            }
            let seen = lines(verb, true, operands);
            assert!(seen.iter().all(|line| line.starts_with("\"debug\" ")), "{seen:?}");
            let of_phase =
                seen.iter().filter(|line| line.contains(&format!("phase: {phase}: ")) && line.contains(" µs"));
            assert_eq!(of_phase.count(), usize::from(!phase.is_empty()), "{seen:?}");
            assert!(seen.last().is_some_and(|line| line.contains(&format!("corten {verb}: "))), "{seen:?}");
        }
        let quiet = t.container(t.bundle().args(&["true"]));
        let log = t.new_path("log");
        quiet.command("run").global("--log").global(&log).ok();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "");
    });
}

#[test]
fn help_names_every_command() {
    once(|t| {
        let text = t.command("--help", &[]).ok().stdout();
        for verb in ["create", "start", "state", "kill", "delete", "run", "list", "spec"] {
            assert!(text.contains(verb), "{verb} in {text}");
        }
        t.command("run", &[]).option("--help").ok();
    });
}

#[test]
fn wrong_usage_fails() {
    once(|t| {
        for (verb, operands) in [
            ("create", &[][..]),
            ("start", &[]),
            ("state", &[]),
            ("kill", &[]),
            ("delete", &[]),
            ("state", &["a", "b"]),
        ] {
            let output = t.command(verb, operands).run();
            assert_ne!(output.code(), 0, "{verb} {operands:?}: {output}");
        }
    });
}

#[test]
fn an_unknown_command_or_option_fails() {
    once(|t| {
        let option = t.command("create", &["x"]).option("--no-such-option").run();
        assert_ne!(option.code(), 0, "{option}");
        let command = t.command("no-such-command", &[]).run();
        assert!(command.code() != 0, "{command}");
    });
}

#[test]
fn spec_writes_a_configuration_that_runs() {
    once(|t| {
        let bundle = t.bundle();
        let path = bundle.path().join("config.json");
        t.command("spec", &[]).directory(bundle.path()).ok();
        let config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(config["process"]["args"], serde_json::json!(["sh"]));
        assert_eq!(config["process"]["terminal"], true);
        assert_eq!(config["root"]["path"], "rootfs");
        let mut edited = t.bundle();
        let marked = edited.config.clone();
        edited.config = config;
        let edited = edited
            .set("/process/terminal", false)
            .sh("echo it runs")
            .set("/linux/cgroupsPath", marked["linux"]["cgroupsPath"].clone());
        assert_eq!(t.output_of(edited), "it runs\n");
        // It does not overwrite.
        let again = t.command("spec", &[]).directory(bundle.path()).run();
        assert!(again.code() == 1, "{again}");
    });
}

#[test]
fn spec_for_a_bundle_elsewhere_and_for_rootless_use() {
    once(|t| {
        let directory = t.new_directory();
        t.command("spec", &[]).option("--rootless").option("--bundle").option(&directory).ok();
        let config: Value = serde_json::from_slice(&std::fs::read(directory.join("config.json")).unwrap()).unwrap();
        let kinds: Vec<&str> = config["linux"]["namespaces"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|namespace| namespace["type"].as_str())
            .collect();
        assert!(kinds.contains(&"user"), "{kinds:?}");
        assert!(!kinds.contains(&"network"), "{kinds:?}");
        assert_eq!(config["linux"]["uidMappings"][0]["containerID"], 0);
        assert!(config["linux"].get("resources").is_none_or(Value::is_null), "no limits without privileges");
    });
}

#[test]
fn the_log_file_takes_the_errors() {
    once(|t| {
        for (format, marks) in [("text", ["level=error", "msg="]), ("json", ["\"level\":\"error\"", "\"msg\":"])] {
            let log = t.new_path("log");
            let command = t
                .command("state", &["nobody-knows-me"])
                .global("--log")
                .global(&log)
                .global("--log-format")
                .global(format);
            command.run();
            let text = std::fs::read_to_string(&log).unwrap();
            assert!(marks.iter().all(|mark| text.contains(mark)) || t.differs("log lines"), "{format}: {text}");
        }
    });
}

#[test]
fn an_unknown_log_format_fails() {
    once(|t| {
        t.command("list", &[]).global("--log-format").global("xml").fails(1);
    });
}

#[test]
fn debug_says_more() {
    once(|t| {
        let log = t.new_path("log");
        let container = t.container(t.bundle().args(&["true"]));
        container.command("run").global("--debug").global("--log").global(&log).ok();
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        assert!(text.contains("level=debug") || t.differs("log lines"), "{text}");
    });
}

#[test]
fn options_may_be_joined_to_their_values() {
    once(|t| {
        let container = t.container(t.bundle().args(&["echo", "hi"]));
        let bundle = container.bundle().path().display().to_string();
        for option in [format!("--bundle={bundle}"), format!("-b={bundle}")] {
            if option.starts_with("-b=") && t.runtime() == Runtime::Crun {
                continue;
            }
            assert_eq!(t.command("run", &[container.id()]).option(option).ok().stdout(), "hi\n");
        }
    });
}

#[test]
fn a_failing_run_in_a_closed_state_directory() {
    once(|t| {
        let file = t.new_file("not a directory");
        let container = t.container(t.bundle().args(&["true"]));
        let output = container.command("run").global("--root").global(&file).run();
        assert_ne!(output.code(), 0, "{output}");
        t.assert_nothing_left();
    });
}
