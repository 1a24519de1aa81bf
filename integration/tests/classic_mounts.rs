//! Linux before 5.12 has no `mount_setattr(2)`: a container that is made the classic way, by `mount(2)`, is the same inside, and what
//! cannot be had that way is an error that says so. A seccomp filter around the runtime plays the older kernel.

use corten_integration::{Bundle, HostView, Inside, Runtime, Sandbox, skip};
use serde_json::json;

const NEWER: &str = "mount_setattr";

/// A sandbox as it is, and one of an older kernel.
fn kernels() -> [Sandbox; 2] {
    [Sandbox::new(HostView::Native), Sandbox::new(HostView::Native).without_calls(NEWER)].map(|t| {
        t.host_shell("mount --make-rprivate /");
        t
    })
}

type Change = fn(Bundle, &Sandbox) -> Bundle;

fn source(t: &Sandbox) -> std::path::PathBuf {
    let tree = t.new_path("tree");
    std::fs::create_dir_all(tree.join("below")).unwrap();
    std::fs::write(tree.join("file"), "a file").unwrap();
    tree
}

fn binds(bundle: Bundle, t: &Sandbox, kind: &str) -> Bundle {
    let options = [
        &["ro"][..],
        &["nosuid", "nodev"],
        &["noexec", "noatime"],
        &["strictatime", "nodiratime"],
        &["relatime", "nosymfollow"],
        &["rw", "suid", "dev", "exec"],
        &["ro", "rw", "norelatime"],
    ];
    options.iter().enumerate().fold(bundle, |bundle, (number, options)| {
        let (tree, options) = (source(t), [&[kind], *options].concat());
        let bundle = bundle.mount(&format!("/tree{number}"), "bind", &tree, &options);
        bundle.mount(&format!("/file{number}"), "bind", tree.join("file"), &options)
    })
}

const CONTAINERS: &[(&str, Change)] = &[
    ("the default one", |bundle, _| bundle),
    ("a root for reading", |bundle, _| bundle.set("/root/readonly", true)),
    ("binds", |bundle, t| binds(bundle, t, "bind")),
    ("binds of trees", |bundle, t| binds(bundle, t, "rbind")),
    ("binds in a user namespace", |bundle, t| {
        bundle.user_namespace(100_000).mount("/tree", "bind", source(t), &["rbind", "ro", "nosuid"])
    }),
    ("propagation of mounts", |bundle, t| {
        let kinds = ["private", "slave", "shared", "unbindable", "rprivate", "rslave", "rshared", "runbindable"];
        kinds.iter().fold(bundle, |bundle, kind| {
            let bundle = bundle.mount(&format!("/bind-{kind}"), "bind", source(t), &["rbind", kind]);
            bundle.mount(&format!("/tmpfs-{kind}"), "tmpfs", "tmpfs", &[kind])
        })
    }),
    ("a shared root", |bundle, _| bundle.set("/linux/rootfsPropagation", "shared")),
    ("a slave root", |bundle, _| bundle.set("/linux/rootfsPropagation", "slave")),
    ("a private root", |bundle, _| bundle.set("/linux/rootfsPropagation", "rprivate")),
    ("an unbindable root", |bundle, _| bundle.set("/linux/rootfsPropagation", "unbindable")),
    ("masked and read-only paths", |bundle, _| {
        let paths = json!(["/proc/sys", "/proc/version", "/sys/kernel", "/etc", "/etc/passwd", "/dev/full"]);
        bundle.set("/linux/readonlyPaths", paths.clone()).set("/linux/maskedPaths", paths)
    }),
    ("file systems in memory", |bundle, t| {
        let bundle = bundle.mount("/memory", "tmpfs", "tmpfs", &["ro", "nosuid", "mode=750"]);
        let bundle = bundle.mount("/memory/below", "bind", source(t), &["bind", "ro"]);
        bundle.mount("/etc", "tmpfs", "tmpfs", &["tmpcopyup", "ro", "noexec"]).set("/mounts/1/options", json!(["ro"]))
    }),
    ("a remount", |bundle, t| {
        let bundle = bundle.mount("/tree", "bind", source(t), &["bind"]);
        bundle.mount("/tree", "bind", "none", &["bind", "remount", "ro", "nosuid"])
    }),
];

fn inside(t: &Sandbox, change: Change) -> Inside {
    let probe = t.new_path("probe");
    std::fs::copy(env!("CARGO_BIN_EXE_probe"), &probe).unwrap();
    let bundle = change(t.bare_bundle(), t);
    let places = bundle.config["mounts"].as_array().cloned().unwrap_or_default();
    let words: Vec<String> =
        places.iter().filter_map(|mount| mount["destination"].as_str().map(|at| format!("path={at}"))).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let container = t.container(bundle.probe(&probe, &words));
    let output = container.command("run").ok();
    Inside::read(&output.stdout(), &container).unwrap_or_else(|| panic!("no report: {output}"))
}

#[test]
fn a_container_is_the_same_on_an_older_kernel() {
    if Runtime::from_environment() != Runtime::Corten {
        skip!("compares corten with itself");
    }
    let [now, before] = kernels();
    for (what, change) in CONTAINERS {
        let disagreements = inside(&now, *change).disagreements(&inside(&before, *change));
        // The filter that plays the older kernel is there in the container as well.
        let of_filter = |place: &str| place.starts_with("status.Seccomp");
        let numbered = |place: &str| place.contains("SANDBOX");
        let found: Vec<String> = disagreements
            .iter()
            .filter(|difference| !of_filter(&difference.place) && !numbered(&difference.ours.to_string()))
            .map(ToString::to_string)
            .collect();
        assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
    }
    now.assert_nothing_left();
    before.assert_nothing_left();
}

#[test]
fn what_an_older_kernel_cannot_do_is_named() {
    if Runtime::from_environment() != Runtime::Corten {
        skip!("compares corten with itself");
    }
    let [_, t] = kernels();
    for options in [&["rbind", "rro"][..], &["rbind", "rnosuid"], &["rbind", "idmap"]] {
        let bundle = t.bundle().user_namespace(100_000).mount("/tree", "bind", source(&t), options);
        let output = t.container(bundle.args(&["true"])).command("run").fails(1);
        let said = output.stderr();
        assert!(said.contains("mounts[7]") && said.contains("Function not implemented"), "{options:?}: {output}");
        t.assert_nothing_left();
    }
}
