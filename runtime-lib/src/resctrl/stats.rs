//! What a group has and uses, as runc's `events` prints it.

use super::Group;
use serde::Serialize;
use std::path::Path;

/// What a container has of caches and memory bandwidth, and what it uses of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RdtStats {
    /// What the L3 cache can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_info: Option<L3CacheInfo>,
    /// The L3 line of the root group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub l3_cache_schema_root: String,
    /// The L3 line of the container's group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub l3_cache_schema: String,
    /// What memory bandwidth can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_info: Option<MemoryBandwidthInfo>,
    /// The MB line of the root group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mem_bw_schema_root: String,
    /// The MB line of the container's group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mem_bw_schema: String,
    /// Memory traffic, by the cache it goes through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mbm_stats: Vec<BandwidthUse>,
    /// The cache in use, by cache.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmt_stats: Vec<CacheUse>,
}

/// `info/L3` of the file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the kernel's names, see resctrl.rst")]
pub struct L3CacheInfo {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cbm_mask: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub min_cbm_bits: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_closids: u64,
}

/// `info/MB` of the file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the kernel's names, see resctrl.rst")]
pub struct MemoryBandwidthInfo {
    #[serde(skip_serializing_if = "is_zero")]
    pub bandwidth_gran: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub delay_linear: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub min_bandwidth: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_closids: u64,
}

/// Memory traffic in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BandwidthUse {
    /// All of it.
    #[serde(rename = "mbm_total_bytes", skip_serializing_if = "is_zero")]
    pub total: u64,
    /// To the memory nearby.
    #[serde(rename = "mbm_local_bytes", skip_serializing_if = "is_zero")]
    pub local: u64,
}

/// Bytes of a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheUse {
    /// In use.
    #[serde(rename = "llc_occupancy", skip_serializing_if = "is_zero")]
    pub occupancy: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Group {
    /// What the group has and uses. What the machine does not count is left out.
    pub(crate) fn stats(&self) -> RdtStats {
        let of = |directory: &Path, resource: &str| {
            let text = std::fs::read_to_string(directory.join("schemata")).unwrap_or_default();
            let line = text.lines().map(str::trim).find(|line| line.starts_with(resource));
            line.unwrap_or_default().to_owned()
        };
        let info = |name: &str| Some(self.root.join("info").join(name)).filter(|path| path.is_dir());
        let counted = self.monitor.as_ref().unwrap_or(&self.path).join("mon_data");
        let mut stats = RdtStats::default();
        if let Some(info) = info("L3") {
            stats.l3_cache_info = Some(L3CacheInfo {
                cbm_mask: text(&info.join("cbm_mask")),
                min_cbm_bits: number(&info.join("min_cbm_bits")),
                num_closids: number(&info.join("num_closids")),
            });
            stats.l3_cache_schema_root = of(&self.root, "L3:");
            stats.l3_cache_schema = of(&self.path, "L3:");
        }
        if let Some(info) = info("MB") {
            stats.mem_bw_info = Some(MemoryBandwidthInfo {
                bandwidth_gran: number(&info.join("bandwidth_gran")),
                delay_linear: number(&info.join("delay_linear")),
                min_bandwidth: number(&info.join("min_bandwidth")),
                num_closids: number(&info.join("num_closids")),
            });
            stats.mem_bw_schema_root = of(&self.root, "MB:");
            stats.mem_bw_schema = of(&self.path, "MB:");
        }
        if let Some(info) = info("L3_MON") {
            count(&counted, &text(&info.join("mon_features")), &mut stats);
        }
        stats
    }
}

/// Reads the counters that `features` names, of each cache.
fn count(counted: &Path, features: &str, stats: &mut RdtStats) {
    let has = |feature: &str| features.lines().any(|line| line == feature);
    let entries = std::fs::read_dir(counted).into_iter().flatten().flatten();
    let mut caches: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    caches.sort();
    for cache in caches {
        if has("mbm_total_bytes") || has("mbm_local_bytes") {
            stats.mbm_stats.push(BandwidthUse {
                total: number(&cache.join("mbm_total_bytes")),
                local: number(&cache.join("mbm_local_bytes")),
            });
        }
        if has("llc_occupancy") {
            stats.cmt_stats.push(CacheUse { occupancy: number(&cache.join("llc_occupancy")) });
        }
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// What says `Unavailable` or is not there counts as nothing.
fn number(path: &Path) -> u64 {
    text(path).parse().unwrap_or(0)
}
