//! `features`: what is claimed there is what works.

use corten_integration::{Bundle, Runtime, Sandbox, assert_valid, on_every_view, once};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

fn features(t: &Sandbox) -> Value {
    serde_json::from_str(&t.command("features", &[]).ok().stdout()).unwrap()
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn features_are_valid_by_the_schema() {
    once(|t| assert_valid(&features(t), "features-schema.json"));
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

#[test]
fn claimed_hooks_run() {
    once(|t| {
        let log = t.new_directory();
        let mut bundle = t.bundle().bind(&log, log.to_str().unwrap(), &["rw"]).args(&["true"]);
        let kinds = words(&features(t)["hooks"]);
        for kind in &kinds {
            let file = log.join(kind);
            let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", format!(": > {}", file.display())]});
            bundle = bundle.add(&format!("/hooks/{kind}"), hook);
        }
        t.container(bundle).command("run").ok();
        for kind in &kinds {
            assert!(log.join(kind).exists(), "{kind}");
        }
        assert_eq!(kinds.len(), 6);
    });
}

#[test]
fn claimed_capabilities_are_known() {
    once(|t| {
        let said = |names: &[String]| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let bundle = t.bundle().args(&["true"]).capabilities(&[]).set("/process/capabilities/bounding", names);
            t.container(bundle).command("run").ok().stderr()
        };
        let mut claimed = words(&features(t)["linux"]["capabilities"]);
        assert!(!said(&claimed).contains("unknown"), "{}", said(&claimed));
        claimed.push("CAP_ODD".to_owned());
        let warning = said(&claimed);
        assert!(warning.contains("CAP_ODD") && !warning.contains("CAP_CHOWN"), "{warning}");
    });
}

/// What runs with this configuration is supported, and so is what is refused for want of something on this machine.
#[test]
fn what_is_said_to_be_enabled_is_accepted_and_the_rest_refused() {
    once(|t| {
        if t.differs("features of 1.3") {
            return;
        }
        let features = features(t);
        let ids = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        let source = t.new_directory();
        let mapped = json!({"destination": "/mnt", "type": "bind", "source": source.to_str().unwrap(), "options": ["bind", "idmap"],
            "uidMappings": ids, "gidMappings": ids});
        type Edit = Box<dyn Fn(Bundle) -> Bundle>;
        let set = |pointer: &'static str, value: Value| -> Edit {
            Box::new(move |bundle| bundle.set(pointer, value.clone()))
        };
        let cases: [(&str, Edit); 6] = [
            ("/linux/apparmor/enabled", set("/process/apparmorProfile", json!("no-such-profile"))),
            ("/linux/selinux/enabled", set("/process/selinuxLabel", json!("system_u:system_r:container_t:s0"))),
            ("/linux/intelRdt/enabled", set("/linux/intelRdt", json!({"closID": "odd", "l3CacheSchema": "L3:0=1"}))),
            ("/linux/netDevices/enabled", set("/linux/netDevices", json!({"nosuch0": {}}))),
            ("/linux/cgroup/rdma", set("/linux/resources/rdma", json!({"mlx5_0": {"hcaHandles": 1}}))),
            ("/linux/mountExtensions/idmap/enabled", Box::new(move |bundle| bundle.add("/mounts", mapped.clone()))),
        ];
        for (feature, edit) in cases {
            let claimed = features.pointer(feature).and_then(Value::as_bool).unwrap();
            let output = t.container(edit(t.bundle().writable().args(&["true"]))).command("run").run();
            let refused = ["is not supported", "are not supported"].iter().any(|text| output.stderr().contains(text));
            assert_eq!(claimed, !refused, "{feature}: {output}");
            assert!(output.code() == 0 || !output.stderr().trim().is_empty(), "{feature}: {output}");
        }
        assert_eq!(features["linux"]["cgroup"]["v2"], true);
        assert_eq!(features["linux"]["cgroup"]["v1"], true);
    });
    on_every_view(|t| drop(t.container(t.bundle().args(&["true"])).command("run").ok()));
}
