//! The plan as text.

use super::{DeviceNode, MountAction, MountStep, Plan};
use crate::spec::{CapSet, DeviceKind, Hook, IdMap, MountAttrs, MountIdMap, Propagation, PropagationKind};
use std::fmt::{self, Display, Formatter, Write as _};

/// Writes a line. Whatever the configuration says stays on it: a name with an escape sequence must not move the cursor
/// of the terminal that the plan is read on, nor a line break make up a step.
macro_rules! line {
    ($f:expr, $($argument:tt)*) => {
        Visible($f).write_fmt(format_args!($($argument)*)).and_then(|()| $f.write_char('\n'))
    };
}

/// Escapes what cannot be seen.
struct Visible<'a, 'f>(&'a mut Formatter<'f>);

impl fmt::Write for Visible<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c.is_control() {
            true => write!(self.0, "{}", c.escape_default()),
            false => self.0.write_char(c),
        })
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        line!(f, "container {} (runtime-spec {})", self.identity.id, self.identity.oci_version)?;
        line!(f, "  bundle {}", self.identity.bundle)?;
        optional(f, "hostname", self.identity.hostname.as_deref())?;
        optional(f, "domainname", self.identity.domainname.as_deref())?;
        self.namespaces(f)?;
        self.cgroups(f)?;
        self.caches(f)?;
        self.root(f)?;
        line!(f, "mounts")?;
        for step in &self.mounts {
            line!(f, "  {step}")?;
        }
        for step in self.readonly_late() {
            line!(f, "  mounts[{}]: {} becomes read-only when everything is in it", step.index, step.target)?;
        }
        self.files(f)?;
        self.privileges(f)?;
        self.program(f)?;
        self.hooks(f)?;
        for warning in &self.warnings {
            line!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

impl Plan {
    fn namespaces(&self, f: &mut Formatter<'_>) -> fmt::Result {
        line!(f, "namespaces")?;
        let names: Vec<&str> = self.namespaces.new.iter().map(|kind| kind.name()).collect();
        line!(f, "  new: {}", names.join(" "))?;
        for join in &self.namespaces.join {
            line!(f, "  join: {} {}", join.kind.name(), join.path)?;
        }
        mappings(f, "uid", &self.namespaces.uid_mappings)?;
        mappings(f, "gid", &self.namespaces.gid_mappings)?;
        for offset in &self.namespaces.time_offsets {
            line!(f, "  {} clock {:+}.{:09} s", offset.clock, offset.secs, offset.nanosecs)?;
        }
        if self.namespaces.set_groups { Ok(()) } else { line!(f, "  setgroups is denied") }
    }

    fn cgroups(&self, f: &mut Formatter<'_>) -> fmt::Result {
        line!(f, "cgroups")?;
        if let Some(owner) = self.cgroup.owner.filter(|&owner| owner != 0) {
            line!(f, "  given to the user {owner}")?;
        }
        let directories: Vec<_> = self.cgroup.paths.directories().collect();
        if directories.is_empty() {
            line!(f, "  those of the caller")?;
        }
        for (place, directory) in directories.iter().enumerate() {
            line!(f, "  {}", directory.absolute().display())?;
            // The device rules of version 1 are among the writes: below they are told for both versions alike.
            let limits = self.cgroup.writes.iter().filter(|write| !write.file.starts_with("devices."));
            for write in limits.filter(|write| write.directory == place) {
                line!(f, "    {} = {} ({})", write.file, write.value, write.location)?;
            }
        }
        let (rule, exceptions) = match self.cgroup.devices.allow_by_default {
            true => ("all are allowed", "but denied:"),
            false => ("all are denied", "but allowed:"),
        };
        line!(f, "device access")?;
        line!(f, "  {rule}")?;
        if self.cgroup.devices.exceptions.is_empty() {
            return Ok(());
        }
        line!(f, "  {exceptions}")?;
        self.cgroup.devices.exceptions.iter().try_for_each(|exception| line!(f, "    {exception}"))
    }

    fn caches(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(plan) = &self.resctrl else { return Ok(()) };
        line!(f, "caches and memory bandwidth")?;
        line!(f, "  {}{}", plan.group, if plan.own { "" } else { " (shared)" })?;
        plan.schemata.iter().try_for_each(|schema| line!(f, "    {schema}"))?;
        optional(f, "counted by", plan.monitor.as_deref())
    }

    fn root(&self, f: &mut Formatter<'_>) -> fmt::Result {
        line!(f, "rootfs")?;
        line!(f, "  {}{}", self.rootfs.path, if self.rootfs.readonly { " (read-only)" } else { "" })?;
        if !self.namespaces.has_mount_namespace() {
            return line!(f, "  chroot, among the caller's own mounts");
        }
        let propagation = Propagation { kind: self.rootfs.propagation, recursive: self.rootfs.propagation_recursive };
        line!(f, "  propagation {propagation}")?;
        let how = if self.choices.no_pivot { "moved over / (no pivot)" } else { "pivot_root" };
        line!(f, "  {how}")
    }

    fn files(&self, f: &mut Formatter<'_>) -> fmt::Result {
        line!(f, "devices{}", if self.devices.bind { " (bound from the host)" } else { "" })?;
        for node in &self.devices.nodes {
            let (uid, gid, mode) = (node.uid, node.gid, node.mode);
            line!(f, "  {} {}, mode {mode:04o}, owner {uid}:{gid}", node.path, node_kind(node))?;
        }
        for link in &self.devices.links {
            let condition = link.only_if.map_or(String::new(), |path| format!(" (if the host has {path})"));
            line!(f, "  {} -> {}{condition}", link.path, link.target)?;
        }
        list(f, "read-only paths", &self.readonly_paths)?;
        list(f, "masked paths", &self.masked_paths)?;
        let sysctl: Vec<String> = self.sysctl.iter().map(|(path, value)| format!("{path} = {value}")).collect();
        list(f, "sysctl", &sysctl)?;
        let devices = self.net_devices.iter().map(|device| format!("{} becomes {}", device.host_name, device.name));
        list(f, "network devices", &devices.collect::<Vec<_>>())
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
        for (name, label) in
            [("AppArmor profile", &self.process.apparmor_profile), ("SELinux label", &self.process.selinux_label)]
        {
            optional(f, name, label.as_deref())?;
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
        line!(f, "program")?;
        line!(f, "  {:?}", process.args)?;
        let user = &process.user;
        line!(f, "  in {} as {}:{}", process.cwd, user.uid, user.gid)?;
        if !user.additional_gids.is_empty() {
            line!(f, "  additional groups {:?}", user.additional_gids)?;
        }
        line!(f, "  umask {:04o}", user.umask.unwrap_or(0o022))?;
        for variable in &process.env {
            line!(f, "  env {variable}")?;
        }
        for rlimit in &process.rlimits {
            line!(f, "  {} soft {}, hard {}", rlimit.name, Limit(rlimit.soft), Limit(rlimit.hard))?;
        }
        if let Some(score) = process.oom_score_adj {
            line!(f, "  oom_score_adj {score}")?;
        }
        self.scheduling(f)?;
        self.descriptors(f)
    }

    fn scheduling(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(scheduler) = &self.process.scheduler {
            line!(f, "  scheduler {scheduler}")?;
        }
        if let Some(priority) = &self.process.io_priority {
            line!(f, "  I/O priority {} {}", priority.class, priority.level)?;
        }
        if let Some(affinity) = &self.process.exec_cpu_affinity {
            let cpus =
                |set: &Option<crate::spec::CpuSet>| set.as_ref().map_or("as they are".into(), |set| set.text.clone());
            line!(f, "  CPUs of exec: first {}, then {}", cpus(&affinity.initial), cpus(&affinity.last))?;
        }
        if let Some(personality) = &self.personality {
            line!(f, "  personality {}", personality.domain)?;
        }
        let Some(policy) = &self.memory_policy else { return Ok(()) };
        let flags: String = policy.flags.iter().map(|flag| format!(" {flag}")).collect();
        let nodes = policy.nodes.as_ref().map_or(String::new(), |nodes| format!(" of nodes {}", nodes.text));
        line!(f, "  memory policy {}{flags}{nodes}", policy.name)
    }

    fn descriptors(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (sockets, others) = (self.choices.listen_fds, self.choices.preserve_fds);
        if sockets > 0 {
            line!(f, "  descriptors of socket activation: {sockets}")?;
        }
        if others > 0 {
            line!(f, "  other descriptors passed on: {others}")?;
        }
        match (self.process.terminal, self.process.console_size) {
            (true, Some(size)) => line!(f, "  on a terminal of its own, {} columns, {} rows", size.width, size.height),
            (true, None) => line!(f, "  on a terminal of its own"),
            (false, _) => Ok(()),
        }
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
    value.map_or(Ok(()), |value| line!(f, "  {name} {value}"))
}

fn list(f: &mut Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    line!(f, "{title}")?;
    lines.iter().try_for_each(|line| line!(f, "  {line}"))
}

fn mappings(f: &mut Formatter<'_>, name: &str, maps: &[IdMap]) -> fmt::Result {
    maps.iter().try_for_each(|map| {
        let (inside, outside) = (Range(map.inside, map.size), Range(map.outside, map.size));
        line!(f, "  {name} {inside} is {outside} outside")
    })
}

/// So many ids from the first one on.
struct Range(u32, u32);

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.1 {
            0 | 1 => write!(f, "{}", self.0),
            size => write!(f, "{}-{}", self.0, u64::from(self.0) + u64::from(size) - 1),
        }
    }
}

/// A resource limit.
struct Limit(u64);

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 == u64::MAX { f.write_str("unlimited") } else { write!(f, "{}", self.0) }
    }
}

impl Display for crate::spec::Scheduler {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.nice != 0 {
            write!(f, ", nice {}", self.nice)?;
        }
        if self.priority != 0 {
            write!(f, ", priority {}", self.priority)?;
        }
        if self.runtime | self.deadline | self.period != 0 {
            write!(f, ", runtime {} ns, deadline {} ns, period {} ns", self.runtime, self.deadline, self.period)?;
        }
        if self.flags != 0 { write!(f, ", flags {:#x}", self.flags) } else { Ok(()) }
    }
}

/// What `mknod(1)` calls it, with the numbers where it has some.
fn node_kind(node: &DeviceNode) -> String {
    let (major, minor) = (node.major, node.minor);
    match node.kind {
        DeviceKind::Char => format!("character device {major}:{minor}"),
        DeviceKind::Block => format!("block device {major}:{minor}"),
        DeviceKind::Fifo => "FIFO".to_owned(),
    }
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

fn id_map(map: &MountIdMap) -> String {
    let ids = |name: &str, extents: &[IdMap]| {
        let extents = extents.iter().map(|map| format!("{}:{}:{}", map.inside, map.outside, map.size));
        format!("{name} {}", extents.collect::<Vec<_>>().join(" "))
    };
    let which = match map.uids.is_empty() {
        true => "as in the user namespace".to_owned(),
        false => format!("{}, {}", ids("uid", &map.uids), ids("gid", &map.gids)),
    };
    format!("ids mapped{} {which}", if map.recursive { " for the whole tree" } else { "" })
}

impl MountStep {
    /// What the step does, as in `bind /src on /data`.
    pub fn operation(&self) -> String {
        let target = &self.target;
        match &self.action {
            MountAction::Filesystem { fstype, .. } => format!("mount {fstype} on {target}"),
            MountAction::Bind { source, .. } => format!("bind {source} on {target}"),
            MountAction::Symlink { to } => format!("link {target} to {to}"),
            MountAction::Remount { .. } | MountAction::Reconfigure { .. } => format!("remount {target}"),
        }
    }
}

impl Display for MountStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "mounts[{}]: {}", self.index, self.operation())?;
        let mut notes = Vec::new();
        match &self.action {
            MountAction::Filesystem { flags, data, copy_up, recursive_attrs, propagation, context, .. } => {
                notes.extend(flag_names(*flags).into_iter().map(str::to_owned));
                notes.extend(data.split(',').filter(|option| !option.is_empty()).map(str::to_owned));
                notes.extend(context.as_ref().map(|context| format!("SELinux context {context}")));
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
            MountAction::Remount { attrs, exact } => {
                notes.extend(attributes("", *attrs));
                notes.extend(exact.then(|| "nothing else".to_owned()));
            }
            MountAction::Reconfigure { flags, data, recursive_attrs, propagation } => {
                notes.extend(flag_names(*flags).into_iter().map(str::to_owned));
                notes.extend(data.split(',').filter(|option| !option.is_empty()).map(str::to_owned));
                notes.extend(attributes("r", *recursive_attrs));
                notes.extend(propagation.iter().map(Propagation::to_string));
            }
            MountAction::Symlink { .. } => {}
        }
        notes.extend(self.id_map.as_ref().map(id_map));
        if notes.is_empty() { Ok(()) } else { write!(f, " ({})", notes.join(", ")) }
    }
}
