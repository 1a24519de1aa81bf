//! What runc and crun are known to do otherwise than this suite expects, each with the reason.
//!
//! A test asks [`crate::Sandbox::differs`] and then leaves the point out or checks what the other runtime does. corten has no
//! entry: where it differs from the suite, one of them is wrong.

use crate::Runtime;

/// The runtime, the key that the tests ask for, and the reason.
pub const DIFFERENCES: &[(Runtime, &str, &str)] = &[
    (
        Runtime::Runc,
        "delete --force removes a shared-pid cgroup on v2",
        "1.1.5 freezes, kills, and then gives up on EBUSY from rmdir while the processes end; it exits with 0 all the same",
    ),
    (Runtime::Runc, "domainname", "1.1.5 is older than domainname (specification 1.1) and ignores it"),
    (
        Runtime::Runc,
        "rootfsPropagation shared",
        "1.1.5 makes the caller's root shared, but the root file system's parent private again before it binds it",
    ),
];

pub(crate) fn difference(runtime: Runtime, key: &str) -> Option<&'static str> {
    DIFFERENCES.iter().find(|(who, what, _)| *who == runtime && *what == key).map(|(_, _, reason)| *reason)
}
