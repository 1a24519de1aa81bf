//! Id-mapped mounts: `idmap`, `ridmap`, `uidMappings` and `gidMappings` of a mount, or the mappings of the container.

use corten_integration::{Bundle, Sandbox, on_every_view, once};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

fn map(inside: u32, outside: u32, size: u32) -> Value {
    json!({"containerID": inside, "hostID": outside, "size": size})
}

/// Adds a mount with mappings of its own.
fn mapped(bundle: Bundle, source: &Path, options: &[&str], uids: &[Value], gids: &[Value]) -> Bundle {
    let mount = json!({"destination": "/data", "type": "bind", "source": source, "options": options,
        "uidMappings": uids, "gidMappings": gids});
    bundle.add("/mounts", mount)
}

/// A directory of 0:0 with files of several owners.
fn owned_files(t: &Sandbox) -> PathBuf {
    let source = t.new_directory();
    for (name, uid, gid) in [("root", 0, 0), ("some", 5, 6), ("far", 5000, 6000)] {
        std::fs::write(source.join(name), "").unwrap();
        chown(source.join(name), Some(uid), Some(gid)).unwrap();
    }
    source
}

const OWNERS: &str = "cd /data && stat -c '%u:%g' root some far | tr '\\n' ' '";

#[test]
fn a_bind_has_the_mappings_of_the_mount() {
    on_every_view(|t| {
        let source = owned_files(t);
        let cases = [
            (
                &["bind", "idmap"][..],
                vec![map(0, 1000, 10)],
                vec![map(0, 2000, 10)],
                "1000:2000 1005:2006 65534:65534 ",
            ),
            (&["rbind", "ridmap"], vec![map(0, 1000, 10)], vec![map(0, 1000, 10)], "1000:1000 1005:1006 65534:65534 "),
            // The options are not needed where there are mappings.
            (&["bind"], vec![map(0, 7, 1)], vec![map(0, 8, 1)], "7:8 65534:65534 65534:65534 "),
            (
                &["bind", "idmap"],
                vec![map(0, 10, 1), map(5, 20, 1), map(5000, 0, 1)],
                vec![map(6000, 1, 1), map(6, 3, 1), map(0, 4, 1)],
                "10:4 20:3 0:1 ",
            ),
        ];
        for (options, uids, gids, expected) in cases {
            let bundle = mapped(t.bundle().sh(OWNERS), &source, options, &uids, &gids);
            assert_eq!(t.output_of(bundle), expected, "{options:?} {uids:?}");
        }
    });
}

#[test]
fn what_is_written_through_the_mapping_has_the_owner_of_the_other_side() {
    once(|t| {
        let source = t.new_directory();
        let ids = [map(0, 1000, 10)];
        let bundle = mapped(t.bundle(), &source, &["bind", "idmap"], &ids, &ids);
        let bundle = bundle.set("/process/user", json!({"uid": 1003, "gid": 1004}));
        std::fs::set_permissions(&source, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(t.output_of(bundle.sh("touch /data/new && stat -c %u:%g /data/new")), "1003:1004\n");
        let new = source.join("new").metadata().unwrap();
        assert_eq!((new.uid(), new.gid()), (3, 4));
    });
}

#[test]
fn a_bind_has_the_mappings_of_the_containers_new_user_namespace() {
    on_every_view(|t| {
        let source = owned_files(t);
        let bundle = t.bundle().user_namespace(100_000).bind(&source, "/data", &["idmap"]);
        let script = format!("{OWNERS}; touch new && stat -c %u:%g new");
        assert_eq!(t.output_of(bundle.sh(&script)), "0:0 5:6 5000:6000 0:0\n");
        let new = source.join("new").metadata().unwrap();
        assert_eq!((new.uid(), new.gid()), (0, 0), "the host has no files of the container's ids");
    });
}

#[test]
fn a_bind_has_the_mappings_of_a_user_namespace_that_is_joined() {
    once(|t| {
        let first = t.container(t.bundle().user_namespace(100_000).args(&["sleep", "1000"]));
        first.run_detached();
        let source = owned_files(t);
        let path = first.proc_file("ns/user").to_str().unwrap().to_owned();
        let second = t.bundle().user_namespace(100_000).namespace("user", &path);
        let second = second.remove("/linux/uidMappings").remove("/linux/gidMappings");
        assert_eq!(t.output_of(second.bind(&source, "/data", &["idmap"]).sh(OWNERS)), "0:0 5:6 5000:6000 ");
        first.command("delete").option("--force").ok();
    });
}

#[test]
fn idmap_is_for_the_mount_and_ridmap_for_those_below_as_well() {
    once(|t| {
        let source = owned_files(t);
        let inner = source.join("inner");
        std::fs::create_dir(&inner).unwrap();
        t.host_shell(&format!("mount -t tmpfs -o mode=755 x {0} && touch {0}/file", inner.display()));
        for (option, below) in [("idmap", "65534:65534"), ("ridmap", "0:0")] {
            let bundle = t.bundle().user_namespace(100_000).mount("/data", "bind", &source, &["rbind", option]);
            let output = t.output_of(bundle.sh("stat -c %u:%g /data/root /data/inner/file"));
            assert_eq!(output, format!("0:0\n{below}\n"), "{option}");
        }
        t.host_shell(&format!("umount {}", inner.display()));
    });
}

#[test]
fn attributes_and_propagation_are_as_without_a_mapping() {
    on_every_view(|t| {
        t.host_shell("mount --make-rshared /");
        let source = owned_files(t);
        for (options, attribute, propagation) in [
            (&["idmap", "ro", "noexec"][..], "ro,noexec", "master"),
            (&["idmap", "nosuid", "private"], "nosuid", ""),
            (&["idmap", "slave"], "rw", "master"),
            (&["ridmap", "rro", "rshared"], "ro", "shared"),
        ] {
            let bundle = t.bundle().user_namespace(100_000).bind(&source, "/data", options);
            let line = t.output_of(bundle.sh("grep ' /data ' /proc/self/mountinfo"));
            let fields: Vec<&str> = line.split(' ').collect();
            let optional: Vec<&str> = fields[6..].iter().take_while(|field| **field != "-").copied().collect();
            assert!(fields[5].contains("idmapped"), "{options:?}: {line}");
            assert!(
                attribute.split(',').all(|name| fields[5].split(',').any(|found| found == name)),
                "{options:?}: {line}"
            );
            let as_expected = match propagation {
                "" => optional.is_empty(),
                kind => optional.iter().any(|field| field.starts_with(kind)),
            };
            assert!(as_expected, "{options:?}: {line}");
            // Nothing that the container mounts there may come out.
            let peers = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
            for field in optional.iter().filter(|field| field.starts_with("shared:")) {
                assert!(!peers.contains(*field), "{field} is a peer group of the host's");
            }
        }
    });
}

#[test]
fn a_file_is_bound_with_its_ids_mapped() {
    once(|t| {
        let source = t.new_file("contents\n");
        let bundle = t.bundle().user_namespace(100_000).bind(&source, "/file", &["idmap"]);
        assert_eq!(t.output_of(bundle.sh("cat /file; stat -c %u:%g /file")), "contents\n0:0\n");
    });
}

/// As root of the host made them, which a container in a user namespace could not: what is in it belongs to the mapped ids.
#[test]
fn new_file_systems_have_their_ids_mapped() {
    once(|t| {
        if t.differs("id-mapped mounts of new file systems") {
            return;
        }
        let bundle = || t.bundle().user_namespace(100_000);
        let script = "stat -c '%a %u:%g' /data; touch /data/new && stat -c %u:%g /data/new; stat -f -c %b /data";
        let sized = bundle().mount("/data", "tmpfs", "tmpfs", &["size=64k", "mode=1710", "uid=3", "gid=4", "idmap"]);
        assert_eq!(t.output_of(sized.capabilities(&["CAP_DAC_OVERRIDE"]).sh(script)), "1710 3:4\n0:0\n16\n");
        // Mode and content of what it covers.
        let covered = bundle().file("/data/file", "below", 0o644);
        for path in ["/data", "/data/file"] {
            chown(covered.rootfs(path), Some(100_001), Some(100_002)).unwrap();
        }
        std::fs::set_permissions(covered.rootfs("/data"), std::os::unix::fs::PermissionsExt::from_mode(0o751)).unwrap();
        let covered = covered.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup", "ro", "idmap"]);
        let script =
            "stat -c %a /data; stat -c '%a %u:%g' /data/file; cat /data/file; touch /data/new 2>/dev/null || echo ro";
        assert_eq!(t.output_of(covered.sh(script)), "751\n644 1:2\nbelowro\n");
        let own = mapped(t.bundle(), Path::new("tmpfs"), &["idmap", "uid=5"], &[map(5, 50, 1)], &[map(0, 60, 1)]);
        let own = own.set("/mounts/7/type", "tmpfs");
        assert_eq!(t.output_of(own.sh("stat -c %u:%g /data")), "50:60\n");
    });
}

#[test]
fn what_cannot_be_mapped_is_an_error_that_names_the_mount_and_leaves_nothing() {
    on_every_view(|t| {
        let source = owned_files(t);
        let again = t.new_directory();
        t.host_shell(&format!("mount -t ramfs -o mode=755 x {}", again.display()));
        let ids = [map(0, 1000, 10)];
        let of_type = |kind: &str| {
            let bundle = mapped(t.bundle(), Path::new("x"), &["idmap"], &ids, &ids);
            bundle.set("/mounts/7/type", kind)
        };
        let cases = [
            (of_type("mqueue"), "does not support id-mapped mounts"),
            (of_type("proc"), "/data"),
            (mapped(t.bundle(), &again, &["bind"], &ids, &ids), "does not support id-mapped mounts"),
            (mapped(t.bundle(), &source.join("none"), &["bind", "idmap"], &ids, &ids), "o such file"),
            (mapped(t.bundle(), &source, &["bind", "idmap"], &ids, &[]), "uidMappings"),
            (t.bundle().bind(&source, "/data", &["idmap"]), "user namespace"),
        ];
        for (bundle, part) in cases {
            let bundle = bundle.args(&["true"]);
            let config = bundle.config["mounts"][7].clone();
            let output = t.container(bundle).command("run").run();
            assert_ne!(output.code(), 0, "{config}: {output}");
            let named = output.stderr().contains("mounts[7]") && output.stderr().contains(part);
            assert!(named || t.differs("names of elements"), "{config}, {part:?}: {output}");
        }
        t.host_shell(&format!("umount {}", again.display()));
        t.assert_nothing_left();
    });
}

#[test]
fn a_rootless_launcher_is_told_that_it_cannot() {
    once(|t| {
        if t.differs("names of elements") {
            return;
        }
        let ids = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
        let bundle = t.bundle().namespace("user", "").set("/linux/uidMappings", ids(65534));
        let bundle = bundle.set("/linux/gidMappings", ids(65534)).remove("/linux/cgroupsPath").remove("/mounts/6");
        let bundle = bundle.bind(t.new_directory(), "/data", &["idmap"]);
        let container = t.container(bundle.args(&["true"]));
        let state = t.new_directory();
        chown(&state, Some(65534), Some(65534)).unwrap();
        let output = container.command("run").global("--root").global(&state).unprivileged().fails(1);
        assert!(output.stderr().contains("id-mapped mounts are not supported for rootless containers"), "{output}");
    });
}
