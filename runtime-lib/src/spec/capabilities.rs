//! `process.capabilities`: names to the kernel's bit masks.

use super::document;
use super::fault::Faults;
use oci_spec::runtime::Capability;
use serde::Serialize;

/// A set of capabilities as the kernel's bit mask; prints as a list of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSet(pub u64);

/// `process.capabilities`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// `bounding`.
    pub bounding: CapSet,
    /// `effective`.
    pub effective: CapSet,
    /// `inheritable`.
    pub inheritable: CapSet,
    /// `permitted`.
    pub permitted: CapSet,
    /// `ambient`.
    pub ambient: CapSet,
}

impl CapSet {
    /// The set of the one capability of that name, such as `CAP_CHOWN`; nothing if no kernel that is known has it.
    pub fn of_name(name: &str) -> Option<CapSet> {
        name.parse::<caps::Capability>().ok().map(|capability| CapSet(capability.bitmask()))
    }

    /// The names of the capabilities in it, such as `CAP_CHOWN`.
    pub fn names(self) -> impl Iterator<Item = String> {
        let named = (0..64).filter(move |bit| self.0 & (1 << bit) != 0);
        named.map(|bit| match caps::all().into_iter().find(|cap| cap.index() == bit) {
            Some(cap) => cap.to_string(),
            None => format!("CAP_{bit}"),
        })
    }
}

impl Serialize for CapSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

/// The masks of `process.capabilities`. Any combination passes here: whether the kernel grants it depends on what the
/// runtime itself holds. The specification wants unknown names to be left out with a warning.
pub(super) fn masks(sets: &document::Capabilities, faults: &mut Faults) -> Capabilities {
    let mut mask = |set_name: &str, set: &Option<Vec<document::Capability>>| {
        let names = set.iter().flatten().enumerate();
        CapSet(names.fold(0, |mask, (i, name)| match &name.0 {
            Ok(known) => mask | kernel_capability(*known).bitmask(),
            Err(name) => {
                faults.warn(
                    format_args!("process.capabilities.{set_name}[{i}]"),
                    format_args!("ignoring unknown capability {}", name.escape_debug()),
                );
                mask
            }
        }))
    };
    Capabilities {
        bounding: mask("bounding", &sets.bounding),
        effective: mask("effective", &sets.effective),
        inheritable: mask("inheritable", &sets.inheritable),
        permitted: mask("permitted", &sets.permitted),
        ambient: mask("ambient", &sets.ambient),
    }
}

fn kernel_capability(capability: Capability) -> caps::Capability {
    match capability {
        Capability::AuditControl => caps::Capability::CAP_AUDIT_CONTROL,
        Capability::AuditRead => caps::Capability::CAP_AUDIT_READ,
        Capability::AuditWrite => caps::Capability::CAP_AUDIT_WRITE,
        Capability::BlockSuspend => caps::Capability::CAP_BLOCK_SUSPEND,
        Capability::Bpf => caps::Capability::CAP_BPF,
        Capability::CheckpointRestore => caps::Capability::CAP_CHECKPOINT_RESTORE,
        Capability::Chown => caps::Capability::CAP_CHOWN,
        Capability::DacOverride => caps::Capability::CAP_DAC_OVERRIDE,
        Capability::DacReadSearch => caps::Capability::CAP_DAC_READ_SEARCH,
        Capability::Fowner => caps::Capability::CAP_FOWNER,
        Capability::Fsetid => caps::Capability::CAP_FSETID,
        Capability::IpcLock => caps::Capability::CAP_IPC_LOCK,
        Capability::IpcOwner => caps::Capability::CAP_IPC_OWNER,
        Capability::Kill => caps::Capability::CAP_KILL,
        Capability::Lease => caps::Capability::CAP_LEASE,
        Capability::LinuxImmutable => caps::Capability::CAP_LINUX_IMMUTABLE,
        Capability::MacAdmin => caps::Capability::CAP_MAC_ADMIN,
        Capability::MacOverride => caps::Capability::CAP_MAC_OVERRIDE,
        Capability::Mknod => caps::Capability::CAP_MKNOD,
        Capability::NetAdmin => caps::Capability::CAP_NET_ADMIN,
        Capability::NetBindService => caps::Capability::CAP_NET_BIND_SERVICE,
        Capability::NetBroadcast => caps::Capability::CAP_NET_BROADCAST,
        Capability::NetRaw => caps::Capability::CAP_NET_RAW,
        Capability::Perfmon => caps::Capability::CAP_PERFMON,
        Capability::Setgid => caps::Capability::CAP_SETGID,
        Capability::Setfcap => caps::Capability::CAP_SETFCAP,
        Capability::Setpcap => caps::Capability::CAP_SETPCAP,
        Capability::Setuid => caps::Capability::CAP_SETUID,
        Capability::SysAdmin => caps::Capability::CAP_SYS_ADMIN,
        Capability::SysBoot => caps::Capability::CAP_SYS_BOOT,
        Capability::SysChroot => caps::Capability::CAP_SYS_CHROOT,
        Capability::SysModule => caps::Capability::CAP_SYS_MODULE,
        Capability::SysNice => caps::Capability::CAP_SYS_NICE,
        Capability::SysPacct => caps::Capability::CAP_SYS_PACCT,
        Capability::SysPtrace => caps::Capability::CAP_SYS_PTRACE,
        Capability::SysRawio => caps::Capability::CAP_SYS_RAWIO,
        Capability::SysResource => caps::Capability::CAP_SYS_RESOURCE,
        Capability::SysTime => caps::Capability::CAP_SYS_TIME,
        Capability::SysTtyConfig => caps::Capability::CAP_SYS_TTY_CONFIG,
        Capability::Syslog => caps::Capability::CAP_SYSLOG,
        Capability::WakeAlarm => caps::Capability::CAP_WAKE_ALARM,
    }
}
