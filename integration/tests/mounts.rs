//! Mounts: types, options, mount points, propagation.

use corten_integration::{Bundle, Runtime, on_every_view, once};
use serde_json::json;

/// The fields of the mount on `point` as the container sees it: mount options, optional fields, type, super options.
fn mount_on(mountinfo: &str, point: &str) -> String {
    let line = mountinfo.lines().rev().find(|line| line.split(' ').nth(4) == Some(point));
    line.unwrap_or_else(|| panic!("no mount on {point} in {mountinfo}")).to_owned()
}

fn mountinfo(bundle: Bundle, t: &corten_integration::Sandbox) -> String {
    t.output_of(bundle.args(&["cat", "/proc/self/mountinfo"]))
}

#[test]
fn a_bind_mount_is_writable_or_not() {
    on_every_view(|t| {
        let source = t.new_directory();
        std::fs::write(source.join("file"), "contents\n").unwrap();
        let script = "cat /data/file; touch /data/new 2>/dev/null && echo rw || echo ro";
        let bundle = t.bundle().sh(script);
        assert_eq!(t.output_of(bundle.clone().bind(&source, "/data", &["ro"])), "contents\nro\n");
        assert!(!source.join("new").exists());
        assert_eq!(t.output_of(bundle.bind(&source, "/data", &["rw"])), "contents\nrw\n");
        assert!(source.join("new").exists());
    });
}

#[test]
fn bind_by_option_or_by_type() {
    once(|t| {
        let source = t.new_directory();
        std::fs::write(source.join("file"), "contents\n").unwrap();
        for (kind, options) in
            [("", &["bind"][..]), ("none", &["bind"]), ("bind", &["rbind", "rw"]), ("bind", &["bind"])]
        {
            let bundle = t.bundle().mount("/data", kind, &source, options).args(&["cat", "/data/file"]);
            assert_eq!(t.output_of(bundle), "contents\n", "{kind:?} {options:?}");
        }
    });
}

#[test]
fn a_file_is_bound_on_a_mount_point_made_for_it() {
    on_every_view(|t| {
        let source = t.new_file("contents\n");
        let bundle = t.bundle().bind(&source, "/made/for/it", &["ro"]).bind(&source, "/etc/passwd", &["ro"]);
        assert_eq!(t.output_of(bundle.sh("cat /made/for/it /etc/passwd")), "contents\ncontents\n");
    });
}

#[test]
fn rbind_takes_the_mounts_below_along_and_bind_does_not() {
    on_every_view(|t| {
        let tree = t.new_directory();
        let path = tree.display();
        t.host_shell(&format!(
            "mount -t tmpfs x {path} && mkdir {path}/inner && mount -t tmpfs x {path}/inner && touch {path}/inner/seen"
        ));
        let script = "ls /data/inner";
        let rbind = t.bundle().mount("/data", "bind", &tree, &["rbind"]).sh(script);
        assert_eq!(t.output_of(rbind), "seen\n");
        let bind = t.bundle().mount("/data", "bind", &tree, &["bind"]).sh(script);
        assert_eq!(t.output_of(bind), "");
        t.host_shell(&format!("umount -R {path}"));
    });
}

#[test]
fn mount_flags_reach_the_kernel() {
    on_every_view(|t| {
        let source = t.new_directory();
        let cases: [(&str, &[&str], &[&str]); 7] = [
            ("/a", &["nosuid"], &["nosuid"]),
            ("/b", &["nodev", "noexec"], &["nodev", "noexec"]),
            ("/c", &["ro"], &["ro"]),
            ("/d", &["noatime"], &["noatime"]),
            ("/e", &["nodiratime", "relatime"], &["nodiratime", "relatime"]),
            ("/f", &["strictatime"], &[]),
            ("/g", &["nosuid", "suid", "noexec", "exec"], &[]),
        ];
        let bound = cases.iter().fold(t.bundle(), |bundle, (point, options, _)| bundle.bind(&source, point, options));
        let fresh =
            cases.iter().fold(t.bundle(), |bundle, (point, options, _)| bundle.mount(point, "tmpfs", "x", options));
        for info in [mountinfo(bound, t), mountinfo(fresh, t)] {
            for (point, options, expected) in &cases {
                let line = mount_on(&info, point);
                let flags: Vec<&str> = line.split(' ').nth(5).unwrap().split(',').collect();
                let kept = |flag: &&&str| !["rw", "relatime"].contains(*flag);
                let mut expected: Vec<&str> = expected.iter().filter(kept).copied().collect();
                let mut actual: Vec<&str> = flags.iter().filter(kept).copied().collect();
                expected.sort_unstable();
                actual.sort_unstable();
                assert_eq!(actual, expected, "{options:?} in {line}");
            }
        }
    });
}

#[test]
fn tmpfs_takes_its_size_and_mode() {
    on_every_view(|t| {
        let bundle = t.bundle().capabilities(&["CAP_DAC_OVERRIDE"]).mount(
            "/small",
            "tmpfs",
            "tmpfs",
            &["size=64k", "mode=1710", "uid=3", "gid=4"],
        );
        let script = "stat -c '%a %u %g' /small; head -c 100000 /dev/zero > /small/f 2>/dev/null; stat -c %s /small/f";
        assert_eq!(t.output_of(bundle.sh(script)), "1710 3 4\n65536\n");
    });
}

#[test]
fn tmpcopyup_fills_a_tmpfs_with_what_it_covers() {
    once(|t| {
        let bundle = t.bundle().file("/full/a", "a", 0o640).file("/full/sub/b", "b", 0o600);
        let bundle = bundle.mount("/full", "tmpfs", "tmpfs", &["tmpcopyup"]);
        let script = "cat /full/a /full/sub/b; stat -c ' %a' /full/a; echo changed > /full/a";
        let container = t.container(bundle.sh(script));
        assert_eq!(container.stdout(), "ab 640\n");
        assert_eq!(std::fs::read_to_string(container.bundle().rootfs("/full/a")).unwrap(), "a");
    });
}

/// Every kind of file, with its owner and mode; that two names are one file is not copied, as with runc.
#[test]
fn tmpcopyup_copies_every_kind_of_file() {
    once(|t| {
        let bundle = t.bundle().file("/full/set-id", "#!", 0o644).file("/full/sub/closed", "c", 0o600);
        let script = "cd ROOT/full; chown 5:6 set-id; chmod 6755 set-id; chown 3:4 sub; chmod 1755 sub; \
             ln -s nowhere link; chown -h 7:8 link; ln set-id same; mkdir -p a/b/c; truncate -s 1M sparse; \
             mknod -m 640 disk b 7 5; chown 1:2 disk; chown 9:9 .; chmod 750 ."
            .replace("ROOT", bundle.rootfs("/").to_str().unwrap());
        t.host_shell(&script);
        let more = !t.differs("tmpcopyup of FIFOs, sockets, character devices and directories with more bits");
        if more {
            let script = "cd ROOT/full; mkfifo -m 622 fifo; chown 1:2 fifo; mknod -m 604 null c 1 3; mkdir team; chmod 2775 team; mkdir all; chmod 1777 all; \
                 python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'; chmod 600 socket";
            t.host_shell(&script.replace("ROOT", bundle.rootfs("/").to_str().unwrap()));
        }
        let bundle = bundle.mount("/full", "tmpfs", "tmpfs", &["tmpcopyup"]).capabilities(&["CAP_DAC_OVERRIDE"]);
        let show = "cd /full; find . | sort | xargs stat -c '%n %F %a %u:%g %t:%T %h'; readlink link; cat sub/closed";
        let shown = t.output_of(bundle.sh(show));
        let mut expected = vec![
            if t.differs("the mode of a tmpfs on a directory of the image") { "." } else { ". directory 750 0:0 0:0" },
            "./a directory 755 0:0 0:0",
            "./a/b directory 755 0:0 0:0",
            "./a/b/c directory 755 0:0 0:0",
            "./disk block special file 640 1:2 7:5 1",
            "./link symbolic link 777 7:8 0:0 1",
            "./same regular file 6755 5:6 0:0 1",
            "./set-id regular file 6755 5:6 0:0 1",
            "./sparse regular file 644 0:0 0:0 1",
            "./sub directory 1755 3:4 0:0 2",
            "./sub/closed regular file 600 0:0 0:0 1",
        ];
        if more {
            expected.extend([
                "./all directory 1777 0:0 0:0 2",
                "./fifo fifo 622 1:2 0:0 1",
                "./null character special file 604 0:0 1:3 1",
                "./socket socket 600 0:0 0:0 1",
                "./team directory 2775 0:0 0:0 2",
            ]);
            expected.sort_unstable();
        }
        // How many names a directory has tells what is in it.
        let lines: Vec<&str> = shown.lines().collect();
        for line in &expected {
            assert!(lines.iter().any(|shown| shown.starts_with(line)), "{line}: {shown}");
        }
        assert_eq!(lines[expected.len()..], ["nowhere", "c"], "{shown}");
    });
}

/// What runc leaves behind as well. A file whose `security.capability` is not copied has fewer rights, none more.
#[test]
fn tmpcopyup_copies_neither_times_nor_extended_attributes() {
    const CAP_NET_RAW_PERMITTED: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    once(|t| {
        let bundle = t.bundle().file("/full/old", "x", 0o755).file("/full/sub/file", "", 0o644);
        for path in ["/full/old", "/full/sub"] {
            let path = bundle.rootfs(path);
            let set = |name, value: &[u8]| rustix::fs::setxattr(&path, name, value, rustix::fs::XattrFlags::empty());
            set("trusted.note", b"x").unwrap();
            if path.is_file() {
                set("security.capability", &CAP_NET_RAW_PERMITTED).unwrap();
            }
            t.host_shell(&format!("touch -d 2001-02-03 '{}'", path.display()));
        }
        let attributes = |path: std::path::PathBuf| {
            let mut names = [0_u8; 1024];
            let length = rustix::fs::listxattr(&path, &mut names).unwrap();
            String::from_utf8_lossy(&names[..length]).into_owned()
        };
        let before = attributes(bundle.rootfs("/full/old"));
        assert!(before.contains("trusted.note") && before.contains("security.capability"), "{before}");
        let container = t.container(bundle.mount("/full", "tmpfs", "tmpfs", &["tmpcopyup"]).args(&["sleep", "1000"]));
        container.run_detached();
        for path in ["old", "sub"] {
            let copy = container.proc_file("root/full").join(path);
            let names = attributes(copy.clone());
            assert!(!names.contains("trusted.note") && !names.contains("security.capability"), "{path}: {names}");
            let age = copy.metadata().unwrap().modified().unwrap().elapsed().unwrap_or_default();
            assert!(age < std::time::Duration::from_secs(86_400), "{path}: {age:?}");
        }
    });
}

/// As runc does it: the mount point of what is mounted below can be made, whatever the order of `ro` and of what is to be in it.
#[test]
fn a_read_only_tmpfs_gets_what_belongs_in_it_first() {
    on_every_view(|t| {
        let file = t.new_file("below\n");
        let bundle = t.bundle().writable().mount("/memory", "tmpfs", "tmpfs", &["ro", "mode=755"]);
        let bundle = bundle.bind(&file, "/memory/deep/file", &[]).set("/process/cwd", "/memory/work");
        let node = json!({"path": "/memory/node", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600});
        let script = "pwd; cat ../deep/file; ls /memory; touch x || touch /memory/x || echo read-only";
        let shown = t.output_of(bundle.add("/linux/devices", node).sh(script));
        assert_eq!(shown, "/memory/work\nbelow\ndeep\nnode\nwork\nread-only\n");
        // One that a later mount covers cannot be found then.
        let bundle = t.bundle().mount("/memory", "tmpfs", "first", &["ro"]).mount("/memory", "tmpfs", "second", &[]);
        if !t.differs("a read-only tmpfs that is covered") {
            let shown = t.output_of(bundle.sh("touch /memory/x && grep -c ' /memory ' /proc/self/mounts"));
            assert_eq!(shown, "2\n");
        }
    });
}

#[test]
fn mounts_are_made_in_order_one_inside_another() {
    once(|t| {
        let (outer, inner) = (t.new_directory(), t.new_file("inner\n"));
        let bundle = t.bundle().mount("/a", "tmpfs", "x", &[]).bind(&outer, "/a/b", &[]).bind(&inner, "/a/b/c/d", &[]);
        assert_eq!(t.output_of(bundle.sh("cat /a/b/c/d")), "inner\n");
        assert!(outer.join("c/d").is_file(), "the mount point was made in the bound directory");
    });
}

#[test]
fn the_later_of_two_mounts_on_one_point_is_seen() {
    once(|t| {
        let (first, second) = (t.new_file("first\n"), t.new_file("second\n"));
        let bundle = t.bundle().bind(&first, "/file", &[]).bind(&second, "/file", &[]);
        assert_eq!(t.output_of(bundle.sh("cat /file")), "second\n");
    });
}

#[test]
fn links_in_the_image_do_not_lead_a_mount_out_of_it() {
    on_every_view(|t| {
        let source = t.new_directory();
        std::fs::write(source.join("file"), "contents\n").unwrap();
        let outside = t.new_directory();
        let cases = [
            ("/../../../etc", "/etc/file"),
            ("/etc", "/etc/file"),
            ("../../../../../../../../../../../etc", "/etc/file"),
            (outside.to_str().unwrap(), "/data/file"),
        ];
        for (target, seen) in cases {
            let bundle = t.bundle().link("/data", target).bind(&source, "/data", &[]).args(&["cat", seen]);
            assert_eq!(t.output_of(bundle), "contents\n", "{target}");
        }
        let dotted = t.bundle().bind(&source, "/../../../etc", &[]).args(&["cat", "/etc/file"]);
        assert_eq!(t.output_of(dotted), "contents\n");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "nothing is made outside");
    });
}

#[test]
fn mount_points_are_not_made_outside_through_links() {
    once(|t| {
        let outside = t.new_directory();
        let source = t.new_file("contents\n");
        let target = outside.join("made").to_str().unwrap().to_owned();
        let name = outside.file_name().unwrap().to_str().unwrap();
        let bundle = t.bundle().link("/data", &target).bind(&source, "/data/below/file", &[]);
        // Whether it succeeds inside the image or is refused is the runtime's choice.
        let output = t.container(bundle.args(&["true"])).command("run").run();
        assert!(output.code() == 0 || output.stderr().contains(name) || t.runtime() == Runtime::Crun, "{output}");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "nothing is made outside");
    });
}

#[test]
fn a_read_only_root_is_read_only() {
    on_every_view(|t| {
        let bundle = t.bundle().sh("touch /new 2>/dev/null && echo rw || echo ro");
        assert_eq!(t.output_of(bundle.clone()), "ro\n");
        assert_eq!(t.output_of(bundle.writable()), "rw\n");
    });
}

/// Podman 5 asks for it with `--read-only --read-only-tmpfs=false`; what is mounted below it and its nodes come first.
#[test]
fn a_read_only_dev_has_its_nodes_and_mounts() {
    on_every_view(|t| {
        let mut bundle = t
            .bundle()
            .sh("test -c /dev/null && test -c /dev/pts/ptmx || exit 9; touch /dev/new 2>/dev/null || echo ro");
        for mount in bundle.config["mounts"].as_array_mut().unwrap() {
            if mount["destination"] == "/dev" {
                mount["options"].as_array_mut().unwrap().push("ro".into());
            }
        }
        assert_eq!(t.output_of(bundle), "ro\n");
    });
}

#[test]
fn without_pivot_root() {
    on_every_view(|t| {
        let container = t.container(t.bundle().sh("ls / | grep -c -x bin; ls /; cat /proc/self/mountinfo | wc -l"));
        let output = container.command("run").option("--no-pivot").ok();
        assert!(output.stdout().starts_with("1\n"), "{output}");
        assert!(!output.stdout().contains("usr\n"), "the machine's root is not seen: {output}");
    });
}

#[test]
fn nothing_of_the_machine_stays_mounted() {
    on_every_view(|t| {
        let info = mountinfo(t.bundle(), t);
        let points: Vec<&str> = info.lines().filter_map(|line| line.split(' ').nth(4)).collect();
        let expected = ["/", "/proc", "/dev", "/sys"];
        for point in points {
            let known =
                expected.iter().any(|root| point == *root || (*root != "/" && point.starts_with(&format!("{root}/"))));
            assert!(known, "{point} in {info}");
        }
    });
}

#[test]
fn the_type_of_each_default_mount() {
    on_every_view(|t| {
        let info = mountinfo(t.bundle(), t);
        let cases = [
            ("/proc", "proc"),
            ("/dev", "tmpfs"),
            ("/dev/pts", "devpts"),
            ("/dev/shm", "tmpfs"),
            ("/dev/mqueue", "mqueue"),
            ("/sys", "sysfs"),
        ];
        for (point, kind) in cases {
            let line = mount_on(&info, point);
            assert!(line.contains(&format!(" - {kind} ")), "{point}: {line}");
        }
        let devpts = mount_on(&info, "/dev/pts");
        assert!(["gid=5", "mode=620", "ptmxmode=666"].iter().all(|option| devpts.contains(option)), "{devpts}");
    });
}

#[test]
fn the_cgroup_mount_shows_the_containers_own_cgroup_read_only() {
    on_every_view(|t| {
        let script =
            "cd /sys/fs/cgroup; [ -d pids ] && cd pids; cat cgroup.procs; mkdir x 2>/dev/null && echo rw || echo ro";
        let output = t.output_of(t.bundle().sh(script));
        assert!(output.starts_with("1\n"), "{output}");
        assert!(output.ends_with("ro\n"), "{output}");
    });
}

#[test]
fn propagation_of_the_root_and_of_mounts() {
    on_every_view(|t| {
        let source = t.new_directory();
        let fields = |info: &str, point: &str| {
            let line = mount_on(info, point);
            let fields: Vec<String> =
                line.split(' ').skip(6).take_while(|field| *field != "-").map(String::from).collect();
            fields.iter().map(|field| field.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let private = mountinfo(t.bundle().bind(&source, "/data", &[]), t);
        // Slaves of the host's mounts, where those are shared.
        let unshared = |fields: Vec<String>| fields.iter().all(|field| field == "master");
        assert!(unshared(fields(&private, "/")) && unshared(fields(&private, "/data")), "{private}");
        let shared = mountinfo(t.bundle().bind(&source, "/data", &["shared"]), t);
        assert!(fields(&shared, "/data").contains(&"shared".to_owned()), "{shared}");
        let unbindable = mountinfo(t.bundle().bind(&source, "/data", &["unbindable"]), t);
        assert_eq!(fields(&unbindable, "/data"), ["unbindable"]);
        let root = mountinfo(t.bundle().set("/linux/rootfsPropagation", "shared"), t);
        if !t.differs("rootfsPropagation shared") {
            assert_eq!(fields(&root, "/"), ["shared"], "{root}");
        }
    });
}

#[test]
fn a_source_with_locked_flags_is_bound_read_only_in_a_user_namespace() {
    on_every_view(|t| {
        // In a user namespace the flags of a mount that comes from outside cannot be dropped, so "ro" alone must keep them.
        let source = t.new_directory();
        let path = source.display();
        t.host_shell(&format!("mount -t tmpfs -o nosuid,nodev,noexec,noatime,mode=755 x {path}"));
        let bundle = t.bundle().user_namespace(100_000).bind(&source, "/data", &["ro"]);
        if t.differs("locked flags of a bind in a user namespace") {
            t.container(bundle.args(&["true"])).command("run").fails(1);
        } else {
            let info = mountinfo(bundle, t);
            let line = mount_on(&info, "/data");
            assert!(line.split(' ').nth(5).unwrap().split(',').any(|flag| flag == "ro"), "{line}");
        }
        t.host_shell(&format!("umount {path}"));
    });
}

#[test]
fn relative_sources_are_relative_to_the_bundle() {
    once(|t| {
        let bundle = t.bundle().mount("/data", "bind", "beside", &["bind"]).args(&["cat", "/data"]);
        std::fs::write(bundle.path().join("beside"), "beside the rootfs\n").unwrap();
        assert_eq!(t.output_of(bundle), "beside the rootfs\n");
    });
}

#[test]
fn a_copied_up_file_keeps_its_set_user_id_bit() {
    once(|t| {
        let bundle = t.bundle().file("/data/tool", "#!/bin/sh\n", 0o4755);
        let bundle = bundle.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
        assert_eq!(t.output_of(bundle.sh("stat -c %a /data/tool")), "4755\n");
    });
}
