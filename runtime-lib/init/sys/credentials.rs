//! Who the process is: groups, ids, capabilities. The system calls, which are of the calling thread, the only one.

use super::{Result, address, address_mut, check, nr, pad, syscall};

/// `setgroups(2)`, the system call: an array of `gid_t` in memory that is aligned for it.
pub fn setgroups(groups: &[u8]) -> Result {
    call!(SETGROUPS, groups.len() / 4, address(groups)).map(drop)
}

/// How many supplementary groups the process has, by `getgroups(2)`.
pub fn group_count() -> Result<usize> {
    call!(GETGROUPS, 0, 0)
}

/// `setresgid(2)`, the system call.
pub fn setgid(gid: u32) -> Result {
    call!(SETRESGID, gid as usize, gid as usize, gid as usize).map(drop)
}

/// `setresuid(2)`, the system call.
pub fn setuid(uid: u32) -> Result {
    call!(SETRESUID, uid as usize, uid as usize, uid as usize).map(drop)
}

/// The effective capabilities, by `capget(2)`, version 3.
pub fn effective_capabilities() -> Result<u64> {
    let mut header = [0x2008_0522u32, 0];
    let mut data = [0u32; 6];
    call!(CAPGET, address_mut(&mut header), address_mut(&mut data))?;
    let [low, _, _, high, _, _] = data;
    Ok(u64::from(low) | (u64::from(high) << 32))
}

/// `capset(2)`, version 3.
pub fn capset(effective: u64, permitted: u64, inheritable: u64) -> Result {
    let header = [0x2008_0522u32, 0];
    let low = |set: u64| set as u32;
    let high = |set: u64| (set >> 32) as u32;
    let data = [low(effective), low(permitted), low(inheritable), high(effective), high(permitted), high(inheritable)];
    call!(CAPSET, address(&header), address(&data)).map(drop)
}
