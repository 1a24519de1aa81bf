//! The plan as text.

use super::{MountAction, MountStep, Plan};
use crate::spec::{CapSet, Hook, IdMap, MountAttrs, Propagation, PropagationKind};
use std::fmt::{self, Display, Formatter, Write as _};

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "container {} (runtime-spec {})", self.identity.id, self.identity.oci_version)?;
        writeln!(f, "  bundle {}", self.identity.bundle)?;
        optional(f, "hostname", self.identity.hostname.as_deref())?;
        optional(f, "domainname", self.identity.domainname.as_deref())?;
        self.namespaces(f)?;
        self.cgroups(f)?;
        self.root(f)?;
        writeln!(f, "mounts")?;
        for step in &self.mounts {
            writeln!(f, "  {step}")?;
        }
        self.files(f)?;
        self.privileges(f)?;
        self.program(f)?;
        self.hooks(f)?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

impl Plan {
    fn namespaces(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "namespaces")?;
        let names: Vec<&str> = self.namespaces.new.iter().map(|kind| kind.name()).collect();
        writeln!(f, "  new: {}", names.join(" "))?;
        for join in &self.namespaces.join {
            writeln!(f, "  join: {} {}", join.kind.name(), join.path)?;
        }
        mappings(f, "uid", &self.namespaces.uid_mappings)?;
        mappings(f, "gid", &self.namespaces.gid_mappings)
    }

    fn cgroups(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "cgroups")?;
        for directory in self.cgroup.paths.directories() {
            writeln!(f, "  {}", directory.absolute().display())?;
        }
        for write in &self.cgroup.writes {
            writeln!(f, "  {} = {} ({})", write.file, write.value, write.location)?;
        }
        Ok(())
    }

    fn root(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "rootfs")?;
        writeln!(f, "  {}{}", self.rootfs.path, if self.rootfs.readonly { " (read-only)" } else { "" })?;
        let propagation = Propagation { kind: self.rootfs.propagation, recursive: self.rootfs.propagation_recursive };
        writeln!(f, "  propagation {propagation}")?;
        let how = if self.choices.no_pivot { "moved over / (no pivot)" } else { "pivot_root" };
        writeln!(f, "  {how}")
    }

    fn files(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "devices{}", if self.devices.bind { " (bound from the host)" } else { "" })?;
        for node in &self.devices.nodes {
            let (uid, gid) = (node.uid, node.gid);
            writeln!(
                f,
                "  {} {:?} {}:{} mode {:o} owner {uid}:{gid}",
                node.path, node.kind, node.major, node.minor, node.mode
            )?;
        }
        for link in &self.devices.links {
            writeln!(f, "  {} -> {}", link.path, link.target)?;
        }
        list(f, "read-only paths", &self.readonly_paths)?;
        list(f, "masked paths", &self.masked_paths)?;
        let sysctl: Vec<String> = self.sysctl.iter().map(|(path, value)| format!("{path} = {value}")).collect();
        list(f, "sysctl", &sysctl)
    }

    fn privileges(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sets = &self.security.capabilities;
        writeln!(f, "privileges")?;
        for (name, set) in [
            ("bounding", sets.bounding),
            ("effective", sets.effective),
            ("permitted", sets.permitted),
            ("inheritable", sets.inheritable),
            ("ambient", sets.ambient),
        ] {
            writeln!(f, "  {name}: {}", Names(set))?;
        }
        match &self.security.seccomp {
            Some(filter) => writeln!(f, "  seccomp: {} instructions, flags {:#x}", filter.program.len(), filter.flags)?,
            None => writeln!(f, "  seccomp: none")?,
        }
        writeln!(f, "  no new privileges: {}", self.security.no_new_privileges)?;
        writeln!(f, "  session keyring: {}", if self.security.new_keyring { "new" } else { "the caller's" })
    }

    fn program(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let process = &self.process;
        writeln!(f, "program")?;
        writeln!(f, "  {:?}", process.args)?;
        writeln!(
            f,
            "  in {} as {}:{} groups {:?}",
            process.cwd, process.user.uid, process.user.gid, process.user.additional_gids
        )?;
        writeln!(f, "  umask {:04o}", process.user.umask.unwrap_or(0o022))?;
        for variable in &process.env {
            writeln!(f, "  env {variable}")?;
        }
        for rlimit in &process.rlimits {
            writeln!(f, "  {} soft {} hard {}", rlimit.name, rlimit.soft, rlimit.hard)?;
        }
        if let Some(score) = process.oom_score_adj {
            writeln!(f, "  oom_score_adj {score}")?;
        }
        if process.terminal { writeln!(f, "  on a terminal of its own") } else { Ok(()) }
    }

    fn hooks(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let hooks = &self.hooks;
        for (name, hooks) in [
            ("prestart", &hooks.prestart),
            ("createRuntime", &hooks.create_runtime),
            ("createContainer", &hooks.create_container),
            ("startContainer", &hooks.start_container),
            ("poststart", &hooks.poststart),
            ("poststop", &hooks.poststop),
        ] {
            let lines: Vec<String> = hooks.iter().map(hook_line).collect();
            list(f, &format!("{name} hooks"), &lines)?;
        }
        Ok(())
    }
}

fn hook_line(hook: &Hook) -> String {
    let timeout = hook.timeout.map_or(String::new(), |seconds| format!(" within {seconds} s"));
    format!("{} {:?}{timeout}", hook.path, hook.args)
}

fn optional(f: &mut Formatter<'_>, name: &str, value: Option<&str>) -> fmt::Result {
    value.map_or(Ok(()), |value| writeln!(f, "  {name} {value}"))
}

fn list(f: &mut Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}")?;
    lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
}

fn mappings(f: &mut Formatter<'_>, name: &str, maps: &[IdMap]) -> fmt::Result {
    maps.iter().try_for_each(|map| writeln!(f, "  {name} {} is {} outside, {} ids", map.inside, map.outside, map.size))
}

struct Names(CapSet);

impl Display for Names {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (place, name) in self.0.names().enumerate() {
            if place > 0 {
                f.write_char(' ')?;
            }
            f.write_str(&name)?;
        }
        if self.0.0 == 0 { f.write_str("none") } else { Ok(()) }
    }
}

impl Display for Propagation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.recursive {
            f.write_char('r')?;
        }
        f.write_str(match self.kind {
            PropagationKind::Shared => "shared",
            PropagationKind::Slave => "slave",
            PropagationKind::Private => "private",
            PropagationKind::Unbindable => "unbindable",
        })
    }
}

/// The names of `MS_*` flags as `mount(8)` has them.
const FLAG_NAMES: [(u64, &str); 17] = [
    (libc::MS_RDONLY, "ro"),
    (libc::MS_NOSUID, "nosuid"),
    (libc::MS_NODEV, "nodev"),
    (libc::MS_NOEXEC, "noexec"),
    (libc::MS_SYNCHRONOUS, "sync"),
    (libc::MS_MANDLOCK, "mand"),
    (libc::MS_DIRSYNC, "dirsync"),
    (256, "nosymfollow"),
    (libc::MS_NOATIME, "noatime"),
    (libc::MS_NODIRATIME, "nodiratime"),
    (libc::MS_SILENT, "silent"),
    (libc::MS_POSIXACL, "acl"),
    (libc::MS_RELATIME, "relatime"),
    (libc::MS_I_VERSION, "iversion"),
    (libc::MS_STRICTATIME, "strictatime"),
    (libc::MS_LAZYTIME, "lazytime"),
    (libc::MS_REMOUNT, "remount"),
];

fn flag_names(flags: u64) -> Vec<&'static str> {
    FLAG_NAMES.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name).collect()
}

fn attributes(prefix: &str, attrs: MountAttrs) -> Vec<String> {
    let set = flag_names(attrs.set).into_iter().map(|name| format!("{prefix}{name}"));
    set.chain(flag_names(attrs.clear).into_iter().map(|name| format!("not {prefix}{name}"))).collect()
}

impl MountStep {
    /// What the step does, as in `bind /src on /data`.
    pub fn operation(&self) -> String {
        let target = &self.target;
        match &self.action {
            MountAction::Filesystem { fstype, .. } => format!("mount {fstype} on {target}"),
            MountAction::Bind { source, .. } => format!("bind {source} on {target}"),
            MountAction::Symlink { to } => format!("link {target} to {to}"),
            MountAction::Remount { .. } => format!("remount {target}"),
        }
    }
}

impl Display for MountStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "mounts[{}]: {}", self.index, self.operation())?;
        let mut notes = Vec::new();
        match &self.action {
            MountAction::Filesystem { flags, data, copy_up, recursive_attrs, propagation, .. } => {
                notes.extend(flag_names(*flags).into_iter().map(str::to_owned));
                notes.extend(data.split(',').filter(|option| !option.is_empty()).map(str::to_owned));
                notes.extend(copy_up.then(|| "copy-up".to_owned()));
                notes.extend(attributes("r", *recursive_attrs));
                notes.extend(propagation.iter().map(Propagation::to_string));
            }
            MountAction::Bind { recursive, attrs, recursive_attrs, propagation, .. } => {
                notes.extend(recursive.then(|| "recursive".to_owned()));
                notes.extend(attributes("", *attrs));
                notes.extend(attributes("r", *recursive_attrs));
                notes.extend(propagation.iter().map(Propagation::to_string));
            }
            MountAction::Remount { attrs } => notes.extend(attributes("", *attrs)),
            MountAction::Symlink { .. } => {}
        }
        if notes.is_empty() { Ok(()) } else { write!(f, " ({})", notes.join(", ")) }
    }
}
