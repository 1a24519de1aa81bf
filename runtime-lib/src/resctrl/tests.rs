//! On a directory that is laid out like the file system: this machine has none. What differs is that the kernel makes a
//! group's files with it, and takes them away with it.

use super::*;
use crate::host::Resctrl;
use std::fs;

struct Laid(tempfile::TempDir);

impl Laid {
    fn new() -> Laid {
        let laid = Laid(tempfile::tempdir().unwrap());
        for (file, text) in [
            ("info/L3/cbm_mask", "fffff\n"),
            ("info/L3/min_cbm_bits", "1\n"),
            ("info/L3/num_closids", "16\n"),
            ("info/MB/bandwidth_gran", "10\n"),
            ("info/MB/delay_linear", "1\n"),
            ("info/MB/min_bandwidth", "10\n"),
            ("info/MB/num_closids", "8\n"),
            ("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n"),
            ("info/last_cmd_status", "ok\n"),
            ("schemata", "    L3:0=fffff;1=fffff\n    MB:0=100;1=100\n"),
            ("tasks", ""),
        ] {
            laid.file(file, text);
        }
        laid
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn has(&self, path: &str) -> bool {
        self.0.path().join(path).exists()
    }

    fn host(&self) -> Resctrl {
        Resctrl::at(self.0.path().to_str().unwrap())
    }

    fn group(&self, name: &str, own: bool) -> Group {
        Group { root: self.0.path().to_owned(), path: self.0.path().join(name), own, monitor: None }
    }

    /// What the kernel does with a directory that is removed.
    fn empty(&self, directory: &str) {
        for entry in fs::read_dir(self.0.path().join(directory)).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

fn lines(text: &[&str]) -> Vec<String> {
    text.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn an_own_group_is_made_filled_joined_and_removed() {
    let laid = Laid::new();
    let group = laid.group("web", true);
    let _made = group.make(&lines(&["L3:0=f", "MB:0=50"])).unwrap();
    assert_eq!(laid.read("web/schemata"), "L3:0=f\nMB:0=50\n");
    group.join(42).unwrap();
    assert_eq!(laid.read("web/tasks"), "42\n");
    laid.empty("web");
    group.remove().unwrap();
    assert!(!laid.has("web"));
    group.remove().unwrap();
    group.join_if_there(43).unwrap();
    assert!(!laid.has("web"));
}

#[test]
fn without_a_share_nothing_is_written() {
    let laid = Laid::new();
    laid.group("web", true).make(&[]).unwrap();
    assert!(laid.has("web") && !laid.has("web/schemata"));
}

#[test]
fn a_named_group_that_exists_must_have_the_share() {
    let laid = Laid::new();
    laid.file("gold/schemata", "    L3:0=0000f;1=fffff\n    MB:0= 50;1=100\n");
    let before = laid.read("gold/schemata");
    let group = laid.group("gold", false);
    // In the forms of people, in part, or none at all.
    for same in [&["L3:1=FFFFF;0=f", "MB:0=50"][..], &["MB: 1 = 100"], &["L3:0=0x0f"], &[]] {
        group.make(&lines(same)).unwrap();
    }
    for (other, has) in [("L3:0=ff", "L3:0=f, not with ff"), ("MB:2=10", "MB:2=none"), ("L2:0=1", "L2:0=none")] {
        let error = group.make(&lines(&[other])).unwrap_err();
        assert_eq!(error.location(), Some("linux.intelRdt.closID"));
        assert!(error.to_string().contains(has), "{error:#}");
    }
    assert_eq!(laid.read("gold/schemata"), before);
    group.remove().unwrap();
    assert!(laid.has("gold"), "it is somebody's");
}

#[test]
fn a_named_group_is_made_if_there_is_a_share_for_it() {
    let laid = Laid::new();
    let group = laid.group("gold", false);
    let error = group.make(&[]).unwrap_err();
    assert_eq!((error.location(), error.errno()), (Some("linux.intelRdt.closID"), Some(libc::ENOENT)));
    assert!(!laid.has("gold"));
    let made = group.make(&lines(&["L3:0=f"])).unwrap();
    assert_eq!(laid.read("gold/schemata"), "L3:0=f\n");
    // A start that fails takes back what it made, also when it is not the container's to remove later.
    laid.empty("gold");
    made.undo();
    assert!(!laid.has("gold"));
}

#[test]
fn the_root_group_can_be_named() {
    let laid = Laid::new();
    let group = Group { path: laid.0.path().to_owned(), ..laid.group("", false) };
    group.make(&[]).unwrap();
    group.join(7).unwrap();
    assert_eq!(laid.read("tasks"), "7\n");
    group.remove().unwrap();
    assert!(laid.has("schemata"));
}

#[test]
fn a_group_for_counting_is_the_containers_own() {
    let laid = Laid::new();
    laid.file("gold/mon_groups/other/tasks", "1\n");
    let monitor = Some(laid.0.path().join("gold/mon_groups/web"));
    let group = Group { monitor, ..laid.group("gold", false) };
    let made = group.make(&[]).unwrap();
    group.join(42).unwrap();
    assert_eq!((laid.read("gold/tasks"), laid.read("gold/mon_groups/web/tasks")), ("42\n".into(), "42\n".into()));
    laid.empty("gold/mon_groups/web");
    group.remove().unwrap();
    assert!(!laid.has("gold/mon_groups/web") && laid.has("gold/mon_groups/other"));
    made.undo();
    assert!(laid.has("gold"));
}

#[test]
fn a_refusal_has_the_kernels_reason() {
    let laid = Laid::new();
    laid.file("info/last_cmd_status", "Mask 5 has non-consecutive 1-bits\n");
    // Something in the way of the file, as the kernel's refusal would be.
    laid.file("web/schemata/in-the-way", "");
    let error = laid.group("web", true).make(&lines(&["L3:0=5"])).unwrap_err();
    assert_eq!(error.location(), Some("linux.intelRdt"));
    let text = format!("{error:#}");
    assert!(text.contains("write \"L3:0=5\" to") && text.contains("non-consecutive"), "{text}");
    assert!(laid.has("web"), "it was there before");
}

#[test]
fn a_change_of_a_group_can_be_taken_back() {
    let laid = Laid::new();
    laid.file("web/schemata", "L3:0=f\n");
    let group = laid.group("web", true);
    let wanted = RdtChange { l3_cache_schema: Some("L3:0=3".to_owned()), mem_bw_schema: Some("MB:0=20".to_owned()) };
    let (same, before) = change(&wanted, Some(&group), Some(&laid.host()), "web", &[]).unwrap();
    assert_eq!((same, laid.read("web/schemata")), (group, "L3:0=3\nMB:0=20\n".to_owned()));
    before.restore();
    assert_eq!(laid.read("web/schemata"), "L3:0=f\n");
}

#[test]
fn a_change_gives_a_container_without_a_group_one_of_its_own() {
    let laid = Laid::new();
    let wanted = RdtChange { l3_cache_schema: Some("L3:0=3".to_owned()), mem_bw_schema: None };
    let (group, before) = change(&wanted, None, Some(&laid.host()), "web", &[5]).unwrap();
    assert_eq!(group, laid.group("web", true));
    assert_eq!((laid.read("web/schemata"), laid.read("web/tasks")), ("L3:0=3\n".into(), "5\n".into()));
    laid.empty("web");
    before.restore();
    assert!(!laid.has("web"));
}

#[test]
fn a_change_that_the_machine_cannot_make_is_refused_in_runcs_words() {
    let l3 = RdtChange { l3_cache_schema: Some("L3:0=3".to_owned()), mem_bw_schema: None };
    let mb = RdtChange { l3_cache_schema: None, mem_bw_schema: Some("MB:0=20".to_owned()) };
    let refused = |wanted| change(wanted, None, None, "web", &[]).unwrap_err().to_string();
    assert_eq!(refused(&l3), "Intel RDT/CAT: l3 cache schema is not enabled");
    assert_eq!(refused(&mb), "Intel RDT/MBA: memory bandwidth schema is not enabled");
}

#[test]
fn statistics_are_those_of_runcs_events() {
    let laid = Laid::new();
    laid.file("web/schemata", "    L3:0=0000f;1=fffff\n    MB:0= 50;1=100\n");
    for (directory, bytes) in [("web/mon_data", 1), ("web/mon_groups/web/mon_data", 2)] {
        laid.file(&format!("{directory}/mon_L3_01/llc_occupancy"), "Unavailable\n");
        laid.file(&format!("{directory}/mon_L3_00/llc_occupancy"), &format!("{bytes}000\n"));
        laid.file(&format!("{directory}/mon_L3_00/mbm_total_bytes"), &format!("{bytes}500\n"));
        laid.file(&format!("{directory}/mon_L3_00/mbm_local_bytes"), &format!("{bytes}400\n"));
    }
    let group = laid.group("web", true);
    let expected = serde_json::json!({
        "l3_cache_info": {"cbm_mask": "fffff", "min_cbm_bits": 1, "num_closids": 16},
        "l3_cache_schema_root": "L3:0=fffff;1=fffff",
        "l3_cache_schema": "L3:0=0000f;1=fffff",
        "mem_bw_info": {"bandwidth_gran": 10, "delay_linear": 1, "min_bandwidth": 10, "num_closids": 8},
        "mem_bw_schema_root": "MB:0=100;1=100",
        "mem_bw_schema": "MB:0= 50;1=100",
        "mbm_stats": [{"mbm_total_bytes": 1500, "mbm_local_bytes": 1400}, {}],
        "cmt_stats": [{"llc_occupancy": 1000}, {}],
    });
    assert_eq!(serde_json::to_value(group.stats()).unwrap(), expected);
    let monitored = Group { monitor: Some(laid.0.path().join("web/mon_groups/web")), ..group };
    assert_eq!(monitored.stats().cmt_stats[0].occupancy, 2000);
}
