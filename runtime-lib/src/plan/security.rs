//! Privileges.

use crate::error::Result;
use crate::host::Host;
use crate::spec::{CapSet, Capabilities, ValidSpec};
use serde::Serialize;

/// Privileges of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Security {
    /// The five sets, without what this host does not have.
    pub capabilities: Capabilities,
    /// `process.noNewPrivileges`.
    pub no_new_privileges: bool,
    /// Whether a session keyring of the container's own begins.
    pub new_keyring: bool,
}

pub(super) fn lower(spec: &ValidSpec, host: &Host) -> Result<(Security, Vec<String>)> {
    let mut warnings = Vec::new();
    let asked = spec.process.capabilities.unwrap_or_default();
    let new_user = !matches!(spec.namespaces.user, crate::spec::Namespace::Host);
    // In a user namespace of its own the container's root has every capability there.
    let available = if new_user { u64::MAX } else { host.capabilities };
    let mut missing = 0;
    let mut limit = |set: CapSet| {
        missing |= set.0 & !available;
        CapSet(set.0 & available)
    };
    let capabilities = Capabilities {
        bounding: limit(asked.bounding),
        effective: limit(asked.effective),
        inheritable: limit(asked.inheritable),
        permitted: limit(asked.permitted),
        ambient: limit(asked.ambient),
    };
    if missing != 0 {
        let names: Vec<String> = CapSet(missing).names().collect();
        warnings.push(format!("ignoring unknown or unavailable capabilities: [{}]", names.join(" ")));
    }
    let security = Security { capabilities, no_new_privileges: spec.process.no_new_privileges, new_keyring: true };
    Ok((security, warnings))
}
