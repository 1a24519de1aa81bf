//! `linux.namespaces` and the id mappings.

use serde::Serialize;

/// The kinds of namespace, see `namespaces(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceKind {
    /// `user`.
    User,
    /// `pid`.
    Pid,
    /// `network`.
    Network,
    /// `ipc`.
    Ipc,
    /// `uts`.
    Uts,
    /// `mount`.
    Mount,
    /// `cgroup`.
    Cgroup,
    /// `time`.
    Time,
}

/// What the container gets of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// The kind is not listed: that of the runtime.
    #[default]
    Host,
    /// Listed without a path: a new one.
    New,
    /// Listed with a path: an existing one.
    Join(String),
}

/// `linux.namespaces`, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "a field for each kind")]
pub struct Namespaces {
    pub user: Namespace,
    pub pid: Namespace,
    pub network: Namespace,
    pub ipc: Namespace,
    pub uts: Namespace,
    pub mount: Namespace,
    pub cgroup: Namespace,
    pub time: Namespace,
}

/// One extent of an id mapping, see `user_namespaces(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct IdMap {
    /// `containerID`.
    pub inside: u32,
    /// `hostID`.
    pub outside: u32,
    /// `size`, at least 1.
    pub size: u32,
}
