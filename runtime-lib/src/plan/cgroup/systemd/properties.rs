//! Limits and device rules as properties of a unit.

use super::Value;
use crate::plan::cgroup::{CgroupWrite, DevicePolicy, DeviceRule, DeviceType, IfAbsent};
use std::collections::BTreeMap;

/// No limit, in every property that is a number.
const UNLIMITED: u64 = u64::MAX;

/// The `CPUWeight` of an idle group, which systemd knows since version 252.
pub(crate) const IDLE: u64 = 0;

/// The properties that correspond to what is written by file. A later write of a file replaces an earlier one, of a file with a
/// line for each device that of the same device.
pub fn properties_of(writes: &[CgroupWrite]) -> Vec<(String, Value)> {
    let mut properties = BTreeMap::new();
    for write in writes {
        let number = |text: &str| if text == "max" { Some(UNLIMITED) } else { text.trim().parse().ok() };
        let plain = |name: &'static str, value: &str| number(value).map(|value| vec![(name, Value::U64(value))]);
        let found = match write.file.as_str() {
            "memory.max" => plain("MemoryMax", &write.value),
            "memory.high" => plain("MemoryHigh", &write.value),
            "memory.low" => plain("MemoryLow", &write.value),
            "memory.min" => plain("MemoryMin", &write.value),
            "memory.swap.max" => plain("MemorySwapMax", &write.value),
            "pids.max" => plain("TasksMax", &write.value),
            "cpu.weight" => plain("CPUWeight", &write.value),
            "io.weight" => plain("IOWeight", write.value.trim_start_matches("default ")),
            "io.bfq.weight" => match &write.if_absent {
                IfAbsent::Write { file, value } if file == "io.weight" => plain("IOWeight", value),
                _ => None,
            },
            "cpu.max" => cpu_quota(&write.value),
            "cpu.idle" if write.value == "1" => Some(vec![("CPUWeight", Value::U64(IDLE))]),
            "io.max" => io_max(&write.value),
            "blkio.throttle.read_bps_device" => rate("BlockIOReadBandwidth", &write.value),
            "blkio.throttle.write_bps_device" => rate("BlockIOWriteBandwidth", &write.value),
            "memory.limit_in_bytes" => plain("MemoryLimit", unsigned(&write.value)),
            "cpu.shares" => plain("CPUShares", &write.value),
            "cpu.cfs_quota_us" => {
                let period = value_of(writes, "cpu.cfs_period_us").unwrap_or("100000");
                cpu_quota(&format!("{} {period}", unsigned(&write.value)))
            }
            "blkio.weight" => plain("BlockIOWeight", &write.value),
            "cpuset.cpus" => bits(&write.value).map(|bits| vec![("AllowedCPUs", Value::Bytes(bits))]),
            "cpuset.mems" => bits(&write.value).map(|bits| vec![("AllowedMemoryNodes", Value::Bytes(bits))]),
            _ => None,
        };
        for (name, value) in found.into_iter().flatten() {
            match (properties.get_mut(name), value) {
                (Some(Value::Rates(known)), Value::Rates(more)) => {
                    known.retain(|(device, _)| !more.iter().any(|(new, _)| new == device));
                    known.extend(more);
                }
                (_, value) => drop(properties.insert(name.to_owned(), value)),
            }
        }
    }
    properties.into_iter().collect()
}

/// Version 1 writes -1 where version 2 writes `max`.
fn unsigned(value: &str) -> &str {
    if value.starts_with('-') { "max" } else { value }
}

fn value_of<'a>(writes: &'a [CgroupWrite], file: &str) -> Option<&'a str> {
    writes.iter().rev().find(|write| write.file == file).map(|write| write.value.as_str())
}

/// `cpu.max`. systemd takes a quota per second, in steps of 10 ms.
fn cpu_quota(value: &str) -> Option<Vec<(&'static str, Value)>> {
    const STEP: u64 = 10_000;
    let (quota, period) = value.split_once(' ').unwrap_or((value, "100000"));
    let period: u64 = period.trim().parse().ok().filter(|&period| period > 0)?;
    let per_second = match quota {
        "max" => UNLIMITED,
        quota => {
            let quota: u64 = quota.parse().ok()?;
            quota.checked_mul(1_000_000)?.div_ceil(period).div_ceil(STEP).checked_mul(STEP)?
        }
    };
    Some(vec![("CPUQuotaPerSecUSec", Value::U64(per_second)), ("CPUQuotaPeriodUSec", Value::U64(period))])
}

/// A line of `io.max`, such as `8:0 rbps=1048576`.
fn io_max(line: &str) -> Option<Vec<(&'static str, Value)>> {
    let (device, limits) = line.split_once(' ')?;
    let of = |limit: &str| {
        let (key, value) = limit.split_once('=')?;
        let name = match key {
            "rbps" => "IOReadBandwidthMax",
            "wbps" => "IOWriteBandwidthMax",
            "riops" => "IOReadIOPSMax",
            "wiops" => "IOWriteIOPSMax",
            _ => return None,
        };
        let value = if value == "max" { UNLIMITED } else { value.parse().ok()? };
        Some((name, Value::Rates(vec![(block_device(device)?, value)])))
    };
    limits.split_whitespace().map(of).collect()
}

/// A line of a file of version 1, such as `8:0 1048576`. Nothing is no limit there.
fn rate(name: &'static str, line: &str) -> Option<Vec<(&'static str, Value)>> {
    let (device, rate) = line.split_once(' ')?;
    let rate = Some(rate.trim().parse().ok()?).filter(|&rate| rate != 0).unwrap_or(UNLIMITED);
    Some(vec![(name, Value::Rates(vec![(block_device(device)?, rate)]))])
}

/// systemd names devices by a path, and looks at it only to find the number.
fn block_device(number: &str) -> Option<String> {
    let (major, minor) = number.split_once(':')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    Some(format!("/dev/block/{major}:{minor}"))
}

/// A list such as `0-3,8` as a bit mask, the lowest byte first.
fn bits(list: &str) -> Option<Vec<u8>> {
    /// More than any kernel has.
    const MOST: usize = 65_536;
    let mut mask: Vec<u8> = Vec::new();
    for range in list.trim().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        mask.resize(mask.len().max(last / 8 + 1), 0);
        for bit in first..=last {
            *mask.get_mut(bit / 8)? |= 1 << (bit % 8);
        }
    }
    Some(mask).filter(|mask| !mask.is_empty())
}

/// Version 1 has one set of device rules for a cgroup, and systemd puts its own there again when it looks at the unit:
/// without these that would be no rules at all. (On version 2 its program stands beside ours.) What systemd cannot say,
/// such as a default to allow with exceptions, is left to the files.
pub fn device_properties(policy: &DevicePolicy) -> Vec<(String, Value)> {
    let (strictness, rules) = if policy.allow_by_default {
        ("auto", Vec::new())
    } else {
        ("strict", policy.exceptions.iter().filter_map(device_allow).collect())
    };
    let policy = ("DevicePolicy".to_owned(), Value::Text(strictness.to_owned()));
    // The first empties the list that is there.
    let mut properties = vec![policy, ("DeviceAllow".to_owned(), Value::Pairs(Vec::new()))];
    if !rules.is_empty() {
        properties.push(("DeviceAllow".to_owned(), Value::Pairs(rules)));
    }
    properties
}

fn device_allow(rule: &DeviceRule) -> Option<(String, String)> {
    let kind = match rule.kind {
        DeviceType::Block => "block",
        DeviceType::Char => "char",
    };
    let name = match (rule.major, rule.minor) {
        (None, None) => format!("{kind}-*"),
        (Some(major), None) => format!("{kind}-{major}"),
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        (None, Some(_)) => return None,
    };
    Some((name, rule.access.to_string()))
}
