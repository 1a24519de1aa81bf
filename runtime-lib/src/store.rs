//! The state directory.

use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A container's status, see the runtime specification's *State*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being created.
    Creating,
    /// Created and waiting for start.
    Created,
    /// The program runs.
    Running,
    /// The program runs, frozen.
    Paused,
    /// The first process has ended.
    Stopped,
}

/// A container's state in the form of `runc state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the specification the bundle states.
    pub oci_version: String,
    /// The id.
    pub id: String,
    /// The first process, 0 when stopped.
    pub pid: i32,
    /// The status.
    pub status: Status,
    /// The bundle directory.
    pub bundle: String,
    /// The root file system.
    pub rootfs: String,
    /// When it was created, RFC 3339 in UTC with nanoseconds.
    pub created: String,
    /// The container's annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The name of the user who created it, empty if unknown.
    pub owner: String,
}

/// `/run/corten` for root, `$XDG_RUNTIME_DIR/corten` for others.
pub fn default_state_root() -> PathBuf {
    PathBuf::from("/run/corten")
}
