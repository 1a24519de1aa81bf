#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod engine;
mod generate;
mod intended;
mod machine;
mod meaning;
#[cfg(feature = "libseccomp")]
mod oracle;
mod reference;
mod refusals;
mod size_and_shape;

use super::*;
use crate::trials::{self, thinned};
use machine::Data;

/// A profile from JSON.
fn profile(json: serde_json::Value) -> LinuxSeccomp {
    serde_json::from_value(json).expect("the test's profile is well-formed")
}

/// Compiles, and checks that the kernel would take the program.
fn compiled(section: &LinuxSeccomp, native: Arch) -> Filter {
    let filter = compile_with(section, native, Backend::Own).unwrap_or_else(|e| panic!("{e:#}: {section:?}"));
    machine::verify(&filter.program).unwrap_or_else(|e| panic!("{e}\n{filter}"));
    filter
}

/// The verdict on a call by name.
fn verdict(filter: &Filter, arch: Arch, name: &str, args: &[u64]) -> Verdict {
    let number = arch.number(tables::Name::find(name).expect(name)).unwrap_or_else(|| panic!("{arch:?}: {name}"));
    verdict_on(filter, arch, number, args)
}

/// The verdict on a call by number.
fn verdict_on(filter: &Filter, arch: Arch, number: u32, args: &[u64]) -> Verdict {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    machine::run(&filter.program, &Data { arch, number, args: all }).0
}

const ALLOW: Verdict = Verdict(0x7fff_0000);
const KILL_THREAD: Verdict = Verdict(0);
const ENOSYS: Verdict = Verdict(0x0005_0026);

fn errno(number: u32) -> Verdict {
    Verdict(0x0005_0000 | number)
}
