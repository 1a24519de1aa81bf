//! Limits as version 2's files, with the conversions of the specification's version 1 values.

use super::{CgroupPlan, CgroupWrite, IfAbsent, MemoryLimits, checked_page_size, rdma_lines};
use crate::error::{Error, Result};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

/// What the kernel has for `cpu.max` when only a quota is given, in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

pub(super) fn lower(resources: &LinuxResources, plan: &mut CgroupPlan) -> Result<()> {
    let mut v2 = V2 { plan };
    if let Some(memory) = resources.memory() {
        v2.memory(memory)?;
    }
    if let Some(cpu) = resources.cpu() {
        v2.cpu(cpu);
    }
    if let Some(pids) = resources.pids() {
        let limit = Some(pids.limit()).filter(|&limit| limit != 0);
        v2.set("pids.max", limit.map(number_or_max), "pids.limit");
    }
    if let Some(block_io) = resources.block_io() {
        v2.block_io(block_io);
    }
    for (index, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        let location = format!("hugepageLimits[{index}]");
        let size = checked_page_size(limit.page_size(), &format!("linux.resources.{location}"))?;
        let value = number_or_max(limit.limit());
        v2.set(&format!("hugetlb.{size}.max"), Some(&value), &location);
        v2.set_or(&format!("hugetlb.{size}.rsvd.max"), Some(&value), &location, IfAbsent::Skip);
    }
    for (location, line) in rdma_lines(resources)? {
        v2.set("rdma.max", Some(line), location.trim_start_matches("linux.resources."));
    }
    v2.unified(resources)
}

/// `cpu.weight` of a number of `cpu.shares`: 1, 100 and 10000 for the least, the default and the most, with an
/// exponential of a parabola between, so that a container with the default shares gets the default weight.
pub(super) fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            // 1024 are exactly 100: what the machine's mathematics add to that must not make 101 of it. No other number is as near.
            (10f64.powf(exponent) - 1e-9).ceil() as u64
        }
    }
}

/// `io.weight` (1 to 10000) of a `blkio.weight` (10 to 1000). What is below that range has a value that the kernel refuses, as
/// has what is above it.
fn io_weight_of_blkio(weight: u16) -> u64 {
    u64::from(weight).checked_sub(10).map_or(0, |above| 1 + above * 9_999 / 990)
}

fn number_or_max(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

struct V2<'a> {
    plan: &'a mut CgroupPlan,
}

impl V2<'_> {
    fn set<T: ToString>(&mut self, file: &str, value: Option<T>, location: &str) {
        self.set_or(file, value, location, IfAbsent::Fail);
    }

    /// Adds a write if there is a value, and has its controller enabled.
    fn set_or<T: ToString>(&mut self, file: &str, value: Option<T>, location: &str, if_absent: IfAbsent) {
        let Some(value) = value else { return };
        let controller = file.split('.').next().unwrap_or_default();
        if controller != "cgroup" && !self.plan.enable.iter().any(|enabled| enabled == controller) {
            self.plan.enable.push(controller.to_owned());
        }
        let (file, value, location) = (file.to_owned(), value.to_string(), format!("linux.resources.{location}"));
        self.plan.writes.push(CgroupWrite { directory: 0, file, value, location, if_absent });
    }

    /// Version 1 limits memory and swap together, version 2 swap alone. Swappiness and the OOM killer's switch have no
    /// counterpart and are ignored, as runc does.
    fn memory(&mut self, memory: &LinuxMemory) -> Result<()> {
        let limits = MemoryLimits::of(memory)?;
        let swap = match (limits.limit, limits.swap) {
            (Some(-1), None) | (_, Some(-1)) => Some(-1),
            (Some(limit), Some(swap)) => Some(swap - limit),
            (_, swap) => swap,
        };
        // On a kernel without swap, no limit and no swap are what there is.
        let if_absent = if swap.is_some_and(|swap| swap <= 0) { IfAbsent::Skip } else { IfAbsent::Fail };
        self.set("memory.max", limits.limit.map(number_or_max), "memory.limit");
        self.set_or("memory.swap.max", swap.map(number_or_max), "memory.swap", if_absent);
        self.set("memory.low", limits.reservation.map(number_or_max), "memory.reservation");
        Ok(())
    }

    /// Realtime limits have no counterpart and are ignored, as runc does. An idle group takes no weight.
    fn cpu(&mut self, cpu: &LinuxCpu) {
        for (file, value, name) in [("cpuset.cpus", cpu.cpus(), "cpu.cpus"), ("cpuset.mems", cpu.mems(), "cpu.mems")] {
            self.set(file, value.as_deref().filter(|list| !list.is_empty()), name);
        }
        let shares = cpu.shares().filter(|&shares| shares != 0);
        self.set("cpu.weight", shares.map(weight_of_shares), "cpu.shares");
        self.set("cpu.idle", cpu.idle().filter(|&idle| idle != 0), "cpu.idle");
        let (quota, period) = (cpu.quota().unwrap_or(0), cpu.period().unwrap_or(0));
        if quota != 0 || period != 0 {
            let quota = if quota > 0 { quota.to_string() } else { "max".to_owned() };
            let (location, period) = if period == 0 { ("cpu.quota", DEFAULT_PERIOD) } else { ("cpu.period", period) };
            self.set("cpu.max", Some(format!("{quota} {period}")), location);
        }
        self.set("cpu.max.burst", cpu.burst().filter(|&burst| burst != 0), "cpu.burst");
    }

    /// The weight goes to the BFQ scheduler where it runs; only there does a device have its own. Leaf weights have no
    /// counterpart.
    fn block_io(&mut self, block_io: &LinuxBlockIo) {
        if let Some(weight) = block_io.weight().filter(|&weight| weight != 0) {
            let io = IfAbsent::Write { file: "io.weight".to_owned(), value: io_weight_of_blkio(weight).to_string() };
            self.set_or("io.bfq.weight", Some(weight), "blockIO.weight", io);
        }
        for (index, device) in block_io.weight_device().iter().flatten().enumerate() {
            let weight = device.weight().filter(|&weight| weight != 0);
            let line = weight.map(|weight| format!("{}:{} {weight}", device.major(), device.minor()));
            self.set_or("io.bfq.weight", line, &format!("blockIO.weightDevice[{index}]"), IfAbsent::Skip);
        }
        for (name, key, devices) in [
            ("throttleReadBpsDevice", "rbps", block_io.throttle_read_bps_device()),
            ("throttleWriteBpsDevice", "wbps", block_io.throttle_write_bps_device()),
            ("throttleReadIOPSDevice", "riops", block_io.throttle_read_iops_device()),
            ("throttleWriteIOPSDevice", "wiops", block_io.throttle_write_iops_device()),
        ] {
            for (index, device) in devices.iter().flatten().enumerate() {
                let line = format!("{}:{} {key}={}", device.major(), device.minor(), device.rate());
                self.set("io.max", Some(line), &format!("blockIO.{name}[{index}]"));
            }
        }
    }

    /// The keys are file names: nothing that could lead out of the cgroup. A value of several lines is written line by
    /// line, as the kernel's nested-keyed files want it.
    fn unified(&mut self, resources: &LinuxResources) -> Result<()> {
        let mut files: Vec<_> = resources.unified().iter().flatten().collect();
        files.sort();
        for (file, value) in files {
            let fault =
                |text| Err(Error::config("linux.resources.unified", format!("unified resource {file:?} {text}")));
            if file.contains('/') || file.contains('\0') {
                return fault("must be a file name (no slashes)");
            }
            let Some((controller, parameter)) = file.split_once('.') else {
                return fault("must be in the form CONTROLLER.PARAMETER");
            };
            if controller.is_empty() || parameter.is_empty() || parameter == "." {
                return fault("must be in the form CONTROLLER.PARAMETER");
            }
            for line in value.lines() {
                self.set(file, Some(line), &format!("unified[{file:?}]"));
            }
        }
        Ok(())
    }
}
