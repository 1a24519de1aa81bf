//! Limits as version 1's files.

use super::{CgroupPlan, CgroupWrite, IfAbsent, MemoryLimits, checked_page_size, checked_word, rdma_lines};
use crate::error::{Error, ErrorKind, Result};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources};

/// The kernel's bounds of `cpu.shares`; it would clamp silently.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

pub(super) fn lower(resources: &LinuxResources, plan: &mut CgroupPlan) -> Result<()> {
    if resources.unified().as_ref().is_some_and(|unified| !unified.is_empty()) {
        return Err(Error::config("linux.resources.unified", "cannot use unified on cgroup v1"));
    }
    let mut v1 = V1 { plan };
    if let Some(memory) = resources.memory() {
        v1.memory(memory)?;
    }
    if let Some(cpu) = resources.cpu() {
        v1.cpuset(cpu)?;
        v1.cpu(cpu)?;
    }
    if let Some(pids) = resources.pids() {
        let limit = Some(pids.limit()).filter(|&limit| limit != 0);
        let value = limit.map(|limit| if limit > 0 { limit.to_string() } else { "max".to_owned() });
        v1.set("pids", "pids.max", value, "pids.limit")?;
    }
    if let Some(block_io) = resources.block_io() {
        v1.block_io(block_io)?;
    }
    for (index, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        let location = format!("hugepageLimits[{index}]");
        let size = checked_page_size(limit.page_size(), &format!("linux.resources.{location}"))?;
        let value = limit.limit().to_string();
        v1.set("hugetlb", &format!("hugetlb.{size}.limit_in_bytes"), Some(&value), &location)?;
        let reserved = format!("hugetlb.{size}.rsvd.limit_in_bytes");
        v1.set_or("hugetlb", &reserved, Some(&value), &location, IfAbsent::Skip)?;
    }
    if let Some(network) = resources.network() {
        v1.network(network)?;
    }
    for (location, line) in rdma_lines(resources)? {
        v1.set("rdma", "rdma.max", Some(line), location.trim_start_matches("linux.resources."))?;
    }
    v1.devices()
}

struct V1<'a> {
    plan: &'a mut CgroupPlan,
}

impl V1<'_> {
    /// Adds a write if there is a value; the host must have the controller then.
    fn set<T: ToString>(&mut self, controller: &str, file: &str, value: Option<T>, location: &str) -> Result<()> {
        self.set_or(controller, file, value, location, IfAbsent::Fail)
    }

    fn set_or<T: ToString>(
        &mut self,
        controller: &str,
        file: &str,
        value: Option<T>,
        location: &str,
        if_absent: IfAbsent,
    ) -> Result<()> {
        let Some(value) = value else { return Ok(()) };
        let location = format!("linux.resources.{location}");
        let Some((directory, _)) = self.plan.paths.of_controller(controller) else {
            let text = format!("cannot set {controller} limit: this host has no cgroup v1 controller {controller}");
            return Err(Error::new(ErrorKind::Unsupported, text).at(location));
        };
        let (file, value) = (file.to_owned(), value.to_string());
        self.plan.writes.push(CgroupWrite { directory, file, value, location, if_absent });
        Ok(())
    }

    fn memory(&mut self, memory: &LinuxMemory) -> Result<()> {
        let limits = MemoryLimits::of(memory)?;
        self.set("memory", "memory.limit_in_bytes", limits.limit, "memory.limit")?;
        match (limits.limit, limits.swap) {
            // No limit of memory is meant to be none of swap either; without swap accounting there is none to lift.
            (Some(-1), None) => {
                self.set_or("memory", "memory.memsw.limit_in_bytes", Some(-1), "memory.limit", IfAbsent::Skip)?;
            }
            (_, swap) => self.set("memory", "memory.memsw.limit_in_bytes", swap, "memory.swap")?,
        }
        self.set("memory", "memory.soft_limit_in_bytes", limits.reservation, "memory.reservation")?;
        if let Some(swappiness) = memory.swappiness().filter(|&value| value > 100) {
            let text = format!("invalid memory swappiness value: {swappiness} (valid range is 0-100)");
            return Err(Error::config("linux.resources.memory.swappiness", text));
        }
        self.set("memory", "memory.swappiness", memory.swappiness(), "memory.swappiness")?;
        let disabled = memory.disable_oom_killer().filter(|&disabled| disabled);
        self.set("memory", "memory.oom_control", disabled.map(u8::from), "memory.disableOOMKiller")
    }

    fn cpuset(&mut self, cpu: &LinuxCpu) -> Result<()> {
        for (file, value, name) in [("cpuset.cpus", cpu.cpus(), "cpu.cpus"), ("cpuset.mems", cpu.mems(), "cpu.mems")] {
            self.set("cpuset", file, value.as_deref().filter(|list| !list.is_empty()), name)?;
        }
        Ok(())
    }

    /// The kernel checks each value against those it has: a period before the quota and the runtime in it, the burst
    /// after the quota, and no shares once the group is idle.
    fn cpu(&mut self, cpu: &LinuxCpu) -> Result<()> {
        let shares = cpu.shares().filter(|&shares| shares != 0);
        if let Some(shares) = shares.filter(|shares| !SHARES.contains(shares)) {
            let bound = if shares < *SHARES.start() { ("minimum", SHARES.start()) } else { ("maximum", SHARES.end()) };
            let text = format!("the {} allowed cpu-shares is {}", bound.0, bound.1);
            return Err(Error::config("linux.resources.cpu.shares", text));
        }
        self.set("cpu", "cpu.shares", shares, "cpu.shares")?;
        self.set("cpu", "cpu.idle", cpu.idle().filter(|&idle| idle != 0), "cpu.idle")?;
        self.set("cpu", "cpu.cfs_period_us", cpu.period().filter(|&period| period != 0), "cpu.period")?;
        self.set("cpu", "cpu.cfs_quota_us", cpu.quota().filter(|&quota| quota != 0), "cpu.quota")?;
        self.set("cpu", "cpu.cfs_burst_us", cpu.burst().filter(|&burst| burst != 0), "cpu.burst")?;
        self.set("cpu", "cpu.rt_period_us", cpu.realtime_period().filter(|&p| p != 0), "cpu.realtimePeriod")?;
        self.set("cpu", "cpu.rt_runtime_us", cpu.realtime_runtime().filter(|&r| r != 0), "cpu.realtimeRuntime")
    }

    fn block_io(&mut self, block_io: &LinuxBlockIo) -> Result<()> {
        let weight = |file: &str, value: String| IfAbsent::Write { file: file.to_owned(), value };
        if let Some(value) = block_io.weight().filter(|&value| value != 0).map(|value| value.to_string()) {
            let other = weight("blkio.bfq.weight", value.clone());
            self.set_or("blkio", "blkio.weight", Some(value), "blockIO.weight", other)?;
        }
        self.set("blkio", "blkio.leaf_weight", block_io.leaf_weight().filter(|&w| w != 0), "blockIO.leafWeight")?;
        for (index, device) in block_io.weight_device().iter().flatten().enumerate() {
            let location = format!("blockIO.weightDevice[{index}]");
            let line = |weight: u16| format!("{}:{} {weight}", device.major(), device.minor());
            if let Some(value) = device.weight().filter(|&value| value != 0).map(line) {
                let other = weight("blkio.bfq.weight_device", value.clone());
                self.set_or("blkio", "blkio.weight_device", Some(value), &location, other)?;
            }
            let leaf = device.leaf_weight().filter(|&value| value != 0).map(line);
            self.set("blkio", "blkio.leaf_weight_device", leaf, &location)?;
        }
        for (name, file, devices) in [
            ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", block_io.throttle_read_bps_device()),
            ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", block_io.throttle_write_bps_device()),
            ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", block_io.throttle_read_iops_device()),
            ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", block_io.throttle_write_iops_device()),
        ] {
            for (index, device) in devices.iter().flatten().enumerate() {
                let line = format!("{}:{} {}", device.major(), device.minor(), device.rate());
                self.set("blkio", file, Some(line), &format!("blockIO.{name}[{index}]"))?;
            }
        }
        Ok(())
    }

    fn network(&mut self, network: &LinuxNetwork) -> Result<()> {
        let class = network.class_id().filter(|&class| class != 0);
        self.set("net_cls", "net_cls.classid", class, "network.classID")?;
        for (index, interface) in network.priorities().iter().flatten().enumerate() {
            let location = format!("network.priorities[{index}]");
            let name = checked_word(interface.name(), &format!("linux.resources.{location}.name"))?;
            let line = format!("{name} {}", interface.priority());
            self.set("net_prio", "net_prio.ifpriomap", Some(line), &location)?;
        }
        Ok(())
    }

    /// A new device cgroup has its parent's rules: the first write sets the default and forgets them.
    fn devices(&mut self) -> Result<()> {
        let policy = self.plan.devices.clone();
        if self.plan.paths.of_controller("devices").is_none() {
            // Who makes the cgroup refuses that, unless the caller could not make device nodes either.
            return Ok(());
        }
        let (default, exception) =
            if policy.allow_by_default { ("devices.allow", "devices.deny") } else { ("devices.deny", "devices.allow") };
        self.set("devices", default, Some("a"), "devices")?;
        for rule in policy.exceptions {
            self.set("devices", exception, Some(rule), "devices")?;
        }
        Ok(())
    }
}
