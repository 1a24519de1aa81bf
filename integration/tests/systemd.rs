//! `--systemd-cgroup`: containers in scopes of systemd. `integration/vm/run -s systemd` and `-s -u` run it where systemd
//! is PID 1, and `integration/with-systemd` on the kernel at hand; elsewhere only the refusal is tested.

use corten_integration::{Bundle, Container, Runtime, Sandbox, eventually, once, skip};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

const CGROUPS: &str = "/sys/fs/cgroup";

/// Whether systemd has mounted version 2 alone.
fn is_unified() -> bool {
    Path::new(CGROUPS).join("cgroup.controllers").exists()
}

/// The cgroup of a unit of system.slice; on version 1 in a hierarchy where systemd itself makes one.
fn cgroup_of(unit: &str) -> PathBuf {
    let hierarchy = if is_unified() { "" } else { "pids" };
    Path::new(CGROUPS).join(hierarchy).join("system.slice").join(unit)
}

/// Whether the hierarchies at hand have the controller.
fn has_controller(name: &str) -> bool {
    match std::fs::read_to_string(Path::new(CGROUPS).join("cgroup.controllers")) {
        Ok(controllers) => controllers.split_whitespace().any(|controller| controller == name),
        Err(_) => Path::new(CGROUPS).join(name).is_dir(),
    }
}

fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Leaves the test where it cannot run.
macro_rules! needs_systemd {
    () => {
        if !systemd_runs() {
            skip!("systemd is not PID 1 here");
        }
        if !rustix::process::geteuid().is_root() {
            skip!("this is the test of root");
        }
    };
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn property(unit: &str, name: &str) -> String {
    output("systemctl", &["show", "--value", "--property", name, unit])
}

/// Whether systemd still knows the unit.
fn is_loaded(unit: &str) -> bool {
    property(unit, "LoadState") == "loaded"
}

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display())).trim().to_owned()
}

/// A container in the unit `test-NAME.scope` of system.slice, created, its program not yet started.
fn created(t: &Sandbox, adapt: impl FnOnce(Bundle) -> Bundle) -> (Container<'_>, String, PathBuf) {
    let name = t.unique_name();
    let bundle = t.bundle().args(&["sleep", "1000"]).set("/linux/cgroupsPath", format!("system.slice:test:{name}"));
    let container = t.container(adapt(bundle));
    container.command("create").global("--systemd-cgroup").ok();
    let unit = format!("test-{name}.scope");
    let cgroup = cgroup_of(&unit);
    (container, unit, cgroup)
}

/// Leaves a test of limits on version 2 where it cannot run.
macro_rules! needs_controllers {
    ($($name:literal),*) => {
        if !is_unified() {
            skip!("systemd has mounted version 1");
        }
        for name in [$($name),*] {
            if !has_controller(name) {
                skip!("version 2 has no controller {name} here");
            }
        }
    };
}

/// The scope is somebody else's: a process of the test's in it.
struct Stranger(Child);

impl Stranger {
    fn start(unit: &str) -> Stranger {
        let args = ["--scope", "--quiet", "--collect", "--unit", unit, "sleep", "1000"];
        let stranger = Stranger(Command::new("systemd-run").args(args).spawn().unwrap());
        eventually("the stranger's scope is there", || property(unit, "ActiveState") == "active");
        stranger
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn without_systemd_it_is_refused() {
    if systemd_runs() || !rustix::process::geteuid().is_root() {
        skip!("systemd is PID 1 here");
    }
    once(|t| {
        let container = t.container(t.bundle().set("/linux/cgroupsPath", "system.slice:test:refused"));
        container.command("create").global("--systemd-cgroup").fails(1);
        t.assert_nothing_left();
    });
}

#[test]
fn a_scope_has_the_limits_and_ends_with_the_container() {
    needs_systemd!();
    needs_controllers!("memory", "pids", "cpu", "cpuset");
    once(|t| {
        let (container, unit, cgroup) = created(t, |bundle| {
            bundle
                .set("/linux/resources/memory", json!({"limit": 64 << 20, "reservation": 32 << 20}))
                .set("/linux/resources/pids", json!({"limit": 20}))
                .set("/linux/resources/cpu", json!({"shares": 2048, "quota": 50_000, "period": 100_000, "cpus": "0"}))
        });
        let check = || {
            for (name, value) in [
                ("ActiveState", "active"),
                ("Slice", "system.slice"),
                ("Delegate", "yes"),
                ("ControlGroup", cgroup.to_str().unwrap().strip_prefix(CGROUPS).unwrap()),
                ("MemoryMax", "67108864"),
                ("MemoryLow", "33554432"),
                ("TasksMax", "20"),
                ("CPUQuotaPerSecUSec", "500ms"),
                ("AllowedCPUs", "0"),
                ("CPUWeight", &text(cgroup.join("cpu.weight"))),
            ] {
                assert_eq!(property(&unit, name), value, "{name}");
            }
            for (file, value) in [
                ("memory.max", "67108864"),
                ("memory.low", "33554432"),
                ("pids.max", "20"),
                ("cpu.max", "50000 100000"),
                ("cpuset.cpus", "0"),
                ("cgroup.procs", &container.pid().to_string()),
            ] {
                assert_eq!(text(cgroup.join(file)), value, "{file}");
            }
        };
        check();
        // systemd puts its own view of the limits back.
        assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
        check();
        // Later commands know the manager by the record.
        container.start();
        container.command("pause").ok();
        container.wait_for("paused");
        assert_eq!(text(cgroup.join("cgroup.freeze")), "1");
        container.command("resume").ok();
        let update = container.command("update").option("--pids-limit").option("30").option("--memory").option("96M");
        update.ok();
        assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
        assert_eq!((property(&unit, "TasksMax"), text(cgroup.join("pids.max"))), ("30".into(), "30".into()));
        assert_eq!(property(&unit, "MemoryMax"), (96 << 20).to_string());
        assert_eq!(text(cgroup.join("memory.max")), (96 << 20).to_string());
        assert_eq!(text(cgroup.join("cpu.max")), "50000 100000");
        container.kill("KILL");
        container.wait_for("stopped");
        container.delete();
        assert!(!is_loaded(&unit) && !cgroup.exists());
    });
}

/// systemd knows nothing of huge pages, and leaves what others do with their controller alone.
#[test]
fn huge_pages_are_limited_in_a_scope() {
    needs_systemd!();
    needs_controllers!("hugetlb");
    once(|t| {
        let limit = |size: u64| json!([{"pageSize": "2MB", "limit": size << 20}]);
        let (container, unit, cgroup) = created(t, |bundle| bundle.set("/linux/resources/hugepageLimits", limit(4)));
        let limited = |size: u64| assert_eq!(text(cgroup.join("hugetlb.2MB.max")), (size << 20).to_string());
        limited(4);
        daemon_reload();
        limited(4);
        container.command("delete").option("--force").ok();
        assert!(!is_loaded(&unit));
        if t.runtime() != Runtime::Corten {
            return; // the others leave these out of an update
        }
        // One that gets its first such limit later, in a slice without any.
        let name = t.unique_name();
        let path = format!("late.slice:test:{name}");
        let (container, ..) = created(t, |bundle| bundle.set("/linux/cgroupsPath", path));
        let unit = format!("test-{name}.scope");
        let resources = t.new_file(&json!({"hugepageLimits": limit(2)}).to_string());
        container.command("update").option("--resources").option(resources.to_str().unwrap()).ok();
        let cgroup = PathBuf::from(format!("{CGROUPS}{}", property(&unit, "ControlGroup")));
        assert_eq!(text(cgroup.join("hugetlb.2MB.max")), (2 << 20).to_string());
        container.command("delete").option("--force").ok();
        assert!(!is_loaded(&unit));
        // A slice stays, once a unit has asked for it.
        assert!(Command::new("systemctl").args(["stop", "late.slice"]).status().unwrap().success());
    });
}

/// The number of a disk that the machine has.
fn disk() -> String {
    let mut names: Vec<_> = std::fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| text(path.join("size")) != "0" && !path.ends_with("ram0"));
    names.sort();
    text(names[0].join("dev"))
}

#[test]
fn idle_groups_and_rates_of_devices_are_as_they_were_when_systemd_has_looked() {
    needs_systemd!();
    needs_controllers!("io", "cpu");
    once(|t| {
        let disk = disk();
        let (major, minor) = disk.split_once(':').unwrap();
        let (major, minor): (u32, u32) = (major.parse().unwrap(), minor.parse().unwrap());
        let rate = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
        let rates = json!({"throttleReadBpsDevice": rate(1_048_576), "throttleWriteIOPSDevice": rate(200)});
        let (container, unit, cgroup) = created(t, |bundle| {
            bundle.set("/linux/resources/blockIO", rates).set("/linux/resources/cpu", json!({"idle": 1}))
        });
        let idle = !t.differs("cpu burst and idle");
        let check = || {
            assert_eq!(text(cgroup.join("io.max")), format!("{disk} rbps=1048576 wbps=max riops=max wiops=200"));
            assert!(!idle || text(cgroup.join("cpu.idle")) == "1");
        };
        check();
        daemon_reload();
        check();
        // What systemd itself would set in its next look.
        if t.runtime() == Runtime::Corten {
            assert_eq!(property(&unit, "IOReadBandwidthMax"), format!("/dev/block/{disk} 1048576"));
            assert_eq!(property(&unit, "IOWriteIOPSMax"), format!("/dev/block/{disk} 200"));
            assert_eq!(property(&unit, "CPUWeight"), "idle");
        }
        container.command("delete").option("--force").ok();
        assert!(!is_loaded(&unit));
    });
}

/// The whole of `systemctl daemon-reload`, after which systemd puts its own view of the limits back.
fn daemon_reload() {
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
}

/// The first process is in the unit's cgroup in each hierarchy of version 1 that a container needs.
fn assert_in_all_hierarchies(container: &Container<'_>, unit: &str) {
    let memberships = text(container.proc_file("cgroup"));
    // name=elogind and the like belong to somebody else; of rdma and misc a root may be all there is.
    let own: Vec<&str> = memberships.lines().filter(|line| line.ends_with(&format!("/system.slice/{unit}"))).collect();
    for controller in ["pids", "devices", "freezer", "cpu", "name=systemd", "blkio"] {
        let is_there =
            |line: &&str| line.split(':').nth(1).is_some_and(|names| names.split(',').any(|name| name == controller));
        assert!(own.iter().any(is_there), "{controller}: {memberships}");
    }
}

#[test]
fn on_version_1_a_scope_has_the_limits_in_all_hierarchies_and_ends_with_the_container() {
    needs_systemd!();
    if is_unified() {
        skip!("systemd has mounted version 2 alone");
    }
    once(|t| {
        let disk = disk();
        let (major, minor) = disk.split_once(':').unwrap();
        let (major, minor): (u32, u32) = (major.parse().unwrap(), minor.parse().unwrap());
        let rate = json!({"major": major, "minor": minor, "rate": 1_048_576});
        let (container, unit, _) = created(t, |bundle| {
            bundle
                .set("/linux/resources/pids", json!({"limit": 20}))
                .set("/linux/resources/cpu", json!({"shares": 2048, "quota": 50_000, "period": 100_000}))
                .set("/linux/resources/blockIO", json!({"throttleReadBpsDevice": [rate]}))
                .add("/linux/resources/devices", json!({"allow": true, "type": "c", "major": 10, "access": "r"}))
        });
        assert_in_all_hierarchies(&container, &unit);
        let file = |controller: &str, file: &str| {
            text(Path::new(CGROUPS).join(controller).join("system.slice").join(&unit).join(file))
        };
        let check = |pids: &str| {
            assert_eq!(property(&unit, "TasksMax"), pids);
            assert_eq!(property(&unit, "CPUQuotaPerSecUSec"), "500ms");
            assert_eq!(property(&unit, "DevicePolicy"), "strict");
            assert_eq!((file("pids", "pids.max").as_str(), file("cpu", "cpu.shares").as_str()), (pids, "2048"));
            assert_eq!(file("cpu", "cpu.cfs_quota_us"), "50000");
            assert_eq!(file("blkio", "blkio.throttle.read_bps_device"), format!("{disk} 1048576"));
            let rules = file("devices", "devices.list");
            assert!(rules.contains("c 10:* r\n") && rules.contains("c 1:3 rwm") && !rules.contains("a *:*"), "{rules}");
        };
        check("20");
        daemon_reload();
        check("20");
        container.start();
        container.command("pause").ok();
        container.wait_for("paused");
        assert_eq!(file("freezer", "freezer.state"), "FROZEN");
        // Told to systemd without a moment of running.
        container.command("update").option("--pids-limit").option("25").ok();
        assert_eq!(file("freezer", "freezer.state"), "FROZEN");
        container.command("resume").ok();
        container.command("update").option("--pids-limit").option("30").ok();
        container.wait_for("running");
        daemon_reload();
        check("30");
        let ps = container.command("ps").option("--format").option("json").ok();
        assert_eq!(ps.stdout().trim(), format!("[{}]", container.pid()));
        assert_eq!(t.command("exec", &[container.id(), "true"]).run().code(), 0);
        container.kill("KILL");
        container.wait_for("stopped");
        container.delete();
        assert!(!is_loaded(&unit));
        for hierarchy in corten_integration::cgroup_mount_points() {
            assert!(!hierarchy.join("system.slice").join(&unit).exists(), "{hierarchy:?}");
        }
    });
}

#[test]
fn the_default_is_a_scope_named_after_the_container() {
    needs_systemd!();
    once(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]).remove("/linux/cgroupsPath"));
        container.command("run").global("--systemd-cgroup").option("--detach").ok();
        let unit = format!("{}-{}.scope", t.runtime().name(), container.id());
        assert_eq!(property(&unit, "ControlGroup"), format!("/system.slice/{unit}"));
        container.command("delete").option("--force").ok();
        assert!(!is_loaded(&unit));
    });
}

/// The other way round: `cgroup_paths.rs`.
#[test]
fn the_manager_of_create_is_that_of_every_later_command_whatever_flags_it_gets() {
    needs_systemd!();
    once(|t| {
        let (container, unit, cgroup) = created(t, |bundle| bundle);
        for flag in ["--systemd-cgroup=false", "--systemd-cgroup"] {
            let command = |verb: &str| container.command(verb).global(flag);
            if container.status() == "created" {
                command("start").ok();
            }
            command("pause").ok();
            container.wait_for("paused");
            command("resume").ok();
            if has_controller("pids") {
                command("update").option("--pids-limit").option("30").ok();
                assert_eq!(property(&unit, "TasksMax"), "30");
                assert_eq!(text(cgroup.join("pids.max")), "30");
            }
            command("exec").operand("true").ok();
            let ps = command("ps").option("--format").option("json").ok();
            assert_eq!(ps.stdout().trim(), format!("[{}]", container.pid()));
        }
        let command = |verb: &str| container.command(verb).global("--systemd-cgroup=false");
        command("kill").operand("KILL").ok();
        container.wait_for("stopped");
        command("delete").ok();
        assert!(!is_loaded(&unit) && !cgroup.exists());
    });
}

#[test]
fn the_program_sees_its_own_cgroup_with_and_without_a_namespace() {
    needs_systemd!();
    if !is_unified() {
        skip!("systemd has mounted version 1");
    }
    once(|t| {
        let show = ["cat", "/proc/self/cgroup", "/sys/fs/cgroup/cgroup.procs"];
        let name = t.unique_name();
        let path = format!("a-b.slice:test:{name}");
        let bundle = t.bundle().args(&show).set("/linux/cgroupsPath", path.as_str());
        // Of hierarchies of version 1 that are mounted nowhere there are lines all the same.
        let run = |bundle: Bundle| {
            let said = t.container(bundle).command("run").global("--systemd-cgroup").ok().stdout();
            said[said.find("0::").unwrap_or(0)..].to_owned()
        };
        assert_eq!(run(bundle), "0::/\n1\n");
        // The mount shows the whole hierarchy then.
        let bundle = t.bundle().args(&show[..2]).set("/linux/cgroupsPath", path.as_str()).without_namespace("cgroup");
        assert_eq!(run(bundle), format!("0::/a.slice/a-b.slice/test-{name}.scope\n"));
    });
}

#[test]
fn annotations_set_properties() {
    needs_systemd!();
    once(|t| {
        let (container, unit, _) = created(t, |bundle| {
            bundle.set("/annotations", json!({"org.systemd.property.TimeoutStopUSec": "uint64 7000000"}))
        });
        assert_eq!(property(&unit, "TimeoutStopUSec"), "7s");
        container.command("delete").option("--force").ok();
        assert!(!is_loaded(&unit));
    });
}

#[test]
fn a_create_that_fails_leaves_no_unit() {
    needs_systemd!();
    once(|t| {
        let name = t.unique_name();
        for (pointer, value) in [
            ("/process/args", json!(["/nonexistent"])),
            ("/linux/resources/unified", json!({"memory.max": "nonsense"})),
            ("/annotations", json!({"org.systemd.property.Nonsense": "true"})),
        ] {
            let bundle = t.bundle().set("/linux/cgroupsPath", format!("system.slice:test:{name}")).set(pointer, value);
            let container = t.container(bundle);
            let output = container.command("run").global("--systemd-cgroup").run();
            assert_ne!(output.code(), 0, "{pointer}: {output}");
            eventually("the unit is gone", || !is_loaded(&format!("test-{name}.scope")));
            assert!(!t.state_root().join(container.id()).exists(), "{pointer}");
        }
    });
}

#[test]
fn a_unit_of_somebody_else_is_left_alone() {
    needs_systemd!();
    once(|t| {
        if t.runtime() != Runtime::Corten {
            return; // the others stop it
        }
        // When create finds it …
        let name = t.unique_name();
        let unit = format!("test-{name}.scope");
        let stranger = Stranger::start(&unit);
        let container = t.container(t.bundle().set("/linux/cgroupsPath", format!("system.slice:test:{name}")));
        let output = container.command("create").global("--systemd-cgroup").fails(1);
        assert!(output.stderr().contains("exists already"), "{output}");
        assert_eq!(property(&unit, "ActiveState"), "active");
        drop(stranger);
        // … and when delete does.
        let (container, unit, cgroup) = created(t, |bundle| bundle);
        container.start();
        container.kill("KILL");
        eventually("the scope has ended", || !is_loaded(&unit));
        let stranger = Stranger::start(&unit);
        container.command("delete").option("--force").ok();
        assert_eq!(property(&unit, "ActiveState"), "active");
        assert!(cgroup.exists());
        drop(stranger);
        eventually("the stranger's scope is gone", || !is_loaded(&unit));
    });
}

#[test]
fn a_scope_that_systemd_stopped_first_is_deleted() {
    needs_systemd!();
    once(|t| {
        // The first of a pid namespace does not hear the signal that asks.
        let patience = json!({"org.systemd.property.TimeoutStopUSec": "uint64 500000"});
        let (container, unit, cgroup) = created(t, |bundle| bundle.set("/annotations", patience));
        container.start();
        assert!(Command::new("systemctl").args(["stop", &unit]).status().unwrap().success());
        container.wait_for("stopped");
        for refused in ["pause", "resume"] {
            container.command(refused).fails(1);
        }
        container.delete();
        assert!(!is_loaded(&unit) && !cgroup.exists());
        t.assert_nothing_left();
    });
}

#[test]
fn a_scope_that_failed_leaves_its_name_free() {
    needs_systemd!();
    once(|t| {
        // A scope that is kept when it fails, and fails: its processes end at a signal of systemd's that means failure.
        let name = t.unique_name();
        let unit = format!("test-{name}.scope");
        let args = ["--scope", "--quiet", "--unit", &unit, "--property=RuntimeMaxSec=1", "sleep", "1000"];
        let _ = Command::new("systemd-run").args(args).status().unwrap();
        eventually("it has failed", || property(&unit, "ActiveState") == "failed");
        let container = t.container(t.bundle().set("/linux/cgroupsPath", format!("system.slice:test:{name}")));
        container.command("create").global("--systemd-cgroup").ok();
        assert_eq!(property(&unit, "ActiveState"), "active");
        container.command("delete").option("--force").ok();
        assert!(!is_loaded(&unit));
    });
}

#[test]
fn a_cgroup_that_lost_its_mark_is_not_touched() {
    needs_systemd!();
    once(|t| {
        if t.runtime() != Runtime::Corten {
            return; // the others have no mark
        }
        let (container, unit, cgroup) = created(t, |bundle| bundle);
        container.start();
        let of_systemd = if is_unified() { cgroup.clone() } else { unified_of(&unit) };
        let attributes = [c"user.corten.mark", c"trusted.corten.mark"];
        let removed = attributes.iter().filter(|name| rustix::fs::removexattr(&of_systemd, **name).is_ok()).count();
        assert_eq!(removed, 1);
        for (verb, option) in [("pause", None), ("update", Some("--pids-limit=5")), ("events", Some("--stats"))] {
            let command = option.iter().fold(container.command(verb), |command, option| command.option(*option));
            let failed = command.fails(1);
            assert!(failed.stderr().contains("somebody else's by now"), "{failed}");
        }
        assert_eq!(
            t.command("exec", &[container.id(), "true"]).fails(255).stderr().matches("somebody else").count(),
            1
        );
        assert!(!has_controller("pids") || text(cgroup.join("pids.max")) != "5");
        // The unit's description still says whose it is: systemd is asked to stop it.
        container.command("delete").option("--force").ok();
        assert!(!is_loaded(&unit) && !cgroup.exists());
    });
}

/// The cgroup by which systemd knows a unit of system.slice on version 1.
fn unified_of(unit: &str) -> PathBuf {
    let hybrid = Path::new(CGROUPS).join("unified/system.slice").join(unit);
    if hybrid.exists() { hybrid } else { Path::new(CGROUPS).join("systemd/system.slice").join(unit) }
}

/// What the harness does for root, for an ordinary user in a session of its own.
#[test]
fn an_ordinary_user_has_scopes_of_its_own_manager() {
    if !systemd_runs() || rustix::process::geteuid().is_root() {
        skip!("not an ordinary user on a machine with systemd");
    }
    let directory = tempfile::tempdir().unwrap();
    let (bundle, state) = (directory.path().join("bundle"), directory.path().join("state"));
    std::fs::create_dir_all(bundle.join("rootfs/bin")).unwrap();
    std::fs::copy("/bin/busybox", bundle.join("rootfs/bin/sleep")).unwrap();
    for inside in ["proc", "sys", "dev"] {
        std::fs::create_dir(bundle.join("rootfs").join(inside)).unwrap();
    }
    let program = Runtime::from_environment().program();
    let run = |args: &[&str]| {
        let log = directory.path().join("log");
        let stderr = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(&program);
        command.current_dir(&bundle).arg("--root").arg(&state).args(args).stdout(stderr.try_clone().unwrap());
        let status = command.stderr(stderr).status().unwrap();
        assert!(status.success(), "{args:?}: {status}: {}", text(&log));
        text(&log)
    };
    run(&["spec", "--rootless"]);
    let path = bundle.join("config.json");
    let mut config: serde_json::Value = serde_json::from_str(&text(&path)).unwrap();
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["sleep", "1000"]);
    config["linux"]["cgroupsPath"] = json!("user.slice:test:mine");
    config["linux"]["resources"] = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 20}});
    std::fs::write(&path, config.to_string()).unwrap();

    run(&["--systemd-cgroup", "create", "mine"]);
    let own = |name: &str| output("systemctl", &["--user", "show", "--value", "--property", name, "test-mine.scope"]);
    let cgroup = PathBuf::from(format!("{CGROUPS}{}", own("ControlGroup")));
    assert!(cgroup.ends_with("user@1000.service/user.slice/test-mine.scope"), "{}", cgroup.display());
    for (file, value) in [("memory.max", "67108864"), ("pids.max", "20")] {
        assert_eq!(text(cgroup.join(file)), value);
    }
    assert_eq!((own("MemoryMax"), own("TasksMax")), ("67108864".to_owned(), "20".to_owned()));
    let state: serde_json::Value = serde_json::from_str(&run(&["state", "mine"])).unwrap();
    assert_eq!(text(cgroup.join("cgroup.procs")), state["pid"].to_string());
    run(&["start", "mine"]);
    run(&["kill", "mine", "KILL"]);
    eventually("it is stopped", || run(&["state", "mine"]).contains("stopped"));
    run(&["delete", "mine"]);
    assert_ne!(own("LoadState"), "loaded");
    assert!(!cgroup.exists());
}
