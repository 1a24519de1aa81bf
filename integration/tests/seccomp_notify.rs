//! SCMP_ACT_NOTIFY: an agent gets the listener and answers the container's calls.

use corten_integration::{Bundle, Sandbox, eventually, once, skip};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The agent, `programs/seccomp-agent.py`.
struct Agent {
    process: Child,
    socket: PathBuf,
    state: PathBuf,
}

impl Agent {
    fn start(t: &Sandbox, mode: &[&str]) -> Agent {
        let (socket, state) = (t.new_path("agent"), t.new_path("state"));
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/seccomp-agent.py");
        let mut command = Command::new("python3");
        command.arg(program).args([&socket, &state]).args(mode).stdin(Stdio::null());
        let process = command.spawn().unwrap();
        let agent = Agent { process, socket, state };
        // Listed there once it is bound and listens.
        let listed = || std::fs::read_to_string("/proc/net/unix").unwrap();
        let listens =
            || listed().lines().any(|l| l.contains("00010000") && l.ends_with(agent.socket.to_str().unwrap()));
        eventually("the agent listens", listens);
        agent
    }

    /// What came with the listener.
    fn state(&self) -> Value {
        eventually("the agent has the state", || self.state.exists());
        serde_json::from_slice(&std::fs::read(&self.state).unwrap()).unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn has_python() -> bool {
    Command::new("python3").args(["-c", "import fcntl, socket, select"]).status().is_ok_and(|status| status.success())
}

/// A bundle that asks the agent about `names`.
fn asking(t: &Sandbox, socket: &Path, names: &[&str]) -> Bundle {
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "listenerPath": socket.to_str().unwrap(), "listenerMetadata": "for the agent",
        "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}]});
    t.bundle().writable().set("/linux/seccomp", profile)
}

#[test]
fn an_agent_answers_and_gets_the_state() {
    if !has_python() {
        skip!("the agent needs python3");
    }
    once(|t| {
        for no_new_privileges in [true, false] {
            let agent = Agent::start(t, &["errno", "123"]);
            let bundle = asking(t, &agent.socket, &["mkdir", "mkdirat"]).sh("mkdir /new 2>/out; sleep 1000");
            let bundle = bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
            let container = t.container(bundle.set("/annotations", json!({"org.example.key": "value"})));
            container.create();
            let state = agent.state();
            assert_eq!(state["fds"], json!(["seccompFd"]));
            assert_eq!(state["metadata"], "for the agent");
            assert_eq!(state["pid"], container.pid());
            assert!(state["ociVersion"].as_str().unwrap().starts_with("1."), "{state}");
            let inner = &state["state"];
            assert_eq!((&inner["id"], &inner["status"]), (&json!(container.id()), &json!("creating")));
            assert_eq!((&inner["pid"], &inner["bundle"]), (&state["pid"], &json!(container.bundle().path())));
            assert_eq!(inner["annotations"]["org.example.key"], "value");
            container.start();
            let out = container.bundle().rootfs("/out");
            let expected = "mkdir: can't create directory '/new': No medium found\n";
            eventually("mkdir was answered", || std::fs::read_to_string(&out).is_ok_and(|text| text == expected));
            container.command("delete").option("--force").ok();
        }
    });
}

/// Also calls that the init makes itself after the filter is loaded.
#[test]
fn an_agent_lets_calls_go_on() {
    if !has_python() {
        skip!("the agent needs python3");
    }
    once(|t| {
        for no_new_privileges in [true, false] {
            let agent = Agent::start(t, &["continue"]);
            let calls = ["execve", "close", "setgroups", "prctl", "sendmsg", "openat", "getuid", "mkdir"];
            let bundle = asking(t, &agent.socket, &calls).set("/process/noNewPrivileges", json!(no_new_privileges));
            assert_eq!(t.output_of(bundle.sh("mkdir /new && ls -d /new")), "/new\n");
        }
    });
}

#[test]
fn an_agent_adds_a_descriptor() {
    if !has_python() {
        skip!("the agent needs python3");
    }
    once(|t| {
        let file = t.new_file("from outside\n");
        let agent = Agent::start(t, &["addfd", file.to_str().unwrap()]);
        let bundle = asking(t, &agent.socket, &["open", "openat"]).args(&["cat", "/magic"]);
        assert_eq!(t.output_of(bundle), "from outside\n");
    });
}

#[test]
fn in_a_user_namespace() {
    if !has_python() {
        skip!("the agent needs python3");
    }
    once(|t| {
        let agent = Agent::start(t, &["errno", "123"]);
        let bundle = asking(t, &agent.socket, &["mkdir", "mkdirat"]).user_namespace(100_000);
        let output = t.output_of(bundle.sh("mkdir /new 2>&1; true"));
        assert_eq!(output, "mkdir: can't create directory '/new': No medium found\n");
    });
}

#[test]
fn without_an_agent_the_calls_do_not_exist() {
    if !has_python() {
        skip!("the agent needs python3");
    }
    once(|t| {
        let agent = Agent::start(t, &["hang-up"]);
        let bundle = asking(t, &agent.socket, &["mkdir", "mkdirat"]);
        let output = t.container(bundle.sh("mkdir /new 2>&1; true")).command("run").run();
        // The agent may hang up before the state was sent: then there is no container.
        if output.code() == 0 {
            assert_eq!(output.stdout(), "mkdir: can't create directory '/new': Function not implemented\n");
        } else {
            assert!(output.stderr().contains(agent.socket.to_str().unwrap()) || output.stderr().contains("pipe"));
        }
        t.assert_nothing_left();
    });
}

#[test]
fn a_missing_agent_fails_create_and_leaves_nothing() {
    once(|t| {
        let socket = t.new_path("nobody");
        for verb in ["create", "run"] {
            let container = t.container(asking(t, &socket, &["mkdir"]).args(&["true"]));
            let output = container.command(verb).fails(1);
            assert!(output.stderr().contains(socket.to_str().unwrap()), "{output}");
            t.assert_nothing_left();
        }
    });
}

#[test]
fn profiles_that_could_not_be_answered_are_refused() {
    once(|t| {
        let socket = t.new_path("nobody");
        let bundle = |names: &[&str]| asking(t, &socket, names).args(&["true"]);
        let cases = [
            ("write", bundle(&["write"])),
            ("default", bundle(&["mkdir"]).set("/linux/seccomp/defaultAction", "SCMP_ACT_NOTIFY")),
            ("no listener", bundle(&["mkdir"]).remove("/linux/seccomp/listenerPath")),
        ];
        for (what, bundle) in cases {
            let output = t.container(bundle).command("run").run();
            assert_eq!(output.code(), 1, "{what}: {output}");
            t.assert_nothing_left();
        }
    });
}
