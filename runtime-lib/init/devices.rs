//! Device nodes and the links in /dev.

use crate::fault::{During, Fault, OfElement, Step};
use crate::mounts;
use crate::path::{PathBuf, Root};
use crate::sys::{self, AT_FDCWD, Errno, Fd, RawFd, open};
use crate::wire::{Device, Link, Op, Orders};
use core::ffi::CStr;

const S_IFMT: u32 = 0o170000;

/// Makes every node and link.
pub fn make_all(root: Root, orders: &Orders<'_>) -> Step {
    let bind = orders.rootfs.bind_devices;
    let mut parent = Parent { path: PathBuf::new(), dir: None };
    for (place, device) in orders.devices.iter().enumerate() {
        if bind { bind_node(root, &device) } else { make_node(root, &device, &mut parent) }.of(place)?;
    }
    make_links(root, orders, &mut parent)
}

/// The directory of the last node or link: the next one is mostly there as well.
struct Parent {
    path: PathBuf,
    dir: Option<Fd>,
}

impl Parent {
    /// The directory that `path` is in, and its name there.
    fn of<'a>(&mut self, root: Root, path: &'a CStr) -> Step<(RawFd, &'a CStr)> {
        let bytes = path.to_bytes();
        let cut = bytes.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let above = bytes.get(..cut).unwrap_or_default();
        if let (Some(dir), true) = (&self.dir, self.path.as_bytes() == above) {
            let name = path.to_bytes_with_nul().get(cut + 1..).unwrap_or_default();
            let name = CStr::from_bytes_with_nul(name).map_err(|_| Fault::new(Op::OpenTarget, Errno::EINVAL))?;
            return Ok((dir.0, name));
        }
        let (dir, name) = root.open_parent(path)?;
        self.path.clear();
        self.path.push(above).during(Op::OpenTarget)?;
        Ok((self.dir.insert(dir).0, name))
    }
}

fn make_node(root: Root, device: &Device<'_>, parent: &mut Parent) -> Step {
    let (dir, name) = parent.of(root, device.path)?;
    match sys::mknodat(dir, name, device.mode, device.device) {
        // The image brings a node of its own: it stays, as with runc.
        Err(Errno::EEXIST) => return Ok(()),
        // A user namespace further out that nobody told the launcher of.
        Err(Errno::EPERM) => return bind_node(root, device),
        made => made.during(Op::MakeNode)?,
    }
    if (device.uid, device.gid) != (0, 0) {
        sys::lchownat(dir, name, device.uid, device.gid).during(Op::Chown)?;
    }
    Ok(())
}

/// In a user namespace nodes cannot be made: the host's is bound, if it is the same device.
fn bind_node(root: Root, device: &Device<'_>) -> Step {
    let host = sys::openat(AT_FDCWD, device.path, open::PATH | open::NOFOLLOW).during(Op::OpenSource)?;
    let stat = sys::stat(host.0).during(Op::OpenSource)?;
    if stat.kind() != device.mode & S_IFMT || stat.device() != device.device {
        return Err(Fault::new(Op::CheckSource, Errno::ENODEV));
    }
    mounts::bind_file(root, host.0, device.path)
}

fn make_links(root: Root, orders: &Orders<'_>, parent: &mut Parent) -> Step {
    for (place, link) in orders.links.iter().enumerate() {
        if link.only_if.is_some_and(|path| sys::statx(AT_FDCWD, path, 0).is_err()) {
            continue;
        }
        make_link(root, &link, parent).of(orders.devices.len() + place)?;
    }
    Ok(())
}

fn make_link(root: Root, link: &Link<'_>, parent: &mut Parent) -> Step {
    let (dir, name) = parent.of(root, link.path)?;
    match sys::symlinkat(link.target, dir, name) {
        Err(Errno::EEXIST) if link.replace => {
            sys::unlinkat(dir, name).during(Op::CreateTarget)?;
            sys::symlinkat(link.target, dir, name).during(Op::CreateTarget)
        }
        Err(Errno::EEXIST) => Ok(()),
        made => made.during(Op::CreateTarget),
    }
}
