//! Id mappings of a new user namespace, see `user_namespaces(7)`.

use crate::error::{Error, Result};
use crate::launch::hooks::{c, describe, pointers, strings, wait};
use crate::plan::NamespacePlan;
use crate::spec::IdMap;
use crate::sys::{memfd, spawn};
use nix::errno::Errno;
use std::fmt::Write as _;
use std::io::{Read as _, Seek as _};
use std::os::fd::AsFd as _;

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
    write_file(pid, file, location, &text).map_err(|error| match error.errno() {
        Some(libc::EINVAL) if text.len() >= 4096 => error.hint("the kernel takes no more than a page of text"),
        _ => error,
    })
}

fn write_file(pid: i32, file: &str, location: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::write(&path, text).map_err(|error| Error::os(format!("write {}", path), error).at(location))
}

/// Runs newuidmap or newgidmap, which are set-user-id root and look the caller up in /etc/subuid or /etc/subgid.
fn run_helper(program: &str, pid: i32, location: &str, maps: &[IdMap]) -> Result<()> {
    let failed = |error: std::io::Error| Error::os(format!("run {program}"), error).at(location);
    let scratch = || memfd::scratch(c"output of newuidmap").map_err(|errno| failed(errno.into()));
    // Duplicates are never among the descriptors 0 to 2, which a caller may have closed.
    let (input, mut output) = (scratch()?.try_clone().map_err(failed)?, scratch()?);
    let for_child = output.try_clone().map_err(failed)?;
    let missing = || failed(Errno::ENOENT.into()).hint("the package uidmap has it");
    let path = c(find(program).ok_or_else(missing)?.to_string_lossy().as_ref())?;
    let numbers = maps.iter().flat_map(|map| [map.inside, map.outside, map.size]).map(|number| number.to_string());
    let args: Vec<String> = [program.to_owned(), pid.to_string()].into_iter().chain(numbers).collect();
    let args = strings(&args)?;
    let child = spawn::spawn(&spawn::Program {
        path: &path,
        args: &pointers(&args),
        env: &[],
        directory: None,
        input: input.as_fd(),
        output: for_child.as_fd(),
    });
    let child = child.map_err(|errno| failed(errno.into()))?;
    let how = match wait(&child, None).map_err(failed)? {
        Some(status) if status.success() => return Ok(()),
        Some(status) => describe(status),
        None => "timed out".to_owned(),
    };
    let mut text = String::new();
    let said = output.rewind().and_then(|()| output.read_to_string(&mut text)).map_or("", |_| text.trim());
    let message =
        if said.is_empty() { format!("{program} failed: {how}") } else { format!("{program} failed: {said}") };
    Err(Error::config(location, message).hint("see /etc/subuid and /etc/subgid"))
}

/// Where `PATH` leads to the program. It is installed where the distribution likes, and runs with its owner's rights.
fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}
