//! `exec` and `pause` at the same time. A program that comes into a frozen cgroup stops before its first step; whoever starts it
//! waits until the container is resumed, or ends. runc does the same.

use corten_integration::{Container, Invocation, Runtime, Sandbox, eventually, on_every_view, skip};
use std::process::{Child, Command, Stdio};

fn sleeping(t: &Sandbox) -> Container<'_> {
    let container = t.container(t.bundle().args(&["sleep", "1000"]));
    container.run_detached();
    container
}

fn exec<'t>(t: &'t Sandbox, container: &Container<'_>, args: &[&str]) -> Invocation<'t> {
    let operands: Vec<&str> = [container.id()].iter().chain(args).copied().collect();
    t.command("exec", &operands)
}

#[test]
fn a_paused_container_is_refused_unless_asked_for() {
    on_every_view(|t| {
        let container = sleeping(t);
        container.command("pause").ok();
        let output = exec(t, &container, &["true"]).fails(255);
        assert!(output.stderr().contains("cannot exec in a paused container"), "{output}");
        let running = exec(t, &container, &["echo", "thawed"]).option("--ignore-paused").spawn();
        container.command("resume").ok();
        assert_eq!(running.wait().stdout(), "thawed\n");
    });
}

#[test]
fn who_waits_for_a_resume_can_be_killed() {
    on_every_view(|t| {
        if t.runtime() != Runtime::Corten {
            return;
        }
        let container = sleeping(t);
        container.command("pause").ok();
        let running = exec(t, &container, &["sleep", "1001"]).option("--ignore-paused").spawn();
        // Before it has come so far, or after: it is the same.
        eventually("it has read what it is to do", || {
            std::fs::read_to_string(format!("/proc/{}/wchan", running.pid())).is_ok_and(|place| place != "0")
        });
        running.signal("KILL");
        assert_eq!(running.wait().code(), -9);
        container.command("resume").ok();
        // An init that was ready before it came into the frozen cgroup was let go: its program is one of the container's now.
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

/// An exec of `echo through`, which strace holds back for a while where it clones its init, after it has seen that the container
/// is not paused.
fn held_back(t: &Sandbox, container: &Container<'_>) -> Child {
    let log = t.new_path("strace");
    let mut words = t.prefix_of_view();
    words.extend(["strace", "-qq", "-e", "trace=clone3", "-e", "inject=clone3:delay_enter=3s", "-o"].map(String::from));
    words.push(log.display().to_string());
    words.push(t.runtime().program().display().to_string());
    words.extend(["--root".into(), t.state_root().display().to_string()]);
    words.extend(["exec", container.id(), "echo", "through"].map(String::from));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    eventually("it is about to clone", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("clone3(")));
    child
}

/// On every view: a container that is paused while an exec is held back. Of corten alone, it is about its own steps. On a machine
/// that is slower than the delay the pause comes later.
fn paused_before_the_clone(check: impl Fn(&Container<'_>, Child)) {
    on_every_view(|t| {
        if t.runtime() != Runtime::Corten || Command::new("strace").arg("-V").output().is_err() {
            skip!("it is about corten's steps, and needs strace");
        }
        let container = sleeping(t);
        let child = held_back(t, &container);
        container.command("pause").ok();
        check(&container, child);
        t.assert_nothing_left();
    });
}

#[test]
fn a_pause_that_comes_between_the_look_and_the_clone_holds_it_until_the_resume() {
    paused_before_the_clone(|container, child| {
        container.command("resume").ok();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "through\n", "{output:?}");
        container.command("delete").option("--force").ok();
    });
}

#[test]
fn a_container_that_is_deleted_meanwhile_ends_the_wait() {
    paused_before_the_clone(|container, child| {
        // The exec is in the frozen cgroup when the delay is over.
        std::thread::sleep(std::time::Duration::from_secs(4));
        container.command("delete").option("--force").ok();
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        // Where the machine is slow it ran before the pause, or had begun and was killed with the container.
        let ran = output.stdout == b"through\n" || output.status.code() == Some(137);
        assert!(ran || (output.status.code() == Some(255) && message.contains("exec failed: ")), "{output:?}");
    });
}
