//! What is no fault of corten's, with the reason.

use crate::operation::Operation;
use crate::trace::{Fault, Step};

/// Whether the message tells the error.
pub(crate) fn names(message: &str, errno: i32) -> bool {
    let message = message.to_lowercase();
    let words = nix::errno::Errno::from_raw(errno).desc().to_lowercase();
    // The words of the C library, which may be the other program's as well.
    let theirs = std::io::Error::from_raw_os_error(errno).to_string().to_lowercase();
    let theirs = theirs.split(" (os error").next().unwrap_or_default();
    message.contains(&words) || message.contains(&format!("os error {errno})")) || message.contains(theirs)
}

/// What a message may begin with: an element of config.json.
const ELEMENTS: [&str; 7] = ["linux.", "process.", "mounts[", "root.", "hooks.", "hostname", "domainname"];

/// Or what was done to which file, of the state directory, of a cgroup or of /proc: the path says whose it is.
const DONE_TO_A_FILE: [&str; 18] = [
    "chown", "connect", "create", "examine", "find", "link", "list", "lock", "look", "mkdir", "open", "read", "remove",
    "rename", "rmdir", "stat", "unlink", "write",
];

/// Or a step that is about no element and no file.
const STEPS: [&str; 46] = [
    "become a subreaper",
    "change the mode of",
    "create a file for a hook",
    "create a file for hooks",
    "bring the loopback device up",
    "execute ps",
    "find network device",
    "hand over to the program",
    "join a new session keyring",
    "join the container",
    "join the namespaces of the container",
    "kill the container",
    "listen to the init",
    "look for ended processes",
    "look for the mark of",
    "make a console socket",
    "map the ids",
    "mark the cgroup",
    "move network device",
    "pause the container",
    "poll the console socket",
    "poll the container",
    "poll the notify socket",
    "prepare the container's terminal",
    "prepare the init",
    "read a signal",
    "read standard input",
    "read the orders in the init",
    "receive the terminal from the console socket",
    "resume the container",
    "send signal",
    "send the orders to the init",
    "send the seccomp listener",
    "set the terminal to raw mode",
    "speak to the init",
    "start the init in new namespaces",
    "take the seccomp listener from the init",
    "tell the init to start",
    "set up console socket",
    "set up the notify socket",
    "wait for hooks",
    "wait in the init for the start",
    "wait for the container",
    "wait for the init",
    "wait for the process",
    "wait for the program",
];

/// Or, where many steps need the same, only what was asked of the kernel.
const CALLS: [&str; 9] = [
    "block signals",
    "create a socket pair",
    "duplicate a descriptor",
    "duplicate a pidfd",
    "memfd_create",
    "open the init's child",
    "pidfd_open of process",
    "pidfd_send_signal",
    "write to standard output",
];

/// Whether the message tells the element, the file or the step that failed.
pub(crate) fn tells_where(message: &str) -> bool {
    let said = message.split_once("msg=\"").map_or(message, |(_, said)| said);
    said.split(": ").any(|part| {
        let (verb, rest) = part.split_once(' ').unwrap_or((part, ""));
        ELEMENTS.iter().any(|element| part.starts_with(element))
            || STEPS.iter().chain(&CALLS).any(|step| part.starts_with(step))
            || (DONE_TO_A_FILE.contains(&verb) && rest.contains('/'))
    })
}

/// Errors that are no failure but a false statement about the machine: that a container, its record, its process or its cgroup is not
/// there, or that a lock cannot be given back. Who believes the kernel has to act on them.
pub(crate) fn is_a_lie(step: &Step, errno: i32) -> bool {
    if step.text.starts_with("flock ") && step.text.contains(",8,") {
        return true; // LOCK_UN
    }
    let Some((_, path)) = step.text.split_once(' ') else { return false };
    let call = step.text.split(' ').next().unwrap_or_default();
    let of_its_state = |path: &str| path.ends_with("/state/container") || path.contains("/state/container/");
    // Of a directory or a file that is open: whoever removes a tree takes it for gone.
    let open = (call == "getdents64" && of_its_state(path)) || (call == "newfstatat" && path.is_empty());
    let absent = open
        || ["/state/container", "/state/container/notify"].iter().any(|end| path.ends_with(end))
        || [".json", "start.fifo"].iter().any(|end| path.ends_with(end))
        || (path.starts_with("/proc/") && ["/stat", "/cgroup"].iter().any(|end| path.ends_with(end)))
        || path.starts_with("/sys/fs/cgroup")
        // Without the one there is no systemd, without the other no link to it.
        || ["/run/systemd/system", "/proc/kcore"].contains(&path);
    errno == libc::ENOENT && absent
}

/// Outcomes that are as good as they can be.
pub(crate) fn is_known(step: &Step, fault: Fault, code: Option<i32>, message: &str) -> bool {
    let Fault::Errno(errno) = fault else { return false };
    let call = step.text.split(' ').next().unwrap_or_default();
    match (call, errno) {
        // The start of the C library and of Rust's: nothing has been done, and no code of ours runs yet. Later it is memory
        // that cannot be had, which ends the program.
        ("mprotect" | "mmap" | "mremap" | "poll" | "getrandom" | "sched_getaffinity", _) => code != Some(0),
        // Where it may not make nodes (in a user namespace nobody told of) it binds the host's.
        ("mknodat", libc::EPERM) => code == Some(0),
        // Between the fork and the program of a hook there is only an exit code to tell with.
        ("dup2" | "dup3" | "close_range" | "fcntl" | "execve", _) => message.contains("exit status 127"),
        // The C library says of a thread for which there is no memory that it be tried again.
        ("clone3" | "clone", libc::ENOMEM) => {
            message.contains("Try again") || message.contains("temporarily unavailable")
        }
        // What the caller's terminal does not take is lost, and the program goes on.
        ("write", _) if step.process == 0 && step.text.starts_with("write 1,") => code == Some(0),
        // The last word of create, which does not wait for its being heard: the init ends, and start tells that it has.
        ("read", libc::EIO) if step.apart => code == Some(0),
        // Rust's own way to read a directory ends the program where the end of that fails, which closing a directory does not.
        ("close", libc::EIO) => message.contains("unexpected error during closedir"),
        _ => false,
    }
}

/// What follows of a call that is not there at all.
pub(crate) fn is_known_without(_calls: &[&str], _operation: Operation, _message: &str) -> bool {
    false
}
