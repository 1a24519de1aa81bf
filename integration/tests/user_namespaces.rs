//! User namespaces: mappings of every shape, who owns what is made in them, ordinary users with newuidmap, and the cgroup of
//! version 2 that is given to the program's user.

use corten_integration::{Bundle, Invocation, Sandbox, eventually, on_every_view, once};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

/// Container id, host id, size.
type Extent = (u64, u64, u64);

fn extents(list: &[Extent]) -> Value {
    list.iter().map(|(inside, outside, size)| json!({"containerID": inside, "hostID": outside, "size": size})).collect()
}

/// A new user namespace with these mappings, for users and groups alike.
fn mapped(bundle: Bundle, list: &[Extent]) -> Bundle {
    let bundle = bundle.user_namespace(100_000);
    bundle.set("/linux/uidMappings", extents(list)).set("/linux/gidMappings", extents(list))
}

fn map_of(text: &str) -> Vec<Vec<u64>> {
    text.lines().map(|line| line.split_whitespace().map(|number| number.parse().unwrap()).collect()).collect()
}

#[test]
fn mappings_of_every_legal_shape_reach_the_kernel_and_the_others_are_refused() {
    once(|t| {
        let whole = u64::from(u32::MAX);
        // The kernel takes one page of text.
        let many: Vec<_> = (0..340).map(|i| (i, 1000 + 2 * i, 1)).collect();
        let legal: [&[Extent]; 7] = [
            &[(0, 100_000, 1)],
            &[(0, 100_000, 65536)],
            &[(0, 0, whole)],
            &[(0, 100_000, 1), (whole - 1, 200_000, 1)],
            &[(0, whole - 1, 1)],
            &[(5, 200_000, 1), (0, 100_000, 5), (1_000_000, 300_000, 100_000)],
            &many,
        ];
        for list in legal {
            let bundle = mapped(t.bundle(), list).sh("cat /proc/self/uid_map; echo; cat /proc/self/gid_map");
            // gid=5 of the terminals has to be mapped.
            let bundle = bundle.set("/mounts/2/options", json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666"]));
            chown(bundle.rootfs("/"), Some(list.iter().find(|e| e.0 == 0).unwrap().1 as u32), None).unwrap();
            let shown = t.output_of(bundle);
            let (uids, gids) = shown.split_once("\n\n").unwrap();
            let mut expected: Vec<Vec<u64>> = list.iter().map(|(a, b, c)| vec![*a, *b, *c]).collect();
            let (mut uids, mut gids) = (map_of(uids), map_of(gids));
            for list in [&mut expected, &mut uids, &mut gids] {
                list.sort();
            }
            assert_eq!((&uids, &gids), (&expected, &expected));
        }
        let many: Vec<_> = (0..341).map(|i| (i, 100_000 + 2 * i, 1)).collect();
        let illegal: [(&[Extent], &str); 10] = [
            (&[], "idMappings"),
            (&[(0, 100_000, 0)], "idMappings[0].size"),
            (&[(0, 100_000, 10), (9, 200_000, 10)], "idMappings[1].containerID"),
            (&[(0, 100_000, 10), (10, 100_009, 10)], "idMappings[1].hostID"),
            (&[(0, 100_000, 10), (whole, 200_000, 1)], "idMappings[1].containerID"),
            (&[(0, whole, 1)], "idMappings[0].hostID"),
            (&[(0, 1, whole)], "idMappings[0].hostID"),
            (&[(0, 100_000, whole + 1)], "idMappings[0].size"),
            (&[(whole + 1, 100_000, 1)], "idMappings[0].containerID"),
            (&many, "idMappings"),
        ];
        for (list, location) in illegal {
            let container = t.container(mapped(t.bundle(), list).args(&["true"]));
            let output = container.command("run").fails(1);
            assert!(output.stderr().contains(location) || t.differs("names of elements"), "{list:?}: {output}");
            t.assert_nothing_left();
        }
    });
}

/// The mounts of the default bundle, without an owner of terminals that is not mapped.
fn without_root(t: &Sandbox) -> Bundle {
    let bundle = mapped(t.bundle(), &[(1000, 101_000, 10), (2000, 102_000, 1)]);
    let bundle =
        bundle.set("/mounts/2/options", json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]));
    chown(bundle.rootfs("/"), Some(101_000), Some(101_000)).unwrap();
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000})).set("/process/capabilities", json!({}))
}

#[test]
fn root_need_not_be_mapped() {
    on_every_view(|t| {
        if t.differs("root is not mapped") {
            return;
        }
        let script = "id -u; id -g; stat -c %u /dev /dev/shm /dev/null /; echo x > /dev/null && echo x > /dev/shm/x && \
                      stat -c %u:%g /dev/shm/x; grep CapEff /proc/self/status; sleep 1000";
        let container = t.container(without_root(t).sh(script));
        let output = container.run_detached();
        eventually("the program has printed", || output.stdout().contains("CapEff"));
        // The null device is the host's.
        assert_eq!(output.stdout(), "1000\n1000\n1000\n1000\n65534\n1000\n1000:1000\nCapEff:\t0000000000000000\n");
        let status = std::fs::read_to_string(container.proc_file("status")).unwrap();
        assert!(status.contains("Uid:\t101000\t101000\t101000\t101000\n"), "{status}");
        // Into it, also as somebody else.
        let exec = |user: &str| {
            let command = t.command("exec", &[container.id(), "id", "-u"]).option("--user").option(user);
            command.ok().stdout()
        };
        assert_eq!((exec("1001:1001"), exec("2000:2000")), ("1001\n".to_owned(), "2000\n".to_owned()));
        let refused = t.command("exec", &[container.id(), "true"]).option("--user").option("0:0").run();
        assert_ne!(refused.code(), 0, "0 is nobody there");
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn file_systems_of_a_user_namespace_belong_to_its_root() {
    on_every_view(|t| {
        let places = "/proc /dev /dev/pts /dev/shm /dev/mqueue /data";
        // Its own bundle, for a program that is not root: what is mounted is root's all the same.
        for user in [0, 7] {
            let bundle =
                t.bundle().user_namespace(100_000).mount("/data", "tmpfs", "tmpfs", &["mode=750", "uid=3", "gid=4"]);
            let bundle = bundle.set("/process/user", json!({"uid": user, "gid": user}));
            let script = format!("stat -c '%n %u %g' {places} /sys /dev/pts/ptmx");
            let shown = t.output_of(bundle.sh(&script));
            // runc has set the group by then only.
            let shown = if t.differs("the group of /dev/mqueue") {
                shown.replace("mqueue 0 65534", "mqueue 0 0")
            } else {
                shown
            };
            let expected = "/proc 65534 65534\n/dev 0 0\n/dev/pts 0 0\n/dev/shm 0 0\n/dev/mqueue 0 0\n/data 3 4\n\
                            /sys 65534 65534\n/dev/pts/ptmx 0 0\n";
            assert_eq!(shown, expected, "user {user}");
        }
    });
}

#[test]
fn what_only_the_hosts_root_can_walk_to_is_bound() {
    once(|t| {
        let closed = t.new_path("for-root");
        std::fs::create_dir_all(closed.join("tree")).unwrap();
        std::fs::write(closed.join("file"), "a file\n").unwrap();
        std::fs::write(closed.join("tree/in-it"), "in a tree\n").unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
        let source = |name: &str| closed.join(name).display().to_string();
        let bundle = t.bundle().user_namespace(100_000);
        let bundle = bundle.mount("/file", "bind", source("file"), &["bind", "ro", "nosuid"]);
        let bundle = bundle.mount("/tree", "bind", source("tree"), &["rbind", "nodev"]);
        let script = "cat /file /tree/in-it; grep -E '/(file|tree) ' /proc/self/mounts | cut -d' ' -f2,4 | tr , '\n' | \
                      grep -xE '/file ro|nosuid|nodev|/tree rw'";
        let shown = t.output_of(bundle.clone().sh(script));
        let lost = t.differs("attributes of a bind in a user namespace");
        let shown = if lost { format!("{}nodev\n", shown.replace("nodev\n", "")) } else { shown };
        assert_eq!(shown, "a file\nin a tree\n/file ro\nnosuid\n/tree rw\nnodev\n");
        // Where there is nothing, the error is the one that it always is.
        let missing = bundle.mount("/missing", "bind", source("missing"), &["bind"]).args(&["true"]);
        let output = t.container(missing).command("run").fails(1);
        assert!(output.stderr().contains("missing"), "{output}");
        t.assert_nothing_left();
    });
}

#[test]
fn a_sysfs_needs_a_network_namespace_that_is_the_user_namespaces_own() {
    once(|t| {
        let bundle = t.bundle().user_namespace(100_000).without_namespace("network").args(&["true"]);
        let output = t.container(bundle).command("run").fails(1);
        assert!(output.stderr().contains("mounts[5]") || t.differs("names of elements"), "{output}");
        t.assert_nothing_left();
    });
}

#[test]
fn devices_of_a_user_namespace_are_those_of_the_host() {
    on_every_view(|t| {
        // Its own rule lets it be used; a node that the host does not have cannot be bound.
        let node = |path: &str, minor: u32| json!([{"path": path, "type": "c", "major": 1, "minor": minor}]);
        let rules = json!([{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]);
        let bundle = t.bundle().user_namespace(100_000).set("/linux/resources/devices", rules);
        let good =
            bundle.clone().set("/linux/devices", node("/dev/kmsg", 11)).args(&["stat", "-c", "%t:%T %u", "/dev/kmsg"]);
        assert_eq!(t.output_of(good), "1:b 65534\n");
        let bad = bundle.set("/linux/devices", node("/dev/corten-none", 11)).args(&["true"]);
        let output = t.container(bad).command("run").fails(1);
        assert!(output.stderr().contains("linux.devices[0]") || t.differs("names of elements"), "{output}");
        t.assert_nothing_left();
    });
}

/// The owner of the cgroup's directory, and the files in it that are somebody's other than root.
fn owners(cgroup: &Path) -> (u32, Vec<String>) {
    let entries = std::fs::read_dir(cgroup).unwrap().map(|entry| entry.unwrap());
    let given = entries.filter(|entry| entry.metadata().unwrap().uid() != 0);
    let mut given: Vec<String> = given.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    given.sort();
    (std::fs::metadata(cgroup).unwrap().uid(), given)
}

#[test]
fn a_cgroup_mounted_for_writing_belongs_to_the_programs_user() {
    on_every_view(|t| {
        let writable = json!(["nosuid", "noexec", "nodev", "relatime"]);
        let user = |uid: u32| json!({"uid": uid, "gid": uid});
        let open = |bundle: Bundle| bundle.namespace("cgroup", "").set("/mounts/6/options", writable.clone());
        let cases: [(&str, Bundle, u32); 6] = [
            ("root of a user namespace", open(t.bundle().user_namespace(100_000)), 100_000),
            ("another user of it", open(t.bundle().user_namespace(100_000)).set("/process/user", user(7)), 100_007),
            ("a user of the machine", open(t.bundle()).set("/process/user", user(1000)), 1000),
            ("mounted read-only", t.bundle().user_namespace(100_000).namespace("cgroup", ""), 0),
            (
                "no cgroup namespace",
                t.bundle()
                    .user_namespace(100_000)
                    .without_namespace("cgroup")
                    .set("/mounts/6/options", writable.clone()),
                0,
            ),
            ("not mounted", open(t.bundle().user_namespace(100_000)).remove("/mounts/6"), 0),
        ];
        for (what, bundle, owner) in cases {
            let container = t.container(bundle.args(&["sleep", "1000"]));
            container.create();
            // Never of version 1, where delegating is not safe.
            let gives = t.view().is_unified() && !t.differs("cgroup ownership without systemd");
            let owner = if gives { owner } else { 0 };
            let (directory, files) = owners(&container.cgroup("pids"));
            assert_eq!(directory, owner, "{what}");
            let list = std::fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap();
            if owner == 0 {
                assert!(files.is_empty(), "{what}: {files:?}");
            } else {
                assert!(files.contains(&"cgroup.procs".to_owned()), "{what}: {files:?}");
                assert!(files.iter().all(|file| list.lines().any(|line| line == file)), "{what}: {files:?}");
            }
            container.command("delete").option("--force").ok();
            t.assert_nothing_left();
        }
    });
}

#[test]
fn the_owner_of_a_cgroup_makes_its_own_below() {
    on_every_view(|t| {
        if !t.view().is_unified() || t.differs("cgroup ownership without systemd") {
            return;
        }
        let bundle = t.bundle().user_namespace(100_000).namespace("cgroup", "");
        let bundle = bundle.set("/mounts/6/options", json!(["nosuid", "noexec", "nodev", "relatime"]));
        let script = "cd /sys/fs/cgroup && mkdir own && echo $$ > own/cgroup.procs && cat /proc/self/cgroup | grep ^0:";
        assert_eq!(t.output_of(bundle.set("/process/user", json!({"uid": 7, "gid": 7})).sh(script)), "0::/own\n");
    });
}

/// What the test has mounted goes before the sandbox looks for what is left.
impl Drop for Rootless<'_> {
    fn drop(&mut self) {
        self.t.host_shell("umount /etc/subuid /etc/subgid");
    }
}

/// A bundle for nobody (65534), and a command of that user with a state directory of its own.
struct Rootless<'t> {
    t: &'t Sandbox,
    state: std::path::PathBuf,
}

const NOBODY: u32 = 65534;

impl<'t> Rootless<'t> {
    /// `subordinate` are lines of subuid(5) and subgid(5).
    fn new(t: &'t Sandbox, subordinate: &str) -> Rootless<'t> {
        let file = t.new_file(subordinate);
        t.host_shell(&format!(
            "for i in subuid subgid; do [ -e /etc/$i ] || : > /etc/$i; mount --bind {} /etc/$i; done",
            file.display()
        ));
        let state = t.new_directory();
        chown(&state, Some(NOBODY), Some(NOBODY)).unwrap();
        Rootless { t, state }
    }

    fn bundle(&self, uids: &[Extent], gids: &[Extent]) -> Bundle {
        let bundle = self.t.bundle().user_namespace(NOBODY).remove("/linux/cgroupsPath").remove("/mounts/6");
        let bundle = bundle.remove("/linux/resources").remove("/process/rlimits");
        // gid=5 of the terminals has to be mapped.
        let bundle = bundle.set("/mounts/2/options", json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666"]));
        chown(bundle.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        bundle.set("/linux/uidMappings", extents(uids)).set("/linux/gidMappings", extents(gids))
    }

    fn run(&self, bundle: Bundle) -> Invocation<'t> {
        let container = self.t.container(bundle);
        container.command("run").global("--root").global(&self.state).unprivileged()
    }
}

#[test]
fn an_ordinary_user_maps_its_own_ids_and_no_groups() {
    once(|t| {
        let rootless = Rootless::new(t, "");
        let own = [(0, u64::from(NOBODY), 1)];
        let script =
            "id -u; id -g; cat /proc/self/setgroups; tr -s ' ' < /proc/self/uid_map; stat -c %u /; echo x > /dev/null";
        let output = rootless.run(rootless.bundle(&own, &own).sh(script)).ok();
        assert_eq!(output.stdout(), "0\n0\ndeny\n 0 65534 1\n0\n");
        // Groups that it is to have cannot be set then.
        let groups = json!({"uid": 0, "gid": 0, "additionalGids": [0]});
        if !t.differs("groups that cannot be set") {
            let with = rootless.bundle(&own, &own).set("/process/user", groups);
            let refused = rootless.run(with.args(&["true"])).fails(1);
            assert!(refused.stderr().contains("cannot set any additional groups in a rootless container"), "{refused}");
        }
        if t.differs("an ordinary user without a user namespace") {
            return;
        }
        // Without a user namespace it has no right to any of the others.
        let refused = rootless.run(rootless.bundle(&own, &own).without_namespace("user").args(&["true"])).fails(1);
        assert!(refused.stderr().contains("rootless container requires user namespaces"), "{refused}");
    });
}

#[test]
fn an_ordinary_user_maps_many_extents_with_newuidmap() {
    once(|t| {
        let rootless = Rootless::new(t, "nobody:200000:65536\nnobody:400000:100\n");
        let own = u64::from(NOBODY);
        let uids = [(0, own, 1), (1, 200_000, 1000), (2000, 210_000, 50), (5000, 400_000, 100)];
        let gids = [(0, own, 1), (1, 200_000, 65535)];
        let script =
            "tr -s ' ' < /proc/self/uid_map; tr -s ' ' < /proc/self/gid_map; id -u; id -G; cat /proc/self/setgroups";
        let groups = if t.differs("additional groups with newgidmap") { json!([]) } else { json!([8, 9]) };
        let user = json!({"uid": 5001, "gid": 7, "additionalGids": groups});
        let output = rootless.run(rootless.bundle(&uids, &gids).set("/process/user", user).sh(script)).ok();
        let expected =
            " 0 65534 1\n 1 200000 1000\n 2000 210000 50\n 5000 400000 100\n 0 65534 1\n 1 200000 65535\n5001\n";
        assert!(output.stdout().starts_with(expected), "{output}");
        let set = if t.differs("additional groups with newgidmap") { "7\nallow\n" } else { "7 8 9\nallow\n" };
        assert_eq!(output.stdout().trim_start_matches(expected), set);
        // What is not the user's to map.
        let others = [(0, own, 1), (1, 300_000, 10)];
        let refused = rootless.run(rootless.bundle(&others, &gids).args(&["true"])).fails(1);
        let said = refused.stderr();
        assert!(said.contains("newuidmap") && said.contains("not allowed"), "{refused}");
        assert!(said.contains("idMappings") || t.differs("names of elements"), "{refused}");
        let refused = rootless.run(rootless.bundle(&uids, &others).args(&["true"])).fails(1);
        assert!(refused.stderr().contains("newgidmap"), "{refused}");
        assert_eq!(std::fs::read_dir(&rootless.state).unwrap().count(), 0);
    });
}

#[test]
fn an_ordinary_user_need_not_map_root() {
    once(|t| {
        if t.differs("root is not mapped") {
            return;
        }
        let rootless = Rootless::new(t, "nobody:200000:65536\n");
        let ids = [(1000, u64::from(NOBODY), 1), (1001, 200_000, 10)];
        let bundle = rootless.bundle(&ids, &ids).set("/process/user", json!({"uid": 1000, "gid": 1000}));
        let bundle = bundle.set("/process/capabilities", json!({}));
        let output = rootless.run(bundle.sh("id -u; id -g; stat -c %u / /dev")).ok();
        assert_eq!(output.stdout(), "1000\n1000\n1000\n1000\n");
    });
}
