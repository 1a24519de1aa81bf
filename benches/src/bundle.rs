//! The bundle that every program runs: the default of `runc spec`, without a terminal, with `/bin/true` of busybox.
//!
//! A program that does nothing and ends well would win every comparison. So there is a second bundle, the same but for a
//! `/bin/true` that says [`WITNESS`]: a program that does not make that appear is not measured.

use crate::Result;
use crate::view::View;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The configuration that `runc spec` writes on a host with cgroup v2, but for `process.terminal` and `process.args`.
const CONFIG: &str = include_str!("../bundle/config.json");

/// Where Debian's package busybox-static puts its program.
const BUSYBOX: &str = "/bin/busybox";

/// What `/bin/true` of the second bundle prints.
pub const WITNESS: &str = "the container's program ran\n";

/// The paths of the two bundles.
pub struct Bundles {
    /// With busybox as `/bin/true`.
    pub measured: PathBuf,
    /// With a `/bin/true` that prints [`WITNESS`].
    pub witness: PathBuf,
}

impl Bundles {
    /// Sets an element of both configurations: `key` in the object at `pointer`.
    ///
    /// # Errors
    /// There is no such object, or a configuration cannot be read or written.
    pub fn set(&self, pointer: &str, key: &str, value: &serde_json::Value) -> Result {
        for bundle in [&self.measured, &self.witness] {
            let path = bundle.join("config.json");
            let fail = |error: &dyn std::fmt::Display| format!("change {}: {error}", path.display());
            let text = fs::read_to_string(&path).map_err(|error| fail(&error))?;
            let mut config: serde_json::Value = serde_json::from_str(&text).map_err(|error| fail(&error))?;
            let object = config.pointer_mut(pointer).and_then(|value| value.as_object_mut());
            let object = object.ok_or_else(|| fail(&format!("no object at {pointer}")))?;
            object.insert(key.to_owned(), value.clone());
            fs::write(&path, config.to_string()).map_err(|error| fail(&error))?;
        }
        Ok(())
    }
}

/// Makes the bundles for `view` beneath `directory`.
///
/// # Errors
/// busybox is not installed, or `directory` cannot be written.
pub fn prepare(directory: &Path, view: View) -> Result<Bundles> {
    let bundles = Bundles {
        measured: directory.join(format!("{}-measured", view.name())),
        witness: directory.join(format!("{}-witness", view.name())),
    };
    let fail = |error: std::io::Error| format!("prepare a bundle in {}: {error}", directory.display());
    let bin = prepare_without_program(&bundles.measured, view)?;
    symlink("busybox", bin.join("true")).map_err(fail)?;
    let bin = prepare_without_program(&bundles.witness, view)?;
    symlink("busybox", bin.join("sh")).map_err(fail)?;
    fs::write(bin.join("true"), format!("#!/bin/sh\necho \"{}\"\n", WITNESS.trim_end())).map_err(fail)?;
    fs::set_permissions(bin.join("true"), fs::Permissions::from_mode(0o755)).map_err(fail)?;
    Ok(bundles)
}

/// Makes a third bundle: the measured one with a program that waits until it is killed.
///
/// # Errors
/// `directory` cannot be written.
pub fn waiting(directory: &Path, bundles: &Bundles) -> Result<PathBuf> {
    let fail = |error: std::io::Error| format!("prepare a bundle in {}: {error}", directory.display());
    let path = bundles.measured.join("config.json");
    let text = fs::read_to_string(path).map_err(fail)?;
    let mut config: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    if let Some(args) = config.pointer_mut("/process/args") {
        *args = serde_json::json!(["/bin/sleep", "100000"]);
    }
    if let Some(path) = config.pointer_mut("/root/path") {
        *path = serde_json::json!(bundles.measured.join("rootfs"));
    }
    let bundle = directory.join("waiting");
    fs::create_dir_all(&bundle).map_err(fail)?;
    fs::write(bundle.join("config.json"), config.to_string()).map_err(fail)?;
    let sleep = bundles.measured.join("rootfs/bin/sleep");
    symlink("busybox", sleep).map_err(fail)?;
    Ok(bundle)
}

/// Makes everything of a bundle but `/bin/true`; returns the directory for that.
fn prepare_without_program(bundle: &Path, view: View) -> Result<PathBuf> {
    let bin = bundle.join("rootfs/bin");
    let fail = |error: std::io::Error| format!("prepare the bundle {}: {error}", bundle.display());
    fs::create_dir_all(&bin).map_err(fail)?;
    for mount_point in ["proc", "dev", "sys"] {
        fs::create_dir(bundle.join("rootfs").join(mount_point)).map_err(fail)?;
    }
    fs::copy(BUSYBOX, bin.join("busybox"))
        .map_err(|error| format!("copy {BUSYBOX} (package busybox-static): {error}"))?;
    fs::write(bundle.join("config.json"), config(view)?).map_err(fail)?;
    Ok(bin)
}

/// The text of `config.json`: as `runc spec` does, with a cgroup namespace only where cgroup2 is all there is.
fn config(view: View) -> Result<String> {
    let mut config: serde_json::Value = serde_json::from_str(CONFIG).map_err(|error| error.to_string())?;
    if view == View::Legacy {
        if let Some(namespaces) = config.pointer_mut("/linux/namespaces").and_then(|value| value.as_array_mut()) {
            namespaces.retain(|namespace| namespace.get("type").is_none_or(|kind| kind != "cgroup"));
        }
    }
    Ok(config.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_unified_view_has_a_cgroup_namespace() {
        let kinds = |view| {
            let config: serde_json::Value = serde_json::from_str(&config(view).unwrap()).unwrap();
            let namespaces = config["linux"]["namespaces"].as_array().unwrap().clone();
            namespaces.iter().map(|namespace| namespace["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(kinds(View::Unified), ["pid", "network", "ipc", "uts", "mount", "cgroup"]);
        assert_eq!(kinds(View::Legacy), ["pid", "network", "ipc", "uts", "mount"]);
    }
}
