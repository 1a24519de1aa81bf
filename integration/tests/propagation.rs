//! How mounts spread between the container and the host, seen from both sides: the peer groups in mountinfo, and whether what is
//! mounted on one side after the start appears on the other.

use corten_integration::{Bundle, Container, Sandbox, on_every_view, once};
use std::path::{Path, PathBuf};

/// The optional fields of the mount on `point`: `shared:N`, `master:N`, `unbindable`.
fn fields(mountinfo: &str, point: &str) -> Vec<String> {
    let line = mountinfo.lines().rev().find(|line| line.split(' ').nth(4) == Some(point));
    let line = line.unwrap_or_else(|| panic!("no mount on {point} in {mountinfo}"));
    line.split(' ').skip(6).take_while(|field| *field != "-").map(String::from).collect()
}

fn group(fields: &[String], kind: &str) -> Option<u32> {
    fields.iter().find_map(|field| field.strip_prefix(kind)?.strip_prefix(':')?.parse().ok())
}

/// What the host of the view has mounted.
fn of_host(t: &Sandbox) -> String {
    let file = t.new_file("");
    t.host_shell(&format!("cat /proc/self/mountinfo > {}", file.display()));
    std::fs::read_to_string(file).unwrap()
}

fn of_container(container: &Container<'_>) -> String {
    std::fs::read_to_string(container.proc_file("mountinfo")).unwrap()
}

/// A shared host, and in it a directory that is a mount with another one below.
fn shared_tree(t: &Sandbox) -> PathBuf {
    let tree = t.new_directory();
    t.host_shell(&format!(
        "mount --make-rshared / && mount -t tmpfs x {0} && mkdir {0}/inner {0}/from-host {0}/from-inside && mount -t tmpfs x {0}/inner",
        tree.display()
    ));
    tree
}

fn running(t: &Sandbox, bundle: Bundle) -> Container<'_> {
    let container = t.container(bundle.args(&["sleep", "1000"]));
    container.run_detached();
    container
}

/// What is mounted on each side after the start appears on the other: host to container, container to host.
fn spreads(t: &Sandbox, container: &Container<'_>, tree: &Path) -> (bool, bool) {
    let (pid, tree) = (container.pid(), tree.display());
    t.host_shell(&format!("mount -t tmpfs from-host {tree}/from-host"));
    let inwards = of_container(container).contains(" - tmpfs from-host ");
    t.host_shell(&format!("nsenter -t {pid} -m mount -t tmpfs from-inside /data/from-inside"));
    let outwards = of_host(t).contains(" - tmpfs from-inside ");
    t.host_shell(&format!(
        "umount {tree}/from-host; if grep -q from-inside /proc/self/mountinfo; then umount {tree}/from-inside; fi"
    ));
    (inwards, outwards)
}

/// `rootfsPropagation`, options, then what is expected: the host's group as master, as peer, a group of its own, unbindable; the
/// same of the mount below; whether a mount spreads inwards and outwards.
type Row = (&'static str, &'static [&'static str], &'static str, &'static str, (bool, bool));

const ROWS: [Row; 15] = [
    ("", &["rbind"], "master", "master", (true, false)),
    ("", &["rbind", "private"], "", "master", (false, false)),
    ("", &["rbind", "rprivate"], "", "", (false, false)),
    ("", &["rbind", "slave"], "master", "master", (true, false)),
    ("", &["rbind", "rslave"], "master", "master", (true, false)),
    ("", &["rbind", "shared"], "master own", "master", (true, false)),
    ("", &["rbind", "rshared"], "master own", "master own", (true, false)),
    ("", &["rbind", "unbindable"], "unbindable", "master", (false, false)),
    ("", &["rbind", "runbindable"], "unbindable", "unbindable", (false, false)),
    ("rprivate", &["rbind"], "", "", (false, false)),
    ("rprivate", &["rbind", "rshared"], "own", "own", (false, false)),
    ("rslave", &["rbind", "private"], "", "master", (false, false)),
    ("rshared", &["rbind"], "peer", "peer", (true, true)),
    ("rshared", &["rbind", "rslave"], "master own", "master own", (true, false)),
    ("shared", &["rbind", "private"], "", "peer", (false, false)),
];

fn describe(inside: &[String], outside: &[String]) -> String {
    let host = group(outside, "shared");
    let mut words = Vec::new();
    match group(inside, "master") {
        Some(master) if Some(master) == host => words.push("master"),
        Some(_) => words.push("another master"),
        None => {}
    }
    match group(inside, "shared") {
        Some(shared) if Some(shared) == host => words.push("peer"),
        Some(_) => words.push("own"),
        None => {}
    }
    if inside.iter().any(|field| field == "unbindable") {
        words.push("unbindable");
    }
    words.join(" ")
}

#[test]
fn peer_groups_and_what_spreads() {
    on_every_view(|t| {
        let tree = shared_tree(t);
        let host = of_host(t);
        let (outer, inner) =
            (fields(&host, tree.to_str().unwrap()), fields(&host, tree.join("inner").to_str().unwrap()));
        let mut wrong = Vec::new();
        for (root, options, of_mount, of_inner, spread) in ROWS {
            if root.ends_with("shared") && t.differs("rootfsPropagation shared") {
                continue;
            }
            let bundle = t.bundle().mount("/data", "bind", &tree, options);
            let bundle = if root.is_empty() { bundle } else { bundle.set("/linux/rootfsPropagation", root) };
            let container = running(t, bundle);
            let info = of_container(&container);
            let found = (describe(&fields(&info, "/data"), &outer), describe(&fields(&info, "/data/inner"), &inner));
            let found = (found.0, found.1, spreads(t, &container, &tree));
            if found != (of_mount.to_owned(), of_inner.to_owned(), spread) {
                wrong.push(format!(
                    "{root:?} {options:?}: expected {of_mount:?} {of_inner:?} {spread:?}, found {found:?}"
                ));
            }
            container.command("delete").option("--force").ok();
        }
        t.host_shell(&format!("umount -R {}", tree.display()));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// The root itself: its group as seen inside, against that of the mount it came from.
#[test]
fn the_peer_group_of_the_root() {
    on_every_view(|t| {
        for (propagation, expected) in [
            ("", "master"),
            ("slave", "master"),
            ("rslave", "master"),
            ("private", ""),
            ("rprivate", ""),
            ("shared", "own"),
            ("rshared", "own"),
            ("unbindable", "unbindable"),
        ] {
            if (propagation.ends_with("shared") || propagation == "unbindable") && t.differs("rootfsPropagation shared")
            {
                continue;
            }
            let bundle = t.bundle();
            let rootfs = bundle.rootfs("/").to_str().unwrap().trim_end_matches('/').to_owned();
            t.host_shell(&format!("mount --bind {rootfs} {rootfs} && mount --make-shared {rootfs}"));
            let outside = fields(&of_host(t), &rootfs);
            let bundle =
                if propagation.is_empty() { bundle } else { bundle.set("/linux/rootfsPropagation", propagation) };
            let container = running(t, bundle);
            let inside = fields(&of_container(&container), "/");
            let found = describe(&inside, &outside);
            container.command("delete").option("--force").ok();
            t.host_shell(&format!("umount {rootfs}"));
            let right = found == expected || (expected == "own" && found.ends_with("peer"));
            assert!(
                right || t.differs("the peer group of the root"),
                "{propagation:?}: expected {expected:?}, found {found:?} ({inside:?}, {outside:?})"
            );
        }
    });
}

/// Nothing that the runtime does for the container changes the host: neither its mounts nor their propagation.
#[test]
fn the_hosts_own_mounts_stay_as_they_are() {
    on_every_view(|t| {
        let tree = shared_tree(t);
        let before = of_host(t);
        for propagation in ["", "rslave", "private", "rprivate", "slave", "rshared", "shared", "unbindable"] {
            for no_pivot in [false, true] {
                if no_pivot && propagation.ends_with("private") && t.differs("no pivot with a private root") {
                    continue;
                }
                let shares = propagation.ends_with("shared") || propagation == "unbindable";
                if shares && t.differs("rootfsPropagation shared") {
                    continue;
                }
                let bundle = t.bundle().mount("/data", "bind", &tree, &["rbind", "rslave"]);
                let bundle =
                    if propagation.is_empty() { bundle } else { bundle.set("/linux/rootfsPropagation", propagation) };
                let container = t.container(bundle.args(&["true"]));
                let run = container.command("run");
                if no_pivot { run.option("--no-pivot") } else { run }.ok();
                assert_eq!(of_host(t), before, "{propagation:?}, no pivot: {no_pivot}");
            }
        }
        t.host_shell(&format!("umount -R {}", tree.display()));
    });
}

/// The rootfs given relative to the bundle, absolute, as the root of a tmpfs, and the bundle as the working directory.
#[test]
fn the_rootfs_may_be_named_in_any_way() {
    once(|t| {
        let bundle = t.bundle().file("/mark", "mark\n", 0o644).args(&["cat", "/mark"]);
        let absolute = bundle.rootfs("/").to_str().unwrap().to_owned();
        let name = bundle.path().file_name().unwrap().to_str().unwrap().to_owned();
        for path in ["rootfs".to_owned(), "./rootfs/".to_owned(), format!("../{name}/rootfs"), absolute] {
            assert_eq!(t.output_of(bundle.clone().set("/root/path", path.as_str())), "mark\n", "{path}");
        }
        let container = t.container(bundle);
        let output = t.command("run", &[container.id()]).directory(container.bundle().path()).ok();
        assert_eq!(output.stdout(), "mark\n");
    });
}
