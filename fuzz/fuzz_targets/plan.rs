//! Any text as `config.json`, on two machines: there is a plan or a message, and both can be printed.

#![no_main]

use libcorten::host::{Hierarchy, Host, HostCgroups};
use libcorten::plan::{self, Choices};
use libcorten::{Bundle, ContainerId};
use libfuzzer_sys::fuzz_target;

fn hierarchy(controllers: &[&str], mount_point: &str) -> Hierarchy {
    Hierarchy {
        controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
        mount_point: mount_point.to_owned(),
        own_path: "/own".to_owned(),
    }
}

fn hosts() -> [Host; 2] {
    let unified = |mount_point| Some(hierarchy(&[], mount_point));
    let v1 = ["cpu", "cpuset", "memory", "devices", "pids", "blkio", "hugetlb", "name=systemd"];
    let v1 = v1.iter().map(|name| hierarchy(&[name], &format!("/sys/fs/cgroup/{name}"))).collect();
    [
        Host { cgroups: HostCgroups { v1, v2: unified("/sys/fs/cgroup/unified") }, euid: 0, resctrl: None },
        Host { cgroups: HostCgroups { v1: Vec::new(), v2: unified("/sys/fs/cgroup") }, euid: 1000, resctrl: None },
    ]
}

fuzz_target!(|text: &[u8]| {
    let Ok(bundle) = Bundle::with_config("/bundle", text) else { return };
    let Ok(id) = ContainerId::new("fuzzed") else { return };
    for host in hosts() {
        match plan::lower(&bundle, &id, &host, &Choices::default()) {
            Ok(plan) => {
                let shown = plan.to_string();
                // Only the plan's own line breaks: nothing of the configuration moves the reader's cursor.
                assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
                assert!(serde_json::to_string(&plan).is_ok());
            }
            Err(error) => assert!(!format!("{error:#}").is_empty()),
        }
    }
});
