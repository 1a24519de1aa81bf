//! `hooks`.

use super::fault::Faults;
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

/// Checks `hooks`.
pub(super) fn validate(hooks: &oci_spec::runtime::Hooks, faults: &mut Faults) -> Hooks {
    // Deprecated by the specification, still written by every engine.
    #[allow(deprecated)]
    let prestart = hooks.prestart();
    Hooks {
        prestart: validate_list("prestart", prestart.as_deref(), faults),
        create_runtime: validate_list("createRuntime", hooks.create_runtime().as_deref(), faults),
        create_container: validate_list("createContainer", hooks.create_container().as_deref(), faults),
        start_container: validate_list("startContainer", hooks.start_container().as_deref(), faults),
        poststart: validate_list("poststart", hooks.poststart().as_deref(), faults),
        poststop: validate_list("poststop", hooks.poststop().as_deref(), faults),
    }
}

fn validate_list(when: &str, hooks: Option<&[oci_spec::runtime::Hook]>, faults: &mut Faults) -> Vec<Hook> {
    let one = |(i, hook): (usize, &oci_spec::runtime::Hook)| {
        let path = faults.absolute(format_args!("hooks.{when}[{i}].path"), hook.path());
        let args = match hook.args().as_deref() {
            None | Some([]) => vec![path.clone()],
            Some(args) => faults.texts(format_args!("hooks.{when}[{i}].args"), args),
        };
        let env = faults.texts(format_args!("hooks.{when}[{i}].env"), hook.env().as_deref().unwrap_or_default());
        let timeout = hook.timeout().map(|seconds| match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => seconds,
            _ => {
                faults.add(format_args!("hooks.{when}[{i}].timeout"), format!("{seconds} is not greater than zero"));
                1
            }
        });
        Hook { path, args, env, timeout }
    };
    hooks.unwrap_or_default().iter().enumerate().map(one).collect()
}
