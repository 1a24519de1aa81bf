//! Device nodes of every type and the rules of `linux.resources.devices`: wildcards, order, what engines write, what is
//! refused, and their replacement while the container runs.

use corten_integration::{Bundle, Sandbox, eventually, on_every_view, once, skip};
use serde_json::{Value, json};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};

/// Nodes whose opening has no other conditions or effects: of the kernel's log, FUSE's, the tunnel's.
const PROBES: [(&str, &str, u64, u64); 4] =
    [("zero", "c", 1, 5), ("kmsg", "c", 1, 11), ("fuse", "c", 10, 229), ("tun", "c", 10, 200)];

/// What can be opened for reading (r), for writing (w) and made (m) of the probes, such as `zero:rw fuse:r`.
fn access(t: &Sandbox, rules: &Value) -> String {
    t.output_of(probing(t, rules))
}

fn probing(t: &Sandbox, rules: &Value) -> Bundle {
    let nodes: Vec<Value> = PROBES
        .iter()
        .map(|(name, kind, major, minor)| {
            json!({"path": format!("/dev/probe-{name}"), "type": kind, "major": major, "minor": minor, "fileMode": 0o666})
        })
        .collect();
    let mut script = String::from("cd /dev; ");
    for (name, kind, major, minor) in PROBES {
        script += &format!(
            "a=; (exec 3< probe-{name}) 2>/dev/null && a=r; (exec 3>> probe-{name}) 2>/dev/null && a=${{a}}w; \
             mknod /tmp/n {kind} {major} {minor} 2>/dev/null && a=${{a}}m; rm -f /tmp/n; echo -n \"{name}:$a \"; "
        );
    }
    let capabilities = ["CAP_MKNOD", "CAP_SYS_RAWIO", "CAP_DAC_OVERRIDE", "CAP_SYSLOG", "CAP_NET_ADMIN"];
    let bundle = t.bundle().writable().capabilities(&capabilities).set("/linux/devices", nodes);
    bundle.set("/linux/resources/devices", rules.clone()).sh(&script)
}

fn deny_all() -> Value {
    json!({"allow": false, "access": "rwm"})
}

/// What is expected of the tunnel's device where all devices are denied but the default ones.
fn with_tunnel(t: &Sandbox, expected: &str) -> String {
    let all = expected.contains("kmsg:rwm fuse:rwm");
    if !all && t.differs("the tunnel's device by default") {
        return expected.replace("tun:rwm", "tun:m");
    }
    expected.to_owned()
}

#[test]
fn rules_mean_the_same_on_both_versions() {
    on_every_view(|t| {
        let rule = |kind: &str, major: i64, minor: i64, access: &str| json!({"allow": true, "type": kind, "major": major, "minor": minor, "access": access});
        let but = |mut rule: Value| {
            rule["allow"] = json!(false);
            rule
        };
        // mknod of anything is always allowed, and so are the default devices and the tunnel's.
        let cases: [(Value, &str); 12] = [
            (json!([]), "zero:rwm kmsg:m fuse:m tun:rwm"),
            (json!([deny_all()]), "zero:rwm kmsg:m fuse:m tun:rwm"),
            (json!([{"allow": true, "access": "rwm"}]), "zero:rwm kmsg:rwm fuse:rwm tun:rwm"),
            (json!([{"allow": true, "type": "a", "access": "rwm"}]), "zero:rwm kmsg:rwm fuse:rwm tun:rwm"),
            (json!([deny_all(), rule("c", 10, 229, "r")]), "zero:rwm kmsg:m fuse:rm tun:rwm"),
            (json!([deny_all(), rule("c", 10, 229, "w")]), "zero:rwm kmsg:m fuse:wm tun:rwm"),
            (json!([deny_all(), rule("c", 10, -1, "rw")]), "zero:rwm kmsg:m fuse:rwm tun:rwm"),
            (json!([deny_all(), rule("c", -1, 229, "rw")]), "zero:rwm kmsg:m fuse:rwm tun:rwm"),
            (json!([deny_all(), rule("c", -1, -1, "r")]), "zero:rwm kmsg:rm fuse:rm tun:rwm"),
            // A rule for blocks says nothing of characters.
            (json!([deny_all(), rule("b", -1, -1, "rwm")]), "zero:rwm kmsg:m fuse:m tun:rwm"),
            // A later rule takes an earlier one back, and all of them are forgotten by one for all.
            (
                json!([deny_all(), rule("c", 10, 229, "rw"), rule("c", 1, 11, "rw"), but(rule("c", 10, 229, "w"))]),
                "zero:rwm kmsg:rwm fuse:rm tun:rwm",
            ),
            (json!([rule("c", 10, 229, "rw"), deny_all()]), "zero:rwm kmsg:m fuse:m tun:rwm"),
        ];
        for (rules, expected) in cases {
            if rules == json!([]) && t.differs("no device rules") {
                continue;
            }
            assert_eq!(access(t, &rules).trim_end(), with_tunnel(t, expected), "{rules}");
        }
        // Allowed but for some.
        let rules =
            json!([{"allow": true, "access": "rwm"}, but(rule("c", 10, 229, "rw")), but(rule("c", 1, 11, "w"))]);
        assert_eq!(access(t, &rules).trim_end(), "zero:rwm kmsg:rm fuse:m tun:rwm");
    });
}

/// What Docker and `runc spec` write, with what they may and may not use.
#[test]
fn the_default_rules_of_engines() {
    on_every_view(|t| {
        let allow = |kind: &str, major: Option<i64>, minor: Option<i64>, access: &str| {
            let mut rule = json!({"allow": true, "type": kind, "access": access});
            for (name, number) in [("major", major), ("minor", minor)] {
                if let Some(number) = number {
                    rule[name] = json!(number);
                }
            }
            rule
        };
        let docker = json!([
            deny_all(),
            allow("c", Some(1), Some(5), "rwm"),
            allow("c", Some(1), Some(3), "rwm"),
            allow("c", Some(1), Some(9), "rwm"),
            allow("c", Some(1), Some(8), "rwm"),
            allow("c", Some(5), Some(0), "rwm"),
            allow("c", Some(5), Some(1), "rwm"),
            {"allow": false, "type": "c", "major": 10, "minor": 229, "access": "rwm"}
        ]);
        let containerd = json!([
            deny_all(),
            allow("c", None, None, "m"),
            allow("b", None, None, "m"),
            allow("c", Some(1), Some(3), "rwm"),
            allow("c", Some(1), Some(8), "rwm"),
            allow("c", Some(1), Some(7), "rwm"),
            allow("c", Some(5), Some(0), "rwm"),
            allow("c", Some(1), Some(5), "rwm"),
            allow("c", Some(1), Some(9), "rwm"),
            allow("c", Some(5), Some(1), "rwm"),
            allow("c", Some(136), None, "rwm"),
            allow("c", Some(5), Some(2), "rwm")
        ]);
        for (engine, rules) in [("docker", docker), ("containerd", containerd), ("runc spec", json!([deny_all()]))] {
            let expected = with_tunnel(t, "zero:rwm kmsg:m fuse:m tun:rwm");
            assert_eq!(access(t, &rules).trim_end(), expected, "{engine}");
        }
    });
}

#[test]
fn rules_without_a_meaning_are_refused() {
    on_every_view(|t| {
        let rule = |kind: &str, major: i64, access: &str| json!({"allow": true, "type": kind, "major": major, "minor": 1, "access": access});
        let wide = json!({"allow": true, "type": "c", "access": "r"});
        let hole = json!({"allow": false, "type": "c", "major": 1, "minor": 11, "access": "r"});
        for (what, rules) in [
            ("no access", json!([rule("c", 1, "")])),
            ("no access at all", json!([{"allow": true, "type": "c", "major": 1, "minor": 1}])),
            ("a fifo", json!([rule("p", 1, "r")])),
            ("an unknown type", json!([rule("q", 1, "r")])),
            ("a number of 33 bits", json!([rule("c", 1 << 32, "r")])),
            ("a hole in a wildcard", json!([deny_all(), wide, hole])),
        ] {
            let container = t.container(t.bundle().set("/linux/resources/devices", rules).args(&["true"]));
            let output = container.command("run").fails(1);
            let named = output.stderr().contains("linux.resources.devices[");
            assert!(named || t.differs("names of elements"), "{what}: {output}");
            t.assert_nothing_left();
        }
        // Letters that are no access are ignored, as runc does where the others are left; so much for a wildcard by chance.
        let odd = json!([deny_all(), {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rx"}]);
        assert_eq!(access(t, &odd).trim_end(), "zero:rwm kmsg:m fuse:rm tun:rwm");
        let negative =
            t.container(t.bundle().set("/linux/resources/devices", json!([rule("c", -2, "r")])).args(&["true"]));
        let code = negative.command("run").run().code();
        assert!(code == 1 || t.differs("negative numbers of devices on version 2"), "{code}");
    });
}

#[test]
fn nodes_of_every_type_with_their_modes_and_owners() {
    on_every_view(|t| {
        let devices = json!([
            {"path": "/dev/c", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 1, "gid": 2},
            {"path": "/dev/u", "type": "u", "major": 1, "minor": 5, "fileMode": 0o640},
            {"path": "/dev/b", "type": "b", "major": 7, "minor": 255, "fileMode": 0o660, "uid": 0, "gid": 6},
            {"path": "/dev/p", "type": "p", "fileMode": 0o622, "uid": 7, "gid": 8},
            {"path": "/dev/large", "type": "c", "major": 511, "minor": 70_000, "fileMode": 0o666},
            // Without a mode; with the bits of the type, as stat(2) gives them; set-id bits; deep below and outside of /dev.
            {"path": "/dev/plain", "type": "c", "major": 1, "minor": 3},
            {"path": "/dev/typed", "type": "c", "major": 1, "minor": 3, "fileMode": 0o020_620},
            {"path": "/dev/a/b/c", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666},
            {"path": "/node", "type": "p", "fileMode": 0o600},
        ]);
        let script = "for i in dev/c dev/u dev/b dev/p dev/large dev/plain dev/typed dev/a/b/c node; do \
                      stat -c '%n %F %t:%T %a %u:%g' /$i; done; stat -c %a /dev/a /dev/a/b; \
                      (echo through > /dev/p &) ; cat /dev/p";
        let bundle =
            t.bundle().writable().capabilities(&["CAP_DAC_OVERRIDE"]).set("/linux/devices", devices).sh(script);
        let rootfs = bundle.rootfs("/node");
        let shown = t.output_of(bundle);
        let expected = "/dev/c character special file 1:3 600 1:2\n\
                        /dev/u character special file 1:5 640 0:0\n\
                        /dev/b block special file 7:ff 660 0:6\n\
                        /dev/p fifo 0:0 622 7:8\n\
                        /dev/large character special file 1ff:11170 666 0:0\n\
                        /dev/plain character special file 1:3 666 0:0\n\
                        /dev/typed character special file 1:3 620 0:0\n\
                        /dev/a/b/c character special file 1:3 666 0:0\n\
                        /node fifo 0:0 600 0:0\n\
                        755\n755\nthrough\n";
        assert_eq!(shown, expected);
        // Outside of /dev, which is a file system of the container's own, it is in the image, and stays.
        let meta = std::fs::symlink_metadata(rootfs).unwrap();
        assert!(meta.file_type().is_fifo() && meta.permissions().mode() & 0o7777 == 0o600 && meta.uid() == 0);
    });
}

#[test]
fn a_node_that_exists_stays_as_it_is() {
    once(|t| {
        // A /dev of the image, with a node and with a file in the place of nodes.
        let mut bundle = t.bundle().writable();
        bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
        let bundle = bundle.file("/dev/zero", "a file\n", 0o644);
        t.host_shell(&format!("mknod -m 640 {} c 1 3", bundle.rootfs("/dev/own").display()));
        if std::fs::File::open(bundle.rootfs("/dev/own")).is_err() {
            skip!("bundles are on a file system without devices, as systemd mounts /tmp");
        }
        let device = json!({"path": "/dev/own", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666});
        let script = "stat -c '%F %t:%T %a' /dev/own; cat /dev/zero; stat -c '%F %t:%T %a' /dev/full";
        let shown = t.output_of(bundle.add("/linux/devices", device).sh(script));
        assert_eq!(shown, "character special file 1:3 640\na file\ncharacter special file 1:7 666\n");
    });
}

#[test]
fn nodes_that_cannot_be_made_are_refused_and_leave_nothing() {
    once(|t| {
        for (what, device) in [
            ("a type for rules only", json!({"path": "/dev/x", "type": "a", "major": 1, "minor": 1})),
            ("an unknown type", json!({"path": "/dev/x", "type": "z", "major": 1, "minor": 1})),
            ("a major number of 13 bits", json!({"path": "/dev/x", "type": "c", "major": 4096, "minor": 1})),
            ("a relative path", json!({"path": "dev/x", "type": "c", "major": 1, "minor": 1})),
            ("no type", json!({"path": "/dev/x", "major": 1, "minor": 1})),
        ] {
            let container = t.container(t.bundle().set("/linux/devices", json!([device])).args(&["true"]));
            let output = container.command("run").run();
            let lenient = t.differs("devices without a meaning");
            assert!(output.code() == 1 || lenient, "{what}: {output}");
            let named = output.stderr().contains("linux.devices[0]") || t.differs("names of elements");
            assert!(lenient || named, "{what}: {output}");
            t.assert_nothing_left();
        }
    });
}

/// On version 2 by one system call, on version 1 so that no device that both sets allow is ever denied.
#[test]
fn rules_are_replaced_without_a_moment_in_which_an_allowed_device_is_denied() {
    on_every_view(|t| {
        if t.differs("update replaces device rules") {
            return;
        }
        let both = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "r"});
        let other = json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rw"});
        let node = json!({"path": "/dev/own", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666});
        // Writes a word for every failure, and one at the end.
        let script = "while [ ! -e /tmp/stop ]; do for i in 1 2 3 4 5 6 7 8 9; do (exec 3< /dev/own) 2>/dev/null || echo denied; \
                      done; done; echo ended";
        let stop = t.new_directory();
        let bundle = t.bundle().add("/linux/devices", node).bind(&stop, "/tmp", &["rw"]);
        let first = json!([deny_all(), both]);
        let container = t.container(bundle.set("/linux/resources/devices", first.clone()).sh(script));
        let output = container.run_detached();
        for round in 0..10 {
            let rules = if round % 2 == 0 { json!([deny_all(), other, both]) } else { first.clone() };
            let change = json!({"devices": rules}).to_string();
            container.command("update").option("--resources").option("-").input(&change).ok();
        }
        std::fs::write(stop.join("stop"), "").unwrap();
        eventually("the program has ended", || output.stdout().contains("ended"));
        assert_eq!(output.stdout(), "ended\n");
    });
}

/// On version 1 the kernel changes the default of a cgroup only while none is below, but exceptions always; on version 2 rules
/// know no such bond.
#[test]
fn rules_of_a_cgroup_with_others_below() {
    on_every_view(|t| {
        let allow = |minor: u64| json!({"allow": true, "type": "c", "major": 10, "minor": minor, "access": "r"});
        let node = json!({"path": "/dev/own", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666});
        let bundle = || t.bundle().add("/linux/devices", node.clone());
        let reads = ["head", "-c", "0", "/dev/own"];
        if !t.differs("update replaces device rules") {
            // Below a container that runs.
            let container = t.container(bundle().set("/linux/resources/devices", json!([deny_all()])).sh("sleep 1000"));
            container.run_detached();
            let below = container.cgroup("devices").join("below");
            std::fs::create_dir(&below).unwrap();
            let exec = || t.command("exec", &[&[container.id()], &reads[..]].concat()).run().code() == 0;
            for (rules, allowed) in [(json!([deny_all(), allow(229)]), true), (json!([deny_all(), allow(200)]), false)]
            {
                let change = json!({"devices": rules}).to_string();
                container.command("update").option("--resources").option("-").input(&change).ok();
                assert_eq!(exec(), allowed, "{rules}");
            }
            // The other default: all or nothing.
            let change = json!({"devices": [{"allow": true, "access": "rwm"}]}).to_string();
            let update = container.command("update").option("--resources").option("-").input(&change).run();
            assert_eq!(update.code() == 0, t.view().is_unified(), "{update}");
            assert!(update.code() == 0 || update.stderr().contains("linux.resources.devices"), "{update}");
            assert_eq!(exec(), t.view().is_unified());
            container.command("delete").option("--force").ok();
        }
        // Below one that was there before: its default is the machine's, to allow all.
        let container = t.container(bundle().set("/linux/resources/devices", json!([deny_all()])).args(&reads));
        let (own, below) = (container.cgroup("devices"), container.cgroup("devices").join("below"));
        std::fs::create_dir_all(&below).unwrap();
        let output = container.command("run").run();
        assert_ne!(output.code(), 0, "{output}");
        if !t.view().is_unified() {
            // runc says it in other words.
            assert!(
                output.stderr().contains("devices.deny") && output.stderr().to_lowercase().contains("invalid argument")
            );
        }
        let _ = std::fs::remove_dir(below);
        let _ = std::fs::remove_dir(own);
    });
}

/// Nothing would keep its root from making the node of any device and using it.
#[test]
fn without_a_hierarchy_for_devices_no_container_of_roots_is_made() {
    once(|t| {
        if t.view().is_unified() {
            skip!("version 2 needs none");
        }
        t.host_shell("umount /sys/fs/cgroup/devices");
        for bundle in [t.bundle(), t.bundle().remove("/linux/resources")] {
            let output = t.container(bundle.args(&["true"])).command("run").fails(1);
            assert!(output.stderr().contains("devices"), "{output}");
            t.assert_nothing_left();
        }
    });
}
