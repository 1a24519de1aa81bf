//! `process.scheduler` and `linux.memoryPolicy`.

use crate::fault::{During, Step};
use crate::sys::{self, SchedAttr};
use crate::wire::{List, Op, Scheduler};

/// Sets policy and priorities. The utilisation clamps have no values in the specification: the kernel refuses their flags
/// with this size of the structure.
pub fn set_scheduler(scheduler: &Scheduler) -> Step {
    let attr = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: scheduler.policy,
        flags: scheduler.flags,
        nice: scheduler.nice,
        priority: scheduler.priority,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    };
    sys::set_scheduler(&attr).during(Op::Whole)
}

/// Sets where memory comes from.
pub fn set_memory_policy(mode: u32, nodes: List<'_, u64>) -> Step {
    let mask = sys::memory(nodes.len().max(1) * 8).during(Op::Whole)?;
    for (place, word) in mask.chunks_exact_mut(8).zip(nodes.iter()) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    sys::set_memory_policy(mode, mask.get(..nodes.len() * 8).unwrap_or_default()).during(Op::Whole)
}
