//! The program that runs inside a container before the container's own program does.
//!
//! It has every privilege, in a place where the image's owner has a hand in everything. So it is small, has no
//! allocator, no C library and no configuration: it carries out [orders](wire::Orders) that the launcher computed, one
//! step after another, and reports the first failure as numbers. The order of the steps is this file's `steps`.

#![no_std]
#![no_main]

mod arch;
mod console;
mod copyup;
mod devices;
mod fault;
mod hooks;
mod identity;
mod link;
mod lsm;
mod mounts;
mod namespaces;
mod path;
mod program;
mod rootfs;
mod scheduling;
mod steps;
mod sys;
mod sysctl;
mod wire;

use core::ffi::{CStr, c_char};

/// The first Rust code: `stack` is the kernel's: argc, argv.
///
/// # Safety
/// Called once, by `_start`, with the initial stack pointer.
unsafe extern "C" fn enter(stack: *const usize) -> ! {
    // SAFETY: the kernel puts argc at the stack pointer and argc pointers to strings behind it.
    let socket = unsafe {
        if *stack < 2 {
            sys::exit(1);
        }
        CStr::from_ptr(*stack.add(2) as *const c_char)
    };
    steps::main(socket)
}

/// Nothing here panics; a test checks that no panic is linked in.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(254)
}
