//! libseccomp in place of the compiler, driven the way runc drives it: chosen when the library is built, with the cargo
//! feature of that name. It is also what the tests compare the compiler with.
//!
//! The profile has been checked and resolved already, so that both back ends refuse the same profiles with the same words;
//! what libseccomp refuses on top names the rule. Its programs have the faults of its version: those of 2.5.4 that the
//! tests met are listed at the top of [`super`] and in `tests/intended.rs`.

use super::bpf::{Insn, JA, MAX_INSNS, RET};
use super::policy::{Decisions, Policy};
use super::profile::Profile;
use super::{Arch, Verdict, emit, lower};
use crate::{Error, ErrorKind, Result};
use ::libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall, ScmpVersion};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompArg, LinuxSeccompOperator as Op, LinuxSyscall};
use std::io::{Read as _, Seek as _};

/// No filter answers this: it stands for "ask libseccomp's program" until the two are put together.
const PASS: Verdict = Verdict(0x7f00_0000);

/// As `2.5.4`.
pub(super) fn version() -> Option<String> {
    let ScmpVersion { major, minor, micro } = ScmpVersion::current().ok()?;
    Some(format!("{major}.{minor}.{micro}"))
}

/// The profile without the names that this libseccomp is too old to know.
pub(super) fn known(mut profile: Profile) -> Profile {
    for rule in &mut profile.rules {
        let (known, unknown) = rule.names.iter().partition(|name| number(name.as_str()).is_some());
        rule.names = known;
        profile.ignored.extend(unknown.into_iter().map(|name: super::tables::Name| name.as_str().to_owned()));
    }
    profile
}

/// The whole program: calls that are newer than the profile get `ENOSYS`, as runc has it in front of libseccomp's filter.
///
/// # Errors
/// What libseccomp refuses, at the rule or architecture.
pub(super) fn program(section: &LinuxSeccomp, profile: &Profile, policies: &[Policy], tree: bool) -> Result<Vec<Insn>> {
    let native = profile.archs.first().copied().ok_or_else(|| internal("no architecture"))?;
    let mut program = stub(policies)?;
    program.extend(export(&context(section, profile, tree)?, native)?);
    if program.len() > MAX_INSNS {
        let message = format!("needs more than the {MAX_INSNS} instructions that the kernel takes");
        return Err(Error::config("linux.seccomp.syscalls", message));
    }
    Ok(program)
}

/// Answers `ENOSYS` beyond the highest call of each architecture and goes on behind its end with all others.
fn stub(policies: &[Policy]) -> Result<Vec<Insn>> {
    if policies.iter().all(|policy| policy.last.is_none()) {
        return Ok(Vec::new());
    }
    let passes: Vec<Policy> = policies
        .iter()
        .map(|policy| Policy { arch: policy.arch, default: PASS, decisions: Decisions::default(), last: policy.last })
        .collect();
    let (graph, root) = lower::graph(&passes)?;
    let mut stub = emit::program(&graph, root)?;
    let end = stub.len();
    for (place, insn) in stub.iter_mut().enumerate() {
        if (insn.code, insn.k) == (RET, PASS.0) {
            *insn = Insn::new(JA, u32::try_from(end - place - 1).unwrap_or(0));
        }
    }
    Ok(stub)
}

/// The filter as runc has libseccomp build it.
pub(super) fn context(section: &LinuxSeccomp, profile: &Profile, tree: bool) -> Result<ScmpFilterContext> {
    let mut context = ScmpFilterContext::new(action(profile.default)).map_err(internal)?;
    let (native, listed) = profile.archs.split_first().ok_or_else(|| internal("no architecture"))?;
    let own = Arch::native().ok_or_else(|| internal("this architecture is not in the tables"))?;
    if *native != own {
        context.remove_arch(arch(own)?).map_err(internal)?;
        context.add_arch(arch(*native)?).map_err(internal)?;
    }
    for listed in listed {
        let refused = |error| Error::config("linux.seccomp.architectures", format!("{}: {error}", listed.oci_name()));
        context.add_arch(arch(*listed)?).map_err(refused)?;
    }
    context.set_ctl_optimize(if tree { 2 } else { 1 }).map_err(internal)?;
    for (syscall, rule) in section.syscalls().iter().flatten().zip(&profile.rules) {
        // No conditions, not even none: the action is the default one.
        let counts = !rule.alternatives.is_empty();
        for name in rule.names.iter().filter(|_| counts) {
            add(&mut context, syscall, rule.verdict, name.as_str()).map_err(|error| {
                let location = format!("linux.seccomp.syscalls[{}]", rule.index);
                Error::config(location, format!("libseccomp refuses the rule for {}: {error}", name.as_str()))
            })?;
        }
    }
    Ok(context)
}

/// One rule, or one for each condition where two concern the same argument.
fn add(
    context: &mut ScmpFilterContext,
    syscall: &LinuxSyscall,
    verdict: Verdict,
    name: &str,
) -> std::result::Result<(), ::libseccomp::error::SeccompError> {
    let Some(number) = number(name) else { return Ok(()) };
    let args: Vec<ScmpArgCompare> = syscall.args().iter().flatten().map(comparison).collect();
    let mut indices: Vec<usize> = syscall.args().iter().flatten().map(LinuxSeccompArg::index).collect();
    indices.sort_unstable();
    indices.dedup();
    if args.is_empty() {
        context.add_rule(action(verdict), number)?;
    } else if indices.len() == args.len() {
        context.add_rule_conditional(action(verdict), number, &args)?;
    } else {
        for arg in args {
            context.add_rule_conditional(action(verdict), number, &[arg])?;
        }
    }
    Ok(())
}

/// The number, or libseccomp's pseudo-number for a call that this machine does not have.
pub(super) fn number(name: &str) -> Option<ScmpSyscall> {
    ScmpSyscall::from_name(name).ok().filter(|syscall| !syscall.is_error())
}

/// Reads the program back: 2.5 can only write it to a descriptor.
pub(super) fn export(context: &ScmpFilterContext, native: Arch) -> Result<Vec<Insn>> {
    let mut file = crate::sys::memfd::scratch(c"seccomp").map_err(|errno| Error::os("memfd_create", errno))?;
    context.export_bpf(&file).map_err(internal)?;
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(internal)?;
    let little = native.little_endian();
    let insn = |bytes: &[u8; 8]| {
        let [a, b, jt, jf, c, d, e, f] = *bytes;
        let (code, k) = if little {
            (u16::from_le_bytes([a, b]), u32::from_le_bytes([c, d, e, f]))
        } else {
            (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))
        };
        Insn { code, jt, jf, k }
    };
    Ok(bytes.chunks_exact(8).filter_map(|chunk| chunk.try_into().ok()).map(insn).collect())
}

fn internal(error: impl ToString) -> Error {
    Error::new(ErrorKind::Internal, format!("libseccomp: {}", error.to_string()))
}

/// # Errors
/// One that libseccomp 2.5 does not have.
pub(super) fn arch(arch: Arch) -> Result<ScmpArch> {
    Ok(match arch {
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
        Arch::Loongarch64 | Arch::M68k | Arch::Sh | Arch::Sheb => {
            let message = format!("libseccomp does not know {}", arch.oci_name());
            return Err(Error::config("linux.seccomp.architectures", message));
        }
    })
}

fn action(verdict: Verdict) -> ScmpAction {
    let data = verdict.0 & 0xffff;
    match verdict.0 & 0xffff_0000 {
        0 => ScmpAction::KillThread,
        0x8000_0000 => ScmpAction::KillProcess,
        0x0003_0000 => ScmpAction::Trap,
        0x0005_0000 => ScmpAction::Errno(i32::try_from(data).unwrap_or(0)),
        0x7fc0_0000 => ScmpAction::Notify,
        0x7ff0_0000 => ScmpAction::Trace(u16::try_from(data).unwrap_or(0)),
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
    ScmpArgCompare::new(u32::try_from(arg.index()).unwrap_or(u32::MAX), op, datum)
}
