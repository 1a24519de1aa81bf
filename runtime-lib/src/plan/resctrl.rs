//! The resctrl group of the container, `linux.intelRdt`.

use crate::error::{Error, ErrorKind, Result};
use crate::host::Resctrl;
use crate::id::ContainerId;
use crate::spec::IntelRdt;
use serde::Serialize;

/// A group that the container's processes are put into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResctrlPlan {
    /// Where the file system is mounted.
    pub root: String,
    /// The group's directory.
    pub group: String,
    /// The group bears the container's name: it is made for the container, and removed with it.
    pub own: bool,
    /// Lines for the group's `schemata`. A group that is not the container's own and exists must have them already.
    pub schemata: Vec<String>,
    /// The monitoring group for the container alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<String>,
}

pub(super) fn lower(rdt: &IntelRdt, host: Option<&Resctrl>, id: &ContainerId) -> Result<ResctrlPlan> {
    let refuse = |location: &str, message: &str| Error::config(location, message).with_kind(ErrorKind::Unsupported);
    let (l3_cache, memory_bandwidth, monitoring) =
        host.map_or((false, false, false), |host| (host.l3_cache, host.memory_bandwidth, host.monitoring));
    if rdt.l3_cache_schema.is_some() && !l3_cache {
        let message = "intelRdt.l3CacheSchema is specified in config, but Intel RDT/CAT is not enabled";
        return Err(refuse("linux.intelRdt.l3CacheSchema", message));
    }
    if rdt.mem_bw_schema.is_some() && !memory_bandwidth {
        let message = "intelRdt.memBwSchema is specified in config, but Intel RDT/MBA is not enabled";
        return Err(refuse("linux.intelRdt.memBwSchema", message));
    }
    if rdt.monitoring && !monitoring {
        let message = "intelRdt.enableMonitoring is specified in config, but Intel RDT monitoring is not enabled";
        return Err(refuse("linux.intelRdt.enableMonitoring", message));
    }
    let Some(host) = host else {
        let message = "intelRdt is specified in config, but Intel RDT is not supported or enabled";
        return Err(refuse("linux.intelRdt", message).hint("no resctrl file system is mounted"));
    };
    let group = match rdt.clos_id.as_deref() {
        Some("/") => host.mount_point.clone(),
        Some(name) => format!("{}/{name}", host.mount_point),
        None => format!("{}/{id}", host.mount_point),
    };
    let own = [&rdt.l3_cache_schema, &rdt.mem_bw_schema].into_iter().flatten();
    Ok(ResctrlPlan {
        root: host.mount_point.clone(),
        own: rdt.clos_id.is_none(),
        schemata: own.flat_map(|lines| lines.lines()).map(str::to_owned).chain(rdt.schemata.iter().cloned()).collect(),
        monitor: rdt.monitoring.then(|| format!("{group}/mon_groups/{id}")),
        group,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: fn() -> Resctrl = || Resctrl {
        mount_point: "/sys/fs/resctrl".to_owned(),
        l3_cache: true,
        memory_bandwidth: true,
        monitoring: true,
    };

    fn rdt(clos_id: Option<&str>) -> IntelRdt {
        IntelRdt {
            clos_id: clos_id.map(str::to_owned),
            l3_cache_schema: Some("L3:0=f\nL2:0=3".to_owned()),
            mem_bw_schema: Some("MB:0=50".to_owned()),
            schemata: vec!["L3:1=1".to_owned()],
            monitoring: true,
        }
    }

    fn lowered(rdt: &IntelRdt, host: Option<&Resctrl>) -> Result<ResctrlPlan> {
        lower(rdt, host, &ContainerId::new("web").unwrap())
    }

    #[test]
    fn the_group_is_the_containers_own_unless_it_is_named() {
        let plan = lowered(&rdt(None), Some(&HOST())).unwrap();
        assert_eq!((plan.group.as_str(), plan.own), ("/sys/fs/resctrl/web", true));
        assert_eq!(plan.monitor.as_deref(), Some("/sys/fs/resctrl/web/mon_groups/web"));
        assert_eq!(plan.schemata, ["L3:0=f", "L2:0=3", "MB:0=50", "L3:1=1"]);
        let plan = lowered(&rdt(Some("gold")), Some(&HOST())).unwrap();
        assert_eq!((plan.group.as_str(), plan.own), ("/sys/fs/resctrl/gold", false));
        let plan = lowered(&IntelRdt { monitoring: false, ..rdt(Some("/")) }, Some(&HOST())).unwrap();
        assert_eq!((plan.group.as_str(), plan.monitor), ("/sys/fs/resctrl", None));
    }

    #[test]
    fn what_the_machine_lacks_is_refused_by_name() {
        let plain = IntelRdt { l3_cache_schema: None, mem_bw_schema: None, monitoring: false, ..rdt(None) };
        for (rdt, host, location) in [
            (plain, None, "linux.intelRdt"),
            (rdt(None), None, "linux.intelRdt.l3CacheSchema"),
            (rdt(None), Some(Resctrl { l3_cache: false, ..HOST() }), "linux.intelRdt.l3CacheSchema"),
            (rdt(None), Some(Resctrl { memory_bandwidth: false, ..HOST() }), "linux.intelRdt.memBwSchema"),
            (rdt(None), Some(Resctrl { monitoring: false, ..HOST() }), "linux.intelRdt.enableMonitoring"),
        ] {
            let error = lowered(&rdt, host.as_ref()).unwrap_err();
            assert_eq!((error.location(), error.kind()), (Some(location), ErrorKind::Unsupported), "{error:#}");
        }
    }
}
