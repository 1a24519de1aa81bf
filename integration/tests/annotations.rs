//! Annotations: whatever they are, they come out of everything that tells the state.

use corten_integration::{Container, on_every_view};
use serde_json::{Value, json};
use std::path::Path;

const KINDS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

fn annotations() -> Value {
    json!({
        "org.example.key": "value",
        "org.example.empty": "",
        "with \"quotes\" and \\": "a\nline\tand \u{1} control",
        "ünïcode \u{1f980}": "näme",
        "io.kubernetes.cri.long": "x".repeat(20_000),
        "org.opencontainers.image.json": "{\"a\": [1, null]}",
    })
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))).unwrap()
}

fn listed(container: &Container<'_>, list: &str) -> Value {
    let list: Value = serde_json::from_str(list).unwrap();
    let entry = list.as_array().unwrap().iter().find(|entry| entry["id"] == container.id());
    entry.unwrap_or_else(|| panic!("{list}"))["annotations"].clone()
}

#[test]
fn annotations_pass_through_everywhere() {
    on_every_view(|t| {
        let log = t.new_directory();
        let mut bundle = t.bundle().bind(&log, log.to_str().unwrap(), &["rw"]).args(&["sleep", "1000"]);
        for kind in KINDS {
            let script = format!("cat > {}", log.join(kind).display());
            let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]});
            bundle = bundle.add(&format!("/hooks/{kind}"), hook);
        }
        let container = t.container(bundle.set("/annotations", annotations()));
        let told = |when: &str| {
            assert_eq!(container.state()["annotations"], annotations(), "{when}");
            let list = t.command("list", &[]).option("--format").option("json").ok().stdout();
            assert_eq!(listed(&container, &list), annotations(), "{when}");
        };
        container.create();
        told("created");
        container.start();
        told("running");
        t.command("exec", &[container.id(), "true"]).ok();
        told("after an exec");
        container.command("pause").ok();
        told("paused");
        container.command("resume").ok();
        container.kill("KILL");
        container.wait_for("stopped");
        told("stopped");
        container.delete();
        for kind in KINDS {
            assert_eq!(read(&log.join(kind))["annotations"], annotations(), "{kind}");
        }
    });
}
