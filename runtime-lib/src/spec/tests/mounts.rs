use super::*;

/// The place of the mount that [`added`] appends to the example.
const LAST: usize = 7;

fn added(mount: Value) -> [(&'static str, Value); 1] {
    [("/mounts/-", mount)]
}

#[track_caller]
fn last(mount: Value) -> Mount {
    valid(&added(mount)).mounts.pop().unwrap()
}

/// A tmpfs at `/t` with `options`.
fn tmpfs(options: &[&str]) -> Value {
    json!({"destination": "/t", "type": "tmpfs", "options": options})
}

fn attrs(set: u64, clear: u64) -> MountAttrs {
    MountAttrs { set, clear }
}

#[test]
fn options_are_sorted_by_whom_they_concern() {
    let options = ["nosuid", "ro", "sync", "size=5", "rro", "", "rslave", "private", "tmpcopyup", "a=b,c", "defaults"];
    let mount = last(tmpfs(&options));
    let propagation = |kind, recursive| Propagation { kind, recursive };
    let expected = Mount {
        index: LAST,
        destination: "/t".into(),
        kind: MountKind::Filesystem {
            fstype: "tmpfs".into(),
            source: "tmpfs".into(),
            sb_flags: libc::MS_RDONLY | libc::MS_SYNCHRONOUS,
            data: "size=5,a=b,c".into(),
        },
        attrs: attrs(libc::MS_NOSUID | libc::MS_RDONLY, 0),
        recursive_attrs: attrs(libc::MS_RDONLY, 0),
        propagation: vec![propagation(PropagationKind::Slave, true), propagation(PropagationKind::Private, false)],
        copy_up: true,
        remount: false,
    };
    assert_eq!(mount, expected);
}

#[test]
fn the_last_of_opposite_options_counts() {
    let flags = |options: &[&str]| {
        let mount = last(tmpfs(options));
        let MountKind::Filesystem { sb_flags, .. } = mount.kind else { panic!("{mount:?}") };
        (mount.attrs, mount.recursive_attrs, sb_flags)
    };
    let none = attrs(0, 0);
    assert_eq!(flags(&["ro", "rw"]), (attrs(0, libc::MS_RDONLY), none, 0));
    assert_eq!(flags(&["rw", "ro"]), (attrs(libc::MS_RDONLY, 0), none, libc::MS_RDONLY));
    assert_eq!(flags(&["noexec", "exec", "sync", "async"]), (attrs(0, libc::MS_NOEXEC), none, 0));
    assert_eq!(flags(&["rnodev", "rdev"]), (none, attrs(0, libc::MS_NODEV), 0));
    assert_eq!(flags(&["rsuid", "rnosuid"]), (none, attrs(libc::MS_NOSUID, 0), 0));
}

#[test]
fn binds_are_told_by_their_option() {
    for fstype in [json!("none"), json!("bind"), json!("tmpfs"), json!("cgroup"), json!(""), Value::Null] {
        let mount = last(json!({"destination": "/t", "type": fstype, "source": "src", "options": ["bind", "ro"]}));
        assert_eq!(mount.kind, MountKind::Bind { source: "src".into(), recursive: false }, "{fstype}");
        assert_eq!(mount.attrs, attrs(libc::MS_RDONLY, 0));
    }
    let bind = |options: &[&str]| json!({"destination": "/t", "source": "/s", "options": options});
    for options in [&["rbind"][..], &["bind", "rbind"], &["rbind", "bind"]] {
        assert_eq!(last(bind(options)).kind, MountKind::Bind { source: "/s".into(), recursive: true });
    }
    assert!(last(bind(&["bind", "remount", "ro"])).remount);
    let spec = valid(&added(bind(&["bind", "size=5", "sync", "async", "tmpcopyup"])));
    let ignored = |option, name| {
        format!("mounts[7].options[{option}]: \"{name}\" is ignored: a bind mount shares the file system of its source")
    };
    let expected =
        [ignored(1, "size=5"), ignored(2, "sync"), "mounts[7].options[4]: tmpcopyup is ignored: not a tmpfs".into()];
    assert_eq!(spec.warnings, expected);
    assert!(!spec.mounts[LAST].copy_up);
    check(
        &added(json!({"destination": "/t", "options": ["bind"]})),
        &["mounts[7].source: a bind mount needs a source"],
    );
    check(&added(json!({"destination": "/t", "source": "", "options": ["bind"]})), &["mounts[7].source: is empty"]);
}

#[test]
fn types() {
    for fstype in ["cgroup", "cgroup2"] {
        assert_eq!(last(json!({"destination": "/t", "type": fstype})).kind, MountKind::Cgroup);
    }
    check(
        &added(json!({"destination": "/t", "source": "/s"})),
        &["mounts[7].type: is missing, and no option says bind or rbind"],
    );
    for fstype in ["bind", "rbind"] {
        check(
            &added(json!({"destination": "/t", "type": fstype, "source": "/s"})),
            &[&format!("mounts[7].type: type {fstype:?} without the option bind or rbind")],
        );
    }
    check(&added(json!({"destination": "/t", "type": "a\0"})), &["mounts[7].type: contains a NUL byte"]);
}

#[test]
fn destinations_are_cleaned() {
    for (written, cleaned) in
        [("/", "/"), ("/a//b/./c/", "/a/b/c"), ("/a/../../b", "/b"), ("/../..", "/"), ("/a..b/...", "/a..b/...")]
    {
        assert_eq!(last(json!({"destination": written, "type": "tmpfs"})).destination, cleaned);
    }
    let spec = valid(&added(json!({"destination": "tmp/../x", "type": "tmpfs"})));
    assert_eq!(spec.mounts[LAST].destination, "/x");
    assert_eq!(spec.warnings, ["mounts[7].destination: mount destination tmp/../x is not absolute"]);
    check(&added(json!({"destination": "", "type": "tmpfs"})), &["mounts[7].destination: is empty"]);
    check(&added(json!({"destination": "/\0", "type": "tmpfs"})), &["mounts[7].destination: contains a NUL byte"]);
    check(&added(json!({"type": "tmpfs"})), &["mounts[7].destination: is missing"]);
}

#[test]
fn id_mapped_mounts_are_refused() {
    for option in ["idmap", "ridmap"] {
        check(
            &added(json!({"destination": "/t", "source": "/s", "options": ["bind", option]})),
            &["mounts[7].options[1]: id-mapped mounts are not supported"],
        );
    }
    let map = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    check(
        &added(
            json!({"destination": "/t", "source": "/s", "options": ["bind"], "uidMappings": map, "gidMappings": []}),
        ),
        &["mounts[7].uidMappings: id-mapped mounts are not supported"],
    );
    check(&added(tmpfs(&["a\0"])), &["mounts[7].options[0]: contains a NUL byte"]);
}

#[test]
fn rootfs_propagation() {
    for (written, kind) in [
        ("shared", PropagationKind::Shared),
        ("slave", PropagationKind::Slave),
        ("private", PropagationKind::Private),
        ("unbindable", PropagationKind::Unbindable),
    ] {
        for (written, recursive) in [(written.to_owned(), false), (format!("r{written}"), true)] {
            let spec = valid(&[("/linux/rootfsPropagation", json!(written))]);
            assert_eq!(spec.rootfs_propagation, Some(Propagation { kind, recursive }));
        }
    }
    assert_eq!(valid(&[("/linux/rootfsPropagation", json!(""))]).rootfs_propagation, None);
    for bad in ["foo", "ro"] {
        let expected = format!("linux.rootfsPropagation: {bad:?} is not supported");
        check(&[("/linux/rootfsPropagation", json!(bad))], &[&expected]);
    }
}
