//! What on this machine stands in the way of a plan, found without doing any of it.
//!
//! A create would find the same, one obstacle at a time and after its first effects. What only the doing can tell (a file
//! system that the kernel does not know, a limit that it refuses) is not looked for.

use crate::error::{Error, ErrorKind, Result};
use crate::launch;
use crate::plan::cgroup::IfAbsent;
use crate::plan::{MountAction, Plan};
use crate::spec::{CapSet, Hook};
use crate::sys::limit;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat, geteuid};
use std::path::Path;

/// Everything that a create of `plan` by this caller would fail of, each with its location where it has one; empty when
/// nothing is in the way. Needs no privileges and has no effects.
pub fn obstacles(plan: &Plan) -> Vec<Error> {
    let mut found = missing_features(&kernel_release());
    found.extend(user_namespace(plan).err());
    found.extend(rootfs(plan).err());
    found.extend(security_modules(plan).err());
    found.extend(plan.namespaces.join.iter().filter_map(|join| launch::open_namespace(join).err()));
    found.extend(sources(plan));
    found.extend(controllers(plan));
    found.extend(limits(plan));
    if !plan.namespaces.has_user_namespace() {
        let held = caps::read(None, caps::CapSet::Permitted).unwrap_or_default();
        found.extend(capabilities(plan, held.iter().fold(0, |mask, capability| mask | capability.bitmask())));
    }
    found.extend(hooks(plan));
    found
}

/// Whether the caller may make the namespaces.
pub(crate) fn user_namespace(plan: &Plan) -> Result<()> {
    if geteuid().is_root() || plan.namespaces.has_user_namespace() {
        return Ok(());
    }
    Err(Error::config("linux.namespaces", "rootless container requires user namespaces").hint(
        "an ordinary user needs one, with linux.uidMappings and gidMappings: corten spec --rootless has an example",
    ))
}

/// Whether the security modules that labels are for are at work.
pub(crate) fn security_modules(plan: &Plan) -> Result<()> {
    let is_on = |file: &str| std::fs::read(file).is_ok_and(|text| text.starts_with(b"Y"));
    if plan.process.apparmor_profile.is_some() && !is_on("/sys/module/apparmor/parameters/enabled") {
        let message = "apparmor: config provided but apparmor not supported";
        return Err(Error::config("process.apparmorProfile", message).with_kind(ErrorKind::Unsupported));
    }
    let labelled = plan.process.selinux_label.is_some();
    let context = |step: &crate::plan::MountStep| matches!(&step.action, MountAction::Filesystem { context: Some(_), fstype, .. } if fstype != "mqueue");
    let labelled_mounts = plan.mounts.iter().any(context);
    if (labelled || labelled_mounts) && !Path::new("/sys/fs/selinux/enforce").exists() {
        let location = if labelled { "process.selinuxLabel" } else { "linux.mountLabel" };
        let message = "selinux label is specified in config, but selinux is disabled or not supported";
        return Err(Error::config(location, message).with_kind(ErrorKind::Unsupported));
    }
    Ok(())
}

/// Whether there is a root file system.
pub(crate) fn rootfs(plan: &Plan) -> Result<()> {
    let path = &plan.rootfs.path;
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(Error::config("root.path", format!("{path} is not a directory"))),
        Err(error) => Err(Error::os(format!("find {path}"), error).at("root.path")),
    }
}

/// What corten cannot do without, and the kernel that brought it.
const FEATURES: [(&str, (u32, u32)); 3] =
    [("clone3(2) into a cgroup", (5, 7)), ("openat2(2)", (5, 6)), ("close_range(2)", (5, 9))];

fn kernel_release() -> String {
    nix::sys::utsname::uname().map_or(String::new(), |name| name.release().to_string_lossy().into_owned())
}

/// A release that cannot be read counts as new: the calls themselves will tell.
fn missing_features(release: &str) -> Vec<Error> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>());
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return Vec::new() };
    let missing = FEATURES.iter().filter(|(_, since)| (major, minor) < *since);
    let error = |(feature, (major, minor)): &(&str, (u32, u32))| {
        Error::new(ErrorKind::Unsupported, format!("{feature} needs Linux {major}.{minor}, this is {release}"))
    };
    missing.map(error).collect()
}

/// Sources of binds that are not there.
fn sources(plan: &Plan) -> Vec<Error> {
    let cgroups: Vec<_> = plan.cgroup.paths.directories().map(|directory| directory.absolute()).collect();
    let missing = |step: &crate::plan::MountStep| {
        let MountAction::Bind { source, .. } = &step.action else { return None };
        // The container's own cgroup is made by then.
        if cgroups.iter().any(|cgroup| Path::new(source).starts_with(cgroup)) {
            return None;
        }
        let error = std::fs::metadata(source).err()?;
        Some(Error::os(format!("find {source}"), error).at(format!("mounts[{}].source", step.index)))
    };
    plan.mounts.iter().filter_map(missing).collect()
}

/// Limits of version 2 for which the kernel has no controller there: those of version 1 are refused by the plan.
fn controllers(plan: &Plan) -> Vec<Error> {
    let mut found = Vec::new();
    for (place, directory) in plan.cgroup.paths.directories().enumerate() {
        let file = format!("{}/cgroup.controllers", directory.mount_point);
        // Only version 2 has the file.
        let Ok(available) = std::fs::read_to_string(file) else { continue };
        let writes = plan.cgroup.writes.iter().filter(|write| write.directory == place);
        for write in writes.filter(|write| write.if_absent == IfAbsent::Fail) {
            let controller = write.file.split('.').next().unwrap_or_default();
            let needed = plan.cgroup.enable.iter().any(|name| name == controller);
            if needed && !available.split_ascii_whitespace().any(|name| name == controller) {
                let message = format!("the cgroup controller {controller} is not available");
                found.push(Error::config(&write.location, message).with_kind(ErrorKind::Unsupported));
            }
        }
    }
    found
}

/// Limits above the caller's own hard limits, which only CAP_SYS_RESOURCE may pass, see `setrlimit(2)`.
fn limits(plan: &Plan) -> Vec<Error> {
    if caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_SYS_RESOURCE).unwrap_or(false) {
        return Vec::new();
    }
    let above = |(place, asked): (usize, &crate::spec::Rlimit)| {
        let hard = limit::hard(asked.resource).ok().filter(|hard| asked.hard > *hard)?;
        let message = format!("{} {} is above the caller's hard limit {hard}", asked.name, asked.hard);
        let error = Error::config(format!("process.rlimits[{place}].hard"), message);
        Some(error.with_kind(ErrorKind::Unsupported).hint("raising it takes CAP_SYS_RESOURCE"))
    };
    plan.process.rlimits.iter().enumerate().filter_map(above).collect()
}

/// Capabilities asked for that the caller, whose permitted set is `held`, cannot hand on.
fn capabilities(plan: &Plan, held: u64) -> Vec<Error> {
    let sets = &plan.security.capabilities;
    let lacking = |(name, set): (&str, CapSet)| {
        let missing = CapSet(set.0 & !held);
        let names: Vec<String> = missing.names().collect();
        let location = format!("process.capabilities.{name}");
        let error = || Error::config(location, format!("the caller does not hold {}", names.join(" ")));
        (missing.0 != 0).then(|| error().with_kind(ErrorKind::Unsupported))
    };
    [("effective", sets.effective), ("permitted", sets.permitted)].into_iter().filter_map(lacking).collect()
}

/// Hooks that cannot be executed. The paths of startContainer hooks are inside the container, which is not there yet.
fn hooks(plan: &Plan) -> Vec<Error> {
    let hooks = &plan.hooks;
    let of_host = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    let each =
        of_host.into_iter().flat_map(|(kind, hooks)| hooks.iter().enumerate().map(move |(i, hook)| (kind, i, hook)));
    each.filter_map(|(kind, place, hook)| Some(executable(hook).err()?.at(format!("hooks.{kind}[{place}].path"))))
        .collect()
}

fn executable(hook: &Hook) -> Result<()> {
    let path = &hook.path;
    let meta = std::fs::metadata(path).map_err(|error| Error::os(format!("find {path}"), error))?;
    if !meta.is_file() {
        return Err(Error::new(ErrorKind::Hook, format!("{path} is not a regular file")));
    }
    let allowed = faccessat(AT_FDCWD, path.as_str(), AccessFlags::X_OK, AtFlags::AT_EACCESS);
    allowed.map_err(|errno| Error::os(format!("execute {path}"), errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Hierarchy, Host, HostCgroups};
    use crate::plan::{Choices, lower};
    use crate::{Bundle, ContainerId};
    use serde_json::{Value, json};

    /// The default bundle in a directory of its own, changed by `change`; `v2` is where the hierarchy is mounted.
    fn plan(dir: &Path, v2: &str, change: impl FnOnce(&mut Value)) -> Plan {
        let _ = std::fs::create_dir(dir.join("rootfs"));
        let mut config = serde_json::to_value(crate::spec::example(None, true)).unwrap();
        config["process"]["rlimits"] = json!([]);
        config["process"]["capabilities"] = json!({});
        change(&mut config);
        let v2 = Hierarchy { controllers: vec![], mount_point: v2.to_owned(), own_path: "/".to_owned() };
        let host = Host { cgroups: HostCgroups { v1: vec![], v2: Some(v2) }, euid: 0, resctrl: None };
        let bundle = Bundle::with_config(dir, config.to_string().as_bytes()).unwrap();
        lower(&bundle, &ContainerId::new("checked").unwrap(), &host, &Choices::default()).unwrap()
    }

    fn locations(errors: Vec<Error>) -> Vec<String> {
        errors.iter().map(|error| error.location().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn a_good_bundle_meets_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(dir.path(), "/sys/fs/cgroup", |_| {});
        // The test may run as anybody: who is not root meets exactly one.
        let expected: &[&str] = if geteuid().is_root() { &[] } else { &["linux.namespaces"] };
        assert_eq!(locations(obstacles(&plan)), expected);
    }

    #[test]
    fn what_is_missing_is_named_all_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let hook = dir.path().join("hook");
        std::fs::write(&hook, "#!/bin/sh\n").unwrap();
        let plan = plan(dir.path(), "/nonexistent", |config| {
            config["root"]["path"] = json!("elsewhere");
            config["mounts"].as_array_mut().unwrap().extend([
                json!({"type": "bind", "source": "rootfs", "destination": "/there", "options": ["bind"]}),
                json!({"type": "bind", "source": "missing", "destination": "/gone", "options": ["bind"]}),
            ]);
            config["linux"]["namespaces"][0]["path"] = json!("/proc/self/ns/net");
            config["linux"]["namespaces"][1]["path"] = json!("/nonexistent/net");
            config["hooks"] = json!({
                "createRuntime": [{"path": "/bin/sh"}, {"path": hook}, {"path": "/bin"}],
                "poststop": [{"path": "/nonexistent/hook"}],
                "startContainer": [{"path": "/only/inside"}],
            });
        });
        let mut found = locations(obstacles(&plan));
        found.retain(|location| location != "linux.namespaces");
        found.sort();
        let expected = [
            "hooks.createRuntime[1].path",
            "hooks.createRuntime[2].path",
            "hooks.poststop[0].path",
            "linux.namespaces[0].path",
            "linux.namespaces[1].path",
            "mounts[8].source",
            "root.path",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_controller_that_the_hierarchy_lacks_is_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cgroup.controllers"), "cpuset cpu pids\n").unwrap();
        let plan = plan(dir.path(), dir.path().to_str().unwrap(), |config| {
            config["linux"]["resources"] = json!({"memory": {"limit": 1 << 26}, "pids": {"limit": 5}});
        });
        let found = controllers(&plan);
        assert_eq!(
            found.iter().map(Error::to_string).collect::<Vec<_>>(),
            ["linux.resources.memory.limit: the cgroup controller memory is not available"]
        );
    }

    #[test]
    fn limits_and_capabilities_are_those_of_the_caller() {
        let dir = tempfile::tempdir().unwrap();
        let own = limit::hard(nix::sys::resource::Resource::RLIMIT_NOFILE as u32).unwrap();
        let plan = plan(dir.path(), "/sys/fs/cgroup", |config| {
            config["process"]["capabilities"] =
                json!({"permitted": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_KILL"]});
            config["process"]["rlimits"] = json!([
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                {"type": "RLIMIT_NOFILE", "soft": 1, "hard": own.saturating_add(1)},
            ]);
        });
        let kill = caps::Capability::CAP_KILL.bitmask();
        let found = capabilities(&plan, kill);
        assert_eq!(found[0].to_string(), "process.capabilities.permitted: the caller does not hold CAP_CHOWN");
        assert_eq!(found.len(), 1);
        let may = caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_SYS_RESOURCE).unwrap();
        let expected: &[&str] = if may || own == u64::MAX { &[] } else { &["process.rlimits[1].hard"] };
        assert_eq!(locations(limits(&plan)), expected);
    }

    #[test]
    fn an_old_kernel_lacks_what_it_lacks() {
        let lacking = |release| missing_features(release).iter().map(Error::to_string).collect::<Vec<_>>();
        assert_eq!(lacking("5.12.0-1-amd64"), [""; 0]);
        assert_eq!(lacking("6.1.0+"), [""; 0]);
        assert_eq!(lacking("5.10.0-9-amd64"), [""; 0]);
        assert_eq!(lacking("5.8.0-9-amd64"), ["close_range(2) needs Linux 5.9, this is 5.8.0-9-amd64"]);
        assert_eq!(lacking("4.19.0").len(), 3);
        assert_eq!(lacking("unknown"), [""; 0]);
    }
}
