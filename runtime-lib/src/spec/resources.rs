//! `linux.resources`: what has one meaning whatever the cgroup version. Names that become file names must not lead out
//! of the container's cgroup.

use super::fault::Faults;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

/// Checks `linux.resources`.
pub(super) fn validate(resources: &LinuxResources, faults: &mut Faults) {
    for (i, rule) in resources.devices().iter().flatten().enumerate() {
        device_rule(i, rule, faults);
    }
    for (i, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        if !is_page_size(limit.page_size()) {
            faults.add(
                format_args!("linux.resources.hugepageLimits[{i}].pageSize"),
                format!("{:?} is not a page size such as 64KB, 2MB or 1GB", limit.page_size()),
            );
        }
    }
    if let Some(cpu) = resources.cpu() {
        for (name, list) in [("cpus", cpu.cpus()), ("mems", cpu.mems())] {
            if list.as_deref().is_some_and(|list| list.contains(['\0', '\n'])) {
                faults.add(format_args!("linux.resources.cpu.{name}"), "is not a list of numbers");
            }
        }
    }
    for (i, priority) in
        resources.network().iter().flat_map(|network| network.priorities().iter().flatten()).enumerate()
    {
        if !is_word(priority.name()) {
            let message = format!("{:?} is not the name of an interface", priority.name());
            faults.add(format_args!("linux.resources.network.priorities[{i}].name"), message);
        }
    }
    let mut devices: Vec<_> = resources.rdma().iter().flat_map(|rdma| rdma.keys()).collect();
    devices.sort_unstable();
    for device in devices.into_iter().filter(|device| !is_word(device)) {
        faults.add(format_args!("linux.resources.rdma[{device:?}]"), "is not the name of a device");
    }
    let mut files: Vec<_> = resources.unified().iter().flatten().collect();
    files.sort_unstable();
    for (file, value) in files {
        let mut fault = |why| faults.add(format_args!("linux.resources.unified[{file:?}]"), why);
        if file.contains(['/', '\0']) || matches!(file.as_str(), "" | "." | "..") {
            fault("is not a file name");
        } else if value.contains('\0') {
            fault("contains a NUL byte");
        }
    }
}

fn device_rule(index: usize, rule: &LinuxDeviceCgroup, faults: &mut Faults) {
    if let Some(kind @ (LinuxDeviceType::U | LinuxDeviceType::P)) = rule.typ() {
        let message = format!("invalid device type {:?}", kind.as_str());
        faults.add(format_args!("linux.resources.devices[{index}].type"), message);
    }
    if let Some(access) = rule.access().as_deref().filter(|access| !access.chars().all(|c| "rwm".contains(c))) {
        let (location, message) =
            (format!("linux.resources.devices[{index}].access"), "has a letter other than r, w and m");
        match access.contains(['r', 'w', 'm']) {
            // As by runc.
            true => faults.warn(location, format!("{access:?} {message}, which is ignored")),
            false => faults.add(location, format!("{access:?} {message}")),
        }
    }
    // -1 stands for all, as no number does.
    for (name, number) in [("major", rule.major()), ("minor", rule.minor())] {
        if let Some(number) = number.filter(|number| !(-1..=i64::from(u32::MAX)).contains(number)) {
            let message = format!("{number} is out of range -1-{}", u32::MAX);
            faults.add(format_args!("linux.resources.devices[{index}].{name}"), message);
        }
    }
}

/// A positive number followed by `KB`, `MB` or `GB`: the kernel's spelling in `hugetlb.64KB.limit_in_bytes`.
fn is_page_size(size: &str) -> bool {
    let number = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
    number.is_some_and(|number| {
        !number.is_empty() && !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether `text` can stand in a line of words: it is written as the first one of several.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '\0')
}
