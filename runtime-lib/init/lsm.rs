//! `process.apparmorProfile` and `process.selinuxLabel`: what the program becomes when it is executed.
//!
//! They are written to files of /proc, and what the container has there may be anything: a profile that goes to a file
//! of the image is a program without a profile (CVE-2019-16884, CVE-2023-28642, CVE-2025-52881). So they go through a
//! procfs that the container never had in hand: one of our own, or for `exec` the one of the launcher.

use crate::fault::{During, Step};
use crate::path::PathBuf;
use crate::sys::{self, Errno, Fd, open, resolve};
use crate::wire::Op;
use core::ffi::CStr;

/// The file of AppArmor alone, and the one that it shares with others and had first.
pub const APPARMOR: [&CStr; 2] = [c"self/attr/apparmor/exec", c"self/attr/exec"];
/// The file of SELinux.
pub const SELINUX: [&CStr; 1] = [c"self/attr/exec"];

/// Writes `prefix` and `label` to the first of the files that there is.
pub fn set_label(procfs: Option<&Fd>, files: &[&CStr], prefix: &[u8], label: &CStr) -> Step {
    let Some(procfs) = procfs else { return Err(Errno::ENOENT).during(Op::OpenTarget) };
    let mut text = PathBuf::new();
    text.push(prefix).during(Op::Write)?;
    text.push(label.to_bytes()).during(Op::Write)?;
    // The kernel's own link `self` is followed, nothing that leads out.
    let how = resolve::BENEATH | resolve::NO_XDEV | resolve::NO_MAGICLINKS;
    let mut opened = Err(Errno::ENOENT);
    for file in files {
        opened = sys::openat2(procfs.0, file, open::WRONLY, 0, how);
        if !matches!(opened, Err(Errno::ENOENT)) {
            break;
        }
    }
    let file = opened.during(Op::OpenTarget)?;
    sys::write(file.0, text.as_bytes()).during(Op::Write).map(drop)
}
