//! The six kinds of hooks: order, namespaces, what they are given, and what their failure does.

use corten_integration::{Bundle, HostView, Sandbox, eventually, on_every_view, once};
use serde_json::{Value, json};
use std::path::Path;

const KINDS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that runs a script with the shell of where it runs: the machine's, or busybox for startContainer.
fn hook(script: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]})
}

/// A bundle with a directory that is seen under the same path inside and outside, for the hooks to write to.
fn with_log(t: &Sandbox) -> (Bundle, std::path::PathBuf) {
    let log = t.new_directory();
    let bundle = t.bundle().bind(&log, log.to_str().unwrap(), &["rw"]);
    (bundle, log)
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(String::from).collect()
}

#[test]
fn hooks_run_in_the_order_of_the_specification() {
    on_every_view(|t| {
        let (mut bundle, log) = with_log(t);
        let file = log.join("order");
        for kind in KINDS {
            for number in [1, 2] {
                bundle =
                    bundle.add(&format!("/hooks/{kind}"), hook(&format!("echo {kind} {number} >> {}", file.display())));
            }
        }
        let container = t.container(bundle.sh(&format!("echo program >> {}; sleep 1000", file.display())));
        let pairs = |kinds: &[&str]| -> Vec<String> {
            kinds.iter().flat_map(|kind| [format!("{kind} 1"), format!("{kind} 2")]).collect()
        };
        // runc runs poststart hooks too early; the rest of the order is checked all the same.
        let early = t.differs("poststart hooks run in start");
        let without_poststart = |mut seen: Vec<String>| {
            seen.retain(|line| !early || !line.starts_with("poststart"));
            seen
        };
        container.create();
        let created = pairs(&["prestart", "createRuntime", "createContainer"]);
        assert_eq!(without_poststart(lines(&file)), created, "after create");
        container.start();
        let mut started = created.clone();
        started.extend(pairs(&["startContainer"]));
        eventually("the program has begun", || lines(&file).contains(&"program".into()));
        let mut seen = without_poststart(lines(&file));
        assert!(seen.starts_with(&started), "startContainer comes before the program: {seen:?}");
        seen.retain(|line| line != "program");
        let poststart = if early { Vec::new() } else { pairs(&["poststart"]) };
        assert_eq!(seen.split_off(started.len()), poststart, "after start");
        let before = lines(&file).len();
        container.command("delete").option("--force").ok();
        assert_eq!(lines(&file).split_off(before), pairs(&["poststop"]), "after delete");
    });
}

#[test]
fn hooks_get_the_state_on_standard_input() {
    on_every_view(|t| {
        let (mut bundle, log) = with_log(t);
        for kind in KINDS {
            let file = log.join(kind);
            bundle = bundle.add(&format!("/hooks/{kind}"), hook(&format!("cat > {}", file.display())));
        }
        let container = t.container(bundle.set("/annotations", json!({"org.example": "x"})).args(&["sleep", "1000"]));
        container.create();
        let pid = container.pid();
        container.start();
        container.command("delete").option("--force").ok();
        for kind in KINDS {
            let text = std::fs::read_to_string(log.join(kind)).unwrap();
            let state: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{kind}: {error}: {text}"));
            assert_eq!(state["id"], container.id(), "{kind}");
            assert_eq!(state["bundle"], container.bundle().path().to_str().unwrap(), "{kind}");
            assert_eq!(state["annotations"]["org.example"], "x", "{kind}");
            assert!(state["ociVersion"].is_string(), "{kind}: {text}");
            let status = match kind {
                "prestart" | "createRuntime" | "createContainer" => "creating",
                "startContainer" => "created",
                "poststart" => "running",
                _ => "stopped",
            };
            if kind != "poststart" || !t.differs("poststart hooks run in start") {
                assert_eq!(state["status"], status, "{kind}");
            }
            match kind {
                "poststop" => {}
                // Inside, the pid is the one of the container's namespace with some runtimes.
                "createContainer" | "startContainer" => assert!(state["pid"].as_i64().unwrap() > 0, "{kind}: {text}"),
                _ => assert_eq!(state["pid"], pid, "{kind}: {text}"),
            }
        }
    });
}

#[test]
fn hooks_run_in_the_namespaces_of_the_specification() {
    on_every_view(|t| {
        let (mut bundle, log) = with_log(t);
        for kind in KINDS {
            let script = format!(
                "readlink /proc/self/ns/mnt > {0}.mnt; readlink /proc/self/ns/net > {0}.net",
                log.join(kind).display()
            );
            bundle = bundle.add(&format!("/hooks/{kind}"), hook(&script));
        }
        let container = t.container(bundle.args(&["sleep", "1000"]));
        container.create();
        container.start();
        let inside = |name: &str| {
            std::fs::read_link(container.proc_file(&format!("ns/{name}"))).unwrap().to_str().unwrap().to_owned()
        };
        let (mnt, net) = (inside("mnt"), inside("net"));
        container.command("delete").option("--force").ok();
        for kind in KINDS {
            let read = |name: &str| lines(&log.join(format!("{kind}.{name}"))).first().cloned().unwrap_or_default();
            let within = ["createContainer", "startContainer"].contains(&kind);
            assert_eq!((read("mnt") == mnt, read("net") == net), (within, within), "{kind}");
            assert!(read("mnt").starts_with("mnt:["), "{kind}");
        }
    });
}

#[test]
fn create_container_hooks_see_the_machines_root_and_start_container_hooks_the_containers() {
    once(|t| {
        let (bundle, log) = with_log(t);
        let script = |name: &str| {
            format!(
                "[ -x /bin/busybox -a -d /usr/share ] && echo machine > {0} || echo container > {0}",
                log.join(name).display()
            )
        };
        let bundle = bundle.add("/hooks/createContainer", hook(&script("create")));
        let bundle = bundle.add("/hooks/startContainer", hook(&script("start")));
        t.output_of(bundle.args(&["true"]));
        assert_eq!(
            (lines(&log.join("create")), lines(&log.join("start"))),
            (vec!["machine".to_owned()], vec!["container".to_owned()])
        );
    });
}

#[test]
fn hooks_get_their_own_arguments_and_environment_and_nothing_else() {
    once(|t| {
        let (bundle, log) = with_log(t);
        let file = log.join("environment");
        let script = format!("cat /proc/self/environ > {}; echo \"$0 $@\" >> {0}.args", file.display())
            .replace("{0}", file.to_str().unwrap());
        let given = json!({"path": "/bin/sh", "args": ["name", "-c", script, "zero", "one two"], "env": ["A=1", "B=two words", "PATH=/bin:/usr/bin"]});
        let container = t.container(bundle.set("/hooks/createRuntime", json!([given])).args(&["true"]));
        container.command("run").variable("SECRET_OF_CALLER", "x").ok();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("SECRET_OF_CALLER"), "{text:?}");
        let mut variables: Vec<&str> = text
            .split_terminator('\0')
            .filter(|variable| {
                !["PWD", "OLDPWD", "SHLVL", "_"].iter().any(|own| variable.starts_with(&format!("{own}=")))
            })
            .collect();
        variables.sort_unstable();
        assert_eq!(variables, ["A=1", "B=two words", "PATH=/bin:/usr/bin"]);
        assert_eq!(lines(&log.join("environment.args")), ["zero one two"]);
    });
}

#[test]
fn a_failing_hook_of_create_fails_it_and_leaves_nothing() {
    on_every_view(|t| {
        for kind in ["prestart", "createRuntime", "createContainer"] {
            let bundle = t.bundle().add(&format!("/hooks/{kind}"), hook("echo why it failed >&2; exit 3"));
            let container = t.container(bundle.args(&["true"]));
            let output = container.command("create").fails(1);
            assert!(
                output.stderr().contains("why it failed") || t.differs("hook output in messages"),
                "{kind}: {output}"
            );
            t.assert_nothing_left();
            container.bundle().clone().remove("/hooks").write();
            container.command("run").ok();
        }
    });
}

#[test]
fn a_failing_start_container_hook_keeps_the_program_from_running() {
    on_every_view(|t| {
        let container = t.container(t.bundle().add("/hooks/startContainer", hook("exit 3")).args(&["echo", "ran"]));
        let created = container.create();
        let started = container.command("start").run();
        assert!(started.code() != 0 || t.differs("start reports a failed startContainer hook"), "{started}");
        container.wait_for("stopped");
        assert_eq!(created.stdout(), "", "the program has not run");
        container.delete();
    });
}

#[test]
fn a_failing_poststop_hook_does_not_keep_the_container() {
    on_every_view(|t| {
        let log = t.new_path("second");
        let bundle = t.bundle().add("/hooks/poststop", hook("exit 3"));
        let bundle = bundle.add("/hooks/poststop", hook(&format!("touch {}", log.display())));
        let container = t.container(bundle.args(&["true"]));
        container.create();
        container.command("delete").option("--force").run();
        assert!(log.exists() || t.differs("poststop hooks after a failed one"), "the remaining hooks run");
        t.assert_nothing_left();
    });
}

#[test]
fn a_hook_that_takes_too_long_fails() {
    on_every_view(|t| {
        let slow = json!({"path": "/bin/sleep", "args": ["sleep", "20"], "timeout": 1});
        let container = t.container(t.bundle().set("/hooks/createRuntime", json!([slow])).args(&["true"]));
        let begin = std::time::Instant::now();
        container.command("run").fails(1);
        assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
        t.assert_nothing_left();
    });
}

#[test]
fn a_hook_that_does_not_exist_fails() {
    once(|t| {
        let container =
            t.container(t.bundle().set("/hooks/createRuntime", json!([{"path": "/nonexistent/hook"}])).args(&["true"]));
        let output = container.command("run").fails(1);
        assert!(
            output.stderr().contains("no such file or directory") || output.stderr().contains("No such file"),
            "{output}"
        );
    });
}

#[test]
fn a_hook_that_does_not_read_its_input_is_no_failure() {
    once(|t| {
        let closes = json!({"path": "/bin/sh", "args": ["sh", "-c", "exec <&-; exit 0"]});
        t.output_of(t.bundle().set("/hooks/createRuntime", json!([closes])).args(&["true"]));
    });
}

/// The init works with a umask of 0 and moves about: hooks must not notice.
#[test]
fn create_container_hooks_have_a_usual_umask_and_run_in_the_rootfs() {
    once(|t| {
        let (bundle, log) = with_log(t);
        let file = log.join("seen");
        let script = format!("{{ umask; pwd; }} > {}", file.display());
        let bundle = bundle.add("/hooks/createContainer", hook(&script)).args(&["true"]);
        let rootfs = bundle.rootfs("/").canonicalize().unwrap();
        t.container(bundle).command("run").ok();
        assert_eq!(lines(&file), ["0022", rootfs.to_str().unwrap()]);
    });
}

#[test]
fn create_container_hooks_run_in_the_containers_cgroup() {
    once(|t| {
        for _ in 0..5 {
            let (bundle, log) = with_log(t);
            let file = log.join("cgroups");
            let script = format!("cat /proc/self/cgroup > {}", file.display());
            let bundle = bundle.add("/hooks/createContainer", hook(&script)).args(&["true"]);
            t.container(bundle).command("run").ok();
            let mut seen = lines(&file);
            if t.view() == HostView::V1 {
                // /proc tells the version 2 that is not mounted there as well.
                seen.retain(|line| !line.starts_with("0::"));
            }
            // On a machine with version 2 only there is a cgroup namespace, which shows the container's own as the root.
            let inside = seen == ["0::/"] || seen.iter().all(|line| line.contains("corten-test-"));
            assert!(inside && !seen.is_empty(), "{seen:?}");
        }
    });
}

/// The kinds whose failure or delay would stop the command that runs them.
const OF_START: [&str; 5] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"];

#[test]
fn a_hook_that_prints_a_megabyte_or_leaves_a_daemon_behind_does_not_hang_anything() {
    once(|t| {
        for kind in OF_START {
            let (bundle, log) = with_log(t);
            let pid = log.join("daemon");
            // The daemon keeps the hook's input and output open.
            let script = format!(
                "dd if=/dev/zero bs=65536 count=16 2>/dev/null; sleep 1000 & echo $! > {}; exit 0",
                pid.display()
            );
            let container = t.container(bundle.add(&format!("/hooks/{kind}"), hook(&script)).args(&["sleep", "1000"]));
            container.create();
            container.start();
            let has_told = || lines(&pid).first().is_some_and(|pid| pid.parse::<i32>().is_ok());
            if kind == "startContainer" && t.differs("start reports a failed startContainer hook") {
                eventually("the hook has run", has_told);
            }
            assert!(has_told(), "{kind}");
            let inside = ["createContainer", "startContainer"].contains(&kind);
            container.command("delete").option("--force").ok();
            if !inside {
                // Of the machine's own namespaces: not the container's business, and so for us to end.
                t.host_shell(&format!("kill $(cat {})", pid.display()));
            }
        }
    });
}

#[test]
fn a_timeout_ends_all_processes_of_the_hook() {
    once(|t| {
        for kind in ["prestart", "createRuntime", "createContainer", "startContainer"] {
            let (bundle, log) = with_log(t);
            let file = log.join("alive");
            // A grandchild writes on until it is killed.
            let script = format!("(while :; do echo x >> {}; sleep 0.1; done) & wait", file.display());
            let slow =
                json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], "timeout": 1});
            let bundle = bundle.add(&format!("/hooks/{kind}"), slow).without_namespace("pid").args(&["true"]);
            let container = t.container(bundle);
            container.command("run").fails(1);
            assert!(!lines(&file).is_empty(), "{kind}: the hook has run");
            // Two looks with nothing new between them: it has ended. One that lives on never stops to write.
            eventually(&format!("{kind}: the hook's own child has ended"), || {
                let before = lines(&file).len();
                std::thread::sleep(std::time::Duration::from_millis(500));
                lines(&file).len() == before
            });
            t.assert_nothing_left();
        }
    });
}

#[test]
fn hooks_have_clean_signals_also_in_the_foreground() {
    once(|t| {
        let (mut bundle, log) = with_log(t);
        for kind in KINDS {
            let script = format!("grep -E 'Sig(Blk|Ign)' /proc/self/status > {}", log.join(kind).display());
            bundle = bundle.add(&format!("/hooks/{kind}"), hook(&script));
        }
        t.container(bundle.args(&["true"])).command("run").ok();
        for kind in KINDS {
            assert_eq!(
                lines(&log.join(kind)).first().map(String::as_str),
                Some("SigBlk:\t0000000000000000"),
                "{kind}: {:?}",
                lines(&log.join(kind))
            );
        }
    });
}

#[test]
fn hooks_inherit_no_descriptor_of_the_runtimes_caller() {
    once(|t| {
        let (mut bundle, log) = with_log(t);
        for kind in KINDS {
            let script = format!(
                "cd /proc/self/fd; for i in *; do [ -e $i ] && echo $i; done > {}; true",
                log.join(kind).display()
            );
            bundle = bundle.add(&format!("/hooks/{kind}"), hook(&script));
        }
        let secret = t.new_file("the caller's");
        let container = t.container(bundle.args(&["sleep", "1000"]));
        let with = |verb: &str| container.command(verb).descriptor(8, &secret).descriptor(9, &secret);
        with("create").ok();
        with("start").ok();
        with("delete").option("--force").ok();
        for kind in KINDS {
            let seen = lines(&log.join(kind));
            assert!(seen.iter().any(|number| number == "0"), "{kind}: {seen:?}");
            let inherited = seen.iter().any(|number| ["8", "9"].contains(&number.as_str()));
            assert!(!inherited || t.differs("descriptors in hooks"), "{kind}: {seen:?}");
        }
    });
}

#[test]
fn a_failing_hook_is_named_once() {
    once(|t| {
        for kind in OF_START {
            let hooks = json!([{"path": "/bin/true"}, hook("echo the reason; exit 3")]);
            let container = t.container(t.bundle().set(&format!("/hooks/{kind}"), hooks).args(&["sleep", "1000"]));
            if kind == "startContainer" && t.differs("start reports a failed startContainer hook")
                || kind == "poststart" && t.differs("failed poststart hooks")
            {
                continue;
            }
            let output = container.command("run").option("--detach").fails(1);
            if !t.differs("names of elements") {
                let place = format!("hooks.{kind}[1]");
                assert_eq!(output.stderr().matches(&place).count(), 1, "{kind}: {output}");
                assert!(output.stderr().contains("exit status 3, output: the reason"), "{kind}: {output}");
            }
            t.assert_nothing_left();
        }
    });
}

/// The state is larger than a pipe, so that a runtime which writes it into one would wait for the hook, or meet EPIPE.
#[test]
fn a_hook_that_closes_its_input_early_does_not_hang_or_fail_anything() {
    once(|t| {
        let mut bundle = t.bundle().set("/annotations", json!({"org.example.large": "x".repeat(300_000)}));
        for kind in KINDS {
            let closes = hook("exec <&-; sleep 0.1; exit 0");
            bundle = bundle.add(&format!("/hooks/{kind}"), closes).add(&format!("/hooks/{kind}"), hook("exit 0"));
        }
        let container = t.container(bundle.args(&["sleep", "1000"]));
        container.create();
        container.start();
        container.command("delete").option("--force").ok();
    });
}

#[test]
fn a_hook_is_called_by_the_first_of_its_arguments_or_its_path() {
    once(|t| {
        for kind in KINDS {
            let (bundle, log) = with_log(t);
            let file = log.join("args");
            let script = format!("printf '%s|' \"$0\" \"$@\" > {}", file.display());
            let args = ["sh", "-c", &script, "", "a b", "\u{e9}"];
            let own = json!({"path": "/bin/sh", "args": args, "env": ["PATH=/usr/bin:/bin"]});
            let container = t.container(bundle.add(&format!("/hooks/{kind}"), own).args(&["sleep", "1000"]));
            container.create();
            container.start();
            container.command("delete").option("--force").ok();
            let seen = std::fs::read_to_string(&file).unwrap();
            assert_eq!(seen, "|a b|\u{e9}|", "{kind}");
        }
        // Without arguments it has its path as its name, and no others.
        let (bundle, log) = with_log(t);
        let (program, file) = (log.join("program"), log.join("name"));
        std::fs::write(&program, format!("#!/bin/sh\necho \"$0:$#\" > {}\n", file.display())).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let bare = json!([{"path": program.to_str().unwrap()}]);
        t.output_of(bundle.set("/hooks/createRuntime", bare).args(&["true"]));
        assert_eq!(lines(&file), [format!("{}:0", program.display())]);
    });
}

#[test]
fn a_failing_poststart_hook_ends_the_container() {
    on_every_view(|t| {
        let bad: [(&str, Value); 3] = [
            ("a code", hook("exit 3")),
            ("a timeout", json!({"path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1})),
            ("a program that is not there", json!({"path": "/nonexistent/hook"})),
        ];
        for (what, bad) in bad {
            let container = t.container(t.bundle().set("/hooks/poststart", json!([bad])).args(&["sleep", "1000"]));
            container.command("run").option("--detach").fails(1);
            t.assert_nothing_left();
            if t.differs("poststart hooks run in start") {
                continue;
            }
            container.create();
            container.command("start").fails(1);
            container.wait_for("stopped");
            container.delete();
            t.assert_nothing_left();
            eprintln!("{what}: the container has ended");
        }
    });
}

#[test]
fn a_poststop_hook_that_takes_too_long_is_ended_and_the_next_one_runs() {
    once(|t| {
        let (bundle, log) = with_log(t);
        let (pid, next) = (log.join("pid"), log.join("next"));
        let script = format!("echo $$ > {}; exec sleep 1000", pid.display());
        let slow =
            json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], "timeout": 1});
        let hooks = json!([slow, hook(&format!("touch {}", next.display()))]);
        let container = t.container(bundle.set("/hooks/poststop", hooks).args(&["true"]));
        container.create();
        container.command("delete").option("--force").run();
        t.assert_nothing_left();
        assert!(next.exists() || t.differs("poststop hooks after a failed one"));
        let pid = lines(&pid).first().cloned().unwrap_or_default();
        eventually("the hook has ended", || !Path::new("/proc").join(&pid).exists());
    });
}

/// In a container with a user namespace the hooks of the runtime are the machine's root, those inside the container's.
#[test]
fn hooks_of_a_user_namespace() {
    once(|t| {
        let (mut bundle, log) = with_log(t);
        for directory in [&log, &bundle.rootfs("/tmp")] {
            std::os::unix::fs::chown(directory, Some(100_000), Some(100_000)).unwrap();
        }
        for kind in KINDS {
            let script = format!("{{ id -u; cat /proc/self/uid_map; }} > {}", log.join(kind).display());
            bundle = bundle.add(&format!("/hooks/{kind}"), hook(&script));
        }
        let container = t.container(bundle.user_namespace(100_000).args(&["sleep", "1000"]));
        container.create();
        container.start();
        container.command("delete").option("--force").ok();
        for kind in KINDS {
            let seen = lines(&log.join(kind));
            let mapped = seen.get(1).is_some_and(|map| map.split_whitespace().eq(["0", "100000", "65536"]));
            let within = ["createContainer", "startContainer"].contains(&kind);
            assert_eq!((seen.first().map(String::as_str), mapped), (Some("0"), within), "{kind}: {seen:?}");
        }
    });
}
