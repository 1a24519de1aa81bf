//! Version 1's counters, by controller.

use super::{BlockIo, BlockIoEntry, HugePages, MemoryUsage, Source, Stats, numbers};
use crate::error::Result;

/// Nanoseconds in a tick of `USER_HZ`, in which the kernel tells times to programs; it is 100 on every architecture of ours.
const TICK: u64 = 10_000_000;

pub(super) fn read(controller: &str, source: &Source<'_>, stats: &mut Stats) -> Result<()> {
    match controller {
        "cpu" => cpu(source, stats),
        "cpuacct" => cpuacct(source, stats),
        "cpuset" => cpuset(source, stats),
        "memory" => memory(source, stats),
        "pids" => {
            stats.pids.current = source.number("pids.current")?;
            stats.pids.limit = Some(source.number("pids.max")?).filter(|&limit| limit != u64::MAX).unwrap_or(0);
            Ok(())
        }
        "blkio" => block_io(source, &mut stats.block_io),
        "hugetlb" => {
            for size in source.huge_page_sizes("usage_in_bytes") {
                let pages = HugePages {
                    usage: source.number(&format!("hugetlb.{size}.usage_in_bytes"))?,
                    max: source.number(&format!("hugetlb.{size}.max_usage_in_bytes"))?,
                    failures: source.number(&format!("hugetlb.{size}.failcnt"))?,
                };
                stats.hugetlb.insert(size, pages);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn cpu(source: &Source<'_>, stats: &mut Stats) -> Result<()> {
    let table = source.table("cpu.stat")?.unwrap_or_default();
    let of = |name: &str| table.get(name).copied().unwrap_or(0);
    let throttling = &mut stats.cpu.throttling;
    throttling.periods = of("nr_periods");
    throttling.throttled_periods = of("nr_throttled");
    throttling.throttled_time = of("throttled_time");
    Ok(())
}

fn cpuacct(source: &Source<'_>, stats: &mut Stats) -> Result<()> {
    let usage = &mut stats.cpu.usage;
    let table = source.table("cpuacct.stat")?.unwrap_or_default();
    usage.user = table.get("user").copied().unwrap_or(0).saturating_mul(TICK);
    usage.kernel = table.get("system").copied().unwrap_or(0).saturating_mul(TICK);
    usage.total = source.number("cpuacct.usage")?;
    let each = source.text("cpuacct.usage_percpu")?.unwrap_or_default();
    usage.by_cpu = each.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    // A header, then CPU, user and system for each.
    for line in source.text("cpuacct.usage_all")?.unwrap_or_default().lines().skip(1) {
        let mut fields = line.split_whitespace().skip(1).map(|number| number.parse().unwrap_or(0));
        usage.by_cpu_user.push(fields.next().unwrap_or(0));
        usage.by_cpu_kernel.push(fields.next().unwrap_or(0));
    }
    Ok(())
}

fn cpuset(source: &Source<'_>, stats: &mut Stats) -> Result<()> {
    let set = &mut stats.cpuset;
    set.cpus = numbers(&source.text("cpuset.cpus")?.unwrap_or_default());
    set.mems = numbers(&source.text("cpuset.mems")?.unwrap_or_default());
    for (file, value) in [
        ("cpu_exclusive", &mut set.cpu_exclusive),
        ("mem_hardwall", &mut set.mem_hardwall),
        ("mem_exclusive", &mut set.mem_exclusive),
        ("memory_migrate", &mut set.memory_migrate),
        ("memory_spread_page", &mut set.memory_spread_page),
        ("memory_spread_slab", &mut set.memory_spread_slab),
        ("memory_pressure", &mut set.memory_pressure),
        ("sched_load_balance", &mut set.sched_load_balance),
    ] {
        *value = source.number(&format!("cpuset.{file}"))?;
    }
    let level = source.text("cpuset.sched_relax_domain_level")?.unwrap_or_default();
    set.sched_relax_domain_level = level.trim().parse().unwrap_or(0);
    Ok(())
}

fn memory(source: &Source<'_>, stats: &mut Stats) -> Result<()> {
    let memory = &mut stats.memory;
    memory.raw = source.table("memory.stat")?.unwrap_or_default();
    memory.cache = memory.raw.get("cache").copied().unwrap_or(0);
    for (prefix, usage) in [
        ("memory", &mut memory.usage),
        ("memory.memsw", &mut memory.swap),
        ("memory.kmem", &mut memory.kernel),
        ("memory.kmem.tcp", &mut memory.kernel_tcp),
    ] {
        *usage = MemoryUsage {
            limit: source.number(&format!("{prefix}.limit_in_bytes"))?,
            usage: source.number(&format!("{prefix}.usage_in_bytes"))?,
            max: source.number(&format!("{prefix}.max_usage_in_bytes"))?,
            failures: source.number(&format!("{prefix}.failcnt"))?,
        };
    }
    Ok(())
}

/// Which files count depends on the scheduler: BFQ, the CFQ of older kernels, or none, where the throttling does.
fn block_io(source: &Source<'_>, block_io: &mut BlockIo) -> Result<()> {
    let schedulers = ["blkio.bfq.", "blkio."];
    for prefix in schedulers {
        let operations = entries(source, &format!("{prefix}io_serviced_recursive"))?;
        if operations.is_empty() {
            continue;
        }
        block_io.operations = operations;
        for (file, list) in [
            ("io_service_bytes_recursive", &mut block_io.bytes),
            ("io_queued_recursive", &mut block_io.queued),
            ("io_service_time_recursive", &mut block_io.service_time),
            ("io_wait_time_recursive", &mut block_io.wait_time),
            ("io_merged_recursive", &mut block_io.merged),
            ("time_recursive", &mut block_io.time),
            ("sectors_recursive", &mut block_io.sectors),
        ] {
            *list = entries(source, &format!("{prefix}{file}"))?;
        }
        return Ok(());
    }
    for (file, list) in [("io_service_bytes", &mut block_io.bytes), ("io_serviced", &mut block_io.operations)] {
        *list = entries(source, &format!("blkio.throttle.{file}_recursive"))?;
        if list.is_empty() {
            *list = entries(source, &format!("blkio.throttle.{file}"))?;
        }
    }
    Ok(())
}

/// Lines `MAJOR:MINOR OPERATION NUMBER` or `MAJOR:MINOR NUMBER`; the last line, a total of all devices, is left out.
fn entries(source: &Source<'_>, file: &str) -> Result<Vec<BlockIoEntry>> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let (first, second) = (words.next()?, words.next());
        let (operation, value) = second.map_or(("", first), |value| (first, value));
        Some(BlockIoEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            operation: operation.to_owned(),
            value: value.parse().ok()?,
        })
    };
    Ok(source.text(file)?.unwrap_or_default().lines().filter_map(entry).collect())
}
