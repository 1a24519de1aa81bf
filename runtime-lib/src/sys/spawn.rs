//! Programs of the machine that the runtime runs for itself: hooks.
//!
//! `std::process::Command` hands the calling thread's signal mask on, and a caller such as `run` in the foreground has
//! all signals blocked: its hooks could not be ended by any but SIGKILL. To set the mask of the child alone takes either
//! code between fork and exec, in a process that may have other threads, or `posix_spawn(3)`, which has an attribute for
//! it.

use nix::errno::Errno;
use std::ffi::{CStr, c_char, c_int, c_short};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

unsafe extern "C" {
    /// In every C library of today, but not in the libc crate for every one.
    fn posix_spawn_file_actions_addchdir_np(
        actions: *mut libc::posix_spawn_file_actions_t,
        path: *const c_char,
    ) -> c_int;
}

/// What to run, and with what.
pub(crate) struct Program<'a> {
    /// The file.
    pub(crate) path: &'a CStr,
    /// The arguments, with the name first.
    pub(crate) args: &'a [&'a CStr],
    /// The whole environment.
    pub(crate) env: &'a [&'a CStr],
    /// The working directory.
    pub(crate) directory: &'a CStr,
    /// Standard input.
    pub(crate) input: BorrowedFd<'a>,
    /// Standard output and error.
    pub(crate) output: BorrowedFd<'a>,
}

/// `posix_spawn_file_actions_t`, initialised.
struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> Result<Actions, Errno> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: initialises the local that it is given.
        done(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: initialised above.
        Ok(Actions(unsafe { actions.assume_init() }))
    }

    fn duplicate(&mut self, fd: BorrowedFd<'_>, to: c_int) -> Result<(), Errno> {
        // SAFETY: `self` is initialised.
        done(unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, fd.as_raw_fd(), to) })
    }

    fn enter(&mut self, directory: &CStr) -> Result<(), Errno> {
        // SAFETY: `self` is initialised; the path is copied.
        done(unsafe { posix_spawn_file_actions_addchdir_np(&mut self.0, directory.as_ptr()) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`, and destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

/// `posix_spawnattr_t`, initialised.
struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    /// No signal blocked, each with its default action, in a process group of its own.
    fn new() -> Result<Attributes, Errno> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: initialises the local that it is given.
        done(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: initialised above.
        let mut attributes = Attributes(unsafe { attributes.assume_init() });
        let (mut none, mut all) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: both initialise the set that they are given.
        let (none, all) = unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigfillset(all.as_mut_ptr());
            (none.assume_init(), all.assume_init())
        };
        let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETPGROUP;
        // SAFETY: `attributes` and the sets are initialised; the sets are copied.
        unsafe {
            done(libc::posix_spawnattr_setsigmask(&mut attributes.0, &none))?;
            done(libc::posix_spawnattr_setsigdefault(&mut attributes.0, &all))?;
            done(libc::posix_spawnattr_setpgroup(&mut attributes.0, 0))?;
            done(libc::posix_spawnattr_setflags(&mut attributes.0, flags as c_short))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`, and destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

/// These functions return the error's number.
fn done(errno: c_int) -> Result<(), Errno> {
    if errno == 0 { Ok(()) } else { Err(Errno::from_raw(errno)) }
}

/// Starts `program` as the leader of a process group of its own, and gives its pid. It has default signals, none
/// blocked, whatever the caller has.
///
/// # Errors
/// Those of `fork(2)`, `chdir(2)` and `execve(2)`.
pub(crate) fn spawn(program: &Program<'_>) -> Result<i32, Errno> {
    let mut actions = Actions::new()?;
    actions.duplicate(program.input, 0)?;
    actions.duplicate(program.output, 1)?;
    actions.duplicate(program.output, 2)?;
    actions.enter(program.directory)?;
    let attributes = Attributes::new()?;
    let pointers = |strings: &[&CStr]| -> Vec<*mut c_char> {
        strings.iter().map(|text| text.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect()
    };
    let (args, env) = (pointers(program.args), pointers(program.env));
    let mut pid = 0;
    // SAFETY: the actions and attributes are initialised; `args` and `env` end with a null pointer, and they and the
    // strings behind them outlive the call, which only reads them.
    done(unsafe {
        libc::posix_spawn(&mut pid, program.path.as_ptr(), &actions.0, &attributes.0, args.as_ptr(), env.as_ptr())
    })?;
    Ok(pid)
}
