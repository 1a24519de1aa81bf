//! `exec`: one more program in a container that runs.

use corten_integration::{
    Bundle, ConsoleSocket, Container, Invocation, Running, Runtime, Sandbox, Terminal, eventually, on_every_view, once,
    skip,
};
use serde_json::{Value, json};

/// A container that waits to be killed.
fn sleeping(t: &Sandbox, bundle: Bundle) -> Container<'_> {
    let container = t.container(bundle.args(&["sleep", "1000"]));
    container.run_detached();
    container
}

/// `exec OPTIONS ID ARGS`.
fn exec<'t>(t: &'t Sandbox, container: &Container<'_>, options: &[&str], args: &[&str]) -> Invocation<'t> {
    let operands: Vec<&str> = [container.id()].iter().chain(args).copied().collect();
    options.iter().fold(t.command("exec", &operands), |command, option| command.option(option))
}

fn stdout_of(t: &Sandbox, container: &Container<'_>, options: &[&str], args: &[&str]) -> String {
    exec(t, container, options, args).ok().stdout()
}

/// `exec --process FILE ID`, with the container's own process changed by `change`.
fn exec_process<'t>(t: &'t Sandbox, container: &Container<'_>, change: impl FnOnce(&mut Value)) -> Invocation<'t> {
    let mut process = container.bundle().config["process"].clone();
    change(&mut process);
    let file = t.new_file(&process.to_string());
    t.command("exec", &[container.id()]).option("--process").option(file)
}

/// A program that says when it runs.
const READY_AND_SLEEP: [&str; 3] = ["sh", "-c", "echo ready; exec sleep 1000"];

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

#[test]
fn the_program_runs_inside_and_its_exit_code_and_output_come_out() {
    on_every_view(|t| {
        let container = sleeping(t, t.bundle());
        let output = exec(t, &container, &[], &["sh", "-c", "hostname; echo oops >&2; exit 7"]).run();
        assert_eq!((output.code(), output.stdout(), output.stderr()), (7, "container\n".into(), "oops\n".into()));
        let output = exec(t, &container, &[], &["sh", "-c", "kill -9 $$"]).run();
        assert_eq!(output.code(), 137, "{output}");
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn it_is_in_all_namespaces_and_cgroups_of_the_container() {
    on_every_view(|t| {
        let container = sleeping(t, t.bundle());
        for kind in ["pid", "net", "ipc", "uts", "mnt", "cgroup", "user"] {
            let (own, first) = (format!("/proc/self/ns/{kind}"), format!("/proc/1/ns/{kind}"));
            let script = format!("readlink {own}; readlink {first}");
            let links = stdout_of(t, &container, &[], &["sh", "-c", &script]);
            let links: Vec<&str> = links.lines().collect();
            assert_eq!(links[0], links[1], "{kind}");
        }
        let both = stdout_of(t, &container, &[], &["cat", "/proc/self/cgroup", "/proc/1/cgroup"]);
        let lines: Vec<&str> = both.lines().collect();
        assert_eq!(lines[..lines.len() / 2], lines[lines.len() / 2..]);
        // As the host sees it, not through the container's cgroup namespace.
        let running = exec(t, &container, &[], &READY_AND_SLEEP);
        let running = running.spawn();
        eventually("it runs", || running.stdout() == "ready\n");
        eventually("two processes are in the cgroup", || {
            container.cgroup_file("pids", "cgroup.procs").lines().count() == 2
        });
        container.kill("KILL");
        assert_eq!(running.wait().code(), 137);
    });
}

#[test]
fn a_user_namespace_is_entered_too() {
    on_every_view(|t| {
        let container = sleeping(t, t.bundle().user_namespace(100_000));
        let output =
            stdout_of(t, &container, &[], &["sh", "-c", "id -u; cat /proc/self/uid_map; readlink /proc/self/ns/user"]);
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines[0], "0");
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
        let link = std::fs::read_link(container.proc_file("ns/user")).unwrap();
        assert_eq!(lines[2], link.to_str().unwrap());
        assert_eq!(stdout_of(t, &container, &["--user", "5:6"], &["sh", "-c", "id -u; id -g"]), "5\n6\n");
    });
}

#[test]
fn options_change_the_containers_own_process() {
    once(|t| {
        let bundle = t.bundle().env("A=0").set("/process/cwd", "/tmp").set("/process/noNewPrivileges", false);
        let container = sleeping(t, bundle);
        let cases: &[(&[&str], &[&str], &str)] = &[
            (&[], &["pwd"], "/tmp\n"),
            (&["--cwd", "/etc"], &["pwd"], "/etc\n"),
            (&[], &["sh", "-c", "echo $A$B"], "0\n"),
            (&["--env", "A=1", "--env", "B=2"], &["sh", "-c", "echo $A$B"], "12\n"),
            (&["-e", "B=1", "-e", "B=2"], &["sh", "-c", "env | grep ^B="], "B=2\n"),
            (&["-e", "A=1"], &["sh", "-c", "env | grep -c ^A="], "1\n"),
            (&["-e", "PATH=/nowhere:/bin"], &["sh", "-c", "echo $PATH"], "/nowhere:/bin\n"),
            (&[], &["sh", "-c", "echo $HOME"], "/root\n"),
            (&["--user", "1000"], &["sh", "-c", "echo $HOME; id -u; id -g"], "/home/user\n1000\n0\n"),
            (&["-e", "HOME=/x"], &["sh", "-c", "echo $HOME"], "/x\n"),
            (&["-u", "1000:7"], &["sh", "-c", "id -u; id -g"], "1000\n7\n"),
            (&["-u", "+1"], &["id", "-u"], "1\n"),
            (&["-u", "77:88", "--additional-gids", "5", "--additional-gids", "6"], &["id", "-G"], "88 5 6\n"),
            (&["--no-new-privs"], &["sh", "-c", "grep NoNewPrivs /proc/self/status"], "NoNewPrivs:\t1\n"),
            (&[], &["sh", "-c", "grep NoNewPrivs /proc/self/status"], "NoNewPrivs:\t0\n"),
            (&[], &["sh", "-c", "ulimit -n"], "1024\n"),
            // What follows the id is the command's.
            (&[], &["echo", "--cwd", "-e", "--", "-x"], "--cwd -e -- -x\n"),
        ];
        for (options, args, expected) in cases {
            assert_eq!(stdout_of(t, &container, options, args), *expected, "{options:?} {args:?}");
        }
    });
}

/// A user is a number; the image's file, in which a name may look like one, has no say in it.
#[test]
fn a_number_is_no_name_of_the_images_passwd() {
    once(|t| {
        let bundle = t.bundle();
        let passwd = "root:x:0:0::/root:/bin/sh\n1000:x:0:0::/tmp:/bin/sh\n+7:x:0:0::/tmp:/bin/sh\n";
        std::fs::remove_file(bundle.rootfs("/etc/passwd")).unwrap();
        std::fs::write(bundle.rootfs("/etc/passwd"), passwd).unwrap();
        let container = sleeping(t, bundle);
        for (user, expected) in [("1000", "1000 0\n"), ("1000:1000", "1000 1000\n"), ("+7", "7 0\n")] {
            let ids = stdout_of(t, &container, &["--user", user], &["sh", "-c", "echo $(id -u) $(id -g)"]);
            assert_eq!(ids, expected, "{user}");
        }
    });
}

#[test]
fn capabilities_are_the_containers_and_those_added() {
    once(|t| {
        let container = sleeping(t, t.bundle().capabilities(&["CAP_KILL", "CAP_CHOWN"]));
        let status = |options: &[&str]| stdout_of(t, &container, options, &["cat", "/proc/self/status"]);
        let own = status(&[]);
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(&own, set), "0000000000000021", "{set}");
        }
        let more = status(&["--cap", "CAP_SYS_ADMIN"]);
        for (set, expected) in
            [("CapInh", 0x21), ("CapPrm", 0x20_0021), ("CapEff", 0x20_0021), ("CapBnd", 0x20_0021u64)]
        {
            assert_eq!(u64::from_str_radix(field(&more, set), 16).unwrap(), expected, "{set}");
        }
        // Nothing stays inheritable that the container does not have (CVE-2022-29162).
        let none = sleeping(t, t.bundle().capabilities(&[]));
        let status = stdout_of(t, &none, &[], &["cat", "/proc/self/status"]);
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(&status, set), "0000000000000000", "{set}");
        }
    });
}

#[test]
fn the_containers_filter_holds_for_added_programs() {
    once(|t| {
        for no_new_privileges in [true, false] {
            let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 93}]});
            let bundle = t.bundle().writable().set("/linux/seccomp", seccomp);
            let container = sleeping(t, bundle.set("/process/noNewPrivileges", no_new_privileges));
            let output = exec(t, &container, &[], &["sh", "-c", "grep Seccomp: /proc/self/status; mkdir /tmp/x"]).run();
            assert!(output.code() != 0 && output.stdout() == "Seccomp:\t2\n", "{output}");
            assert!(output.stderr().contains("Protocol not supported"), "{output}");
        }
    });
}

#[test]
fn a_process_in_json() {
    once(|t| {
        let container = sleeping(t, t.bundle().capabilities(&["CAP_KILL"]));
        let output = exec_process(t, &container, |process| {
            let limits = "sed -n 's/^Max processes *\\([0-9]*\\) *\\([0-9]*\\).*/\\1 \\2/p' /proc/self/limits";
            let script = format!("id -u; pwd; echo $X; umask; {limits}; grep CapBnd /proc/self/status");
            process["args"] = json!(["sh", "-c", script]);
            process["user"] = json!({"uid": 3, "gid": 4, "umask": 0o77});
            process["cwd"] = json!("/tmp");
            process["env"] = json!(["PATH=/bin", "X=y"]);
            // Not NOFILE, whose soft limit Go's start-up sometimes raises in runc's exec.
            process["rlimits"] = json!([{"type": "RLIMIT_NPROC", "hard": 99, "soft": 98}]);
            process["capabilities"] = json!({"bounding": ["CAP_CHOWN"]});
        });
        let seen = output.ok().stdout();
        let expected = "3\n/tmp\ny\n0077\n98 99\nCapBnd:\t0000000000000001\n";
        match t.differs("umask of exec") {
            true => assert_eq!(seen.replace("0022", "0077"), expected),
            false => assert_eq!(seen, expected),
        }
        // What it leaves out is the container's.
        let output = exec_process(t, &container, |process| {
            process["args"] = json!(["sh", "-c", "ulimit -n; grep CapBnd /proc/self/status"]);
            process.as_object_mut().unwrap().remove("rlimits");
            process.as_object_mut().unwrap().remove("capabilities");
        });
        let seen = output.ok().stdout();
        match t.differs("limits that exec leaves out") {
            true => assert!(seen.ends_with("\nCapBnd:\t0000000000000020\n"), "{seen}"),
            false => assert_eq!(seen, "1024\nCapBnd:\t0000000000000020\n"),
        }
    });
}

#[test]
fn what_cannot_be_run_fails_with_255_and_leaves_nothing() {
    on_every_view(|t| {
        let bundle = t.bundle();
        std::fs::write(bundle.rootfs("/bin/text"), "no program").unwrap();
        let container = sleeping(t, bundle);
        let cases: &[(&[&str], &[&str], &str)] = &[
            (&[], &["nosuch"], "exec: \\\"nosuch\\\": executable file not found in $PATH"),
            (&[], &["/nosuch"], "no such file or directory"),
            (&[], &["/bin/text"], "permission denied"),
            (&[], &["/etc"], ""),
            (&["--cwd", "/nosuch"], &["true"], "o such file or directory"),
            (&["--cwd", "relative"], &["true"], "absolute path"),
            (&["--user", "root"], &["true"], "parsing root as int for uid failed"),
            (&["--user", "1:"], &["true"], "parsing  as int for gid failed"),
            (&["--user", "-1"], &["true"], "uids and gids must be in range 0-"),
            (&["--user", "4294967295"], &["true"], "uids and gids must be in range 0-"),
            (&["--additional-gids", "-5"], &["true"], ""),
            (&["--env", "FOO"], &["true"], ""),
            (&["--cgroup", "a:b:c"], &["true"], "invalid --cgroup argument: a:b:c"),
            (&["--cgroup", "../.."], &["true"], "../.. is not a sub cgroup path"),
            (&["--cgroup", "nosuch"], &["true"], ""),
            (&["--cgroup", "nosuch:x"], &["true"], "unknown controller nosuch in SubCgroupPaths"),
            (&["--preserve-fds", "900"], &["true"], ""),
            (&["--process", "/nosuch"], &[], "open /nosuch"),
            (&["--process", "/etc/passwd"], &[], ""),
            (&["--tty", "--detach"], &["true"], "cannot allocate tty if"),
            (&["--console-socket", "/nosuch"], &["true"], "cannot use console socket if"),
            (&["--tty", "--detach", "--console-socket", "/nosuch"], &["true"], ""),
            (&[], &[], "process args cannot be empty"),
        ];
        for (options, args, message) in cases {
            let output = exec(t, &container, options, args).fails(255);
            assert!(output.stderr().contains("exec failed: ") && output.stderr().contains(message), "{output}");
        }
        if !t.differs("a user id beyond 32 bits") {
            exec(t, &container, &["--user", "4294967296"], &["true"]).fails(255);
        }
        t.command("exec", &["nosuch", "true"]).fails(255);
        assert_eq!(container.cgroup_file("pids", "cgroup.procs").lines().count(), 1);
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn a_stopped_container_is_refused_and_a_created_one_is_not() {
    on_every_view(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.create();
        assert_eq!(stdout_of(t, &container, &[], &["hostname"]), "container\n");
        assert_eq!(container.status(), "created");
        container.start();
        container.kill("KILL");
        container.wait_for("stopped");
        let output = exec(t, &container, &[], &["true"]).fails(255);
        assert!(output.stderr().contains("cannot exec in a stopped container"), "{output}");
    });
}

#[test]
fn detached_it_goes_on_and_its_pid_is_told() {
    on_every_view(|t| {
        let container = sleeping(t, t.bundle());
        let file = t.new_path("pid");
        let output = exec(t, &container, &["--detach", "--pid-file", file.to_str().unwrap()], &["sleep", "1000"]).ok();
        assert_eq!(output.stdout(), "");
        let pid = std::fs::read_to_string(&file).unwrap();
        let command = || std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        eventually("it runs", || command().starts_with("sleep\x001000"));
        assert!(container.cgroup_file("pids", "cgroup.procs").lines().any(|line| line == pid));
        container.command("delete").option("--force").ok();
        eventually("it has ended with the container", || command().is_empty());
        t.assert_nothing_left();
    });
}

#[test]
fn a_detached_terminal_goes_to_the_console_socket() {
    once(|t| {
        let container = sleeping(t, t.bundle());
        let socket = ConsoleSocket::new(t.new_path("console"));
        let script = "tty; [ -t 0 -a -t 1 -a -t 2 ] && echo all; read line; echo got $line; sleep 1000";
        let options = ["--detach", "--tty", "--console-socket", socket.path().to_str().unwrap(), "--user", "1000"];
        exec(t, &container, &options, &["sh", "-c", script]).ok();
        let mut terminal = socket.receive();
        assert!(terminal.read_until("all").starts_with("/dev/pts/0\r\n"));
        terminal.write("hello\n");
        terminal.read_until("got hello");
    });
}

#[test]
fn a_terminal_in_the_foreground_is_the_callers() {
    on_every_view(|t| {
        let container = sleeping(t, t.bundle());
        let mut terminal = Terminal::new();
        terminal.resize(40, 90);
        let script = "tty; until stty size 2>/dev/null | grep .; do sleep 0.01; done; echo ready; read line; echo got $line; exit 5";
        let running = exec(t, &container, &["--tty"], &["sh", "-c", script]).terminal(terminal.device()).spawn();
        terminal.read_until("ready");
        terminal.write("hello\r");
        let seen = terminal.read_until("got hello").to_owned();
        // runc makes the caller's terminal raw only when the program may have written already.
        let first = if t.runtime() == Runtime::Corten { "/dev/pts/0\r\n" } else { "/dev/pts/0\r" };
        assert!(seen.contains(first) && seen.contains("40 90\r"), "{seen:?}");
        assert_eq!(running.wait().code(), 5);
    });
}

#[test]
fn a_megabyte_through_a_terminal_is_not_lost() {
    once(|t| {
        let container = sleeping(t, t.bundle());
        let mut terminal = Terminal::new();
        let script = "yes 0123456789abcde | head -c 1048576; echo; echo the end";
        let running = exec(t, &container, &["--tty"], &["sh", "-c", script]).terminal(terminal.device()).spawn();
        let seen = terminal.read_until("the end");
        assert_eq!(seen.matches("0123456789abcde").count(), 65_536);
        assert_eq!(running.wait().code(), 0);
    });
}

#[test]
fn a_new_size_reaches_the_program_and_the_callers_terminal_is_raw_meanwhile() {
    once(|t| {
        let container = sleeping(t, t.bundle());
        let mut terminal = Terminal::new();
        terminal.resize(24, 80);
        let settings = |terminal: &Terminal| {
            let output =
                std::process::Command::new("stty").arg("-a").arg("-F").arg(terminal.device()).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let slave = std::fs::File::options().read(true).write(true).open(terminal.device()).unwrap();
        let before = settings(&terminal);
        let script = "trap 'stty size' WINCH; until stty size 2>/dev/null | grep -q .; do sleep 0.01; done; echo ready; \
                      while :; do sleep 0.01; done";
        let running = exec(t, &container, &["--tty"], &["sh", "-c", script]).terminal(terminal.device()).spawn();
        terminal.read_until("ready");
        let during = settings(&terminal);
        assert!(during.contains("-icanon") && during.contains("-echo ") && during.contains("-isig"), "{during}");
        terminal.resize(50, 132);
        // Without a controlling terminal the kernel does not tell the runtime.
        running.signal("WINCH");
        terminal.read_until("50 132");
        // Not the caller's terminal but the program's makes a signal of it.
        terminal.write("\x03");
        assert_eq!(running.wait().code(), 130);
        terminal.resize(24, 80);
        assert_eq!(settings(&terminal), before);
        drop(slave);
    });
}

#[test]
fn a_pidfd_goes_to_the_socket() {
    once(|t| {
        if t.differs("--pidfd-socket") {
            return;
        }
        let container = sleeping(t, t.bundle());
        let socket = ConsoleSocket::new(t.new_path("pidfd"));
        let options = ["--detach", "--pidfd-socket", socket.path().to_str().unwrap()];
        exec(t, &container, &options, &["sleep", "1234"]).ok();
        let pid = socket.receive_pidfd();
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert_eq!(command, "sleep\x001234\0");
    });
}

#[test]
fn signals_are_passed_on() {
    once(|t| {
        let container = sleeping(t, t.bundle());
        let script = "trap 'echo got it; exit 9' TERM; echo ready; while :; do sleep 0.01; done";
        let running = exec(t, &container, &[], &["sh", "-c", script]).spawn();
        eventually("it is ready", || running.stdout().contains("ready"));
        running.signal("TERM");
        let output = running.wait();
        assert_eq!((output.code(), output.stdout()), (9, "ready\ngot it\n".into()), "{output}");
    });
}

#[test]
fn no_descriptor_leaks_and_those_asked_for_are_passed() {
    once(|t| {
        let container = sleeping(t, t.bundle());
        let (kept, leaked) = (t.new_file("kept"), t.new_file("leaked"));
        // `ls` itself opens the directory as 4.
        let script = "cat <&3; ls /proc/self/fd";
        let command = exec(t, &container, &["--preserve-fds", "1"], &["sh", "-c", script]);
        let output = command.descriptor(3, kept).descriptor(4, &leaked).descriptor(9, &leaked).ok();
        assert_eq!(output.stdout(), "kept0\n1\n2\n3\n4\n");
        if t.differs("socket activation of exec") {
            return;
        }
        let sockets = t.new_file("socket");
        let script = "echo $LISTEN_FDS $LISTEN_PID; cat <&3";
        let command = exec(t, &container, &[], &["sh", "-c", script]).variable("LISTEN_FDS", "1");
        assert_eq!(command.descriptor(3, sockets).ok().stdout(), "1 1\nsocket");
    });
}

#[test]
fn a_working_directory_outside_of_the_root_is_refused() {
    once(|t| {
        let container = sleeping(t, t.bundle());
        for number in 3..16 {
            let cwd = format!("/proc/self/fd/{number}");
            let command = exec(t, &container, &["--cwd", &cwd], &["ls", "/proc/self/cwd/"]);
            let output = command.directory("/").behind("exec 8</ 9<.").run();
            assert_ne!(output.code(), 0, "{cwd}: {output}");
        }
    });
}

#[test]
fn cgroups_below_the_containers_can_be_chosen() {
    on_every_view(|t| {
        let container = sleeping(t, t.bundle());
        let below = container.cgroup("pids").join("below");
        std::fs::create_dir(&below).unwrap();
        let option = if t.view().is_unified() { "below" } else { "pids:below" };
        let running = exec(t, &container, &["--cgroup", option], &READY_AND_SLEEP).spawn();
        eventually("it runs", || running.stdout() == "ready\n");
        let procs = || std::fs::read_to_string(below.join("cgroup.procs")).unwrap();
        eventually("the program is there", || procs().lines().count() == 1);
        container.kill("KILL");
        assert_eq!(running.wait().code(), 137);
        container.wait_for("stopped");
        eventually("the cgroup is empty", || procs().is_empty());
        std::fs::remove_dir(&below).unwrap();
    });
}

#[test]
fn it_follows_an_init_that_has_moved_to_a_cgroup_below() {
    on_every_view(|t| {
        if !t.view().is_unified() {
            return;
        }
        let container = sleeping(t, t.bundle());
        let own = container.cgroup("pids");
        let below = own.join("init");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(below.join("cgroup.procs"), container.pid().to_string()).unwrap();
        let controllers = std::fs::read_to_string(own.join("cgroup.controllers")).unwrap();
        let Some(controller) = controllers.split_whitespace().next() else { return };
        std::fs::write(own.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
        let running = exec(t, &container, &[], &READY_AND_SLEEP).spawn();
        eventually("it runs", || running.stdout() == "ready\n");
        eventually("the program is beside it", || {
            std::fs::read_to_string(below.join("cgroup.procs")).unwrap().lines().count() == 2
        });
        container.kill("KILL");
        assert_eq!(running.wait().code(), 137);
        container.wait_for("stopped");
        eventually("the cgroup is gone", || std::fs::remove_dir(&below).is_ok());
    });
}

#[test]
fn a_hundred_at_once() {
    on_every_view(|t| {
        let container = sleeping(t, t.bundle());
        let running: Vec<(usize, Running)> = (0..100)
            .map(|number| {
                (number, exec(t, &container, &[], &["sh", "-c", &format!("echo {number}; exit {number}")]).spawn())
            })
            .collect();
        for (number, running) in running {
            let output = running.wait();
            assert_eq!((output.code(), output.stdout()), (number as i32, format!("{number}\n")), "{output}");
        }
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn a_kill_and_a_delete_meanwhile_end_it_cleanly() {
    on_every_view(|t| {
        for round in 0..10 {
            let container = sleeping(t, t.bundle());
            let running: Vec<Running> = (0..5).map(|_| exec(t, &container, &[], &["sleep", "1000"]).spawn()).collect();
            if round % 2 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(round));
            }
            let killed = container.command("delete").option("--force").spawn();
            for running in running {
                let output = running.wait();
                // Killed with the container, or too late for it.
                assert!([137, 255].contains(&output.code()), "{output}");
                assert!(output.code() == 137 || output.stderr().contains("exec failed: "), "{output}");
            }
            assert_eq!(killed.wait().code(), 0);
        }
        t.assert_nothing_left();
    });
}

#[test]
fn processors_are_those_of_the_configuration() {
    on_every_view(|t| {
        if t.differs("execCPUAffinity") {
            return;
        }
        let last = std::thread::available_parallelism().unwrap().get() - 1;
        let affinity = json!({"initial": "0", "final": last.to_string()});
        let container = sleeping(t, t.bundle().set("/process/execCPUAffinity", affinity));
        let seen = stdout_of(t, &container, &[], &["grep", "Cpus_allowed_list", "/proc/self/status"]);
        assert_eq!(seen, format!("Cpus_allowed_list:\t{last}\n"));
    });
}

#[test]
fn nobody_joins_a_container_before_its_root_is_in_place() {
    once(|t| {
        let secret = t.new_file("of the host");
        let started = t.new_path("started");
        let hook = format!("touch {}; sleep 2", started.display());
        // A hook in the container's namespaces, in the middle of the building.
        let bundle = t.bundle().args(&["sleep", "1000"]);
        let bundle =
            bundle.set("/hooks", json!({"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", hook]}]}));
        let container = t.container(bundle);
        let running = container.command("run").option("--detach").spawn();
        eventually("the hook runs", || started.exists());
        let mut refused = 0;
        for _ in 0..20 {
            let output = exec(t, &container, &[], &["cat", secret.to_str().unwrap()]).run();
            assert_ne!(output.code(), 0, "it was outside: {output}");
            assert!(!output.stdout().contains("of the host"), "{output}");
            refused += usize::from(output.code() == 255);
        }
        assert!(refused > 0);
        assert_eq!(running.wait().code(), 0);
        assert_eq!(stdout_of(t, &container, &[], &["hostname"]), "container\n");
    });
}

/// What a `run` leaves that was killed when its program had begun and before it could say so.
#[test]
fn a_container_whose_run_was_killed_at_the_end_can_be_entered() {
    once(|t| {
        if t.runtime() != Runtime::Corten {
            skip!("it is about files of corten's");
        }
        let container = sleeping(t, t.bundle());
        let state = t.state_root().join(container.id());
        std::fs::rename(state.join("init.json"), state.join("init.json.tmp")).unwrap();
        assert_eq!(container.status(), "running");
        assert_eq!(stdout_of(t, &container, &[], &["hostname"]), "container\n");
        assert!(state.join("init.json").exists(), "it is put right");
        // An init that was never let go is not entered: it stands among the host's files.
        let created = t.container(t.bundle().args(&["sleep", "1000"]));
        created.create();
        let state = t.state_root().join(created.id());
        std::fs::rename(state.join("init.json"), state.join("init.json.tmp")).unwrap();
        let output = exec(t, &created, &[], &["true"]).fails(255);
        assert!(output.stderr().contains("cut off"), "{output}");
        assert!(!state.join("init.json").exists());
        created.command("delete").option("--force").ok();
    });
}

/// The init forks into the pid namespace and tells of its child. Whoever kills it in between must not hang `exec`.
#[test]
fn an_init_that_is_killed_before_it_tells_of_its_child() {
    once(|t| {
        let strace = std::process::Command::new("strace").arg("-V").output();
        if t.runtime() != Runtime::Corten || strace.is_err() {
            skip!("it is about corten's init, and needs strace");
        }
        let container = sleeping(t, t.bundle());
        // The tracer holds every write back, that of the report among them.
        for delay in ["2s", "5s", "15s"] {
            let log = t.new_path("strace");
            let mut command = std::process::Command::new("strace");
            command.args(["-f", "-e", "trace=setns,clone3,write", "-e", &format!("inject=write:delay_enter={delay}")]);
            command.arg("-o").arg(&log).arg(t.runtime().program()).arg("--root").arg(t.state_root());
            command.args(["exec", container.id(), "true"]).stderr(std::process::Stdio::piped());
            let child = command.spawn().unwrap();
            let text = || std::fs::read_to_string(&log).unwrap_or_default();
            let of_init = |text: &str| {
                let pid = text.lines().find(|line| line.contains(" setns("))?.split_whitespace().next()?.to_owned();
                text.lines().any(|line| line.starts_with(&pid) && line.contains("clone3")).then_some(pid)
            };
            eventually("the init has forked", || of_init(&text()).is_some());
            let init = of_init(&text()).unwrap();
            let told =
                text().lines().any(|line| line.starts_with(&init) && line.contains("write(") && line.contains("= "));
            let kill = std::process::Command::new("kill").args(["-9", &init]).status().unwrap();
            let output = child.wait_with_output().unwrap();
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            if told || !kill.success() || output.status.success() {
                continue; // too late: once more, slower
            }
            assert_eq!(output.status.code(), Some(255), "{message}");
            assert!(message.contains("killed by signal 9"), "{message}");
            return;
        }
        panic!("the init was never killed in time");
    });
}
