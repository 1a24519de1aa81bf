use super::*;

#[track_caller]
fn unreadable(text: &[u8], expected: &str) {
    assert_eq!(parse(text).unwrap_err().to_string(), expected);
    assert_eq!(faults(text).iter().map(Error::to_string).collect::<Vec<_>>(), [expected]);
}

#[test]
fn broken_json_has_a_line_and_a_column() {
    unreadable(b"{]", "config.json: key must be a string at line 1 column 2");
    unreadable(b"", "config.json: EOF while parsing a value at line 1 column 0");
    unreadable(b"{\n\"a\":\n}", "config.json: expected value at line 3 column 1");
    unreadable(b"5", "config.json: expected an object, found 5");
    unreadable(b"{} x", "config.json: trailing characters at line 1 column 4");
    let deep = "[".repeat(100_000);
    assert_eq!(parse(deep.as_bytes()).unwrap_err().location(), Some("config.json"));
    assert_eq!(parse(b"{\"hostname\": \"\xff\"}").unwrap_err().location(), Some("config.json"));
}

#[test]
fn wrong_types_are_told_in_words_of_json() {
    check(&[("/process/args", json!("sh"))], &[r#"process.args: expected an array, found "sh""#]);
    check(&[("/mounts", json!({"a": 1}))], &["mounts: expected an array, found an object"]);
    check(&[("/process", json!([]))], &["process: expected an object, found an array"]);
    check(
        &[("/linux", json!("x")), ("/hostname", json!("")), ("/mounts", json!([])), ("/root/readonly", json!(false))],
        &["linux: expected an object, found \"x\""],
    );
    check(&[("/process/terminal", json!("yes"))], &[r#"process.terminal: expected a boolean, found "yes""#]);
    check(&[("/process/cwd", json!(5))], &["process.cwd: expected a string, found 5"]);
    check(&[("/annotations", json!({"a.b": 5}))], &[r#"annotations["a.b"]: expected a string, found 5"#]);
    check(&[("/annotations", json!({"a": [5]}))], &["annotations.a: expected a string, found an array"]);
    let long = "x".repeat(1000);
    let shown = format!("process.args: expected an array, found \"{}…", "x".repeat(79));
    check(&[("/process/args", json!(long))], &[&shown]);
    check(
        &[("/root", json!(1)), ("/process", json!(2))],
        &["process: expected an object, found 2", "root: expected an object, found 1"],
    );
}

#[test]
fn unknown_words_of_the_system_call_filter() {
    let filter = |filter: Value| [("/linux/seccomp", filter)];
    check(
        &filter(json!({"defaultAction": "SCMP_ACT_FOO", "architectures": ["SCMP_ARCH_FOO"]})),
        &[
            r#"linux.seccomp.architectures[0]: unknown architecture "SCMP_ARCH_FOO""#,
            r#"linux.seccomp.defaultAction: unknown seccomp action "SCMP_ACT_FOO""#,
        ],
    );
    let call = |action: &str, op: &str| json!({"names": ["a"], "action": action, "args": [{"index": 0, "value": 1, "op": op}]});
    check(
        &filter(json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "flags": ["FOO"],
            "syscalls": [call("FOO", "SCMP_CMP_EQ"), call("SCMP_ACT_LOG", "FOO")]
        })),
        &[
            r#"linux.seccomp.flags[0]: unknown flag "FOO""#,
            r#"linux.seccomp.syscalls[0].action: unknown seccomp action "FOO""#,
            r#"linux.seccomp.syscalls[1].args[0].op: unknown operator "FOO""#,
        ],
    );
    check(&filter(json!({})), &["linux.seccomp.defaultAction: is missing"]);
}

#[test]
fn all_faults_come_out_at_once_with_their_places_in_the_original() {
    check(
        &[
            ("/process/cwd", json!(1)),
            ("/process/capabilities/bounding", json!(["CAP_A", "CAP_KILL", "CAP_B", "CAP_C"])),
            (
                "/mounts",
                json!([5, {"destination": "/a", "type": "tmpfs"}, {"destination": 6}, {"destination": "/b"}, {}, {"destination": "/c", "type": "x", "options": [1, "idmap", 2, "a\0"]}]),
            ),
            ("/linux/rootfsPropagation", json!("foo")),
        ],
        &[
            "mounts[0]: expected an object, found 5",
            "mounts[2].destination: expected a string, found 6",
            "mounts[4].destination: is missing",
            "mounts[5].options[0]: expected a string, found 1",
            "mounts[5].options[2]: expected a string, found 2",
            "process.cwd: expected a string, found 1",
            "mounts[3].type: is missing, and no option says bind or rbind",
            "mounts[5].options[3]: contains a NUL byte",
            "mounts[5].options[1]: needs uidMappings and gidMappings: the container has no user namespace",
            "linux.rootfsPropagation: \"foo\" is not supported",
        ],
    );
}

#[test]
fn the_number_of_wrong_types_told_is_bounded() {
    let text = text(&changed(&[("/process/args", thinned(0..100_000, 300).map(Value::from).collect())]));
    assert_eq!(faults(&text).len(), 200);
}

#[test]
fn null_is_as_good_as_absent_and_the_last_of_repeated_elements_counts() {
    let mut config = changed(&[]);
    config["process"]["user"] = Value::Null;
    config["process"]["rlimits"] = Value::Null;
    config["linux"]["seccomp"] = Value::Null;
    config["mounts"][0]["options"] = Value::Null;
    assert_eq!(faults(&text(&config)).len(), 0);
    assert_eq!(parse(&text(&config)).unwrap().process.user.uid, 0);
    config["process"]["args"] = Value::Null;
    assert_eq!(parse(&text(&config)).unwrap_err().to_string(), "process.args: args must not be empty");
    let twice = br#"{"ociVersion": "9.0.0", "ociVersion": "1.0.0", "root": {"path": "r"}, "process": {"cwd": "/", "args": ["a"]}}"#;
    assert_eq!(parse(twice).unwrap().oci_version, "1.0.0");
}

/// The pointers of every value inside of `value`.
fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| pointers(member, format!("{at}/{name}"), all));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| pointers(item, format!("{at}/{i}"), all));
        }
        _ => {}
    }
    all.push(at);
}

/// A configuration with something of everything.
fn everything() -> Value {
    changed(&[
        ("/domainname", json!("d")),
        ("/annotations", json!({"a": "b"})),
        ("/hooks", json!({"prestart": [{"path": "/h", "args": ["h"], "env": ["A=b"], "timeout": 1}]})),
        ("/linux/namespaces", kinds(&["pid", "network", "ipc", "uts", "mount", "user"])),
        ("/linux/uidMappings", json!([{"containerID": 0, "hostID": 1, "size": 5}])),
        ("/linux/gidMappings", json!([{"containerID": 0, "hostID": 1, "size": 5}])),
        (
            "/linux/devices",
            json!([{"path": "/d", "type": "c", "major": 1, "minor": 1, "fileMode": 1, "uid": 1, "gid": 1}]),
        ),
        ("/linux/sysctl", json!({"net.x": "1"})),
        ("/linux/cgroupsPath", json!("/x")),
        ("/linux/rootfsPropagation", json!("slave")),
        (
            "/linux/resources",
            json!({
                "devices": [{"allow": true, "type": "c", "major": 1, "minor": 1, "access": "r"}],
                "memory": {"limit": 1}, "cpu": {"shares": 1, "cpus": "0"}, "pids": {"limit": 1},
                "blockIO": {"weight": 10, "weightDevice": [{"major": 1, "minor": 1, "weight": 10}]},
                "hugepageLimits": [{"pageSize": "2MB", "limit": 1}], "unified": {"a.b": "1"}, "rdma": {"m": {"hcaHandles": 1}},
                "network": {"classID": 1, "priorities": [{"name": "e", "priority": 1}]}
            }),
        ),
        (
            "/linux/seccomp",
            json!({
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                "syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]
            }),
        ),
        ("/process/consoleSize", json!({"width": 1, "height": 1})),
        ("/process/oomScoreAdj", json!(5)),
        ("/process/user", json!({"uid": 1, "gid": 1, "umask": 1, "additionalGids": [1]})),
    ])
}

#[test]
fn no_change_of_any_element_makes_it_panic_and_the_two_ways_of_reading_agree() {
    let config = everything();
    assert_eq!(faults(&text(&config)).len(), 0);
    let mut all = Vec::new();
    pointers(&config, String::new(), &mut all);
    let replacements = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(1.5),
        json!(""),
        json!("\0"),
        json!("../ä[0]\""),
        json!([]),
        json!([null, 1, "x", {}]),
        json!({}),
        json!({"a.b[3]": 1, "": {"path": "x"}}),
    ];
    let mut refused = 0;
    let mut agree = |config: &Value, what: &dyn std::fmt::Debug| {
        let text = text(config);
        let (first, all) = (parse(&text), faults(&text));
        assert_eq!(first.as_ref().err().map(Error::to_string), all.first().map(Error::to_string), "{what:?}");
        assert!(all.iter().all(|fault| fault.kind() == crate::ErrorKind::InvalidConfig && fault.location().is_some()));
        refused += usize::from(first.is_err());
    };
    for pointer in thinned(&all, 2) {
        for replacement in thinned(&replacements, 1) {
            let mut changed = config.clone();
            *changed.pointer_mut(pointer).unwrap() = replacement.clone();
            agree(&changed, &(pointer, replacement));
        }
        let Some((parent, last)) = pointer.rsplit_once('/') else { continue };
        let mut changed = config.clone();
        match changed.pointer_mut(parent).unwrap() {
            Value::Object(members) => drop(members.remove(last)),
            Value::Array(items) => drop(items.remove(last.parse().unwrap())),
            other => panic!("{other}"),
        }
        agree(&changed, pointer);
    }
    // Most of these changes are no valid configuration: else nothing was tested.
    assert!(refused > all.len() * replacements.len() / 2 || !trials::ALL, "{refused}");
}

#[test]
fn no_truncated_text_makes_it_panic() {
    let text = text(&everything());
    for length in thinned((0..text.len()).step_by(7), 8) {
        assert_eq!(parse(&text[..length]).unwrap_err().location(), Some("config.json"));
    }
}

#[test]
fn other_values_in_place_of_words_and_arrays_in_place_of_objects() {
    let kind = |kind: Value| [("/linux/namespaces/0/type", kind)];
    check(&kind(json!(5)), &["linux.namespaces[0].type: expected a string, found 5"]);
    check(&kind(json!(["pid"])), &["linux.namespaces[0].type: expected a string, found an array"]);
    check(&kind(json!({})), &["linux.namespaces[0].type: expected a string, found an object"]);
    check(&kind(json!({"a": 1})), &["linux.namespaces[0].type: expected a string, found an object"]);
    check(&kind(json!("a")), &[r#"linux.namespaces[0].type: unknown namespace type "a""#]);
    check(&[("/process/consoleSize", json!([1, 2, 3]))], &["process.consoleSize: expected an object, found an array"]);
    // Nor one whose values fit, or that has none.
    for (place, array) in [
        ("process.consoleSize", json!([])),
        ("process.consoleSize", json!([24, 80])),
        ("process.user", json!([])),
        ("process.capabilities", json!([])),
        ("hooks", json!([])),
    ] {
        let pointer = format!("/{}", place.replace('.', "/"));
        check(&[(&pointer, array)], &[&format!("{place}: expected an object, found an array")]);
    }
    let word = |word: Value| [("/linux/seccomp", json!({"defaultAction": word}))];
    check(&word(json!({"SCMP_ACT_LOG": null})), &["linux.seccomp.defaultAction: expected a string, found an object"]);
    let bounding = |names: Value| [("/process/capabilities/bounding", names)];
    check(&bounding(json!(["CAP_KILL", 5])), &["process.capabilities.bounding[1]: expected a string, found 5"]);
    check(
        &bounding(json!(["CAP_A", {}, "CAP_B"])),
        &["process.capabilities.bounding[1]: expected a string, found an object"],
    );
}

#[test]
fn no_array_is_taken_for_an_object_anywhere() {
    let mut config = everything();
    config["linux"]["timeOffsets"] = json!({});
    config["linux"]["personality"] = json!({"domain": "LINUX"});
    config["linux"]["intelRdt"] = json!({"closID": "c"});
    config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_DEFAULT"});
    config["process"]["scheduler"] = json!({"policy": "SCHED_BATCH"});
    config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 1});
    config["process"]["execCPUAffinity"] = json!({"initial": "0"});
    config["linux"]["netDevices"] = json!({"a": {"name": "b"}});
    config["mounts"][0]["uidMappings"] = json!([{"containerID": 0, "hostID": 1, "size": 5}]);
    let mut all = Vec::new();
    pointers(&config, String::new(), &mut all);
    all.retain(|pointer| config.pointer(pointer).is_some_and(Value::is_object));
    assert!(all.len() > 30, "{}", all.len());
    for pointer in thinned(all, 2) {
        let members = config.pointer(&pointer).and_then(Value::as_object).unwrap();
        // One without items, and one whose items are those that serde would want.
        for array in [json!([]), members.values().cloned().collect()] {
            let mut changed = config.clone();
            *changed.pointer_mut(&pointer).unwrap() = array;
            let place = pointer.trim_start_matches('/').split('/').fold(String::new(), |place, step| match step {
                step if step.parse::<usize>().is_ok() => format!("{place}[{step}]"),
                step if place.is_empty() => step.to_owned(),
                step => format!("{place}.{step}"),
            });
            let place = if place.is_empty() { "config.json" } else { &place };
            let expected = format!("{place}: expected an object, found an array");
            assert_eq!(parse(&text(&changed)).unwrap_err().to_string(), expected);
        }
    }
}

#[test]
fn a_specification_in_memory_means_what_its_text_means() {
    let config = everything();
    let spec = serde_json::from_value(config.clone()).unwrap();
    assert_eq!(validate(spec).unwrap(), parse(&text(&config)).unwrap());
    let scheduled = changed(&[
        ("/process/execCPUAffinity", json!({"initial": "0", "final": "1-3,5"})),
        ("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 3, "flags": ["SCHED_FLAG_RECLAIM"]})),
        ("/process/ioPriority", json!({"class": "IOPRIO_CLASS_IDLE", "priority": 1})),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]})),
        ("/linux/personality", json!({"domain": "LINUX32"})),
    ]);
    let spec = serde_json::from_value(scheduled.clone()).unwrap();
    assert_eq!(validate(spec).unwrap(), parse(&text(&scheduled)).unwrap());
}
