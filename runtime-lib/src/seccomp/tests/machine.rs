//! A classic BPF machine and the kernel's checks before it takes a filter (`bpf_check_classic`, `seccomp_check_filter`).

use crate::seccomp::bpf::{AND, Insn, JA, JEQ, JGE, JSET, LD_ABS, MAX_INSNS, RET};
use crate::seccomp::{Arch, Verdict};

/// What libseccomp's programs have besides: `BPF_JMP | BPF_JGT | BPF_K`.
const JGT: u16 = 0x25;

/// A call as a filter sees it: `struct seccomp_data`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data {
    pub(super) arch: Arch,
    pub(super) number: u32,
    pub(super) args: [u64; 6],
}

impl Data {
    fn word(&self, offset: u32) -> u32 {
        let half =
            |value: u64, second: bool| (if second == self.arch.little_endian() { value >> 32 } else { value }) as u32;
        match offset {
            0 => self.number,
            4 => self.arch.audit(),
            8 | 12 => half(0x0000_5555_0123_4567, offset == 12),
            _ => half(self.args[(offset as usize - 16) / 8], offset % 8 == 4),
        }
    }
}

/// Runs a program that [`verify`] accepts: the verdict, and how many instructions it took.
pub(super) fn run(program: &[Insn], data: &Data) -> (Verdict, usize) {
    let (mut place, mut accumulator, mut steps) = (0, 0_u32, 0);
    loop {
        let Insn { code, jt, jf, k } = program[place];
        steps += 1;
        place += 1;
        let mut branch = |holds: bool| place += usize::from(if holds { jt } else { jf });
        match code {
            LD_ABS => accumulator = data.word(k),
            AND => accumulator &= k,
            JA => place += k as usize,
            JEQ => branch(accumulator == k),
            JGT => branch(accumulator > k),
            JGE => branch(accumulator >= k),
            JSET => branch(accumulator & k != 0),
            RET => return (Verdict(k), steps),
            _ => panic!("instruction {code:#x} at {}", place - 1),
        }
    }
}

/// What the kernel checks, and that no instruction is unreachable.
pub(super) fn verify(program: &[Insn]) -> Result<(), String> {
    if program.is_empty() || program.len() > MAX_INSNS {
        return Err(format!("{} instructions", program.len()));
    }
    let mut reached = vec![false; program.len()];
    reached[0] = true;
    for (place, insn) in program.iter().enumerate() {
        let fault = |what: &str| Err(format!("{place}: {what}"));
        let next: Vec<usize> = match insn.code {
            LD_ABS if insn.k % 4 != 0 || insn.k >= 64 => return fault("load outside of seccomp_data"),
            LD_ABS | AND => vec![place + 1],
            JA => vec![place + 1 + insn.k as usize],
            JEQ | JGT | JGE | JSET => vec![place + 1 + usize::from(insn.jt), place + 1 + usize::from(insn.jf)],
            RET => vec![],
            _ => return fault("unknown instruction"),
        };
        if !reached[place] {
            return fault("unreachable");
        }
        for target in next {
            *reached.get_mut(target).ok_or(format!("{place}: leads to {target} of {}", program.len()))? = true;
        }
    }
    match program.last().map(|insn| insn.code) {
        Some(RET) => Ok(()),
        _ => Err("does not end with a return".into()),
    }
}

#[test]
fn the_verifier_refuses_what_the_kernel_refuses() {
    let insn = |code, jt, jf, k| Insn { code, jt, jf, k };
    let ret = insn(RET, 0, 0, 0);
    assert!(verify(&[ret]).is_ok());
    for bad in [
        vec![],
        vec![ret; MAX_INSNS + 1],
        vec![insn(LD_ABS, 0, 0, 64), ret],
        vec![insn(LD_ABS, 0, 0, 2), ret],
        vec![insn(JEQ, 0, 1, 0), ret],
        vec![insn(JA, 0, 0, 1), ret],
        vec![insn(0x61, 0, 0, 0), ret],
        vec![ret, ret],
        vec![insn(LD_ABS, 0, 0, 0)],
    ] {
        assert!(verify(&bad).is_err(), "{bad:?}");
    }
}
