//! Many containers, eight at a time, under every manager that the machine has: nothing is left behind. `STRESS` says how
//! many (16); 200 are a real try.

use corten_integration::{Container, Invocation, Running, Sandbox, eventually, on_every_view, once, skip};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

const AT_A_TIME: usize = 8;

fn how_many() -> usize {
    std::env::var("STRESS").map_or(16, |text| text.parse().expect("STRESS is a number"))
}

/// The same command of all at once.
fn all<'t>(containers: &[Container<'t>], command: impl Fn(usize, &Container<'t>) -> Invocation<'t>) {
    let running: Vec<Running> =
        containers.iter().enumerate().map(|(number, container)| command(number, container).spawn()).collect();
    let outputs: Vec<_> = running.into_iter().map(Running::wait).collect();
    for output in outputs {
        assert_eq!(output.code(), 0, "{output}");
    }
}

/// Lives of all kinds: those of even numbers end by themselves, the others are deleted while they run, or before.
fn live_and_die(t: &Sandbox, systemd: bool) {
    for _ in 0..how_many().div_ceil(AT_A_TIME) {
        let containers: Vec<_> = (0..AT_A_TIME)
            .map(|number| {
                let name = t.unique_name();
                let path = if systemd { format!("system.slice:test:{name}") } else { format!("/{name}") };
                let seconds = if number % 2 == 0 { "0" } else { "1000" };
                t.container(t.bundle().set("/linux/cgroupsPath", path).args(&["sleep", seconds]))
            })
            .collect();
        all(&containers, |_, container| match systemd {
            true => container.command("create").global("--systemd-cgroup"),
            false => container.command("create"),
        });
        let (unstarted, started) = containers.split_at(2);
        all(started, |_, container| container.command("start"));
        started.iter().step_by(2).for_each(|container| container.wait_for("stopped"));
        all(unstarted, |_, container| container.command("delete").option("--force"));
        all(started, |number, container| match number % 2 {
            0 => container.command("delete"),
            _ => container.command("delete").option("--force"),
        });
    }
}

fn assert_no_unit_left(t: &Sandbox) {
    t.assert_nothing_left();
    eventually("no unit is left", || {
        let listed =
            Command::new("systemctl").args(["list-units", "--all", "--plain", "--no-legend", "test-*"]).output();
        listed.is_ok_and(|output| output.status.success() && output.stdout.is_empty())
    });
    for hierarchy in corten_integration::cgroup_mount_points() {
        let units = std::fs::read_dir(hierarchy.join("system.slice")).into_iter().flatten().flatten();
        let left: Vec<_> =
            units.map(|entry| entry.file_name()).filter(|n| n.to_string_lossy().starts_with("test-")).collect();
        assert!(left.is_empty(), "{hierarchy:?}: {left:?}");
    }
}

#[test]
fn cgroups_made_by_the_runtime() {
    let version_1 = !Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if version_1 && Path::new("/run/systemd/system").is_dir() {
        skip!(
            "on version 1 systemd moves processes out of cgroups that are not its own, and removes these, when it looks at its slices"
        );
    }
    on_every_view(|t| {
        live_and_die(t, false);
        t.assert_nothing_left();
    });
}

#[test]
fn scopes_of_systemd() {
    if !Path::new("/run/systemd/system").is_dir() {
        skip!("systemd is not PID 1 here");
    }
    once(|t| {
        live_and_die(t, true);
        assert_no_unit_left(t);
    });
}

#[test]
fn scopes_while_systemd_reloads() {
    if !Path::new("/run/systemd/system").is_dir() {
        skip!("systemd is not PID 1 here");
    }
    once(|t| {
        static DONE: AtomicBool = AtomicBool::new(false);
        let reloads = std::thread::spawn(|| {
            let mut count = 0;
            while !DONE.load(Ordering::Relaxed) {
                assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
                count += 1;
            }
            count
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| live_and_die(t, true)));
        DONE.store(true, Ordering::Relaxed);
        let count = reloads.join().unwrap();
        eprintln!("{} containers during {count} reloads", how_many());
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(count > 1);
        assert_no_unit_left(t);
    });
}
