//! The example configuration: what `corten spec` writes, element by element what `runc spec` writes.

use oci_spec::runtime::{
    Capability, Linux, LinuxCapabilities, LinuxDeviceCgroup, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace,
    LinuxNamespaceType, LinuxResources, Mount, PosixRlimitBuilder, PosixRlimitType, Process, Root, Spec,
};
use std::path::PathBuf;

/// The specification that `runc spec` writes; with `rootless`, what `runc spec --rootless` writes for the user and group
/// ids given. `unified` is whether the host has cgroups of version 2 only: a cgroup namespace is then asked for.
pub fn example(rootless: Option<(u32, u32)>, unified: bool) -> Spec {
    let mut root = Root::default();
    root.set_path(PathBuf::from("rootfs")).set_readonly(Some(true));
    let mut spec = Spec::default();
    spec.set_version("1.0.2-dev".to_owned())
        .set_process(Some(process()))
        .set_root(Some(root))
        .set_hostname(Some("runc".to_owned()))
        .set_mounts(Some(mounts(rootless.is_some())))
        .set_annotations(None)
        .set_linux(Some(linux(rootless, unified)));
    spec
}

fn process() -> Process {
    let capabilities = || Some([Capability::AuditWrite, Capability::Kill, Capability::NetBindService].into());
    let mut sets = LinuxCapabilities::default();
    // An inheritable set would come back in every file that has file capabilities (CVE-2022-24769, CVE-2022-29162).
    sets.set_bounding(capabilities())
        .set_effective(capabilities())
        .set_permitted(capabilities())
        .set_ambient(capabilities())
        .set_inheritable(None);
    let open_files = PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile).hard(1024u64).soft(1024u64);
    let environment =
        ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"].map(str::to_owned);
    let mut process = Process::default();
    process
        .set_terminal(Some(true))
        .set_args(Some(vec!["sh".to_owned()]))
        .set_env(Some(environment.to_vec()))
        .set_cwd(PathBuf::from("/"))
        .set_capabilities(Some(sets))
        .set_rlimits(open_files.build().ok().map(|rlimit| vec![rlimit]))
        .set_no_new_privileges(Some(true));
    process
}

fn mounts(rootless: bool) -> Vec<Mount> {
    let mount = |destination: &str, fstype: &str, source: &str, options: &[&str]| {
        let mut mount = Mount::default();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        mount
            .set_destination(PathBuf::from(destination))
            .set_typ(Some(fstype.to_owned()))
            .set_source(Some(PathBuf::from(source)))
            .set_options(Some(options).filter(|options| !options.is_empty()));
        mount
    };
    let pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    // A user who is not root has no group 5 to map, and cannot mount sysfs for a network namespace of the host.
    let pts = if rootless { pts.split_last().map_or(&pts[..], |(_, without_gid)| without_gid) } else { &pts };
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", pts),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        if rootless {
            mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"])
        } else {
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"])
        },
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}

fn linux(rootless: Option<(u32, u32)>, unified: bool) -> Linux {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, User, Uts};
    let mut kinds = vec![Pid];
    if rootless.is_none() {
        kinds.push(Network);
    }
    kinds.extend([Ipc, Uts, Mount]);
    if unified {
        kinds.push(Cgroup);
    }
    if rootless.is_some() {
        kinds.push(User);
    }
    let namespace = |kind| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind);
        namespace
    };
    let names = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect::<Vec<String>>());
    let masked = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/sys/firmware",
        "/proc/scsi",
    ];
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(kinds.into_iter().map(namespace).collect()))
        .set_resources(rootless.is_none().then(no_devices))
        .set_uid_mappings(rootless.and_then(|(uid, _)| only(uid)))
        .set_gid_mappings(rootless.and_then(|(_, gid)| only(gid)))
        .set_masked_paths(names(&masked))
        .set_readonly_paths(names(&["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]));
    linux
}

fn no_devices() -> LinuxResources {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(false).set_access(Some("rwm".to_owned()));
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(vec![rule]));
    resources
}

/// Root inside is `id` outside, nobody else is mapped.
fn only(id: u32) -> Option<Vec<LinuxIdMapping>> {
    LinuxIdMappingBuilder::default().container_id(0u32).host_id(id).size(1u32).build().ok().map(|mapping| vec![mapping])
}
