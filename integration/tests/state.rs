//! What `state` and `list` tell.

use corten_integration::{Runtime, assert_valid, on_every_view, once};
use serde_json::{Value, json};

#[test]
fn state_prints_runcs_fields() {
    on_every_view(|t| {
        let bundle =
            t.bundle().args(&["sleep", "1000"]).set("/annotations", json!({"org.example.key": "value", "b": ""}));
        let container = t.container(bundle);
        container.create();
        let state = container.state();
        let path = container.bundle().path().to_str().unwrap();
        assert_eq!(state["id"], container.id());
        assert_eq!(state["status"], "created");
        assert_eq!(state["bundle"], path);
        assert_eq!(state["rootfs"], format!("{path}/rootfs"));
        assert_eq!(state["annotations"], json!({"org.example.key": "value", "b": ""}));
        assert!(state["pid"].as_i64().unwrap() > 0);
        assert!(state["ociVersion"].as_str().unwrap().starts_with("1."), "{state}");
        let created = state["created"].as_str().unwrap();
        assert!(created.starts_with("20") && created.ends_with('Z') && created.contains('T'), "{created}");
        let environment = std::fs::metadata(container.proc_file("ns/mnt"));
        assert!(environment.is_ok(), "pid is in the caller's pid namespace");
    });
}

#[test]
fn state_is_valid_by_the_schema_in_every_status() {
    on_every_view(|t| {
        let seen = t.new_path("creating");
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", format!("cat > {}", seen.display())]});
        let bundle = t.bundle().args(&["sleep", "1000"]).set("/hooks/createRuntime", json!([hook]));
        let container = t.container(bundle.set("/annotations", json!({"a": "b"})));
        let valid = |status: &str| {
            container.wait_for(status);
            assert_valid(&container.state(), "state-schema.json");
        };
        container.create();
        let creating = serde_json::from_slice(&std::fs::read(seen).unwrap()).unwrap();
        assert_valid(&creating, "state-schema.json");
        valid("created");
        container.start();
        valid("running");
        // Of runc's state, engines read `paused` as well, which the specification leaves to the runtime.
        container.command("pause").ok();
        assert_eq!(container.status(), "paused");
        container.command("resume").ok();
        container.kill("KILL");
        valid("stopped");
    });
}

#[test]
fn the_pid_of_a_stopped_container_is_zero() {
    on_every_view(|t| {
        let container = t.container(t.bundle().args(&["true"]));
        container.run_detached();
        container.wait_for("stopped");
        assert_eq!(container.pid(), 0);
    });
}

#[test]
fn state_of_an_unknown_container() {
    once(|t| {
        let output = t.command("state", &["nobody-knows-me"]).fails(1);
        assert!(output.stderr().contains("does not exist"), "{output}");
        assert_eq!(output.stdout(), "");
    });
}

#[test]
fn list_in_its_three_forms() {
    on_every_view(|t| {
        assert_eq!(t.command("list", &[]).option("-q").ok().stdout(), "");
        let (first, second) =
            (t.container(t.bundle().args(&["sleep", "1000"])), t.container(t.bundle().args(&["true"])));
        first.create();
        second.run_detached();
        second.wait_for("stopped");

        let quiet = t.command("list", &[]).option("-q").ok().stdout();
        let mut ids: Vec<&str> = quiet.lines().collect();
        ids.sort_unstable();
        assert_eq!(ids, [first.id(), second.id()]);

        let table = t.command("list", &[]).ok().stdout();
        let mut lines = table.lines();
        let header: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
        assert_eq!(&header[..4], ["ID", "PID", "STATUS", "BUNDLE"]);
        let line = lines.find(|line| line.starts_with(first.id())).unwrap();
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells[1], first.pid().to_string());
        assert_eq!(cells[2], "created");
        assert_eq!(cells[3], first.bundle().path().to_str().unwrap());

        let list: Value =
            serde_json::from_str(&t.command("list", &[]).option("--format").option("json").ok().stdout()).unwrap();
        let entry = list.as_array().unwrap().iter().find(|entry| entry["id"] == second.id()).unwrap();
        assert_eq!((&entry["status"], &entry["pid"]), (&json!("stopped"), &json!(0)));
        assert_eq!(entry["bundle"], second.bundle().path().to_str().unwrap());
    });
}

#[test]
fn an_empty_list_in_json() {
    once(|t| {
        let output = t.command("list", &[]).option("-f").option("json").ok();
        let expected = if t.runtime() == Runtime::Crun { "[]" } else { "null" };
        assert_eq!(output.stdout().trim(), expected);
    });
}
