//! Resource limits of the process.

use corten_integration::{on_every_view, once};
use serde_json::json;

fn limit(text: &str, name: &str) -> Vec<String> {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.trim_start_matches(name).split_whitespace().take(2).map(String::from).collect()
}

#[test]
fn every_kind_of_limit_is_set() {
    on_every_view(|t| {
        let kinds = [
            ("RLIMIT_AS", "Max address space", 4_000_000_000_u64),
            ("RLIMIT_CORE", "Max core file size", 0),
            ("RLIMIT_CPU", "Max cpu time", 60),
            ("RLIMIT_DATA", "Max data size", 3_000_000_000),
            ("RLIMIT_FSIZE", "Max file size", 1_000_000),
            ("RLIMIT_LOCKS", "Max file locks", 100),
            ("RLIMIT_MEMLOCK", "Max locked memory", 4096),
            ("RLIMIT_MSGQUEUE", "Max msgqueue size", 8192),
            ("RLIMIT_NICE", "Max nice priority", 0),
            ("RLIMIT_NOFILE", "Max open files", 100),
            ("RLIMIT_NPROC", "Max processes", 500),
            ("RLIMIT_RSS", "Max resident set", 2_000_000_000),
            ("RLIMIT_RTPRIO", "Max realtime priority", 0),
            ("RLIMIT_RTTIME", "Max realtime timeout", 1000),
            ("RLIMIT_SIGPENDING", "Max pending signals", 77),
            ("RLIMIT_STACK", "Max stack size", 1_048_576),
        ];
        let limits: Vec<_> =
            kinds.iter().map(|(kind, _, hard)| json!({"type": kind, "soft": hard / 2, "hard": hard})).collect();
        let output = t.output_of(t.bundle().set("/process/rlimits", limits).args(&["cat", "/proc/self/limits"]));
        for (kind, name, hard) in kinds {
            assert_eq!(limit(&output, name), [(hard / 2).to_string(), hard.to_string()], "{kind}");
        }
    });
}

#[test]
fn an_unlimited_limit() {
    once(|t| {
        let limits = json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": u64::MAX}]);
        let own = std::fs::read_to_string("/proc/self/limits").unwrap();
        if limit(&own, "Max core file size")[1] != "unlimited" {
            corten_integration::skip!("the caller's own limit is lower, and raising it takes CAP_SYS_RESOURCE");
        }
        let output = t.output_of(t.bundle().set("/process/rlimits", limits).args(&["cat", "/proc/self/limits"]));
        assert_eq!(limit(&output, "Max core file size"), ["0", "unlimited"]);
    });
}
