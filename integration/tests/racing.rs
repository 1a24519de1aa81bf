//! The classes 4 to 9 of docs/SECURITY.md under attack: somebody who has a hand in the rootfs or in a volume of it (another
//! container, a process of the image's owner) exchanges what the runtime is about to use for something else, in a loop, while
//! containers start.
//!
//! Each attack is tried at rest first, with either of the two in place, and then racing. A start may be refused or may
//! succeed inside the container; what must never happen is the *win* that each test defines. `RACES` is how many
//! containers are started at least for each attack (default 12), and each goes on until 10,000 exchanges have been made.
//! `--no-capture` shows the counts. `just weakened` shows that each test notices when its defence is taken out.

use corten_integration::{Bundle, Container, Output, Profile, Sandbox, apparmor_is_on, label_of, once, skip};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// As many exchanges are made at least against each attack.
const EXCHANGES: u64 = 10_000;

/// Two paths that change places.
struct Pair(PathBuf, PathBuf);

impl Pair {
    fn exchange(&self) -> bool {
        renameat_with(CWD, &self.0, CWD, &self.1, RenameFlags::EXCHANGE).is_ok()
    }
}

/// Exchanges until dropped.
struct Attacker {
    done: Arc<AtomicBool>,
    exchanges: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Attacker {
    fn start(pair: Pair) -> Attacker {
        let (done, exchanges) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stop, count) = (done.clone(), exchanges.clone());
        let attack = move || {
            while !stop.load(Ordering::Relaxed) {
                if pair.exchange() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        Attacker { done, exchanges, thread: Some(std::thread::spawn(attack)) }
    }

    fn exchanges(&self) -> u64 {
        self.exchanges.load(Ordering::Relaxed)
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What came of one start.
enum Outcome {
    /// The runtime did not start the container.
    Refused,
    /// It did, and nothing was gained.
    Held,
    /// The attacker got this.
    Won(String),
}

/// Carries out an attack at rest and racing; `attempt` starts one container.
fn attack(name: &str, pair: (PathBuf, PathBuf), mut attempt: impl FnMut() -> Outcome) {
    let races = std::env::var("RACES").ok().and_then(|races| races.parse().ok()).unwrap_or(12);
    let pair = Pair(pair.0, pair.1);
    let (mut tries, mut refused, mut wins) = (0, 0, Vec::new());
    // Whether it is enough: three wins say all.
    let mut count = |outcome, exchanges: u64| {
        match outcome {
            Outcome::Refused => refused += 1,
            Outcome::Held => {}
            Outcome::Won(what) => wins.push(what),
        }
        tries += 1;
        tries >= races + 2 && exchanges >= EXCHANGES || wins.len() == 3
    };
    count(attempt(), 0);
    assert!(pair.exchange(), "{name}: the two cannot be exchanged");
    count(attempt(), 0);
    let attacker = Attacker::start(pair);
    while !count(attempt(), attacker.exchanges()) {}
    let exchanges = attacker.exchanges();
    drop(attacker);
    eprintln!("{name}: {tries} starts, {exchanges} exchanges, {refused} refused, {} won", wins.len());
    assert!(wins.is_empty(), "{name}: {} of {tries} won, the first: {}", wins.len(), wins[0]);
    assert!(refused < tries, "{name}: every start was refused, so nothing was tried");
}

/// A new directory and a link to it, for an attacker.
fn outside(t: &Sandbox) -> PathBuf {
    let directory = t.new_directory();
    std::fs::write(directory.join("ptmx"), "untouched").unwrap();
    directory
}

/// What there is in a directory of the machine that no container was given.
fn contents(directory: &Path) -> Vec<(PathBuf, u32, u32, u32)> {
    let mut all = Vec::new();
    let mut to_do = vec![directory.to_owned()];
    while let Some(path) = to_do.pop() {
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            to_do.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        all.push((path, meta.uid(), meta.gid(), meta.mode()));
    }
    all.sort();
    all
}

/// Creates the container; if that succeeds, `look` at it, with its mounts as `/proc/PID/mountinfo` has them.
fn created(container: &Container<'_>, look: impl FnOnce(&str) -> Option<String>) -> Outcome {
    created_with(container, container.command("create").run(), look)
}

fn created_with(container: &Container<'_>, output: Output, look: impl FnOnce(&str) -> Option<String>) -> Outcome {
    if output.code() != 0 {
        return Outcome::Refused;
    }
    let mounts = std::fs::read_to_string(container.proc_file("mountinfo"));
    let won = mounts.map_or(Some("it has ended".to_owned()), |mounts| look(&mounts));
    container.command("delete").option("--force").ok();
    won.map_or(Outcome::Held, Outcome::Won)
}

/// The points on which something of this type, or from this source, is mounted.
fn points<'m>(mounts: &'m str, what: &str) -> Vec<&'m str> {
    let of = |line: &&str| {
        let (mount, file_system) = line.split_once(" - ").unwrap_or_default();
        file_system.split(' ').take(2).any(|field| field == what)
            || mount.split(' ').nth(3).is_some_and(|root| root.ends_with(what))
    };
    mounts.lines().filter(of).filter_map(|line| line.split(' ').nth(4)).collect()
}

/// Each start needs an id of its own, but the bundle, which the attacker works on, stays.
fn again<'t>(t: &'t Sandbox, bundle: &Bundle) -> Container<'t> {
    t.container(bundle.clone().set("/linux/cgroupsPath", format!("/{}", t.unique_name())))
}

/// Class 4 (CVE-2021-30465): the destination of a mount becomes a link to a directory of the machine. A win: what was to be
/// mounted in the container is not there, because it went elsewhere, or something was made elsewhere.
#[test]
fn the_destination_of_a_mount_is_swapped_for_a_link() {
    once(|t| {
        let source = t.new_directory();
        let name = source.file_name().unwrap().to_str().unwrap().to_owned();
        let below = ["/vol", "/vol/below/it", "/vol/file"];
        for destination in below {
            for kind in ["bind", "tmpfs", "tmpcopyup"] {
                let outside = outside(t);
                let bundle = t.bundle().file("/vol/inside", "", 0o644).link("/link", outside.to_str().unwrap());
                let (bundle, what) = match kind {
                    "bind" if destination.ends_with("file") => {
                        let file = t.new_file("");
                        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
                        (bundle.bind(&file, destination, &[]), name)
                    }
                    "bind" => (bundle.bind(&source, destination, &[]), name.clone()),
                    "tmpfs" => (bundle.mount(destination, "tmpfs", "attacked", &[]), "attacked".to_owned()),
                    _ => (bundle.mount(destination, "tmpfs", "attacked", &["tmpcopyup", "rro"]), "attacked".to_owned()),
                };
                let before = contents(&outside);
                let pair = (bundle.rootfs("/vol"), bundle.rootfs("/link"));
                attack(&format!("{kind} on {destination}"), pair, || {
                    let outcome = created(&again(t, &bundle), |mounts| {
                        points(mounts, &what).is_empty().then(|| format!("{what} is nowhere in {mounts}"))
                    });
                    match contents(&outside) == before {
                        true => outcome,
                        false => Outcome::Won(format!("made outside: {:?}", contents(&outside))),
                    }
                });
            }
        }
    });
}

/// Class 5 (CVE-2019-16884, CVE-2019-19921): /proc or /sys becomes a link. A win: there is none in the container, or it is where
/// the link leads.
#[test]
fn proc_and_sys_are_swapped_for_a_link() {
    once(|t| {
        for (point, kind) in [("/proc", "proc"), ("/sys", "sysfs")] {
            let bundle = t.bundle().file("/elsewhere/self/fake", "", 0o644).link("/link", "/elsewhere");
            std::fs::create_dir(bundle.rootfs(point)).unwrap();
            let pair = (bundle.rootfs(point), bundle.rootfs("/link"));
            attack(point, pair, || {
                created(&again(t, &bundle), |mounts| {
                    let points = points(mounts, kind);
                    let right = !points.is_empty() && points.iter().all(|point| !point.starts_with("/elsewhere"));
                    (!right).then(|| format!("{kind} is on {points:?}"))
                })
            });
        }
    });
}

/// Class 5: /dev becomes a link to a directory of the machine. A win: something was made there.
#[test]
fn dev_is_swapped_for_a_link() {
    once(|t| {
        let outside = outside(t);
        // Without a mount on it: every node is made in the image.
        let bundle = t.bundle().remove("/mounts/4").remove("/mounts/3").remove("/mounts/2").remove("/mounts/1");
        let bundle = bundle.writable().file("/dev/inside", "", 0o644).link("/link", outside.to_str().unwrap());
        let before = contents(&outside);
        attack("/dev", (bundle.rootfs("/dev"), bundle.rootfs("/link")), || {
            let outcome = created(&again(t, &bundle), |_| None);
            match contents(&outside) == before {
                true => outcome,
                false => Outcome::Won(format!("made outside: {:?}", contents(&outside))),
            }
        });
    });
}

/// Class 6 (CVE-2025-31133): the null device of a volume on /dev becomes a link to a secret. A win: the mask shows the secret.
#[test]
fn the_null_device_is_swapped_for_a_link() {
    once(|t| {
        let dev = t.new_directory();
        assert!(Command::new("mknod").arg(dev.join("null")).args(["c", "1", "3"]).status().unwrap().success());
        symlink("/secret", dev.join("link")).unwrap();
        let bundle = t.bundle().remove("/mounts/4").remove("/mounts/3").remove("/mounts/2").remove("/mounts/1");
        let bundle = bundle.bind(&dev, "/dev", &[]).file("/secret", "secret", 0o644).file("/masked", "masked", 0o644);
        let bundle = bundle.set("/linux/maskedPaths", json!(["/masked"])).sh("cat /masked; stat -c %t:%T /masked");
        attack("/dev/null", (dev.join("null"), dev.join("link")), || {
            let output = again(t, &bundle).command("run").run();
            match (output.code(), output.stdout().as_str()) {
                (0, "1:3\n") => Outcome::Held,
                (0, other) => Outcome::Won(format!("the mask is {other:?}")),
                _ => Outcome::Refused,
            }
        });
    });
}

/// Class 6: /proc becomes a link once procfs is mounted on it, so that the paths to be masked and to be made read-only are not
/// found. A win: they are as the kernel has them.
#[test]
fn proc_is_swapped_while_its_files_are_masked() {
    once(|t| {
        let bundle = t.bundle().file("/elsewhere/fake", "", 0o644).link("/link", "/elsewhere");
        std::fs::create_dir(bundle.rootfs("/proc")).unwrap();
        let bundle = bundle.set("/linux/maskedPaths", json!(["/proc/keys"]));
        let bundle = bundle.set("/linux/readonlyPaths", json!(["/proc/sys", "/proc/fs"]));
        attack("/proc and its masks", (bundle.rootfs("/proc"), bundle.rootfs("/link")), || {
            created(&again(t, &bundle), |mounts| {
                let there = |end: &str| {
                    mounts.lines().filter_map(|line| line.split(' ').nth(4)).any(|point| point.ends_with(end))
                };
                let missing: Vec<_> = ["/keys", "/sys", "/fs"].into_iter().filter(|end| !there(end)).collect();
                (!missing.is_empty()).then(|| format!("not covered: {missing:?} in {mounts}"))
            })
        });
    });
}

/// Class 7 (CVE-2025-52565): /dev/console, /dev/pts and /dev/pts/ptmx of a volume become links to files of the container. A win: a
/// terminal is mounted on such a file, or its owner or mode is another.
#[test]
fn the_console_and_the_terminals_are_swapped_for_links() {
    once(|t| {
        for name in ["console", "pts"] {
            let dev = t.new_directory();
            std::fs::write(dev.join("console"), "").unwrap();
            std::fs::create_dir(dev.join("pts")).unwrap();
            symlink(if name == "console" { "/victim/file" } else { "/victim" }, dev.join("link")).unwrap();
            let bundle = t.bundle().remove("/mounts/4").remove("/mounts/3").remove("/mounts/1");
            let mut bundle = bundle.file("/victim/file", "victim", 0o640).file("/victim/ptmx", "victim", 0o640);
            // The volume first, then the devpts on it.
            let volume = json!({"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]});
            bundle.config["mounts"].as_array_mut().unwrap().insert(1, volume);
            let bundle = bundle.set("/process/terminal", true).set("/process/user", json!({"uid": 1000, "gid": 1000}));
            let socket = t.new_path("console");
            let _listener = UnixListener::bind(&socket).unwrap();
            let before = contents(&bundle.rootfs("/victim"));
            attack(&format!("/dev/{name}"), (dev.join(name), dev.join("link")), || {
                let container = again(t, &bundle);
                let output = container.command("create").option("--console-socket").option(&socket).run();
                let outcome = created_with(&container, output, |mounts| {
                    let points = points(mounts, "devpts");
                    let astray = points.iter().find(|point| point.starts_with("/victim/"));
                    astray.map(|point| format!("a terminal is on {point}"))
                });
                match contents(&bundle.rootfs("/victim")) == before {
                    true => outcome,
                    false => Outcome::Won(format!("changed: {:?}", contents(&bundle.rootfs("/victim")))),
                }
            });
        }
    });
}

/// Class 8 (CVE-2019-16884, CVE-2025-52881): what the runtime writes to /proc goes to a procfs of the attacker's. A win: the value
/// is not in effect, or a file that is not the kernel's was written.
#[test]
fn what_is_written_to_proc_is_swapped_for_files_of_the_image() {
    once(|t| {
        let mut bundle = t.bundle().set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "9000"}));
        bundle = bundle.set("/process/oomScoreAdj", 500).remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
        let fakes = ["sys/net/ipv4/ip_forward", "sys/kernel/msgmax", "self/oom_score_adj", "self/attr/exec"];
        for (directory, fake) in ["/proc", "/fake"].iter().flat_map(|directory| fakes.map(|fake| (directory, fake))) {
            bundle = bundle.file(&format!("{directory}/{fake}"), "fake", 0o666);
        }
        let pair = (bundle.rootfs("/proc"), bundle.rootfs("/fake"));
        let is_fake = |path: PathBuf| std::fs::read_to_string(path).unwrap() == "fake";
        for mounted in [true, false] {
            // Without a procfs of its own the container has nothing but the files.
            let bundle = if mounted { bundle.clone() } else { bundle.clone().remove("/mounts/0") };
            let pair = (pair.0.clone(), pair.1.clone());
            attack(&format!("/proc, procfs mounted: {mounted}"), pair, || {
                let container = again(t, &bundle);
                let outcome = created(&container, |_| {
                    let pid = container.pid().to_string();
                    let script = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax";
                    let values =
                        Command::new("nsenter").args(["-t", &pid, "-n", "-i", "sh", "-c", script]).output().unwrap();
                    let values = String::from_utf8(values.stdout).unwrap();
                    let score = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
                    (values != "1\n9000\n" || score != "500\n").then(|| format!("in effect: {values:?} {score:?}"))
                });
                // Whatever the names are at the moment, both trees are looked at.
                let written = ["/proc", "/fake"]
                    .into_iter()
                    .flat_map(|directory| fakes.map(|fake| bundle.rootfs(&format!("{directory}/{fake}"))));
                match written.into_iter().find(|path| !is_fake(path.clone())) {
                    Some(path) => Outcome::Won(format!("{} was written", path.display())),
                    None => outcome,
                }
            });
        }
    });
}

/// Class 8 for labels, where AppArmor is at work (the VM): the same for what the program's profile is written to. A win: the
/// program runs without it.
#[test]
fn what_the_label_is_written_to_is_swapped_for_files_of_the_image() {
    if !apparmor_is_on() {
        skip!("AppArmor is not at work on this kernel");
    }
    once(|t| {
        let profile = Profile::load("racing");
        let mut bundle = t.bundle().remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
        bundle = bundle.set("/process/apparmorProfile", json!(profile.name())).args(&["sleep", "1000"]);
        for directory in ["/proc", "/fake"] {
            for fake in ["self/attr/exec", "self/attr/apparmor/exec", "thread-self/attr/apparmor/exec"] {
                bundle = bundle.file(&format!("{directory}/{fake}"), "fake", 0o666);
            }
        }
        let link = bundle.clone().link("/link", "/fake");
        for (with, mounted) in [("/fake", true), ("/fake", false), ("/link", true)] {
            let bundle = if mounted { link.clone() } else { link.clone().remove("/mounts/0") };
            let pair = (bundle.rootfs("/proc"), bundle.rootfs(with));
            attack(&format!("the label, /proc and {with}, procfs mounted: {mounted}"), pair, || {
                let container = again(t, &bundle);
                if container.command("run").option("--detach").run().code() != 0 {
                    return Outcome::Refused;
                }
                let label = label_of(container.pid(), "sleep");
                container.command("delete").option("--force").ok();
                if label.as_deref() == Some(&*profile.label()) {
                    Outcome::Held
                } else {
                    Outcome::Won(format!("{label:?}"))
                }
            });
        }
    });
}

/// Class 9: a directory in which the runtime makes mount points, nodes, links and the working directory becomes a link to a
/// directory of the machine. A win: anything there is made, removed, or has another owner or mode.
#[test]
fn a_directory_in_which_things_are_made_is_swapped_for_a_link() {
    once(|t| {
        let outside = outside(t);
        let file = t.new_file("");
        let device = |path: &str, kind: &str| json!({"path": path, "type": kind, "major": 1, "minor": 3, "fileMode": 0o666, "uid": 7, "gid": 7});
        let bundle = t.bundle().writable().file("/made/inside", "", 0o644).link("/link", outside.to_str().unwrap());
        let before = contents(&outside);
        let mut number = 0;
        attack("/made", (bundle.rootfs("/made"), bundle.rootfs("/link")), || {
            // Everything is missing each time.
            number += 1;
            let made = format!("/made/{number}");
            let bundle = bundle.clone().mount(&format!("{made}/a/b"), "tmpfs", "x", &[]);
            let bundle = bundle.bind(&file, &format!("{made}-file"), &[]).set("/process/cwd", format!("{made}/c/d"));
            let bundle = bundle.add("/linux/devices", device(&format!("{made}-null"), "c"));
            let bundle = bundle.add("/linux/devices", device(&format!("{made}/e/null"), "c"));
            let outcome = created(&again(t, &bundle), |_| None);
            match contents(&outside) == before {
                true => outcome,
                false => Outcome::Won(format!("made outside: {:?}", contents(&outside))),
            }
        });
    });
}
