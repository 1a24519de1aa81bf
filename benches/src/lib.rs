//! What the `bench` program is made of: it compares whole runs of runtimes with each other and with the `floor` program,
//! in ratios, since absolute times say more about the machine than about a runtime.

pub mod bundle;
pub mod lifecycle;
pub mod mix;
pub mod process;
pub mod program;
pub mod rounds;
pub mod summary;
pub mod target;
pub mod view;

/// A `Result` whose error is the message for the user.
pub type Result<T = ()> = std::result::Result<T, String>;
