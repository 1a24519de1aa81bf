//! Where a container's cgroups are, whose they are, and what becomes of them.

use corten_integration::{Bundle, Container, Runtime, Sandbox, eventually, on_every_view, skip};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A hierarchy that every view has, by its version 1 controller.
const ANY: &str = "pids";

fn lines(path: impl AsRef<Path>) -> Vec<String> {
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()));
    text.lines().map(str::to_owned).collect()
}

/// The cgroups of a container in all hierarchies where it has one.
fn everywhere(t: &Sandbox, container: &Container<'_>) -> Vec<PathBuf> {
    let path = container.bundle().config["linux"]["cgroupsPath"].as_str().unwrap().to_owned();
    let hierarchies = match t.view().is_unified() {
        true => vec![t.hierarchy(ANY)],
        false => ["pids", "memory", "cpu", "cpuset", "devices", "freezer"].map(|name| t.hierarchy(name)).into(),
    };
    let places = hierarchies.into_iter().filter(|root| root.join("cgroup.procs").exists());
    places.map(|root| root.join(path.trim_start_matches('/'))).collect()
}

/// Directories that a test made, removed at its end.
struct Mine(Vec<PathBuf>);

impl Drop for Mine {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            let _ = std::fs::remove_dir(path);
        }
    }
}

#[test]
fn a_cgroup_that_was_there_before_stays_when_the_container_goes() {
    on_every_view(|t| {
        if t.runtime() != Runtime::Corten {
            skip!("runc and crun remove it");
        }
        let container = t.container(t.bundle());
        let mut mine = Mine(everywhere(t, &container));
        // The kernel changes the default of version 1's device rules only where nothing is below.
        let inside: Vec<_> = mine.0.iter().filter(|path| !path.starts_with("/sys/fs/cgroup/devices")).collect();
        mine.0.extend(inside.into_iter().map(|path| path.join("before")).collect::<Vec<_>>());
        mine.0.iter().for_each(|path| std::fs::create_dir(path).unwrap());
        // Twice: neither the cgroup nor a rule of the first is in the way of the second.
        for (rules, succeeds) in [
            (json!([{"allow": false, "access": "rwm"}]), false),
            (json!([{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "access": "rwm"}]), true),
        ] {
            let path = container.bundle().config["linux"]["cgroupsPath"].clone();
            let node = json!({"path": "/dev/own", "type": "c", "major": 10, "minor": 229, "fileMode": 438});
            let bundle = t.bundle().add("/linux/devices", node).set("/linux/cgroupsPath", path);
            let bundle = bundle.set("/linux/resources/devices", rules.clone());
            let next = t.container(bundle.args(&["head", "-c", "0", "/dev/own"]));
            next.create();
            mine.0.iter().for_each(|path| assert!(path.is_dir(), "{path:?}"));
            let own = everywhere(t, &next);
            let inside = own[0].join("of-the-container");
            std::fs::create_dir(&inside).unwrap();
            next.start();
            next.wait_for("stopped");
            next.delete();
            assert!(!inside.exists(), "what came with the container goes with it");
            mine.0.iter().for_each(|path| assert!(path.is_dir(), "{path:?}"));
            let output = next.command("run").run();
            assert_eq!(output.code() == 0, succeeds, "{rules}: {output}");
        }
        // A create that fails leaves it as well.
        let path = container.bundle().config["linux"]["cgroupsPath"].clone();
        let broken = t.bundle().set("/linux/cgroupsPath", path).args(&["/nonexistent"]);
        assert_ne!(t.container(broken).command("run").run().code(), 0);
        mine.0.iter().for_each(|path| assert!(path.is_dir(), "{path:?}"));
    });
}

/// The words of a create under strace(1), which kills it at the given call of those that touch one of the container's cgroups.
fn create_killed_at(t: &Sandbox, container: &Container<'_>, own: &[PathBuf], call: usize) -> Vec<String> {
    let mut words = t.prefix_of_view();
    words.extend(["strace", "-o", "/dev/null"].map(String::from));
    for path in own {
        // As the runtime names them.
        let name = Path::new("/sys/fs/cgroup").join(path.file_name().unwrap());
        let path = if t.view().is_unified() { &name } else { path };
        words.extend(["-P".to_owned(), path.display().to_string()]);
    }
    words.push(format!("--inject=all:signal=KILL:when={call}"));
    words.extend([t.runtime().program().display().to_string(), "--root".to_owned()]);
    words.extend([t.state_root().display().to_string(), "create".to_owned(), "--bundle".to_owned()]);
    words.extend([container.bundle().path().display().to_string(), container.id().to_owned()]);
    words
}

/// Killed at the first call that touches one of its cgroups, then at the second, and so on until it is not killed any more.
#[test]
fn what_was_there_before_stays_and_the_rest_goes_whenever_create_is_killed() {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        skip!("strace is not installed");
    }
    on_every_view(|t| {
        if t.runtime() != Runtime::Corten {
            skip!("runc and crun remove it");
        }
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        let own = everywhere(t, &container);
        for were_there in [true, false] {
            let mine = Mine(if were_there { own.clone() } else { Vec::new() });
            mine.0.iter().for_each(|path| std::fs::create_dir(path).unwrap());
            let mut call = 1;
            loop {
                let words = create_killed_at(t, &container, &own, call);
                let null = std::process::Stdio::null;
                let mut command = std::process::Command::new(&words[0]);
                command.args(&words[1..]).stdin(null()).stdout(null()).stderr(null());
                let created = command.status().unwrap().success();
                container.command("delete").option("--force").ok();
                own.iter().for_each(|path| assert_eq!(path.is_dir(), were_there, "killed at call {call}: {path:?}"));
                if created {
                    break;
                }
                call += 1;
                assert!(call < 20 * own.len(), "it never comes to an end");
            }
            assert!(call > own.len(), "only {call} calls were seen");
        }
    });
}

/// `run` is killed where it first, and then where it last writes down what a delete has to know before the program runs. By the
/// second its init goes on to the hooks without it; this one waits, with the pids of the host.
#[test]
fn a_hook_that_outlives_a_run_that_was_killed_goes_with_its_cgroup() {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        skip!("strace is not installed");
    }
    on_every_view(|t| {
        if t.runtime() != Runtime::Corten {
            skip!("it is about corten's steps");
        }
        for (time, hook_runs) in [(1, false), (2, true)] {
            let there = t.new_path("there");
            let script = format!("/bin/busybox touch {}; exec /bin/busybox sleep 1000", there.display());
            let hook = json!([{"path": "/bin/busybox", "args": ["sh", "-c", script]}]);
            let bundle = t.bundle().without_namespace("pid").set("/hooks", json!({"createContainer": hook}));
            let container = t.container(bundle.args(&["true"]));
            let mut words = t.prefix_of_view();
            words.extend(["strace", "-o", "/dev/null", "-P", "init.json.tmp"].map(String::from));
            words.push(format!("--inject=openat:signal=KILL:when={time}"));
            words.extend([t.runtime().program().display().to_string(), "--root".to_owned()]);
            words.extend([t.state_root().display().to_string(), "run".to_owned(), "--bundle".to_owned()]);
            words.extend([container.bundle().path().display().to_string(), container.id().to_owned()]);
            let mut command = std::process::Command::new(&words[0]);
            command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut run = command.spawn().unwrap();
            let mut killed = || run.try_wait().unwrap().is_some_and(|status| !status.success());
            eventually(&format!("run is killed where it opens the file for the {time}. time"), &mut killed);
            if hook_runs {
                eventually("the hook runs", || there.exists());
            }
            container.command("delete").option("--force").ok();
            t.assert_nothing_left();
        }
    });
}

#[test]
fn a_cgroup_with_processes_of_somebody_else_is_refused_and_left_alone() {
    on_every_view(|t| {
        let holder = t.container(t.bundle().args(&["sleep", "1000"]));
        holder.run_detached();
        let path = holder.bundle().config["linux"]["cgroupsPath"].clone();
        let container = t.container(t.bundle().set("/linux/cgroupsPath", path).args(&["true"]));
        let output = container.command("create").fails(1);
        assert!(output.stderr().contains("not empty"), "{output}");
        assert_eq!(holder.status(), "running");
        assert!(holder.cgroup(ANY).is_dir());
    });
}

/// A container whose first process has moved itself, or was moved, into a cgroup below its own, in every hierarchy.
fn moved<'t>(t: &'t Sandbox, bundle: Bundle) -> Container<'t> {
    let container = t.container(bundle.args(&["sleep", "1000"]));
    container.run_detached();
    let pid = container.pid().to_string();
    for own in everywhere(t, &container) {
        let below = own.join("below");
        std::fs::create_dir(&below).unwrap();
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if below.join(file).exists() && !t.view().is_unified() {
                std::fs::write(below.join(file), lines(own.join(file)).join("")).unwrap();
            }
        }
        std::fs::write(below.join("cgroup.procs"), &pid).unwrap();
    }
    container
}

#[test]
fn a_container_in_a_cgroup_below_its_own_obeys_every_command() {
    on_every_view(|t| {
        let container = moved(t, t.bundle());
        let exec = t.command("exec", &[container.id(), "true"]).run();
        assert_eq!(exec.code(), 0, "{exec}");
        let ps = container.command("ps").option("--format").option("json").ok();
        assert_eq!(ps.stdout().trim(), format!("[{}]", container.pid()), "{ps}");
        container.command("pause").ok();
        assert_eq!(container.status(), "paused");
        container.command("resume").ok();
        container.command("events").option("--stats").ok();
        container.command("update").option("-r").option("-").input(r#"{"devices": []}"#).ok();
        if !t.view().is_unified() {
            container.command("update").option("--pids-limit").option("77").ok();
            assert_eq!(container.cgroup_file("pids", "pids.max"), "77");
        }
        container.kill("KILL");
        container.wait_for("stopped");
        container.delete();
        t.assert_nothing_left();

        let container = moved(t, t.bundle());
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn cgroups_that_somebody_removed_first_are_no_fault() {
    on_every_view(|t| {
        let parent = t.unique_name();
        let bundle = t.bundle().set("/linux/cgroupsPath", format!("/{parent}/inner")).args(&["true"]);
        let container = t.container(bundle);
        container.create();
        container.start();
        container.wait_for("stopped");
        for own in everywhere(t, &container) {
            eventually("the cgroup is removed", || std::fs::remove_dir(&own).is_ok() || !own.exists());
            std::fs::remove_dir(own.parent().unwrap()).unwrap();
        }
        container.delete();
        for hierarchy in corten_integration::cgroup_mount_points() {
            let _ = std::fs::remove_dir(hierarchy.join(&parent).join("inner"));
            let _ = std::fs::remove_dir(hierarchy.join(&parent));
        }
        t.assert_nothing_left();
    });
}

#[test]
fn a_cgroup_that_is_busy_for_a_while_is_waited_for() {
    on_every_view(|t| {
        if t.view().is_unified() && t.differs("delete --force removes a shared-pid cgroup on v2") {
            return;
        }
        // Its processes are in no pid namespace of their own: the kernel does not end them with the first.
        let bundle = t.bundle().without_namespace("pid").sh("sleep 1000 & sleep 1000 & sleep 1000 & wait");
        let container = t.container(bundle);
        container.run_detached();
        let procs = container.cgroup(ANY).join("cgroup.procs");
        eventually("all run", || lines(&procs).len() == 4);
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn a_container_that_may_write_to_its_cgroup_owns_it() {
    on_every_view(|t| {
        if !t.view().is_unified() {
            eprintln!("skipped: version 1 is not handed out");
            return;
        }
        if t.differs("cgroup ownership without systemd") {
            return;
        }
        let writable = |bundle: Bundle| {
            let mut bundle = bundle.user_namespace(200_000).namespace("cgroup", "");
            let mounts = bundle.config["mounts"].as_array_mut().unwrap();
            let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
            cgroup["options"] = json!(["nosuid", "noexec", "nodev"]);
            bundle
        };
        let owners = |container: &Container<'_>, files: &[&str]| -> Vec<u32> {
            use std::os::unix::fs::MetadataExt;
            files.iter().map(|file| std::fs::metadata(container.cgroup(ANY).join(file)).unwrap().uid()).collect()
        };
        let container = t.container(writable(t.bundle()).sh("mkdir /sys/fs/cgroup/mine && echo made; sleep 1000"));
        let output = container.run_detached();
        eventually("it makes one of its own", || output.stdout() == "made\n");
        assert_eq!(owners(&container, &[".", "cgroup.procs", "cgroup.subtree_control"]), [200_000; 3]);
        assert_eq!(owners(&container, &["cgroup.freeze", "cgroup.max.depth"]), [0; 2]);
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();

        // Not without all that makes it safe.
        let read_only =
            t.container(t.bundle().user_namespace(200_000).namespace("cgroup", "").args(&["sleep", "1000"]));
        read_only.run_detached();
        assert_eq!(owners(&read_only, &["."]), [0]);
        let shared = t.container(writable(t.bundle()).without_namespace("cgroup").args(&["sleep", "1000"]));
        shared.run_detached();
        assert_eq!(owners(&shared, &["."]), [0]);
    });
}

/// A path ends at 4096 bytes; who may write to its cgroup goes on from there, one directory at a time.
#[test]
fn a_cgroup_nested_deeper_than_a_path_can_tell_is_deleted() {
    on_every_view(|t| {
        let mut bundle = t.bundle().namespace("cgroup", "");
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
        cgroup["options"] = json!(["nosuid", "noexec", "nodev"]);
        let script = "n=d$(printf %0200d 0); cd /sys/fs/cgroup; [ -d pids ] && cd -P pids; \
                      for i in $(seq 30); do mkdir $n && cd -P $n || exit; done; echo made; exec sleep 1000";
        let container = t.container(bundle.sh(script));
        let output = container.run_detached();
        eventually("it has nested them", || output.stdout() == "made\n");
        assert!(container.cgroup(ANY).join(format!("d{:0200}", 0)).is_dir());
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn the_root_of_the_cgroup_namespace_is_the_containers_own_cgroup() {
    on_every_view(|t| {
        let script = "cat /proc/self/cgroup; ls -d /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null; exit 0";
        let output = t.output_of(t.bundle().namespace("cgroup", "").sh(script));
        let controllers = ["pids", "memory", "cpu", "devices", "freezer"];
        let of = |line: &&str| {
            let mut fields = line.split(':');
            let names = fields.nth(1).unwrap_or_default();
            if t.view().is_unified() {
                line.starts_with("0::")
            } else {
                names.split(',').any(|n| controllers.contains(&n))
            }
        };
        let own: Vec<&str> = output.lines().filter(of).collect();
        assert!(!own.is_empty() && own.iter().all(|line| line.ends_with(":/")), "{output}");
        assert!(output.contains("cgroup.procs"), "{output}");
    });
}

#[test]
fn limits_that_a_cgroup_has_already_stay_unless_the_container_has_its_own() {
    on_every_view(|t| {
        let controllers = t.hierarchy(ANY).join("cgroup.subtree_control");
        let has_pids = std::fs::read_to_string(controllers).map_or(!t.view().is_unified(), |all| all.contains("pids"));
        if !has_pids {
            skip!("the version 2 view of a hybrid machine has no controller; integration/vm has");
        }
        for (own, expected) in [(json!({}), "77"), (json!({"limit": 33}), "33"), (json!({"limit": -1}), "max")] {
            let container = t.container(t.bundle().args(&["sleep", "1000"]).set("/linux/resources/pids", own.clone()));
            let mine = Mine(vec![container.cgroup(ANY)]);
            std::fs::create_dir(&mine.0[0]).unwrap();
            std::fs::write(mine.0[0].join("pids.max"), "77").unwrap();
            if expected == "max" && t.differs("no limit in a cgroup that has one") {
                continue;
            }
            container.run_detached();
            assert_eq!(container.cgroup_file(ANY, "pids.max"), expected, "{own}");
            container.command("delete").option("--force").ok();
        }
    });
}

/// On version 2 a cgroup with processes has no limits for others below it, so there it is beside the caller's own.
#[test]
fn a_relative_path_is_below_the_cgroup_of_the_caller_or_beside_it() {
    on_every_view(|t| {
        let outer = t.hierarchy(ANY).join(t.unique_name());
        let name = outer.file_name().unwrap().to_str().unwrap().to_owned();
        let mut mine = Mine(vec![outer.clone()]);
        let mut caller = outer.clone();
        if t.view().is_unified() {
            mine.0.push(outer.join("caller"));
            // As the view has it.
            caller = Path::new("/sys/fs/cgroup").join(&name).join("caller");
        }
        mine.0.iter().for_each(|path| std::fs::create_dir(path).unwrap());
        let relative = t.unique_name();
        let container = t.container(t.bundle().set("/linux/cgroupsPath", relative.as_str()).args(&["sleep", "1000"]));
        let script = format!("echo $$ >{}/cgroup.procs", caller.display());
        container.command("run").option("--detach").behind(&script).ok();
        let memberships = lines(container.proc_file("cgroup"));
        let of_any =
            |line: &&String| if t.view().is_unified() { line.starts_with("0::") } else { line.contains(":pids:") };
        let own = memberships.iter().find(of_any).unwrap();
        assert!(own.ends_with(&format!("/{name}/{relative}")), "{own}");
        container.command("delete").option("--force").ok();
        assert!(!outer.join(&relative).exists() && outer.is_dir());
    });
}

/// The container is made without the flag, or with it switched off; what comes later has it and finds the cgroup all the same. The
/// other way round: `systemd.rs`.
#[test]
fn the_manager_of_create_is_that_of_every_later_command_whatever_flags_it_gets() {
    on_every_view(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        match t.runtime() {
            Runtime::Crun => container.create(), // its switch takes no value
            _ => container.command("create").global("--systemd-cgroup=false").ok(),
        };
        let command = |verb: &str| container.command(verb).global("--systemd-cgroup");
        command("start").ok();
        assert!(command("state").ok().stdout().contains("\"running\""));
        assert!(t.command("list", &["-q"]).global("--systemd-cgroup").ok().stdout().contains(container.id()));
        command("pause").ok();
        assert_eq!(container.status(), "paused");
        command("resume").ok();
        // Only runc's is without spaces.
        let ps: serde_json::Value =
            serde_json::from_str(&command("ps").option("--format").option("json").ok().stdout()).unwrap();
        assert_eq!(ps, json!([container.pid()]));
        if t.runtime() != Runtime::Crun {
            command("events").option("--stats").ok(); // crun has none
        }
        command("update").option("--resources").option("-").input("{}").ok();
        let groups = command("exec").operand("cat").operand("/proc/self/cgroup").ok().stdout();
        let init = std::fs::read_to_string(container.proc_file("cgroup")).unwrap();
        assert_eq!(groups.lines().count(), init.lines().count(), "{groups}{init}");
        command("kill").operand("KILL").ok();
        container.wait_for("stopped");
        command("delete").ok();
        assert!(!container.cgroup(ANY).exists());
        // Verbs without a container know the flag as well.
        if t.runtime() != Runtime::Crun {
            t.command("features", &[]).global("--systemd-cgroup").ok();
        }
        t.command("spec", &[]).directory(t.new_directory()).global("--systemd-cgroup").ok();
    });
}
