//! Privileges.

use super::Choices;
use crate::spec::{Capabilities, ValidSpec};
use serde::Serialize;

/// Privileges of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Security {
    /// The five sets; `ambient` without what the kernel would refuse there.
    pub capabilities: Capabilities,
    /// `process.noNewPrivileges`.
    pub no_new_privileges: bool,
    /// Whether a session keyring of the container's own begins.
    pub new_keyring: bool,
}

pub(super) fn lower(spec: &ValidSpec, choices: &Choices) -> Security {
    let mut capabilities = spec.process.capabilities.unwrap_or_default();
    // Only what is both permitted and inheritable can be ambient (capabilities(7)). The rest is left out silently, as
    // runc does: its own example has such a set.
    capabilities.ambient.0 &= capabilities.permitted.0 & capabilities.inheritable.0;
    Security { capabilities, no_new_privileges: spec.process.no_new_privileges, new_keyring: !choices.no_new_keyring }
}
