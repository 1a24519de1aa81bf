//! The parent half of a start: it clones the init, tells it what to do, and does what can only be done from outside.
//!
//! The steps are those of [`Phase`], in the same order as in the init's `steps.rs`; where the two meet, the
//! launcher's side is a method of [`Launch`] that takes the state before and gives the state after, so that a hand-off
//! cannot be left out or done twice.

mod enter;
pub(crate) mod hooks;
mod id_mapped;
mod idmap;
mod listener;
mod netdev;
mod orders;
mod report;
mod session;
mod sources;
mod undo;
#[allow(dead_code, unreachable_pub, reason = "the init's side of it is used there")]
#[path = "../../init/wire.rs"]
pub mod wire;
#[cfg(test)]
mod wire_tests;

pub(crate) use enter::{Target, enter};
pub(crate) use netdev::NetDevices;
pub(crate) use undo::Undo;

use crate::cgroup::Made;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Stopwatch;
use crate::plan::{Join, Plan};
use crate::resctrl::Group;
use crate::sys::clone::{Child, Exec, spawn};
use crate::sys::{memfd, namespace, pidfd, socket};
use hooks::HookState;
use nix::errno::Errno;
use session::{Session, follow_fork, take_over, time_report};
use std::ffi::CString;
use std::fs::File;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use wire::{Phase, word};

/// The init, as the build script made it.
static INIT: &[u8] = include_bytes!(env!("CORTEN_INIT"));

/// The descriptors that the program or the start needs.
pub(crate) struct Io<'a> {
    /// Standard input, output and error, where they are not the caller's own.
    pub(crate) stdio: [Option<BorrowedFd<'a>>; 3],
    /// Where the terminal's master goes.
    pub(crate) console_socket: Option<BorrowedFd<'a>>,
    /// The terminal leaves newlines as they are.
    pub(crate) plain_newlines: bool,
    /// The FIFO and the report file, when another process is going to start the program.
    pub(crate) start: Option<(BorrowedFd<'a>, BorrowedFd<'a>)>,
    /// To be passed on as 3, 4, …
    pub(crate) preserved: Vec<BorrowedFd<'a>>,
}

/// Where the container's processes belong.
pub(crate) struct Places<'a> {
    /// Its cgroups.
    pub(crate) made: &'a Made,
    /// Its share of caches and memory bandwidth.
    pub(crate) group: Option<&'a Group>,
    /// Measures the phases.
    pub(crate) watch: &'a Stopwatch<'a>,
}

/// The init has its orders; mounts and devices are under way.
pub(crate) enum Building {}
/// The hooks in the runtime's namespaces are done.
pub(crate) enum Hooked {}
/// The agent has the seccomp listener, if there is one.
pub(crate) enum Filtered {}
/// The init has done everything and waits.
pub(crate) enum Ready {}

/// A start under way, in the state `S`. Dropped before [`Launch::go`], it kills the init.
pub(crate) struct Launch<'a, S> {
    session: Session<'a>,
    state: PhantomData<S>,
}

/// Clones the init, gives it its orders, and brings it into its namespaces and cgroups.
///
/// # Errors
/// The clone, a namespace to join, an id mapping, a cgroup; the init's own first steps.
pub(crate) fn begin<'a>(
    plan: &'a Plan,
    io: &Io<'_>,
    into: &Places<'_>,
    privileged: bool,
) -> Result<Launch<'a, Building>> {
    let mut begun = try_to_begin(plan, io, into, privileged);
    for _ in 0..crate::cgroup::RACES {
        if begun.is_ok() || !into.made.has_lost_any() {
            break;
        }
        into.made.make_missing()?;
        begun = try_to_begin(plan, io, into, privileged);
    }
    begun
}

fn try_to_begin<'a>(plan: &'a Plan, io: &Io<'_>, into: &Places<'_>, privileged: bool) -> Result<Launch<'a, Building>> {
    let joined = open_namespaces(plan)?;
    let trees = id_mapped::make(plan, &joined, privileged)?;
    let hook_output = has_inner_hooks(plan).then(|| memfd::scratch(c"hook output")).transpose();
    let hook_output = hook_output.map_err(|errno| Error::os("create a file for hooks", errno))?;
    let into_cgroup = into.made.clone_fd()?;
    let new_cgroup = plan.namespaces.is_new(crate::spec::NamespaceKind::Cgroup);
    // Realtime scheduling takes a budget of the cgroup, and memory policies are relative to its nodes.
    // Hooks and sysctls of the init may be about network devices. Devices cannot be made while rules are written the first of which
    // forbids all; with systemd that is only when the init has joined.
    let scheduled = plan.process.scheduler.is_some() || plan.memory_policy.is_some();
    let limits_first = scheduled || !plan.net_devices.is_empty() || into.made.rules_after_join();
    // Hooks of the init must not run outside of the cgroups either, and what systemd makes is not there before.
    let needs_cgroup = new_cgroup || !plan.hooks.create_container.is_empty() || plan.cgroup.systemd.is_some();
    let mut hand_offs = orders::HandOffs {
        cgroup_wait: limits_first || into_cgroup.is_none() && needs_cgroup,
        limits_first,
        unprivileged: !privileged,
    };
    let (link, inner) = socket::pair().map_err(|errno| Error::os("create a socket pair", errno))?;
    let child = start_init(plan, &inner, into_cgroup.as_ref().map(AsFd::as_fd))?;
    drop(inner);
    into.watch.lap("clone and execute the init");
    let join = !child.in_cgroup;
    // A child that is not where it was to be cloned into waits until it is.
    hand_offs.cgroup_wait |= into_cgroup.is_some() && join && needs_cgroup;
    let mut session = Session::new(plan, link, child);
    let (bytes, fds) = prepare_orders(
        plan,
        io,
        &Prepared { joined: &joined, trees: &trees, ..Prepared::default() },
        hook_output.as_ref(),
        &hand_offs,
    )?;
    let sent = send_orders(&session.link, &bytes, fds.all());
    session.hook_output = hook_output;
    let brought = sent.and_then(|()| bring_in(&mut session, into, join, &hand_offs, privileged, &joined));
    into.watch.lap("orders, ids, cgroups and limits");
    match brought {
        Ok(()) => Ok(Launch { session, state: PhantomData }),
        Err(error) => Err(session.first_cause(error)),
    }
}

/// Brings the init into its namespaces and cgroups, and makes the limits, while it is at work.
fn bring_in(
    session: &mut Session<'_>,
    into: &Places<'_>,
    join: bool,
    hand_offs: &orders::HandOffs,
    privileged: bool,
    joined: &[OwnedFd],
) -> Result<()> {
    let plan = session.plan;
    let forks = plan.namespaces.forks();
    if forks.first.is_some() {
        follow_fork(session)?;
    }
    if plan.namespaces.is_new(crate::spec::NamespaceKind::User) {
        idmap::write(session.pid(), &plan.namespaces, privileged)?;
        session.say(word::MAPPED)?;
    }
    if forks.time.is_some() {
        let report = time_report(session)?;
        take_over(session, &report)?;
        session.say(word::FOLLOWED)?;
    }
    let made = into.made;
    if join {
        made.join(&plan.cgroup, session.pid())?;
    }
    if let Some(group) = into.group {
        group.join(session.pid())?;
    }
    if hand_offs.limits_first {
        made.apply_after_join(&plan.cgroup)?;
        move_net_devices(session, joined)?;
        return session.say(word::CGROUP_JOINED);
    }
    if hand_offs.cgroup_wait {
        session.say(word::CGROUP_JOINED)?;
    }
    // It must be done before anything of the container runs, and that is for us to allow.
    made.apply_after_join(&plan.cgroup)
}

/// Moves `linux.netDevices`, if there are any, to where the init is or will be.
fn move_net_devices(session: &mut Session<'_>, joined: &[OwnedFd]) -> Result<()> {
    let plan = session.plan;
    if plan.net_devices.is_empty() {
        return Ok(());
    }
    let place = plan.namespaces.join.iter().position(|join| join.kind == crate::spec::NamespaceKind::Network);
    let namespace = match (place.and_then(|place| joined.get(place)), &session.child) {
        (Some(namespace), _) => namespace.as_fd(),
        (None, Some(child)) => child.pidfd.as_fd(),
        (None, None) => return Err(Error::new(ErrorKind::Internal, "the init is gone")),
    };
    session.net_devices = Some(NetDevices::move_all(plan, namespace)?);
    Ok(())
}

impl<S> Launch<'_, S> {
    /// The init's pid.
    pub(crate) fn pid(&self) -> i32 {
        self.session.pid()
    }
}

impl<'a> Launch<'a, Building> {
    /// Runs the prestart and createRuntime hooks, once the mounts are there.
    ///
    /// # Errors
    /// A hook, or what the init did before.
    pub(crate) fn run_hooks(mut self) -> Result<Launch<'a, Hooked>> {
        let plan = self.session.plan;
        let hooks = &plan.hooks;
        if !(hooks.prestart.is_empty() && hooks.create_runtime.is_empty()) {
            self.session.reached(Phase::RuntimeHooks)?;
            let state = hook_state(plan, "creating", Some(self.session.pid()));
            hooks::run("prestart", &hooks.prestart, &state)?;
            hooks::run("createRuntime", &hooks.create_runtime, &state)?;
            self.session.say(word::HOOKS_DONE)?;
        }
        Ok(Launch { session: self.session, state: PhantomData })
    }
}

impl<'a> Launch<'a, Hooked> {
    /// Sends the seccomp listener to the agent, once the filter is loaded, with the container's status and first process.
    ///
    /// # Errors
    /// The agent; what the init did before.
    pub(crate) fn hand_listener_over(mut self, status: &str, first: i32) -> Result<Launch<'a, Filtered>> {
        let plan = self.session.plan;
        if let Some(filter) = plan.security.seccomp.as_ref().filter(|filter| filter.notify) {
            let report = self.session.reached(Phase::Seccomp)?;
            let pid = self.session.pid();
            let taken = self.session.take_fd(report.detail);
            let listener = taken.map_err(|error| self.session.first_cause(error))?;
            let state = hook_state(plan, status, Some(first));
            let state = listener::ProcessState::new(pid, filter.listener_metadata.as_deref(), state);
            listener::send(filter.listener_path.as_deref().unwrap_or_default(), &state, listener.as_fd())?;
            drop(listener);
            self.session.say(word::LISTENER_SENT)?;
        }
        Ok(Launch { session: self.session, state: PhantomData })
    }
}

impl<'a> Launch<'a, Filtered> {
    /// Waits until everything of the configuration is in effect.
    ///
    /// # Errors
    /// Whatever the init could not do; a limit.
    pub(crate) fn wait_ready(mut self) -> Result<Launch<'a, Ready>> {
        self.session.reached(Phase::Ready)?;
        set_limits(&self.session)?;
        Ok(Launch { session: self.session, state: PhantomData })
    }

    /// Lets the init go on into the program, and waits until it runs. The init does not wait for us then: it finds the
    /// word that lets it go on when it is ready, unless limits are to be set from outside first or the container is paused.
    /// Network devices that were moved go back with what is returned, unless they are to be kept.
    ///
    /// # Errors
    /// Whatever the init could not do, startContainer hooks and `execve(2)` included; a limit.
    pub(crate) fn go(mut self) -> Result<(Child, Option<NetDevices>)> {
        let plan = self.session.plan;
        let limits = plan.namespaces.has_user_namespace() && !plan.process.rlimits.is_empty();
        let at_once = !limits && !self.session.go_late;
        if at_once {
            self.session.say(word::GO)?;
        }
        self.session.reached(Phase::Ready)?;
        if !at_once {
            set_limits(&self.session)?;
            self.session.say(word::GO)?;
        }
        // The init's end of the socket closes when it executes the program.
        match self.session.hear()? {
            Some(report) => Err(self.session.failure(&report)),
            None => {
                let devices = self.session.net_devices.take();
                self.session.take_child().map(|child| (child, devices))
            }
        }
    }
}

impl Launch<'_, Ready> {
    /// Lets the init go on: to wait for a start by another process.
    ///
    /// # Errors
    /// The init is gone.
    pub(crate) fn leave(mut self) -> Result<Child> {
        self.session.say(word::GO)?;
        self.session.take_child()
    }
}

/// The limits that the init has no right to: in a user namespace it can raise none.
fn set_limits(session: &Session<'_>) -> Result<()> {
    let plan = session.plan;
    if !plan.namespaces.has_user_namespace() {
        return Ok(());
    }
    for (place, limit) in plan.process.rlimits.iter().enumerate() {
        pidfd::set_limit(session.pid(), limit.resource, limit.soft, limit.hard)
            .map_err(|errno| Error::os(report::limit_text(limit), errno).at(format!("process.rlimits[{place}]")))?;
    }
    Ok(())
}

/// The state for hooks in the runtime's namespaces.
pub(crate) fn hook_state<'a>(plan: &'a Plan, status: &'a str, pid: Option<i32>) -> HookState<'a> {
    let id = &plan.identity;
    HookState {
        oci_version: &id.oci_version,
        id: id.id.as_str(),
        status,
        pid,
        bundle: &id.bundle,
        annotations: &id.annotations,
    }
}

/// The error of a start whose init reported `bytes` after create had returned; none if it reported nothing.
pub(crate) fn late_failure(bytes: &[u8], args: &[String]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let report = report::decode(bytes)?;
    if has_lost_its_launcher(&report) { Ok(()) } else { Err(report::render_late(&report, args)) }
}

/// The error of an init that failed while it waited for its start; none if it reported something else, or nothing.
pub(crate) fn failed_wait(bytes: &[u8]) -> Option<Error> {
    let report = report::decode(bytes).ok()?;
    let has_waited = matches!(report.phase, Phase::Ready | Phase::Wait) && !has_lost_its_launcher(&report);
    has_waited.then(|| report::render_late(&report, &[]))
}

/// An init ends when its launcher does before it has let it go: that is no fault of the init's.
fn has_lost_its_launcher(report: &wire::Report) -> bool {
    report.op == wire::Op::Link && matches!(report.errno, libc::EPROTO | libc::EPIPE | libc::ECONNRESET)
}

fn has_inner_hooks(plan: &Plan) -> bool {
    !(plan.hooks.create_container.is_empty() && plan.hooks.start_container.is_empty())
}

fn open_namespaces(plan: &Plan) -> Result<Vec<OwnedFd>> {
    plan.namespaces.join.iter().map(open_namespace).collect()
}

/// Opens a namespace to join and makes sure that it is of its kind.
///
/// # Errors
/// It cannot be opened, or is of another kind.
pub(crate) fn open_namespace(join: &Join) -> Result<OwnedFd> {
    let location = format!("linux.namespaces[{}].path", join.index);
    let file = File::open(&join.path).map_err(|e| Error::os(format!("open {}", join.path), e).at(location.clone()))?;
    match namespace::kind(file.as_fd()) {
        Ok(kind) if kind == join.kind.flag() => Ok(file.into()),
        _ => Err(Error::config(location, format!("{} is not a {} namespace", join.path, join.kind.name()))),
    }
}

/// What the launcher has opened for the init.
#[derive(Default)]
struct Prepared<'a> {
    /// Namespaces to join.
    joined: &'a [OwnedFd],
    /// The process whose container is entered, and the kinds of its namespaces.
    of: Option<(BorrowedFd<'a>, u64)>,
    /// Mounts, by the place of their step.
    trees: &'a [(usize, OwnedFd)],
}

fn prepare_orders<'b>(
    plan: &Plan,
    io: &Io<'b>,
    prepared: &Prepared<'b>,
    hook_output: Option<&'b File>,
    hand_offs: &orders::HandOffs,
) -> Result<(Vec<u8>, orders::Fds<'b>)> {
    let mut fds = orders::Fds::default();
    let places = orders::Places {
        join: prepared.joined.iter().map(|fd| fds.add(fd.as_fd())).collect(),
        of: prepared.of.map(|(process, kinds)| (fds.add(process), kinds)),
        trees: prepared.trees.iter().map(|(place, tree)| (*place, fds.add(tree.as_fd()))).collect(),
        console: io.console_socket.map(|fd| fds.add(fd)),
        plain_newlines: io.plain_newlines,
        stdio: io.stdio.map(|fd| fd.map(|fd| fds.add(fd))),
        preserved: io.preserved.iter().map(|fd| fds.add(*fd)).collect(),
        fifo: io.start.map(|(fifo, _)| fds.add(fifo)),
        report: io.start.map(|(_, report)| fds.add(report)),
        hook_output: hook_output.map(|file| fds.add(file.as_fd())),
    };
    if fds.all().len() > 253 {
        // SCM_MAX_FD, unix(7).
        return Err(Error::new(ErrorKind::InvalidArgument, "more than 253 file descriptors to pass on"));
    }
    Ok((orders::encode(plan, &places, hand_offs)?, fds))
}

fn start_init(plan: &Plan, inner: &OwnedFd, cgroup: Option<BorrowedFd<'_>>) -> Result<Child> {
    let flags = if plan.namespaces.fork { 0 } else { plan.namespaces.clone_flags() };
    start_init_in(flags, inner, cgroup).map_err(|errno| {
        let error = Error::os("start the init in new namespaces", errno).at("linux.namespaces");
        match errno {
            Errno::EPERM if !nix::unistd::geteuid().is_root() => {
                error.hint("a user namespace gives an unprivileged user the right to the others")
            }
            Errno::ENOSPC | Errno::EUSERS => error.hint("see /proc/sys/user/max_*_namespaces"),
            _ => error,
        }
    })
}

/// Starts an init in the new namespaces that `flags` names.
fn start_init_in(flags: u64, inner: &OwnedFd, cgroup: Option<BorrowedFd<'_>>) -> std::result::Result<Child, Errno> {
    let program = memfd::sealed_program(c"corten-init", INIT)?;
    let number = CString::new(inner.as_raw_fd().to_string()).unwrap_or_default();
    let args = [c"corten-init".as_ptr(), number.as_ptr(), std::ptr::null()];
    spawn(flags, cgroup, &Exec { program: program.as_fd(), args: &args, inherit: inner.as_fd() })
}

fn send_orders(link: &OwnedFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    let failed = |errno| Error::os("send the orders to the init", errno);
    // The descriptors go with the prefix: the init reads exactly so much of it first.
    let (prefix, mut rest) = bytes.split_at_checked(wire::PREFIX).unwrap_or_default();
    socket::send(link, prefix, fds).map_err(failed)?;
    while !rest.is_empty() {
        let sent = socket::send(link, rest, &[]).map_err(failed)?;
        rest = rest.get(sent..).unwrap_or_default();
    }
    Ok(())
}
