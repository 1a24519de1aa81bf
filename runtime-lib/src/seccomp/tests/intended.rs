//! Where our programs answer otherwise than libseccomp's on purpose, one by one: what we answer, and, with the feature, what
//! libseccomp 2.5.4 answers, so that a difference that is gone does not stay in the list. The comparison of made-up
//! profiles (`oracle.rs`) takes these apart and nothing else.

use super::machine::Data;
use super::*;
use serde_json::json;

struct Difference {
    what: &'static str,
    native: Arch,
    section: serde_json::Value,
    number: u32,
    args: [u64; 6],
    ours: Verdict,
    /// Of libseccomp 2.5.4 alone, without the `ENOSYS` that runc and our back end put in front.
    #[cfg_attr(not(feature = "libseccomp"), allow(dead_code, reason = "for the comparison with libseccomp"))]
    libseccomps: Verdict,
}

const TRAP: Verdict = Verdict(0x0003_0000);
const LOG: Verdict = Verdict(0x7ffc_0000);

fn on(name: &str, action: &str, args: &[(usize, &str, u64)]) -> serde_json::Value {
    let args: Vec<_> =
        args.iter().map(|(index, op, value)| json!({"index": index, "op": op, "value": value})).collect();
    json!({"names": [name], "action": action, "args": args})
}

/// A profile with `ALLOW` for the rest.
fn allowing(rules: &[serde_json::Value]) -> serde_json::Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})
}

/// A profile with `ERRNO` for the rest, and one allowed call.
fn only(name: &str) -> serde_json::Value {
    json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [on(name, "SCMP_ACT_ALLOW", &[])]})
}

fn number(arch: Arch, name: &str) -> u32 {
    arch.number(tables::Name::find(name).unwrap()).unwrap()
}

/// Whole programs on `s390x` are longer than a jump reaches with this many rules.
fn long() -> serde_json::Value {
    let names: Vec<&str> = tables::Name::all().map(tables::Name::as_str).collect();
    let rules: Vec<_> =
        thinned(0..200, 10).map(|place| on(names[place * 2], "SCMP_ACT_TRAP", &[(0, "SCMP_CMP_EQ", 7)])).collect();
    allowing(&rules)
}

fn differences() -> Vec<Difference> {
    let overlapping = allowing(&[
        on("getuid", "SCMP_ACT_TRAP", &[(0, "SCMP_CMP_EQ", 1)]),
        on("getuid", "SCMP_ACT_LOG", &[(1, "SCMP_CMP_EQ", 1)]),
    ]);
    let widened = allowing(&[
        on("getuid", "SCMP_ACT_TRAP", &[(1, "SCMP_CMP_LT", 7)]),
        on("getuid", "SCMP_ACT_TRAP", &[(1, "SCMP_CMP_GT", 0x16ca_fa09_c593_6e7b)]),
    ]);
    let difference = |what, native, section, number, args: [u64; 2], ours, libseccomps| {
        let args = [args[0], args[1], 0, 0, 0, 0];
        Difference { what, native, section, number, args, ours, libseccomps }
    };
    let x86_64 = |name| number(Arch::X86_64, name);
    vec![
        difference(
            "calls newer than the profile do not exist",
            Arch::X86_64,
            only("faccessat2"),
            440,
            [0; 2],
            ENOSYS,
            errno(1),
        ),
        difference("on s390x 0 stands for such calls", Arch::S390x, only("faccessat2"), 0, [0; 2], ENOSYS, errno(1)),
        difference(
            "of overlapping rules the first decides",
            Arch::X86_64,
            overlapping,
            x86_64("getuid"),
            [1, 1],
            TRAP,
            LOG,
        ),
        difference(
            "names of Linux 6.12 are known",
            Arch::X86_64,
            only("mseal"),
            x86_64("mseal"),
            [0; 2],
            ALLOW,
            errno(1),
        ),
        difference("rules are not widened", Arch::X86_64, widened, x86_64("getuid"), [0, 0x49ae_7e2c], ALLOW, TRAP),
    ]
}

#[test]
fn the_differences_are_these() {
    for case in differences() {
        let section = profile(case.section.clone());
        let call = Data { arch: case.native, number: case.number, args: case.args };
        let filter = compiled(&section, case.native);
        assert_eq!(machine::run(&filter.program, &call).0, case.ours, "{}\n{filter}", case.what);
        assert_eq!(reference::answer(&section, case.native, &call).verdict, case.ours, "{}: the reference", case.what);
        #[cfg(feature = "libseccomp")]
        if Backend::BUILT_IN.library_version().as_deref() == Some("2.5.4") {
            let theirs = oracle::alone(&section, case.native, false).unwrap();
            assert_eq!(machine::run(&theirs, &call).0, case.libseccomps, "{}: libseccomp", case.what);
        }
    }
}

/// Two mistakes that make a whole program of libseccomp 2.5.4 useless; ours of the same profile is right.
#[test]
fn programs_that_libseccomp_gets_wrong() {
    // The first call of the architecture is one that it does not have: the number is never loaded.
    let rule = on("accept", "SCMP_ACT_LOG", &[(5, "SCMP_CMP_GT", 7)]);
    let first = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]});
    // Jumps that are longer than 255 instructions are in the wrong byte order on a big-endian architecture.
    for (native, section) in [(Arch::X86, first), (Arch::S390x, long())] {
        let section = profile(section);
        let filter = compiled(&section, native);
        for name in thinned(tables::Name::all().collect::<Vec<_>>(), 20) {
            let Some(number) = native.number(name) else { continue };
            for first in [7, 8] {
                let call = Data { arch: native, number, args: [first, 0, 0, 0, 0, 0] };
                let expected = reference::answer(&section, native, &call).verdict;
                assert_eq!(machine::run(&filter.program, &call).0, expected, "{call:?}");
            }
        }
        #[cfg(feature = "libseccomp")]
        if Backend::BUILT_IN.library_version().as_deref() == Some("2.5.4") {
            let theirs = oracle::alone(&section, native, false).unwrap();
            let wrong = tables::Name::all().filter_map(|name| native.number(name)).any(|number| {
                let call = Data { arch: native, number, args: [7, 0, 0, 0, 0, 0] };
                let right = reference::answer(&section, native, &call).verdict;
                crate::seccomp::machine::run(&theirs, &call).is_none_or(|(verdict, _)| verdict != right)
            });
            assert!(wrong || oracle::forgets_the_number(&theirs), "{native:?}: libseccomp's program is right now");
        }
    }
}
