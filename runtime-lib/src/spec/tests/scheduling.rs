//! `scheduler`, `ioPriority`, `execCPUAffinity`, `personality` and `memoryPolicy`.

use super::{check, valid};
use serde_json::json;

#[test]
fn names_become_the_kernels_numbers() {
    let policies = ["OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE"];
    for (number, name) in (0..).zip(policies) {
        let spec = valid(&[("/process/scheduler", json!({"policy": format!("SCHED_{name}")}))]);
        assert_eq!(spec.process.scheduler.unwrap().policy, number, "{name}");
    }
    let flags =
        ["RESET_ON_FORK", "RECLAIM", "DL_OVERRUN", "KEEP_POLICY", "KEEP_PARAMS", "UTIL_CLAMP_MIN", "UTIL_CLAMP_MAX"];
    for (bit, name) in (0..).zip(flags) {
        let scheduler = json!({"policy": "SCHED_OTHER", "nice": -20, "flags": [format!("SCHED_FLAG_{name}")]});
        let scheduler = valid(&[("/process/scheduler", scheduler)]).process.scheduler.unwrap();
        assert_eq!((scheduler.flags, scheduler.nice), (1 << bit, -20), "{name}");
    }
    for (number, name) in (1..).zip(["RT", "BE", "IDLE"]) {
        let priority = json!({"class": format!("IOPRIO_CLASS_{name}"), "priority": 7});
        let priority = valid(&[("/process/ioPriority", priority)]).process.io_priority.unwrap();
        assert_eq!(priority.value, number << 13 | 7, "{name}");
    }
    for (number, name) in
        (0..).zip(["DEFAULT", "PREFERRED", "BIND", "INTERLEAVE", "LOCAL", "PREFERRED_MANY", "WEIGHTED_INTERLEAVE"])
    {
        let policy = json!({"mode": format!("MPOL_{name}"), "nodes": "0-1,64", "flags": ["MPOL_F_STATIC_NODES"]});
        let policy = valid(&[("/linux/memoryPolicy", policy)]).memory_policy.unwrap();
        assert_eq!((policy.mode, policy.nodes.unwrap().mask), (1 << 15 | number, vec![3, 1]), "{name}");
    }
    for (persona, domain) in [(0, "LINUX"), (8, "LINUX32")] {
        let spec = valid(&[("/linux/personality", json!({"domain": domain}))]);
        assert_eq!(spec.personality.unwrap().persona, persona);
    }
    let affinity = valid(&[("/process/execCPUAffinity", json!({"initial": "", "final": "0,2-3"}))]);
    let affinity = affinity.process.exec_cpu_affinity.unwrap();
    assert_eq!((affinity.initial, affinity.last.unwrap().mask), (None, vec![0b1101]));
}

#[test]
fn what_has_no_meaning_is_named() {
    for (value, fault) in [
        (json!({}), "process.scheduler.policy: is missing"),
        (json!({"policy": "SCHED_FOO"}), r#"process.scheduler.policy: unknown policy "SCHED_FOO""#),
        (json!({"policy": "SCHED_OTHER", "nice": 20}), "process.scheduler.nice: 20 is out of range -20-19"),
        (json!({"policy": "SCHED_FIFO", "priority": 100}), "process.scheduler.priority: 100 is out of range 0-99"),
        (
            json!({"policy": "SCHED_BATCH", "priority": 1}),
            "process.scheduler.priority: is only for the policies SCHED_FIFO and SCHED_RR",
        ),
        (
            json!({"policy": "SCHED_RR", "priority": 1, "runtime": 5}),
            "process.scheduler.runtime: is only for the policy SCHED_DEADLINE",
        ),
        (
            json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RECLAIM", "x"]}),
            r#"process.scheduler.flags[1]: unknown flag "x""#,
        ),
    ] {
        check(&[("/process/scheduler", value)], &[fault]);
    }
    let priority = json!({"class": "IOPRIO_CLASS_BE", "priority": 8});
    check(&[("/process/ioPriority", priority)], &["process.ioPriority.priority: 8 is out of range 0-7"]);
    for (text, why) in [
        ("a", r#""a" is not a list of numbers and ranges such as 0-3,7"#),
        ("1-", r#""1-" is not a list of numbers and ranges such as 0-3,7"#),
        ("1,,2", r#""1,,2" is not a list of numbers and ranges such as 0-3,7"#),
        ("+1", r#""+1" is not a list of numbers and ranges such as 0-3,7"#),
        ("99999999999", r#""99999999999" is not a list of numbers and ranges such as 0-3,7"#),
        ("3-1", r#""3-1" ends before it begins"#),
        ("0-8192", r#""0-8192" is too large"#),
    ] {
        let affinity = json!({"final": text});
        check(&[("/process/execCPUAffinity", affinity)], &[&format!("process.execCPUAffinity.final: {why}")]);
        let policy = json!({"mode": "MPOL_BIND", "nodes": text});
        check(&[("/linux/memoryPolicy", policy)], &[&format!("linux.memoryPolicy.nodes: {why}")]);
    }
    let personality = json!({"domain": "LINUX", "flags": ["x"]});
    check(&[("/linux/personality", personality)], &["linux.personality.flags: no flags are known"]);
}
