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
        id_map: None,
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
fn id_mapped_mounts() {
    let map = json!([{"containerID": 0, "hostID": 7, "size": 9}]);
    let extent = IdMap { inside: 0, outside: 7, size: 9 };
    let bind = |options: &[&str], uids: Value, gids: Value| {
        let options: Vec<&str> = options.iter().copied().chain(["bind"]).collect();
        json!({"destination": "/t", "source": "/s", "options": options, "uidMappings": uids, "gidMappings": gids})
    };
    for (options, recursive) in
        [(&["idmap"][..], false), (&["ridmap"], true), (&["ridmap", "idmap"], true), (&[], false), (&["rbind"], false)]
    {
        let expected = MountIdMap { recursive, uids: vec![extent], gids: vec![extent] };
        assert_eq!(last(bind(options, map.clone(), map.clone())).id_map, Some(expected), "{options:?}");
    }
    assert_eq!(last(bind(&[], json!([]), json!([]))).id_map, None);
    let faults = [
        (
            bind(&["idmap"], json!([]), json!([])),
            "mounts[7].options[0]: needs uidMappings and gidMappings: the container has no user namespace",
        ),
        (bind(&[], map.clone(), json!([])), "mounts[7].gidMappings: must be specified along with uidMappings"),
        (bind(&[], json!([]), map.clone()), "mounts[7].uidMappings: must be specified along with gidMappings"),
        (
            bind(&["remount"], map.clone(), map.clone()),
            "mounts[7].uidMappings: the ids of a mount that exists cannot be mapped",
        ),
        (
            bind(&[], json!([{"containerID": 0, "hostID": 7, "size": 0}]), map.clone()),
            "mounts[7].uidMappings[0].size: is zero",
        ),
        (
            json!({"destination": "/t", "type": "cgroup", "options": ["idmap"], "uidMappings": map, "gidMappings": map}),
            "mounts[7].options[0]: the ids of a cgroup mount cannot be mapped",
        ),
    ];
    for (mount, fault) in faults {
        check(&added(mount), &[fault]);
    }
    // Those of the container's user namespace, whatever they are.
    let linux = json!({"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "user"}], "uidMappings": map, "gidMappings": map});
    let [mount] = added(bind(&["idmap"], json!([]), json!([])));
    let changes = [mount, ("/linux", linux)];
    let expected = MountIdMap { recursive: false, uids: Vec::new(), gids: Vec::new() };
    assert_eq!(valid(&changes).mounts[LAST].id_map, Some(expected));
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
