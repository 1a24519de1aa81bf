//! `linux.devices`.

use serde::Serialize;

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
    /// `fileMode`, permission bits; 0o666 by default.
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
