//! The program under test.

use std::path::PathBuf;

/// A runtime with runc's command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// This project's.
    Corten,
    /// The reference.
    Runc,
    /// The one in C.
    Crun,
}

impl Runtime {
    /// The runtime that `RUNTIME` names, [`Runtime::Corten`] by default.
    ///
    /// # Panics
    /// When `RUNTIME` names none.
    pub fn from_environment() -> Runtime {
        match std::env::var("RUNTIME").as_deref() {
            Err(_) | Ok("" | "corten") => Runtime::Corten,
            Ok("runc") => Runtime::Runc,
            Ok("crun") => Runtime::Crun,
            Ok(other) => panic!("RUNTIME={other}: expected corten, runc or crun"),
        }
    }

    /// The name of its command.
    pub fn name(self) -> &'static str {
        match self {
            Runtime::Corten => "corten",
            Runtime::Runc => "runc",
            Runtime::Crun => "crun",
        }
    }

    /// What to execute: a path for corten, a name to be found through `PATH` for the others.
    ///
    /// # Panics
    /// When corten has not been built.
    pub fn program(self) -> PathBuf {
        if self != Runtime::Corten {
            return PathBuf::from(self.name());
        }
        if let Some(path) = std::env::var_os("CORTEN") {
            return std::path::absolute(path).unwrap();
        }
        // The test is target/PROFILE/deps/NAME-HASH.
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap().join("corten");
        assert!(profile.exists(), "{} is missing: run `cargo build` first, or set CORTEN", profile.display());
        profile
    }
}
