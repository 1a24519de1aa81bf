//! `bpf(2)`, for the one program type that cgroup version 2 needs to decide about devices.

use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
const BPF_F_REPLACE: u32 = 1 << 2;

/// By which our programs are known among others of a cgroup, `BPF_OBJ_NAME_LEN` bytes.
const NAME: [u8; 16] = *b"corten_devices\0\0";

/// How many programs a cgroup may have (the kernel's `BPF_CGROUP_MAX_PROGS`).
const MOST_PROGRAMS: usize = 64;

/// One instruction, `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Class, size, mode or operation.
    pub(crate) code: u8,
    /// The destination register in the low four bits, the source register in the high four (on little-endian
    /// machines, which are all that we support).
    pub(crate) registers: u8,
    /// Of a jump, in instructions, or of a memory access, in bytes.
    pub(crate) offset: i16,
    /// The constant operand.
    pub(crate) immediate: i32,
}

/// The part of `union bpf_attr` for `BPF_PROG_LOAD` that is used here; the kernel takes what is missing as zero.
#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// The same for `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// The same for `BPF_PROG_QUERY`.
#[repr(C)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

/// The same for `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
struct IdAttr {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// The same for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoAttr {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// `struct bpf_prog_info` up to the name.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    /// Numbers, and pointers that are null: nothing else is copied then.
    before: [u64; 8],
    name: [u8; 16],
}

/// Loads a program that decides about device access in a cgroup; the file descriptor is close-on-exec.
///
/// # Errors
/// `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN` (or `CAP_SYS_ADMIN`) in the first user namespace; `EINVAL` or
/// `EACCES` for a program that the verifier refuses; `ENOSYS` on a kernel without the call.
pub(crate) fn load_device_program(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: NAME,
    };
    // SAFETY: `attr` is a prefix of `union bpf_attr` of the size passed, without padding; `insns` and `license` point
    // to `program` and a static string, which outlive the call, and `insn_cnt` is the former's length.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attr, size_of::<LoadAttr>()) };
    let fd = Errno::result(fd)?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: a successful BPF_PROG_LOAD returns a new file descriptor that nobody else knows of.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches `program` to the cgroup whose directory is open as `cgroup`, beside others that are or will be there, or in
/// the place of `replaced`: a device may be used when all of them agree. The cgroup keeps the program for as long as it
/// exists.
///
/// # Errors
/// `EPERM` without the capabilities, or below a cgroup whose own program does not permit others.
pub(crate) fn attach_device_program(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let flags = BPF_F_ALLOW_MULTI | if replaced.is_some() { BPF_F_REPLACE } else { 0 };
    attach_or_detach(BPF_PROG_ATTACH, program, cgroup, flags, replaced)
}

/// Takes `program` away from the cgroup whose directory is open as `cgroup`.
///
/// # Errors
/// `ENOENT` when it is not there; `EPERM` without the capabilities.
pub(crate) fn detach_device_program(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>) -> Result<(), Errno> {
    attach_or_detach(BPF_PROG_DETACH, program, cgroup, 0, None)
}

fn attach_or_detach(
    command: libc::c_int,
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_flags: u32,
    replaced: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let attr = AttachAttr {
        target_fd: raw(cgroup)?,
        attach_bpf_fd: raw(program)?,
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags,
        replace_bpf_fd: replaced.map_or(Ok(0), raw)?,
    };
    // SAFETY: `attr` is a prefix of `union bpf_attr` of the size passed, without padding and without pointers.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size_of::<AttachAttr>()) };
    Errno::result(result).map(drop)
}

/// The device programs of the cgroup itself, not of those above it, that this library has loaded: others' stay.
///
/// # Errors
/// `EPERM` without the capabilities; `ENOENT` when one ends meanwhile.
pub(crate) fn device_programs(cgroup: BorrowedFd<'_>) -> Result<Vec<OwnedFd>, Errno> {
    let mut ids = [0u32; MOST_PROGRAMS];
    let mut attr = QueryAttr {
        target_fd: raw(cgroup)?,
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: MOST_PROGRAMS as u32,
        padding: 0,
    };
    // SAFETY: `attr` is a prefix of `union bpf_attr` of the size passed, whose padding is a field; `prog_ids` points to
    // `ids`, which outlives the call and has room for `prog_cnt` numbers, and nothing else refers to it meanwhile.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut attr, size_of::<QueryAttr>()) };
    Errno::result(result)?;
    let mut ours = Vec::new();
    for &id in ids.iter().take(attr.prog_cnt as usize) {
        let program = by_id(id)?;
        if name(&program)? == NAME {
            ours.push(program);
        }
    }
    Ok(ours)
}

fn by_id(prog_id: u32) -> Result<OwnedFd, Errno> {
    let attr = IdAttr { prog_id, next_id: 0, open_flags: 0 };
    // SAFETY: `attr` is a prefix of `union bpf_attr` of the size passed, without padding and without pointers.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_GET_FD_BY_ID, &raw const attr, size_of::<IdAttr>()) };
    let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: a successful BPF_PROG_GET_FD_BY_ID returns a new file descriptor that nobody else knows of.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn name(program: &OwnedFd) -> Result<[u8; 16], Errno> {
    let mut info = ProgramInfo::default();
    let info_len = size_of::<ProgramInfo>() as u32;
    let mut attr = InfoAttr { bpf_fd: raw(program.as_fd())?, info_len, info: &raw mut info as u64 };
    // SAFETY: `attr` is a prefix of `union bpf_attr` of the size passed, without padding; `info` points to the live local
    // of `info_len` bytes, all zero and so without a pointer that the kernel would write through.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw mut attr, size_of::<InfoAttr>()) };
    Errno::result(result)?;
    Ok(info.name)
}

fn raw(fd: BorrowedFd<'_>) -> Result<u32, Errno> {
    u32::try_from(fd.as_raw_fd()).map_err(|_| Errno::EBADF)
}
