//! `hooks`.

use serde::{Deserialize, Serialize};

/// `hooks`, each list in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the specification's names")]
pub struct Hooks {
    pub prestart: Vec<Hook>,
    pub create_runtime: Vec<Hook>,
    pub create_container: Vec<Hook>,
    pub start_container: Vec<Hook>,
    pub poststart: Vec<Hook>,
    pub poststop: Vec<Hook>,
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// `path`: absolute.
    pub path: String,
    /// `args`, as for `execv(3)`: the first is the program's name; `[path]` when none are given.
    pub args: Vec<String>,
    /// `env`: the whole environment.
    pub env: Vec<String>,
    /// `timeout` in seconds, at least 1.
    pub timeout: Option<u64>,
}
