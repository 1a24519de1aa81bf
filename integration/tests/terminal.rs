//! Terminals: handed over through a console socket, and passed through by a run in the foreground.

use corten_integration::{Bundle, ConsoleSocket, Runtime, Terminal, on_every_view, once};
use serde_json::json;

fn with_terminal(bundle: Bundle) -> Bundle {
    bundle.set("/process/terminal", true)
}

#[test]
fn the_terminal_comes_over_the_console_socket() {
    on_every_view(|t| {
        let script = "tty; stty size; ls -l /dev/console | cut -c1; [ -t 0 -a -t 1 -a -t 2 ] && echo all; read line; echo got $line; sleep 1000";
        let container = t.container(
            with_terminal(t.bundle()).set("/process/consoleSize", json!({"height": 33, "width": 77})).sh(script),
        );
        let socket = ConsoleSocket::new(t.new_path("console"));
        container.command("create").option("--console-socket").option(socket.path()).ok();
        let mut terminal = socket.receive();
        assert_eq!(terminal.size(), (33, 77));
        container.start();
        // With the end of its line, or what is typed comes before it.
        terminal.read_until("all\r\n");
        terminal.write("hello\n");
        let seen = terminal.read_until("got hello");
        assert!(seen.starts_with("/dev/pts/0\r\n33 77\r\nc\r\nall\r\n"), "{seen:?}");
    });
}

/// Found by random configurations: corten's had close-on-exec among the flags that `F_GETFL` tells.
#[test]
fn the_terminal_is_open_as_if_the_program_had_opened_it() {
    once(|t| {
        let script =
            "exec 3<>/dev/pts/0; for fd in 0 1 2 3; do grep flags: /proc/self/fdinfo/$fd; done; echo done; sleep 1000";
        let container = t.container(with_terminal(t.bundle()).sh(script));
        let socket = ConsoleSocket::new(t.new_path("console"));
        container.command("run").option("--detach").option("--console-socket").option(socket.path()).ok();
        let seen = socket.receive().read_until("done").to_owned();
        let flags: Vec<&str> = seen.lines().filter(|line| line.starts_with("flags:")).collect();
        assert!(flags.len() == 4 && flags.iter().all(|line| *line == flags[3]), "{seen:?}");
    });
}

#[test]
fn control_characters_reach_the_program() {
    on_every_view(|t| {
        let container = t.container(
            with_terminal(t.bundle()).sh("trap 'echo interrupted; exit' INT; echo ready; while :; do sleep 0.01; done"),
        );
        let socket = ConsoleSocket::new(t.new_path("console"));
        container.command("run").option("--detach").option("--console-socket").option(socket.path()).ok();
        let mut terminal = socket.receive();
        terminal.read_until("ready");
        terminal.write("\x03");
        terminal.read_until("interrupted");
        container.wait_for("stopped");
    });
}

#[test]
fn the_terminal_belongs_to_the_user_of_the_process() {
    once(|t| {
        let bundle = with_terminal(t.bundle()).set("/process/user", json!({"uid": 1000, "gid": 1000}));
        let container = t.container(bundle.sh("stat -c 'owner %u' $(tty); echo done; sleep 1000"));
        let socket = ConsoleSocket::new(t.new_path("console"));
        container.command("run").option("--detach").option("--console-socket").option(socket.path()).ok();
        let mut terminal = socket.receive();
        let seen = terminal.read_until("done");
        assert!(seen.contains("owner 1000"), "{seen:?}");
    });
}

#[test]
fn a_run_in_the_foreground_passes_the_callers_terminal_through() {
    on_every_view(|t| {
        let mut terminal = Terminal::new();
        terminal.resize(40, 90);
        // The size may come a moment after the program has started; busybox's stty prints none while it is zero.
        let script = "tty; until stty size 2>/dev/null | grep .; do sleep 0.01; done; echo ready; read line; echo got $line; exit 5";
        let running =
            t.container(with_terminal(t.bundle()).sh(script)).command("run").terminal(terminal.device()).spawn();
        terminal.read_until("ready");
        terminal.write("hello\r");
        let seen = terminal.read_until("got hello").to_owned();
        // runc makes the caller's terminal raw only when the program may have written already.
        let end = if t.runtime() == Runtime::Corten { "\r\n" } else { "\r" };
        assert!(seen.contains(&format!("/dev/pts/0{end}")) && seen.contains(&format!("40 90{end}")), "{seen:?}");
        assert_eq!(running.wait().code(), 5);
    });
}

#[test]
fn the_callers_terminal_is_raw_while_the_container_runs_and_then_as_before() {
    once(|t| {
        let mut terminal = Terminal::new();
        let settings = |terminal: &Terminal| {
            let output =
                std::process::Command::new("stty").arg("-a").arg("-F").arg(terminal.device()).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let slave = std::fs::File::options().read(true).write(true).open(terminal.device()).unwrap();
        let before = settings(&terminal);
        let container = t.container(with_terminal(t.bundle()).sh("echo ready; read line"));
        let running = container.command("run").terminal(terminal.device()).spawn();
        terminal.read_until("ready");
        let during = settings(&terminal);
        assert!(during.contains("-icanon") && during.contains("-echo ") && during.contains("-isig"), "{during}");
        terminal.write("\r");
        assert_eq!(running.wait().code(), 0);
        assert_eq!(settings(&terminal), before);
        drop(slave);
    });
}

#[test]
fn a_new_size_of_the_callers_terminal_reaches_the_container() {
    once(|t| {
        let mut terminal = Terminal::new();
        terminal.resize(24, 80);
        let script = "trap 'stty size' WINCH; until stty size 2>/dev/null | grep -q .; do sleep 0.01; done; echo ready; while :; do sleep 0.01; done";
        let container = t.container(with_terminal(t.bundle()).sh(script));
        let running = container.command("run").terminal(terminal.device()).spawn();
        terminal.read_until("ready");
        terminal.resize(50, 132);
        // Without a controlling terminal the kernel does not tell the runtime.
        running.signal("WINCH");
        terminal.read_until("50 132");
        container.kill("KILL");
        assert_eq!(running.wait().code(), 137);
    });
}

#[test]
fn a_detached_terminal_needs_a_console_socket_and_a_console_socket_a_terminal() {
    once(|t| {
        t.container(with_terminal(t.bundle())).command("create").fails(1);
        let socket = ConsoleSocket::new(t.new_path("console"));
        let plain = t.container(t.bundle());
        plain.command("create").option("--console-socket").option(socket.path()).fails(1);
        t.assert_nothing_left();
    });
}

#[test]
fn a_console_socket_that_nobody_listens_to() {
    on_every_view(|t| {
        let container = t.container(with_terminal(t.bundle()));
        container.command("create").option("--console-socket").option(t.new_path("missing")).fails(1);
        t.assert_nothing_left();
    });
}
