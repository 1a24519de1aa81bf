//! Containers with `linux.intelRdt`, on a directory that is laid out like the resctrl file system: few machines have one.
//! What the kernel does there (a group's files come and go with its directory) is done by the test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

use libcorten::host::{Host, Resctrl};
use libcorten::resctrl::RdtChange;
use libcorten::{Bundle, Container, ContainerBuilder, ErrorKind, Force};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Place {
    dir: TempDir,
    id: String,
}

impl Place {
    /// None for who is not root.
    fn new(name: &str) -> Option<Place> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: containers with cgroups and devices need root");
            return None;
        }
        let dir = TempDir::new().unwrap();
        for directory in ["rootfs/bin", "rootfs/proc", "rootfs/dev", "rootfs/sys"] {
            fs::create_dir_all(dir.path().join(directory)).unwrap();
        }
        let path = std::env::var_os("PATH").unwrap();
        let mut programs = std::env::split_paths(&path).map(|directory| directory.join("busybox"));
        let busybox = programs.find(|path| path.is_file()).expect("busybox in PATH: install Debian's busybox-static");
        fs::copy(busybox, dir.path().join("rootfs/bin/busybox")).unwrap();
        let place = Place { dir, id: format!("corten-resctrl-{}-{name}", std::process::id()) };
        for (file, text) in [
            ("info/L3/cbm_mask", "fffff\n"),
            ("info/MB/min_bandwidth", "10\n"),
            ("info/L3_MON/mon_features", "llc_occupancy\n"),
            ("schemata", "    L3:0=fffff\n    MB:0=100\n"),
            ("tasks", ""),
        ] {
            place.file(file, text);
        }
        Some(place)
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("resctrl")
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn has(&self, path: &str) -> bool {
        self.root().join(path).exists()
    }

    fn empty(&self, directory: &str) {
        for entry in fs::read_dir(self.root().join(directory)).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    fn builder(&self, rdt: Value, change: impl FnOnce(&mut Value)) -> ContainerBuilder {
        let mut config = serde_json::to_value(libcorten::spec::example(None, false)).unwrap();
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["busybox", "sleep", "1000"]);
        config["linux"]["cgroupsPath"] = json!(format!("/{}", self.id));
        config["linux"]["intelRdt"] = rdt;
        change(&mut config);
        let bundle = Bundle::with_config(self.dir.path(), config.to_string().as_bytes()).unwrap();
        let host = Host { resctrl: Some(Resctrl::at(self.root().to_str().unwrap())), ..Host::probe().unwrap() };
        let null = || fs::File::options().read(true).write(true).open("/dev/null").unwrap();
        let builder = Container::builder(&self.id).unwrap().state_root(self.dir.path().join("state"));
        builder.loaded_bundle(bundle).host(host).stdin(null()).stdout(null()).stderr(null())
    }

    fn load(&self) -> Container {
        Container::load(self.dir.path().join("state"), &self.id).unwrap()
    }

    fn assert_no_container(&self) {
        assert_eq!(fs::read_dir(self.dir.path().join("state")).map_or(0, Iterator::count), 0);
    }
}

#[test]
fn a_container_has_its_group_from_create_to_delete() {
    let Some(place) = Place::new("own") else { return };
    let id = &place.id;
    let rdt = json!({"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=50", "enableMonitoring": true});
    // The directory of groups for counting comes with the group.
    place.file(&format!("{id}/mon_groups/kernel"), "");
    let mut container = place.builder(rdt, |_| {}).create().unwrap();
    assert_eq!(place.read(&format!("{id}/schemata")), "L3:0=f\nMB:0=50\n");
    let tasks = [format!("{id}/tasks"), format!("{id}/mon_groups/{id}/tasks")];
    for tasks in &tasks {
        assert_eq!(place.read(tasks), format!("{}\n", container.pid().unwrap()));
    }
    container.start().unwrap();
    let mut process = place.load().exec(["busybox", "true"]).spawn().unwrap();
    for tasks in &tasks {
        assert_eq!(place.read(tasks), format!("{}\n", process.pid()));
    }
    process.wait().unwrap();
    place.file(&format!("{id}/mon_groups/{id}/mon_data/mon_L3_00/llc_occupancy"), "4096\n");
    let stats = serde_json::to_value(place.load().stats().unwrap().intel_rdt).unwrap();
    assert_eq!(stats["l3_cache_schema"], "L3:0=f");
    assert_eq!(stats["l3_cache_schema_root"], "L3:0=fffff");
    assert_eq!(stats["mem_bw_info"]["min_bandwidth"], 10);
    assert_eq!(stats["cmt_stats"], json!([{"llc_occupancy": 4096}]));
    let change = RdtChange { l3_cache_schema: Some("L3:0=3".to_owned()), mem_bw_schema: None };
    place.load().update_with(&Default::default(), &change).unwrap();
    assert_eq!(place.read(&format!("{id}/schemata")), "L3:0=3\n");
    // A limit that is refused takes the other half of the change back.
    let change = RdtChange { l3_cache_schema: Some("L3:0=1".to_owned()), mem_bw_schema: None };
    let cpus = serde_json::from_value(json!({"cpu": {"cpus": "100000"}})).unwrap();
    assert!(place.load().update_with(&cpus, &change).is_err());
    assert_eq!(place.read(&format!("{id}/schemata")), "L3:0=3\n");
    let change = RdtChange { l3_cache_schema: None, mem_bw_schema: Some("L3:0=1".to_owned()) };
    let refused = place.load().update_with(&Default::default(), &change).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
    // What the kernel does with the directories that are to be removed.
    fs::remove_dir_all(place.root().join(format!("{id}/mon_groups/{id}/mon_data"))).unwrap();
    place.empty(&format!("{id}/mon_groups/{id}"));
    fs::remove_dir(place.root().join(format!("{id}/mon_groups/{id}"))).unwrap();
    fs::remove_file(place.root().join(format!("{id}/mon_groups/kernel"))).unwrap();
    fs::remove_dir(place.root().join(format!("{id}/mon_groups"))).unwrap();
    place.empty(id);
    container.delete(Force::Yes).unwrap();
    assert!(!place.has(id));
    place.assert_no_container();
}

#[test]
fn a_named_group_outlives_its_containers() {
    let Some(place) = Place::new("named") else { return };
    place.file("gold/schemata", "L3:0=0000f\n");
    for rdt in [json!({"closID": "gold"}), json!({"closID": "gold", "l3CacheSchema": "L3:0=f"})] {
        let mut container = place.builder(rdt, |_| {}).run().unwrap();
        assert_eq!(place.read("gold/tasks"), format!("{}\n", container.pid().unwrap()));
        assert_eq!(place.read("gold/schemata"), "L3:0=0000f\n", "it is not written to");
        container.delete(Force::Yes).unwrap();
        assert!(place.has("gold"));
    }
    for (rdt, location) in [
        (json!({"closID": "gold", "l3CacheSchema": "L3:0=3"}), "linux.intelRdt.closID"),
        (json!({"closID": "silver"}), "linux.intelRdt.closID"),
    ] {
        let error = place.builder(rdt, |_| {}).create().unwrap_err();
        assert_eq!(error.location(), Some(location), "{error:#}");
        place.assert_no_container();
    }
}

/// `schemata` come after the older two, and a group that is shared may be counted for each container by itself.
#[test]
fn lines_of_every_kind_are_written_and_a_shared_group_is_counted_by_container() {
    let Some(place) = Place::new("every") else { return };
    let id = &place.id;
    let rdt =
        json!({"l3CacheSchema": "L3:0=f\nMB:0=10", "memBwSchema": "MB:0=50", "schemata": ["L2:0=3", "L3CODE:0=f;1=f"]});
    let mut container = place.builder(rdt, |_| {}).create().unwrap();
    assert_eq!(place.read(&format!("{id}/schemata")), "L3:0=f\nMB:0=50\nL2:0=3\nL3CODE:0=f;1=f\n");
    assert!(!place.has(&format!("{id}/mon_groups/{id}")), "nobody asked for it");
    place.empty(id);
    container.delete(Force::Yes).unwrap();
    place.assert_no_container();

    place.file("gold/schemata", "    L3:0=0000f;1=0000f\n    MB:0=100;1=100\n");
    place.file("gold/mon_groups/other/tasks", "1\n");
    let monitor = format!("gold/mon_groups/{id}");
    for rdt in [
        json!({"closID": "gold", "enableMonitoring": true}),
        json!({"closID": "gold", "enableMonitoring": true, "schemata": ["L3:0=f;1=f"]}),
        json!({"closID": "gold", "enableMonitoring": true, "memBwSchema": "MB:0=100;1=100"}),
    ] {
        let mut container = place.builder(rdt, |_| {}).run().unwrap();
        let pid = format!("{}\n", container.pid().unwrap());
        assert_eq!((place.read("gold/tasks"), place.read(&format!("{monitor}/tasks"))), (pid.clone(), pid));
        // What the kernel does with the directory that is to be removed.
        place.empty(&monitor);
        container.delete(Force::Yes).unwrap();
        assert!(!place.has(&monitor) && place.has("gold/mon_groups/other"));
        place.assert_no_container();
    }
    // Of one that exists and has other lines, nothing is changed.
    let refused = place.builder(json!({"closID": "gold", "schemata": ["L3:0=3;1=3"]}), |_| {}).create().unwrap_err();
    assert_eq!(refused.location(), Some("linux.intelRdt.closID"), "{refused:#}");
    assert_eq!(place.read("gold/schemata"), "    L3:0=0000f;1=0000f\n    MB:0=100;1=100\n");
    // The group of all that are in none.
    place.file("mon_groups/other/tasks", "");
    let mut container = place.builder(json!({"closID": "/", "enableMonitoring": true}), |_| {}).run().unwrap();
    assert_eq!(place.read("tasks"), format!("{}\n", container.pid().unwrap()));
    place.empty(&format!("mon_groups/{id}"));
    container.delete(Force::Yes).unwrap();
    assert!(place.has("schemata") && !place.has(&format!("mon_groups/{id}")));
}

#[test]
fn a_start_that_fails_leaves_no_group() {
    let Some(place) = Place::new("undo") else { return };
    place.file("gold/schemata", "L3:0=f\n");
    fs::create_dir(place.root().join("gold/mon_groups")).unwrap();
    let monitored = json!({"closID": "gold", "enableMonitoring": true});
    let monitor = format!("gold/mon_groups/{}", place.id);
    // A plain directory keeps its file when it is to be removed, so this one is emptied by a hook before.
    let file = place.root().join(&monitor).join("tasks");
    let hook = json!([{"path": "/bin/rm", "args": ["rm", file]}]);
    let bundle = |config: &mut Value| {
        config["process"]["args"] = json!(["not-there"]);
        config["hooks"] = json!({"createRuntime": hook});
    };
    let error = place.builder(monitored, bundle).create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProgramNotFound, "{error:#}");
    assert!(place.has("gold") && !place.has(&monitor), "{:?}", entries(&place.root().join("gold/mon_groups")));
    place.assert_no_container();
}

fn entries(path: &Path) -> Vec<String> {
    fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
