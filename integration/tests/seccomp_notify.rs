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

    /// What came with the first listener.
    fn state(&self) -> Value {
        Agent::read(&self.state)
    }

    /// What came with the second listener.
    fn second_state(&self) -> Value {
        Agent::read(Path::new(&format!("{}.1", self.state.display())))
    }

    fn read(path: &Path) -> Value {
        eventually("the agent has the state", || path.exists());
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
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

/// A program that exec starts is under a filter of its own: the agent gets its listener, with the container's state.
#[test]
fn the_agent_is_asked_about_a_program_of_exec() {
    if !has_python() {
        skip!("the agent needs python3");
    }
    once(|t| {
        for no_new_privileges in [true, false] {
            let agent = Agent::start(t, &["errno", "123"]);
            let bundle = asking(t, &agent.socket, &["mkdir", "mkdirat"]).args(&["sleep", "1000"]);
            let container = t.container(bundle.set("/process/noNewPrivileges", json!(no_new_privileges)));
            container.run_detached();
            assert_eq!(agent.state()["state"]["status"], "creating");
            let script = "echo $$; mkdir /new 2>&1; true";
            let output = t.command("exec", &[container.id(), "sh", "-c", script]).ok().stdout();
            let expected = "mkdir: can't create directory '/new': No medium found";
            assert_eq!(output.lines().last(), Some(expected), "{output}");
            let state = agent.second_state();
            assert_eq!((&state["fds"], &state["metadata"]), (&json!(["seccompFd"]), &json!("for the agent")));
            let inner = &state["state"];
            assert_eq!((&inner["id"], &inner["status"]), (&json!(container.id()), &json!("running")));
            // Of the new process; the state within is the container's.
            assert_ne!(state["pid"], container.pid());
            assert_eq!(inner["pid"], container.pid());
            container.command("delete").option("--force").ok();
        }
    });
}

/// An exec whose agent has gone fails and leaves the container alone.
#[test]
fn an_exec_without_an_agent_fails() {
    if !has_python() {
        skip!("the agent needs python3");
    }
    once(|t| {
        let agent = Agent::start(t, &["continue"]);
        let bundle = asking(t, &agent.socket, &["mkdir", "mkdirat"]).args(&["sleep", "1000"]);
        let container = t.container(bundle);
        container.run_detached();
        agent.state();
        let socket = agent.socket.clone();
        drop(agent);
        let output = t.command("exec", &[container.id(), "true"]).fails(255);
        assert!(output.stderr().contains(socket.to_str().unwrap()), "{output}");
        assert_eq!(container.status(), "running");
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

/// An ordinary user's container, whose agent is the user's.
#[test]
fn of_an_ordinary_user() {
    use std::os::unix::fs::{PermissionsExt, chown};
    if !has_python() {
        skip!("the agent needs python3");
    }
    once(|t| {
        for no_new_privileges in [true, false] {
            let agent = Agent::start(t, &["errno", "123"]);
            std::fs::set_permissions(&agent.socket, std::fs::Permissions::from_mode(0o777)).unwrap();
            let ids = json!([{"containerID": 0, "hostID": 65534, "size": 1}]);
            let bundle = asking(t, &agent.socket, &["mkdir", "mkdirat"]).namespace("user", "");
            let bundle = bundle.set("/linux/uidMappings", ids.clone()).set("/linux/gidMappings", ids);
            // sysfs belongs to the network namespace, cgroups to nobody here.
            let bundle = bundle.remove("/linux/cgroupsPath").remove("/linux/resources").remove("/mounts/6");
            let mut bundle = bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
            for mount in bundle.config["mounts"].as_array_mut().unwrap() {
                // There is no group of terminals among one mapped id.
                let options = mount["options"].as_array_mut();
                options.into_iter().for_each(|options| options.retain(|option| option != "gid=5"));
            }
            let container = t.container(bundle.sh("mkdir /tmp/new 2>&1; true"));
            let state = t.new_directory();
            chown(&state, Some(65534), Some(65534)).unwrap();
            // The runtime makes mount points in the root file system.
            let given = Command::new("chown").args(["-R", "65534:65534"]).arg(container.bundle().path()).status();
            assert!(given.unwrap().success());
            let output = container.command("run").global("--root").global(&state).unprivileged().run();
            let expected = "mkdir: can't create directory '/tmp/new': No medium found\n";
            assert_eq!((output.code(), output.stdout().as_str()), (0, expected), "{output}");
            assert_eq!(agent.state()["state"]["id"], container.id());
        }
    });
}

/// Agents that are slow, or send what nobody asked for, do not disturb.
#[test]
fn slow_and_talkative_agents() {
    if !has_python() {
        skip!("the agent needs python3");
    }
    once(|t| {
        let late = Agent::start(t, &["late", "123"]);
        let output = t.output_of(asking(t, &late.socket, &["mkdir", "mkdirat"]).sh("mkdir /new 2>&1; true"));
        assert_eq!(output, "mkdir: can't create directory '/new': No medium found\n");
        let flood = Agent::start(t, &["flood"]);
        let output = t.output_of(asking(t, &flood.socket, &["mkdir", "mkdirat"]).sh("mkdir /new && ls -d /new"));
        assert_eq!(output, "/new\n");
        t.assert_nothing_left();
    });
}

/// An agent that never answers, and one that never even accepts: the program waits, and can be killed and deleted.
#[test]
fn a_program_that_waits_for_an_answer_can_be_deleted() {
    if !has_python() {
        skip!("the agent needs python3");
    }
    once(|t| {
        for mode in ["mute", "deaf"] {
            let agent = Agent::start(t, &[mode]);
            let bundle = asking(t, &agent.socket, &["mkdir", "mkdirat"]);
            let container = t.container(bundle.sh("echo > /before; mkdir /new; echo > /after"));
            container.run_detached();
            eventually("the program runs", || container.bundle().rootfs("/before").exists());
            assert_eq!(container.status(), "running", "{mode}");
            assert!(!container.bundle().rootfs("/after").exists(), "{mode}");
            container.kill("KILL");
            container.wait_for("stopped");
            container.delete();
            t.assert_nothing_left();
        }
    });
}

/// Calls fail once the agent has ended, so that a program does not wait for ever.
#[test]
fn the_calls_do_not_exist_once_the_agent_has_ended() {
    if !has_python() {
        skip!("the agent needs python3");
    }
    once(|t| {
        let agent = Agent::start(t, &["quit"]);
        let bundle = asking(t, &agent.socket, &["mkdir", "mkdirat"]);
        let output = t.output_of(bundle.sh("mkdir /new 2>&1; true"));
        assert_eq!(output, "mkdir: can't create directory '/new': Function not implemented\n");
        agent.state();
        t.assert_nothing_left();
    });
}

/// The queue of the agent's socket is full: there is an end to the waiting, and an error.
#[test]
fn an_agent_whose_queue_is_full_fails_create() {
    if !has_python() {
        skip!("the agent needs python3");
    }
    once(|t| {
        let agent = Agent::start(t, &["full"]);
        eventually("the queue is full", || agent.state.exists());
        let container = t.container(asking(t, &agent.socket, &["mkdir"]).args(&["true"]));
        let output = container.command("create").fails(1);
        assert!(output.stderr().contains(agent.socket.to_str().unwrap()), "{output}");
        t.assert_nothing_left();
    });
}

/// With a listener the kernel refuses TSYNC, which has no meaning for one thread; the others are passed on.
#[test]
fn flags_beside_a_listener() {
    if !has_python() {
        skip!("the agent needs python3");
    }
    once(|t| {
        if t.differs("seccomp flags") {
            return;
        }
        let agent = Agent::start(t, &["errno", "123"]);
        let flags = ["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"];
        let flags: Vec<String> = flags.iter().map(|flag| format!("SECCOMP_FILTER_FLAG_{flag}")).collect();
        let bundle = asking(t, &agent.socket, &["mkdir", "mkdirat"]).set("/linux/seccomp/flags", json!(flags));
        let output = t.output_of(bundle.sh("mkdir /new 2>&1; true"));
        assert_eq!(output, "mkdir: can't create directory '/new': No medium found\n");
    });
}
