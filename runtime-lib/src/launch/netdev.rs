//! `linux.netDevices`: devices of the host's network move into the container's.
//!
//! A device that moves loses its addresses and goes down (`dev_change_net_namespace` of the kernel). So they are read
//! before, and given to it again at the other end, as the specification wants it; which end a netlink socket speaks for
//! is fixed when it is made, see `netlink(7)` and `rtnetlink(7)`. The thread that makes the inner one is a short-lived
//! one of ours, for `setns(2)` changes the thread it is called in.
//!
//! What was moved goes back, with its name, addresses and state, when the start fails: the inner socket holds the namespace, so
//! that it is still there when its processes have ended. Once the container is recorded, the kernel takes care of them: with the namespace a virtual device ends, and a physical one returns to the host's.

use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::spec::NetDevice;
use crate::sys::netlink::{Address, Device, Netlink};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use std::os::fd::{AsFd, BorrowedFd};

/// One device that was moved.
struct Moved {
    /// As it was on the host.
    before: Device,
    addresses: Vec<Address>,
    /// Its name in the container.
    name: String,
}

/// The devices that were moved. Dropped, they go back.
pub(crate) struct NetDevices {
    host: Netlink,
    inner: Netlink,
    moved: Vec<Moved>,
}

impl NetDevices {
    /// Moves all devices of the plan into the network namespace of `namespace`, a descriptor of it or of a process in it.
    ///
    /// # Errors
    /// A device that is not there or cannot be moved, a name that is taken; those that were moved are back.
    pub(super) fn move_all(plan: &Plan, namespace: BorrowedFd<'_>) -> Result<NetDevices> {
        let failed = |what: &'static str| move |errno| Error::os(what, errno).at("linux.netDevices");
        let host = Netlink::open().map_err(failed("open a netlink socket"))?;
        let inner = open_inside(namespace).map_err(failed("enter the container's network namespace"))?;
        let mut devices = NetDevices { host, inner, moved: Vec::new() };
        for device in &plan.net_devices {
            devices.move_one(device).map_err(|error| error.at(format!("linux.netDevices[{:?}]", device.host_name)))?;
        }
        Ok(devices)
    }

    fn move_one(&mut self, device: &NetDevice) -> Result<()> {
        let (from, to) = (&device.host_name, &device.name);
        let before = self.host.device(from).map_err(|errno| Error::os(format!("find network device {from}"), errno))?;
        let addresses = self.host.addresses(&before).map_err(|errno| Error::os("read its addresses", errno))?;
        let target = self.inner.namespace().map_err(|errno| Error::os("open the network namespace", errno))?;
        let refused = |errno| {
            let error = Error::os(format!("move network device {from} to {to} in the container"), errno);
            match errno {
                Errno::EEXIST => error.hint("the container's network has a device of that name"),
                Errno::EINVAL => error.hint("such devices are bound to their network namespace"),
                _ => error,
            }
        };
        if self.inner.device(to).is_ok() {
            return Err(refused(Errno::EEXIST));
        }
        let moving = self.host.move_device(&before, target.as_fd(), to);
        // The kernel moves first and renames then: one that cannot be renamed has left all the same. Nor does a lost answer say
        // that nothing was done.
        let now = match moving {
            Ok(()) => Some(to),
            Err(_) if self.host.device(from).is_ok() => None,
            Err(_) if self.inner.device(to).is_ok() => Some(to),
            Err(_) => Some(from),
        };
        if let Some(now) = now {
            self.moved.push(Moved { before, addresses, name: now.clone() });
        }
        moving.map_err(refused)?;
        match self.moved.last() {
            Some(moved) => configure(&self.inner, to, &moved.addresses, true)
                .map_err(|errno| Error::os(format!("configure {to} in the container"), errno)),
            None => Ok(()),
        }
    }

    /// They stay where they are.
    pub(crate) fn keep(mut self) {
        self.moved.clear();
    }
}

impl Drop for NetDevices {
    fn drop(&mut self) {
        let Ok(target) = self.host.namespace() else { return };
        while let Some(moved) = self.moved.pop() {
            // As far as it goes: there is nobody left to tell.
            let Ok(device) = self.inner.device(&moved.name) else { continue };
            let moving = self.inner.move_device(&device, target.as_fd(), &moved.before.name);
            if moving.is_ok() || matches!(self.inner.device(&moved.name), Err(Errno::ENODEV)) {
                let _ = configure(&self.host, &moved.before.name, &moved.addresses, moved.before.is_up);
            }
        }
    }
}

/// Gives a device that has just arrived its addresses and state.
fn configure(at: &Netlink, name: &str, addresses: &[Address], up: bool) -> Result<(), Errno> {
    let device = at.device(name)?;
    for address in addresses {
        match at.add_address(&device, address) {
            // Some the kernel makes itself.
            Err(Errno::EEXIST) => {}
            added => added?,
        }
    }
    if up { at.set_up(&device) } else { Ok(()) }
}

fn open_inside(namespace: BorrowedFd<'_>) -> Result<Netlink, Errno> {
    std::thread::scope(|scope| {
        // `scope.spawn` panics where there can be no thread.
        let inside = std::thread::Builder::new().spawn_scoped(scope, || {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            Netlink::open()
        });
        let inside = inside.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
        inside.join().unwrap_or(Err(Errno::EIO))
    })
}
