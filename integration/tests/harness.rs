//! The harness itself: a test that leaves something behind must fail.

use corten_integration::{on_every_view, once};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn a_container_that_is_still_there_is_found() {
    on_every_view(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.run_detached();
        let found = catch_unwind(AssertUnwindSafe(|| t.assert_nothing_left())).unwrap_err();
        let message = found.downcast_ref::<String>().unwrap();
        for kind in ["process ", "cgroup ", "state "] {
            assert!(message.contains(kind), "{message}");
        }
        container.command("delete").option("--force").ok();
        t.assert_nothing_left();
    });
}

#[test]
fn a_mount_that_is_still_there_is_found() {
    once(|t| {
        let directory = t.new_directory();
        t.host_shell(&format!("mount -t tmpfs x {}", directory.display()));
        let found = catch_unwind(AssertUnwindSafe(|| t.assert_nothing_left())).unwrap_err();
        assert!(found.downcast_ref::<String>().unwrap().contains("mount "));
        t.host_shell(&format!("umount {}", directory.display()));
    });
}

#[test]
fn a_cgroup_that_is_still_there_is_found() {
    once(|t| {
        let cgroup = t.hierarchy("pids").join(t.unique_name());
        std::fs::create_dir(&cgroup).unwrap();
        let found = catch_unwind(AssertUnwindSafe(|| t.assert_nothing_left())).unwrap_err();
        assert!(found.downcast_ref::<String>().unwrap().contains("cgroup "));
        std::fs::remove_dir(&cgroup).unwrap();
    });
}
