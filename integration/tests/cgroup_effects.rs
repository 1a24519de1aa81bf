//! Limits have an effect, on whichever version the machine has its controllers.

use corten_integration::{Bundle, Container, Output, Running, Sandbox, eventually, once, skip};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Where version 2 has no controllers, version 1 has them.
fn has(t: &Sandbox, controller: &str) -> bool {
    let text = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    match t.view().is_unified() {
        true => text.split_whitespace().any(|name| name == controller),
        false => t.hierarchy(if controller == "io" { "blkio" } else { controller }).is_dir(),
    }
}

/// Microseconds of processor time.
fn cpu_time(t: &Sandbox, container: &Container<'_>) -> u64 {
    if !t.view().is_unified() {
        return container.cgroup_file("cpuacct", "cpuacct.usage").parse::<u64>().unwrap() / 1000;
    }
    let stat = container.cgroup_file("cpu", "cpu.stat");
    stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap().parse().unwrap()
}

#[test]
fn a_quota_is_a_share_of_the_time_that_passes() {
    once(|t| {
        if !has(t, "cpu") {
            skip!("no cpu controller");
        }
        let busy = |quota: i64| {
            let cpu = json!({"quota": quota, "period": 100_000});
            let container = t.container(t.bundle().set("/linux/resources/cpu", cpu).sh("while :; do :; done"));
            container.run_detached();
            container
        };
        let (small, large) = (busy(5_000), busy(20_000));
        let mut ratio = 0.0;
        let begin = Instant::now();
        let (small_before, large_before) = (cpu_time(t, &small), cpu_time(t, &large));
        // On a busy machine neither may get what its quota allows, and where the machine itself is stopped for a while the kernel takes
        // that for time of whoever ran: it is owed then. Until the quotas decide.
        eventually("the quotas are what divides the time", || {
            let (small_now, large_now) = (cpu_time(t, &small) - small_before, cpu_time(t, &large) - large_before);
            let passed = begin.elapsed().as_micros() as f64;
            ratio = large_now as f64 / small_now.max(1) as f64;
            if passed < 2e6 {
                return false;
            }
            let within = small_now as f64 <= 0.075 * passed && large_now as f64 <= 0.30 * passed;
            within && (3.0..5.0).contains(&ratio)
        });
        eprintln!("0.20 to 0.05 of a processor: {ratio:.2} to 1 is used");
    });
}

#[test]
fn the_processors_of_a_cpuset_are_what_the_program_sees() {
    once(|t| {
        if !has(t, "cpuset") {
            skip!("no cpuset controller");
        }
        let last = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
        let last = last.trim().rsplit(['-', ',']).next().unwrap().to_owned();
        let bundle = t.bundle().set("/linux/resources/cpu", json!({"cpus": last, "mems": "0"}));
        let output = t.output_of(bundle.sh("grep -E 'Cpus_allowed_list|Mems_allowed_list' /proc/self/status; nproc"));
        assert_eq!(output, format!("Cpus_allowed_list:\t{last}\nMems_allowed_list:\t0\n1\n"));
    });
}

#[test]
fn the_limit_of_processes_is_reached() {
    once(|t| {
        if !has(t, "pids") {
            skip!("no pids controller");
        }
        let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo all started";
        let run = |limit: i64| {
            let bundle = t.bundle().set("/linux/resources/pids", json!({"limit": limit})).sh(script);
            t.container(bundle).command("run").run()
        };
        let (free, limited) = (run(100), run(8));
        assert!(free.stdout().contains("all started") && free.code() == 0, "{free}");
        assert!(!limited.stdout().contains("all started") && limited.code() != 0, "{limited}");
    });
}

/// The shell outlives the memory hog, which asks to be the one that is killed: tail keeps the one line in memory.
const HOG: &str = "until [ -e /go/go ]; do sleep 0.05; done; head -c 64000000 /dev/zero | \
    sh -c 'echo 1000 >/proc/self/oom_score_adj; exec tail -n 1' >/dev/null; \
    echo survived; until [ -e /go/end ]; do sleep 0.05; done";

fn hog(t: &Sandbox, resources: &[(&str, Value)]) -> Bundle {
    let set =
        |bundle: Bundle, (name, value): &(&str, Value)| bundle.set(&format!("/linux/resources/{name}"), value.clone());
    resources.iter().fold(t.bundle(), set).sh(HOG)
}

/// A container whose hog was killed and whose shell was not: on a busy machine the kernel takes a second victim when the first one
/// is slow to give its memory back.
fn until_it_survives<'t>(t: &'t Sandbox, bundle: &Bundle) -> (Container<'t>, Output, Running) {
    for _ in 0..5 {
        let container = t.container(bundle.clone());
        let output = container.create();
        let stream = container.command("events").option("--interval").option("100ms").spawn();
        eventually("statistics come", || stream.stdout().contains("stats"));
        container.start();
        eventually("it is told", || stream.stdout().contains(r#""type":"oom""#));
        eventually("the shell goes on or has gone too", || {
            output.stdout().contains("survived") || container.status() == "stopped"
        });
        if container.status() != "stopped" {
            return (container, output, stream);
        }
        container.delete();
        stream.wait();
    }
    panic!("the shell was killed five times");
}

#[test]
fn a_memory_hog_is_killed_and_told_of() {
    once(|t| {
        if !has(t, "memory") {
            skip!("no memory controller");
        }
        let go = t.new_directory();
        let bundle = hog(t, &[("memory", json!({"limit": 16 << 20, "swap": 16 << 20}))]).bind(&go, "/go", &["ro"]);
        std::fs::write(go.join("go"), "").unwrap();
        let (container, output, stream) = until_it_survives(t, &bundle);
        assert!(output.stdout().contains("survived"), "{output}");
        if t.view().is_unified() {
            let events = container.cgroup_file("memory", "memory.events");
            let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap();
            assert_ne!(kills, "0", "{events}");
        }
        std::fs::write(go.join("end"), "").unwrap();
        container.wait_for("stopped");
        container.delete();
        stream.wait();
    });
}

#[test]
fn with_oom_group_all_of_the_container_goes() {
    once(|t| {
        if !t.view().is_unified() || !has(t, "memory") {
            skip!("memory.oom.group is of version 2");
        }
        let go = t.new_directory();
        let memory = json!({"limit": 16 << 20, "swap": 16 << 20});
        let unified = json!({"memory.oom.group": "1"});
        let bundle = hog(t, &[("memory", memory), ("unified", unified)]).bind(&go, "/go", &["ro"]);
        let container = t.container(bundle);
        let output = container.run_detached();
        std::fs::write(go.join("go"), "").unwrap();
        container.wait_for("stopped");
        assert!(!output.stdout().contains("survived"), "{}", output.stdout());
    });
}

/// A block device that a file is behind.
struct Loop(String);

impl Loop {
    fn new(t: &Sandbox) -> Option<Loop> {
        let file = t.new_path("disk");
        std::fs::write(&file, vec![1u8; 4 << 20]).unwrap();
        let output = std::process::Command::new("losetup").args(["--show", "-f"]).arg(&file).output().ok()?;
        output.status.success().then(|| Loop(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = std::process::Command::new("losetup").args(["-d", &self.0]).status();
    }
}

#[test]
fn reading_is_throttled() {
    once(|t| {
        if !has(t, "io") {
            skip!("no io controller");
        }
        let Some(disk) = Loop::new(t) else { skip!("no loop device to be had") };
        let name = disk.0.trim_start_matches("/dev/");
        let number = std::fs::read_to_string(format!("/sys/block/{name}/dev")).unwrap();
        let (major, minor) = number.trim().split_once(':').unwrap();
        let (major, minor): (u64, u64) = (major.parse().unwrap(), minor.parse().unwrap());
        let read = |rate: u64| {
            let node = json!({"path": "/dev/disk", "type": "b", "major": major, "minor": minor});
            let rule = json!({"allow": true, "type": "b", "major": major, "minor": minor, "access": "r"});
            let limits = json!({"throttleReadBpsDevice": [{"major": major, "minor": minor, "rate": rate}]});
            // Not from the page cache.
            let dd = "dd if=/dev/disk of=/dev/null bs=65536 count=24 iflag=direct 2>/dev/null && echo done";
            let bundle = t.bundle().add("/linux/devices", node).add("/linux/resources/devices", rule);
            let container = t.container(bundle.set("/linux/resources/blockIO", limits).sh(dd));
            container.create();
            let begin = Instant::now();
            container.start();
            container.wait_for("stopped");
            begin.elapsed()
        };
        // 1.5 MiB at 512 KiB/s, of which the kernel may give the first slice at once.
        let limited = read(512 << 10);
        assert!(limited > Duration::from_secs(2), "{limited:?}");
        let free = read(1 << 30);
        eprintln!("1.5 MiB: {limited:?} at 512 KiB/s, {free:?} without a limit");
    });
}
