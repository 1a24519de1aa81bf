//! What a container uses, as the kernel counts it.
//!
//! One set of types for both cgroup versions. They serialize as runc's `events` prints them, which engines and
//! collectors read: a value that is zero or unknown is left out where runc leaves it out. Times are in nanoseconds, sizes
//! in bytes; a counter only ever grows during a container's life.

mod v1;
mod v2;

use super::{Cgroup, CgroupPaths, files};
use crate::error::{Error, Result};
use crate::resctrl::RdtStats;
use nix::errno::Errno;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What a container uses and has used.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: Cpu,
    /// Processors and memory nodes that it may use.
    pub cpuset: CpuSet,
    /// Memory.
    pub memory: Memory,
    /// Processes and threads.
    pub pids: Pids,
    /// Block devices.
    #[serde(rename = "blkio")]
    pub block_io: BlockIo,
    /// Huge pages, by page size such as `2MB`.
    pub hugetlb: BTreeMap<String, HugePages>,
    /// Caches and memory bandwidth.
    pub intel_rdt: RdtStats,
    /// Interfaces that the runtime itself connected: engines do that, so there are none.
    pub network_interfaces: Option<Vec<()>>,
}

/// Processor time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// Time used.
    pub usage: CpuUsage,
    /// Time that a quota has cost.
    pub throttling: Throttling,
    /// Pressure; version 2 only.
    #[serde(rename = "psi", skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
}

/// Processor time used, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CpuUsage {
    /// All of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    /// By processor; version 1 only.
    #[serde(rename = "percpu", skip_serializing_if = "Vec::is_empty")]
    pub by_cpu: Vec<u64>,
    /// By processor, in the kernel; version 1 only.
    #[serde(rename = "percpu_kernel", skip_serializing_if = "Vec::is_empty")]
    pub by_cpu_kernel: Vec<u64>,
    /// By processor, outside of the kernel; version 1 only.
    #[serde(rename = "percpu_user", skip_serializing_if = "Vec::is_empty")]
    pub by_cpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// Outside of it.
    pub user: u64,
}

/// What a CPU quota has cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods in which the container wanted to run.
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    /// Those of them in which its quota was used up.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// How long it had to wait then, in nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// Processors and memory nodes, from the version 1 cpuset.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the kernel's names, see cpusets.rst")]
pub struct CpuSet {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Pages of files that are kept in memory.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// All memory.
    pub usage: MemoryUsage,
    /// Memory and swap together.
    pub swap: MemoryUsage,
    /// The kernel's memory; version 1 only.
    pub kernel: MemoryUsage,
    /// Buffers of TCP; version 1 only.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryUsage,
    /// `memory.stat`, by the kernel's names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    /// Pressure; version 2 only.
    #[serde(rename = "psi", skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
}

/// One kind of memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemoryUsage {
    /// The limit; version 1 has a very large number for none, version 2 [`u64::MAX`].
    pub limit: u64,
    /// In use now.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most that was in use.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit.
    #[serde(rename = "failcnt")]
    pub failures: u64,
}

/// Processes and threads.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pids {
    /// There are.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// There may be; 0 for no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockIo {
    /// Bytes read and written.
    #[serde(rename = "ioServiceBytesRecursive", skip_serializing_if = "Vec::is_empty")]
    pub bytes: Vec<BlockIoEntry>,
    /// Operations done.
    #[serde(rename = "ioServicedRecursive", skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<BlockIoEntry>,
    /// Operations waiting.
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    pub queued: Vec<BlockIoEntry>,
    /// Nanoseconds from the dispatch to the end of operations.
    #[serde(rename = "ioServiceTimeRecursive", skip_serializing_if = "Vec::is_empty")]
    pub service_time: Vec<BlockIoEntry>,
    /// Nanoseconds that operations waited.
    #[serde(rename = "ioWaitTimeRecursive", skip_serializing_if = "Vec::is_empty")]
    pub wait_time: Vec<BlockIoEntry>,
    /// Operations merged into others.
    #[serde(rename = "ioMergedRecursive", skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<BlockIoEntry>,
    /// Milliseconds of the devices' time.
    #[serde(rename = "ioTimeRecursive", skip_serializing_if = "Vec::is_empty")]
    pub time: Vec<BlockIoEntry>,
    /// Sectors moved.
    #[serde(rename = "sectorsRecursive", skip_serializing_if = "Vec::is_empty")]
    pub sectors: Vec<BlockIoEntry>,
    /// Pressure; version 2 only.
    #[serde(rename = "psi", skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
}

/// One counter of one device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BlockIoEntry {
    /// Major number.
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    /// Minor number.
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, `Async`, `Discard` or `Total`.
    #[serde(rename = "op", skip_serializing_if = "String::is_empty")]
    pub operation: String,
    /// The counter.
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HugePages {
    /// In use now.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most that was in use; version 1 only.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit.
    #[serde(rename = "failcnt")]
    pub failures: u64,
}

/// Pressure stall information: the share of time lost for want of a resource, see psi.rst.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// Some task waited.
    pub some: PressureTimes,
    /// All tasks waited.
    pub full: PressureTimes,
}

/// Shares of time in percent, and a total.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PressureTimes {
    /// Of the last ten seconds.
    pub avg10: f64,
    /// Of the last minute.
    pub avg60: f64,
    /// Of the last five minutes.
    pub avg300: f64,
    /// In microseconds.
    pub total: u64,
}

impl Cgroup {
    /// What the container uses. A controller that the host does not have counts nothing: its part is empty.
    ///
    /// # Errors
    /// A file of the kernel's cannot be read, or has a form that is not known.
    pub fn stats(&self) -> Result<Stats> {
        self.must_be_ours()?;
        let mut stats = Stats::default();
        match &self.paths {
            CgroupPaths::Unmanaged => {}
            CgroupPaths::V2 { directory } => v2::read(&Source(&directory.absolute()), &mut stats)?,
            CgroupPaths::V1 { directories } | CgroupPaths::Hybrid { directories, .. } => {
                for directory in directories {
                    let path = directory.absolute();
                    for controller in &directory.controllers {
                        v1::read(controller, &Source(&path), &mut stats)?;
                    }
                }
                if let CgroupPaths::Hybrid { unified, .. } = &self.paths {
                    v2::huge_pages(&Source(&unified.absolute()), &mut stats)?;
                }
            }
        }
        Ok(stats)
    }
}

/// A directory of counters.
struct Source<'a>(&'a Path);

impl Source<'_> {
    /// The text of a file; `None` when the kernel has none of that name, or does not count in this cgroup.
    fn text(&self, file: &str) -> Result<Option<String>> {
        let path = self.0.join(file);
        match files::read(&path) {
            Ok(text) => Ok(Some(text)),
            Err(Errno::ENOENT | Errno::EOPNOTSUPP | Errno::ENODEV) => Ok(None),
            Err(e) => Err(Error::os(format!("read {}", path.display()), e)),
        }
    }

    /// A file of one number; 0 when there is none, `max` is the largest.
    fn number(&self, file: &str) -> Result<u64> {
        match self.text(file)?.as_deref().map(str::trim_end) {
            None => Ok(0),
            Some("max") => Ok(u64::MAX),
            // Of version 1 some files have -1 for none.
            Some(text) => Ok(text.parse::<i64>().map_or_else(|_| text.parse().unwrap_or(0), |n| n.max(0) as u64)),
        }
    }

    /// A file of `NAME NUMBER` lines.
    fn table(&self, file: &str) -> Result<Option<BTreeMap<String, u64>>> {
        let row =
            |line: &str| line.split_once(' ').and_then(|(name, n)| Some((name.to_owned(), n.trim().parse().ok()?)));
        Ok(self.text(file)?.map(|text| text.lines().filter_map(row).collect()))
    }

    /// The page sizes of files `hugetlb.SIZE.LAST`.
    fn huge_page_sizes(&self, last: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0).into_iter().flatten().flatten();
        let size = |name: &str| {
            let size = name.strip_prefix("hugetlb.")?.strip_suffix(last)?.strip_suffix('.')?;
            (!size.contains('.')).then(|| size.to_owned())
        };
        entries.filter_map(|entry| size(entry.file_name().to_str()?)).collect()
    }
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// The numbers of a list such as `0-3,7`.
fn numbers(list: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests;
