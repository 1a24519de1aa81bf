//! The machine's own tests, and what only the tests ask of a program.

use crate::seccomp::bpf::{AND, Insn, JA, JEQ, JGE, JGT, JSET, LD_ABS, MAX_INSNS, RET};
use crate::seccomp::{Arch, Verdict, machine};

pub(super) use crate::seccomp::machine::Call as Data;

/// Runs a program that [`verify`] accepts.
pub(super) fn run(program: &[Insn], data: &Data) -> (Verdict, usize) {
    machine::run(program, data).unwrap_or_else(|| panic!("{data:?} on {program:?}"))
}

/// What the kernel checks, and that no instruction is unreachable.
pub(super) fn verify(program: &[Insn]) -> Result<(), String> {
    machine::verify(program).map_err(|fault| fault.to_string())?;
    let mut reached = vec![false; program.len()];
    reached[0] = true;
    for (place, insn) in program.iter().enumerate() {
        if !reached[place] {
            return Err(format!("{place}: unreachable"));
        }
        match insn.code {
            RET => {}
            JA => reached[place + 1 + insn.k as usize] = true,
            JEQ | JGT | JGE | JSET => {
                reached[place + 1 + usize::from(insn.jt)] = true;
                reached[place + 1 + usize::from(insn.jf)] = true;
            }
            _ => reached[place + 1] = true,
        }
    }
    Ok(())
}

fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
    Insn { code, jt, jf, k }
}

#[test]
fn the_verifier_refuses_what_the_kernel_refuses() {
    let ret = insn(RET, 0, 0, 0);
    assert!(verify(&[ret]).is_ok());
    for bad in [
        vec![],
        vec![ret; MAX_INSNS + 1],
        vec![insn(LD_ABS, 0, 0, 64), ret],
        vec![insn(LD_ABS, 0, 0, 2), ret],
        vec![insn(JEQ, 0, 1, 0), ret],
        vec![insn(JGT, 1, 0, 0), ret],
        vec![insn(JA, 0, 0, 1), ret],
        vec![insn(JA, 0, 0, u32::MAX), ret],
        vec![insn(0x61, 0, 0, 0), ret],
        vec![insn(LD_ABS, 0, 0, 0)],
    ] {
        assert!(machine::verify(&bad).is_err(), "{bad:?}");
    }
    // Only we ask for this one.
    assert!(machine::verify(&[ret, ret]).is_ok() && verify(&[ret, ret]).is_err());
}

#[test]
fn the_machine_does_what_each_instruction_says_and_does_not_trust_the_program() {
    let call = Data { arch: Arch::X86_64, number: 7, args: [0x1_0000_0002, 3, 4, 5, 6, 0xfedc_ba98_7654_3210] };
    let big = Data { arch: Arch::S390x, ..call };
    let loaded = |offset, call: &Data| {
        // All values are small, so that a bit at a time tells them.
        (0..32)
            .filter(|bit| {
                let program =
                    [insn(LD_ABS, 0, 0, offset), insn(JSET, 0, 1, 1 << bit), insn(RET, 0, 0, 1), insn(RET, 0, 0, 0)];
                run(&program, call).0 == Verdict(1)
            })
            .fold(0_u32, |word, bit| word | 1 << bit)
    };
    let cases =
        [(0, 7, 7), (4, 0xc000_003e, 0x8000_0016), (16, 2, 1), (20, 1, 2), (24, 3, 0), (56, 0x7654_3210, 0xfedc_ba98)];
    for (offset, little, bigger) in cases {
        assert_eq!((loaded(offset, &call), loaded(offset, &big)), (little, bigger), "{offset}");
    }
    for (code, k, holds) in [
        (JEQ, 7, true),
        (JEQ, 6, false),
        (JGT, 7, false),
        (JGT, 6, true),
        (JGE, 7, true),
        (JGE, 8, false),
        (JSET, 8, false),
        (JSET, 4, true),
    ] {
        let program = [insn(LD_ABS, 0, 0, 0), insn(code, 1, 0, k), insn(RET, 0, 0, 0), insn(RET, 0, 0, 1)];
        assert_eq!(run(&program, &call), (Verdict(u32::from(holds)), 3), "{code:#x} {k}");
    }
    let masked =
        [insn(LD_ABS, 0, 0, 0), insn(AND, 0, 0, 6), insn(JEQ, 0, 1, 6), insn(RET, 0, 0, 1), insn(RET, 0, 0, 0)];
    assert_eq!(run(&masked, &call), (Verdict(1), 4));
    for bad in [vec![], vec![insn(LD_ABS, 0, 0, 64)], vec![insn(JA, 0, 0, u32::MAX)], vec![insn(0x61, 0, 0, 0)]] {
        assert_eq!(machine::run(&bad, &call), None, "{bad:?}");
    }
}
