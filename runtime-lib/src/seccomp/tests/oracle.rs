//! libseccomp as the oracle, driven the way runc drives it: its programs, and those of the back end made with it. Needs
//! Debian's libseccomp-dev.

use super::engine::{PODMAN, every_call, profile_for};
use super::generate::{self, Material, Random};
use super::machine::Data;
use super::*;
use crate::seccomp::libseccomp::{self, arch, number as resolve};
use ::libseccomp::ScmpSyscall;
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;
use tables::Name;

/// libseccomp's own program, without the `ENOSYS` that the back end puts in front.
pub(super) fn alone(section: &LinuxSeccomp, native: Arch, tree: bool) -> Result<Vec<Insn>> {
    let profile = libseccomp::known(profile::check(section, native)?);
    libseccomp::export(&libseccomp::context(section, &profile, tree)?, native)
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
        let Ok(theirs) = arch(ours) else { continue };
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
pub(super) fn forgets_the_number(program: &[Insn]) -> bool {
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

/// What our programs are compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Oracle {
    /// libseccomp's program alone.
    Alone,
    /// What corten loads when it is built with libseccomp.
    Backend,
}

/// Our program and libseccomp's, or why there is nothing to compare.
fn both(section: &LinuxSeccomp, native: Arch, oracle: Oracle) -> Result<(Vec<Insn>, Vec<Insn>), &'static str> {
    let (ours, alone) = match (compile_with(section, native, Backend::Own), alone(section, native, false)) {
        (Ok(ours), Ok(alone)) => (ours.program, alone),
        (Err(_), Err(_)) => return Err("both refuse"),
        (Ok(_), Err(_)) => return Err("only libseccomp refuses"),
        (Err(_), Ok(_)) => return Err("only we refuse"),
    };
    // What it puts where a jump does not reach, it leaves in the wrong byte order.
    if !native.little_endian() && alone.len() > 255 {
        return Err("libseccomp's byte order");
    }
    if forgets_the_number(&alone) {
        return Err("libseccomp forgets to load the number");
    }
    if oracle == Oracle::Alone {
        return Ok((ours, alone));
    }
    let backend = compile_with(section, native, Backend::Libseccomp { tree: false }).unwrap().program;
    crate::seccomp::machine::verify(&backend).unwrap();
    Ok((ours, backend))
}

/// Compares on made-up calls. Where several rules with different verdicts match, libseccomp may choose any of them.
fn compare(seeds: std::ops::Range<u64>, mixed: bool, calls: usize, oracle: Oracle) -> HashMap<&'static str, usize> {
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
        let (ours, theirs) = match both(&section, native, oracle) {
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
    let counts = compare(0..1500, false, 150, Oracle::Alone);
    assert!(counts["equal"] > 120_000 && counts["stub"] > 1000);
    assert!(
        ["different", "both refuse", "only we refuse", "only libseccomp refuses"]
            .iter()
            .all(|c| !counts.contains_key(c))
    );
    assert!(counts["entangled rules"] * 500 < counts["equal"]);
}

/// What corten loads when it is built with libseccomp, `ENOSYS` for newer calls included.
#[test]
fn both_back_ends_answer_alike() {
    let counts = compare(0..1000, false, 150, Oracle::Backend);
    assert!(counts["equal"] > 100_000);
    assert!(["different", "stub", "both refuse", "only we refuse"].iter().all(|c| !counts.contains_key(c)));
    for default in [Some(38), Some(1)] {
        let mut section = profile_for(&PODMAN);
        section.set_default_errno_ret(default);
        let ours = compiled(&section, Arch::X86_64);
        for tree in [false, true] {
            let theirs = compile_with(&section, Arch::X86_64, Backend::Libseccomp { tree }).unwrap();
            crate::seccomp::machine::verify(&theirs.program).unwrap();
            for call in every_call() {
                let (our, their) = (machine::run(&ours.program, &call).0, machine::run(&theirs.program, &call).0);
                let name = Name::all().find(|name| call.arch.number(*name) == Some(call.number));
                // Calls newer than libseccomp 2.5.4 do not exist for it.
                let newer = name.is_some_and(|name| resolve(name.as_str()).is_none());
                assert!(our == their || (newer && their == ENOSYS), "tree {tree}, {call:?}: {our}, libseccomp {their}");
            }
        }
    }
}

/// Names that the library is too old for, and architectures that it does not have.
#[test]
fn what_the_library_does_not_know() {
    let allow = |name: &str| serde_json::json!({"names": [name], "action": "SCMP_ACT_ALLOW"});
    let section = profile(
        serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow("mseal"), allow("nosuchcall")]}),
    );
    let filter = compile_with(&section, Arch::X86_64, Backend::Libseccomp { tree: false }).unwrap();
    assert_eq!(filter.ignored_names, ["nosuchcall", "mseal"]);
    let section =
        profile(serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_LOONGARCH64"]}));
    let error = compile_with(&section, Arch::X86_64, Backend::Libseccomp { tree: false }).unwrap_err();
    assert_eq!(error.to_string(), "linux.seccomp.architectures: libseccomp does not know SCMP_ARCH_LOONGARCH64");
}

/// Refusals are compared too. libseccomp's `EEXIST` depends on the shape of its tree: it also refuses some
/// overlapping rules that do not contradict each other.
#[test]
fn made_up_profiles_with_several_verdicts_are_equal_where_libseccomp_is_defined() {
    let counts = compare(3000..4500, true, 150, Oracle::Alone);
    assert!(counts["equal"] > 100_000 && counts["both refuse"] > 100);
    assert_eq!(counts.get("different"), None);
    assert!(counts["only libseccomp refuses"] < 50 && !counts.contains_key("only we refuse"));
    assert!((counts["order of overlapping rules"] + counts["entangled rules"]) * 50 < counts["equal"]);
}

#[test]
fn the_profile_of_engines_is_equal_on_every_call() {
    let all =
        ["CAP_AUDIT_WRITE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_PTRACE", "CAP_SYS_TIME"];
    for capabilities in [&[][..], &PODMAN[..], &all[..]] {
        for default in [Some(38), Some(1), None] {
            let mut section = profile_for(capabilities);
            section.set_default_errno_ret(default);
            let ours = compiled(&section, Arch::X86_64);
            let theirs = alone(&section, Arch::X86_64, false).unwrap();
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
    let section = profile_for(&PODMAN);
    let best = |what: &mut dyn FnMut()| {
        let times = (0..30).map(|_| {
            let start = Instant::now();
            what();
            start.elapsed()
        });
        times.min().unwrap()
    };
    let our_time = best(&mut || drop(compile_with(&section, Arch::X86_64, Backend::Own).unwrap()));
    let their_time = best(&mut || drop(alone(&section, Arch::X86_64, false).unwrap()));
    let tree_time = best(&mut || drop(alone(&section, Arch::X86_64, true).unwrap()));
    let cost = |program: &[Insn]| {
        let calls = every_call();
        let known = |call: &&Data| Name::all().any(|name| call.arch.number(name) == Some(call.number));
        let steps: Vec<usize> = calls.iter().filter(known).map(|call| machine::run(program, call).1).collect();
        (steps.iter().sum::<usize>() as f64 / steps.len() as f64, *steps.iter().max().unwrap(), program.len())
    };
    let ours = cost(&compile_with(&section, Arch::X86_64, Backend::Own).unwrap().program);
    let list = cost(&alone(&section, Arch::X86_64, false).unwrap());
    let tree = cost(&alone(&section, Arch::X86_64, true).unwrap());
    println!("compile: ours {our_time:?}, libseccomp {their_time:?}, its binary tree {tree_time:?}");
    println!(
        "instructions per verdict (mean, worst, program): ours {ours:?}, libseccomp {list:?}, its binary tree {tree:?}"
    );
    assert!(ours.0 < tree.0 && ours.0 < list.0 && ours.1 < tree.1 && ours.1 < list.1);
    if !cfg!(debug_assertions) {
        assert!(our_time * 30 < their_time);
    }
}
