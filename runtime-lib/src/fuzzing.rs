//! What must hold for any bytes from outside: one function for each place where they come in.
//!
//! The fuzz targets (`fuzz/`) call these, and so do the tests here with the corpus that is in git, so that an input that broke
//! something once is tried by every test run, without a fuzzer. Not part of the library that others use.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::host::{Hierarchy, Host, HostCgroups};
use crate::launch::{hooks, wire};
use crate::plan::{self, Choices, Plan};
use crate::seccomp::{self, Arch, Backend, Filter, Insn, Verdict, bpf, machine};
use crate::store::{InitProcess, Record};
use crate::{Bundle, ContainerId, Error, ErrorKind, Result, console, spec};
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A function that tries some bytes, with the name of its fuzz target and of the directory of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 14] = [
    ("cgroup", cgroup),
    ("config", config),
    ("console", console_message),
    ("device_rules", device_rules),
    ("hook_output", hook_output),
    ("id_maps", id_maps),
    ("mount_options", mount_options),
    ("plan", plan),
    ("process", process),
    ("record", record),
    ("resources", resources),
    ("seccomp", seccomp),
    ("systemd", systemd),
    ("wire", wire),
];

fn hierarchy(controllers: &[&str], mount_point: &str) -> Hierarchy {
    Hierarchy {
        controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
        mount_point: mount_point.to_owned(),
        own_path: "/own".to_owned(),
    }
}

fn hosts() -> [Host; 2] {
    let unified = |mount_point| Some(hierarchy(&[], mount_point));
    let v1 = ["cpu", "cpuset", "memory", "devices", "pids", "blkio", "hugetlb", "name=systemd"];
    let v1 = v1.iter().map(|name| hierarchy(&[name], &format!("/sys/fs/cgroup/{name}"))).collect();
    [
        Host { cgroups: HostCgroups { v1, v2: unified("/sys/fs/cgroup/unified") }, euid: 0, resctrl: None },
        Host { cgroups: HostCgroups { v1: Vec::new(), v2: unified("/sys/fs/cgroup") }, euid: 1000, resctrl: None },
    ]
}

/// An error can be printed, and says something.
fn printable(error: &Error) {
    let text = format!("{error:#}");
    assert!(!text.is_empty());
}

/// The plans of a configuration on both machines, each printed; nothing of the configuration moves the reader's cursor.
fn plans(config: &[u8], choices: &Choices) -> Vec<Plan> {
    let id = ContainerId::new("fuzzed").unwrap();
    let bundle = match Bundle::with_config("/bundle", config) {
        Ok(bundle) => bundle,
        Err(error) => {
            printable(&error);
            return Vec::new();
        }
    };
    let planned = hosts().map(|host| plan::lower(&bundle, &id, &host, choices).inspect_err(printable));
    let planned: Vec<Plan> = planned.into_iter().filter_map(Result::ok).collect();
    for plan in &planned {
        let shown = plan.to_string();
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        assert!(serde_json::to_string(&plan).is_ok());
    }
    planned
}

/// A small configuration with these elements of `linux`, and the mounts.
fn with_linux(linux: Value, mounts: Value) -> Vec<u8> {
    let mut config = json!({
        "ociVersion": spec::VERSION,
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["true"]},
        "mounts": mounts,
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
    });
    for (key, value) in linux.as_object().into_iter().flatten() {
        config["linux"][key] = value.clone();
    }
    config.to_string().into_bytes()
}

/// A `config.json`: it is accepted or refused with a message, and the list of all faults agrees.
pub fn config(text: &[u8]) {
    let parsed = spec::parse(text);
    if let Err(error) = &parsed {
        printable(error);
    }
    assert_eq!(parsed.is_ok(), spec::faults(text).is_empty());
}

/// A `config.json` on two machines.
pub fn plan(text: &[u8]) {
    plans(text, &Choices::default());
}

/// The `process` of an exec.
pub fn process(text: &[u8]) {
    if let Err(error) = spec::parse_process(text) {
        printable(&error);
    }
}

/// The resources of an update; what is accepted has limits on both machines or a message.
pub fn resources(text: &[u8]) {
    match spec::parse_resources(text) {
        Err(error) => printable(&error),
        Ok(accepted) => {
            let config = with_linux(json!({"resources": accepted}), json!([]));
            for plan in plans(&config, &Choices::default()) {
                // An update that changes nothing is planned as well.
                let change = plan::cgroup::lower_change(&accepted, &accepted, &plan.cgroup.paths);
                change.inspect_err(printable).ok();
            }
        }
    }
}

/// First line `cgroupsPath`, then `unified` as `KEY=VALUE`: what is written lies in the container's own directory.
pub fn cgroup(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.split('\n');
    let path = lines.next().unwrap_or_default();
    let unified: serde_json::Map<String, Value> =
        lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), json!(value))).collect();
    let config = with_linux(json!({"cgroupsPath": path, "resources": {"unified": unified}}), json!([]));
    for systemd_cgroup in [false, true] {
        for plan in plans(&config, &Choices { systemd_cgroup, ..Choices::default() }) {
            for directory in plan.cgroup.paths.directories() {
                let components: Vec<&str> = directory.path.split('/').collect();
                assert!(directory.path.starts_with('/') && !components.contains(&".."), "{:?}", directory.path);
                assert!(!directory.path.contains('\0'));
            }
            let planned = serde_json::to_value(&plan.cgroup).unwrap();
            for file in planned["writes"].as_array().into_iter().flatten().filter_map(|write| write["file"].as_str()) {
                assert!(!file.contains('/') && !file.is_empty() && file != "..", "{file:?}");
            }
        }
    }
}

/// First line `cgroupsPath`, then annotations as `KEY=VALUE`, under the systemd driver.
pub fn systemd(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.split('\n');
    let path = lines.next().unwrap_or_default();
    let properties: serde_json::Map<String, Value> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (format!("org.systemd.property.{key}"), json!(value)))
        .collect();
    let mut config: Value = serde_json::from_slice(&with_linux(json!({"cgroupsPath": path}), json!([]))).unwrap();
    config["annotations"] = Value::Object(properties);
    plans(config.to_string().as_bytes(), &Choices { systemd_cgroup: true, ..Choices::default() });
}

/// First line a type, second a destination, then options: refused at the mount, or planned.
pub fn mount_options(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.split('\n');
    let (kind, destination) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let options: Vec<&str> = lines.collect();
    let mount = json!({"type": kind, "source": "/source", "destination": destination, "options": options});
    let config = with_linux(json!({}), json!([mount]));
    for fault in spec::faults(&config) {
        printable(&fault);
        assert!(fault.location().is_some_and(|location| location.starts_with("mounts[0]")), "{fault}");
    }
    plans(&config, &Choices::default());
}

/// Triples of numbers, half of them uids: what is accepted maps no id twice and leaves 32 bits nowhere.
pub fn id_maps(bytes: &[u8]) {
    let number = |place: usize| {
        let four = bytes.get(place..place + 4).and_then(|bytes| bytes.try_into().ok());
        four.map(u32::from_le_bytes)
    };
    let triples = (0..bytes.len() / 12)
        .filter_map(|place| Some([number(place * 12)?, number(place * 12 + 4)?, number(place * 12 + 8)?]));
    let (mut uids, mut gids) = (Vec::new(), Vec::new());
    for (place, [inside, outside, size]) in triples.enumerate() {
        let map = json!({"containerID": inside, "hostID": outside, "size": size});
        if place % 2 == 0 { uids.push(map) } else { gids.push(map) }
    }
    let namespaces = json!([{"type": "mount"}, {"type": "user"}]);
    let config = with_linux(json!({"namespaces": namespaces, "uidMappings": uids, "gidMappings": gids}), json!([]));
    for plan in plans(&config, &Choices::default()) {
        for maps in [&plan.namespaces.uid_mappings, &plan.namespaces.gid_mappings] {
            for (place, map) in maps.iter().enumerate() {
                assert!(map.size > 0 && u64::from(map.inside) + u64::from(map.size) <= 1 << 32, "{map:?}");
                assert!(u64::from(map.outside) + u64::from(map.size) <= 1 << 32, "{map:?}");
                let overlaps = |one: (u32, u32), other: (u32, u32)| {
                    u64::from(one.0) < u64::from(other.0) + u64::from(other.1)
                        && u64::from(other.0) < u64::from(one.0) + u64::from(one.1)
                };
                for other in &maps[..place] {
                    assert!(!overlaps((map.inside, map.size), (other.inside, other.size)), "{map:?} {other:?}");
                }
            }
        }
    }
}

/// Four bytes for each rule of `resources.devices`: what is allowed or denied, a major and a minor number, accesses. What is accepted
/// becomes a program that decides as the policy says.
pub fn device_rules(bytes: &[u8]) {
    const NUMBERS: [Option<i64>; 10] =
        [None, Some(-1), Some(0), Some(1), Some(3), Some(5), Some(10), Some(136), Some(200), Some(4_294_967_295)];
    let number = |byte: u8| json!(NUMBERS[usize::from(byte) % NUMBERS.len()]);
    let rules = bytes.chunks_exact(4).take(64).map(|rule| {
        let kind = [Some("a"), Some("b"), Some("c"), None][usize::from(rule[0] >> 1 & 3)];
        let letters = [(1, 'r'), (2, 'w'), (4, 'm')];
        let access: String = letters.iter().filter(|(bit, _)| rule[3] & bit != 0).map(|(_, letter)| letter).collect();
        json!({"allow": rule[0] & 1 != 0, "type": kind, "major": number(rule[1]), "minor": number(rule[2]), "access": access})
    });
    let config = with_linux(json!({"resources": {"devices": rules.collect::<Vec<_>>()}}), json!([]));
    for fault in spec::faults(&config) {
        printable(&fault);
        assert!(fault.location().is_some_and(|location| location.starts_with("linux.resources.devices[")), "{fault}");
    }
    for plan in plans(&config, &Choices::default()) {
        crate::cgroup::devices::interpreter::check(&plan.cgroup.devices);
    }
}

/// A file of the state directory: what can be read can be written and read again.
pub fn record(text: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<Record>(text) {
        record.resources().inspect_err(printable).ok();
        let written = serde_json::to_vec(&record).unwrap();
        let again: Record = serde_json::from_slice(&written).unwrap();
        assert_eq!(serde_json::to_vec(&again).unwrap(), written);
    }
    if let Ok(process) = serde_json::from_slice::<InitProcess>(text) {
        let written = serde_json::to_vec(&process).unwrap();
        assert_eq!(serde_json::from_slice::<InitProcess>(&written).unwrap(), process);
    }
}

/// What a hook prints before it fails: one line of the message, without control characters, and not all of it.
pub fn hook_output(bytes: &[u8]) {
    let mut output = crate::sys::memfd::scratch(c"fuzz").unwrap();
    output.write_all(bytes).unwrap();
    let error = hooks::with_output(Error::new(ErrorKind::Hook, "error running hook"), output);
    let text = format!("{error:#}");
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.starts_with("error running hook") && text.len() < 1 << 20);
}

/// What comes over a console socket without a descriptor is no terminal.
pub fn console_message(bytes: &[u8]) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    // More than the socket takes would block.
    theirs.write_all(&bytes[..bytes.len().min(64 << 10)]).unwrap();
    drop(theirs);
    let received = console::receive_master(ours.as_fd(), Duration::from_secs(60));
    printable(&received.expect_err("there was no descriptor"));
}

/// What the launcher and the init say to each other: refused, or decoded and encoded to the same bytes again.
pub fn wire(bytes: &[u8]) {
    fn check<'a, T: wire::Wire<'a>>(bytes: &'a [u8]) {
        let mut reader = wire::Reader::new(bytes);
        let Ok(value) = T::get(&mut reader) else { return };
        let mut encoded: Vec<u8> = Vec::new();
        value.put(&mut encoded);
        assert_eq!(bytes.get(..encoded.len()), Some(encoded.as_slice()));
        // Nothing was taken that is not in the value.
        assert_eq!(reader.is_empty(), encoded.len() == bytes.len());
    }
    check::<wire::Orders<'_>>(bytes);
    check::<wire::Report>(bytes);
}

/// A `linux.seccomp` of elements that each byte chooses from what there is, and from a little that there is not.
fn made_up(bytes: &[u8]) -> Value {
    const ACTIONS: [&str; 9] =
        ["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "LOG", "NOTIFY", "TRACE", "TRAP"];
    const OPERATORS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let mut bytes = bytes.iter().copied();
    let mut byte = move || usize::from(bytes.next().unwrap_or(0));
    let action = |byte: usize| format!("SCMP_ACT_{}", ACTIONS[byte % ACTIONS.len()]);
    let names: Vec<&str> = Arch::X86.calls().map(|(name, _)| name).chain(["nosuchcall", "riscv_hwprobe"]).collect();
    let mut section = json!({"defaultAction": action(byte()), "listenerPath": "/run/agent"});
    if byte() % 3 == 0 {
        section["defaultErrnoRet"] = json!(byte() << 5);
    }
    let listed = (0..byte() % 5).map(|_| Arch::ALL[byte() % Arch::ALL.len()].oci_name());
    section["architectures"] = listed.collect();
    let mut syscalls = Vec::new();
    for _ in 0..byte() {
        // Few different calls, so that rules meet; now and then many at once.
        let first = byte() * 2;
        let count = match byte() {
            many @ 240.. => many,
            few => few % 4,
        };
        let called: Vec<&str> = (0..count).map(|place| names[(first + place * 3) % names.len()]).collect();
        let mut rule = json!({"names": called, "action": action(byte()), "args": []});
        if byte() % 2 == 0 {
            rule["errnoRet"] = json!(byte() << (byte() % 8));
        }
        let args = (0..byte() % 4).map(|_| {
            let value = (byte() as u64) << (byte() % 64);
            let op = format!("SCMP_CMP_{}", OPERATORS[byte() % OPERATORS.len()]);
            json!({"index": byte() % 7, "value": value ^ byte() as u64, "valueTwo": (byte() as u64) << 32 | value, "op": op})
        });
        rule["args"] = args.collect();
        syscalls.push(rule);
    }
    section["syscalls"] = json!(syscalls);
    section
}

/// What `bpf_check_classic` and `seccomp_check_filter` of the kernel check, written down apart from the library.
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

/// Every call ends with a verdict after at most as many steps as there are instructions, and an architecture that is not
/// listed never gets through.
fn assert_answers(filter: &Filter, native: Arch) {
    let word = |place: usize| filter.program.get(place % filter.program.len()).map_or(0, |insn| insn.k);
    for (place, arch) in Arch::ALL.into_iter().enumerate() {
        // Numbers and arguments that the program itself compares with.
        for number in [word(place), word(place * 7 + 3), u32::MAX, 0] {
            let args = std::array::from_fn(|index| u64::from(word(place + index)) | u64::from(word(index)) << 32);
            let (verdict, steps) = machine::run(&filter.program, &machine::Call { arch, number, args })
                .expect("a loadable program answers");
            assert!((1..=filter.program.len()).contains(&steps));
            let audited = filter.program.iter().any(|insn| insn.code == bpf::JEQ && insn.k == arch.audit());
            assert!(audited || arch.audit() == native.audit() || verdict == Verdict::KILL_THREAD);
        }
    }
}

/// A `linux.seccomp`, on machines of either byte order: a program that the kernel takes and that ends, or a message that
/// names an element.
///
/// Bytes that are no JSON choose a section's elements one after the other, so that most inputs reach the compiler.
pub fn seccomp(text: &[u8]) {
    let Ok(section) = serde_json::from_slice(text).or_else(|_| serde_json::from_value(made_up(text))) else { return };
    for native in [Arch::X86_64, Arch::S390x] {
        match seccomp::compile_with(&section, native, Backend::Own) {
            Ok(filter) => {
                assert_loadable(&filter.program);
                assert_answers(&filter, native);
                assert!(!filter.to_string().is_empty());
                assert!(seccomp::explain(&section, native).is_ok());
            }
            Err(error) => {
                assert!(error.location().is_some_and(|location| location.starts_with("linux.seccomp")));
                assert!(!format!("{error:#}").is_empty());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;

    /// Every target has a corpus and a program for the fuzzer, and no file of a corpus breaks anything.
    #[test]
    fn the_corpus_breaks_nothing() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let listed = |directory: &str| -> BTreeSet<String> {
            let entries = std::fs::read_dir(fuzz.join(directory)).unwrap();
            entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
        };
        // The command line's is beside it, in `runtime-cli/src/fuzzing.rs`.
        let targets = TARGETS.iter().map(|(name, _)| *name).chain(["arguments"]);
        let names: BTreeSet<String> = targets.map(str::to_owned).collect();
        assert_eq!(listed("fuzz_targets"), names);
        assert_eq!(listed("corpus"), names);
        let mut broken = Vec::new();
        for (name, target) in TARGETS {
            let mut files = 0;
            for entry in std::fs::read_dir(fuzz.join("corpus").join(name)).unwrap() {
                let path = entry.unwrap().path();
                let bytes = std::fs::read(&path).unwrap();
                files += 1;
                if catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
                    broken.push(path);
                }
            }
            assert!(files > 0, "{name} has no seeds");
        }
        assert!(broken.is_empty(), "{broken:?}");
    }
}
