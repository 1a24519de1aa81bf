//! How the kernel treats the program: scheduler, I/O priority, memory policy, personality; read back from the kernel.

use corten_integration::{Bundle, Sandbox, on_every_view, once};
use serde_json::{Value, json};

/// A realtime thread needs a budget of its cgroup on version 1.
fn with_budget(bundle: Bundle) -> Bundle {
    bundle.set("/linux/resources/cpu", json!({"realtimePeriod": 1_000_000, "realtimeRuntime": 10_000}))
}

/// What `/proc/self/stat` of a program says: nice, static priority, policy (fields 19, 40 and 41 of proc(5)).
fn scheduling_of(t: &Sandbox, bundle: Bundle) -> [i64; 3] {
    scheduling_in(&t.output_of(bundle.args(&["cat", "/proc/self/stat"])))
}

fn scheduling_in(stat: &str) -> [i64; 3] {
    let fields: Vec<i64> =
        stat.rsplit(')').next().unwrap().split_whitespace().skip(1).map(|field| field.parse().unwrap_or(-1)).collect();
    [fields[15], fields[36], fields[37]]
}

#[test]
fn the_scheduler_is_the_one_of_the_configuration() {
    on_every_view(|t| {
        for (scheduler, expected) in [
            (json!({"policy": "SCHED_OTHER", "nice": 7}), [7, 0, 0]),
            (json!({"policy": "SCHED_OTHER", "nice": -5}), [-5, 0, 0]),
            (json!({"policy": "SCHED_FIFO", "priority": 2}), [0, 2, 1]),
            (json!({"policy": "SCHED_RR", "priority": 99}), [0, 99, 2]),
            (json!({"policy": "SCHED_BATCH", "nice": 3}), [3, 0, 3]),
            (json!({"policy": "SCHED_IDLE"}), [0, 0, 5]),
            (
                json!({"policy": "SCHED_DEADLINE", "runtime": 10_000_000, "deadline": 20_000_000, "period": 30_000_000}),
                [0, 0, 6],
            ),
        ] {
            let what = scheduler.to_string();
            // The program is executed without a fork, but for `run` a deadline thread may not fork at all.
            assert_eq!(
                scheduling_of(t, with_budget(t.bundle()).set("/process/scheduler", scheduler)),
                expected,
                "{what}"
            );
        }
    });
}

/// Of exec: the container's, or that of the process that it is given.
#[test]
fn a_program_that_is_added_has_a_scheduler_too() {
    on_every_view(|t| {
        let bundle = t.bundle().args(&["sleep", "1000"]);
        let container = t.container(bundle.set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 3})));
        container.run_detached();
        let own = t.command("exec", &[container.id(), "cat", "/proc/self/stat"]).ok().stdout();
        assert_eq!(scheduling_in(&own), [3, 0, 3]);
        let mut process = container.bundle().config["process"].clone();
        process["args"] = json!(["cat", "/proc/self/stat"]);
        process["scheduler"] = json!({"policy": "SCHED_OTHER", "nice": 9});
        let process = t.new_file(&process.to_string());
        let given = t.command("exec", &[container.id()]).option("--process").option(process).ok().stdout();
        assert_eq!(scheduling_in(&given), [9, 0, 0]);
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn a_scheduler_is_reset_on_fork_only_when_asked() {
    once(|t| {
        let scheduler = |flags: &[&str]| json!({"policy": "SCHED_RR", "priority": 1, "flags": flags});
        let script = "cut -d' ' -f41 /proc/self/stat; true"; // the last command would not be forked for
        let bundle = with_budget(t.bundle()).sh(script);
        assert_eq!(t.output_of(bundle.clone().set("/process/scheduler", scheduler(&[]))), "2\n");
        let reset = scheduler(&["SCHED_FLAG_RESET_ON_FORK"]);
        assert_eq!(t.output_of(bundle.set("/process/scheduler", reset)), "0\n");
    });
}

#[test]
fn the_io_priority_is_the_one_of_the_configuration() {
    once(|t| {
        for (class, level, printed) in [
            ("IOPRIO_CLASS_BE", 1, "best-effort: prio 1\n"),
            ("IOPRIO_CLASS_RT", 6, "realtime: prio 6\n"),
            ("IOPRIO_CLASS_IDLE", 0, "idle\n"),
        ] {
            let bundle = t.bundle().set("/process/ioPriority", json!({"class": class, "priority": level}));
            let seen = t.output_of(bundle.args(&["ionice", "-p", "1"]));
            let first = printed.trim_end();
            assert!(seen.starts_with(first), "{class} {level}: {seen}");
        }
    });
}

#[test]
fn the_personality_is_the_one_of_the_configuration() {
    once(|t| {
        let with = |domain: &str| t.bundle().set("/linux/personality", json!({ "domain": domain }));
        assert_eq!(t.output_of(with("LINUX32").args(&["cat", "/proc/self/personality"])), "00000008\n");
        assert_eq!(t.output_of(with("LINUX").args(&["cat", "/proc/self/personality"])), "00000000\n");
    });
}

#[test]
fn the_memory_policy_is_the_one_of_the_configuration() {
    on_every_view(|t| {
        for (policy, expected) in [
            (json!({"mode": "MPOL_BIND", "nodes": "0"}), "bind:0"),
            (json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}), "bind=static:0"),
            (json!({"mode": "MPOL_INTERLEAVE", "nodes": "0-0"}), "interleave:0"),
            (json!({"mode": "MPOL_PREFERRED", "nodes": "0"}), "prefer:0"),
            (json!({"mode": "MPOL_LOCAL"}), "local"),
            (json!({"mode": "MPOL_DEFAULT"}), "default"),
        ] {
            let what = policy.to_string();
            let bundle = t.bundle().set("/linux/memoryPolicy", policy);
            let maps = t.output_of(bundle.args(&["cat", "/proc/self/numa_maps"]));
            let seen = maps.lines().next().unwrap_or_default().split(' ').nth(1);
            assert_eq!(seen, Some(expected), "{what}: {maps}");
        }
    });
}

#[test]
fn what_the_kernel_refuses_is_named_and_leaves_nothing() {
    on_every_view(|t| {
        for (pointer, value, names) in [
            ("/process/scheduler", json!({"policy": "SCHED_FIFO"}), "process.scheduler"),
            ("/process/scheduler", json!({"policy": "SCHED_ISO"}), "process.scheduler"),
            ("/process/scheduler", json!({"policy": "SCHED_DEADLINE", "runtime": 5, "period": 1}), "process.scheduler"),
            (
                "/process/scheduler",
                json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_UTIL_CLAMP_MIN"]}),
                "process.scheduler",
            ),
            ("/process/scheduler", json!({"policy": "SCHED_OTHER", "nice": 40}), "process.scheduler.nice"),
            ("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 8}), "process.ioPriority.priority"),
            ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND"}), "linux.memoryPolicy"),
            ("/linux/memoryPolicy", json!({"mode": "MPOL_LOCAL", "nodes": "0"}), "linux.memoryPolicy"),
            ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "1000"}), "linux.memoryPolicy"),
            ("/linux/memoryPolicy", json!({"mode": "MPOL_SOME"}), "linux.memoryPolicy.mode"),
            ("/linux/personality", json!({"domain": "PLAN9"}), "linux.personality.domain"),
        ] {
            let what = format!("{pointer} {value}");
            let output = t.container(t.bundle().args(&["true"]).set(pointer, value)).command("create").fails(1);
            assert!(output.stderr().contains(names), "{what}: {output}");
            t.assert_nothing_left();
        }
    });
}

#[test]
fn a_user_namespace_has_no_right_to_a_realtime_scheduler() {
    once(|t| {
        let realtime: Value = json!({"policy": "SCHED_FIFO", "priority": 1});
        let bundle = t.bundle().user_namespace(100_000).set("/process/scheduler", realtime).args(&["true"]);
        let output = t.container(bundle).command("run").fails(1);
        assert!(output.stderr().contains("process.scheduler"), "{output}");
        t.assert_nothing_left();
        let nice = json!({"policy": "SCHED_BATCH", "nice": 5});
        let bundle = t.bundle().user_namespace(100_000).set("/process/scheduler", nice);
        assert_eq!(scheduling_of(t, bundle), [5, 0, 3]);
    });
}
