//! Id mappings of a new user namespace, see `user_namespaces(7)`.

use crate::error::{Error, Result};
use crate::plan::NamespacePlan;
use crate::spec::IdMap;
use std::fmt::Write as _;
use std::process::Command;

/// Writes the mappings for the process `pid`, whose user namespace is new.
///
/// # Errors
/// The kernel refuses a mapping, naming the element; newuidmap or newgidmap fails.
pub(super) fn write(pid: i32, namespaces: &NamespacePlan, privileged: bool) -> Result<()> {
    let (uids, gids) = (&namespaces.uid_mappings, &namespaces.gid_mappings);
    if privileged {
        write_map(pid, "uid_map", "linux.uidMappings", uids)?;
        return write_map(pid, "gid_map", "linux.gidMappings", gids);
    }
    if single(uids) {
        write_map(pid, "uid_map", "linux.uidMappings", uids)?;
    } else {
        run_helper("newuidmap", pid, "linux.uidMappings", uids)?;
    }
    if single(gids) {
        write_file(pid, "setgroups", "linux.gidMappings", "deny")?;
        write_map(pid, "gid_map", "linux.gidMappings", gids)
    } else {
        run_helper("newgidmap", pid, "linux.gidMappings", gids)
    }
}

/// What the kernel lets an unprivileged user map without help: itself.
fn single(maps: &[IdMap]) -> bool {
    matches!(maps, [map] if map.size == 1)
}

/// Writes one mapping; `location` is the element that it is of.
pub(super) fn write_map(pid: i32, file: &str, location: &str, maps: &[IdMap]) -> Result<()> {
    let mut text = String::new();
    for map in maps {
        let _ = writeln!(text, "{} {} {}", map.inside, map.outside, map.size);
    }
    write_file(pid, file, location, &text)
}

fn write_file(pid: i32, file: &str, location: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::write(&path, text).map_err(|error| Error::os(format!("write {}", path), error).at(location))
}

fn run_helper(program: &str, pid: i32, location: &str, maps: &[IdMap]) -> Result<()> {
    let mut command = Command::new(program);
    command.arg(pid.to_string());
    for map in maps {
        command.args([map.inside, map.outside, map.size].map(|number| number.to_string()));
    }
    let output = command
        .output()
        .map_err(|error| Error::os(format!("run {program}"), error).at(location).hint("the package uidmap has it"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Error::config(location, format!("{program} failed: {}", text.trim())).hint("see /etc/subuid and /etc/subgid"))
}
