use super::*;
use crate::host::Hierarchy;
use crate::plan::cgroup::{CgroupWrite, DevicePolicy, IfAbsent};

fn host(own_path: &str) -> HostCgroups {
    let v2 = Hierarchy { controllers: vec![], mount_point: "/cg".to_owned(), own_path: own_path.to_owned() };
    HostCgroups { v1: vec![], v2: Some(v2) }
}

fn choose(path: Option<&str>, id: &str, own: &str, bus: Option<&str>) -> Result<(SystemdScope, CgroupPaths)> {
    SystemdScope::choose(path, &host(own), &ContainerId::new(id).unwrap(), bus)
}

#[test]
fn paths_mean_a_unit_in_a_slice() {
    let user = "/user.slice/user-7.slice/user@7.service";
    let session = "/user.slice/user-7.slice/session-3.scope";
    let below = format!("{user}/app.slice/x.scope");
    for (path, own, bus, expected) in [
        (None, "/", None, "/system.slice/corten-id.scope"),
        (Some("system.slice:runc:web"), "/", None, "/system.slice/runc-web.scope"),
        (Some(":p:n"), "/", None, "/system.slice/p-n.scope"),
        (Some("a.slice::n"), "/", None, "/a.slice/n.scope"),
        (Some("-.slice:p:n"), "/", None, "/p-n.scope"),
        (Some("a-b-c.slice:p:n"), "/", None, "/a.slice/a-b.slice/a-b-c.slice/p-n.scope"),
        (None, &below, Some("/bus"), &format!("{user}/user.slice/corten-id.scope")),
        (None, session, Some("/bus"), &format!("{user}/user.slice/corten-id.scope")),
        (Some("x.slice:p:n"), user, Some("/bus"), &format!("{user}/x.slice/p-n.scope")),
    ] {
        let (scope, paths) = choose(path, "id", own, bus).unwrap();
        let CgroupPaths::V2 { directory } = paths else { panic!("{paths:?}") };
        assert_eq!(directory.path, expected);
        assert!(expected.ends_with(&format!("/{}", scope.unit)), "{expected} {}", scope.unit);
        assert_eq!(scope.bus, bus.unwrap_or("/run/dbus/system_bus_socket"));
    }
}

#[test]
fn what_is_no_unit_is_refused() {
    for (path, id, text) in [
        (
            Some("/absolute"),
            "id",
            "to be of format \"slice:prefix:name\" for systemd cgroups, got \"/absolute\" instead",
        ),
        (Some("a:b"), "id", "got \"a:b\" instead"),
        (Some("a.slice:b:c:d"), "id", "instead"),
        (Some("a.slice:b:"), "id", "is empty"),
        (Some("a.slice:b:c.slice"), "id", "only a scope"),
        (Some("a:b:c"), "id", "invalid slice name: a"),
        (Some(".slice:b:c"), "id", "invalid slice name"),
        (Some("a--b.slice:b:c"), "id", "invalid slice name"),
        (Some("-a.slice:b:c"), "id", "invalid slice name"),
        (Some("../a.slice:b:c"), "id", "invalid slice name"),
        (Some("a/b.slice:b:c"), "id", "invalid slice name"),
        (Some("a.slice:b:../c"), "id", "'/' cannot be in the name"),
        (Some("a.slice:b:c\n"), "id", "cannot be in the name"),
        (None, "a+b", "'+' cannot be in the name"),
    ] {
        let error = choose(path, id, "/", None).unwrap_err();
        assert_eq!(error.location(), Some("linux.cgroupsPath"), "{path:?}");
        assert!(format!("{error:#}").contains(text), "{error:#}");
    }
    let long = format!("a.slice:b:{}", "c".repeat(300));
    assert!(choose(Some(&long), "id", "/", None).unwrap_err().to_string().contains("at most 255"));
    assert_eq!(choose(None, "id", "/elsewhere", Some("/bus")).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn every_limit_that_systemd_knows_is_told() {
    let write = |file: &str, value: &str| CgroupWrite {
        directory: 0,
        file: file.to_owned(),
        value: value.to_owned(),
        location: String::new(),
        if_absent: IfAbsent::Fail,
    };
    let number = |name: &str, value| vec![(name.to_owned(), Value::U64(value))];
    let quota = |second, period| {
        let named = |name: &str, value| (name.to_owned(), Value::U64(value));
        vec![named("CPUQuotaPerSecUSec", second), named("CPUQuotaPeriodUSec", period)]
    };
    let rates = |name: &str, rate| vec![(name.to_owned(), Value::Rates(vec![("/dev/block/8:16".to_owned(), rate)]))];
    let mask = |name: &str, bytes: &[u8]| vec![(name.to_owned(), Value::Bytes(bytes.to_vec()))];
    for (file, value, expected) in [
        ("memory.max", "1048576", number("MemoryMax", 1_048_576)),
        ("memory.max", "max", number("MemoryMax", u64::MAX)),
        ("memory.low", "1", number("MemoryLow", 1)),
        ("memory.high", "2", number("MemoryHigh", 2)),
        ("memory.min", "3", number("MemoryMin", 3)),
        ("memory.swap.max", "0", number("MemorySwapMax", 0)),
        ("pids.max", "20", number("TasksMax", 20)),
        ("cpu.weight", "39", number("CPUWeight", 39)),
        ("io.weight", "default 50", number("IOWeight", 50)),
        ("cpu.max", "50000 100000", quota(500_000, 100_000)),
        ("cpu.max", "max 100000", quota(u64::MAX, 100_000)),
        ("cpu.max", "1001 100000", quota(20_000, 100_000)), // up to the next 10 ms
        ("cpuset.cpus", "0-1,9", mask("AllowedCPUs", &[0b11, 0b10])),
        ("cpuset.mems", "0", mask("AllowedMemoryNodes", &[1])),
        ("cpu.idle", "1", number("CPUWeight", 0)),
        ("io.max", "8:16 rbps=7", rates("IOReadBandwidthMax", 7)),
        ("io.max", "8:16 wbps=8", rates("IOWriteBandwidthMax", 8)),
        ("io.max", "8:16 riops=9", rates("IOReadIOPSMax", 9)),
        ("io.max", "8:16 wiops=max", rates("IOWriteIOPSMax", u64::MAX)),
        ("blkio.throttle.read_bps_device", "8:16 7", rates("BlockIOReadBandwidth", 7)),
        ("blkio.throttle.write_bps_device", "8:16 0", rates("BlockIOWriteBandwidth", u64::MAX)),
        ("io.max", "8:16 rbps=x", vec![]),
        ("io.max", "../16 rbps=1", vec![]),
        ("hugetlb.2MB.max", "0", vec![]),
        ("cpu.max.burst", "5", vec![]),
        ("cpuset.cpus", "9-1", vec![]),
        ("cpuset.cpus", "0-99999999999", vec![]),
        ("memory.max", "1G", vec![]),
    ] {
        assert_eq!(properties_of(&[write(file, value)]), expected, "{file} {value}");
    }
    // Each device has its own; of one, the last counts.
    let writes =
        [("8:0", 1), ("8:16", 2), ("8:0", 3)].map(|(disk, rate)| write("io.max", &format!("{disk} rbps={rate}")));
    let expected = [("/dev/block/8:16".to_owned(), 2), ("/dev/block/8:0".to_owned(), 3)];
    assert_eq!(properties_of(&writes), [("IOReadBandwidthMax".to_owned(), Value::Rates(expected.into()))]);
    // The last write counts.
    assert_eq!(properties_of(&[write("pids.max", "1"), write("pids.max", "2")]), number("TasksMax", 2));
}

#[test]
fn annotations_are_properties() {
    let of = |name: &str, text: &str| annotated(&BTreeMap::from([(name.to_owned(), text.to_owned())]));
    let texts = |texts: &[&str]| Value::Texts(texts.iter().map(|&text| text.to_owned()).collect());
    for (name, text, expected, value) in [
        ("CollectMode", "'inactive'", "CollectMode", Value::Text("inactive".to_owned())),
        ("Description", r#""a \"b\" \\ 'c'""#, "Description", Value::Text("a \"b\" \\ 'c'".to_owned())),
        ("TimeoutStopUSec", "uint64 5", "TimeoutStopUSec", Value::U64(5)),
        ("TimeoutStopSec", "5", "TimeoutStopUSec", Value::U64(5_000_000)),
        ("TimeoutStopSec", "uint64 7", "TimeoutStopUSec", Value::U64(7_000_000)),
        ("SendSIGHUP", "true", "SendSIGHUP", Value::Bool(true)),
        ("KillSignal", "int32 15", "KillSignal", Value::I32(15)),
        ("TasksMax", "@t 9", "TasksMax", Value::U64(9)),
        ("After", "['a.service', \"b.service\"]", "After", texts(&["a.service", "b.service"])),
    ] {
        let name = format!("org.systemd.property.{name}");
        assert_eq!(of(&name, text).unwrap(), [(expected.to_owned(), value)], "{name} {text}");
    }
    assert_eq!(of("org.example.other", "?").unwrap(), []);
    for (name, text) in [
        ("lower", "1"),
        ("Ab", "1"),
        ("Has-Dash", "1"),
        ("KillSignal", "fifteen"),
        ("KillSignal", ""),
        ("KillSignal", "uint32 -1"),
        ("After", "[]"),
        ("After", "['a'"),
        ("After", "['a',, 'b']"),
        ("Description", "'open"),
        ("Description", "'a' 'b'"),
        ("TimeoutStopSec", "-1"),
        ("TimeoutStopSec", "'5'"),
        ("TimeoutStopSec", "uint64 18446744073709551615"),
    ] {
        let name = format!("org.systemd.property.{name}");
        let error = of(&name, text).unwrap_err();
        assert_eq!(error.location(), Some(format!("annotations[{name:?}]").as_str()), "{text}");
    }
}

fn v1(controllers: &str) -> Hierarchy {
    let mount_point = format!("/cg/{}", controllers.trim_start_matches("name="));
    let controllers = controllers.split(',').map(str::to_owned).collect();
    Hierarchy { controllers, mount_point, own_path: "/system.slice/us.service".to_owned() }
}

#[test]
fn on_version_1_the_cgroups_of_all_hierarchies_are_named_after_the_unit() {
    let id = ContainerId::new("id").unwrap();
    let choose = |host: &HostCgroups, bus| SystemdScope::choose(Some("a-b.slice:p:n"), host, &id, bus);
    let mut host = HostCgroups { v1: vec![v1("cpuset"), v1("cpu,cpuacct"), v1("name=systemd")], v2: None };
    let shown = |paths: &CgroupPaths| -> Vec<String> {
        paths.directories().map(|directory| directory.absolute().display().to_string()).collect()
    };
    let unit = "a.slice/a-b.slice/p-n.scope";
    let mut expected: Vec<_> = ["cpuset", "cpu,cpuacct", "systemd"].map(|name| format!("/cg/{name}/{unit}")).into();
    let (_, paths) = choose(&host, None).unwrap();
    assert_eq!((shown(&paths), paths.of_systemd().unwrap().mount_point.as_str()), (expected.clone(), "/cg/systemd"));
    let refused = choose(&host, Some("/bus")).unwrap_err();
    assert!(refused.to_string().contains("version 2 only"), "{refused}");

    host.v2 = Some(Hierarchy { controllers: vec![], mount_point: "/cg/unified".to_owned(), own_path: "/".to_owned() });
    expected.push(format!("/cg/unified/{unit}"));
    let (_, paths) = choose(&host, None).unwrap();
    assert_eq!((shown(&paths), paths.of_systemd().unwrap().mount_point.as_str()), (expected, "/cg/unified"));

    let without = HostCgroups { v1: vec![v1("cpuset")], v2: None };
    assert!(choose(&without, None).unwrap_err().to_string().contains("is not mounted"));
}

#[test]
fn limits_of_version_1_are_properties_too() {
    let write = |file: &str, value: &str| CgroupWrite {
        directory: 0,
        file: file.to_owned(),
        value: value.to_owned(),
        location: String::new(),
        if_absent: IfAbsent::Fail,
    };
    let of = |files: &[(&str, &str)]| -> Vec<String> {
        let writes: Vec<_> = files.iter().map(|(file, value)| write(file, value)).collect();
        properties_of(&writes).into_iter().map(|(name, value)| format!("{name} {value:?}")).collect()
    };
    assert_eq!(of(&[("memory.limit_in_bytes", "4096")]), ["MemoryLimit U64(4096)"]);
    assert_eq!(of(&[("memory.limit_in_bytes", "-1")]), [format!("MemoryLimit U64({})", u64::MAX)]);
    assert_eq!(of(&[("cpu.shares", "512"), ("blkio.weight", "10")]), ["BlockIOWeight U64(10)", "CPUShares U64(512)"]);
    let quota = [("cpu.cfs_period_us", "50000"), ("cpu.cfs_quota_us", "10000")];
    assert_eq!(of(&quota), ["CPUQuotaPerSecUSec U64(200000)", "CPUQuotaPeriodUSec U64(50000)"]);
    assert_eq!(of(&[("cpuset.cpus", "x"), ("devices.allow", "a")]), [""; 0]);
}

#[test]
fn device_rules_are_properties_too() {
    let policy =
        |rules: serde_json::Value| DevicePolicy::lower(&serde_json::from_value::<Vec<_>>(rules).unwrap()).unwrap();
    let properties = device_properties(&policy(serde_json::json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "b", "major": 8, "access": "r"},
        {"allow": true, "type": "c", "minor": 9, "access": "r"},
    ])));
    assert_eq!(properties[0], ("DevicePolicy".to_owned(), Value::Text("strict".to_owned())));
    assert_eq!(properties[1], ("DeviceAllow".to_owned(), Value::Pairs(vec![])));
    let (name, Value::Pairs(allowed)) = &properties[2] else { panic!("{properties:?}") };
    assert_eq!((name.as_str(), properties.len()), ("DeviceAllow", 3));
    for (device, access) in [("block-8", "r"), ("block-*", "m"), ("char-136", "rwm"), ("/dev/char/1:3", "rwm")] {
        assert!(allowed.contains(&(device.to_owned(), access.to_owned())), "{device}: {allowed:?}");
    }
    assert!(!allowed.iter().any(|(device, _)| device.contains(":9") && device.contains('*')), "{allowed:?}");
    let open = device_properties(&policy(serde_json::json!([{"allow": true, "access": "rwm"}])));
    assert_eq!(open[0].1, Value::Text("auto".to_owned()));
    assert_eq!(open.len(), 2);
}
