//! What the launcher and the init say to each other.
//!
//! Both are built from the same sources, so the format has no versions and no optional fields. How it is encoded is in
//! [`codec`]; here is what is said.

#[macro_use]
#[path = "wire/codec.rs"]
mod codec;

pub use codec::{List, Malformed, Reader, Sink, Wire};

use core::ffi::CStr;

wire_enum! {
    /// The steps of a start, in order. The init's `main` and the launcher's follow the same list; an error names the
    /// step it came from.
    Phase {
        /// The launcher starts the init; the init cleans what it inherited.
        Begin,
        /// Hand-off, launcher to init: the orders.
        Orders,
        /// `process.oomScoreAdj`.
        OomScore,
        /// Namespaces that exist are joined.
        Join,
        /// The init forks into namespaces that only a child can enter. Hand-off, init to launcher: the child's pid.
        Fork,
        /// Hand-off, launcher to init: the id mappings are written. The init becomes root in its user namespace.
        Mapped,
        /// `linux.timeOffsets`: a new time namespace gets its offsets. Hand-off, init to launcher: the pid of the child
        /// that enters it.
        TimeOffsets,
        /// The loopback device of a new network namespace comes up.
        Loopback,
        /// A new session keyring.
        Keyring,
        /// Hand-off, launcher to init: the cgroups are joined. A new cgroup namespace begins there.
        Cgroup,
        /// The propagation of the whole mount tree, and the rootfs as a mount of its own.
        Rootfs,
        /// `mounts`.
        Mounts,
        /// `linux.devices`, the default ones, and the links in /dev.
        Devices,
        /// Hand-off both ways, only with such hooks: prestart and createRuntime hooks run in the runtime's namespaces.
        RuntimeHooks,
        /// createContainer hooks, in the container's namespaces.
        CreateContainerHooks,
        /// The rootfs becomes the root.
        Pivot,
        /// `process.terminal`.
        Console,
        /// `hostname`.
        Hostname,
        /// `domainname`.
        Domainname,
        /// `linux.sysctl`.
        Sysctl,
        /// `linux.readonlyPaths`.
        ReadonlyPaths,
        /// `linux.maskedPaths`.
        MaskedPaths,
        /// Read-only file systems in memory, now that everything is in them.
        ReadonlyMounts,
        /// `root.readonly`.
        ReadonlyRoot,
        /// `process.cwd` is created if it is missing.
        MakeCwd,
        /// `process.rlimits`; in a user namespace the launcher sets them, once the init is ready.
        Rlimits,
        /// `process.scheduler`.
        Scheduler,
        /// `process.ioPriority`.
        IoPriority,
        /// `linux.memoryPolicy`.
        MemoryPolicy,
        /// `linux.personality`.
        Personality,
        /// `process.apparmorProfile`.
        Apparmor,
        /// `process.selinuxLabel`.
        Selinux,
        /// `process.noNewPrivileges`.
        NoNewPrivileges,
        /// `linux.seccomp`. Hand-off both ways, only with a listener: its number; the agent has it.
        Seccomp,
        /// `process.capabilities`.
        Capabilities,
        /// `process.user`.
        User,
        /// `process.cwd`.
        Cwd,
        /// `process.args[0]` is looked up.
        Lookup,
        /// Hand-off both ways: everything is ready; the container is recorded.
        Ready,
        /// The init waits for start.
        Wait,
        /// startContainer hooks.
        StartContainerHooks,
        /// `execve(2)`.
        Exec,
    }
}

wire_enum! {
    /// What exactly failed within a step.
    Op {
        /// The step as such.
        Whole,
        /// A hand-off broke.
        Link,
        /// The orders cannot be decoded.
        Decode,
        /// Open the source.
        OpenSource,
        /// The source is not what it must be.
        CheckSource,
        /// Open the target inside the rootfs.
        OpenTarget,
        /// Create the target inside the rootfs.
        CreateTarget,
        /// The target is not what it must be.
        CheckTarget,
        /// `mount(2)`.
        Mount,
        /// Attach a mount that was made.
        Attach,
        /// Set attributes of a mount.
        SetAttributes,
        /// Set the propagation of a mount.
        SetPropagation,
        /// Copy the directory below a tmpfs up.
        CopyUp,
        /// Set the SELinux label of a mount's root.
        Label,
        /// Make a device node.
        MakeNode,
        /// Set owner or mode.
        Chown,
        /// Write.
        Write,
        /// Detach the old root.
        Detach,
        /// Fork.
        Fork,
        /// A hook returned non-zero; the detail is its wait status.
        HookFailed,
        /// A hook was killed because it ran out of time.
        HookTimeout,
        /// Drop from the bounding set.
        Bounding,
        /// Set the ambient set.
        Ambient,
        /// Set the groups.
        Groups,
        /// Set the group.
        Gid,
        /// Set the user.
        Uid,
        /// The directory is outside of the root.
        Outside,
        /// The target is in a procfs, where only few files may be covered.
        InsideProc,
        /// Send over the console socket.
        Send,
        /// No file of that name in PATH.
        NotInPath,
    }
}

wire_struct! {
    /// The one message of the init to the launcher: how far it is, or what failed.
    Report {
        /// The step reached, or the one that failed.
        phase: Phase,
        /// What failed.
        op: Op,
        /// Which element of the step's list.
        index: u32,
        /// The errno; 0 when nothing failed.
        errno: i32,
        /// The pid of the child for [`Phase::Fork`], the listener's number for [`Phase::Seccomp`], a hook's wait status for [`Op::HookFailed`].
        detail: i64,
    }
}

impl Report {
    /// How many bytes a report takes.
    pub const SIZE: usize = 18;

    /// "This step is reached."
    pub const fn reached(phase: Phase, detail: i64) -> Report {
        Report { phase, op: Op::Whole, index: 0, errno: 0, detail }
    }

    /// Encodes it.
    pub fn bytes(&self) -> [u8; Report::SIZE] {
        struct Fixed([u8; Report::SIZE], usize);
        impl Sink for Fixed {
            fn put(&mut self, bytes: &[u8]) {
                let end = self.1 + bytes.len();
                if let Some(place) = self.0.get_mut(self.1..end) {
                    place.copy_from_slice(bytes);
                }
                self.1 = end;
            }
        }
        let mut fixed = Fixed([0; Report::SIZE], 0);
        self.put(&mut fixed);
        fixed.0
    }
}

/// Before the orders: how long they are.
pub const PREFIX: usize = 8;

/// At most this many bytes of orders, so that a wrong length cannot exhaust memory.
pub const ORDERS_LIMIT: u64 = 64 << 20;

/// The place of a file descriptor among those that came with the orders.
pub type FdIndex = u32;

wire_struct! {
    /// Everything the init has to know. File descriptors are meant by their place in the `SCM_RIGHTS` message.
    Orders<'a> {
        /// The namespaces.
        namespaces: Namespaces<'a>,
        /// The container is there already, and this is one more program in it: no root is built.
        enter: bool,
        /// `process.oomScoreAdj` in decimal.
        oom_score_adj: Option<&'a CStr>,
        /// The name of the new session keyring.
        keyring: Option<&'a CStr>,
        /// The root file system.
        rootfs: Rootfs<'a>,
        /// `mounts`, lowered.
        mounts: List<'a, Mount<'a>>,
        /// Device nodes.
        devices: List<'a, Device<'a>>,
        /// Symbolic links in /dev.
        links: List<'a, Link<'a>>,
        /// Whether the launcher runs prestart and createRuntime hooks.
        runtime_hooks: bool,
        /// createContainer hooks.
        create_container_hooks: List<'a, Hook<'a>>,
        /// startContainer hooks.
        start_container_hooks: List<'a, Hook<'a>>,
        /// What hooks get on stdin; needed with hooks.
        hook_state: HookState<'a>,
        /// The terminal.
        console: Option<Console>,
        /// `hostname`.
        hostname: Option<&'a CStr>,
        /// `domainname`.
        domainname: Option<&'a CStr>,
        /// `linux.sysctl`.
        sysctl: List<'a, Sysctl<'a>>,
        /// File systems in memory that are made read-only at the end.
        readonly_late: List<'a, &'a CStr>,
        /// `linux.readonlyPaths`.
        readonly_paths: List<'a, &'a CStr>,
        /// `linux.maskedPaths`.
        masked_paths: List<'a, &'a CStr>,
        /// `linux.mountLabel`, for what covers directories of those.
        mask_context: Option<&'a CStr>,
        /// `process.rlimits`, unless the launcher sets them.
        rlimits: List<'a, Rlimit>,
        /// How the kernel is to treat the program.
        scheduling: Scheduling<'a>,
        /// Privileges.
        security: Security<'a>,
        /// What to run.
        program: Program<'a>,
        /// How the init learns that it is to start the program.
        start: Start,
    }
}

wire_struct! {
    /// The namespaces.
    Namespaces<'a> {
        /// Existing ones to join, in order: file descriptors.
        join: List<'a, FdIndex>,
        /// All of a process to join at once, by its pidfd.
        of: Option<FdIndex>,
        /// The `CLONE_NEW*` flags of those.
        of_kinds: u64,
        /// Whether to fork after joining, and the `CLONE_NEW*` flags to fork with.
        fork: Option<u64>,
        /// The `CLONE_NEW*` flags of what is made once the ids are mapped, since what is in it belongs to who makes it.
        late: u64,
        /// A time namespace to make, once the ids are mapped.
        time: Option<Time<'a>>,
        /// Whether the launcher writes id mappings for the forked child.
        mapped: bool,
        /// Whether to stay dumpable until the mappings are written.
        hide_late: bool,
        /// Whether to become the user and group below, of the user namespace.
        become_root: bool,
        /// Its root; where 0 is not mapped, who does root's work there.
        root_uid: u32,
        /// The same of the group.
        root_gid: u32,
        /// Whether the network namespace is new.
        network: bool,
        /// Whether a new cgroup namespace is to begin, once the launcher has said that the cgroups are joined.
        cgroup: bool,
        /// Whether the launcher says when the cgroups are joined.
        cgroup_wait: bool,
    }
}

wire_struct! {
    /// A new time namespace.
    Time<'a> {
        /// What `/proc/self/timens_offsets` is to hold; nothing for the caller's clocks.
        offsets: &'a [u8],
        /// The `CLONE_NEW*` flags of the fork into it.
        flags: u64,
    }
}

wire_struct! {
    /// The root file system.
    Rootfs<'a> {
        /// Its path on the host.
        path: &'a CStr,
        /// `MS_*` propagation flags for the whole tree.
        propagation: u64,
        /// Propagation of the new root, once it is the root; 0 to leave it.
        own_propagation: u64,
        /// The mount that holds the rootfs is made private, or `pivot_root(2)` would refuse.
        parent_private: bool,
        /// There is no mount namespace of the container's own: nothing is mounted, the root is changed by chroot.
        host_mounts: bool,
        /// `MS_MOVE` and chroot in place of `pivot_root(2)`.
        no_pivot: bool,
        /// `root.readonly`.
        readonly: bool,
        /// Device nodes are bound from the host: a user namespace cannot make them.
        bind_devices: bool,
    }
}

wire_enum! {
    /// What to do for a mount.
    MountOp {
        /// A new file system: source, fstype, flags, data.
        Filesystem,
        /// A bind of `source`.
        Bind,
        /// A symbolic link at `target` to `source`.
        Symlink,
        /// The mount at `target` gets attributes.
        Remount,
        /// The file system at `target` gets flags and data.
        Reconfigure,
    }
}

wire_struct! {
    /// One step for `mounts`.
    Mount<'a> {
        /// What to do.
        op: MountOp,
        /// The element of `mounts` this is for.
        index: u32,
        /// The source: a path of the host, or a name.
        source: &'a CStr,
        /// Where, inside the rootfs.
        target: &'a CStr,
        /// The file system's type.
        fstype: &'a CStr,
        /// `MS_*` flags of `mount(2)`.
        flags: u64,
        /// Options of the file system.
        data: &'a CStr,
        /// The mount, if the launcher has made it; of a file system that is new, `op` is `Bind` all the same.
        tree: Option<FdIndex>,
        /// The new tmpfs gets the mode of the directory it covers.
        keep_mode: bool,
        /// No component of the target may be a symbolic link.
        no_symlinks: bool,
        /// What is bound with the attributes below if the kernel refuses to mount the file system.
        or_bind: Option<&'a CStr>,
        /// The target may lie in a procfs.
        in_proc: bool,
        /// A bind takes the mounts below the source with it.
        recursive: bool,
        /// Attributes of the source that are not asked for are taken away where the kernel allows it.
        exact: bool,
        /// `MOUNT_ATTR_*` to set and to clear on the mount itself.
        attr_set: u64,
        /// See `attr_set`.
        attr_clear: u64,
        /// The same for the whole tree.
        recursive_set: u64,
        /// See `recursive_set`.
        recursive_clear: u64,
        /// `MS_*` propagation flags, with `MS_REC`; applied in order.
        propagation: List<'a, u64>,
        /// The directory below is copied into the new tmpfs.
        copy_up: bool,
        /// The SELinux label of the mount's root.
        label: Option<&'a CStr>,
    }
}

wire_struct! {
    /// A device node.
    Device<'a> {
        /// Its path inside the rootfs.
        path: &'a CStr,
        /// Type and permissions for `mknod(2)`.
        mode: u32,
        /// The device number as `mknod(2)` takes it.
        device: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    }
}

wire_struct! {
    /// A symbolic link.
    Link<'a> {
        /// What it says.
        target: &'a CStr,
        /// Its path inside the rootfs.
        path: &'a CStr,
        /// Only if this path exists on the host.
        only_if: Option<&'a CStr>,
        /// Something else that is there is replaced.
        replace: bool,
    }
}

wire_struct! {
    /// A hook to run in the container.
    Hook<'a> {
        /// `path`.
        path: &'a CStr,
        /// `args`.
        args: List<'a, &'a CStr>,
        /// `env`.
        env: List<'a, &'a CStr>,
        /// Seconds; 0 for ever.
        timeout: u64,
    }
}

wire_struct! {
    /// The container state for hooks: JSON text around the pid, which the init fills in as it sees itself.
    HookState<'a> {
        /// Up to the status, for createContainer hooks.
        creating: &'a [u8],
        /// Up to the status, for startContainer hooks.
        created: &'a [u8],
        /// After the pid.
        rest: &'a [u8],
        /// Where the hooks' output goes.
        output: Option<FdIndex>,
    }
}

wire_struct! {
    /// How the kernel is to treat the program.
    Scheduling<'a> {
        /// `process.scheduler`.
        scheduler: Option<Scheduler>,
        /// `process.ioPriority` as `ioprio_set(2)` takes it.
        io_priority: Option<u32>,
        /// `linux.memoryPolicy`: the mode and flags of `set_mempolicy(2)`.
        memory_mode: Option<u32>,
        /// Its nodes as bits.
        memory_nodes: List<'a, u64>,
        /// `linux.personality`.
        personality: Option<u64>,
    }
}

wire_struct! {
    /// The attributes of `sched_setattr(2)`.
    Scheduler {
        /// `SCHED_*`.
        policy: u32,
        /// `SCHED_FLAG_*`.
        flags: u64,
        /// For the ordinary policies.
        nice: i32,
        /// For the realtime policies.
        priority: u32,
        /// For the deadline policy, in nanoseconds.
        runtime: u64,
        /// See `runtime`.
        deadline: u64,
        /// See `runtime`.
        period: u64,
    }
}

wire_struct! {
    /// The terminal.
    Console {
        /// The socket its master goes to.
        socket: FdIndex,
        /// Columns, 0 to leave it.
        width: u16,
        /// Rows.
        height: u16,
        /// Newlines stay as they are written: who shows the master does the rest.
        plain_newlines: bool,
    }
}

wire_struct! {
    /// A `/proc/sys` value.
    Sysctl<'a> {
        /// The path below /proc/sys.
        path: &'a CStr,
        /// The value.
        value: &'a CStr,
    }
}

wire_struct! {
    /// One of `process.rlimits`.
    Rlimit {
        /// The kernel's number of it.
        resource: u32,
        /// The soft limit.
        soft: u64,
        /// The hard limit.
        hard: u64,
    }
}

wire_struct! {
    /// Privileges.
    Security<'a> {
        /// `process.apparmorProfile`.
        apparmor: Option<&'a CStr>,
        /// `process.selinuxLabel`.
        selinux: Option<&'a CStr>,
        /// `process.noNewPrivileges`.
        no_new_privileges: bool,
        /// `process.capabilities.bounding`.
        bounding: u64,
        /// `process.capabilities.effective`.
        effective: u64,
        /// `process.capabilities.inheritable`.
        inheritable: u64,
        /// `process.capabilities.permitted`.
        permitted: u64,
        /// `process.capabilities.ambient`.
        ambient: u64,
        /// The seccomp filter as an array of `struct sock_filter`; empty for none.
        seccomp: &'a [u8],
        /// `SECCOMP_FILTER_FLAG_*`.
        seccomp_flags: u64,
        /// Loading it gives a listener, which the launcher takes.
        seccomp_listener: bool,
    }
}

wire_struct! {
    /// What to run.
    Program<'a> {
        /// `process.args`.
        args: List<'a, &'a CStr>,
        /// `process.env`.
        env: List<'a, &'a CStr>,
        /// HOME is not in `env`: it is taken from the container's /etc/passwd.
        find_home: bool,
        /// The value of PATH in `env`.
        search_path: &'a CStr,
        /// `process.cwd`.
        cwd: &'a CStr,
        /// `process.user.uid`.
        uid: u32,
        /// `process.user.gid`.
        gid: u32,
        /// `process.user.additionalGids`.
        groups: List<'a, u32>,
        /// Whether `setgroups(2)` is allowed in the user namespace.
        set_groups: bool,
        /// `process.user.umask`.
        umask: u32,
        /// Standard input, output and error, where they are not the init's own.
        stdin: Option<FdIndex>,
        /// See `stdin`.
        stdout: Option<FdIndex>,
        /// See `stdin`.
        stderr: Option<FdIndex>,
        /// Descriptors to pass on as 3, 4, …
        preserved: List<'a, FdIndex>,
    }
}

wire_struct! {
    /// How the init learns that it is to start the program.
    Start {
        /// The FIFO to read a byte from; without one, the launcher's `Go` is it.
        fifo: Option<FdIndex>,
        /// A file for the report of what fails after the launcher is gone.
        report: Option<FdIndex>,
    }
}

/// The launcher's words to the init after the orders; each is one byte.
pub mod word {
    /// The launcher has the child of a fork, which therefore may go on.
    pub const FOLLOWED: u8 = b'f';
    /// The id mappings are written.
    pub const MAPPED: u8 = b'm';
    /// The cgroups are joined.
    pub const CGROUP_JOINED: u8 = b'c';
    /// The agent has the seccomp listener.
    pub const LISTENER_SENT: u8 = b'l';
    /// prestart and createRuntime hooks are done.
    pub const HOOKS_DONE: u8 = b'h';
    /// The container is recorded: go on.
    pub const GO: u8 = b'g';
}
