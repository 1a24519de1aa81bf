//! create, start, kill, delete, run: a container's life, and the refusals along it.

use corten_integration::{Runtime, eventually, on_every_view, once};
use serde_json::json;

const PAUSE: [&str; 2] = ["sleep", "1000"];

#[test]
fn a_container_is_created_started_stopped_and_deleted() {
    on_every_view(|t| {
        let container = t.container(t.bundle().sh("echo started; sleep 1000"));
        let created = container.create();
        assert_eq!(container.status(), "created");
        assert_eq!(created.stdout(), "", "the program waits for start");
        container.start();
        assert_eq!(container.status(), "running");
        eventually("the program runs", || created.stdout() == "started\n");
        container.kill("KILL");
        container.wait_for("stopped");
        container.delete();
        container.command("state").fails(1);
        t.assert_nothing_left();
    });
}

#[test]
fn run_exits_as_the_program_does() {
    on_every_view(|t| {
        for code in [0, 7, 255] {
            let output = t.container(t.bundle().sh(&format!("exit {code}"))).command("run").run();
            assert_eq!(output.code(), code, "{output}");
        }
        t.assert_nothing_left();
    });
}

#[test]
fn run_exits_with_128_and_the_signal_that_ended_the_program() {
    on_every_view(|t| {
        for (name, number) in [("KILL", 9), ("TERM", 15), ("USR1", 10)] {
            // The first process of a pid namespace is immune to signals from within, so it stays in the runtime's.
            let container = t.container(t.bundle().without_namespace("pid").sh(&format!("kill -{name} $$; sleep 5")));
            let output = container.command("run").run();
            assert_eq!(output.code(), 128 + number, "{name}: {output}");
        }
        t.assert_nothing_left();
    });
}

#[test]
fn kill_takes_signals_by_name_and_by_number() {
    on_every_view(|t| {
        for signal in ["TERM", "SIGTERM", "term", "15"] {
            let container =
                t.container(t.bundle().sh("trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.01; done"));
            let output = container.run_detached();
            eventually("the trap is set", || output.stdout().contains("ready"));
            container.kill(signal);
            container.wait_for("stopped");
            assert!(output.stdout().contains("caught"), "{signal}: {output}");
            container.delete();
        }
    });
}

#[test]
fn kill_sends_term_by_default() {
    once(|t| {
        let container =
            t.container(t.bundle().sh("trap 'echo TERM; exit' TERM; echo ready; while :; do sleep 0.01; done"));
        let output = container.run_detached();
        eventually("the trap is set", || output.stdout().contains("ready"));
        container.command("kill").ok();
        container.wait_for("stopped");
        assert!(output.stdout().contains("TERM"), "{output}");
    });
}

#[test]
fn kill_of_a_stopped_container_is_refused() {
    once(|t| {
        let container = t.container(t.bundle().args(&["true"]));
        container.run_detached();
        container.wait_for("stopped");
        container.command("kill").fails(1);
    });
}

#[test]
fn kill_all_reaches_every_process_of_a_shared_pid_namespace() {
    on_every_view(|t| {
        let script = "sleep 1000 & sleep 1000 & echo ready; wait";
        let container = t.container(t.bundle().without_namespace("pid").sh(script));
        let output = container.run_detached();
        eventually("the processes run", || output.stdout().contains("ready"));
        t.command("kill", &[container.id(), "KILL"]).option("--all").ok();
        container.wait_for("stopped");
        container.delete();
        t.assert_nothing_left();
    });
}

#[test]
fn delete_of_a_living_container_needs_force() {
    on_every_view(|t| {
        let container = t.container(t.bundle().args(&PAUSE));
        container.run_detached();
        container.command("delete").fails(1);
        assert_eq!(container.status(), "running");
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn delete_force_takes_every_process_away_also_without_a_pid_namespace() {
    on_every_view(|t| {
        let container =
            t.container(t.bundle().without_namespace("pid").sh("setsid sleep 1000 & echo ready; sleep 1000"));
        let output = container.run_detached();
        eventually("the processes run", || output.stdout().contains("ready"));
        container.command("delete").option("--force").ok();
        if t.view().is_unified() && t.differs("delete --force removes a shared-pid cgroup on v2") {
            // Its rmdir races with the end of the processes, and succeeds now and then.
            let left = container.cgroup("");
            eventually("the cgroup can be removed", || {
                let removed = std::fs::remove_dir(&left);
                removed.map_or_else(|error| error.kind() == std::io::ErrorKind::NotFound, |()| true)
            });
        }
        t.assert_nothing_left();
    });
}

#[test]
fn delete_takes_a_created_container() {
    on_every_view(|t| {
        for options in [&["--force"][..], &[]] {
            let container = t.container(t.bundle().args(&PAUSE));
            container.create();
            let delete = options.iter().fold(container.command("delete"), |command, option| command.option(*option));
            delete.ok();
            t.assert_nothing_left();
        }
    });
}

#[test]
fn delete_of_an_unknown_container_fails_unless_forced() {
    once(|t| {
        t.command("delete", &["nobody-knows-me"]).fails(1);
        t.command("delete", &["nobody-knows-me"]).option("--force").ok();
    });
}

#[test]
fn a_start_of_a_process_that_is_killed_meanwhile_fails() {
    once(|t| {
        let container = t.container(t.bundle().args(&PAUSE));
        container.create();
        let pid = container.pid();
        t.host_shell(&format!("kill -STOP {pid}"));
        // One that is only about to stop still takes the word.
        let is_stopped =
            || std::fs::read_to_string(container.proc_file("stat")).is_ok_and(|stat| stat.contains(") T "));
        eventually("it has stopped", is_stopped);
        let start = container.command("start").spawn();
        // It waits for the process, which cannot take its word, or has not come so far: either way it has run nothing.
        std::thread::sleep(std::time::Duration::from_millis(200));
        t.host_shell(&format!("kill -KILL {pid}"));
        let output = start.wait();
        assert_eq!(output.code(), 1, "{output}");
        assert_ne!(output.stderr(), "");
        container.wait_for("stopped");
        container.delete();
        t.assert_nothing_left();
    });
}

#[test]
fn start_is_only_for_created_containers() {
    once(|t| {
        let container = t.container(t.bundle().args(&PAUSE));
        container.command("start").fails(1);
        container.run_detached();
        container.command("start").fails(1);
        container.kill("KILL");
        container.wait_for("stopped");
        container.command("start").fails(1);
    });
}

#[test]
fn an_id_is_taken_until_it_is_deleted() {
    on_every_view(|t| {
        let container = t.container(t.bundle().args(&PAUSE));
        container.create();
        let pid = container.pid();
        let again = container.command("create").fails(1);
        assert!(again.stderr().contains("exist"), "{again}");
        assert_eq!((container.status().as_str(), container.pid()), ("created", pid), "the first is unharmed");
        container.delete();
        container.create();
        container.delete();
        t.assert_nothing_left();
    });
}

#[test]
fn run_deletes_the_container_unless_it_is_to_be_kept() {
    once(|t| {
        let container = t.container(t.bundle().args(&["true"]));
        container.command("run").ok();
        container.command("state").fails(1);
        if t.differs("run --keep") {
            return;
        }
        container.command("run").option("--keep").ok();
        assert_eq!(container.status(), "stopped");
        container.delete();
        t.assert_nothing_left();
    });
}

#[test]
fn the_pid_file_holds_the_pid_that_state_reports() {
    on_every_view(|t| {
        for verb in ["create", "run"] {
            let container = t.container(t.bundle().args(&PAUSE));
            let file = t.new_path("pid");
            let command = container.command(verb).option("--pid-file").option(&file);
            if verb == "run" {
                command.option("--detach").ok()
            } else {
                command.ok()
            };
            let pid = std::fs::read_to_string(&file).unwrap();
            assert_eq!(pid, container.pid().to_string(), "decimal digits, nothing else");
            container.command("delete").option("--force").ok();
        }
    });
}

#[test]
fn run_in_the_foreground_forwards_signals() {
    on_every_view(|t| {
        for signal in ["TERM", "INT", "HUP", "USR1", "USR2"] {
            let script = format!("trap 'echo got {signal}; exit 9' {signal}; echo ready; while :; do sleep 0.01; done");
            let running = t.container(t.bundle().sh(&script)).command("run").spawn();
            eventually("the trap is set", || running.stdout().contains("ready"));
            running.signal(signal);
            let output = running.wait();
            assert_eq!(output.code(), 9, "{signal}: {output}");
            assert!(output.stdout().contains(&format!("got {signal}")), "{output}");
        }
        t.assert_nothing_left();
    });
}

#[test]
fn a_detached_run_outlives_the_command() {
    on_every_view(|t| {
        let container = t.container(t.bundle().args(&PAUSE));
        container.run_detached();
        assert_eq!(container.status(), "running");
        assert!(container.proc_file("status").exists());
    });
}

#[test]
fn the_bundle_is_the_working_directory_by_default() {
    once(|t| {
        let container = t.container(t.bundle().args(&["echo", "hi"]));
        let output = t.command("run", &[container.id()]).directory(container.bundle().path()).ok();
        assert_eq!(output.stdout(), "hi\n");
    });
}

#[test]
fn create_leaves_the_init_to_whoever_adopts_the_orphans_of_its_caller() {
    once(|t| {
        // The shell is the first process of a pid namespace, and so the parent of all orphans in it; the one between is not.
        let script = "exec unshare --pid --fork --mount-proc sh -c '(\"$@\"; echo $? > code; sleep 1000) & \
                      until [ -s code ]; do sleep 0.1; done; cat code; grep PPid /proc/$(cat pid)/status' sh \"$@\"";
        let container = t.container(t.bundle().args(&PAUSE));
        let directory = t.new_path("caller");
        std::fs::create_dir(&directory).unwrap();
        let create = container.command("create").option("--pid-file").option(directory.join("pid"));
        let output = create.directory(directory).behind(script).ok();
        assert_eq!(output.stdout(), "0\nPPid:\t1\n", "{output}");
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

/// Whose child a process is whose own parent has ended.
#[test]
fn run_adopts_orphans_unless_told_not_to() {
    once(|t| {
        for options in [&[][..], &["--no-subreaper"]] {
            if !options.is_empty() && t.differs("run --no-subreaper") {
                continue;
            }
            let script = "(sh -c 'echo $$; exec sleep 1000' &); sleep 1000";
            let container = t.container(t.bundle().without_namespace("pid").sh(script));
            let running =
                options.iter().fold(container.command("run"), |command, option| command.option(*option)).spawn();
            eventually("the orphan has said who it is", || running.stdout().ends_with('\n'));
            let orphan = running.stdout().trim().to_owned();
            let parent = || {
                let status = std::fs::read_to_string(format!("/proc/{orphan}/status")).unwrap();
                status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse::<i64>().unwrap()
            };
            // Until `run` has written that it has started it, `state` says creating, and no pid.
            container.wait_for("running");
            // Its own parent may not have ended yet.
            let shells = [container.pid()];
            let of_shell = |pid: i64| {
                let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                shells.contains(&pid) || status.lines().any(|line| line == format!("PPid:\t{}", shells[0]))
            };
            eventually("it is an orphan", || !of_shell(parent()));
            assert_eq!(parent() == i64::from(running.pid()), options.is_empty(), "{options:?}");
            container.command("kill").option("--all").operand("KILL").ok();
            assert_eq!(running.wait().code(), 137);
        }
        t.assert_nothing_left();
    });
}

/// The exit code is the program's, which matters more to the caller; the reason is told.
#[test]
fn a_run_whose_container_cannot_be_deleted_says_so_and_ends_as_the_program_does() {
    once(|t| {
        t.host_shell("true");
        let container = t.container(t.bundle().sh("until [ -e /go ]; do sleep 0.05; done; exit 7"));
        let running = container.command("run").spawn();
        eventually("it runs", || container.command("state").run().stdout().contains("running"));
        // What is mounted below the state cannot be removed.
        let obstacle = t.state_root().join(container.id()).join("obstacle");
        t.host_shell(&format!("mkdir '{0}'; mount -t tmpfs obstacle '{0}'", obstacle.display()));
        std::fs::write(container.bundle().rootfs("/go"), "").unwrap();
        let output = running.wait();
        assert_eq!(output.code(), 7, "{output}");
        assert!(output.stderr().contains("level=error") || output.stderr().contains("level=warning"), "{output}");
        let words = if t.runtime() == Runtime::Corten { "Directory not empty" } else { "resource busy" };
        assert!(output.stderr().contains(words), "{output}");
        t.host_shell(&format!("umount '{0}'; rmdir '{0}'", obstacle.display()));
        t.command("delete", &["--force", container.id()]).ok();
        if t.runtime() != Runtime::Corten {
            let _ = std::fs::remove_dir_all(t.state_root().join(container.id()));
        }
        t.assert_nothing_left();
    });
}

/// A filter lets its last reads fail, of the launcher's socket and of the FIFO. Another container with the same configuration shows
/// their numbers.
#[test]
fn a_start_tells_why_the_init_has_ended_while_it_waited() {
    once(|t| {
        if t.runtime() != Runtime::Corten {
            return; // what waits between create and start is a runtime's own business
        }
        let filtered = |errno: i32, number: &str| {
            let read = json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno,
                "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": number.parse::<u64>().unwrap()}]});
            let bundle = t.bundle().args(&PAUSE).set("/process/noNewPrivileges", true);
            t.container(bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [read]})))
        };
        let shows = filtered(0, "1000");
        shows.create();
        let fds = std::fs::read_dir(format!("/proc/{}/fd", shows.pid())).unwrap().flatten();
        let is_fifo =
            |fd: &std::fs::DirEntry| std::fs::read_link(fd.path()).is_ok_and(|file| file.ends_with("start.fifo"));
        let fifo = fds.into_iter().find(is_fifo).unwrap().file_name().into_string().unwrap();
        let words = std::fs::read_to_string(format!("/proc/{}/cmdline", shows.pid())).unwrap();
        let socket = words.split('\0').nth(1).unwrap().to_owned();
        shows.command("delete").option("--force").ok();
        for number in [fifo, socket] {
            let container = filtered(libc::EIO, &number);
            container.create();
            container.wait_for("stopped");
            for _ in 0..2 {
                let output = container.command("start").fails(1);
                assert!(
                    output.stderr().contains("wait in the init for the start: Input/output error"),
                    "{number}: {output}"
                );
            }
            container.delete();
        }
        // One that has ended otherwise has only stopped.
        let container = t.container(t.bundle().args(&PAUSE));
        container.create();
        container.kill("KILL");
        container.wait_for("stopped");
        let output = container.command("start").fails(1);
        assert!(output.stderr().contains("cannot start a container that has stopped"), "{output}");
        container.delete();
        t.assert_nothing_left();
    });
}
