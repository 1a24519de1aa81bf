//! Profiles and calls made up from a seed.

use super::machine::Data;
use super::*;
use oci_spec::runtime::{
    Arch as OciArch, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompOperator as Op, LinuxSyscall, LinuxSyscallBuilder,
};
use tables::Name;

/// xorshift64*: small, and the same on every machine.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

/// Native architectures with those that a filter can have beside them.
pub(super) const FAMILIES: [(Arch, &[OciArch]); 9] = [
    (Arch::X86_64, &[OciArch::ScmpArchX86_64, OciArch::ScmpArchX86, OciArch::ScmpArchX32]),
    (Arch::X86_64, &[OciArch::ScmpArchX86, OciArch::ScmpArchAarch64, OciArch::ScmpArchRiscv64]),
    (Arch::X86, &[]),
    (Arch::Aarch64, &[OciArch::ScmpArchArm]),
    (Arch::Arm, &[]),
    (Arch::Riscv64, &[]),
    (Arch::S390x, &[OciArch::ScmpArchS390, OciArch::ScmpArchPpc64]),
    (Arch::Ppc64le, &[]),
    (Arch::Mips64, &[OciArch::ScmpArchMips, OciArch::ScmpArchMips64n32]),
];

const VALUES: [u64; 16] = [
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    0x1000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_0000_0000,
    u64::MAX,
];

const OPERATORS: [Op; 7] =
    [Op::ScmpCmpNe, Op::ScmpCmpLt, Op::ScmpCmpLe, Op::ScmpCmpEq, Op::ScmpCmpGe, Op::ScmpCmpGt, Op::ScmpCmpMaskedEq];

fn value(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.next(),
        1 => random.next() >> 32,
        _ => random.pick(&VALUES),
    }
}

/// What profiles are made of.
pub(super) struct Material<'m> {
    pub(super) archs: &'m [OciArch],
    pub(super) names: &'m [&'m str],
    /// Different verdicts for one call under conditions.
    pub(super) mixed: bool,
}

/// A profile that is not refused, except perhaps for a contradiction when `mixed`.
pub(super) fn profile(random: &mut Random, material: &Material<'_>) -> LinuxSeccomp {
    let default =
        random.pick(&[Action::ScmpActErrno, Action::ScmpActErrno, Action::ScmpActKillProcess, Action::ScmpActAllow]);
    let mut archs: Vec<OciArch> = material.archs.iter().copied().filter(|_| !random.one_in(3)).collect();
    archs.dedup();
    // Few different calls, so that rules meet.
    let names: Vec<&str> = (0..1 + random.below(10)).map(|_| random.pick(material.names)).collect();
    let verdict_of_all = action(random);
    let syscalls: Vec<LinuxSyscall> = (0..random.below(14))
        .map(|_| {
            let (action, errno) = if material.mixed { action(random) } else { verdict_of_all };
            let chosen: Vec<String> =
                names.iter().filter(|_| random.one_in(3)).map(|name| (*name).to_owned()).collect();
            let mut syscall =
                LinuxSyscallBuilder::default().names(chosen).action(action).args(args(random)).build().unwrap();
            syscall.set_errno_ret(errno);
            syscall
        })
        .collect();
    let mut section =
        LinuxSeccompBuilder::default().default_action(default).architectures(archs).syscalls(syscalls).build().unwrap();
    if random.one_in(3) {
        section.set_default_errno_ret(Some(random.pick(&[38, 2, 11])));
    }
    section
}

fn action(random: &mut Random) -> (Action, Option<u32>) {
    let kinds =
        [Action::ScmpActAllow, Action::ScmpActErrno, Action::ScmpActTrap, Action::ScmpActLog, Action::ScmpActTrace];
    (random.pick(&kinds), random.pick(&[None, Some(0), Some(22), Some(4094)]))
}

fn args(random: &mut Random) -> Vec<LinuxSeccompArg> {
    let count = random.pick(&[0, 1, 1, 1, 2, 2, 3]);
    (0..count)
        .map(|_| {
            LinuxSeccompArgBuilder::default()
                .index(random.pick(&[0, 0, 1, 2, 5]) as usize)
                .op(random.pick(&OPERATORS))
                .value(value(random))
                .value_two(value(random))
                .build()
                .unwrap()
        })
        .collect()
}

/// Calls that a profile has something to say about, and their neighbours: each architecture, numbers around each named
/// one, arguments at the edges of each condition.
pub(super) fn calls(random: &mut Random, section: &LinuxSeccomp, archs: &[Arch], count: usize) -> Vec<Data> {
    let syscalls = section.syscalls().as_deref().unwrap_or(&[]);
    let mut edges = vec![0, 1, 2, 9, 16, u64::MAX];
    for arg in syscalls.iter().flat_map(|syscall| syscall.args().iter().flatten()) {
        for value in [arg.value(), arg.value_two().unwrap_or(0), arg.value() & arg.value_two().unwrap_or(0)] {
            edges.extend([value, value.wrapping_add(1), value.wrapping_sub(1), value ^ (1 << 32), value & 0xffff_ffff]);
        }
    }
    let names: Vec<&str> =
        syscalls.iter().flat_map(|s| s.names()).map(String::as_str).chain(["socketcall", "ipc"]).collect();
    (0..count)
        .map(|_| {
            let arch = random.pick(archs);
            let named = Name::find(random.pick(&names)).and_then(|name| arch.number(name));
            let number = match (random.below(12), named) {
                (0, _) => random.pick(&[0, 1, 500, 600, 0x3fff_ffff, 0x4000_0000, 0x4000_0400, u32::MAX, 0x8000_0000]),
                (1, _) | (_, None) => random.below(512) as u32,
                (2, Some(number)) => number.wrapping_add(1),
                (3, Some(number)) => number.wrapping_sub(1),
                (_, Some(number)) => number,
            };
            let args = std::array::from_fn(|_| if random.one_in(9) { random.next() } else { random.pick(&edges) });
            Data { arch, number, args }
        })
        .collect()
}
