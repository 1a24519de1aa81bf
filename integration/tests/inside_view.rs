//! The inside view of a default container and of an exec in it, beside runc's: every descriptor, mount, capability, variable, link of
//! /proc, device, limit, keyring and signal disposition. What differs stands in [`EXPLAINED`] with the reason; anything
//! else that differs, and a row that no longer does, fails.
//!
//! Runs when `RUNTIME` is corten and Debian's runc is installed.

use corten_integration::{Container, HostView, Inside, Runtime, Sandbox, skip};
use std::collections::BTreeSet;

const STREAMS: &str = "in the foreground runc copies between its own streams and a pipe of the container; corten, as crun, hands \
    over what it was given: fewer copies, and an end of file is the real one";
const MASKED_FILE: &str = "corten covers a masked file with the null device of the host, whose number it has checked; runc with the \
    container's own /dev/null, which the image may have had a part in";
const MASKED_DIRECTORY: &str = "all masked directories of corten share one empty tmpfs that has one inode and is read-only for good; runc \
    mounts one each";
const CGROUP: &str =
    "the mount is asked to be read-only; on version 1 runc leaves the tmpfs writable that holds the hierarchies";
const SIGNALS: &str = "corten resets every signal; runc leaves out signal 32, which its C library keeps for itself, if its caller ignored it";

/// Where the views differ (`*` stands for any part), a part of what corten has there, a part of what runc has, and why.
const EXPLAINED: &[(&str, &str, &str, &str)] = &[
    ("descriptors.0.flags", "0100000", "00", STREAMS),
    ("descriptors.0.of", "/dev/null", "pipe", STREAMS),
    ("descriptors.1.flags", "0100001", "01", STREAMS),
    ("descriptors.1.of", "stdout", "pipe", STREAMS),
    ("descriptors.2.flags", "0100001", "01", STREAMS),
    ("descriptors.2.of", "stderr", "pipe", STREAMS),
    ("mounts./proc/keys.*", "", "", MASKED_FILE),
    ("mounts./proc/timer_list.*", "", "", MASKED_FILE),
    ("mounts./proc/acpi.options", "\"ro\",\"nosuid\",\"nodev\",\"noexec\"", "\"ro\"", MASKED_DIRECTORY),
    ("mounts./proc/acpi.source", "none", "tmpfs", MASKED_DIRECTORY),
    ("mounts./proc/acpi.system_options", "nr_inodes=1", "ro", MASKED_DIRECTORY),
    ("mounts./sys/firmware.*", "", "", MASKED_DIRECTORY),
    ("paths./proc/acpi.mode", "40755", "41777", MASKED_DIRECTORY),
    ("paths./sys/firmware.mode", "40755", "41777", MASKED_DIRECTORY),
    ("mounts./sys/fs/cgroup.options", "\"ro\"", "\"rw\"", CGROUP),
];

/// Like [`EXPLAINED`], but the caller of the test decides whether there is a difference.
const OF_THE_CALLER: &[(&str, &str, &str, &str)] =
    &[("status.SigIgn", "0000000000000000", "0000000080000000", SIGNALS)];

fn fits(pattern: &str, place: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == place, |start| place.starts_with(start))
}

/// Both views with what a program finds in them: the first is corten's.
fn explain(views: &[Inside; 2], used: &mut BTreeSet<&'static str>) {
    let mut unexplained = Vec::new();
    for found in views[0].disagreements(&views[1]) {
        let is_row = |(pattern, ours, theirs, _): &&(&str, &str, &str, &str)| {
            fits(pattern, &found.place)
                && found.ours.to_string().contains(ours)
                && found.theirs.to_string().contains(theirs)
        };
        match EXPLAINED.iter().chain(OF_THE_CALLER).find(is_row) {
            Some((pattern, ..)) => drop(used.insert(*pattern)),
            None => unexplained.push(found.to_string()),
        }
    }
    assert!(unexplained.is_empty(), "corten | runc:\n{}", unexplained.join("\n"));
}

fn view(container: &Container<'_>, text: &str) -> Inside {
    Inside::read(text, container).unwrap_or_else(|| panic!("{}: no report: {text}", container.id()))
}

/// The views of the program of a container, of one that is added, and of one that is added as somebody else.
fn views(t: &Sandbox) -> [Inside; 3] {
    let probe = t.new_path("probe");
    std::fs::copy(env!("CARGO_BIN_EXE_probe"), &probe).unwrap();
    let first = t.container(t.bundle().probe(&probe, &["path=/proc/acpi", "path=/sys/firmware", "path=/proc/sys"]));
    let first = view(&first, &first.stdout());
    let container = t.container(t.bundle().probe(&probe, &[]).args(&["sleep", "1000"]));
    container.run_detached();
    let exec = |options: &[&str]| {
        let command = t.command("exec", &[container.id(), "/bin/probe"]);
        let output = options.iter().fold(command, |command, option| command.option(*option)).ok();
        view(&container, &output.stdout())
    };
    let user = ["--user", "1000:1000", "--cwd", "/tmp", "--env", "A=b", "--additional-gids", "5", "--cap", "CAP_CHOWN"];
    [first, exec(&[]), exec(&user)]
}

#[test]
fn what_is_seen_inside_is_what_runc_shows() {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|dir| dir.join("runc").is_file());
    if Runtime::from_environment() != Runtime::Corten || !found {
        skip!("compares corten with runc");
    }
    let mut used = BTreeSet::new();
    let host_views = HostView::available();
    for view in &host_views {
        let [ours, runcs] = [Runtime::Corten, Runtime::Runc].map(|runtime| views(&Sandbox::of(*view, runtime)));
        for (ours, runcs) in ours.into_iter().zip(runcs) {
            explain(&[ours, runcs], &mut used);
        }
    }
    let has_version_1 = host_views.iter().any(|view| !view.is_unified());
    let expected = EXPLAINED.iter().map(|(pattern, ..)| *pattern).filter(|pattern| {
        let exists =
            pattern.split('.').nth(1).is_none_or(|path| !path.starts_with('/') || std::path::Path::new(path).exists());
        exists && (has_version_1 || !pattern.contains("cgroup"))
    });
    for pattern in expected {
        assert!(used.contains(pattern), "{pattern} no longer differs");
    }
}
