//! Where corten and runc 1.1.5 are known to differ in what they make of a random configuration.

use corten_integration::Disagreement;

const CGROUP: &str =
    "on version 1 runc leaves the tmpfs writable that holds the hierarchies, although the mount is to be `ro`";
const MQUEUE: &str = "runc makes the file system before it is in the mapped group; with corten it is root's in both";
const ACCESS_TIME: &str = "of noatime and strictatime on one bind mount(2) takes the latter; corten keeps noatime";
const TMPFS_MODE: &str =
    "on a directory of the image runc 1.1 gives a tmpfs that directory's mode, whatever its own option says";
const REPLACED: &str =
    "a default device stays allowed when another node is put in its place; runc takes its rule away with the node";

const NEWER: &str = "runc 1.1 is older than the element and ignores it";

/// Places of the inside view (`*` stands for any part), a text that the configuration must have, and the reason.
pub(crate) const PLACES: &[(&str, &str, &str)] = &[
    ("descriptors.*", "", "runc puts a pipe between its own streams and those of a container in the foreground"),
    ("status.SigIgn", "", "signal 32: runc passes on what its caller ignores of the C library's own signals"),
    ("mounts./sys/fs/cgroup.options", "", CGROUP),
    ("paths./sys/fs/cgroup.create", "", CGROUP),
    ("paths./sys/fs/cgroup.mode", "", CGROUP),
    (
        "mounts./sys/fs/cgroup/systemd.source",
        "\"cgroup\"",
        "with a cgroup namespace runc mounts the named hierarchy under its own name; corten mounts all alike",
    ),
    ("devices./dev/mqueue.group", "\"user\"", MQUEUE),
    ("paths./dev/mqueue.group", "\"user\"", MQUEUE),
    (
        "kernel.session_keyring",
        "\"user\"",
        "in a user namespace the container's root, whose keyring it is, may search it; with runc everybody else may",
    ),
    ("paths.*.mode", "\"mode=", TMPFS_MODE),
    ("devices.*.mode", "\"mode=700\"", TMPFS_MODE),
    ("devices./dev/extra.mode", "\"mode=", TMPFS_MODE),
    ("files./sys/fs/cgroup/devices/devices.list", "\"/dev/full\"", REPLACED),
    ("mounts.*.options", "\"noatime\",\"strictatime\"", ACCESS_TIME),
    ("mounts.*.options", "\"noatime\",\"relatime\",\"strictatime\"", ACCESS_TIME),
    ("kernel.scheduler.*", "\"scheduler\"", NEWER),
    ("process.nice", "\"scheduler\"", NEWER),
    ("process.policy", "\"scheduler\"", NEWER),
    ("process.real_time_priority", "\"scheduler\"", NEWER),
    ("kernel.io_priority", "\"ioPriority\"", NEWER),
    ("kernel.personality", "\"personality\"", NEWER),
    ("kernel.memory_policy.*", "\"memoryPolicy\"", NEWER),
    ("kernel.names.domain", "\"domainname\"", NEWER),
    // What an earlier configuration has named stays in the namespace that is joined.
    ("kernel.names.domain", "/ns/uts\"", NEWER),
    (
        "mounts.*(no. 2).options",
        "\"readonlyPaths\":[\"/\"",
        "read-only paths of corten are read-only with all that is mounted below them",
    ),
    (
        "mounts.*.options",
        "\"source\":\"none\",\"type\":\"cgroup\"",
        "corten binds a hierarchy with nosuid, nodev and noexec, asked or not",
    ),
    (
        "mounts.*.source",
        "\"source\":\"none\",\"type\":\"cgroup\"",
        "corten calls the source of a cgroup mount cgroup, whatever the configuration calls it",
    ),
];

/// Configurations that one of them refuses: who does, a part of its message, and why the other does not.
pub(crate) const REFUSALS: &[(&str, &str, &str)] = &[
    ("runc", "uids and gids must be in range 0-2147483647", "the kernel takes ids up to 4294967294"),
    ("runc", "seccomp flags are not yet supported by runc", "1.1.5 is older than their support (1.2)"),
    (
        "runc",
        "mount /data//x/../y, flags",
        "it makes a tmpfs read-only under its name as written, which has parts that do not exist",
    ),
    (
        "runc",
        "error closing exec fds: open /proc/self/fd",
        "it needs the container's /proc for its own work, which maskedPaths hide here",
    ),
    (
        "runc",
        "data: defaults: invalid argument",
        "it says that it knows the option, and passes it on to the file system",
    ),
    (
        "corten",
        "has a letter other than r, w and m",
        "an access is made of these letters; of a rule for all devices runc does not look at it",
    ),
    (
        "corten",
        "hooks.poststop[0].path: \"relative\" is not an absolute path",
        "the specification demands an absolute path; runc finds out when the container is deleted, and warns",
    ),
    (
        "corten",
        "check source: No such device",
        "in a user namespace a device is the host's of that name, and must have the numbers asked for; runc binds it unseen",
    ),
    ("corten", "is given twice", "rlimits: the specification demands an error; runc takes the last"),
    (
        "corten",
        "linux.devices[0].path: \"relative\" is not an absolute path",
        "the specification demands a full path; runc takes it as one below the root",
    ),
];

/// Whether `place` fits a pattern with at most one `*`.
fn fits(pattern: &str, place: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == place,
        Some((start, end)) => {
            place.len() >= start.len() + end.len() && place.starts_with(start) && place.ends_with(end)
        }
    }
}

pub(crate) fn is_known(disagreement: &Disagreement, config: &str) -> bool {
    let mut rows = PLACES.iter();
    rows.any(|(pattern, when, _)| fits(pattern, &disagreement.place) && config.contains(when))
}

pub(crate) fn is_known_refusal(who: &str, message: &str) -> bool {
    REFUSALS.iter().any(|(runtime, part, _)| *runtime == who && message.contains(part))
}
