//! Classic BPF: the instructions a seccomp filter may use, and how they print.

use serde::{Serialize, Serializer};
use std::fmt;

/// One instruction: `struct sock_filter` of linux/filter.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Insn {
    /// What to do.
    pub code: u16,
    /// Instructions to skip if the comparison holds.
    pub jt: u8,
    /// Instructions to skip if not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// `BPF_LD | BPF_W | BPF_ABS`: the accumulator becomes the word of `struct seccomp_data` at offset k.
pub const LD_ABS: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`.
pub const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JA`: skip k instructions.
pub const JA: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
pub const JEQ: u16 = 0x15;
/// `BPF_JMP | BPF_JGE | BPF_K`, unsigned.
pub const JGE: u16 = 0x35;
/// `BPF_JMP | BPF_JGT | BPF_K`, unsigned; only libseccomp's programs have it.
pub const JGT: u16 = 0x25;
/// `BPF_JMP | BPF_JSET | BPF_K`: is any bit of k set?
pub const JSET: u16 = 0x45;
/// `BPF_RET | BPF_K`.
pub const RET: u16 = 0x06;

/// `BPF_MAXINSNS`: the kernel takes no longer program.
pub const MAX_INSNS: usize = 4096;

impl Insn {
    pub(super) fn new(code: u16, k: u32) -> Insn {
        Insn { code, jt: 0, jf: 0, k }
    }

    /// The instruction as the kernel reads it from memory, in this machine's byte order.
    pub fn to_bytes(self) -> [u8; 8] {
        let ([a, b], [c, d, e, f]) = (self.code.to_ne_bytes(), self.k.to_ne_bytes());
        [a, b, self.jt, self.jf, c, d, e, f]
    }

    /// Prints the instruction as the one at `place` of a program: jumps name the places they lead to.
    pub(super) fn write(self, f: &mut fmt::Formatter<'_>, place: usize) -> fmt::Result {
        let Insn { code, k, .. } = self;
        let target = |skip: u8| place + 1 + usize::from(skip);
        let branch = |f: &mut fmt::Formatter<'_>, test: &str| {
            write!(f, "if {test} {k:#x} goto {} else {}", target(self.jt), target(self.jf))
        };
        match code {
            LD_ABS => match k {
                0 => f.write_str("load nr"),
                4 => f.write_str("load arch"),
                16..64 => write!(f, "load args[{}]{}", (k - 16) / 8, if k % 8 == 0 { "" } else { "+4" }),
                _ => write!(f, "load [{k}]"),
            },
            AND => write!(f, "and {k:#x}"),
            JA => write!(f, "goto {}", place + 1 + k as usize),
            JEQ => branch(f, "=="),
            JGE => branch(f, ">="),
            JGT => branch(f, ">"),
            JSET => branch(f, "&"),
            RET => write!(f, "return {}", super::Verdict(k)),
            _ => write!(f, "{code:#06x} {} {} {k:#x}", self.jt, self.jf),
        }
    }
}

/// As `[code, jt, jf, k]`.
impl Serialize for Insn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.code, self.jt, self.jf, self.k).serialize(serializer)
    }
}
