//! `linux.sysctl`, through a procfs of our own: what the container has on /proc may be anything
//! (CVE-2019-19921, CVE-2025-52881). The labels of `lsm.rs` go through it as well.

use crate::fault::{During, OfElement, Step};
use crate::sys::{self, Fd, open, resolve};
use crate::wire::{List, Op, Sysctl};

/// A procfs that nobody else can see. Made before the root changes: in a user namespace the kernel allows it only while
/// the host's is in view.
pub fn private_procfs() -> Step<Fd> {
    sys::new_mount(c"proc", &[], 0).during(Op::OpenSource)
}

/// Writes every value.
pub fn write_all(procfs: Option<&Fd>, sysctl: List<'_, Sysctl<'_>>) -> Step {
    let Some(procfs) = procfs else { return Ok(()) };
    let sys = sys::openat(procfs.0, c"sys", open::PATH | open::DIRECTORY).during(Op::OpenSource)?;
    let how = resolve::BENEATH | resolve::NO_XDEV | resolve::NO_SYMLINKS;
    for (place, value) in sysctl.iter().enumerate() {
        let file = sys::openat2(sys.0, value.path, open::WRONLY, 0, how).during(Op::OpenTarget).of(place)?;
        sys::write(file.0, value.value.to_bytes()).during(Op::Write).of(place)?;
    }
    Ok(())
}
