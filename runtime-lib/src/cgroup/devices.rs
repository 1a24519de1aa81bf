//! Version 2's device rules: an eBPF program that the kernel asks at every open and mknod of a device
//! (cgroup-v2.rst, *Device controller*).
//!
//! The program gets `struct bpf_cgroup_dev_ctx {u32 access_type; u32 major; u32 minor}`, where the low half of
//! `access_type` is the type and the high half the accesses asked for; it returns 1 to allow and 0 to deny.
//!
//! The verifier walks every path, and a container waits for it: one self-contained block of instructions for each
//! exception, the obvious form, took 450 µs to load for the default rules, and this one 75. So exceptions are grouped by
//! type and major number, an exception is one or two jumps, and all share one verdict.

use super::create::is_rootless;
use super::files;
use crate::error::{Error, Result};
use crate::plan::cgroup::{Access, DevicePolicy, DeviceRule, DeviceType};
use crate::sys::bpf::{self, Instruction};
use nix::errno::Errno;
use std::os::fd::AsFd;
use std::path::Path;

/// Registers: r0 is the result, r1 the context, r2 the type, r3 the accesses, r4 and r5 the numbers.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Opcodes of `linux/bpf_common.h` and `linux/bpf.h`.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE_CONSTANT: u8 = 0xb4; // BPF_ALU | BPF_MOV | BPF_K
const MOVE_REGISTER: u8 = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
const AND_CONSTANT: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const JUMP: u8 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u8 = 0x16; // BPF_JMP32 | BPF_JEQ | BPF_K
const JUMP_UNEQUAL: u8 = 0x56; // BPF_JMP32 | BPF_JNE | BPF_K
const JUMP_ANY_BIT: u8 = 0x46; // BPF_JMP32 | BPF_JSET | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

/// `BPF_DEVCG_*`.
const DEVICE_BLOCK: i32 = 1;
const DEVICE_CHAR: i32 = 2;
const ACCESS_MKNOD: i32 = 1;
const ACCESS_READ: i32 = 2;
const ACCESS_WRITE: i32 = 4;

/// Carries out the policy for the cgroup in `directory`. A policy that denies nothing needs no program, and a
/// rootless caller, who may not load one, goes without.
pub(super) fn attach(directory: &Path, policy: &DevicePolicy) -> Result<()> {
    if !policy.denies_something() {
        return Ok(());
    }
    let fault = |call: &str, e: Errno| Error::os(call, e).at("linux.resources.devices");
    let loaded = match bpf::load_device_program(&program(policy)) {
        Err(Errno::EPERM) if is_rootless() => return Ok(()),
        result => result.map_err(|e| fault("load the eBPF device program", e))?,
    };
    let cgroup = files::open_directory(directory).map_err(|e| fault(&format!("open {}", directory.display()), e))?;
    bpf::attach_device_program(loaded.as_fd(), cgroup.as_fd(), None)
        .map_err(|e| fault(&format!("attach the eBPF device program to {}", directory.display()), e))
}

/// Carries out the policy in the place of the one that is in effect. There is no moment without rules: one program
/// takes another's place, or the new one is there before the old ones go.
pub(super) fn replace(directory: &Path, policy: &DevicePolicy) -> Result<()> {
    let fault =
        |call: &str, e: Errno| Error::os(format!("{call} {}", directory.display()), e).at("linux.resources.devices");
    let cgroup = files::open_directory(directory).map_err(|e| fault("open", e))?;
    let old = match bpf::device_programs(cgroup.as_fd()) {
        Err(Errno::EPERM) if is_rootless() => return Ok(()),
        old => old.map_err(|e| fault("query the eBPF device programs of", e))?,
    };
    let mut left = old.as_slice();
    if policy.denies_something() {
        let loaded =
            bpf::load_device_program(&program(policy)).map_err(|e| fault("load the eBPF device program of", e))?;
        let replaced = match old.as_slice() {
            [only] => {
                left = &[];
                Some(only.as_fd())
            }
            _ => None,
        };
        bpf::attach_device_program(loaded.as_fd(), cgroup.as_fd(), replaced)
            .map_err(|e| fault("attach the eBPF device program to", e))?;
    }
    for program in left {
        bpf::detach_device_program(program.as_fd(), cgroup.as_fd())
            .map_err(|e| fault("detach the eBPF device program from", e))?;
    }
    Ok(())
}

/// Takes away what [`attach`] put on a cgroup that stays.
pub(super) fn detach(directory: &Path) -> Result<(), Errno> {
    let cgroup = files::open_directory(directory)?;
    for program in bpf::device_programs(cgroup.as_fd())? {
        bpf::detach_device_program(program.as_fd(), cgroup.as_fd())?;
    }
    Ok(())
}

/// The program for a policy.
fn program(policy: &DevicePolicy) -> Vec<Instruction> {
    let mut program = Program {
        code: vec![
            instruction(LOAD_WORD, KIND, CONTEXT, 0),
            instruction(MOVE_REGISTER, ACCESS, KIND, 0),
            instruction(AND_CONSTANT, KIND, 0, 0xffff),
            instruction(SHIFT_RIGHT, ACCESS, 0, 16),
            instruction(LOAD_WORD, MAJOR, CONTEXT, 4),
            instruction(LOAD_WORD, MINOR, CONTEXT, 8),
        ],
        matches: Vec::new(),
        allow_by_default: policy.allow_by_default,
    };
    for (kind, number) in [(DeviceType::Block, DEVICE_BLOCK), (DeviceType::Char, DEVICE_CHAR)] {
        let mut rules: Vec<DeviceRule> = policy.exceptions.iter().copied().filter(|rule| rule.kind == kind).collect();
        // Any number last: an exception for all decides, and what came after it could never be reached, which the
        // verifier refuses.
        rules.sort_by_key(|rule| (rule.major.is_none(), rule.major, rule.minor.is_none(), rule.minor));
        if rules.is_empty() {
            continue;
        }
        let other_kind = program.push(JUMP_UNEQUAL, KIND, number);
        for group in rules.chunk_by(|a, b| a.major == b.major) {
            program.group(group);
        }
        program.lands_here(other_kind);
    }
    program.verdicts()
}

/// A program that is being written.
struct Program {
    code: Vec<Instruction>,
    /// The jumps that lead to the verdict on an exception, wherever that will be.
    matches: Vec<usize>,
    allow_by_default: bool,
}

impl Program {
    /// Exceptions of one type and one major number, or of any.
    fn group(&mut self, rules: &[DeviceRule]) {
        let other_major = match rules {
            [DeviceRule { major: Some(major), minor: None, access, .. }] if access.is_full() => {
                let jump = self.push(JUMP_EQUAL, MAJOR, *major as i32);
                return self.matches.push(jump);
            }
            [DeviceRule { major: Some(major), .. }, ..] => Some(self.push(JUMP_UNEQUAL, MAJOR, *major as i32)),
            _ => None,
        };
        for rule in rules {
            self.rule(rule);
        }
        if let Some(jump) = other_major {
            self.lands_here(jump);
        }
    }

    /// One exception, for a device whose type and major number are known to match.
    fn rule(&mut self, rule: &DeviceRule) {
        if rule.access.is_full() {
            let jump = match rule.minor {
                Some(minor) => self.push(JUMP_EQUAL, MINOR, minor as i32),
                None => self.push(JUMP, 0, 0),
            };
            return self.matches.push(jump);
        }
        let other_minor = rule.minor.map(|minor| self.push(JUMP_UNEQUAL, MINOR, minor as i32));
        let mask = access_mask(rule.access);
        if self.allow_by_default {
            // Denied is a request that has any of the denied accesses.
            let jump = self.push(JUMP_ANY_BIT, ACCESS, mask);
            self.matches.push(jump);
        } else {
            // Allowed is a request that has none but the allowed ones.
            let more = self.push(JUMP_ANY_BIT, ACCESS, !mask);
            let jump = self.push(JUMP, 0, 0);
            self.matches.push(jump);
            self.lands_here(more);
        }
        if let Some(jump) = other_minor {
            self.lands_here(jump);
        }
    }

    /// Ends the program.
    fn verdicts(mut self) -> Vec<Instruction> {
        self.verdict(self.allow_by_default);
        if !self.matches.is_empty() {
            for jump in std::mem::take(&mut self.matches) {
                self.lands_here(jump);
            }
            self.verdict(!self.allow_by_default);
        }
        self.code
    }

    fn verdict(&mut self, allow: bool) {
        self.push(MOVE_CONSTANT, RESULT, i32::from(allow));
        self.push(EXIT, 0, 0);
    }

    /// Adds an instruction and says where it is.
    fn push(&mut self, code: u8, register: u8, constant: i32) -> usize {
        self.code.push(instruction(code, register, 0, constant));
        self.code.len() - 1
    }

    /// Has the jump at `jump` lead to the next instruction to come. More than an offset can hold are more instructions
    /// than the kernel loads: it refuses the program then.
    fn lands_here(&mut self, jump: usize) {
        let distance = self.code.len() - jump - 1;
        if let Some(instruction) = self.code.get_mut(jump) {
            instruction.offset = i16::try_from(distance).unwrap_or(i16::MAX);
        }
    }
}

fn access_mask(access: Access) -> i32 {
    [(access.mknod, ACCESS_MKNOD), (access.read, ACCESS_READ), (access.write, ACCESS_WRITE)]
        .iter()
        .filter(|(held, _)| *held)
        .map(|(_, bit)| bit)
        .sum()
}

/// A load of the word at `operand` bytes from the source, or an operation with the constant `operand`.
fn instruction(code: u8, destination: u8, source: u8, operand: i32) -> Instruction {
    let registers = destination | source << 4;
    match code {
        LOAD_WORD => Instruction { code, registers, offset: i16::try_from(operand).unwrap_or(i16::MAX), immediate: 0 },
        _ => Instruction { code, registers, offset: 0, immediate: operand },
    }
}

#[cfg(any(test, fuzzing))]
#[allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]
pub(crate) mod interpreter;

#[cfg(test)]
mod tests {
    use super::interpreter::{meant, run, unreachable};
    use super::*;
    use crate::trials::thinned;

    fn access(text: &str) -> Access {
        Access { read: text.contains('r'), write: text.contains('w'), mknod: text.contains('m') }
    }

    fn rule(kind: DeviceType, major: Option<u32>, minor: Option<u32>, letters: &str) -> DeviceRule {
        DeviceRule { kind, major, minor, access: access(letters) }
    }

    #[test]
    fn the_program_decides_as_the_policy_says() {
        use DeviceType::{Block, Char};
        let lists = [
            vec![],
            vec![
                rule(Block, None, None, "m"),
                rule(Char, Some(1), Some(3), "rwm"),
                rule(Char, Some(1), None, "r"),
                rule(Char, None, Some(7), "w"),
                rule(Block, Some(8), Some(u32::MAX), "rw"),
            ],
            vec![rule(Char, None, None, "rwm"), rule(Char, Some(1), Some(3), "r"), rule(Char, None, Some(7), "w")],
            vec![
                rule(Char, Some(1), None, "rwm"),
                rule(Char, Some(1), Some(3), "rwm"),
                rule(Char, Some(2), None, "rwm"),
            ],
            vec![rule(Block, Some(8), Some(0), "rwm"), rule(Block, Some(1), Some(3), "rwm")],
            vec![
                rule(Char, None, None, "m"),
                rule(Block, None, None, "m"),
                rule(Char, Some(1), Some(3), "rwm"),
                rule(Char, Some(1), Some(4), "rwm"),
                rule(Char, Some(8), Some(0), "rwm"),
                rule(Char, Some(136), None, "rwm"),
            ],
        ];
        let letters = ["r", "w", "m", "rw", "rm", "wm", "rwm"];
        let mut allowed = 0;
        for allow_by_default in [false, true] {
            for exceptions in lists.clone() {
                let policy = DevicePolicy { allow_by_default, exceptions };
                let program = program(&policy);
                assert_eq!(unreachable(&program), 0, "{policy:?}");
                for (kind, number) in [(Block, DEVICE_BLOCK), (Char, DEVICE_CHAR)] {
                    let numbers = [(1, 3), (1, 4), (2, 3), (2, 7), (8, u32::MAX), (8, 0), (136, 9)];
                    for (major, minor) in thinned(numbers, 4) {
                        for asked in thinned(letters, 2) {
                            let request = (access_mask(access(asked)) as u32) << 16 | number as u32;
                            let decided = run(&program, request, major, minor);
                            let expected = meant(&policy, kind, major, minor, access(asked));
                            assert_eq!(decided, expected, "{kind:?} {major}:{minor} {asked} by {policy:?}");
                            allowed += u32::from(decided);
                        }
                    }
                }
            }
        }
        assert!((1..2 * 6 * 2 * 7 * 7).contains(&allowed));
    }

    #[test]
    fn a_request_asks_for_the_opcodes_of_the_kernel() {
        // BPF_CLASS | BPF_OP | BPF_SRC, BPF_MODE | BPF_SIZE as linux/bpf_common.h composes them.
        assert_eq!(LOAD_WORD, 0x01 | 0x60);
        assert_eq!([MOVE_CONSTANT, MOVE_REGISTER], [0x04 | 0xb0, 0x04 | 0xb0 | 0x08]);
        assert_eq!([AND_CONSTANT, SHIFT_RIGHT], [0x04 | 0x50, 0x04 | 0x70]);
        assert_eq!([JUMP_EQUAL, JUMP_UNEQUAL, JUMP_ANY_BIT], [0x06 | 0x10, 0x06 | 0x50, 0x06 | 0x40]);
        assert_eq!(JUMP, 0x05);
        assert_eq!(EXIT, 0x05 | 0x90);
    }
}
