//! Namespaces joined in every combination, with every wrong type, and two containers that share some.

use corten_integration::{Bundle, Container, Sandbox, eventually, on_every_view, once};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// The specification's names and the files of /proc/PID/ns.
const KINDS: [(&str, &str); 8] = [
    ("user", "user"),
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
    ("mount", "mnt"),
    ("time", "time"),
];

fn namespace_of(pid: &str, file: &str) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/{file}")).unwrap().to_str().unwrap().to_owned()
}

fn sleeper(t: &Sandbox, bundle: Bundle) -> Container<'_> {
    let container = t.container(bundle.args(&["sleep", "1000"]));
    container.run_detached();
    container
}

fn join(bundle: Bundle, pid: &str, (kind, file): (&str, &str)) -> Bundle {
    bundle.namespace(kind, &format!("/proc/{pid}/ns/{file}"))
}

/// All subsets of five kinds, without and with the user namespace, which must come first: it owns the others.
#[test]
fn every_combination_is_joined() {
    once(|t| {
        for user in [false, true] {
            let first = t.bundle().namespace("cgroup", "");
            let first = sleeper(t, if user { first.user_namespace(100_000) } else { first });
            let pid = first.pid().to_string();
            for subset in 0..32u32 {
                let own = if user { t.bundle().user_namespace(100_000) } else { t.bundle() };
                // A joined user namespace is listed last: the order in the list means nothing.
                let bundle = own.namespace("cgroup", "").remove("/hostname");
                let chosen = |place: &usize| subset & (1 << place) != 0;
                let chosen: Vec<_> = (0..5).filter(chosen).map(|place| KINDS[place + 1]).collect();
                let bundle = chosen.iter().fold(bundle, |bundle, kind| join(bundle, &pid, *kind));
                let bundle = if user { join(bundle, &pid, KINDS[0]) } else { bundle };
                let second = sleeper(t, bundle);
                let of_second = second.pid().to_string();
                for kind in &KINDS[..6] {
                    let same = namespace_of(&of_second, kind.1) == namespace_of(&pid, kind.1);
                    // Without a user namespace of its own it is in that of the machine, as the first.
                    let expected = kind.0 == "user" || chosen.contains(kind);
                    assert_eq!(same, expected, "{} of {chosen:?}, user namespace: {user}", kind.0);
                }
                second.command("delete").option("--force").ok();
            }
            first.command("delete").option("--force").ok();
        }
    });
}

/// The root file system is put in its place for everybody who is in that namespace, as with runc and crun.
#[test]
fn a_mount_namespace_is_joined_by_path() {
    on_every_view(|t| {
        let mut words = t.prefix_of_view();
        let script = "echo ready; exec sleep 1000";
        words.extend(["unshare", "--mount", "--propagation", "private", "sh", "-c", script].map(String::from));
        let mut holder =
            Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = holder.id().to_string();
        let joined = namespace_of(&pid, "mnt");
        let bundle = join(t.bundle().file("/mark", "mark\n", 0o644), &pid, KINDS[6]);
        let output = t.container(bundle.sh("cat /mark; readlink /proc/self/ns/mnt")).command("run").run();
        let mark = std::fs::read_to_string(format!("/proc/{pid}/root/mark"));
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!(output.stdout(), format!("mark\n{joined}\n"), "{output}");
        assert_eq!(mark.ok().as_deref(), Some("mark\n"));
    });
}

#[test]
fn every_wrong_type_is_refused_and_leaves_nothing() {
    once(|t| {
        for (kind, file) in KINDS {
            if kind == "time" && t.differs("time namespaces") {
                continue;
            }
            for (_, other) in KINDS.into_iter().filter(|(_, other)| *other != file) {
                let bundle = t.bundle().remove("/hostname").namespace(kind, &format!("/proc/self/ns/{other}"));
                let output = t.container(bundle.args(&["true"])).command("run").run();
                assert_ne!(output.code(), 0, "{other} as {kind}: {output}");
                let named = output.stderr().contains(&format!("is not a {kind} namespace"));
                assert!(named || t.differs("kinds of joined namespaces in messages"), "{other} as {kind}: {output}");
            }
            for path in ["/dev/null", "/nonexistent", "/etc", "/proc/self/ns"] {
                let bundle = t.bundle().remove("/hostname").namespace(kind, path);
                let output = t.container(bundle.args(&["true"])).command("run").run();
                assert_ne!(output.code(), 0, "{path} as {kind}: {output}");
                let named = output.stderr().contains("linux.namespaces[") && output.stderr().contains(path);
                assert!(named || t.differs("names of elements"), "{path} as {kind}: {output}");
            }
        }
        t.assert_nothing_left();
    });
}

/// Two containers of a pod: they see each other's processes, ports and queues.
#[test]
fn two_containers_share_what_they_joined() {
    on_every_view(|t| {
        let listen = "nc -l -p 4000 -e echo over the loopback & sleep 1000";
        let first = t.container(t.bundle().sh(listen));
        first.run_detached();
        let pid = first.pid().to_string();
        let joined =
            [KINDS[1], KINDS[2], KINDS[3]].into_iter().fold(t.bundle(), |bundle, kind| join(bundle, &pid, kind));
        let script = "i=0; until nc 127.0.0.1 4000 2>/dev/null || [ $i = 200 ]; do i=$((i + 1)); sleep 0.1; done; \
                      tr '\\0' ' ' < /proc/1/cmdline; echo; kill -0 1 && echo reaches it";
        assert_eq!(t.output_of(joined.sh(script)), "over the loopback\nsleep 1000 \nreaches it\n");
        assert_eq!(first.status(), "running");
    });
}

/// The container is in another one's pid namespace: the death of its first process ends no other of its processes.
#[test]
fn kill_ends_every_process_in_a_shared_pid_namespace() {
    on_every_view(|t| {
        let first = sleeper(t, t.bundle());
        let script = "trap '' TERM HUP; sleep 1001 & setsid sleep 1002 & sleep 1003 & wait";
        for all in [true, false] {
            for shared in ["another container's", "the machine's"] {
                if !all && t.differs("kill of a shared pid namespace") {
                    continue;
                }
                let bundle = match shared {
                    "the machine's" => t.bundle().without_namespace("pid"),
                    _ => join(t.bundle(), &first.pid().to_string(), KINDS[1]),
                };
                let second = t.container(bundle.sh(script));
                second.run_detached();
                let processes =
                    || std::fs::read_to_string(second.cgroup("pids").join("cgroup.procs")).unwrap_or_default();
                eventually("all of its processes run", || processes().lines().count() == 4);
                let kill = t.command("kill", &[second.id(), "KILL"]);
                if all { kill.option("--all") } else { kill }.ok();
                eventually("none of them runs", || processes().lines().count() == 0);
                second.wait_for("stopped");
                second.delete();
                assert_eq!(first.status(), "running");
            }
        }
    });
}
