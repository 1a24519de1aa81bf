//! events: statistics, the stream, and what is told when memory runs out.

use corten_integration::{Container, HostView, Running, Runtime, Sandbox, eventually, on_every_view, once, skip};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

fn stats(container: &Container<'_>) -> Value {
    let output = container.command("events").option("--stats").ok();
    let text = output.stdout();
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((line["type"].as_str(), line["id"].as_str()), (Some("stats"), Some(container.id())), "{text}");
    line["data"].clone()
}

fn on_version_1(test: impl FnOnce(&Sandbox)) {
    once(|t| match t.view().is_unified() {
        true => eprintln!("skipped: this machine's cgroups are version 2 only"),
        false if !t.hierarchy("memory").is_dir() => eprintln!("skipped: no memory controller of version 1"),
        false => test(t),
    });
}

#[test]
fn stats_have_runcs_fields() {
    on_every_view(|t| {
        let container = t.container(t.bundle().sh("sleep 1000 & wait"));
        container.run_detached();
        let data = stats(&container);
        let sections = ["blkio", "cpu", "cpuset", "hugetlb", "intel_rdt", "memory", "network_interfaces", "pids"];
        let mut found: Vec<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, sections);
        assert!(data["cpu"]["usage"]["kernel"].is_u64() && data["cpu"]["usage"]["user"].is_u64(), "{data}");
        assert!(data["cpu"]["throttling"].is_object() && data["network_interfaces"].is_null(), "{data}");
        for kind in ["usage", "swap", "kernel", "kernelTCP"] {
            let usage = &data["memory"][kind];
            assert!(usage["limit"].is_u64() && usage["failcnt"].is_u64(), "{kind}: {data}");
        }
        eventually("both processes count", || stats(&container)["pids"]["current"] == 2);
    });
}

/// The names of all members with the kinds of their values, but those of the kernel's own table and of the pressure, which
/// runc tells since 1.2.
fn members(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object.iter().filter(|(name, _)| *name != "raw" && *name != "psi") {
                members(value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| members(value, &format!("{path}[]"), found)),
        Value::Number(_) => drop(found.insert(format!("{path}: number"))),
        other => drop(found.insert(format!("{path}: {other}"))),
    }
}

/// Counters that are not zero are printed by both, so the container uses what it can for sure.
#[test]
fn stats_have_runcs_members_one_by_one() {
    if Runtime::from_environment() != Runtime::Corten || Command::new("runc").arg("--version").output().is_err() {
        skip!("compares corten with runc");
    }
    for view in HostView::available() {
        let [ours, runcs] = [Runtime::Corten, Runtime::Runc].map(|runtime| {
            let t = &Sandbox::of(view, runtime);
            let container = t.container(t.bundle().sh("while :; do :; done"));
            container.run_detached();
            let number = |value: &Value| value.as_u64().unwrap_or(0);
            eventually("it has used a while", || number(&stats(&container)["cpu"]["usage"]["total"]) > 100_000_000);
            let data = stats(&container);
            let mut found = BTreeSet::new();
            members(&data, "", &mut found);
            container.command("delete").option("--force").ok();
            t.forgive();
            // On a hybrid host runc does not look at version 2's hierarchy. Whether a disk was read is chance …
            found.retain(|name| !name.starts_with(".hugetlb") && !name.starts_with(".blkio"));
            // … as it is whether there is anything of these.
            for counter in [".cpu.usage.kernel", ".cpu.usage.user", ".memory.cache"] {
                found.remove(&format!("{counter}: number"));
            }
            found
        });
        assert!(ours.len() > 15, "{ours:?}");
        assert_eq!(ours, runcs, "{view:?}");
    }
}

#[test]
fn stats_are_what_the_kernel_counts() {
    on_version_1(|t| {
        let resources = json!({
            "devices": [{"allow": false, "access": "rwm"}],
            "memory": {"limit": 64 << 20}, "pids": {"limit": 50}, "cpu": {"quota": 10_000, "period": 100_000}
        });
        let bundle = t.bundle().set("/linux/resources", resources).sh("while :; do :; done");
        let container = t.container(bundle);
        container.run_detached();
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        eventually("it is throttled", || number(&stats(&container)["cpu"]["throttling"]["throttledPeriods"]) > 2);
        let before: u64 = container.cgroup_file("cpuacct", "cpuacct.usage").parse().unwrap();
        let data = stats(&container);
        let after: u64 = container.cgroup_file("cpuacct", "cpuacct.usage").parse().unwrap();
        assert!((before..=after).contains(&number(&data["cpu"]["usage"]["total"])), "{before} {after} {data}");
        assert!(number(&data["cpu"]["throttling"]["throttledTime"]) > 0, "{data}");
        assert_eq!(data["memory"]["usage"]["limit"], 64 << 20);
        assert_eq!(data["memory"]["raw"]["hierarchical_memory_limit"], 64 << 20);
        assert!(number(&data["memory"]["usage"]["max"]) >= number(&data["memory"]["usage"]["usage"]), "{data}");
        assert_eq!(data["pids"], json!({"current": 1, "limit": 50}));
        assert!(!data["cpuset"]["cpus"].as_array().unwrap().is_empty(), "{data}");
        let cpus = data["cpu"]["usage"]["percpu"].as_array().unwrap();
        assert!(cpus.iter().map(number).sum::<u64>() > 0, "{data}");
    });
}

#[test]
fn the_stream_tells_when_memory_runs_out_and_ends_with_the_container() {
    on_version_1(|t| {
        let memory = json!({"limit": 16 << 20, "swap": 16 << 20});
        // The shell outlives the memory hog, which asks to be the one that is killed: tail keeps the one line in memory.
        let script = "until [ -e /go/go ]; do sleep 0.05; done; head -c 64000000 /dev/zero | \
                      sh -c 'echo 1000 >/proc/self/oom_score_adj; exec tail -n 1' >/dev/null; \
                      echo survived; until [ -e /go/end ]; do sleep 0.05; done";
        let go = t.new_directory();
        let bundle = t.bundle().set("/linux/resources/memory", memory).bind(&go, "/go", &["ro"]).sh(script);
        let lines = |stream: &Running, kind: &str| {
            let text = stream.stdout();
            let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            whole.filter(|line| line["type"] == kind).count()
        };
        std::fs::write(go.join("go"), "").unwrap();
        let attempt = |_| {
            let container = t.container(bundle.clone());
            let output = container.create();
            let stream = container.command("events").option("--interval").option("100ms").spawn();
            eventually("statistics come", || stream.stdout().lines().count() > 1);
            container.start();
            eventually("it is told", || lines(&stream, "oom") > 0);
            // On a busy machine the kernel takes a second victim when the first one is slow to give its memory back.
            let gone = || container.status() == "stopped";
            eventually("the shell goes on or has gone too", || output.stdout().contains("survived") || gone());
            if !gone() {
                return Some((container, stream));
            }
            container.delete();
            stream.wait();
            None
        };
        let (container, stream) = (0..5).find_map(attempt).expect("the shell was killed five times");
        let told = lines(&stream, "stats");
        eventually("statistics go on", || lines(&stream, "stats") > told);
        std::fs::write(go.join("end"), "").unwrap();
        container.wait_for("stopped");
        if t.runtime() != Runtime::Corten {
            // runc's stream of version 1 ends when the cgroup is gone.
            container.delete();
        }
        assert_eq!(stream.wait().code(), 0);
    });
}

#[test]
fn the_stream_ends_with_the_container_on_every_view() {
    on_every_view(|t| {
        if t.runtime() != Runtime::Corten && t.view().is_unified() {
            eprintln!("runc and crun want a memory controller to watch");
            return;
        }
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.run_detached();
        let stream = container.command("events").option("--interval=50ms").spawn();
        eventually("statistics come", || stream.stdout().lines().count() > 1);
        container.kill("KILL");
        container.wait_for("stopped");
        container.delete();
        assert_eq!(stream.wait().code(), 0);
    });
}

#[test]
fn events_refuses_a_stopped_container_and_wrong_options() {
    on_every_view(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.run_detached();
        let failed = container.command("events").option("--interval").option("0s").fails(1);
        assert!(failed.stderr().contains("duration interval must be greater than 0"), "{failed}");
        let failed = container.command("events").option("--interval").option("5").fails(1);
        assert!(failed.stderr().contains("for flag -interval: parse error"), "{failed}");
        container.kill("KILL");
        container.wait_for("stopped");
        for option in ["--stats", "--interval=1s"] {
            let failed = container.command("events").option(option).fails(1);
            let message = format!("container with id {} is not running", container.id());
            assert!(failed.stderr().contains(&message), "{failed}");
        }
    });
}

/// OpenMetrics text 1.0: each family once, its lines together, every sample of a declared family, and the end mark.
fn check_open_metrics(text: &str) -> usize {
    let body = text.strip_suffix("# EOF\n").expect("the end mark");
    let (mut families, mut samples) = (Vec::new(), 0);
    for line in body.lines() {
        if let Some(declaration) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declaration.split_once(' ').unwrap();
            assert!(["gauge", "counter"].contains(&kind), "{line}");
            assert!(!families.iter().any(|(known, _)| *known == name), "{name} twice");
            families.push((name, kind));
            continue;
        }
        let (family, kind) = *families.last().expect("a type before anything else");
        if let Some(rest) = line.strip_prefix("# ") {
            let (keyword, rest) = rest.split_once(' ').unwrap();
            let (name, value) = rest.split_once(' ').unwrap();
            assert!(["UNIT", "HELP"].contains(&keyword) && name == family, "{line}");
            assert!(keyword != "UNIT" || name.ends_with(&format!("_{value}")), "{line}");
            continue;
        }
        let (name, rest) = line.split_once('{').unwrap();
        let expected = if kind == "counter" { format!("{family}_total") } else { family.to_owned() };
        assert_eq!(name, expected, "{line}");
        let (labels, value) = rest.split_once("} ").unwrap();
        assert!(labels.starts_with("id=\"") && labels.ends_with('"'), "{line}");
        assert!(value.parse::<f64>().unwrap() >= 0.0, "{line}");
        samples += 1;
    }
    samples
}

/// The number of samples that Prometheus's own parser finds; nothing where it is not installed.
fn samples_for_prometheus(text: &str) -> Option<usize> {
    const IMPORT: &str = "from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse";
    // That of the distribution has the packages of the distribution.
    let python = ["/usr/bin/python3", "python3"].into_iter().find(|python| {
        Command::new(python).args(["-c", IMPORT]).output().is_ok_and(|output| output.status.success())
    })?;
    let script = format!("import sys\n{IMPORT}\nprint(sum(len(family.samples) for family in parse(sys.argv[1])))");
    let output = Command::new(python).args(["-c", &script, text]).output().unwrap();
    assert!(output.status.success(), "{}{text}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).trim().parse().unwrap())
}

#[test]
fn stats_as_open_metrics() {
    on_every_view(|t| {
        if t.runtime() != Runtime::Corten {
            eprintln!("runc and crun have no such format");
            return;
        }
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.run_detached();
        let text = container.command("events").option("--stats").option("--format").option("prometheus").ok().stdout();
        let samples = check_open_metrics(&text);
        assert!(samples >= 12, "{text}");
        match samples_for_prometheus(&text) {
            Some(parsed) => assert_eq!(parsed, samples, "{text}"),
            None => eprintln!("skipped: python3-prometheus-client is not installed"),
        }
        assert!(text.contains(&format!("container_pids{{id=\"{}\"}} 1\n", container.id())), "{text}");
        container.command("events").option("--format=prometheus").fails(1);
        container.command("events").option("--stats").option("--format=xml").fails(1);
    });
}
