//! `linux.intelRdt`.

use super::fault::Faults;
use oci_spec::runtime::LinuxIntelRdt;
use serde::Serialize;
use std::fmt::Display;

/// What of the processor's caches and memory bandwidth the container gets, see resctrl.rst of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IntelRdt {
    /// `closID`: the group, whose name is the container's id unless given; `/` is the root's.
    pub clos_id: Option<String>,
    /// `l3CacheSchema`, without lines about memory bandwidth.
    pub l3_cache_schema: Option<String>,
    /// `memBwSchema`.
    pub mem_bw_schema: Option<String>,
    /// `schemata`: lines that are written after the other two.
    pub schemata: Vec<String>,
    /// `enableMonitoring`.
    pub monitoring: bool,
}

/// What every group has in it: names that no group can have.
const RESERVED: [&str; 3] = ["info", "mon_data", "mon_groups"];

/// Checks `linux.intelRdt`.
pub(super) fn validate(rdt: &LinuxIntelRdt, faults: &mut Faults) -> IntelRdt {
    let lines = rdt.schemata().as_deref().unwrap_or_default().iter().enumerate();
    IntelRdt {
        clos_id: group(rdt.clos_id().as_deref(), faults),
        l3_cache_schema: l3("linux.intelRdt.l3CacheSchema", rdt.l3_cache_schema().as_deref(), faults),
        mem_bw_schema: bandwidth("linux.intelRdt.memBwSchema", rdt.mem_bw_schema().as_deref(), faults),
        schemata: lines.map(|(i, line)| schema(format_args!("linux.intelRdt.schemata[{i}]"), line, faults)).collect(),
        monitoring: rdt.enable_monitoring().unwrap_or(false),
    }
}

/// The name of a directory in the root of the file system, or that root.
fn group(name: Option<&str>, faults: &mut Faults) -> Option<String> {
    let name = name.filter(|name| !name.is_empty())?;
    let is_path = name != "/" && name.contains('/');
    if is_path || name == "." || name == ".." || name.contains(['\n', '\0']) || RESERVED.contains(&name) {
        faults.add("linux.intelRdt.closID", format!("invalid intelRdt.ClosID {name:?}"));
    } else if name.len() > 255 {
        faults.add("linux.intelRdt.closID", "is longer than 255 bytes");
    }
    Some(name.to_owned())
}

/// One line for `schemata`, such as `L3:0=f;1=f`.
fn schema(location: impl Display, line: &str, faults: &mut Faults) -> String {
    if line.contains(['\n', '\0']) {
        faults.add(location, format!("{line:?} is not one line"));
    } else if !line.split_once(':').is_some_and(|(resource, domains)| !resource.is_empty() && domains.contains('=')) {
        faults.add(location, format!("{line:?} is not of the form RESOURCE:DOMAIN=VALUE;…"));
    }
    line.to_owned()
}

/// The specification: lines of it about memory bandwidth are left out.
pub(super) fn l3(location: &str, text: Option<&str>, faults: &mut Faults) -> Option<String> {
    let text = text.filter(|text| !text.is_empty())?;
    let of_cache = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("MB:"));
    let lines: Vec<String> = of_cache.map(|line| schema(location, line, faults)).collect();
    Some(lines.join("\n")).filter(|lines| !lines.is_empty())
}

/// The specification: it must begin with `MB:`, and be one line.
pub(super) fn bandwidth(location: &str, text: Option<&str>, faults: &mut Faults) -> Option<String> {
    let text = text.filter(|text| !text.is_empty())?;
    let line = schema(location, text.trim_end_matches('\n'), faults);
    if !line.starts_with("MB:") {
        faults.add(location, format!("{line:?} does not begin with MB:"));
    }
    Some(line)
}
