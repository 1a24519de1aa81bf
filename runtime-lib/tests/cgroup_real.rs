//! Cgroups on the real kernel: on the machine's own hierarchies, and on a pure version 2 view of them in a mount
//! namespace of its own. Needs root; says so and passes without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

use libcorten::cgroup::{Cgroup, CgroupPaths, CgroupPlan, Driver};
use libcorten::host::HostCgroups;
use libcorten::spec::{Hooks, Namespaces, Process, Root, User, ValidSpec};
use libcorten::{ContainerId, ErrorKind};
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Set in the process that runs in the pure version 2 view.
const IN_VIEW: &str = "CORTEN_TEST_PURE_V2";

fn spec(path: Option<&str>, resources: Value) -> ValidSpec {
    let process = Process {
        args: vec!["true".into()],
        env: vec![],
        cwd: "/".into(),
        terminal: false,
        console_size: None,
        user: User { uid: 0, gid: 0, umask: None, additional_gids: vec![] },
        capabilities: None,
        rlimits: vec![],
        no_new_privileges: false,
        oom_score_adj: None,
        apparmor_profile: None,
        selinux_label: None,
        scheduler: None,
        io_priority: None,
        exec_cpu_affinity: None,
    };
    ValidSpec {
        oci_version: "1.3.0".into(),
        root: Root { path: "rootfs".into(), readonly: false },
        hostname: None,
        domainname: None,
        process,
        namespaces: Namespaces::default(),
        uid_mappings: vec![],
        gid_mappings: vec![],
        time_offsets: Vec::new(),
        mounts: vec![],
        devices: vec![],
        masked_paths: vec![],
        readonly_paths: vec![],
        rootfs_propagation: None,
        sysctl: Default::default(),
        cgroups_path: path.map(str::to_owned),
        resources: serde_json::from_value(resources).unwrap(),
        mount_label: None,
        net_devices: vec![],
        intel_rdt: None,
        personality: None,
        memory_policy: None,
        seccomp: None,
        hooks: Hooks::default(),
        annotations: Default::default(),
        warnings: vec![],
    }
}

fn plan(name: &str, path: Option<&str>, resources: Value) -> CgroupPlan {
    let id = ContainerId::new(&unique(name)).unwrap();
    let host = HostCgroups::probe().unwrap();
    libcorten::plan::cgroup::lower(&spec(path, resources), &host, &id, Driver::Cgroupfs).unwrap()
}

fn unique(name: &str) -> String {
    format!("corten-test-{}-{name}", std::process::id())
}

/// Kills and removes whatever a test leaves, also when it fails.
struct Cleanup(Cgroup);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let _ = self.0.kill(libc::SIGKILL);
        let _ = self.0.remove();
    }
}

/// A shell that waits for a line of input before it runs `script`, so that it can be moved into a cgroup before.
struct Waiting(Child);

impl Waiting {
    fn new(script: &str) -> Waiting {
        let script = format!("read line; {script}");
        Waiting(Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    fn go(&mut self) {
        self.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }

    fn exit_code(mut self) -> i32 {
        self.0.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs the named test of this file again with only cgroup2 mounted, at /sys/fs/cgroup.
fn in_pure_v2(test: &str) {
    let script = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(IN_VIEW, "1")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
}

/// Runs `check` here, and again in the pure version 2 view.
fn on_every_view(test: &str, check: fn()) {
    if !is_root() {
        return;
    }
    check();
    if std::env::var_os(IN_VIEW).is_none() {
        in_pure_v2(test);
    }
}

fn directory_of(cgroup: &Cgroup, controller: &str) -> PathBuf {
    cgroup.paths().of_controller(controller).unwrap().1.absolute()
}

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

fn exists(cgroup: &Cgroup) -> usize {
    cgroup.paths().directories().filter(|directory| directory.absolute().exists()).count()
}

#[test]
fn a_process_lives_in_its_cgroup_until_it_is_killed() {
    on_every_view("a_process_lives_in_its_cgroup_until_it_is_killed", || {
        let plan = plan("life", None, Value::Null);
        let cgroup = Cgroup::chosen(&plan);
        let _cleanup = Cleanup(cgroup.clone());
        let made = cgroup.create(&plan).unwrap();
        assert_eq!(made.cgroup(), &cgroup);
        let all = cgroup.paths().directories().count();
        assert_eq!((made.directories().len(), exists(&cgroup)), (all, all));
        assert_eq!(cgroup.clone_fd().unwrap().is_some(), std::env::var_os(IN_VIEW).is_some());

        let mut child = Waiting::new("sleep 1000 & sleep 1000 & wait");
        cgroup.join(child.pid()).unwrap();
        let own = text(format!("/proc/{}/cgroup", child.pid()));
        for line in own.lines().filter(|line| all > 1 || line.starts_with("0::")) {
            assert!(line.ends_with(&unique("life")), "{line}");
        }
        child.go();
        eventually("the start of its children", || cgroup.processes().unwrap().len() == 3);
        assert!(cgroup.processes().unwrap().contains(&child.pid()));

        assert!(!cgroup.is_frozen().unwrap());
        cgroup.freeze().unwrap();
        assert!(cgroup.is_frozen().unwrap());
        cgroup.thaw().unwrap();
        eventually("thawing", || !cgroup.is_frozen().unwrap());

        cgroup.kill(libc::SIGKILL).unwrap();
        assert_eq!(child.exit_code(), -1);
        cgroup.remove().unwrap();
        assert_eq!(exists(&cgroup), 0);
        assert_eq!(cgroup.processes().unwrap(), [0; 0]);
        cgroup.kill(libc::SIGKILL).unwrap();
        cgroup.remove().unwrap();
    });
}

#[test]
fn a_frozen_container_is_signalled_and_killed() {
    on_every_view("a_frozen_container_is_signalled_and_killed", || {
        let plan = plan("frozen", None, Value::Null);
        let cgroup = Cgroup::chosen(&plan);
        let _cleanup = Cleanup(cgroup.clone());
        let _made = cgroup.create(&plan).unwrap();
        let mut child = Waiting::new("trap 'exit 7' TERM; while :; do sleep 0.01; done");
        cgroup.join(child.pid()).unwrap();
        child.go();
        std::thread::sleep(Duration::from_millis(50));
        cgroup.freeze().unwrap();
        cgroup.kill(libc::SIGTERM).unwrap();
        assert!(cgroup.is_frozen().unwrap(), "a signal does not thaw");
        cgroup.thaw().unwrap();
        assert_eq!(child.exit_code(), 7);

        let child = Waiting::new("sleep 1000");
        cgroup.join(child.pid()).unwrap();
        cgroup.freeze().unwrap();
        cgroup.kill(libc::SIGKILL).unwrap();
        assert_eq!(child.exit_code(), -1);
        cgroup.remove().unwrap();
    });
}

#[test]
fn cgroups_that_the_container_made_go_with_it() {
    on_every_view("cgroups_that_the_container_made_go_with_it", || {
        let plan = plan("nested", None, Value::Null);
        let cgroup = Cgroup::chosen(&plan);
        let _cleanup = Cleanup(cgroup.clone());
        let _made = cgroup.create(&plan).unwrap();
        let child = Waiting::new("sleep 1000");
        cgroup.join(child.pid()).unwrap();
        let which = if cgroup.paths().directories().count() > 1 {
            directory_of(&cgroup, "freezer")
        } else {
            cgroup.paths().unified().unwrap().absolute()
        };
        let deepest = which.join("a/b/c");
        std::fs::create_dir_all(&deepest).unwrap();
        std::fs::create_dir(which.join("d")).unwrap();
        std::fs::write(deepest.join("cgroup.procs"), child.pid().to_string()).unwrap();
        assert_eq!(cgroup.processes().unwrap(), [child.pid()]);
        cgroup.kill(libc::SIGKILL).unwrap();
        drop(child);
        cgroup.remove().unwrap();
        assert_eq!(exists(&cgroup), 0);
    });
}

#[test]
fn devices_are_denied_by_default() {
    on_every_view("devices_are_denied_by_default", || {
        for (name, rules, kmsg) in [
            ("none", json!(null), false),
            ("deny", json!([{"allow": false, "access": "rwm"}]), false),
            ("one", json!([{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]), true),
            ("all", json!([{"allow": true, "access": "rwm"}]), true),
            ("major", json!([{"allow": true, "type": "c", "major": 1, "access": "rwm"}]), true),
            ("char", json!([{"allow": true, "type": "c", "access": "rwm"}]), true),
            ("block", json!([{"allow": true, "type": "b", "access": "rwm"}]), false),
            (
                "allbut",
                json!([{"allow": true, "access": "rwm"},
                       {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "r"},
                       {"allow": false, "type": "b", "access": "rwm"}]),
                false,
            ),
        ] {
            let plan = plan(name, None, json!({ "devices": rules }));
            let cgroup = Cgroup::chosen(&plan);
            let _cleanup = Cleanup(cgroup.clone());
            let _made = cgroup.create(&plan).unwrap();
            let mut child = Waiting::new("echo > /dev/null || exit 3; if (: < /dev/kmsg) 2>/dev/null; then exit 1; fi");
            cgroup.join(child.pid()).unwrap();
            child.go();
            assert_eq!(child.exit_code(), i32::from(kmsg), "{name}");
            cgroup.remove().unwrap();
        }
    });
}

#[test]
fn limits_of_version_1_are_in_the_kernel() {
    if !is_root() || HostCgroups::probe().unwrap().v1.is_empty() {
        eprintln!("skipped: no version 1 hierarchies");
        return;
    }
    let resources = json!({
        "memory": {"limit": 104857600, "swap": 209715200, "reservation": 52428800, "swappiness": 10, "disableOOMKiller": true},
        "cpu": {"shares": 512, "quota": 50000, "period": 200000, "burst": 1000, "cpus": "0"},
        "pids": {"limit": 33}
    });
    let plan = plan("limits", None, resources);
    let cgroup = Cgroup::chosen(&plan);
    let _cleanup = Cleanup(cgroup.clone());
    let _made = cgroup.create(&plan).unwrap();
    for (controller, file, expected) in [
        ("memory", "memory.limit_in_bytes", "104857600"),
        ("memory", "memory.memsw.limit_in_bytes", "209715200"),
        ("memory", "memory.soft_limit_in_bytes", "52428800"),
        ("memory", "memory.swappiness", "10"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "50000"),
        ("cpu", "cpu.cfs_period_us", "200000"),
        ("cpu", "cpu.cfs_burst_us", "1000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("cpuset", "cpuset.mems", "0"),
        ("pids", "pids.max", "33"),
    ] {
        assert_eq!(text(directory_of(&cgroup, controller).join(file)), expected, "{file}");
    }
    assert!(text(directory_of(&cgroup, "memory").join("memory.oom_control")).starts_with("oom_kill_disable 1"));
    let mut devices: Vec<String> =
        text(directory_of(&cgroup, "devices").join("devices.list")).lines().map(str::to_owned).collect();
    devices.sort();
    let always = [
        "b *:* m",
        "c *:* m",
        "c 10:200 rwm",
        "c 136:* rwm",
        "c 1:3 rwm",
        "c 1:5 rwm",
        "c 1:7 rwm",
        "c 1:8 rwm",
        "c 1:9 rwm",
        "c 5:0 rwm",
        "c 5:2 rwm",
    ];
    assert_eq!(devices, always);
    cgroup.remove().unwrap();
}

#[test]
fn limits_of_version_2_are_in_the_kernel() {
    if std::env::var_os(IN_VIEW).is_none() {
        if is_root() {
            in_pure_v2("limits_of_version_2_are_in_the_kernel");
        }
        return;
    }
    let before = text("/sys/fs/cgroup/cgroup.subtree_control");
    let parent = unique("parent");
    let resources = json!({
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
        "unified": {"cgroup.max.depth": "3"}
    });
    let plan = plan("limits", Some(&format!("/{parent}/deep/web")), resources);
    let cgroup = Cgroup::chosen(&plan);
    let _cleanup = Cleanup(cgroup.clone());
    let made = cgroup.create(&plan).unwrap();
    let own = cgroup.paths().unified().unwrap().absolute();
    assert_eq!(text(own.join("hugetlb.2MB.max")), "4194304");
    assert_eq!(text(own.join("cgroup.max.depth")), "3");
    assert_eq!(made.directories().len(), 3);
    made.undo().unwrap();
    assert!(!Path::new("/sys/fs/cgroup").join(&parent).exists());
    if before.is_empty() {
        let _ = std::fs::write("/sys/fs/cgroup/cgroup.subtree_control", "-hugetlb");
    }
}

#[test]
fn a_limit_that_fails_names_its_element_and_leaves_nothing() {
    on_every_view("a_limit_that_fails_names_its_element_and_leaves_nothing", || {
        let parent = unique("failing");
        let unified = std::env::var_os(IN_VIEW).is_some();
        let cases = [
            (json!({"cpu": {"cpus": "4095"}}), "linux.resources.cpu.cpus"),
            (json!({"cpu": {"quota": 500}}), "linux.resources.cpu.quota"),
        ];
        for (resources, location) in cases {
            let plan = plan("fail", Some(&format!("/{parent}/web")), resources);
            let cgroup = Cgroup::chosen(&plan);
            let error = cgroup.create(&plan).unwrap_err();
            assert_eq!(error.location(), Some(location), "{error:#}");
            if unified && !text("/sys/fs/cgroup/cgroup.controllers").contains("cpuset") {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:#}");
            }
            assert_eq!(exists(&cgroup), 0);
            for directory in cgroup.paths().directories() {
                assert!(!Path::new(&directory.mount_point).join(&parent).exists());
            }
        }
    });
}

#[test]
fn an_existing_cgroup_is_taken_over_only_when_nobody_is_in_it() {
    on_every_view("an_existing_cgroup_is_taken_over_only_when_nobody_is_in_it", || {
        let plan = plan("existing", None, Value::Null);
        let cgroup = Cgroup::chosen(&plan);
        let _cleanup = Cleanup(cgroup.clone());
        for directory in cgroup.paths().directories() {
            std::fs::create_dir(directory.absolute()).unwrap();
        }
        let made = cgroup.create(&plan).unwrap();
        assert_eq!(made.directories().len(), 0);
        made.undo().unwrap();
        assert_eq!(exists(&cgroup), cgroup.paths().directories().count(), "what it did not make stays");

        let child = Waiting::new("sleep 1000");
        cgroup.join(child.pid()).unwrap();
        let error = cgroup.create(&plan).unwrap_err();
        assert_eq!(error.location(), Some("linux.cgroupsPath"));
        assert!(error.to_string().contains("container's cgroup is not empty: 1 process(es) found"), "{error}");
        drop(child);
        cgroup.remove().unwrap();
    });
}

#[test]
fn a_caller_without_the_right_goes_without_unless_a_limit_is_asked_for() {
    const NAME: &str = "a_caller_without_the_right_goes_without_unless_a_limit_is_asked_for";
    if nix::unistd::geteuid().is_root() {
        // Where an ordinary user can execute it.
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = directory.path().join("test");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let mut command = Command::new(program);
        command.args(["--exact", NAME, "--nocapture"]).uid(65534).gid(65534).current_dir("/");
        let output = command.output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
        return;
    }
    let unlimited = plan("rootless", None, Value::Null);
    let made = Cgroup::chosen(&unlimited).create(&unlimited).unwrap();
    assert_eq!((made.cgroup().paths(), made.directories().len()), (&CgroupPaths::Unmanaged, 0));
    let limited = plan("rootless", None, json!({"pids": {"limit": 5}}));
    let placed = plan("rootless", Some("/corten-test-rootless"), Value::Null);
    for plan in [limited, placed] {
        let error = Cgroup::chosen(&plan).create(&plan).unwrap_err();
        assert!([Some(libc::EACCES), Some(libc::EPERM)].contains(&error.errno()), "{error:#}");
        assert_eq!(error.location(), Some("linux.cgroupsPath"));
    }
}

#[test]
fn the_record_survives_serialisation() {
    let plan = plan("record", Some("/a/b"), Value::Null);
    let cgroup = Cgroup::chosen(&plan);
    let text = serde_json::to_string(&cgroup).unwrap();
    assert_eq!(serde_json::from_str::<Cgroup>(&text).unwrap(), cgroup, "{text}");
    let unmanaged: Cgroup = serde_json::from_str("{\"version\":\"unmanaged\"}").unwrap();
    assert_eq!(unmanaged.processes().unwrap(), [0; 0]);
    assert!(unmanaged.clone_fd().unwrap().is_none());
    unmanaged.join(std::process::id() as i32).unwrap();
    unmanaged.kill(libc::SIGKILL).unwrap();
    unmanaged.remove().unwrap();
}
