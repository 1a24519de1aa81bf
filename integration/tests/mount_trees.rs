//! How the container's mounts hang together with the host's: propagation of the root on a shared host, and the root file
//! system as a mount of its own kind.

use corten_integration::{Sandbox, on_every_view};

/// Makes every mount of the view's host shared, as systemd does.
fn shared_host(t: &Sandbox) {
    t.host_shell("mount --make-rshared /");
}

#[test]
fn every_propagation_of_the_root_works_on_a_shared_host() {
    on_every_view(|t| {
        shared_host(t);
        for (propagation, optional) in [
            ("slave", None),
            ("rslave", None),
            ("private", None),
            ("rprivate", None),
            ("shared", Some("shared:")),
            ("rshared", Some("shared:")),
            ("unbindable", Some("unbindable")),
            ("runbindable", Some("unbindable")),
        ] {
            if optional.is_some() && t.differs("rootfsPropagation shared") {
                continue;
            }
            let bundle = t.bundle().set("/linux/rootfsPropagation", propagation);
            let output = t.output_of(bundle.sh("grep ' / / ' /proc/self/mountinfo || cat /proc/self/mountinfo"));
            let root = output.lines().find(|line| line.contains(" / ")).unwrap_or_default().to_owned();
            match optional {
                Some(tag) => assert!(root.contains(tag), "{propagation}: {output}"),
                None => assert!(!root.contains("shared:"), "{propagation}: {output}"),
            }
        }
        t.assert_nothing_left();
    });
}

#[test]
fn the_rootfs_may_be_a_mount_of_its_own_read_only_or_below_a_slave() {
    on_every_view(|t| {
        shared_host(t);
        for how in [
            "mount --bind DIR DIR",
            "mount --bind DIR DIR; mount --make-private DIR",
            "mount --bind DIR DIR; mount --make-slave DIR",
            "mount --bind DIR DIR; mount -o remount,ro,bind DIR",
            "mount --make-slave /; mount --bind DIR DIR; mount --make-rshared /",
        ] {
            let mut bundle = t.bundle().sh("echo inside; cat /etc/mark").file("/etc/mark", "mark\n", 0o644);
            // What is read-only cannot get mount points any more.
            for directory in ["proc", "dev", "sys"] {
                std::fs::create_dir(bundle.rootfs(directory)).unwrap();
            }
            bundle = bundle.remove("/linux/maskedPaths");
            let rootfs = bundle.rootfs("/").to_str().unwrap().trim_end_matches('/').to_owned();
            t.host_shell(&how.replace("DIR", &rootfs));
            for no_pivot in [false, true] {
                let container = t.container(bundle.clone());
                let run = container.command("run");
                let run = if no_pivot { run.option("--no-pivot") } else { run };
                assert_eq!(run.ok().stdout(), "inside\nmark\n", "{how}, no pivot: {no_pivot}");
            }
            t.host_shell(&format!("umount {rootfs}"));
        }
    });
}
