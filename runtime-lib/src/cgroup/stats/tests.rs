use super::*;

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (file, text) in files {
        std::fs::write(directory.path().join(file), text).unwrap();
    }
    directory
}

#[test]
fn version_2_files_become_the_common_form() {
    let directory = directory(&[
        ("cpu.stat", "usage_usec 9\nuser_usec 4\nsystem_usec 5\nnr_periods 3\nnr_throttled 2\nthrottled_usec 1\n"),
        (
            "cpu.pressure",
            "some avg10=1.50 avg60=2.00 avg300=3.00 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.25 total=5\n",
        ),
        ("memory.stat", "anon 10\nfile 20\n"),
        ("memory.max", "max\n"),
        ("memory.current", "100\n"),
        ("memory.peak", "150\n"),
        ("memory.events", "low 0\nhigh 0\nmax 6\noom 1\noom_kill 1\n"),
        ("memory.swap.max", "0\n"),
        ("memory.swap.current", "11\n"),
        ("pids.current", "3\n"),
        ("pids.max", "8\n"),
        ("io.stat", "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n"),
        ("hugetlb.2MB.current", "4194304\n"),
        ("hugetlb.2MB.events", "max 2\n"),
        ("hugetlb.2MB.rsvd.current", "0\n"),
    ]);
    let mut stats = Stats::default();
    v2::read(&Source(directory.path()), &mut stats).unwrap();
    let usage = &stats.cpu.usage;
    assert_eq!((usage.total, usage.user, usage.kernel), (9_000, 4_000, 5_000));
    assert_eq!(stats.cpu.throttling, Throttling { periods: 3, throttled_periods: 2, throttled_time: 1_000 });
    let pressure = stats.cpu.pressure.as_ref().unwrap();
    assert_eq!((pressure.some.avg10, pressure.some.total, pressure.full.avg300), (1.5, 77, 0.25));
    assert_eq!(stats.memory.usage, MemoryUsage { limit: u64::MAX, usage: 100, max: 150, failures: 6 });
    assert_eq!((stats.memory.cache, stats.memory.swap.usage, stats.memory.swap.limit), (20, 111, u64::MAX));
    assert_eq!((stats.pids.current, stats.pids.limit), (3, 8));
    let bytes: Vec<_> =
        stats.block_io.bytes.iter().map(|e| (e.major, e.minor, e.operation.as_str(), e.value)).collect();
    assert_eq!(bytes, [(8, 16, "Read", 1), (8, 16, "Write", 2), (8, 16, "Discard", 5)]);
    assert_eq!(stats.hugetlb, [("2MB".to_owned(), HugePages { usage: 4_194_304, max: 0, failures: 2 })].into());
}

#[test]
fn version_1_files_become_the_common_form() {
    let directory = directory(&[
        ("cpuacct.stat", "user 2\nsystem 3\n"),
        ("cpuacct.usage", "70\n"),
        ("cpuacct.usage_percpu", "30 40 \n"),
        ("cpuacct.usage_all", "cpu user system\n0 10 20\n1 15 25\n"),
        ("cpuset.cpus", "0-2,5\n"),
        ("cpuset.sched_relax_domain_level", "-1\n"),
        ("memory.stat", "cache 5\nrss 6\n"),
        ("memory.limit_in_bytes", "9223372036854771712\n"),
        ("pids.max", "max\n"),
        ("blkio.throttle.io_serviced", "8:0 Read 1\n8:0 Total 1\nTotal 1\n"),
    ]);
    let mut stats = Stats::default();
    for controller in ["cpuacct", "cpuset", "memory", "pids", "blkio", "name=systemd"] {
        v1::read(controller, &Source(directory.path()), &mut stats).unwrap();
    }
    let usage = &stats.cpu.usage;
    assert_eq!((usage.user, usage.kernel, usage.total), (20_000_000, 30_000_000, 70));
    assert_eq!(
        (&*usage.by_cpu, &*usage.by_cpu_user, &*usage.by_cpu_kernel),
        (&[30, 40][..], &[10, 15][..], &[20, 25][..])
    );
    assert_eq!((stats.cpuset.cpus.as_slice(), stats.cpuset.sched_relax_domain_level), (&[0, 1, 2, 5][..], -1));
    assert_eq!((stats.memory.cache, stats.memory.usage.limit), (5, 9_223_372_036_854_771_712));
    assert_eq!((stats.pids.limit, stats.block_io.operations.len()), (0, 2));
}

#[test]
fn what_is_not_there_counts_nothing() {
    let directory = directory(&[]);
    let mut stats = Stats::default();
    v2::read(&Source(directory.path()), &mut stats).unwrap();
    assert_eq!(stats, Stats::default());
    let json = serde_json::to_value(&stats).unwrap();
    assert_eq!(json["cpu"], serde_json::json!({"usage": {"kernel": 0, "user": 0}, "throttling": {}}));
    assert_eq!(json["network_interfaces"], serde_json::Value::Null);
}
