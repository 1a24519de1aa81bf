//! libseccomp as the oracle, driven the way runc drives it. Needs Debian's libseccomp-dev, and
//! golang-github-containers-common for the profile that engines use.

use super::generate::{self, Material, Random};
use super::machine::Data;
use super::*;
use ::libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall, error::SeccompError,
};
use oci_spec::runtime::{Arch as OciArch, LinuxSeccompArg, LinuxSeccompOperator as Op};
use std::collections::{BTreeSet, HashMap};
use std::io::{Read as _, Seek as _};
use std::time::Instant;
use tables::Name;

fn arch(arch: Arch) -> Option<ScmpArch> {
    Some(match arch {
        Arch::X86 => ScmpArch::X86,
        Arch::X86_64 => ScmpArch::X8664,
        Arch::X32 => ScmpArch::X32,
        Arch::Arm => ScmpArch::Arm,
        Arch::Aarch64 => ScmpArch::Aarch64,
        Arch::Mips => ScmpArch::Mips,
        Arch::Mips64 => ScmpArch::Mips64,
        Arch::Mips64n32 => ScmpArch::Mips64N32,
        Arch::Mipsel => ScmpArch::Mipsel,
        Arch::Mipsel64 => ScmpArch::Mipsel64,
        Arch::Mipsel64n32 => ScmpArch::Mipsel64N32,
        Arch::Ppc => ScmpArch::Ppc,
        Arch::Ppc64 => ScmpArch::Ppc64,
        Arch::Ppc64le => ScmpArch::Ppc64Le,
        Arch::S390 => ScmpArch::S390,
        Arch::S390x => ScmpArch::S390X,
        Arch::Parisc => ScmpArch::Parisc,
        Arch::Parisc64 => ScmpArch::Parisc64,
        Arch::Riscv64 => ScmpArch::Riscv64,
        // Not in 2.5.
        Arch::Loongarch64 | Arch::M68k | Arch::Sh | Arch::Sheb => return None,
    })
}

fn action(verdict: Verdict) -> ScmpAction {
    let data = verdict.0 & 0xffff;
    match verdict.0 & 0xffff_0000 {
        0 => ScmpAction::KillThread,
        0x8000_0000 => ScmpAction::KillProcess,
        0x0003_0000 => ScmpAction::Trap,
        0x0005_0000 => ScmpAction::Errno(data as i32),
        0x7fc0_0000 => ScmpAction::Notify,
        0x7ff0_0000 => ScmpAction::Trace(data as u16),
        0x7ffc_0000 => ScmpAction::Log,
        _ => ScmpAction::Allow,
    }
}

fn comparison(arg: &LinuxSeccompArg) -> ScmpArgCompare {
    let (op, datum) = match arg.op() {
        Op::ScmpCmpNe => (ScmpCompareOp::NotEqual, arg.value()),
        Op::ScmpCmpLt => (ScmpCompareOp::Less, arg.value()),
        Op::ScmpCmpLe => (ScmpCompareOp::LessOrEqual, arg.value()),
        Op::ScmpCmpEq => (ScmpCompareOp::Equal, arg.value()),
        Op::ScmpCmpGe => (ScmpCompareOp::GreaterEqual, arg.value()),
        Op::ScmpCmpGt => (ScmpCompareOp::Greater, arg.value()),
        Op::ScmpCmpMaskedEq => (ScmpCompareOp::MaskedEqual(arg.value()), arg.value_two().unwrap_or(0)),
    };
    ScmpArgCompare::new(arg.index() as u32, op, datum)
}

fn resolve(name: &str) -> Option<ScmpSyscall> {
    ScmpSyscall::from_name(name).ok().filter(|syscall| !syscall.is_error())
}

/// The filter as runc has libseccomp build it.
fn context(section: &LinuxSeccomp, native: Arch, optimise: u32) -> Result<ScmpFilterContext, SeccompError> {
    let default = Verdict::of(section.default_action(), section.default_errno_ret());
    let mut context = ScmpFilterContext::new(action(default))?;
    if native != Arch::X86_64 {
        context.remove_arch(ScmpArch::X8664)?;
        context.add_arch(arch(native).unwrap())?;
    }
    for listed in section.architectures().iter().flatten() {
        context.add_arch(arch(Arch::from_oci(*listed).unwrap()).unwrap())?;
    }
    context.set_ctl_optimize(optimise)?;
    for syscall in section.syscalls().iter().flatten() {
        let verdict = Verdict::of(syscall.action(), syscall.errno_ret());
        let args: Vec<ScmpArgCompare> = syscall.args().iter().flatten().map(comparison).collect();
        let indices: BTreeSet<usize> = syscall.args().iter().flatten().map(LinuxSeccompArg::index).collect();
        for name in syscall.names() {
            let Some(number) = resolve(name).filter(|_| verdict != default) else { continue };
            if args.is_empty() {
                context.add_rule(action(verdict), number)?;
            } else if indices.len() == args.len() {
                context.add_rule_conditional(action(verdict), number, &args)?;
            } else {
                for arg in &args {
                    context.add_rule_conditional(action(verdict), number, &[*arg])?;
                }
            }
        }
    }
    Ok(context)
}

fn export(context: &ScmpFilterContext, native: Arch) -> Vec<Insn> {
    let mut file = tempfile::tempfile().unwrap();
    context.export_bpf(&file).unwrap();
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let little = native.little_endian();
    let insn = |b: &[u8]| {
        let (code, k) = ([b[0], b[1]], [b[4], b[5], b[6], b[7]]);
        let (code, k) = if little { (u16::from_le_bytes(code), u32::from_le_bytes(k)) } else { (u16::from_be_bytes(code), u32::from_be_bytes(k)) };
        Insn { code, jt: b[2], jf: b[3], k }
    };
    bytes.chunks_exact(8).map(insn).collect()
}

/// The families of [`generate::FAMILIES`] that libseccomp 2.5 can build on x86_64.
fn names_that_both_know() -> Vec<&'static str> {
    Name::all().map(Name::as_str).filter(|name| resolve(name).is_some()).collect()
}

#[test]
fn numbers_are_those_of_libseccomp() {
    let mut differences = Vec::new();
    let mut equal = 0;
    for ours in Arch::ALL {
        let Some(theirs) = arch(ours) else { continue };
        for name in Name::all() {
            let number = ScmpSyscall::from_name_by_arch(name.as_str(), theirs).ok().map(ScmpSyscall::as_raw_syscall);
            match (ours.number(name), number.filter(|number| *number >= 0).map(|number| number as u32)) {
                (ours, theirs) if ours == theirs => equal += 1,
                (our, their) => differences.push(format!("{ours:?} {}: {our:?} {their:?}", name.as_str())),
            }
        }
    }
    println!("{}", differences.join("\n"));
    assert!(equal > 5000, "{equal}");
}

/// Compares on made-up calls. Where several rules with different verdicts match, libseccomp may choose any of them.
fn compare(seeds: std::ops::Range<u64>, mixed: bool, calls: usize) -> HashMap<&'static str, usize> {
    let known = names_that_both_know();
    let few = ["read", "openat", "socket", "connect", "semop", "shmget", "socketcall", "ipc", "waitpid", "accept"];
    let mut counts = HashMap::new();
    for seed in seeds {
        let mut random = Random::new(seed);
        let (native, listed) = random.pick(&generate::FAMILIES);
        let names = if seed % 2 == 0 { &known[..] } else { &few[..] };
        let section = generate::profile(&mut random, &Material { archs: listed, names, mixed });
        let (ours, theirs) = (compile(&section, native), context(&section, native, 1));
        let (ours, theirs) = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => (ours.program, export(&theirs, native)),
            (Err(_), Err(_)) => {
                *counts.entry("both refuse").or_default() += 1;
                continue;
            }
            (Ok(_), Err(error)) => {
                println!("seed {seed}: only libseccomp refuses: {error}\n{}", explain(&section, native).unwrap());
                *counts.entry("only libseccomp refuses").or_default() += 1;
                continue;
            }
            (Err(error), Ok(_)) => {
                println!("seed {seed}: only we refuse: {error}\n{section:?}");
                *counts.entry("only we refuse").or_default() += 1;
                continue;
            }
        };
        let mut archs: Vec<Arch> = listed.iter().filter_map(|arch| Arch::from_oci(*arch)).collect();
        archs.extend([native, Arch::Sh]);
        for call in generate::calls(&mut random, &section, &archs, calls) {
            let (our, _) = machine::run(&ours, &call);
            let (their, _) = machine::run(&theirs, &call);
            let answer = reference::answer(&section, native, &call);
            let what = if our == their {
                "equal"
            } else if reference::is_beyond(&section, native, &call) && our == ENOSYS {
                "stub"
            } else if answer.candidates.contains(&their) && answer.candidates.contains(&our) {
                "order of overlapping rules"
            } else {
                println!("seed {seed} {native:?}: {call:x?}: we {our}, libseccomp {their}\n{}", explain(&section, native).unwrap());
                "different"
            };
            *counts.entry(what).or_default() += 1;
        }
    }
    println!("{counts:?}");
    counts
}

#[test]
fn made_up_profiles_with_one_verdict_for_a_call_are_equal() {
    let counts = compare(0..3000, false, 200);
    assert!(counts["equal"] > 400_000 && counts["stub"] > 1000);
    assert_eq!(counts.keys().filter(|key| !["equal", "stub"].contains(key)).count(), 0);
}

#[test]
fn made_up_profiles_with_several_verdicts_are_equal_where_libseccomp_is_defined() {
    let counts = compare(3000..6000, true, 200);
    assert!(counts["equal"] > 300_000 && counts["both refuse"] > 50);
    assert_eq!(counts.get("different"), None);
}
