//! What a filter answers for a call: the kernel's `SECCOMP_RET_*` values.

use oci_spec::runtime::LinuxSeccompAction as Action;
use serde::{Serialize, Serializer};
use std::fmt;

/// A return value of a filter: an action and 16 bits of data, see `seccomp(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Verdict(pub u32);

/// The action of a [`Verdict`]: `SECCOMP_RET_ACTION_FULL`.
const ACTION: u32 = 0xffff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const USER_NOTIF: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

impl Verdict {
    /// `SECCOMP_RET_KILL_THREAD`: what libseccomp answers for an architecture that the profile does not list.
    pub const KILL_THREAD: Verdict = Verdict(0);
    /// "No such call", which makes the C library try an older one.
    pub const ENOSYS: Verdict = Verdict(ERRNO | 38);

    /// The verdict of an action with `errnoRet`; `EPERM` where none is given. As in runc, a number is cut to 16 bits and
    /// ignored by the actions that take none.
    pub(super) fn of(action: Action, errno_ret: Option<u32>) -> Verdict {
        let data = errno_ret.unwrap_or(1) & 0xffff;
        Verdict(match action {
            Action::ScmpActKill | Action::ScmpActKillThread => 0,
            Action::ScmpActKillProcess => KILL_PROCESS,
            Action::ScmpActTrap => TRAP,
            Action::ScmpActErrno => ERRNO | data,
            Action::ScmpActNotify => USER_NOTIF,
            Action::ScmpActTrace => TRACE | data,
            Action::ScmpActLog => LOG,
            Action::ScmpActAllow => ALLOW,
        })
    }

    /// Whether the number of an `SCMP_ACT_ERRNO` is one that libseccomp takes: below `MAX_ERRNO` (4095).
    pub(super) fn has_valid_errno(self) -> bool {
        self.0 & ACTION != ERRNO || self.0 & !ACTION < 4095
    }

    /// Whether calls that nobody knows yet get through (in the case of `TRACE`: to a tracer that can answer `ENOSYS`).
    pub(super) fn lets_through(self) -> bool {
        matches!(self.0 & ACTION, ALLOW | LOG | TRACE)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.0 & !ACTION;
        match self.0 & ACTION {
            0 => f.write_str("kill-thread"),
            KILL_PROCESS => f.write_str("kill-process"),
            TRAP => f.write_str("trap"),
            ERRNO => match nix::errno::Errno::from_raw(i32::try_from(data).unwrap_or(0)) {
                nix::errno::Errno::UnknownErrno => write!(f, "errno {data}"),
                errno => write!(f, "errno {errno:?}"),
            },
            USER_NOTIF => f.write_str("notify"),
            TRACE => write!(f, "trace {data}"),
            LOG => f.write_str("log"),
            ALLOW => f.write_str("allow"),
            _ => write!(f, "{:#010x}", self.0),
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
