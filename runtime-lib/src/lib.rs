//! # libcorten: OCI containers as a library
//!
//! `libcorten` implements the Linux part of the [OCI runtime specification](https://github.com/opencontainers/runtime-spec)
//! 1.3. It is made to be embedded: it never forks the calling program, never changes the caller's process (working
//! directory, signal handling, file descriptors …), never prints and never exits, and several threads may create
//! containers at once.
//!
//! ```no_run
//! use libcorten::Container;
//!
//! # fn main() -> libcorten::Result<()> {
//! let mut container = Container::builder("hello")?
//!     .state_root("/run/my-tool")
//!     .bundle("/path/to/bundle")
//!     .create()?;
//! container.start()?;
//! let exit = container.wait()?;
//! println!("exit code {}", exit.code());
//! container.delete(libcorten::Force::No)?;
//! # Ok(())
//! # }
//! ```
//!
//! With standard streams of its own, and a limit in time (`examples/` has this one whole, one for limits, statistics and events, and
//! one for async code):
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let output = std::fs::File::create("/tmp/output")?;
//! let builder = libcorten::Container::builder("job-1")?.bundle("/path/to/bundle");
//! let mut container = builder.stdin(std::fs::File::open("/dev/null")?).stdout(output).run()?;
//! if container.wait_timeout(std::time::Duration::from_secs(60))?.is_none() {
//!     container.kill(9)?;
//! }
//! println!("{}", container.wait()?);
//! # Ok(())
//! # }
//! ```
//!
//! The configuration need not be a file: [`Bundle::with_spec`] takes one made in the program, from the types of [`oci_spec`].
//!
//! ## The verbs
//!
//! | of the specification, of `runc` | here |
//! |---|---|
//! | create, run | [`Container::builder`], [`ContainerBuilder::create`], [`ContainerBuilder::run`] |
//! | start, kill, delete | [`Container::start`], [`Container::kill`], [`Container::delete`] |
//! | (wait) | [`Container::wait`], [`Container::wait_timeout`], [`Container::pidfd`] |
//! | state, list | [`Container::load`], [`Container::state`], [`Container::list`] |
//! | exec | [`Container::exec`], [`Container::exec_process`], [`ExecBuilder::spawn`] |
//! | pause, resume, update, ps, events | [`Container::pause`], [`Container::resume`], [`Container::update`], [`Container::processes`], [`Container::stats`], [`Container::events`] |
//! | what would be done, and what stands in the way | [`ContainerBuilder::plan`], [`Bundle::check`], [`obstacles`] |
//!
//! ## What an embedder should know
//!
//! - **A handle owns nothing.** Dropping a [`Container`] or an [`ExecProcess`] ends nothing: the container goes on, and any
//!   process finds it again with [`Container::load`]. [`Container::delete`] is what takes it away.
//! - **Children.** The container's first process, and that of an exec, are children of the calling process; the library waits
//!   for no other child. Reap them with [`Container::wait`] and [`ExecProcess::wait`], or be told of their end by
//!   [`Container::pidfd`] in an event loop. A program that ignores `SIGCHLD` has no exit codes, and hooks fail.
//! - **Threads and async.** All types are `Send` and `Sync`; every call may be made from any thread, also several at once for one
//!   container. Calls block, for milliseconds mostly, and for as long as a hook takes: from async code use `spawn_blocking` or its like.
//!   A create that hangs in a hook or on a file system is ended from another thread or process: [`Container::load`] its id, and
//!   [`delete`](Container::delete) it by [`Force::Yes`]; the create then fails.
//! - **Standard streams** are the caller's own unless set: what a server logs to, its containers write to. Give each
//!   `/dev/null`, a file or a pipe.
//! - **Warnings.** What the specification lets a runtime ignore, such as an unknown capability, is in
//!   [`ValidSpec::warnings`](spec::ValidSpec::warnings) of a [`Bundle`], for the caller to log: the library prints nothing.
//! - **Errors.** A create or run that fails has left nothing behind, and an update nothing changed. [`Error::kind`] is for decisions, [`Error::location`] says which
//!   element of the configuration it is about, `{error:#}` prints the whole chain on one line.
//!
//! ## One way for the data
//! `config.json` is [parsed and validated](spec), lowered to a [plan] of what will be done (pure data: print it), carried
//! out by a launcher in this process and a tiny sealed init in the container, and recorded in the state directory. See
//! docs/ARCHITECTURE.md.

mod bundle;
pub mod cgroup;
mod check;
pub mod console;
mod container;
mod error;
mod features;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
mod id;
mod launch;
mod observe;
pub mod plan;
pub mod resctrl;
pub mod seccomp;
pub mod spec;
mod store;
mod sys;
#[cfg(test)]
mod trials;

pub use bundle::Bundle;
pub use check::obstacles;
pub use container::{Container, ContainerBuilder, Event, Events, ExecBuilder, ExecProcess, ExitStatus, Force};
pub use error::{Error, ErrorKind, Result, errno_in_words};
pub use features::features;
pub use id::ContainerId;
pub use observe::Observer;
/// The crate of the specification's types, in the version that this library takes and gives: see [`Bundle::with_spec`] and
/// [`Container::update`].
pub use oci_spec;
pub use plan::Plan;
pub use store::{State, Status, default_state_root};
#[doc(hidden)]
pub use sys::child::{default_sigchld, next_zombie};
