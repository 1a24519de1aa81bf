//! `linux.intelRdt` on a machine without the resctrl file system. What it does on one that has it is tested in the library, on a
//! directory that is laid out like one.

use corten_integration::{Sandbox, on_every_view, once};
use serde_json::{Value, json};
use std::path::Path;

fn is_there() -> bool {
    Path::new("/sys/fs/resctrl/schemata").exists()
}

fn check(t: &Sandbox, rdt: Value, expected: &str) {
    let container = t.container(t.bundle().set("/linux/intelRdt", rdt.clone()).args(&["true"]));
    for verb in ["create", "run"] {
        let output = container.command(verb).fails(1);
        assert!(output.stderr().contains(expected), "{rdt}: {output}");
        let named = output.stderr().contains("linux.intelRdt");
        assert!(named || t.differs("names of elements"), "{rdt}: {output}");
        t.assert_nothing_left();
    }
}

#[test]
fn it_is_refused_where_the_machine_has_none() {
    if is_there() {
        corten_integration::skip!("this machine has Intel RDT");
    }
    on_every_view(|t| {
        let l3 = "intelRdt.l3CacheSchema is specified in config, but Intel RDT/CAT is not enabled";
        let bandwidth = "intelRdt.memBwSchema is specified in config, but Intel RDT/MBA is not enabled";
        check(t, json!({"l3CacheSchema": "L3:0=f"}), l3);
        check(t, json!({"memBwSchema": "MB:0=50"}), bandwidth);
        check(t, json!({"closID": "gold", "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=50"}), l3);
        check(t, json!({"closID": "a/b", "l3CacheSchema": "L3:0=f"}), "invalid intelRdt.ClosID");
        if !t.differs("intelRdt without schemas") {
            let expected = "intelRdt is specified in config, but Intel RDT is not supported or enabled";
            check(t, json!({}), expected);
            check(t, json!({"closID": "gold"}), expected);
        }
    });
}

#[test]
fn update_says_what_is_not_enabled_and_changes_nothing() {
    if is_there() {
        corten_integration::skip!("this machine has Intel RDT");
    }
    once(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.run_detached();
        let shares = || std::fs::read_to_string(container.cgroup("cpu").join("cpu.shares")).unwrap_or_default();
        let before = shares();
        for (option, value, expected) in [
            ("--l3-cache-schema", "L3:0=f", "Intel RDT/CAT: l3 cache schema is not enabled"),
            ("--mem-bw-schema", "MB:0=50", "Intel RDT/MBA: memory bandwidth schema is not enabled"),
        ] {
            let output = container.command("update").option("--cpu-share").option("77").option(option).option(value);
            let output = output.fails(1);
            assert!(output.stderr().contains(expected), "{output}");
            assert_eq!(shares(), before);
            container.command("update").option("--cpu-share").option("0").option(option).option("").ok();
        }
        let stats = container.command("events").option("--stats").ok().stdout();
        let stats: Value = serde_json::from_str(&stats).unwrap();
        assert_eq!(stats["data"]["intel_rdt"], json!({}));
    });
}
