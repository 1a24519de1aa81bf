//! A classic BPF machine: what a filter answers for a call and how many instructions that takes, and the kernel's checks
//! before it takes a filter.
//!
//! A filter is a program that nobody reads. With this a test, a benchmark or an embedder can ask it.

use super::bpf::{AND, Insn, JA, JEQ, JGE, JGT, JSET, LD_ABS, MAX_INSNS, RET};
use super::{Arch, Verdict};
use std::fmt;

/// The size of `struct seccomp_data`.
const DATA: u32 = 64;

/// A call as a filter sees it: `struct seccomp_data` without the instruction pointer, which reads as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whose call it is; also gives the byte order.
    pub arch: Arch,
    /// The number, with the x32 bit if it is one of those.
    pub number: u32,
    /// The arguments.
    pub args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> Option<u32> {
        match offset {
            0 => Some(self.number),
            4 => Some(self.arch.audit()),
            8 | 12 => Some(0),
            _ => {
                let index = offset.checked_sub(16)? / 8;
                let value = self.args.get(usize::try_from(index).ok()?)?;
                let second = offset % 8 == 4;
                let half = if second == self.arch.little_endian() { value >> 32 } else { value & 0xffff_ffff };
                u32::try_from(half).ok()
            }
        }
    }
}

/// Runs a program: the verdict, and how many instructions it took. `None` for a program that [`verify`] does not accept.
/// Jumps only go forward, so that it ends.
pub fn run(program: &[Insn], call: &Call) -> Option<(Verdict, usize)> {
    let (mut place, mut accumulator, mut steps) = (0_usize, 0_u32, 0);
    loop {
        let Insn { code, jt, jf, k } = *program.get(place)?;
        steps += 1;
        place += 1;
        let way = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            LD_ABS => accumulator = call.word(k)?,
            AND => accumulator &= k,
            JA => place = place.checked_add(usize::try_from(k).ok()?)?,
            JEQ => place += way(accumulator == k),
            JGT => place += way(accumulator > k),
            JGE => place += way(accumulator >= k),
            JSET => place += way(accumulator & k != 0),
            RET => return Some((Verdict(k), steps)),
            _ => return None,
        }
    }
}

/// Why the kernel does not take a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unloadable {
    /// The instruction.
    pub place: usize,
    /// What is wrong with it, or with the whole.
    pub what: &'static str,
}

impl fmt::Display for Unloadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instruction {}: {}", self.place, self.what)
    }
}

impl std::error::Error for Unloadable {}

/// What the kernel checks when a filter is loaded (`bpf_check_classic`, `seccomp_check_filter`), for the instructions
/// that filters here consist of.
///
/// # Errors
/// The first instruction that the kernel would refuse.
pub fn verify(program: &[Insn]) -> Result<(), Unloadable> {
    let fault = |place, what| Err(Unloadable { place, what });
    if program.is_empty() || program.len() > MAX_INSNS {
        return fault(program.len(), "a program has 1 to 4096 instructions");
    }
    for (place, insn) in program.iter().enumerate() {
        // How many instructions are left to jump over.
        let left = program.len() - place - 1;
        match insn.code {
            LD_ABS if insn.k % 4 != 0 || insn.k >= DATA => return fault(place, "loads from outside of seccomp_data"),
            LD_ABS | AND | RET => {}
            JA if usize::try_from(insn.k).is_ok_and(|k| k < left) => {}
            JEQ | JGT | JGE | JSET if usize::from(insn.jt.max(insn.jf)) < left => {}
            JA | JEQ | JGT | JGE | JSET => return fault(place, "jumps behind the end"),
            _ => return fault(place, "unknown instruction"),
        }
    }
    match program.last() {
        Some(Insn { code: RET, .. }) => Ok(()),
        _ => fault(program.len() - 1, "does not end with a return"),
    }
}
