//! `linux.devices`.

use super::fault::Faults;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use serde::Serialize;
use std::fmt::Display;

/// The kernel's `dev_t` has 12 bits for the major number and 20 for the minor one; more would name another device.
const LARGEST_MAJOR: u32 = (1 << 12) - 1;
const LARGEST_MINOR: u32 = (1 << 20) - 1;

/// One device node to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its place in `linux.devices`, for messages; `None` for a default device.
    pub index: Option<usize>,
    /// `path`: absolute.
    pub path: String,
    /// `type`.
    pub kind: DeviceKind,
    /// `major`; 0 for a FIFO.
    pub major: u32,
    /// `minor`; 0 for a FIFO.
    pub minor: u32,
    /// `fileMode`, permission bits including set-id and sticky; 0o666 by default.
    pub mode: u32,
    /// `uid` inside the container.
    pub uid: u32,
    /// `gid` inside the container.
    pub gid: u32,
}

/// What `mknod(2)` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// `c` or `u`.
    Char,
    /// `b`.
    Block,
    /// `p`.
    Fifo,
}

/// Checks `linux.devices`.
pub(super) fn validate(devices: &[LinuxDevice], faults: &mut Faults) -> Vec<Device> {
    devices.iter().enumerate().filter_map(|(index, device)| validate_one(index, device, faults)).collect()
}

fn validate_one(index: usize, device: &LinuxDevice, faults: &mut Faults) -> Option<Device> {
    let path = faults.absolute(format_args!("linux.devices[{index}].path"), device.path());
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => DeviceKind::Char,
        LinuxDeviceType::B => DeviceKind::Block,
        LinuxDeviceType::P => DeviceKind::Fifo,
        LinuxDeviceType::A => {
            faults.add(format_args!("linux.devices[{index}].type"), "invalid device type \"a\"");
            return None;
        }
    };
    let (major, minor) = if kind == DeviceKind::Fifo {
        (0, 0)
    } else {
        (
            number(format_args!("linux.devices[{index}].major"), device.major(), LARGEST_MAJOR, faults),
            number(format_args!("linux.devices[{index}].minor"), device.minor(), LARGEST_MINOR, faults),
        )
    };
    // Engines write what stat(2) gave them, so the bits of the file type may be there: the type is `type`'s matter.
    let mode = device.file_mode().unwrap_or(0o666);
    if mode > 0o177_777 {
        faults.add(format_args!("linux.devices[{index}].fileMode"), format!("{mode:#o} is not a file mode"));
    }
    let (uid, gid) = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    for (name, id) in [("uid", uid), ("gid", gid)] {
        if id == u32::MAX {
            faults.add(format_args!("linux.devices[{index}].{name}"), format!("{id} is not a valid id"));
        }
    }
    Some(Device { index: Some(index), path, kind, major, minor, mode: mode & 0o7777, uid, gid })
}

fn number(location: impl Display, number: i64, largest: u32, faults: &mut Faults) -> u32 {
    match u32::try_from(number) {
        Ok(number) if number <= largest => number,
        _ => {
            faults.add(location, format!("{number} is out of range 0-{largest}"));
            0
        }
    }
}
