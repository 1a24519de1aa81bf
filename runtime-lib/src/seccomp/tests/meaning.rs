//! Programs answer as the profile says: cases by hand, and made-up profiles against the reference.

use super::generate::{self, FAMILIES, Material, Random};
use super::*;
use serde_json::json;
use tables::Name;

/// A profile of one rule on getuid(2), `ERRNO(5)` if `args` match, on top of `ALLOW`.
fn on_arguments(args: serde_json::Value) -> Filter {
    let section = profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
        {"names": ["getuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "args": args}]}));
    compiled(&section, Arch::X86_64)
}

#[test]
fn operators_compare_64_bits_unsigned() {
    const BIG: u64 = 0x1_0000_0002;
    /// Operator, value, valueTwo, arguments that match, arguments that do not.
    type Case = (&'static str, u64, u64, &'static [u64], &'static [u64]);
    let cases: &[Case] = &[
        ("SCMP_CMP_EQ", BIG, 0, &[BIG], &[2, 1, 0x1_0000_0001, 0x2_0000_0002]),
        ("SCMP_CMP_NE", BIG, 0, &[2, 0x1_0000_0001, 0x2_0000_0002], &[BIG]),
        ("SCMP_CMP_LT", BIG, 0, &[0, 0xffff_ffff, BIG - 1], &[BIG, BIG + 1, 0x2_0000_0000, u64::MAX]),
        ("SCMP_CMP_LE", BIG, 0, &[0, 0xffff_ffff, BIG], &[BIG + 1, 0x2_0000_0000, u64::MAX]),
        ("SCMP_CMP_GE", BIG, 0, &[BIG, BIG + 1, 0x2_0000_0000, u64::MAX], &[0, 0xffff_ffff, BIG - 1]),
        ("SCMP_CMP_GT", BIG, 0, &[BIG + 1, 0x2_0000_0000, u64::MAX], &[0, 0xffff_ffff, BIG]),
        ("SCMP_CMP_GT", u64::MAX, 0, &[], &[0, u64::MAX]),
        ("SCMP_CMP_LE", u64::MAX, 0, &[0, u64::MAX], &[]),
        ("SCMP_CMP_GE", 0, 0, &[0, u64::MAX], &[]),
        ("SCMP_CMP_LT", 0, 0, &[], &[0, u64::MAX]),
        ("SCMP_CMP_GT", 0xffff_ffff, 0, &[0x1_0000_0000], &[0xffff_ffff, 0]),
        (
            "SCMP_CMP_MASKED_EQ",
            0xff_0000_00f0,
            0x1_0000_0010,
            &[0x1_0000_0010, 0xf01_ffff_ff1f],
            &[0x10, 0x1_0000_0020],
        ),
        // Bits of the value that the mask takes away do not count.
        ("SCMP_CMP_MASKED_EQ", 0xf0, 0x1ff, &[0xf0, 0xff], &[0xe0]),
        ("SCMP_CMP_MASKED_EQ", 0, 0, &[0, u64::MAX], &[]),
        ("SCMP_CMP_MASKED_EQ", 0x8, 0x8, &[8, 0xf], &[0, 7]),
        ("SCMP_CMP_MASKED_EQ", 0xc, 0, &[0, 3, u64::MAX << 4], &[4, 8, 12]),
    ];
    for (op, value, two, yes, no) in cases {
        let filter = on_arguments(json!([{"index": 1, "value": value, "valueTwo": two, "op": op}]));
        for (values, expected) in [(yes, errno(5)), (no, ALLOW)] {
            for value in *values {
                assert_eq!(
                    verdict(&filter, Arch::X86_64, "getuid", &[9, *value]),
                    expected,
                    "{value:#x} {op}\n{filter}"
                );
            }
        }
    }
}

#[test]
fn a_32_bit_architecture_compares_lower_halves() {
    let filter = on_arguments(json!([{"index": 0, "value": 0x1_0000_0007_u64, "op": "SCMP_CMP_EQ"}]));
    assert_eq!(verdict(&filter, Arch::X86, "getuid", &[7]), errno(5));
    assert_eq!(verdict(&filter, Arch::X86_64, "getuid", &[7]), ALLOW);
}

#[test]
fn conditions_on_different_arguments_all_hold_and_on_one_any() {
    let eq = |index, value| json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
    let both = on_arguments(json!([eq(2, 1), eq(0, 2)]));
    assert_eq!(verdict(&both, Arch::X86_64, "getuid", &[2, 0, 1]), errno(5));
    assert_eq!(verdict(&both, Arch::X86_64, "getuid", &[2, 0, 2]), ALLOW);
    assert_eq!(verdict(&both, Arch::X86_64, "getuid", &[1, 0, 1]), ALLOW);
    let any = on_arguments(json!([eq(0, 1), eq(0, 2), eq(1, 3)]));
    for (args, expected) in [([1, 0], errno(5)), ([2, 0], errno(5)), ([0, 3], errno(5)), ([0, 0], ALLOW)] {
        assert_eq!(verdict(&any, Arch::X86_64, "getuid", &args), expected, "{args:?}");
    }
}

#[test]
fn every_action_has_its_return_value() {
    let cases = [
        ("SCMP_ACT_KILL", None, 0),
        ("SCMP_ACT_KILL_THREAD", Some(5), 0),
        ("SCMP_ACT_KILL_PROCESS", Some(5), 0x8000_0000),
        ("SCMP_ACT_TRAP", Some(5), 0x0003_0000),
        ("SCMP_ACT_ERRNO", None, 0x0005_0001),
        ("SCMP_ACT_ERRNO", Some(0), 0x0005_0000),
        ("SCMP_ACT_ERRNO", Some(4094), 0x0005_0ffe),
        ("SCMP_ACT_ERRNO", Some(65537), 0x0005_0001),
        ("SCMP_ACT_TRACE", None, 0x7ff0_0001),
        ("SCMP_ACT_TRACE", Some(65535), 0x7ff0_ffff),
        ("SCMP_ACT_LOG", None, 0x7ffc_0000),
        ("SCMP_ACT_ALLOW", Some(5), 0x7fff_0000),
        ("SCMP_ACT_NOTIFY", None, 0x7fc0_0000),
    ];
    for (action, errno_ret, expected) in cases {
        let mut rule = json!({"names": ["getuid"], "action": action});
        if let Some(number) = errno_ret {
            rule["errnoRet"] = number.into();
        }
        // Another default than the rule's action, or there is nothing to see.
        let default = if action == "SCMP_ACT_TRAP" { "SCMP_ACT_ALLOW" } else { "SCMP_ACT_TRAP" };
        let section = profile(json!({"defaultAction": default, "listenerPath": "/run/agent", "syscalls": [rule]}));
        let filter = compiled(&section, Arch::X86_64);
        assert_eq!(verdict(&filter, Arch::X86_64, "getuid", &[]), Verdict(expected), "{action} {errno_ret:?}");
        assert_eq!(filter.notify, action == "SCMP_ACT_NOTIFY");
    }
}

#[test]
fn an_unlisted_architecture_is_killed_and_the_native_one_is_always_listed() {
    let section = profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"]}));
    let filter = compiled(&section, Arch::X86_64);
    for arch in Arch::ALL {
        let expected = if matches!(arch, Arch::X86 | Arch::X86_64) { ALLOW } else { KILL_THREAD };
        let number = arch.number(Name::find("read").unwrap()).unwrap();
        assert_eq!(verdict_on(&filter, arch, number, &[]), expected, "{arch:?}");
    }
    // What a tracer writes to skip a call is nobody's call.
    assert_eq!(verdict_on(&filter, Arch::X86_64, u32::MAX, &[]), ALLOW);
    assert_eq!(verdict_on(&filter, Arch::X86_64, 0x4000_0000, &[]), KILL_THREAD);
    assert_eq!(verdict_on(&filter, Arch::X86_64, 0x8000_0000, &[]), KILL_THREAD);
}

/// What runc 1.1.5 answers to the same profile, seen from a program in a container.
#[test]
fn calls_above_the_highest_known_one_are_enosys() {
    let base = json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
        {"names": ["getpid", "faccessat2", "nosuchcall"], "action": "SCMP_ACT_ALLOW"}]});
    let with = |key: &str, value: serde_json::Value| {
        let mut section = base.clone();
        section[key] = value;
        compiled(&profile(section), Arch::X86_64)
    };
    let last = 439;
    let stub = with("defaultErrnoRet", json!(2));
    for (number, expected) in [(39, ALLOW), (40, errno(2)), (last - 1, errno(2)), (last, ALLOW), (last + 1, ENOSYS)] {
        assert_eq!(verdict_on(&stub, Arch::X86_64, number, &[]), expected, "{number}");
    }
    assert_eq!(verdict_on(&stub, Arch::X86_64, 0x4000_0027, &[]), KILL_THREAD);
    assert_eq!(verdict_on(&stub, Arch::X86_64, u32::MAX, &[]), errno(2));
    let kill = with("defaultAction", json!("SCMP_ACT_KILL_PROCESS"));
    assert_eq!(verdict_on(&kill, Arch::X86_64, last + 1, &[]), ENOSYS);
    assert_eq!(verdict_on(&kill, Arch::X86_64, last - 1, &[]), Verdict(0x8000_0000));
    for (action, value) in [("SCMP_ACT_LOG", 0x7ffc_0000), ("SCMP_ACT_TRACE", 0x7ff0_0001)] {
        assert_eq!(verdict_on(&with("defaultAction", json!(action)), Arch::X86_64, last + 1, &[]), Verdict(value));
    }
    let x32 = with("architectures", json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]));
    assert_eq!(verdict_on(&x32, Arch::X86_64, last + 1, &[]), ENOSYS);
    assert_eq!(verdict_on(&x32, Arch::X86_64, 0x4000_0000 + last, &[]), ALLOW);
    assert_eq!(verdict_on(&x32, Arch::X86_64, 0x4000_0000 + last + 1, &[]), ENOSYS);
    assert_eq!(verdict_on(&x32, Arch::X86_64, u32::MAX, &[]), ENOSYS);
    // A rule with the default action changes nothing but makes its name known.
    let known = with("syscalls", json!([{"names": ["mseal"], "action": "SCMP_ACT_ERRNO"}]));
    assert_eq!(verdict_on(&known, Arch::X86_64, 461, &[]), errno(1));
    assert_eq!(verdict_on(&known, Arch::X86_64, 463, &[]), ENOSYS);
    // No name known: no stub.
    let none = with("syscalls", json!([{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]));
    assert_eq!(verdict_on(&none, Arch::X86_64, 463, &[]), errno(1));
}

/// The s390 kernel shows calls that it does not know as 0.
#[test]
fn on_s390_zero_stands_for_unknown_calls() {
    let section =
        json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["faccessat2"], "action": "SCMP_ACT_ALLOW"}]});
    let filter = compiled(&profile(section), Arch::S390x);
    assert_eq!(verdict_on(&filter, Arch::S390x, 0, &[]), ENOSYS);
    assert_eq!(verdict_on(&filter, Arch::S390x, 1, &[]), errno(1));
    assert_eq!(verdict_on(&filter, Arch::S390x, 440, &[]), ENOSYS);
}

#[test]
fn socketcall_and_ipc_follow_the_calls_they_stand_for() {
    let eq = json!([{"index": 0, "value": 5, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 6, "op": "SCMP_CMP_EQ"}]);
    let section = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
        {"names": ["socket", "semop"], "action": "SCMP_ACT_TRAP"},
        {"names": ["connect"], "action": "SCMP_ACT_TRAP", "args": eq}]});
    let filter = compiled(&profile(section), Arch::X86_64);
    let trap = Verdict(0x0003_0000);
    for (call, args, expected) in [
        ("socket", [9, 9], trap),
        ("socketcall", [1, 9], trap),
        ("socketcall", [2, 9], ALLOW),
        ("ipc", [1, 0], trap),
        ("ipc", [2, 0], ALLOW),
        ("connect", [5, 6], trap),
        ("connect", [3, 6], ALLOW),
        // The condition on the first argument gives way to the selector; the other one stays.
        ("socketcall", [3, 6], trap),
        ("socketcall", [3, 7], ALLOW),
    ] {
        assert_eq!(verdict(&filter, Arch::X86, call, &args), expected, "{call} {args:?}");
    }
    assert_eq!(verdict(&filter, Arch::X86_64, "semop", &[]), trap);
}

/// Every architecture of the specification: its own numbers, the byte order and width of its arguments, `ENOSYS` above, the
/// calls that socketcall(2) and ipc(2) make where they do, and nobody else's calls.
#[test]
fn every_architecture_has_its_numbers_byte_order_width_and_multiplexers() {
    const WIDE: u64 = 0x1_0000_0007;
    let condition = json!([{"index": 2, "value": WIDE, "op": "SCMP_CMP_EQ"}]);
    let section = profile(json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 2, "syscalls": [
        {"names": ["read", "write", "socket", "semop", "openat2"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["dup"], "action": "SCMP_ACT_TRAP", "args": condition}]}));
    let mut multiplexed = 0;
    for arch in Arch::ALL {
        let filter = compiled(&section, arch);
        let of = |name: &str, args: &[u64]| {
            let number = arch.number(Name::find(name).unwrap())?;
            Some(verdict_on(&filter, arch, number, args))
        };
        for name in ["read", "write", "openat2"] {
            assert_eq!(of(name, &[]), Some(ALLOW), "{arch:?} {name}");
        }
        for name in ["close", "mkdirat", "chdir"] {
            assert_eq!(of(name, &[]), Some(errno(2)), "{arch:?} {name}");
        }
        assert_eq!(of("faccessat2", &[]), Some(ENOSYS), "{arch:?}");
        // A 32-bit architecture sees the lower half only.
        let narrow = if arch.wide_arguments() { errno(2) } else { Verdict(0x0003_0000) };
        assert_eq!(of("dup", &[0, 0, 7]), Some(narrow), "{arch:?}");
        assert_eq!(of("dup", &[0, 0, WIDE]), Some(Verdict(0x0003_0000)), "{arch:?}");
        assert_eq!(of("dup", &[0, 0, WIDE + 1]), Some(errno(2)), "{arch:?}");
        if arch.multiplexes() {
            multiplexed += 1;
            for (call, selector, expected) in
                [("socketcall", 1, ALLOW), ("socketcall", 2, errno(2)), ("ipc", 1, ALLOW), ("ipc", 2, errno(2))]
            {
                assert_eq!(of(call, &[selector]), Some(expected), "{arch:?} {call} {selector}");
            }
        }
        let read = arch.number(Name::find("read").unwrap()).unwrap();
        for other in Arch::ALL.into_iter().filter(|other| other.audit() != arch.audit()) {
            assert_eq!(verdict_on(&filter, other, read, &[]), KILL_THREAD, "{other:?} under the filter of {arch:?}");
        }
    }
    assert_eq!(multiplexed, 11);
}

#[test]
fn of_several_rules_the_unconditional_then_the_first_decides() {
    let rule = |action: &str, args: &[(usize, u64, &str)]| {
        let args: Vec<_> = args.iter().map(|(i, v, op)| json!({"index": i, "value": v, "op": op})).collect();
        json!({"names": ["getuid"], "action": action, "args": args})
    };
    let cases = [
        (vec![rule("SCMP_ACT_LOG", &[]), rule("SCMP_ACT_TRAP", &[])], [0, 0], 0x7ffc_0000),
        (vec![rule("SCMP_ACT_TRAP", &[(0, 1, "SCMP_CMP_EQ")]), rule("SCMP_ACT_LOG", &[])], [1, 0], 0x7ffc_0000),
        (
            vec![rule("SCMP_ACT_TRAP", &[(0, 1, "SCMP_CMP_EQ")]), rule("SCMP_ACT_LOG", &[(1, 1, "SCMP_CMP_EQ")])],
            [1, 1],
            0x0003_0000,
        ),
        (
            vec![rule("SCMP_ACT_LOG", &[(1, 1, "SCMP_CMP_EQ")]), rule("SCMP_ACT_TRAP", &[(0, 1, "SCMP_CMP_EQ")])],
            [1, 1],
            0x7ffc_0000,
        ),
        (
            vec![rule("SCMP_ACT_LOG", &[(1, 1, "SCMP_CMP_EQ")]), rule("SCMP_ACT_TRAP", &[(0, 1, "SCMP_CMP_EQ")])],
            [1, 2],
            0x0003_0000,
        ),
    ];
    for (rules, args, expected) in cases {
        let section = profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}));
        let filter = compiled(&section, Arch::X86_64);
        assert_eq!(verdict(&filter, Arch::X86_64, "getuid", &args), Verdict(expected), "{rules:?}\n{filter}");
    }
}

#[test]
fn made_up_profiles_mean_what_the_reference_says() {
    let names: Vec<&str> = Name::all().map(Name::as_str).collect();
    let few = ["read", "openat", "socket", "connect", "semop", "shmget", "socketcall", "ipc", "waitpid", "mseal"];
    let (mut verdicts, mut refused, mut distinct) = (0, 0, std::collections::HashSet::new());
    for seed in thinned(0..3000_u32, 3).map(u64::from) {
        let mut random = Random::new(seed);
        let (native, listed) = random.pick(&FAMILIES);
        let names = if seed % 2 == 0 { &names[..] } else { &few[..] };
        let material = Material { archs: listed, names, mixed: seed % 3 != 0 };
        let section = generate::profile(&mut random, &material);
        let filter = match compile_with(&section, native, Backend::Own) {
            Ok(filter) => filter,
            Err(error) => {
                assert!(error.to_string().contains("contradicts"), "seed {seed}: {error}");
                refused += 1;
                continue;
            }
        };
        machine::verify(&filter.program).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{filter}"));
        let mut archs: Vec<Arch> = listed.iter().filter_map(|arch| Arch::from_oci(*arch)).collect();
        archs.extend([native, Arch::Sh]);
        for call in thinned(generate::calls(&mut random, &section, &archs, 150), 8) {
            let expected = reference::answer(&section, native, &call).verdict;
            let (got, _) = machine::run(&filter.program, &call);
            assert_eq!(got, expected, "seed {seed}: {call:?}\n{}\n{filter}", explain(&section, native).unwrap());
            verdicts += 1;
            distinct.insert(got.0);
        }
    }
    if !trials::ALL {
        return;
    }
    assert!(verdicts > 300_000, "{verdicts}");
    assert!((50..1500).contains(&refused), "{refused} refused");
    assert!(distinct.len() > 12, "{distinct:?}");
}

/// Whatever the section says, there is an error or a program that the kernel takes.
#[test]
fn nonsense_is_refused_or_compiled_but_never_panics() {
    use oci_spec::runtime::{LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSyscall};
    let names: Vec<&str> = Name::all().map(Name::as_str).chain(["", "write", "nosuchcall", "\0", "é"]).collect();
    let (mut accepted, mut refused) = (0, 0);
    for seed in thinned(0..2000_u32, 3).map(u64::from) {
        let mut random = Random::new(seed);
        let native = random.pick(&Arch::ALL);
        let (_, listed) = random.pick(&FAMILIES);
        let mut section = generate::profile(&mut random, &Material { archs: listed, names: &names, mixed: true });
        section.set_default_errno_ret(Some(random.next() as u32 >> random.below(32)));
        let mut syscalls: Vec<LinuxSyscall> = section.syscalls().clone().unwrap_or_default();
        for syscall in &mut syscalls {
            if random.below(4) == 0 {
                syscall.set_action(random.pick(&[Action::ScmpActNotify, Action::ScmpActErrno, Action::ScmpActKill]));
                syscall.set_errno_ret(Some(random.next() as u32));
            }
            let mut args: Vec<LinuxSeccompArg> = syscall.args().clone().unwrap_or_default();
            for arg in &mut args {
                if random.below(20) == 0 {
                    let index = random.pick(&[6, 7, 255, 256, usize::MAX]);
                    let fresh = LinuxSeccompArgBuilder::default().index(index).op(arg.op()).value(arg.value());
                    *arg = fresh.build().unwrap();
                }
            }
            syscall.set_args(Some(args));
        }
        section.set_syscalls(Some(syscalls));
        section.set_listener_path((seed % 2 == 0).then(|| "/run/agent".into()));
        match compile_with(&section, native, Backend::Own) {
            Ok(filter) => {
                machine::verify(&filter.program).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{filter}"));
                assert!(!explain(&section, native).unwrap().is_empty());
                accepted += 1;
            }
            Err(error) => {
                assert!(error.location().unwrap().starts_with("linux.seccomp."), "{error}");
                refused += 1;
            }
        }
    }
    assert!(accepted > 200 && refused > 200 || !trials::ALL, "{accepted} accepted, {refused} refused");
}
