//! `process`: what runs, as whom, and with which limits.

use serde::Serialize;

/// `process`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Process {
    /// `args`: at least one, no NUL.
    pub args: Vec<String>,
    /// `env`: each `NAME=value`, order kept, no NUL.
    pub env: Vec<String>,
    /// `cwd`: absolute.
    pub cwd: String,
    /// `terminal`.
    pub terminal: bool,
    /// `consoleSize`, only with a terminal.
    pub console_size: Option<ConsoleSize>,
    /// `user`.
    pub user: User,
    /// `capabilities`; `None` leaves every set as the runtime has it, as runc does.
    pub capabilities: Option<Capabilities>,
    /// `rlimits`.
    pub rlimits: Vec<Rlimit>,
    /// `noNewPrivileges`.
    pub no_new_privileges: bool,
    /// `oomScoreAdj`, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// `apparmorProfile`.
    pub apparmor_profile: Option<String>,
    /// `selinuxLabel`.
    pub selinux_label: Option<String>,
}

/// `process.consoleSize`, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ConsoleSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// `process.user`; ids are those inside the container's user namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// `uid`.
    pub uid: u32,
    /// `gid`.
    pub gid: u32,
    /// `umask`, 0 to 0o777; `None` means 0o022, as runc has it.
    pub umask: Option<u32>,
    /// `additionalGids`.
    pub additional_gids: Vec<u32>,
}

/// A set of capabilities as the kernel's bit mask; prints as a list of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSet(pub u64);

/// `process.capabilities`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// `bounding`.
    pub bounding: CapSet,
    /// `effective`.
    pub effective: CapSet,
    /// `inheritable`.
    pub inheritable: CapSet,
    /// `permitted`.
    pub permitted: CapSet,
    /// `ambient`.
    pub ambient: CapSet,
}

/// One of `process.rlimits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rlimit {
    /// The specification's name, such as `RLIMIT_NOFILE`.
    pub name: String,
    /// The kernel's number of it, see `getrlimit(2)`.
    pub resource: u32,
    /// `soft`, in the resource's own unit; `u64::MAX` is infinity.
    pub soft: u64,
    /// `hard`.
    pub hard: u64,
}

impl CapSet {
    /// The names of the capabilities in it, such as `CAP_CHOWN`.
    pub fn names(self) -> impl Iterator<Item = String> {
        let named = (0..64).filter(move |bit| self.0 & (1 << bit) != 0);
        named.map(|bit| match caps::all().into_iter().find(|cap| cap.index() == bit) {
            Some(cap) => cap.to_string(),
            None => format!("CAP_{bit}"),
        })
    }
}

impl Serialize for CapSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}
