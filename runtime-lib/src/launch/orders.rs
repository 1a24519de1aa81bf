//! The plan in the words of the init.

mod mounts;

use super::wire::{self, FdIndex, List, Sink, Wire};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::seccomp::Filter;
use crate::spec::{self, DeviceKind, Hook, NamespaceKind, Propagation, PropagationKind};
use mounts::propagation_flags;
use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;

/// The descriptors that go with the orders.
#[derive(Default)]
pub(super) struct Fds<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Fds<'a> {
    /// Adds one and gives its place.
    pub(super) fn add(&mut self, fd: BorrowedFd<'a>) -> FdIndex {
        self.0.push(fd);
        (self.0.len() - 1) as FdIndex
    }

    /// All of them, in order.
    pub(super) fn all(&self) -> &[BorrowedFd<'a>] {
        &self.0
    }
}

/// The places of the descriptors that the orders speak of.
#[derive(Default)]
pub(super) struct Places {
    pub(super) join: Vec<FdIndex>,
    /// The process to enter the container of, and the kinds of its namespaces.
    pub(super) of: Option<(FdIndex, u64)>,
    /// Mounts that the launcher has made, by the place of their step.
    pub(super) trees: Vec<(usize, FdIndex)>,
    pub(super) console: Option<FdIndex>,
    pub(super) plain_newlines: bool,
    pub(super) stdio: [Option<FdIndex>; 3],
    pub(super) preserved: Vec<FdIndex>,
    pub(super) fifo: Option<FdIndex>,
    pub(super) report: Option<FdIndex>,
    pub(super) hook_output: Option<FdIndex>,
}

/// Which sides wait for each other where the orders leave a choice.
pub(super) struct HandOffs {
    /// The launcher joins the cgroups while the init works, and says when that is done.
    pub(super) cgroup_wait: bool,
    /// What the init does depends on the limits: they are made before that is said.
    pub(super) limits_first: bool,
    /// The launcher is not root: it can write id mappings only of a process that is dumpable.
    pub(super) unprivileged: bool,
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Validation refuses NUL bytes; one that got through is a bug of ours.
pub(super) fn c(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new(ErrorKind::Internal, format!("a NUL byte in {text:?}")))
}

/// Items encoded one after another.
pub(super) struct Encoded(u32, Vec<u8>);

impl Encoded {
    fn of<T>(items: &[T], mut each: impl FnMut(&T, &mut Vec<u8>) -> Result<()>) -> Result<Encoded> {
        let mut bytes = Vec::new();
        items.iter().try_for_each(|item| each(item, &mut bytes))?;
        Ok(Encoded(items.len() as u32, bytes))
    }

    fn strings<T: AsRef<str>>(items: &[T]) -> Result<Encoded> {
        Encoded::of(items, |item, sink| {
            c(item.as_ref())?.as_c_str().put(sink);
            Ok(())
        })
    }

    fn numbers(items: &[u32]) -> Result<Encoded> {
        Encoded::of(items, |item, sink| {
            item.put(sink);
            Ok(())
        })
    }

    fn list<'a, T: Wire<'a>>(&'a self) -> List<'a, T> {
        List::encoded(self.0, &self.1)
    }
}

/// Encodes everything the init has to know.
pub(super) fn encode(plan: &Plan, places: &Places, hand_offs: &HandOffs) -> Result<Vec<u8>> {
    let text = Strings::of(plan)?;
    let lists = Lists::of(plan, places)?;
    let (creating, created, rest) = hook_states(plan)?;
    let filter = plan.security.seccomp.as_ref().map(Filter::to_bytes).unwrap_or_default();
    let (process, identity) = (&plan.process, &plan.identity);
    let orders = wire::Orders {
        namespaces: namespaces(plan, &lists, places, hand_offs),
        enter: places.of.is_some(),
        oom_score_adj: text.oom_score_adj.as_deref(),
        keyring: text.keyring.as_deref(),
        rootfs: rootfs(plan, &text.rootfs),
        mounts: lists.mounts.list(),
        devices: lists.devices.list(),
        links: lists.links.list(),
        runtime_hooks: !(plan.hooks.prestart.is_empty() && plan.hooks.create_runtime.is_empty()),
        create_container_hooks: lists.create_container.list(),
        start_container_hooks: lists.start_container.list(),
        hook_state: wire::HookState { creating: &creating, created: &created, rest: &rest, output: places.hook_output },
        console: places.console.map(|socket| wire::Console {
            socket,
            width: process.console_size.map_or(0, |size| size.width),
            height: process.console_size.map_or(0, |size| size.height),
            plain_newlines: places.plain_newlines,
        }),
        hostname: identity.hostname.as_ref().map(|_| text.hostname.as_c_str()),
        domainname: identity.domainname.as_ref().map(|_| text.domainname.as_c_str()),
        sysctl: lists.sysctl.list(),
        readonly_late: lists.readonly_late.list(),
        readonly_paths: lists.readonly_paths.list(),
        masked_paths: lists.masked_paths.list(),
        mask_context: text.mask_context.as_deref(),
        rlimits: lists.rlimits.list(),
        scheduling: scheduling(plan, &lists),
        security: security(plan, &text, &filter),
        program: program(plan, &lists, &text, places),
        start: wire::Start { fifo: places.fifo, report: places.report },
    };
    let mut bytes = vec![0; wire::PREFIX];
    orders.put(&mut bytes);
    let length = (bytes.len() - wire::PREFIX) as u64;
    if length > wire::ORDERS_LIMIT {
        return Err(Error::new(ErrorKind::InvalidConfig, "the configuration is too large"));
    }
    bytes.splice(..wire::PREFIX, length.to_le_bytes());
    Ok(bytes)
}

struct Strings {
    oom_score_adj: Option<CString>,
    keyring: Option<CString>,
    apparmor: Option<CString>,
    selinux: Option<CString>,
    mask_context: Option<CString>,
    rootfs: CString,
    hostname: CString,
    domainname: CString,
    search_path: CString,
    cwd: CString,
}

impl Strings {
    fn of(plan: &Plan) -> Result<Strings> {
        let id = &plan.identity;
        let path = plan.process.env.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
        Ok(Strings {
            oom_score_adj: plan.process.oom_score_adj.map(|score| c(&score.to_string())).transpose()?,
            keyring: plan.security.new_keyring.then(|| c(&format!("_ses.{}", id.id))).transpose()?,
            apparmor: plan.process.apparmor_profile.as_deref().map(c).transpose()?,
            selinux: plan.process.selinux_label.as_deref().map(c).transpose()?,
            mask_context: plan.mask_context.as_deref().map(c).transpose()?,
            rootfs: c(&plan.rootfs.path)?,
            hostname: c(id.hostname.as_deref().unwrap_or_default())?,
            domainname: c(id.domainname.as_deref().unwrap_or_default())?,
            search_path: c(path.unwrap_or_default())?,
            cwd: c(&plan.process.cwd)?,
        })
    }
}

struct Lists {
    join: Encoded,
    time_offsets: String,
    mounts: Encoded,
    devices: Encoded,
    links: Encoded,
    create_container: Encoded,
    start_container: Encoded,
    sysctl: Encoded,
    readonly_late: Encoded,
    readonly_paths: Encoded,
    masked_paths: Encoded,
    args: Encoded,
    env: Encoded,
    groups: Encoded,
    preserved: Encoded,
    rlimits: Encoded,
    nodes: Encoded,
}

impl Lists {
    fn of(plan: &Plan, places: &Places) -> Result<Lists> {
        let sysctl: Vec<_> = plan.sysctl.iter().collect();
        Ok(Lists {
            join: Encoded::numbers(&places.join)?,
            time_offsets: time_offsets(&plan.namespaces.time_offsets),
            mounts: mounts::encode(&plan.mounts, &places.trees)?,
            devices: Encoded::of(&plan.devices.nodes, |node, sink| {
                let kind = match node.kind {
                    DeviceKind::Char => libc::S_IFCHR,
                    DeviceKind::Block => libc::S_IFBLK,
                    DeviceKind::Fifo => libc::S_IFIFO,
                };
                // The kernel's own 32-bit form: 12 bits of major in the middle of 20 of minor.
                let device = (node.minor & 0xff) | (node.major << 8) | ((node.minor & !0xff) << 12);
                let (path, mode) = (c(&node.path)?, kind | node.mode);
                wire::Device { path: &path, mode, device, uid: node.uid, gid: node.gid }.put(sink);
                Ok(())
            })?,
            links: Encoded::of(&plan.devices.links, |link, sink| {
                let (target, path, only_if) = (c(link.target)?, c(link.path)?, link.only_if.map(c).transpose()?);
                wire::Link { target: &target, path: &path, only_if: only_if.as_deref(), replace: link.replace }
                    .put(sink);
                Ok(())
            })?,
            create_container: Encoded::of(&plan.hooks.create_container, hook)?,
            start_container: Encoded::of(&plan.hooks.start_container, hook)?,
            sysctl: Encoded::of(&sysctl, |(path, value), sink| {
                let (path, value) = (c(&spec::sysctl::path(path))?, c(value)?);
                wire::Sysctl { path: &path, value: &value }.put(sink);
                Ok(())
            })?,
            readonly_late: Encoded::strings(&plan.readonly_late().map(|step| &step.target).collect::<Vec<_>>())?,
            readonly_paths: Encoded::strings(&plan.readonly_paths)?,
            masked_paths: Encoded::strings(&plan.masked_paths)?,
            args: Encoded::strings(&plan.process.args)?,
            env: Encoded::strings(&plan.process.env)?,
            groups: Encoded::numbers(&plan.process.user.additional_gids)?,
            preserved: Encoded::numbers(&places.preserved)?,
            rlimits: Encoded::of(own_limits(plan), |limit, sink| {
                wire::Rlimit { resource: limit.resource, soft: limit.soft, hard: limit.hard }.put(sink);
                Ok(())
            })?,
            nodes: Encoded::of(nodes(plan), |word, sink| {
                word.put(sink);
                Ok(())
            })?,
        })
    }
}

/// The limits that the init sets itself. In a user namespace it has no right to raise any.
fn own_limits(plan: &Plan) -> &[spec::Rlimit] {
    if plan.namespaces.has_user_namespace() { &[] } else { &plan.process.rlimits }
}

fn namespaces<'a>(plan: &Plan, lists: &'a Lists, places: &Places, hand_offs: &HandOffs) -> wire::Namespaces<'a> {
    let namespaces = &plan.namespaces;
    let forks = namespaces.forks();
    wire::Namespaces {
        join: lists.join.list(),
        of: places.of.map(|(process, _)| process),
        of_kinds: places.of.map_or(0, |(_, kinds)| kinds),
        fork: forks.first,
        late: forks.late,
        time: forks.time.map(|flags| wire::Time { offsets: lists.time_offsets.as_bytes(), flags }),
        mapped: namespaces.is_new(NamespaceKind::User),
        hide_late: namespaces.is_new(NamespaceKind::User) && hand_offs.unprivileged,
        become_root: namespaces.has_user_namespace(),
        root_uid: namespaces.root_uid,
        root_gid: namespaces.root_gid,
        network: namespaces.is_new(NamespaceKind::Network),
        cgroup: namespaces.is_new(NamespaceKind::Cgroup),
        cgroup_wait: hand_offs.cgroup_wait,
    }
}

/// As `/proc/PID/timens_offsets` takes them, see `time_namespaces(7)`.
fn time_offsets(offsets: &[spec::TimeOffset]) -> String {
    offsets.iter().map(|offset| format!("{} {} {}\n", offset.clock, offset.secs, offset.nanosecs)).collect()
}

fn rootfs<'a>(plan: &Plan, path: &'a CStr) -> wire::Rootfs<'a> {
    let rootfs = &plan.rootfs;
    let propagation = Propagation { kind: rootfs.propagation, recursive: rootfs.propagation_recursive };
    // What is unbindable could not become the root either.
    let before = match rootfs.propagation {
        PropagationKind::Unbindable => Propagation { kind: PropagationKind::Private, ..propagation },
        _ => propagation,
    };
    let after = matches!(rootfs.propagation, PropagationKind::Shared | PropagationKind::Unbindable);
    wire::Rootfs {
        path,
        propagation: propagation_flags(before),
        own_propagation: if after { propagation_flags(propagation) } else { 0 },
        // What is not made private or a slave as a whole leaves the mount that holds the rootfs as shared as the host's.
        parent_private: rootfs.propagation == PropagationKind::Shared || !rootfs.propagation_recursive,
        host_mounts: !plan.namespaces.has_mount_namespace(),
        no_pivot: plan.choices.no_pivot,
        readonly: rootfs.readonly,
        bind_devices: plan.devices.bind,
    }
}

fn hook(hook: &Hook, sink: &mut Vec<u8>) -> Result<()> {
    let (path, args, env) = (c(&hook.path)?, Encoded::strings(&hook.args)?, Encoded::strings(&hook.env)?);
    wire::Hook { path: &path, args: args.list(), env: env.list(), timeout: hook.timeout.unwrap_or(0) }.put(sink);
    Ok(())
}

/// The state around the pid for hooks that the init runs; nothing if there are none.
fn hook_states(plan: &Plan) -> Result<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    if plan.hooks.create_container.is_empty() && plan.hooks.start_container.is_empty() {
        return Ok(Default::default());
    }
    let id = &plan.identity;
    let (version, name) = (json(&id.oci_version)?, json(&id.id)?);
    let (bundle, annotations) = (json(&id.bundle)?, json(&id.annotations)?);
    let before =
        |status| format!("{{\"ociVersion\":{version},\"id\":{name},\"status\":\"{status}\",\"pid\":").into_bytes();
    let annotations = if id.annotations.is_empty() { String::new() } else { format!(",\"annotations\":{annotations}") };
    Ok((before("creating"), before("created"), format!(",\"bundle\":{bundle}{annotations}}}").into_bytes()))
}

fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}

/// The bits of `linux.memoryPolicy.nodes`.
fn nodes(plan: &Plan) -> &[u64] {
    plan.memory_policy.as_ref().and_then(|policy| policy.nodes.as_ref()).map_or(&[], |nodes| &nodes.mask)
}

fn scheduling<'a>(plan: &Plan, lists: &'a Lists) -> wire::Scheduling<'a> {
    wire::Scheduling {
        scheduler: plan.process.scheduler.as_ref().map(|scheduler| wire::Scheduler {
            policy: scheduler.policy,
            flags: scheduler.flags,
            nice: scheduler.nice,
            priority: scheduler.priority,
            runtime: scheduler.runtime,
            deadline: scheduler.deadline,
            period: scheduler.period,
        }),
        io_priority: plan.process.io_priority.as_ref().map(|priority| priority.value),
        memory_mode: plan.memory_policy.as_ref().map(|policy| policy.mode),
        memory_nodes: lists.nodes.list(),
        personality: plan.personality.as_ref().map(|personality| personality.persona),
    }
}

fn security<'a>(plan: &Plan, text: &'a Strings, filter: &'a [u8]) -> wire::Security<'a> {
    let sets = &plan.security.capabilities;
    wire::Security {
        apparmor: text.apparmor.as_deref(),
        selinux: text.selinux.as_deref(),
        no_new_privileges: plan.security.no_new_privileges,
        bounding: sets.bounding.0,
        effective: sets.effective.0,
        inheritable: sets.inheritable.0,
        permitted: sets.permitted.0,
        ambient: sets.ambient.0,
        seccomp: filter,
        seccomp_flags: plan.security.seccomp.as_ref().map_or(0, |filter| filter.flags.into()),
        seccomp_listener: plan.security.seccomp.as_ref().is_some_and(|filter| filter.notify),
    }
}

fn program<'a>(plan: &Plan, lists: &'a Lists, text: &'a Strings, places: &Places) -> wire::Program<'a> {
    let process = &plan.process;
    let [stdin, stdout, stderr] = places.stdio;
    wire::Program {
        args: lists.args.list(),
        env: lists.env.list(),
        find_home: !process.env.iter().any(|variable| variable.starts_with("HOME=")),
        search_path: &text.search_path,
        cwd: &text.cwd,
        uid: process.user.uid,
        gid: process.user.gid,
        groups: lists.groups.list(),
        set_groups: plan.namespaces.set_groups,
        umask: process.user.umask.unwrap_or(0o022),
        stdin,
        stdout,
        stderr,
        preserved: lists.preserved.list(),
    }
}
