//! Typed wrappers of system calls: the only unsafe code of the library.

pub(crate) mod bpf;
pub(crate) mod kill;
