//! Calls about how the kernel treats this process.

use super::{Result, address, check, nr, pad, syscall};

/// `personality(2)`.
pub fn personality(persona: u64) -> Result {
    call!(PERSONALITY, persona as usize).map(drop)
}

/// `ioprio_set(2)` of this process: class and level in one.
pub fn set_io_priority(value: u32) -> Result {
    call!(IOPRIO_SET, 1, 0, value as usize).map(drop)
}

/// `set_mempolicy(2)`: `nodes` has one bit for each node, in native words.
pub fn set_memory_policy(mode: u32, nodes: &[u8]) -> Result {
    // The kernel takes the count of bits as one more than there are.
    let (mask, count) = if nodes.is_empty() { (0, 0) } else { (address(nodes), nodes.len() * 8 + 1) };
    call!(SET_MEMPOLICY, mode as usize, mask, count).map(drop)
}

/// `struct sched_attr` in its first form.
#[repr(C)]
#[allow(missing_docs)]
pub struct SchedAttr {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// `sched_setattr(2)` of this process.
pub fn set_scheduler(attr: &SchedAttr) -> Result {
    call!(SCHED_SETATTR, 0, address(attr), 0).map(drop)
}
