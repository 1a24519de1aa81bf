//! The profile that engines use by default, in the form that they give to a runtime. See `data/README.md`.

use super::generate::Random;
use super::machine::Data;
use super::*;
use std::process::Command;

const SOURCE: &str = include_str!("data/containers.json");

/// What Podman 4.3 gives a runtime.
pub(super) fn podman() -> LinuxSeccomp {
    serde_json::from_str(include_str!("data/podman.json")).unwrap()
}

/// The profile in OCI form, as Podman makes it for these capabilities on amd64.
pub(super) fn profile_for(capabilities: &[&str]) -> LinuxSeccomp {
    let source: serde_json::Value = serde_json::from_str(SOURCE).unwrap();
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
pub(super) const PODMAN: [&str; 11] = [
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

/// Every number of the tables of the machine's three ABIs, and numbers beyond.
pub(super) fn every_call() -> Vec<Data> {
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

/// Our reading of the source is Podman's: the same program, though it writes some elements otherwise.
#[test]
#[cfg_attr(miri, ignore = "a very large profile")]
fn the_profile_is_turned_into_oci_form_as_podman_does() {
    let (ours, podmans) = (profile_for(&PODMAN), podman());
    assert_eq!(compiled(&ours, Arch::X86_64), compiled(&podmans, Arch::X86_64));
    let names =
        |section: &LinuxSeccomp| section.syscalls().iter().flatten().map(|rule| rule.names().len()).sum::<usize>();
    assert_eq!((names(&ours), names(&podmans)), (437, 437));
}

/// The copy is what the package of the machine has, if it is there in that version.
#[test]
#[cfg_attr(miri, ignore = "runs a program")]
fn the_copy_is_that_of_the_package() {
    let Ok(installed) = std::fs::read_to_string("/usr/share/containers/seccomp.json") else {
        eprintln!("left out: golang-github-containers-common is not installed");
        return;
    };
    let version =
        Command::new("dpkg-query").args(["-W", "-f", "${Version}", "golang-github-containers-common"]).output();
    match version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()) {
        Ok(version) if version.starts_with("0.50.1") => assert_eq!(installed, SOURCE),
        other => eprintln!("left out: another version of golang-github-containers-common: {other:?}"),
    }
}

#[test]
#[cfg_attr(miri, ignore = "a very large profile")]
fn every_call_gets_what_the_reference_says_in_few_steps() {
    let section = podman();
    let filter = compiled(&section, Arch::X86_64);
    for call in every_call() {
        let (verdict, steps) = machine::run(&filter.program, &call);
        assert_eq!(verdict, reference::answer(&section, Arch::X86_64, &call).verdict, "{call:?}");
        assert!(steps <= 19, "{steps}: {call:?}");
    }
    assert!(filter.program.len() < 320, "{}", filter.program.len());
}
