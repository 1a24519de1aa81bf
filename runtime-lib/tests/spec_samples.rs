//! The sample documents and the JSON schemas of the runtime specification (its `schema/` directory, version 1.3):
//! documents are accepted or refused as their folder says, and words of the schemas are known.
//!
//! Of other platforms' configurations the sections are ignored, as runc ignores them, so that what is bad in one is not noticed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use libcorten::spec;
use serde_json::{Value, json};
use std::path::PathBuf;

fn sample(path: &str) -> Vec<u8> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/spec-samples");
    std::fs::read(directory.join(path)).unwrap()
}

fn faults(text: &[u8]) -> Vec<String> {
    spec::faults(text).iter().map(ToString::to_string).collect()
}

/// No process: the schema leaves it out for containers that are created and never started. runc refuses such a bundle
/// at `create`, and a [`spec::ValidSpec`] has a process for the same reason: there is nothing to wait in the container.
const NO_PROCESS: &str = "process: process property must not be empty";
/// The schema has no word about which namespaces there are; runc refuses it as well.
const NO_NETWORK: &str = "linux.netDevices: unable to move network devices without a private network namespace";

#[test]
fn good_configurations_are_accepted_but_for_what_no_container_can_be_made_of() {
    for (name, expected) in [
        ("minimal-for-start.json", &[][..]),
        ("minimal.json", &[NO_PROCESS]),
        ("linux-rdma.json", &[NO_PROCESS]),
        ("linux-netdevice.json", &[NO_PROCESS, NO_NETWORK]),
        ("spec-example.json", &[]),
    ] {
        let text = sample(&format!("config/good/{name}"));
        assert_eq!(faults(&text), expected, "{name}");
        // Nothing else stands in the way.
        let mut config: Value = serde_json::from_slice(&text).unwrap();
        config.as_object_mut().unwrap().entry("process").or_insert_with(|| json!({"cwd": "/", "args": ["sh"]}));
        if let Some(linux) = config.get_mut("linux").and_then(Value::as_object_mut) {
            linux.remove("netDevices");
        }
        spec::parse(&serde_json::to_vec(&config).unwrap()).unwrap();
    }
}

#[test]
fn configurations_of_other_platforms_are_judged_by_what_is_common() {
    // Neither has namespaces, so that there is nothing to name or to mount in.
    const NO_UTS: &str = "hostname: unable to set hostname without a private UTS namespace";
    const NO_MOUNT: &str = "mounts: unable to mount without a private mount namespace";
    for (name, expected) in [
        ("good/freebsd-minimal.json", &[NO_PROCESS][..]),
        ("good/freebsd-example.json", &[NO_UTS, NO_MOUNT]),
        ("good/zos-minimal.json", &[NO_PROCESS]),
        ("good/zos-example.json", &[NO_UTS, NO_MOUNT]),
        ("bad/freebsd-vnet-disable.json", &[NO_PROCESS]),
    ] {
        assert_eq!(faults(&sample(&format!("config/{name}"))), expected, "{name}");
    }
}

/// Each sample is in a test of this file.
#[test]
fn no_sample_is_left_out() {
    let own = include_str!("spec_samples.rs");
    let mut count = 0;
    for folder in ["config/good", "config/bad", "features/good", "features/bad", "state/good", "state/bad"] {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/spec-samples").join(folder);
        for entry in std::fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(own.contains(&format!("{name}\"")), "{folder}/{name}");
            count += 1;
        }
    }
    assert_eq!(count, 19);
}

#[test]
fn the_example_of_the_specification_keeps_its_meaning() {
    let spec = spec::parse(&sample("config/good/spec-example.json")).unwrap();
    assert_eq!(spec.mounts.len(), 7);
    assert_eq!(spec.devices.len(), 2);
    assert_eq!(spec.process.user.additional_gids, [5, 6]);
    assert_eq!(spec.hooks.prestart[1].args, ["/usr/bin/setup-network"]);
    assert_eq!(spec.uid_mappings, [spec::IdMap { inside: 0, outside: 1000, size: 32000 }]);
    assert_eq!(spec.namespaces.time, spec::Namespace::New);
    assert_eq!(spec.warnings, [] as [&str; 0]);
}

#[test]
fn bad_configurations_are_refused_for_what_is_bad_in_them() {
    for (name, expected) in [
        ("invalid-json.json", "config.json: key must be a string at line 1 column 2"),
        (
            "linux-hugepage.json",
            "linux.resources.hugepageLimits[0].pageSize: \"64kB\" is not a page size such as 64KB, 2MB or 1GB",
        ),
        ("linux-netdevice.json", "linux.netDevices.eth0.name: expected a string, found 23"),
        (
            "linux-rdma.json",
            "linux.resources.rdma.mlx5_1.hcaHandles: expected an integer from 0 to 4294967295, found \"not a uint32\"",
        ),
    ] {
        let text = sample(&format!("config/bad/{name}"));
        assert!(faults(&text).contains(&expected.to_owned()), "{name}: {:?}", faults(&text));
        spec::parse(&text).unwrap_err();
    }
}

#[test]
fn features_and_states() {
    let features = |name: &str| serde_json::from_slice::<oci_spec::runtime::Features>(&sample(name));
    let state = |name: &str| serde_json::from_slice::<oci_spec::runtime::State>(&sample(name));
    features("features/good/minimal.json").unwrap();
    features("features/good/runc.json").unwrap();
    features("features/bad/missing-ociVersionMax.json").unwrap_err();
    state("state/good/spec-example.json").unwrap();
    state("state/bad/invalid-json.json").unwrap_err();
}

/// The values of the enumeration `definition` of `schema/defs-linux.json`.
fn words(definition: &str) -> Vec<String> {
    let schema: Value = serde_json::from_slice(&sample("schema/defs-linux.json")).unwrap();
    let words = schema["definitions"][definition]["enum"].as_array().unwrap();
    words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_word_of_the_schema_is_known() {
    let filter = |action: &str, arch: &str, flag: &str, op: &str| {
        let call = json!({"names": ["a"], "action": action, "args": [{"index": 0, "value": 1, "op": op}]});
        json!({"seccomp": {"defaultAction": action, "architectures": [arch], "flags": [flag], "syscalls": [call]}})
    };
    let (action, arch) = ("SCMP_ACT_ALLOW", "SCMP_ARCH_X86");
    let (flag, op) = ("SECCOMP_FILTER_FLAG_LOG", "SCMP_CMP_EQ");
    type Build<'a> = &'a dyn Fn(&str) -> Value;
    let build: [(&str, Build<'_>); 6] = [
        ("NamespaceType", &|word| {
            let ids = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
            json!({"namespaces": [{"type": word}, {"type": if word == "mount" { "pid" } else { "mount" }}], "uidMappings": ids, "gidMappings": ids})
        }),
        ("RootfsPropagation", &|word| json!({"namespaces": [{"type": "mount"}], "rootfsPropagation": word})),
        ("SeccompAction", &|word| filter(word, arch, flag, op)),
        ("SeccompArch", &|word| filter(action, word, flag, op)),
        ("SeccompFlag", &|word| filter(action, arch, word, op)),
        ("SeccompOperators", &|word| filter(action, arch, flag, word)),
    ];
    for (definition, linux) in build {
        for (word, good) in words(definition).iter().map(|word| (word.as_str(), true)).chain([("FOO", false)]) {
            let config = json!({
                "ociVersion": "1.3.0", "root": {"path": "r"}, "process": {"cwd": "/", "args": ["a"]}, "linux": linux(word)
            });
            let faults = faults(&serde_json::to_vec(&config).unwrap());
            assert_eq!(faults.is_empty(), good, "{definition} {word}: {faults:?}");
        }
    }
}
