//! libseccomp as the oracle, driven the way runc drives it. Needs Debian's libseccomp-dev, and
//! golang-github-containers-common for the profile that engines use.

use super::generate::{self, Material, Random};
use super::machine::Data;
use super::*;
use ::libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall, error::SeccompError,
};
use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator as Op};
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
        let (code, k) = if little {
            (u16::from_le_bytes(code), u32::from_le_bytes(k))
        } else {
            (u16::from_be_bytes(code), u32::from_be_bytes(k))
        };
        Insn { code, jt: b[2], jf: b[3], k }
    };
    bytes.chunks_exact(8).map(insn).collect()
}

/// Names that can be compared.
fn names_that_both_know() -> Vec<&'static str> {
    // ARM has one number for these two, which libseccomp maps back to one of them.
    let doubled = ["arm_sync_file_range", "sync_file_range2"];
    let known = Name::all().map(Name::as_str).filter(|name| resolve(name).is_some());
    known.filter(|name| !doubled.contains(name)).collect()
}

/// Numbers that only one side has (`true`: we).
const ODD: [(Arch, &str, bool); 3] = [
    (Arch::Parisc64, "_llseek", false),
    (Arch::X32, "map_shadow_stack", true),
    // ARM's header gives it as another name of arm_sync_file_range.
    (Arch::Arm, "sync_file_range2", true),
];

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
                (our, their) => differences.push((ours, name.as_str(), our, their)),
            }
        }
    }
    let explained = |(ours, name, our, their): &(Arch, &str, Option<u32>, Option<u32>)| {
        // Newer than libseccomp 2.5.4.
        let new = resolve(name).is_none();
        // It resolves these to pseudo-numbers there.
        let multiplexed = ours.multiplexes() && their.is_none();
        new || multiplexed || ODD.contains(&(*ours, name, our.is_some()))
    };
    let unexplained: Vec<_> = differences.iter().filter(|difference| !explained(difference)).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    assert!(equal > 5000, "{equal}");
}

/// Seeds on whose profiles libseccomp 2.5.4 does not come back.
const HANGS: [u64; 1] = [4159];

/// A bug of libseccomp 2.5.4: when the first call of an architecture is one that it does not have, the pseudo-number's
/// test is left out of the program together with the load before it, and the search goes on with the architecture in
/// the accumulator. Such a program cannot be compared.
fn forgets_the_number(program: &[Insn]) -> bool {
    let dispatches = |insn: &Insn| insn.code == bpf::JEQ && Arch::ALL.iter().any(|arch| arch.audit() == insn.k);
    let loads =
        |place: usize| program[place].code == bpf::LD_ABS && program[place].k == 0 || program[place].code == bpf::RET;
    program.iter().enumerate().any(|(place, insn)| dispatches(insn) && !loads(place + 1 + usize::from(insn.jt)))
}

/// Whether a call has several rules that are more than an equality on one argument each. libseccomp 2.5.4 merges the
/// rules of a call into one tree and then loses or widens some: of `a1 < 7` and `a1 > 0x16ca_fa09_c593_6e7b` both fail for
/// 0x49ae_7e2c, but its program says that one holds. What such a program answers says nothing about the profile, so
/// that the reference alone decides.
fn entangled(section: &LinuxSeccomp, native: Arch, call: &Data) -> bool {
    let profile = profile::check(section, native).unwrap();
    let plain = |rule: &policy::ArgRule| {
        let equality = |condition: &profile::Condition| {
            matches!(condition.compare, profile::Compare::Masked { mask: u64::MAX | 0xffff_ffff, .. })
                && !condition.negated
        };
        rule.conditions.len() == 1 && rule.conditions.iter().all(equality)
    };
    profile.archs.iter().any(|arch| {
        let policy = policy::lower(&profile, *arch).unwrap();
        let decision = policy.decisions.iter().find(|(number, _)| *number == call.number);
        arch.audit() == call.arch.audit()
            && matches!(decision, Some((_, policy::Decision::When(rules))) if rules.len() > 1 && !rules.iter().all(plain))
    })
}

/// Our program and libseccomp's, or why there is nothing to compare.
fn both(section: &LinuxSeccomp, native: Arch) -> Result<(Vec<Insn>, Vec<Insn>), &'static str> {
    let (ours, theirs) = match (compile(section, native), context(section, native, 1)) {
        (Ok(ours), Ok(theirs)) => (ours.program, export(&theirs, native)),
        (Err(_), Err(_)) => return Err("both refuse"),
        (Ok(_), Err(_)) => return Err("only libseccomp refuses"),
        (Err(_), Ok(_)) => return Err("only we refuse"),
    };
    // What it puts where a jump does not reach, it leaves in the wrong byte order.
    if !native.little_endian() && theirs.len() > 255 {
        return Err("libseccomp's byte order");
    }
    if forgets_the_number(&theirs) {
        return Err("libseccomp forgets to load the number");
    }
    Ok((ours, theirs))
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
        if HANGS.contains(&seed) {
            continue;
        }
        let (ours, theirs) = match both(&section, native) {
            Ok(programs) => programs,
            Err(why_not) => {
                *counts.entry(why_not).or_default() += 1;
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
            } else if entangled(&section, native, &call) {
                assert_eq!(our, answer.verdict);
                "entangled rules"
            } else {
                println!(
                    "seed {seed} {native:?}: {call:x?}: we {our}, libseccomp {their}\n{}",
                    explain(&section, native).unwrap()
                );
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
    let counts = compare(0..1500, false, 150);
    assert!(counts["equal"] > 120_000 && counts["stub"] > 1000);
    assert!(
        ["different", "both refuse", "only we refuse", "only libseccomp refuses"]
            .iter()
            .all(|c| !counts.contains_key(c))
    );
    assert!(counts["entangled rules"] * 500 < counts["equal"]);
}

/// Refusals are compared too. libseccomp's `EEXIST` depends on the shape of its tree: it also refuses some
/// overlapping rules that do not contradict each other.
#[test]
fn made_up_profiles_with_several_verdicts_are_equal_where_libseccomp_is_defined() {
    let counts = compare(3000..4500, true, 150);
    assert!(counts["equal"] > 100_000 && counts["both refuse"] > 100);
    assert_eq!(counts.get("different"), None);
    assert!(counts["only libseccomp refuses"] < 50 && !counts.contains_key("only we refuse"));
    assert!((counts["order of overlapping rules"] + counts["entangled rules"]) * 50 < counts["equal"]);
}

/// `/usr/share/containers/seccomp.json` in OCI form, as Podman makes it for these capabilities on amd64.
fn engine_profile(capabilities: &[&str]) -> LinuxSeccomp {
    let text = std::fs::read_to_string("/usr/share/containers/seccomp.json").expect("golang-github-containers-common");
    let source: serde_json::Value = serde_json::from_str(&text).unwrap();
    let matches = |filter: &serde_json::Value, any: bool| {
        let list = |key: &str| filter[key].as_array().cloned().unwrap_or_default();
        let (arches, caps) = (list("arches"), list("caps"));
        let arch = arches.iter().any(|arch| arch == "amd64");
        let cap = |cap: &serde_json::Value| capabilities.contains(&cap.as_str().unwrap());
        // `includes` needs its architecture and all its capabilities; any of them is enough for `excludes`.
        if any { arch || caps.iter().any(cap) } else { (arches.is_empty() || arch) && caps.iter().all(cap) }
    };
    let mut syscalls = Vec::new();
    for rule in source["syscalls"].as_array().unwrap() {
        if matches(&rule["includes"], false) && !matches(&rule["excludes"], true) {
            let mut rule = rule.clone();
            for engine in ["includes", "excludes", "comment", "errno"] {
                rule.as_object_mut().unwrap().remove(engine);
            }
            syscalls.push(rule);
        }
    }
    profile(serde_json::json!({"defaultAction": source["defaultAction"], "defaultErrnoRet": source["defaultErrnoRet"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": syscalls}))
}

/// What Podman gives a container.
const PODMAN: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Every number of a table and its neighbours.
fn every_call() -> Vec<Data> {
    let mut random = Random::new(1);
    let mut calls = Vec::new();
    for arch in [Arch::X86_64, Arch::X86, Arch::X32] {
        let base = if arch == Arch::X32 { 0x4000_0000 } else { 0 };
        for number in 0..600 {
            for _ in 0..8 {
                let args = std::array::from_fn(|_| {
                    random.pick(&[0, 1, 2, 8, 9, 16, 0x20000, 0x20008, 0xffff_ffff, 1 << 32, u64::MAX])
                });
                calls.push(Data { arch, number: base + number, args });
            }
        }
    }
    calls
}

#[test]
fn the_profile_of_engines_is_equal_on_every_call() {
    let all =
        ["CAP_AUDIT_WRITE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_PTRACE", "CAP_SYS_TIME"];
    for capabilities in [&[][..], &PODMAN[..], &all[..]] {
        for default in [Some(38), Some(1), None] {
            let mut section = engine_profile(capabilities);
            section.set_default_errno_ret(default);
            let ours = compiled(&section, Arch::X86_64);
            let theirs = export(&context(&section, Arch::X86_64, 1).unwrap(), Arch::X86_64);
            assert!(!forgets_the_number(&theirs));
            let (mut equal, mut newer) = (0, BTreeSet::new());
            for call in every_call() {
                let (our, their) = (machine::run(&ours.program, &call).0, machine::run(&theirs, &call).0);
                if our == their {
                    equal += 1;
                } else if !reference::is_beyond(&section, Arch::X86_64, &call) {
                    let name = Name::all().find(|name| call.arch.number(*name) == Some(call.number));
                    newer.insert(name.map_or("?", Name::as_str));
                } else {
                    assert_eq!(our, reference::answer(&section, Arch::X86_64, &call).verdict, "{call:?}");
                    assert_eq!(our, ENOSYS);
                }
            }
            // Newer than libseccomp 2.5.4, which ignores the names.
            assert!(newer.iter().all(|name| resolve(name).is_none()), "{newer:?}");
            assert!(equal > 8_000, "{equal}");
        }
    }
}

/// Size and cost of the engines' profile, ours against libseccomp's. Meaningful with `--release` only.
#[test]
fn the_profile_of_engines_costs_less() {
    let section = engine_profile(&PODMAN);
    let best = |what: &mut dyn FnMut()| {
        let times = (0..30).map(|_| {
            let start = Instant::now();
            what();
            start.elapsed()
        });
        times.min().unwrap()
    };
    let our_time = best(&mut || drop(compile(&section, Arch::X86_64).unwrap()));
    let their_time = best(&mut || drop(export(&context(&section, Arch::X86_64, 1).unwrap(), Arch::X86_64)));
    let tree_time = best(&mut || drop(export(&context(&section, Arch::X86_64, 2).unwrap(), Arch::X86_64)));
    let cost = |program: &[Insn]| {
        let calls = every_call();
        let known = |call: &&Data| Name::all().any(|name| call.arch.number(name) == Some(call.number));
        let steps: Vec<usize> = calls.iter().filter(known).map(|call| machine::run(program, call).1).collect();
        (steps.iter().sum::<usize>() as f64 / steps.len() as f64, *steps.iter().max().unwrap(), program.len())
    };
    let ours = cost(&compile(&section, Arch::X86_64).unwrap().program);
    let list = cost(&export(&context(&section, Arch::X86_64, 1).unwrap(), Arch::X86_64));
    let tree = cost(&export(&context(&section, Arch::X86_64, 2).unwrap(), Arch::X86_64));
    println!("compile: ours {our_time:?}, libseccomp {their_time:?}, its binary tree {tree_time:?}");
    println!(
        "instructions per verdict (mean, worst, program): ours {ours:?}, libseccomp {list:?}, its binary tree {tree:?}"
    );
    assert!(ours.0 < tree.0 && ours.0 < list.0 && ours.1 < tree.1 && ours.1 < list.1);
    if !cfg!(debug_assertions) {
        assert!(our_time * 30 < their_time);
    }
}
