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
pub mod plan;
pub mod resctrl;
pub mod seccomp;
pub mod spec;
mod store;
mod sys;

pub use bundle::Bundle;
pub use check::obstacles;
pub use container::{Container, ContainerBuilder, Event, Events, ExecBuilder, ExecProcess, ExitStatus, Force};
pub use error::{Error, ErrorKind, Result};
pub use features::features;
pub use id::ContainerId;
pub use plan::Plan;
pub use store::{State, Status, default_state_root};
#[doc(hidden)]
pub use sys::child::{default_sigchld, next_zombie};
