//! Version 2's counters.

use super::{BlockIoEntry, HugePages, MemoryUsage, Pressure, PressureTimes, Source, Stats};
use crate::error::Result;
use std::collections::BTreeMap;

pub(super) fn read(source: &Source<'_>, stats: &mut Stats) -> Result<()> {
    cpu(source, stats)?;
    memory(source, stats)?;
    stats.pids.current = pids(source)?;
    stats.pids.limit = Some(source.number("pids.max")?).filter(|&limit| limit != u64::MAX).unwrap_or(0);
    block_io(source, stats)?;
    huge_pages(source, stats)?;
    stats.cpu.pressure = pressure(source, "cpu.pressure")?;
    stats.memory.pressure = pressure(source, "memory.pressure")?;
    stats.block_io.pressure = pressure(source, "io.pressure")?;
    Ok(())
}

/// Without the pids controller the processes are counted, as runc does.
fn pids(source: &Source<'_>) -> Result<u64> {
    match source.text("pids.current")? {
        Some(text) => Ok(text.trim().parse().unwrap_or(0)),
        None => Ok(source.text("cgroup.procs")?.unwrap_or_default().lines().count() as u64),
    }
}

fn cpu(source: &Source<'_>, stats: &mut Stats) -> Result<()> {
    let table = source.table("cpu.stat")?.unwrap_or_default();
    let micros = |name: &str| of(&table, name).saturating_mul(1_000);
    let usage = &mut stats.cpu.usage;
    usage.total = micros("usage_usec");
    usage.user = micros("user_usec");
    usage.kernel = micros("system_usec");
    let throttling = &mut stats.cpu.throttling;
    throttling.periods = of(&table, "nr_periods");
    throttling.throttled_periods = of(&table, "nr_throttled");
    throttling.throttled_time = micros("throttled_usec");
    Ok(())
}

/// Version 1 counts memory and swap together, so that is what the common form has.
fn memory(source: &Source<'_>, stats: &mut Stats) -> Result<()> {
    let Some(raw) = source.table("memory.stat")? else { return Ok(()) };
    let events = source.table("memory.events")?.unwrap_or_default();
    let swap_events = source.table("memory.swap.events")?.unwrap_or_default();
    let memory = &mut stats.memory;
    memory.cache = of(&raw, "file");
    memory.raw = raw;
    memory.usage = MemoryUsage {
        limit: source.number("memory.max")?,
        usage: source.number("memory.current")?,
        max: source.number("memory.peak")?,
        failures: of(&events, "max"),
    };
    let limit = source.number("memory.swap.max")?;
    memory.swap = MemoryUsage {
        limit: limit.saturating_add(memory.usage.limit),
        usage: source.number("memory.swap.current")?.saturating_add(memory.usage.usage),
        max: 0,
        failures: of(&swap_events, "fail"),
    };
    Ok(())
}

/// Lines `MAJOR:MINOR KEY=NUMBER …`.
fn block_io(source: &Source<'_>, stats: &mut Stats) -> Result<()> {
    for line in source.text("io.stat")?.unwrap_or_default().lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (operation, list) = match key {
                "rbytes" => ("Read", &mut stats.block_io.bytes),
                "wbytes" => ("Write", &mut stats.block_io.bytes),
                "dbytes" => ("Discard", &mut stats.block_io.bytes),
                "rios" => ("Read", &mut stats.block_io.operations),
                "wios" => ("Write", &mut stats.block_io.operations),
                "dios" => ("Discard", &mut stats.block_io.operations),
                _ => continue,
            };
            let (operation, value) = (operation.to_owned(), value.parse().unwrap_or(0));
            list.push(BlockIoEntry { major, minor, operation, value });
        }
    }
    Ok(())
}

pub(super) fn huge_pages(source: &Source<'_>, stats: &mut Stats) -> Result<()> {
    for size in source.huge_page_sizes("current") {
        let events = source.table(&format!("hugetlb.{size}.events"))?.unwrap_or_default();
        let usage = source.number(&format!("hugetlb.{size}.current"))?;
        stats.hugetlb.insert(size, HugePages { usage, max: 0, failures: of(&events, "max") });
    }
    Ok(())
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`. A kernel may be told not to count.
fn pressure(source: &Source<'_>, file: &str) -> Result<Option<Pressure>> {
    let Some(text) = source.text(file)? else { return Ok(None) };
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let times = match words.next() {
            Some("some") => &mut pressure.some,
            Some("full") => &mut pressure.full,
            _ => continue,
        };
        *times = times_of(words);
    }
    Ok(Some(pressure))
}

fn times_of<'a>(words: impl Iterator<Item = &'a str>) -> PressureTimes {
    let mut times = PressureTimes::default();
    for (key, value) in words.filter_map(|word| word.split_once('=')) {
        match key {
            "avg10" => times.avg10 = value.parse().unwrap_or(0.0),
            "avg60" => times.avg60 = value.parse().unwrap_or(0.0),
            "avg300" => times.avg300 = value.parse().unwrap_or(0.0),
            "total" => times.total = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    times
}

fn of(table: &BTreeMap<String, u64>, name: &str) -> u64 {
    table.get(name).copied().unwrap_or(0)
}
