//! Any JSON as `linux.seccomp`, on a machine of either byte order: there is a program that the kernel's checks accept
//! and that ends, or a message that names an element. What is compiled can be printed.

#![no_main]

use libcorten::seccomp::{Arch, Insn, bpf, compile, explain};
use libfuzzer_sys::fuzz_target;

/// What `bpf_check_classic` and `seccomp_check_filter` of the kernel check. All jumps go forward, so that it ends.
fn assert_loadable(program: &[Insn]) {
    assert!((1..=bpf::MAX_INSNS).contains(&program.len()));
    for (place, insn) in program.iter().enumerate() {
        let left = program.len() - place - 1;
        match insn.code {
            bpf::LD_ABS => assert!(insn.k % 4 == 0 && insn.k < 64),
            bpf::AND | bpf::RET => {}
            bpf::JA => assert!((insn.k as usize) < left),
            bpf::JEQ | bpf::JGE | bpf::JSET => assert!(usize::from(insn.jt.max(insn.jf)) < left),
            _ => panic!("{insn:?}"),
        }
    }
    assert_eq!(program.last().map(|insn| insn.code), Some(bpf::RET));
}

fuzz_target!(|text: &[u8]| {
    let Ok(section) = serde_json::from_slice(text) else { return };
    for native in [Arch::X86_64, Arch::S390x] {
        match compile(&section, native) {
            Ok(filter) => {
                assert_loadable(&filter.program);
                assert!(!filter.to_string().is_empty());
                assert!(explain(&section, native).is_ok());
            }
            Err(error) => {
                assert!(error.location().is_some_and(|location| location.starts_with("linux.seccomp")));
                assert!(!format!("{error:#}").is_empty());
            }
        }
    }
});
