//! What cgroups cost `run` in system calls on version 2, as strace(1) counts them: mkdir, clone and rmdir are the floor.

use corten_integration::{Bundle, HostView, Runtime, Sandbox, skip};
use serde_json::json;
use std::collections::BTreeSet;

/// The calls of the process that was traced first, each on one line.
fn calls_of_the_first(trace: &str) -> Vec<String> {
    let first = trace.split_whitespace().next().unwrap();
    let (mut calls, mut begun) = (Vec::new(), String::new());
    for line in trace.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if pid != first {
            continue;
        }
        if let Some(beginning) = call.strip_suffix(" <unfinished ...>") {
            beginning.clone_into(&mut begun);
        } else if let Some((_, rest)) = call.split_once(" resumed>").filter(|_| call.starts_with("<...")) {
            calls.push(std::mem::take(&mut begun) + rest);
        } else {
            calls.push(call.to_owned());
        }
    }
    calls
}

/// The calls of the runtime itself (not of the init) that have to do with cgroups: those with a path there, and those on
/// descriptors that came from one.
fn cgroup_calls(trace: &str) -> Vec<String> {
    let (mut open, mut found) = (BTreeSet::new(), Vec::new());
    for call in calls_of_the_first(trace) {
        if call.starts_with("fcntl(") {
            continue; // the standard library asks in debug builds whether a descriptor is one
        }
        let first = call.split_once('(').map_or("", |(_, rest)| rest);
        let descriptor = first.split([',', ')', ' ']).next().unwrap_or_default().trim().to_owned();
        let is_path =
            ["/sys/fs/cgroup", "/proc/self/cgroup", "/proc/self/mountinfo"].iter().any(|path| call.contains(path));
        if is_path && !call.starts_with("execve") || call.contains("CLONE_INTO_CGROUP") {
            found.push(call.clone());
        } else if open.contains(&descriptor) {
            found.push(call.clone());
            if call.starts_with("close(") {
                open.remove(&descriptor);
            }
        }
        if is_path && call.starts_with("openat(") {
            open.extend(call.rsplit_once("= ").map(|(_, number)| number.trim().to_owned()));
        }
    }
    found
}

/// The calls of a `run`.
fn calls(t: &Sandbox, bundle: Bundle) -> Option<Vec<String>> {
    let container = t.container(bundle.set("/linux/resources/devices", json!([{"allow": true, "access": "rwm"}])));
    let trace = t.new_path("trace");
    let mut words = t.prefix_of_view();
    words.extend(["strace", "-f", "-s", "128", "-o"].map(String::from));
    words.extend([trace.display().to_string(), t.runtime().program().display().to_string()]);
    words.extend(["--root".to_owned(), t.state_root().display().to_string(), "run".to_owned(), "--bundle".to_owned()]);
    words.extend([container.bundle().path().display().to_string(), container.id().to_owned()]);
    let output = std::process::Command::new(&words[0]).args(&words[1..]).output().unwrap();
    let text = std::fs::read_to_string(&trace).ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // It grows with the host; neither the runtime nor its init looks at it.
    assert!(!text.contains("mountinfo"), "{text}");
    Some(cgroup_calls(&text))
}

/// The number of system calls of a command and all that it starts.
fn calls_in_all(t: &Sandbox, words_after_root: &[&str]) -> Option<usize> {
    let trace = t.new_path("trace");
    let mut words = t.prefix_of_view();
    words.extend(["strace", "-f", "-o"].map(String::from));
    words.extend([trace.display().to_string(), t.runtime().program().display().to_string()]);
    words.extend(["--root".to_owned(), t.state_root().display().to_string()]);
    words.extend(words_after_root.iter().map(|word| (*word).to_owned()));
    let output = std::process::Command::new(&words[0]).args(&words[1..]).output().unwrap();
    let text = std::fs::read_to_string(&trace).ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Of a call that others interrupt there are two lines.
    Some(text.lines().filter(|line| !line.contains(" resumed>")).count())
}

/// Beside 6, 12 and 18 others: each costs `list` the same, and `state` and `ps` nothing. What calls cannot tell is timed by
/// `just many`, for a thousand.
#[test]
fn list_costs_the_same_for_each_container_and_state_and_ps_nothing_for_others() {
    if Runtime::from_environment() != Runtime::Corten {
        skip!("a promise of corten's");
    }
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        skip!("strace is not installed");
    }
    let t = &Sandbox::new(HostView::available()[0]);
    let mut containers = Vec::new();
    let mut counted = Vec::new();
    for _ in 0..3 {
        for _ in 0..6 {
            let container = t.container(t.bundle().args(&["sleep", "1000"]));
            container.create();
            containers.push(container);
        }
        let of = containers[0].id();
        let verbs = [vec!["list"], vec!["state", of], vec!["ps", of]];
        let calls: Option<Vec<usize>> = verbs.iter().map(|words| calls_in_all(t, words)).collect();
        let Some(calls) = calls else { skip!("strace may not trace here") };
        counted.push(calls);
    }
    let growth = |verb: usize| (counted[1][verb] - counted[0][verb], counted[2][verb] - counted[1][verb]);
    let (first, second) = growth(0);
    // The pieces in which a listing is read and printed are rounded.
    assert!(first >= 6 && first.abs_diff(second) <= 3, "list: {counted:?}");
    for (verb, name) in [(1, "state"), (2, "ps")] {
        let all: Vec<usize> = counted.iter().map(|calls| calls[verb]).collect();
        assert!(all.iter().max().unwrap() - all.iter().min().unwrap() <= 3, "{name}: {counted:?}");
    }
}

#[test]
fn three_calls_above_the_floor_and_three_for_each_limit() {
    if Runtime::from_environment() != Runtime::Corten {
        skip!("a promise of corten's");
    }
    let Some(view) = HostView::available().into_iter().find(|view| view.is_unified()) else { skip!("no version 2") };
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        skip!("strace is not installed");
    }
    let t = &Sandbox::new(view);
    let Some(none) = calls(t, t.bundle().args(&["true"])) else { skip!("strace may not trace here") };
    for floor in ["mkdir", "clone3", "rmdir"] {
        assert_eq!(none.iter().filter(|call| call.starts_with(floor)).count(), 1, "{floor}: {none:#?}");
    }
    assert!(none.len() <= 3 + 3, "{none:#?}");
    // These need no controller, which the version 2 view of a hybrid machine does not have.
    let limits = json!({"cgroup.max.depth": "5", "cgroup.max.descendants": "9"});
    let limited = calls(t, t.bundle().args(&["true"]).set("/linux/resources/unified", limits)).unwrap();
    assert_eq!(limited.len(), none.len() + 2 * 3, "{limited:#?}");
    t.assert_nothing_left();
}
