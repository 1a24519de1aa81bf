//! Privileges.

use super::Choices;
use crate::error::{Error, ErrorKind, Result};
use crate::seccomp::{self, Arch, Filter};
use crate::spec::{Capabilities, ValidSpec};
use oci_spec::runtime::LinuxSeccomp;
use serde::Serialize;

/// Privileges of the program.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Security {
    /// The five sets; `ambient` without what the kernel would refuse there.
    pub capabilities: Capabilities,
    /// `process.noNewPrivileges`.
    pub no_new_privileges: bool,
    /// The system call filter of `linux.seccomp`.
    pub seccomp: Option<Filter>,
    /// Whether a session keyring of the container's own begins.
    pub new_keyring: bool,
}

pub(super) fn lower(spec: &ValidSpec, choices: &Choices) -> Result<Security> {
    let mut capabilities = spec.process.capabilities.unwrap_or_default();
    // Only what is both permitted and inheritable can be ambient (capabilities(7)). The rest is left out silently, as
    // runc does: its own example has such a set.
    capabilities.ambient.0 &= capabilities.permitted.0 & capabilities.inheritable.0;
    Ok(Security {
        capabilities,
        no_new_privileges: spec.process.no_new_privileges,
        seccomp: spec.seccomp.as_ref().map(filter).transpose()?,
        new_keyring: !choices.no_new_keyring,
    })
}

fn filter(profile: &LinuxSeccomp) -> Result<Filter> {
    let refuse = |message: &str| Error::config("linux.seccomp", message).with_kind(ErrorKind::Unsupported);
    let native = Arch::native().ok_or_else(|| refuse("seccomp is not supported on this architecture"))?;
    seccomp::compile(profile, native)
}
