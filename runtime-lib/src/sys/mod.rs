//! Typed wrappers of system calls: the only unsafe code of the library.
