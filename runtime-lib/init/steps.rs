//! The steps in their order, each with the reason why it stands where it stands.

use crate::fault::{During, Step};
use crate::link::Link;
use crate::path::{PathBuf, Root};
use crate::sys::{self, Fd, open};
use crate::wire::{Op, Orders, Phase, Report, Scheduling, word};
use crate::{console, devices, hooks, identity, lsm, mounts, namespaces, program, rootfs, scheduling, sysctl};
use core::ffi::CStr;

const PR_SET_DUMPABLE: usize = 4;

/// Does everything, or tells what failed.
pub fn main(socket: &CStr) -> ! {
    let socket = socket.to_bytes().iter().fold(0i32, |number, digit| number * 10 + i32::from(digit.wrapping_sub(b'0')));
    let mut link = Link::new(socket);
    if let Err(report) = start(&mut link) {
        link.fail(&report);
    }
    sys::exit(1)
}

/// Turns a step's failure into the report of it.
fn during<T>(phase: Phase, step: Step<T>) -> Result<T, Report> {
    step.map_err(|fault| fault.report(phase))
}

fn start(link: &mut Link) -> Result<(), Report> {
    during(Phase::Begin, clean_up(link))?;
    let orders = &during(Phase::Orders, link.orders())?;
    // In a container that is there a user namespace may have no right to a procfs: the host's, which is still in view.
    let hosts = procfs_user(orders).filter(|_| orders.enter).map(|phase| during(phase, open_procfs())).transpose()?;
    enter_namespaces(orders, link)?;
    // Before anything of the container is walked to, and while in a user namespace the host's procfs is in view.
    let wanted = procfs_user(orders).filter(|_| !orders.enter);
    let own = wanted.map(|phase| during(phase, sysctl::private_procfs())).transpose()?;
    let procfs = hosts.or(own);
    if orders.enter {
        enter_root(orders, link)?;
    } else {
        build_root(orders, link, procfs.as_ref())?;
        configure(orders)?;
    }
    let mut home = PathBuf::new();
    make_program_ready(orders, link, procfs.as_ref(), &mut home)?;
    become_program(orders, link, &home)
}

/// Nothing of the launcher's process may come along: it can be any program, with any descriptors and signal settings.
fn clean_up(link: &Link) -> Step {
    sys::set_name(c"corten:[init]");
    sys::default_signals();
    sys::umask(0); // nodes and directories get exactly the mode asked for; the program's own umask comes last
    let socket = link.socket().unsigned_abs();
    if socket > 3 {
        sys::close_range(3, socket - 1).during(Op::Whole)?;
    }
    sys::close_range(socket + 1, u32::MAX).during(Op::Whole)?;
    sys::cloexec_range(socket, socket).during(Op::Whole)
}

/// Before anything of the container can see this process: nobody may trace it or open its /proc files
/// (CVE-2016-9962, CVE-2019-5736).
fn hide() -> Step {
    sys::prctl(PR_SET_DUMPABLE, 0, 0).during(Op::Whole).map(drop)
}

fn enter_namespaces(orders: &Orders<'_>, link: &mut Link) -> Result<(), Report> {
    if let Some(value) = orders.oom_score_adj {
        // While /proc is still the host's.
        during(Phase::OomScore, write_oom_score(value))?;
    }
    let mut offsets = None;
    if !orders.namespaces.mapped {
        offsets = during(Phase::TimeOffsets, namespaces::open_offsets(&orders.namespaces))?;
    }
    if !orders.namespaces.hide_late {
        during(Phase::Join, hide())?;
    }
    during(Phase::Join, namespaces::join(&orders.namespaces, link))?;
    during(Phase::Fork, namespaces::fork(&orders.namespaces, link))?;
    if orders.namespaces.mapped {
        // Of the child: the file is that of the process that opens it.
        offsets = during(Phase::TimeOffsets, namespaces::open_offsets(&orders.namespaces))?;
    }
    during(Phase::Mapped, namespaces::become_root(&orders.namespaces, link))?;
    if orders.namespaces.hide_late {
        // Only now: an unprivileged launcher could not have written the mappings.
        during(Phase::Mapped, hide())?;
    }
    // As root of the user namespace, whose the time namespace is to be.
    during(Phase::TimeOffsets, namespaces::enter_time(&orders.namespaces, offsets, link))?;
    // A session of its own, so that the terminal of the caller cannot be written to (TIOCSTI) and ^C does not reach it.
    during(Phase::Fork, sys::setsid().during(Op::Whole))?;
    if orders.namespaces.network {
        during(Phase::Loopback, sys::loopback_up().during(Op::Whole))?;
    }
    if let Some(name) = orders.keyring {
        during(Phase::Keyring, namespaces::new_keyring(name))?;
    }
    // After the join and before the mounts: a cgroup mount shows the tree from the namespace's root.
    during(Phase::Cgroup, namespaces::enter_cgroup(&orders.namespaces, link))
}

fn open_procfs() -> Step<Fd> {
    sys::openat(sys::AT_FDCWD, c"/proc", open::PATH | open::DIRECTORY).during(Op::OpenSource)
}

/// What is going to write through a procfs that the container cannot have changed, first.
fn procfs_user(orders: &Orders<'_>) -> Option<Phase> {
    match (orders.sysctl.is_empty(), orders.security.apparmor, orders.security.selinux) {
        (false, _, _) => Some(Phase::Sysctl),
        (true, Some(_), _) => Some(Phase::Apparmor),
        (true, None, Some(_)) => Some(Phase::Selinux),
        (true, None, None) => None,
    }
}

fn build_root(orders: &Orders<'_>, link: &mut Link, procfs: Option<&Fd>) -> Result<(), Report> {
    // All sources outside the rootfs are opened before the root changes, all targets are walked from `root`.
    let root = during(Phase::Rootfs, rootfs::prepare(&orders.rootfs))?;
    let covered = !orders.readonly_paths.is_empty() || !orders.masked_paths.is_empty();
    let kernel = during(Phase::Mounts, mounts::mount_all(root, orders.mounts, link, covered))?;
    // After the mounts: /dev is one of them.
    during(Phase::Devices, devices::make_all(root, orders))?;
    if orders.runtime_hooks {
        // The specification: after the namespaces and mounts, before the root changes.
        during(Phase::RuntimeHooks, link.say(Phase::RuntimeHooks, 0))?;
        during(Phase::RuntimeHooks, link.hear(word::HOOKS_DONE))?;
    }
    // Where hooks find themselves, as with runc; before, it is where the last mount went.
    during(Phase::CreateContainerHooks, sys::fchdir(root.0).during(Op::Whole))?;
    let state = &orders.hook_state;
    during(Phase::CreateContainerHooks, hooks::run(orders.create_container_hooks, state.creating, state, link))?;
    // Sysctls before the paths below /proc/sys become read-only would not matter: they go through a procfs of our own.
    during(Phase::Sysctl, sysctl::write_all(procfs, orders.sysctl))?;
    // After the hooks, which may still change what is in the rootfs; while the host's /dev/null is in reach.
    during(Phase::ReadonlyPaths, mounts::make_readonly(root, &kernel, orders.readonly_paths))?;
    if let Some(mut masks) = during(Phase::MaskedPaths, mounts::Masks::prepare(orders))? {
        during(Phase::MaskedPaths, masks.cover(root, &kernel, orders.masked_paths))?;
    }
    during(Phase::Pivot, rootfs::pivot(root, &orders.rootfs))?;
    if let Some(console) = &orders.console {
        // After the root changed: the terminal must be of the devpts that the container sees.
        during(Phase::Console, console::set_up(root, console, orders.program.uid, link))?;
    }
    during(Phase::MakeCwd, program::make_cwd(root, orders.program.cwd))?;
    // Last of all that writes to the file system.
    during(Phase::ReadonlyMounts, mounts::make_readonly_late(root, orders.readonly_late))?;
    during(Phase::ReadonlyRoot, rootfs::make_readonly(root, &orders.rootfs))
}

/// The root of a container that is there: the mount namespace that was joined has led to it.
fn enter_root(orders: &Orders<'_>, link: &mut Link) -> Result<(), Report> {
    let Some(console) = &orders.console else { return Ok(()) };
    let root = during(Phase::Console, sys::openat(sys::AT_FDCWD, c"/", open::PATH | open::DIRECTORY).during(Op::Whole))?;
    // /dev/console stays the terminal of the container's first process.
    during(Phase::Console, console::add(Root(root.0), console, orders.program.uid, link))
}

fn configure(orders: &Orders<'_>) -> Result<(), Report> {
    if let Some(name) = orders.hostname {
        during(Phase::Hostname, sys::sethostname(name).during(Op::Whole))?;
    }
    if let Some(name) = orders.domainname {
        during(Phase::Domainname, sys::setdomainname(name).during(Op::Whole))?;
    }
    Ok(())
}

fn make_program_ready(
    orders: &Orders<'_>,
    link: &mut Link,
    procfs: Option<&Fd>,
    home: &mut PathBuf,
) -> Result<(), Report> {
    let (program, security) = (&orders.program, &orders.security);
    if program.find_home {
        during(Phase::Lookup, program::find_home(program.uid, home))?;
    }
    during(Phase::Ready, link.begin_wait(&orders.start))?;
    during(Phase::Ready, program::place_descriptors(program, link))?;
    // After all that opens files, before the right to raise limits is gone.
    during(Phase::Rlimits, identity::set_limits(orders.rlimits))?;
    schedule(&orders.scheduling)?;
    // As root, and before no_new_privs and the filter: either could stand in the way.
    if let Some(profile) = security.apparmor {
        during(Phase::Apparmor, lsm::set_label(procfs, &lsm::APPARMOR, b"exec ", profile))?;
    }
    if let Some(label) = security.selinux {
        during(Phase::Selinux, lsm::set_label(procfs, &lsm::SELINUX, b"", label))?;
    }
    if security.no_new_privileges {
        during(Phase::NoNewPrivileges, identity::no_new_privileges())?;
    } else {
        // Without no_new_privs loading a filter takes CAP_SYS_ADMIN, which is gone after the next steps.
        during(Phase::Seccomp, load_seccomp(orders, link))?;
    }
    during(Phase::Capabilities, identity::drop_bounding(security))?;
    during(Phase::User, identity::give_stdio(program.uid))?;
    // As root first: a user may not be allowed to pass through to the directory that the engine chose for it.
    let entered = program::enter_cwd(program.cwd);
    during(Phase::User, identity::become_user(program))?;
    if entered.is_err() {
        // The other way round on a file system that root has no rights on (NFS with root_squash).
        during(Phase::Cwd, program::enter_cwd(program.cwd))?;
    }
    during(Phase::Capabilities, identity::set_capabilities(security))
}

/// While the init still has CAP_SYS_NICE, and before a filter that may forbid these calls.
fn schedule(scheduling: &Scheduling<'_>) -> Result<(), Report> {
    if let Some(persona) = scheduling.personality {
        during(Phase::Personality, sys::personality(persona).during(Op::Whole))?;
    }
    if let Some(mode) = scheduling.memory_mode {
        during(Phase::MemoryPolicy, scheduling::set_memory_policy(mode, scheduling.memory_nodes))?;
    }
    if let Some(scheduler) = &scheduling.scheduler {
        during(Phase::Scheduler, scheduling::set_scheduler(scheduler))?;
    }
    match scheduling.io_priority {
        // After the scheduler: without a class of its own the I/O priority follows the nice value.
        Some(value) => during(Phase::IoPriority, sys::set_io_priority(value).during(Op::Whole)),
        None => Ok(()),
    }
}

fn become_program(orders: &Orders<'_>, link: &mut Link, home: &PathBuf) -> Result<(), Report> {
    let program = &orders.program;
    let mut path = PathBuf::new();
    during(Phase::Lookup, program::look_up(program, &mut path))?;
    let home = program.find_home.then_some(home.as_cstr());
    sys::umask(program.umask);
    sys::unblock_signals();
    if orders.security.no_new_privileges {
        // As late as can be: from here on the filter must allow only read, write and execve (and what hooks do).
        during(Phase::Seccomp, load_seccomp(orders, link))?;
    }
    during(Phase::Ready, link.say(Phase::Ready, 0))?;
    during(Phase::Ready, link.hear(word::GO))?;
    during(Phase::Wait, link.wait_for_start())?;
    let state = &orders.hook_state;
    during(Phase::StartContainerHooks, hooks::run(orders.start_container_hooks, state.created, state, link))?;
    during(Phase::Exec, program::execute(program, path.as_cstr(), home))
}

fn load_seccomp(orders: &Orders<'_>, link: &Link) -> Step {
    let security = &orders.security;
    if security.seccomp.is_empty() {
        return Ok(());
    }
    if !security.seccomp_listener {
        return sys::set_seccomp(security.seccomp, security.seccomp_flags).during(Op::Whole).map(drop);
    }
    let open_up = orders.namespaces.hide_late;
    if open_up {
        // An unprivileged launcher can take a descriptor only out of a process that is dumpable.
        sys::prctl(PR_SET_DUMPABLE, 1, 0).during(Op::Whole)?;
    }
    let listener = sys::set_seccomp(security.seccomp, security.seccomp_flags).during(Op::Whole)?;
    // Nothing but a write until the agent has it: who else would answer?
    link.say(Phase::Seccomp, listener as i64)?;
    link.hear(word::LISTENER_SENT)?;
    // When the agent ends, calls fail with ENOSYS; with a copy here they would wait for ever.
    sys::close(listener as sys::RawFd);
    if open_up { hide() } else { Ok(()) }
}

fn write_oom_score(value: &CStr) -> Step {
    let file = sys::openat(sys::AT_FDCWD, c"/proc/self/oom_score_adj", open::WRONLY).during(Op::OpenTarget)?;
    sys::write(file.0, value.to_bytes()).during(Op::Write).map(drop)
}
