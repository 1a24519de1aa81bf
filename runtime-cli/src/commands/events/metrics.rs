//! Statistics as OpenMetrics text 1.0, which Prometheus and its relatives read.

use libcorten::cgroup::Stats;
use libcorten::cgroup::stats::{BlockIoEntry, Pressure};
use std::fmt::Write;

/// Nanoseconds in a second.
const NANOSECONDS: f64 = 1e9;

/// All metrics of a container, and the end mark.
pub(super) fn text(id: &str, stats: &Stats) -> String {
    let mut page = Page { id, text: String::new() };
    cpu(&mut page, stats);
    memory(&mut page, stats);
    page.gauge("pids", "Processes and threads.", &[(&[], stats.pids.current as f64)]);
    if stats.pids.limit > 0 {
        page.gauge("pids_limit", "Limit of processes and threads.", &[(&[], stats.pids.limit as f64)]);
    }
    block_io(&mut page, "bytes", "Bytes moved, by device and operation.", &stats.block_io.bytes);
    block_io(&mut page, "operations", "Operations done, by device and operation.", &stats.block_io.operations);
    let sizes = stats.hugetlb.iter();
    let used: Vec<_> = sizes.clone().map(|(size, pages)| ([("size", size.as_str())], pages.usage as f64)).collect();
    let used: Vec<Sample<'_>> = used.iter().map(|(labels, value)| (labels.as_slice(), *value)).collect();
    page.gauge("hugetlb_usage_bytes", "Huge pages in use, by page size.", &used);
    for (resource, pressure) in
        [("cpu", &stats.cpu.pressure), ("memory", &stats.memory.pressure), ("io", &stats.block_io.pressure)]
    {
        page.pressure(resource, pressure.as_ref());
    }
    page.text.push_str("# EOF\n");
    page.text
}

fn cpu(page: &mut Page<'_>, stats: &Stats) {
    let (usage, throttling) = (&stats.cpu.usage, &stats.cpu.throttling);
    let seconds = |nanoseconds: u64| nanoseconds as f64 / NANOSECONDS;
    page.counter("cpu_usage_seconds", "Processor time.", &[(&[], seconds(usage.total))]);
    let modes: [Sample<'_>; 2] =
        [(&[("mode", "kernel")], seconds(usage.kernel)), (&[("mode", "user")], seconds(usage.user))];
    page.counter("cpu_mode_seconds", "Processor time, by mode.", &modes);
    page.counter("cpu_periods", "Periods of the CPU quota.", &[(&[], throttling.periods as f64)]);
    let throttled = throttling.throttled_periods as f64;
    page.counter("cpu_throttled_periods", "Periods in which the CPU quota was used up.", &[(&[], throttled)]);
    let waited = seconds(throttling.throttled_time);
    page.counter("cpu_throttled_seconds", "Time lost to the CPU quota.", &[(&[], waited)]);
}

fn memory(page: &mut Page<'_>, stats: &Stats) {
    let memory = &stats.memory;
    page.gauge("memory_usage_bytes", "Memory in use.", &[(&[], memory.usage.usage as f64)]);
    page.gauge("memory_max_usage_bytes", "The most memory that was in use.", &[(&[], memory.usage.max as f64)]);
    // What no machine has is how both versions say that there is no limit.
    if memory.usage.limit < 1 << 60 {
        page.gauge("memory_limit_bytes", "Limit of memory.", &[(&[], memory.usage.limit as f64)]);
    }
    page.counter("memory_failures", "How often the limit of memory was hit.", &[(&[], memory.usage.failures as f64)]);
    page.gauge("memory_and_swap_usage_bytes", "Memory and swap in use.", &[(&[], memory.swap.usage as f64)]);
    page.gauge("memory_cache_bytes", "Pages of files that are kept in memory.", &[(&[], memory.cache as f64)]);
}

fn block_io(page: &mut Page<'_>, what: &str, help: &str, entries: &[BlockIoEntry]) {
    let rows: Vec<(String, String, f64)> = entries
        .iter()
        .filter(|entry| ["Read", "Write", "Discard"].contains(&entry.operation.as_str()))
        .map(|entry| (format!("{}:{}", entry.major, entry.minor), entry.operation.to_lowercase(), entry.value as f64))
        .collect();
    let labels: Vec<_> = rows.iter().map(|(device, op, _)| [("device", device.as_str()), ("operation", op)]).collect();
    let samples: Vec<Sample<'_>> =
        labels.iter().zip(&rows).map(|(labels, (_, _, value))| (labels.as_slice(), *value)).collect();
    page.counter(&format!("block_io_{what}"), help, &samples);
}

/// Labels besides the container's id, and a value.
type Sample<'a> = (&'a [(&'a str, &'a str)], f64);

struct Page<'a> {
    id: &'a str,
    text: String,
}

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, samples: &[Sample<'_>]) {
        self.family(name, "gauge", "", help, samples);
    }

    /// The samples of a counter have `_total` behind the name of their family.
    fn counter(&mut self, name: &str, help: &str, samples: &[Sample<'_>]) {
        self.family(name, "counter", "_total", help, samples);
    }

    fn family(&mut self, name: &str, kind: &str, suffix: &str, help: &str, samples: &[Sample<'_>]) {
        if samples.is_empty() {
            return;
        }
        let name = format!("container_{name}");
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        for unit in ["seconds", "bytes"].iter().filter(|unit| name.ends_with(&format!("_{unit}"))) {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.text, "# HELP {name} {help}");
        for (labels, value) in samples {
            let _ = write!(self.text, "{name}{suffix}{{id=\"{}\"", escaped(self.id));
            for (label, text) in *labels {
                let _ = write!(self.text, ",{label}=\"{}\"", escaped(text));
            }
            let _ = writeln!(self.text, "}} {value}");
        }
    }

    fn pressure(&mut self, resource: &str, pressure: Option<&Pressure>) {
        let Some(pressure) = pressure else { return };
        // The kernel counts microseconds.
        let seconds = |total: u64| total as f64 / 1e6;
        let samples: [Sample<'_>; 2] = [
            (&[("tasks", "some")], seconds(pressure.some.total)),
            (&[("tasks", "full")], seconds(pressure.full.total)),
        ];
        self.counter(&format!("{resource}_pressure_seconds"), "Time in which tasks waited for the resource.", &samples);
    }
}

/// A label's value between its quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_their_type_unit_and_samples() {
        let mut stats = Stats::default();
        stats.cpu.usage.total = 1_500_000_000;
        stats.block_io.bytes =
            vec![BlockIoEntry { major: 8, minor: 16, operation: "Read".into(), value: 4096 }, BlockIoEntry::default()];
        stats.memory.usage.limit = u64::MAX;
        let text = text("a", &stats);
        let usage = "# TYPE container_cpu_usage_seconds counter\n# UNIT container_cpu_usage_seconds seconds\n\
                     # HELP container_cpu_usage_seconds Processor time.\n\
                     container_cpu_usage_seconds_total{id=\"a\"} 1.5\n";
        assert!(text.starts_with(usage), "{text}");
        assert!(text.contains("container_block_io_bytes_total{id=\"a\",device=\"8:16\",operation=\"read\"} 4096\n"));
        assert!(!text.contains("memory_limit") && !text.contains("hugetlb"), "no limit, no pages: {text}");
        assert!(text.ends_with("\n# EOF\n"));
    }
}
