//! Typed wrappers of system calls: the only unsafe code of the library.

pub(crate) mod child;
pub(crate) mod fdpass;
pub(crate) mod tty;
