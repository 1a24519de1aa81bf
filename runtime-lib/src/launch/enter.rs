//! One more program in a container that is there: `exec`.
//!
//! The init starts outside, like that of a [forked](crate::plan::NamespacePlan::fork) start, and joins all namespaces of
//! the container's first process by its pidfd at once, so that a pid that is used again cannot mislead it. Then it forks
//! into the pid namespace, and goes on as a start does once its root is there. The launcher has moved it into the
//! container's cgroups before it lets the program go.

use super::session::{Session, follow_fork};
use super::wire::word;
use super::{Hooked, Io, Launch, Prepared, orders, prepare_orders, send_orders, start_init};
use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::observe::Stopwatch;
use crate::plan::Plan;
use crate::resctrl::Group;
use crate::spec::{CpuSet, ExecCpuAffinity};
use crate::sys::clone::Child;
use crate::sys::{pidfd, socket};
use nix::errno::Errno;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The container to enter.
pub(crate) struct Target<'a> {
    /// Its first process.
    pub(crate) pidfd: BorrowedFd<'a>,
    /// The same, to look up where it is.
    pub(crate) pid: i32,
    /// The `CLONE_NEW*` flags of the namespaces to join.
    pub(crate) kinds: u64,
    /// The cgroups to join.
    pub(crate) cgroup: &'a Cgroup,
    /// Its share of caches and memory bandwidth.
    pub(crate) group: Option<&'a Group>,
    /// If the container has handed the controllers of its cgroup on, so that no process can be in it, go where its first
    /// process went.
    pub(crate) follow: bool,
    /// The cgroup is frozen: a child that is cloned into it would stop before it executes the init, and its caller with it.
    pub(crate) frozen: bool,
}

/// Starts an init in the container and brings it into the cgroups.
///
/// # Errors
/// The clone, a cgroup; the init's own first steps.
pub(crate) fn enter<'a>(
    plan: &'a Plan,
    io: &Io<'_>,
    target: &Target<'_>,
    watch: &Stopwatch<'_>,
) -> Result<Launch<'a, Hooked>> {
    let (link, inner) = socket::pair().map_err(|errno| Error::os("create a socket pair", errno))?;
    let child = start_inside(plan, &inner, target)?;
    drop(inner);
    watch.lap("clone and execute the init");
    let in_cgroup = child.in_cgroup;
    let initial = affinity(plan).and_then(|affinity| affinity.initial.as_ref());
    let bound = bind(child.pid, initial, "initial");
    // Realtime scheduling takes a budget of the cgroup, and memory policies are relative to its nodes.
    let cgroup_wait = !in_cgroup && (plan.process.scheduler.is_some() || plan.memory_policy.is_some());
    let hand_offs = orders::HandOffs { cgroup_wait, limits_first: false, unprivileged: false };
    let mut session = Session::new(plan, link, child);
    session.go_late = target.frozen;
    bound?;
    let prepared = Prepared { of: Some((target.pidfd, target.kinds)), ..Prepared::default() };
    let (bytes, fds) = prepare_orders(plan, io, &prepared, None, &hand_offs)?;
    let brought =
        send_orders(&session.link, &bytes, fds.all()).and_then(|()| bring_in(&mut session, target, in_cgroup));
    let brought = brought.and_then(|()| if cgroup_wait { session.say(word::CGROUP_JOINED) } else { Ok(()) });
    watch.lap("orders, namespaces and cgroups");
    match brought {
        Ok(()) => Ok(Launch { session, state: PhantomData }),
        Err(error) => Err(session.first_cause(error)),
    }
}

fn bring_in(session: &mut Session<'_>, target: &Target<'_>, in_cgroup: bool) -> Result<()> {
    if session.plan.namespaces.fork {
        follow_fork(session)?;
    }
    if !in_cgroup {
        match target.cgroup.join(session.pid()) {
            Err(error) if target.follow && holds_no_processes(&error) => {
                target.cgroup.where_process_is(target.pid)?.join(session.pid())
            }
            joined => joined,
        }?;
    }
    if let Some(group) = target.group {
        group.join_if_there(session.pid())?;
    }
    let last = affinity(session.plan).and_then(|affinity| affinity.last.as_ref());
    bind(session.pid(), last, "final")
}

fn affinity(plan: &Plan) -> Option<&ExecCpuAffinity> {
    plan.process.exec_cpu_affinity.as_ref()
}

/// `process.execCPUAffinity`.
fn bind(pid: i32, cpus: Option<&CpuSet>, name: &str) -> Result<()> {
    let Some(cpus) = cpus else { return Ok(()) };
    pidfd::set_affinity(pid, &cpus.mask).map_err(|errno| {
        let operation = format!("bind the program to the processors {}", cpus.text);
        Error::os(operation, errno).at(format!("process.execCPUAffinity.{name}"))
    })
}

/// Clones the init, on version 2 right into the cgroup.
fn start_inside(plan: &Plan, inner: &OwnedFd, target: &Target<'_>) -> Result<Child> {
    // An initial affinity holds until the cgroup is joined.
    let apart = target.frozen || affinity(plan).is_some_and(|affinity| affinity.initial.is_some());
    let into = if apart { None } else { target.cgroup.clone_fd()? };
    match start_init(plan, inner, into.as_ref().map(AsFd::as_fd)) {
        Err(error) if into.is_some() && target.follow && holds_no_processes(&error) => {
            let into = target.cgroup.where_process_is(target.pid)?.clone_fd()?;
            start_init(plan, inner, into.as_ref().map(AsFd::as_fd))
        }
        started => started,
    }
}

/// The rule of *no internal processes*, cgroup-v2.rst; or a domain that has become threaded.
fn holds_no_processes(error: &Error) -> bool {
    [Errno::EBUSY, Errno::EOPNOTSUPP].iter().any(|errno| error.errno() == Some(*errno as i32))
}
