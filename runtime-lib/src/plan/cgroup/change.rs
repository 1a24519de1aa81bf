//! New limits for a container that has some.
//!
//! A change names only what is to be different, but some values have a meaning only together: on version 2 a quota and
//! its period share a file, and the limit of swap is what memory and swap have together less that of memory. What
//! was set before fills such gaps; everything else is left alone.

use super::{CgroupPaths, CgroupPlan, DevicePolicy, lower_limits};
use crate::error::{Error, ErrorKind, Result};
use oci_spec::runtime::LinuxResources;

/// What a change comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What is to be written.
    pub plan: CgroupPlan,
    /// Whether the device rules are replaced.
    pub with_devices: bool,
    /// The limits afterwards.
    pub merged: LinuxResources,
}

/// Lowers `change` for a container in `paths` whose limits are `current`. Device rules, where there are any in the
/// change, take the place of all those in effect.
///
/// # Errors
/// A limit has no meaning, or the host lacks the version 1 controller for it; each names its element. Limits for a
/// container without cgroups are [`ErrorKind::Unsupported`].
pub fn lower_change(change: &LinuxResources, current: &LinuxResources, paths: &CgroupPaths) -> Result<Change> {
    let merged = merge(change, current);
    let rules = change.devices().as_deref().filter(|rules| !rules.is_empty());
    let mut plan = CgroupPlan {
        paths: paths.clone(),
        default_path: false,
        enable: Vec::new(),
        systemd: None,
        writes: Vec::new(),
        devices: DevicePolicy::lower(rules.unwrap_or_default())?,
        owner: None,
        warnings: Vec::new(),
    };
    lower_limits(&together(change, &merged), &mut plan)?;
    if rules.is_none() {
        plan.writes.retain(|write| write.location != "linux.resources.devices");
    }
    if *paths == CgroupPaths::Unmanaged && *change != LinuxResources::default() {
        return Err(Error::new(ErrorKind::Unsupported, "the container has no cgroup of its own to limit"));
    }
    Ok(Change { plan, with_devices: rules.is_some(), merged })
}

/// `change`, and what is set of the values that belong together with one of its own.
fn together(change: &LinuxResources, merged: &LinuxResources) -> LinuxResources {
    let mut together = change.clone();
    if let (Some(memory), Some(all)) = (together.memory_mut(), merged.memory()) {
        if memory.limit().or(memory.swap()).is_some() {
            memory.set_limit(all.limit()).set_swap(all.swap());
        }
    }
    if let (Some(cpu), Some(all)) = (together.cpu_mut(), merged.cpu()) {
        if cpu.quota().is_some() || cpu.period().is_some() {
            cpu.set_quota(all.quota()).set_period(all.period());
        }
    }
    together
}

/// `current` with the values of `change` over it; zero is no value. No limit of memory is none of swap either.
fn merge(change: &LinuxResources, current: &LinuxResources) -> LinuxResources {
    let mut merged = current.clone();
    if let Some(new) = change.memory() {
        let old = current.memory().unwrap_or_default();
        let mut memory = *new;
        let limit = given(new.limit()).or(old.limit());
        let swap = match (given(new.limit()), given(new.swap())) {
            (Some(-1), None) => Some(-1),
            (_, swap) => swap.or(old.swap()),
        };
        memory
            .set_limit(limit)
            .set_swap(swap)
            .set_reservation(given(new.reservation()).or(old.reservation()))
            .set_swappiness(new.swappiness().or(old.swappiness()))
            .set_disable_oom_killer(new.disable_oom_killer().or(old.disable_oom_killer()))
            .set_check_before_update(new.check_before_update().or(old.check_before_update()));
        merged.set_memory(Some(memory));
    }
    if let Some(new) = change.cpu() {
        let old = current.cpu().clone().unwrap_or_default();
        let mut cpu = new.clone();
        cpu.set_shares(given(new.shares()).or(old.shares()))
            .set_quota(given(new.quota()).or(old.quota()))
            .set_period(given(new.period()).or(old.period()))
            .set_burst(new.burst().or(old.burst()))
            .set_idle(new.idle().or(old.idle()))
            .set_realtime_runtime(given(new.realtime_runtime()).or(old.realtime_runtime()))
            .set_realtime_period(given(new.realtime_period()).or(old.realtime_period()))
            .set_cpus(new.cpus().clone().filter(|list| !list.is_empty()).or(old.cpus().clone()))
            .set_mems(new.mems().clone().filter(|list| !list.is_empty()).or(old.mems().clone()));
        merged.set_cpu(Some(cpu));
    }
    if let Some(pids) = change.pids().filter(|pids| pids.limit() != 0) {
        merged.set_pids(Some(pids));
    }
    if change.devices().as_ref().is_some_and(|rules| !rules.is_empty()) {
        merged.set_devices(change.devices().clone());
    }
    if change.block_io().is_some() {
        merged.set_block_io(change.block_io().clone());
    }
    if change.hugepage_limits().is_some() {
        merged.set_hugepage_limits(change.hugepage_limits().clone());
    }
    if change.network().is_some() {
        merged.set_network(change.network().clone());
    }
    if change.rdma().is_some() {
        merged.set_rdma(change.rdma().clone());
    }
    if let Some(unified) = change.unified() {
        let mut all = current.unified().clone().unwrap_or_default();
        all.extend(unified.clone());
        merged.set_unified(Some(all));
    }
    merged
}

fn given<T: Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}
