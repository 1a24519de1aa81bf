//! `features`: what is claimed there is what works.

use corten_integration::{Runtime, Sandbox, on_every_view, once};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

fn features(t: &Sandbox) -> Value {
    serde_json::from_str(&t.command("features", &[]).ok().stdout()).unwrap()
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// The value against a schema of the specification's `schema` directory: the keywords that the features' use.
fn assert_valid(value: &Value, schema: &Value, file: &str, at: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime-lib/tests/spec-samples/schema");
    if let Some(reference) = schema["$ref"].as_str() {
        let (other, pointer) = reference.split_once('#').unwrap();
        let file = if other.is_empty() { file } else { other };
        let text = std::fs::read(directory.join(file)).unwrap();
        let document: Value = serde_json::from_slice(&text).unwrap();
        return assert_valid(value, document.pointer(pointer).unwrap(), file, at);
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        other => other.is_none(),
    };
    assert!(fits, "{at}: {value} is no {schema}");
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value}");
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(required.as_str().unwrap()).is_some(), "{at}: {required}");
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(member) = value.get(name) {
            assert_valid(member, schema, file, &format!("{at}.{name}"));
        }
    }
    for (index, element) in value.as_array().into_iter().flatten().enumerate() {
        assert_valid(element, &schema["items"], file, &format!("{at}[{index}]"));
    }
}

#[test]
fn features_are_valid_by_the_schema() {
    once(|t| assert_valid(&features(t), &json!({"$ref": "features-schema.json#"}), "", "features"));
}

/// The schema lets everything be absent.
#[test]
fn features_are_complete() {
    once(|t| {
        if t.differs("features of 1.3") {
            return;
        }
        let features = features(t);
        let schema = include_str!("../../runtime-lib/tests/spec-samples/schema/features-linux.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        for (name, element) in schema["linux"]["properties"].as_object().unwrap() {
            let present = &features["linux"][name];
            assert!(!present.is_null(), "linux.{name}");
            for member in element["properties"].as_object().into_iter().flat_map(|members| members.keys()) {
                assert!(!present[member].is_null(), "linux.{name}.{member}");
            }
        }
        for name in ["hooks", "mountOptions", "annotations", "potentiallyUnsafeConfigAnnotations"] {
            assert!(!features[name].is_null(), "{name}");
        }
    });
}

#[test]
fn claimed_namespaces_are_new_ones() {
    once(|t| {
        for kind in words(&features(t)["linux"]["namespaces"]) {
            let file = match kind.as_str() {
                "mount" => "mnt",
                "network" => "net",
                other => other,
            };
            let bundle = t.bundle().sh(&format!("readlink /proc/self/ns/{file}"));
            let bundle = if kind == "user" { bundle.user_namespace(100_000) } else { bundle.namespace(&kind, "") };
            let own = std::fs::read_link(format!("/proc/self/ns/{file}")).unwrap();
            let output = t.output_of(bundle);
            assert!(output.contains(":[") && output.trim() != own.to_str().unwrap(), "{kind}: {output}");
        }
    });
}

#[test]
fn claimed_mount_options_are_accepted() {
    on_every_view(|t| {
        // For these the kernel wants a file system, a mount or a mapping of a special kind.
        let special = ["remount", "idmap", "ridmap", "acl", "noacl", "mand", "iversion"];
        let defaults = t.differs("the mount option defaults");
        let bound = t.new_directory();
        let mut bundle = t.bundle().writable().args(&["true"]);
        for option in words(&features(t)["mountOptions"]).iter().filter(|option| !special.contains(&option.as_str())) {
            if defaults && option == "defaults" {
                continue;
            }
            let (kind, source) =
                if matches!(option.as_str(), "bind" | "rbind") { ("", &*bound) } else { ("tmpfs", Path::new("tmpfs")) };
            bundle = bundle.mount(&format!("/of-{option}"), kind, source, &[option]);
        }
        t.container(bundle).command("run").ok();
    });
}

#[test]
fn claimed_words_of_seccomp_are_accepted() {
    once(|t| {
        let seccomp = features(t)["linux"]["seccomp"].clone();
        let profile = |action: &str, arch: &str, op: &str| {
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", arch], "syscalls": [
                {"names": ["mkdir"], "action": action, "args": [{"index": 0, "value": 1, "op": op}]}]})
        };
        let runs = |profile: Value, what: &str| {
            let bundle = t.bundle().args(&["true"]).set("/linux/seccomp", profile);
            let output = t.container(bundle).command("run").run();
            assert_eq!(output.code(), 0, "{what}: {output}");
        };
        let (allow, arch, equal) = ("SCMP_ACT_ERRNO", "SCMP_ARCH_X86", "SCMP_CMP_EQ");
        for word in words(&seccomp["actions"]) {
            // That one needs an agent: see seccomp_notify.rs.
            if word != "SCMP_ACT_NOTIFY" {
                runs(profile(&word, arch, equal), &word);
            }
        }
        for word in words(&seccomp["operators"]) {
            runs(profile(allow, arch, &word), &word);
        }
        // Those of the other byte order cannot be in one filter with ours.
        let big =
            ["MIPS", "MIPS64", "MIPS64N32", "PPC", "PPC64", "S390", "S390X", "PARISC", "PARISC64", "M68K", "SHEB"];
        let archs = words(&seccomp["archs"]);
        for word in archs.iter().filter(|word| !big.contains(&word.trim_start_matches("SCMP_ARCH_"))) {
            runs(profile(allow, word, equal), word);
        }
        if t.runtime() == Runtime::Corten {
            let schema = include_str!("../../runtime-lib/tests/spec-samples/schema/defs-linux.json");
            let schema: Value = serde_json::from_str(schema).unwrap();
            let specified =
                |name: &str| words(&schema["definitions"][name]["enum"]).into_iter().collect::<BTreeSet<_>>();
            let claimed = |name: &str| words(&seccomp[name]).into_iter().collect::<BTreeSet<_>>();
            assert_eq!(claimed("actions"), specified("SeccompAction"));
            assert_eq!(claimed("operators"), specified("SeccompOperators"));
            assert_eq!(claimed("knownFlags"), specified("SeccompFlag"));
            for flag in words(&seccomp["supportedFlags"]).iter().filter(|flag| !flag.contains("KILLABLE")) {
                let mut profile = profile(allow, arch, equal);
                profile["flags"] = json!([flag]);
                runs(profile, flag);
            }
        }
    });
}
