//! `NOTIFY_SOCKET`: what a container says of being ready reaches the manager that waits for it, and nothing else does.

use corten_integration::{
    Container, Invocation, Output, Running, Runtime, Sandbox, eventually, on_every_view, once, skip,
};
use serde_json::Value;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The manager's socket, as systemd has one for its services.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(t: &Sandbox) -> Manager {
        let path = t.new_path("manager");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Manager { socket, path }
    }

    /// The next message; a descriptor that comes with it is closed.
    fn next(&self) -> String {
        let mut text = [0; 4096];
        let length = self.socket.recv(&mut text).expect("the manager is told");
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    fn is_told_that_it_is_ready(&self, pid: u64) {
        assert_eq!(self.next(), "READY=1\n");
        assert_eq!(self.next(), format!("MAINPID={pid}\n"));
    }

    /// sd_notify_barrier(3): the descriptor that comes with the message is closed by our reading it.
    fn is_waited_for(&self, t: &Sandbox) {
        if !t.differs("notify barrier") {
            assert_eq!(self.next(), "BARRIER=1");
        }
    }

    fn command<'t>(&self, container: &Container<'t>, verb: &str) -> Invocation<'t> {
        container.command(verb).variable("NOTIFY_SOCKET", self.path.to_str().unwrap())
    }
}

/// Says it for the program of the container: from outside, on the socket that the program sees.
fn say(container: &Container<'_>, text: &str) {
    let socket = UnixDatagram::unbound().unwrap();
    let sent = || {
        // It may not exist yet.
        let state = container.command("state").run();
        let state: Value = serde_json::from_str(&state.stdout()).unwrap_or_default();
        let path = format!("/proc/{}/root/run/notify/notify.sock", state["pid"]);
        state["status"] == "running" && socket.send_to(text.as_bytes(), path).is_ok()
    };
    eventually("the container's socket is there", sent);
}

const SLEEP: &str =
    "echo $NOTIFY_SOCKET; [ -S $NOTIFY_SOCKET -a -w $NOTIFY_SOCKET ] && echo it is there; exec sleep 1000";
const SEEN: &str = "/run/notify/notify.sock\nit is there\n";

fn sleeping(t: &Sandbox) -> Container<'_> {
    let bundle = t.bundle().env("NOTIFY_SOCKET=/run/systemd/notify").sh(SLEEP);
    t.container(bundle.set("/process/user/uid", 1000))
}

fn ended(running: Running) -> Output {
    let output = running.wait();
    assert_eq!(output.code(), 0, "{output}");
    output
}

#[test]
fn a_detached_run_waits_until_the_program_is_ready() {
    on_every_view(|t| {
        let (manager, container) = (Manager::new(t), sleeping(t));
        let running = manager.command(&container, "run").option("--detach").spawn();
        let first = if t.differs("READY after other lines") { "" } else { "STATUS=on the way\nX_ODD=1\n" };
        say(&container, &format!("{first}READY=1\n"));
        manager.is_told_that_it_is_ready(container.pid() as u64);
        manager.is_waited_for(t);
        eventually("the program has looked", || running.stdout() == SEEN);
        ended(running);
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn a_start_waits_and_create_does_not() {
    on_every_view(|t| {
        let (manager, container) = (Manager::new(t), sleeping(t));
        let created = manager.command(&container, "create").ok();
        let running = manager.command(&container, "start").spawn();
        say(&container, "READY=1");
        manager.is_told_that_it_is_ready(container.pid() as u64);
        manager.is_waited_for(t);
        ended(running);
        eventually("the program has looked", || created.stdout() == SEEN);
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn of_a_run_in_the_foreground_the_runtime_is_the_process_to_watch() {
    once(|t| {
        let (manager, container) = (Manager::new(t), sleeping(t));
        let running = manager.command(&container, "run").spawn();
        let runtime = u64::from(running.pid());
        say(&container, "READY=1");
        assert_eq!(manager.next(), "READY=1\n");
        assert_eq!(manager.next(), format!("MAINPID={runtime}\n"));
        container.kill("KILL");
        assert_eq!(running.wait().code(), 137);
        t.assert_nothing_left();
    });
}

#[test]
fn who_is_never_ready_is_waited_for_until_it_ends() {
    once(|t| {
        if t.differs("never ready") {
            return;
        }
        let manager = Manager::new(t);
        let detached = t.container(t.bundle().sh("exit 3"));
        ended(manager.command(&detached, "run").option("--detach").spawn());
        let created = t.container(t.bundle().sh("exit 3"));
        manager.command(&created, "create").ok();
        ended(manager.command(&created, "start").spawn());
        let foreground = t.container(t.bundle().sh("exit 3"));
        assert_eq!(manager.command(&foreground, "run").spawn().wait().code(), 3);
        for container in [detached, created] {
            container.command("delete").option("--force").ok();
        }
        manager.socket.set_nonblocking(true).unwrap();
        assert!(manager.socket.recv(&mut [0; 64]).is_err(), "nobody was ready");
        t.assert_nothing_left();
    });
}

#[test]
fn a_manager_that_is_gone_does_not_fail_a_container() {
    once(|t| {
        if t.differs("a manager that is gone") {
            return;
        }
        let container = sleeping(t);
        let missing = t.new_path("nobody");
        let running =
            container.command("run").option("--detach").variable("NOTIFY_SOCKET", missing.to_str().unwrap()).spawn();
        say(&container, "READY=1");
        let output = ended(running);
        assert!(output.stderr().contains("level=warning") && output.stderr().contains("NOTIFY_SOCKET="), "{output}");
        assert_eq!(container.status(), "running");
    });
}

/// So many messages the deep socket holds: more than the runtime can read while none of the threads of [`Flood::deep`] has a processor.
const DEPTH: u64 = 10_000;

/// The runtime behind this has a socket of [`DEPTH`] messages: how many is a setting of the network namespace.
fn with_a_deep_socket(command: Invocation<'_>) -> Invocation<'_> {
    let set = format!("echo {DEPTH} >/proc/sys/net/unix/max_dgram_qlen && exec \"$@\"");
    command.behind(&format!("exec unshare --net sh -c '{set}' sh \"$@\""))
}

/// Threads that say nothing of use on the container's socket, without a pause, until dropped.
struct Flood {
    done: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Flood {
    /// Threads that wait in a line for room, so that others get their turn.
    fn shallow(path: &Path) -> Flood {
        Flood::start(path, 16, |path| {
            let socket = connected(path);
            // A full one does not hold a thread for longer than this.
            socket.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
            vec![socket]
        })
    }

    /// Threads that do not wait: whoever reads never finds the socket empty. One sender may have some hundred messages on their way.
    fn deep(path: &Path) -> Flood {
        Flood::start(path, 8, |path| {
            let nonblocking = |socket: UnixDatagram| socket.set_nonblocking(true).map(|()| socket).unwrap();
            (0..16).map(|_| nonblocking(connected(path))).collect()
        })
    }

    fn start(path: &Path, threads: usize, sockets: fn(&Path) -> Vec<UnixDatagram>) -> Flood {
        let (done, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let flood = move |path: PathBuf, done: Arc<AtomicBool>, sent: Arc<AtomicU64>| {
            let sockets = sockets(&path);
            while !done.load(Ordering::Relaxed) {
                let times = sockets.iter().filter(|socket| socket.send(b"X=1").is_ok()).count();
                sent.fetch_add(times as u64, Ordering::Relaxed);
            }
        };
        let threads = (0..threads).map(|_| (path.to_owned(), done.clone(), sent.clone()));
        let threads = threads.map(|(path, done, sent)| std::thread::spawn(move || flood(path, done, sent))).collect();
        Flood { done, sent, threads }
    }

    /// Until the socket has been full, and so many messages more were taken.
    fn goes_on_for(&self, messages: u64) {
        eventually("the socket is read", || self.sent.load(Ordering::Relaxed) > DEPTH + messages);
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// Once the socket is there.
fn connected(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::unbound().unwrap();
    eventually("the container's socket is there", || socket.connect(path).is_ok());
    socket
}

/// The memory of a process that is of no file, in kilobytes.
fn memory_of(process: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The socket never becomes empty; also not when the program has ended, since it is open elsewhere.
#[test]
fn who_floods_the_socket_holds_nobody_up() {
    once(|t| {
        if t.runtime() != Runtime::Corten {
            skip!("the place of the socket is corten's own");
        }
        let manager = Manager::new(t);
        let socket = |container: &Container<'_>| t.state_root().join(container.id()).join("notify/notify.sock");
        // Of a run in the foreground signals are passed on, and nothing of what it reads is kept.
        let container = t.container(t.bundle().sh("trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"));
        let running = with_a_deep_socket(manager.command(&container, "run")).spawn();
        eventually("the program runs", || running.stdout() == "ready\n");
        let before = memory_of(&running);
        let flood = Flood::deep(&socket(&container));
        flood.goes_on_for(40_000);
        let after = memory_of(&running);
        running.signal("TERM");
        assert_eq!(running.wait().code(), 7);
        drop(flood);
        assert!(after < before + 512, "{before} kB of memory have become {after}");
        // A detached one ends with the program that is never ready.
        let container = t.container(t.bundle().sh("echo ready; while [ ! -e /end ]; do sleep 0.1; done"));
        let running = with_a_deep_socket(manager.command(&container, "run").option("--detach")).spawn();
        let flood = Flood::deep(&socket(&container));
        eventually("the program runs", || running.stdout() == "ready\n");
        flood.goes_on_for(40_000);
        std::fs::write(container.bundle().rootfs("/end"), "").unwrap();
        ended(running);
        drop(flood);
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn who_floods_the_socket_does_not_keep_others_from_being_heard() {
    once(|t| {
        if t.runtime() != Runtime::Corten {
            skip!("the place of the socket is corten's own");
        }
        let (manager, container) = (Manager::new(t), sleeping(t));
        let running = manager.command(&container, "run").option("--detach").spawn();
        let flood = Flood::shallow(&t.state_root().join(container.id()).join("notify/notify.sock"));
        say(&container, "READY=1");
        manager.is_told_that_it_is_ready(container.pid() as u64);
        manager.is_waited_for(t);
        ended(running);
        drop(flood);
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

/// A manager whose socket is full is given up.
#[test]
fn a_manager_that_does_not_read_does_not_fail_a_container() {
    once(|t| {
        if t.differs("a manager that does not read") {
            return;
        }
        let (manager, container) = (Manager::new(t), sleeping(t));
        // More than one sender may have on their way: until there is no room for a new one either.
        let filler = || {
            let filler = connected(&manager.path);
            filler.set_nonblocking(true).unwrap();
            let sent = std::iter::repeat_with(|| filler.send(b"STATUS=others talk as well")).take_while(Result::is_ok);
            (sent.count() > 0).then_some(filler)
        };
        let _fillers: Vec<_> = std::iter::from_fn(filler).collect();
        let running = manager.command(&container, "run").option("--detach").spawn();
        say(&container, "READY=1");
        let output = ended(running);
        assert!(output.stderr().contains("level=warning") && output.stderr().contains("NOTIFY_SOCKET="), "{output}");
        assert_eq!(container.status(), "running");
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn what_the_container_makes_of_its_directory_is_removed_with_it() {
    once(|t| {
        let manager = Manager::new(t);
        let container = sleeping(t);
        let running = manager.command(&container, "run").option("--detach").spawn();
        say(&container, "READY=1");
        manager.is_told_that_it_is_ready(container.pid() as u64);
        manager.is_waited_for(t);
        ended(running);
        let directory = t.state_root().join(container.id()).join("notify");
        std::fs::create_dir_all(directory.join("a/b")).unwrap();
        std::os::unix::fs::symlink("/etc", directory.join("link")).unwrap();
        container.command("delete").option("--force").ok();
        assert!(Path::new("/etc/passwd").exists());
        t.assert_nothing_left();
    });
}
