//! pause, resume and ps; and that a paused container can be killed and deleted.

use corten_integration::{Container, Sandbox, eventually, on_every_view};

/// The controller that freezes.
const FREEZER: &str = "freezer";

/// Whether the kernel has stopped the container's processes.
fn is_frozen(t: &Sandbox, container: &Container<'_>) -> bool {
    match t.view().is_unified() {
        true => container.cgroup_file(FREEZER, "cgroup.events").lines().any(|line| line == "frozen 1"),
        false => container.cgroup_file(FREEZER, "freezer.state") == "FROZEN",
    }
}

/// Asks the kernel itself to freeze or to thaw, as a pause does that is killed before it saw the outcome.
fn ask(t: &Sandbox, container: &Container<'_>) {
    let (file, value) = if t.view().is_unified() { ("cgroup.freeze", "1") } else { ("freezer.state", "FROZEN") };
    std::fs::write(container.cgroup(FREEZER).join(file), value).unwrap();
}

/// A container whose program counts.
fn counting(t: &Sandbox) -> Container<'_> {
    t.container(t.bundle().sh("while :; do echo .; sleep 0.02; done"))
}

#[test]
fn a_paused_container_stands_still_until_it_is_resumed() {
    on_every_view(|t| {
        let container = counting(t);
        let output = container.run_detached();
        eventually("it counts", || !output.stdout().is_empty());
        container.command("pause").ok();
        assert!(is_frozen(t, &container));
        assert_eq!(container.status(), "paused");
        let reached = output.stdout().len();
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(output.stdout().len(), reached);
        container.command("resume").ok();
        assert_eq!(container.status(), "running");
        eventually("it counts on", || output.stdout().len() > reached);
    });
}

#[test]
fn pause_and_resume_refuse_what_is_not_running_or_not_paused() {
    on_every_view(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.run_detached();
        assert!(container.command("resume").fails(1).stderr().contains("container not paused"));
        container.command("pause").ok();
        assert!(container.command("pause").fails(1).stderr().contains("container not running"));
        container.command("resume").ok();
        container.kill("KILL");
        container.wait_for("stopped");
        assert!(container.command("pause").fails(1).stderr().contains("container not running"));
        assert!(container.command("resume").fails(1).stderr().contains("container not paused"));
    });
}

#[test]
fn a_paused_container_can_be_killed_and_deleted() {
    on_every_view(|t| {
        for delete in [false, true] {
            let container = t.container(t.bundle().args(&["sleep", "1000"]));
            container.run_detached();
            container.command("pause").ok();
            if delete {
                container.command("delete").fails(1);
                container.command("delete").option("--force").ok();
            } else {
                container.kill("KILL");
                container.wait_for("stopped");
                container.delete();
            }
            t.assert_nothing_left();
        }
    });
}

#[test]
fn a_paused_container_without_a_pid_namespace_can_be_killed_and_deleted() {
    on_every_view(|t| {
        if t.view().is_unified() && t.differs("delete --force removes a shared-pid cgroup on v2") {
            return;
        }
        for delete in [false, true] {
            let bundle = t.bundle().without_namespace("pid").sh("sleep 1000 & sleep 1000 & echo ready; wait");
            let container = t.container(bundle);
            let output = container.run_detached();
            eventually("it runs", || output.stdout().contains("ready"));
            container.command("pause").ok();
            if delete {
                container.command("delete").option("--force").ok();
            } else {
                t.command("kill", &[container.id(), "KILL"]).option("--all").ok();
                container.wait_for("stopped");
                eventually("it can be deleted", || container.command("delete").run().code() == 0);
            }
            t.assert_nothing_left();
        }
    });
}

#[test]
fn a_pause_that_was_killed_half_way_is_no_obstacle_to_delete() {
    on_every_view(|t| {
        // Frozen by the kernel's file alone; in a race the kernel may say FREEZING for long.
        let container = counting(t);
        container.run_detached();
        ask(t, &container);
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn a_container_in_a_cgroup_of_its_own_making_is_paused_listed_killed_and_deleted() {
    on_every_view(|t| {
        let subdirectory = if t.view().is_unified() { "." } else { "freezer" };
        let script = "mkdir /sys/fs/cgroup/$SUB/inner && echo 0 >/sys/fs/cgroup/$SUB/inner/cgroup.procs && echo moved; \
                      while :; do echo .; sleep 0.02; done";
        let mut bundle = t.bundle().namespace("cgroup", "").env(&format!("SUB={subdirectory}")).sh(script);
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
        cgroup["options"] = serde_json::json!(["nosuid", "noexec", "nodev", "relatime", "rw"]);
        let container = t.container(bundle);
        let output = container.run_detached();
        eventually("it moved and counts", || output.stdout().contains("moved\n."));
        let listed = container.command("ps").option("--format").option("json").ok().stdout();
        assert!(listed.contains(&container.pid().to_string()), "{listed}");
        container.command("pause").ok();
        let reached = output.stdout().len();
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(output.stdout().len(), reached);
        container.command("resume").ok();
        eventually("it counts on", || output.stdout().len() > reached);
        container.command("pause").ok();
        container.kill("KILL");
        container.wait_for("stopped");
        container.delete();
        t.assert_nothing_left();
    });
}

#[test]
fn ps_lists_the_containers_processes() {
    on_every_view(|t| {
        let container = t.container(t.bundle().sh("sleep 1000 & echo ready; wait"));
        let output = container.run_detached();
        eventually("it runs", || output.stdout().contains("ready"));
        let json = container.command("ps").option("--format").option("json").ok().stdout();
        let pids: Vec<i64> = serde_json::from_str(&json).unwrap();
        assert_eq!(pids.len(), 2, "{json}");
        assert!(pids.contains(&container.pid()) && json.ends_with("]\n"), "{json}");

        let table = container.command("ps").ok().stdout();
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines.len() == 3 && lines[0].contains("PID") && lines[2].contains("sleep 1000"), "{table}");
        let own = t.command("ps", &[container.id(), "-o", "pid,args", "-e"]).ok().stdout();
        let words: Vec<&str> = own.lines().next().unwrap().split_whitespace().collect();
        assert_eq!((words, own.lines().count()), (vec!["PID", "COMMAND"], 3), "{own}");

        let failed = t.command("ps", &[container.id(), "-e", "-o", "args"]).fails(1);
        assert!(failed.stderr().contains("couldn't find PID field in ps output"), "{failed}");
        let failed = container.command("ps").option("--format").option("xml").fails(1);
        assert!(failed.stderr().contains("invalid format option"), "{failed}");
        container.kill("KILL");
        container.wait_for("stopped");
        assert_eq!(container.command("ps").option("-f").option("json").ok().stdout(), "null\n");
    });
}
