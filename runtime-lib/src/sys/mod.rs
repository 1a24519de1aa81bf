//! Typed wrappers of system calls: the only unsafe code of the library.

pub(crate) mod bpf;
pub(crate) mod child;
pub(crate) mod clone;
pub(crate) mod fdpass;
pub(crate) mod kill;
pub(crate) mod limit;
pub(crate) mod lock;
pub(crate) mod memfd;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod netlink;
pub(crate) mod pidfd;
pub(crate) mod pipe;
pub(crate) mod probe;
pub(crate) mod random;
pub(crate) mod seccomp;
pub(crate) mod socket;
pub(crate) mod spawn;
pub(crate) mod tty;
pub(crate) mod xattr;
