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
    (Runtime::Runc, "poststart hooks run in start", "1.1.5 runs them at the end of create, with the status created"),
    (
        Runtime::Runc,
        "poststop hooks after a failed one",
        "1.1.5 stops at the first that fails, the specification goes on",
    ),
    (
        Runtime::Runc,
        "start reports a failed startContainer hook",
        "1.1.5's start has already returned when the hook runs",
    ),
    (
        Runtime::Runc,
        "locked flags of a bind in a user namespace",
        "1.1.5 drops noatime and others when it remounts, which the kernel refuses; 1.2 keeps them",
    ),
    (Runtime::Runc, "two creates of one id", "1.1.5 looks first and makes the directory then, so that both can fail"),
    (
        Runtime::Runc,
        "a killed create can be deleted",
        "1.1.5 leaves the cgroup when create is killed before it writes the state",
    ),
    (Runtime::Runc, "config.json is null", "1.1.5 dereferences a nil pointer and exits with 2"),
];

pub(crate) fn difference(runtime: Runtime, key: &str) -> Option<&'static str> {
    DIFFERENCES.iter().find(|(who, what, _)| *who == runtime && *what == key).map(|(_, _, reason)| *reason)
}
