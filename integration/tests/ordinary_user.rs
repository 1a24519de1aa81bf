//! What the harness does for root, for an ordinary user in a cgroup of the user's own on version 2: `integration/vm/run -u` in
//! one that was handed over, `-s -u` in a session of systemd, with either manager.

use corten_integration::{Runtime, eventually, skip};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CGROUPS: &str = "/sys/fs/cgroup";

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display())).trim().to_owned()
}

/// The cgroup of a process.
fn cgroup_of(pid: &str) -> PathBuf {
    let memberships = text(Path::new("/proc").join(pid).join("cgroup"));
    let path = memberships.lines().find_map(|line| line.strip_prefix("0::/")).unwrap().to_owned();
    Path::new(CGROUPS).join(path)
}

/// A bundle and a state directory of the user's.
struct Home {
    directory: tempfile::TempDir,
    program: PathBuf,
}

impl Home {
    fn new(limits: Value) -> Home {
        let home = Home { directory: tempfile::tempdir().unwrap(), program: Runtime::from_environment().program() };
        std::fs::create_dir_all(home.bundle().join("rootfs/bin")).unwrap();
        for applet in ["sleep", "true"] {
            std::fs::copy("/bin/busybox", home.bundle().join("rootfs/bin").join(applet)).unwrap();
        }
        for inside in ["proc", "sys", "dev"] {
            std::fs::create_dir(home.bundle().join("rootfs").join(inside)).unwrap();
        }
        home.ok(&["spec", "--rootless"]);
        let path = home.bundle().join("config.json");
        let mut config: Value = serde_json::from_str(&text(&path)).unwrap();
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["sleep", "1000"]);
        config["linux"]["resources"] = limits;
        std::fs::write(&path, config.to_string()).unwrap();
        home
    }

    fn bundle(&self) -> PathBuf {
        self.directory.path().join("bundle")
    }

    fn run(&self, args: &[&str]) -> (Output, String) {
        let log = self.directory.path().join("log");
        let file = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(&self.program);
        command.current_dir(self.bundle()).arg("--root").arg(self.directory.path().join("state")).args(args);
        let output = command.stdout(file.try_clone().unwrap()).stderr(file).output().unwrap();
        (output, text(&log))
    }

    fn ok(&self, args: &[&str]) -> String {
        let (output, said) = self.run(args);
        assert!(output.status.success(), "{args:?}: {}: {said}", output.status);
        said
    }

    fn status(&self, id: &str) -> Value {
        serde_json::from_str(&self.ok(&["state", id])).unwrap()
    }
}

/// Whether this is an ordinary user whose own cgroup may be divided.
fn is_ordinary() -> bool {
    let own = Path::new(CGROUPS).join("cgroup.controllers").exists().then(|| cgroup_of("self"));
    !rustix::process::geteuid().is_root()
        && own.is_some_and(|own| rustix::fs::access(own.parent().unwrap(), rustix::fs::Access::WRITE_OK).is_ok())
}

/// Every command that has to do with cgroups.
fn lives(home: &Home, create: &[&str], id: &str) {
    home.ok(create);
    let pid = home.status(id)["pid"].to_string();
    let cgroup = cgroup_of(&pid);
    assert!(cgroup.to_string_lossy().contains(id), "{}", cgroup.display());
    assert_eq!((text(cgroup.join("memory.max")).as_str(), text(cgroup.join("pids.max")).as_str()), ("67108864", "20"));
    home.ok(&["start", id]);
    home.ok(&["pause", id]);
    assert_eq!(
        (home.status(id)["status"].as_str(), text(cgroup.join("cgroup.freeze")).as_str()),
        (Some("paused"), "1")
    );
    home.ok(&["resume", id]);
    home.ok(&["update", "--pids-limit", "30", id]);
    assert_eq!(text(cgroup.join("pids.max")), "30");
    home.ok(&["exec", id, "true"]);
    // runc warns before, and crun writes a line for each.
    let listed: String = home.ok(&["ps", "--format", "json", id]).split_whitespace().collect();
    assert!(listed.ends_with(&format!("[{pid}]")), "{listed}");
    // crun has no events.
    if Runtime::from_environment() != Runtime::Crun {
        let stats = home.ok(&["events", "--stats", id]);
        let stats: Value = serde_json::from_str(stats.lines().last().unwrap()).unwrap();
        assert_eq!(stats["data"]["pids"], json!({"current": 1, "limit": 30}), "{stats}");
    }
    home.ok(&["kill", id, "KILL"]);
    eventually("it is stopped", || home.status(id)["status"] == "stopped");
    home.ok(&["delete", id]);
    assert!(!cgroup.exists(), "{}", cgroup.display());
}

fn limits() -> Value {
    json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 20}})
}

#[test]
fn a_container_lives_in_a_cgroup_beside_the_users_own() {
    if !is_ordinary() || Path::new("/run/systemd/system").is_dir() {
        skip!("not an ordinary user with a cgroup that was handed over");
    }
    lives(&Home::new(limits()), &["create", "mine"], "mine");
}

#[test]
fn without_a_right_to_the_cgroups_there_is_none_or_an_error() {
    if rustix::process::geteuid().is_root() || !Path::new(CGROUPS).join("cgroup.controllers").exists() {
        skip!("not an ordinary user on version 2");
    }
    let home = Home::new(limits());
    let path = home.bundle().join("config.json");
    let mut config: Value = serde_json::from_str(&text(&path)).unwrap();
    config["linux"]["cgroupsPath"] = json!("/not-the-users");
    std::fs::write(&path, config.to_string()).unwrap();
    let (output, said) = home.run(&["create", "mine"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("linux.cgroupsPath") || Runtime::from_environment() != Runtime::Corten, "{said}");
    assert!(!Path::new(CGROUPS).join("not-the-users").exists());
}

#[test]
fn a_container_lives_in_a_scope_of_the_users_manager() {
    if !is_ordinary() || !Path::new("/run/systemd/system").is_dir() {
        skip!("not an ordinary user in a session of systemd");
    }
    let home = Home::new(limits());
    lives(&home, &["--systemd-cgroup", "create", "mine"], "mine");
    // Somebody else's bus, or one that is not there, is an error in bounded time.
    let mut command = Command::new(&home.program);
    command.current_dir(home.bundle()).arg("--root").arg(home.directory.path().join("state"));
    command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus").env_remove("XDG_RUNTIME_DIR");
    let output = command.args(["--systemd-cgroup", "create", "other"]).output().unwrap();
    assert!(!output.status.success());
}
