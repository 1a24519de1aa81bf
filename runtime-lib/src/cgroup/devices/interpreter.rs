//! What a program of device rules does, and what it should: for the tests and for the fuzz target.

use super::*;

/// Runs a program as the kernel does, for the instructions that are in use here; refuses what the verifier would.
pub(crate) fn run(program: &[Instruction], access_type: u32, major: u32, minor: u32) -> bool {
    let context = [access_type, major, minor];
    let mut registers: [Option<u32>; 11] = [None; 11];
    let mut at = 0;
    loop {
        let Instruction { code, registers: pair, offset, immediate } = program[at];
        let (to, from) = ((pair & 15) as usize, (pair >> 4) as usize);
        at += 1;
        let jump = at + usize::try_from(offset).expect("no jump leads back");
        let held = |register: usize| registers[register].expect("a register is set before it is read");
        match code {
            LOAD_WORD => {
                assert!(from == CONTEXT as usize && offset % 4 == 0);
                registers[to] = Some(context[offset as usize / 4]);
            }
            MOVE_CONSTANT => registers[to] = Some(immediate as u32),
            MOVE_REGISTER => registers[to] = Some(held(from)),
            AND_CONSTANT => registers[to] = Some(held(to) & immediate as u32),
            SHIFT_RIGHT => registers[to] = Some(held(to) >> immediate),
            JUMP_UNEQUAL if held(to) != immediate as u32 => at = jump,
            JUMP_EQUAL if held(to) == immediate as u32 => at = jump,
            JUMP_ANY_BIT if held(to) & immediate as u32 != 0 => at = jump,
            JUMP => at = jump,
            JUMP_UNEQUAL | JUMP_EQUAL | JUMP_ANY_BIT => {}
            EXIT => return held(RESULT as usize) == 1,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

/// What the verifier refuses: instructions that no path reaches.
pub(crate) fn unreachable(program: &[Instruction]) -> usize {
    let mut reached = vec![false; program.len()];
    let mut pending = vec![0];
    while let Some(at) = pending.pop() {
        if std::mem::replace(&mut reached[at], true) {
            continue;
        }
        let target = at + 1 + usize::try_from(program[at].offset).unwrap();
        match program[at].code {
            EXIT => {}
            JUMP => pending.push(target),
            JUMP_EQUAL | JUMP_UNEQUAL | JUMP_ANY_BIT => pending.extend([at + 1, target]),
            _ => pending.push(at + 1),
        }
    }
    reached.iter().filter(|&&reached| !reached).count()
}

/// What the policy means, said in another way than the program says it.
pub(crate) fn meant(policy: &DevicePolicy, kind: DeviceType, major: u32, minor: u32, asked: Access) -> bool {
    let matching = policy.exceptions.iter().filter(|rule| {
        rule.kind == kind && rule.major.is_none_or(|m| m == major) && rule.minor.is_none_or(|m| m == minor)
    });
    let mask = access_mask(asked);
    let mut matching = matching.map(|rule| access_mask(rule.access));
    if policy.allow_by_default {
        !matching.any(|held| held & mask != 0)
    } else {
        matching.any(|held| held & mask == mask)
    }
}

/// Asserts that the program of a policy can be loaded and decides as the policy says, and that what denies by default allows what every container may use.
pub(crate) fn check(policy: &DevicePolicy) {
    let code = program(policy);
    assert_eq!(unreachable(&code), 0, "{policy:?}");
    let numbers = |of: fn(&DeviceRule) -> Option<u32>| -> Vec<u32> {
        let mut numbers: Vec<u32> = policy.exceptions.iter().filter_map(of).chain([0, 77, u32::MAX]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    };
    let all = Access { read: true, write: true, mknod: true };
    for (kind, number) in [(DeviceType::Block, DEVICE_BLOCK), (DeviceType::Char, DEVICE_CHAR)] {
        for major in numbers(|rule| rule.major) {
            for minor in numbers(|rule| rule.minor) {
                for bits in 1..8_u32 {
                    let asked = Access { mknod: bits & 1 != 0, read: bits & 2 != 0, write: bits & 4 != 0 };
                    let decided = run(&code, bits << 16 | number as u32, major, minor);
                    let expected = meant(policy, kind, major, minor, asked);
                    assert_eq!(decided, expected, "{kind:?} {major}:{minor} {asked:?} by {policy:?}");
                }
            }
        }
    }
    // Where all is allowed, one terminal can be denied by its number: an exception goes only by the rule that it came by.
    if policy.allow_by_default {
        return;
    }
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, 0), (136, 9)] {
        assert!(meant(policy, DeviceType::Char, major, minor, all), "{major}:{minor} is denied by {policy:?}");
    }
}
