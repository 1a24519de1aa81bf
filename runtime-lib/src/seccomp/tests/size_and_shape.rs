//! Programs are short, shallow, within the kernel's limits, and readable.

use super::*;
use machine::Data;
use serde_json::json;
use tables::Name;

/// Most names allowed with gaps, on three architectures: the shape of the engines' default profile.
fn like_an_engine() -> LinuxSeccomp {
    let names = Name::all().map(Name::as_str).enumerate().filter(|(i, _)| i % 7 != 3).map(|(_, n)| n);
    let names: Vec<&str> = thinned(names.collect::<Vec<_>>(), 30).collect();
    let masked = json!([{"index": 0, "value": 2_080_505_856, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]);
    profile(json!({"defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": masked}]}))
}

#[test]
fn the_search_is_as_deep_as_the_logarithm() {
    let filter = compiled(&like_an_engine(), Arch::X86_64);
    for arch in [Arch::X86_64, Arch::X86, Arch::X32] {
        for number in thinned(0..600, 20).map(|n| if arch == Arch::X32 { 0x4000_0000 + n } else { n }) {
            let (_, steps) = machine::run(&filter.program, &Data { arch, number, args: [0; 6] });
            assert!(steps <= 18, "{arch:?} {number}: {steps}");
        }
    }
    assert!(filter.program.len() < 900, "{}", filter.program.len());
}

/// A program longer than a conditional jump reaches still leads everywhere.
#[test]
fn far_jumps_arrive() {
    let names: Vec<&str> = thinned(Name::all().map(Name::as_str).collect::<Vec<_>>(), 20).collect();
    let rules: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(place, name)| {
            json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": place + 100,
                "args": [{"index": place % 6, "value": place, "op": "SCMP_CMP_EQ"}]})
        })
        .collect();
    let filter = compiled(&profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})), Arch::X86_64);
    let is_long = filter.program.len() > 1000 && filter.program.iter().any(|insn| insn.code == bpf::JA);
    assert!(is_long || !trials::ALL);
    for (place, name) in names.iter().enumerate() {
        let Some(number) = Arch::X86_64.number(Name::find(name).unwrap()) else { continue };
        let mut args = [u64::MAX; 6];
        assert_eq!(verdict_on(&filter, Arch::X86_64, number, &args), ALLOW);
        args[place % 6] = place as u64;
        assert_eq!(verdict_on(&filter, Arch::X86_64, number, &args), errno(place as u32 + 100), "{name}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "a very large profile")]
fn too_large_a_profile_is_an_error() {
    let rules = |count: u64| {
        let rules: Vec<_> = (0..count)
            .map(|value| {
                let arg = |index: usize, value: u64| json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
                json!({"names": ["read"], "action": "SCMP_ACT_TRAP", "args": [arg(0, value * 3 + 1), arg(1, value * 7)]})
            })
            .collect();
        profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    };
    let largest = compiled(&rules(500), Arch::X86_64);
    assert!(largest.program.len() > 1000);
    for count in [4000, 10_000] {
        let error = compile_with(&rules(count), Arch::X86_64, Backend::Own).unwrap_err();
        assert!(error.location().unwrap().starts_with("linux.seccomp.syscalls"), "{error}");
    }
}

/// The steps of the optimisation, seen in the program: a word is loaded once on a path, an upper half is tested once
/// for all values, and neighbours with equal decisions are one range.
#[test]
fn the_program_of_a_small_profile() {
    let eq = |value: u64| {
        let arg = json!({"index": 0, "value": value, "op": "SCMP_CMP_EQ"});
        json!({"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [arg]})
    };
    let section = profile(json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
        {"names": ["read", "write", "open", "close"], "action": "SCMP_ACT_ALLOW"}, eq(0), eq(8), eq(0x20000)]}));
    let filter = compiled(&section, Arch::X86_64);
    let expected = [
        "   0: load arch",
        "   1: if == 0xc000003e goto 2 else 14",
        "   2: load nr",
        "   3: if >= 0x40000000 goto 13 else 4",
        "   4: if >= 0x4 goto 5 else 12",
        "   5: if == 0x87 goto 6 else 15",
        "   6: load args[0]+4",
        "   7: if == 0x0 goto 8 else 15",
        "   8: load args[0]",
        "   9: if == 0x0 goto 12 else 10",
        "  10: if == 0x8 goto 12 else 11",
        "  11: if == 0x20000 goto 12 else 15",
        "  12: return allow",
        "  13: if == 0xffffffff goto 15 else 14",
        "  14: return kill-thread",
        "  15: return errno ENOSYS",
    ];
    assert_eq!(filter.to_string().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn bytes_are_sock_filters() {
    let filter = compiled(&profile(json!({"defaultAction": "SCMP_ACT_ALLOW"})), Arch::X86_64);
    assert_eq!(std::mem::size_of::<Insn>(), 8);
    let bytes = filter.to_bytes();
    assert_eq!(bytes.len(), 8 * filter.program.len());
    let first: [u8; 8] = bytes[..8].try_into().unwrap();
    assert_eq!(u16::from_ne_bytes([first[0], first[1]]), bpf::LD_ABS);
    assert_eq!(u32::from_ne_bytes([first[4], first[5], first[6], first[7]]), 4);
}

#[test]
fn the_explanation_names_calls_conditions_and_the_rest() {
    let section = profile(json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
        {"names": ["read", "write", "nosuchcall"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 0xff00, "valueTwo": 0x100, "op": "SCMP_CMP_MASKED_EQ"},
                     {"index": 1, "value": 5, "op": "SCMP_CMP_LT"}]}]}));
    let expected = "\
SCMP_ARCH_X86_64 (audit 0xc000003e)
  allow, 2 calls:
    read write
  clone: allow if args[0] & 0xff00 == 0x100 and args[1] < 0x5; else errno EPERM
  others up to clone: errno EPERM
  above: errno ENOSYS
SCMP_ARCH_X86 (audit 0x40000003)
  allow, 2 calls:
    read write
  clone: allow if args[0] & 0xff00 == 0x100 and args[1] < 0x5; else errno EPERM
  others up to clone: errno EPERM
  above: errno ENOSYS
any other architecture: kill-thread
unknown names, ignored:
  nosuchcall
";
    assert_eq!(explain(&section, Arch::X86_64).unwrap(), expected);
}
