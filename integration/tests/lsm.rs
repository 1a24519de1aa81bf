//! What the security modules make of the program. AppArmor is at work in the virtual machine (`integration/vm/run lsm`).

use corten_integration::{on_every_view, once, skip};
use serde_json::json;
use std::path::Path;
use std::process::Command;

fn apparmor_is_on() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
}

#[test]
fn labels_of_a_module_that_is_not_at_work_are_errors() {
    on_every_view(|t| {
        for (element, on) in
            [("apparmorProfile", apparmor_is_on()), ("selinuxLabel", Path::new("/sys/fs/selinux/enforce").exists())]
        {
            if on {
                continue;
            }
            let container = t.container(t.bundle().set(&format!("/process/{element}"), json!("corten-test")));
            let output = container.command("run").fails(1);
            let said = output.stderr().to_lowercase();
            let module = element.trim_end_matches("Profile").trim_end_matches("Label");
            assert!(said.contains(module) || t.differs("names of security modules"), "{said}");
            t.assert_nothing_left();
        }
        if t.differs("an empty AppArmor profile") {
            return;
        }
        // An empty one asks for nothing.
        assert_eq!(t.output_of(t.bundle().set("/process/apparmorProfile", json!("")).args(&["echo", "ok"])), "ok\n");
    });
}

#[test]
fn a_label_of_mounts_is_an_error_where_selinux_is_not_at_work() {
    if Path::new("/sys/fs/selinux/enforce").exists() {
        skip!("SELinux is at work here");
    }
    once(|t| {
        let bundle = t.bundle().args(&["echo", "ok"]);
        let bundle = bundle.set("/linux/mountLabel", json!("system_u:object_r:container_file_t:s0:c1,c2"));
        let output = t.container(bundle.clone()).command("run").fails(1);
        // The kernel's own words are those of the file system that does not know the option.
        assert!(output.stderr().contains("linux.mountLabel") || t.differs("names of elements"), "{output}");
        t.assert_nothing_left();
        // Neither procfs nor sysfs nor a bind gets one, nor does anything else, if it is empty.
        let source = t.new_directory();
        let mounts = json!([{"destination": "/proc", "type": "proc"}, {"destination": "/sys", "type": "sysfs"},
            {"destination": "/data", "source": source, "type": "bind", "options": ["bind"]}]);
        let unlabelled =
            bundle.clone().set("/mounts", mounts).remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
        assert_eq!(t.output_of(unlabelled), "ok\n");
        assert_eq!(t.output_of(bundle.set("/linux/mountLabel", json!(""))), "ok\n");
    });
}

/// A profile that allows everything but to write below /forbidden, unloaded when dropped.
struct Profile(String);

impl Profile {
    fn load(name: &str) -> Profile {
        let text = format!(
            "profile {name} flags=(attach_disconnected,mediate_deleted) {{\n  file,\n  capability,\n  network,\n  \
             signal,\n  ptrace,\n  unix,\n  deny /forbidden/** w,\n}}\n"
        );
        Profile::parse(&text, "--replace");
        Profile(text)
    }

    fn parse(text: &str, how: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let status = Command::new("apparmor_parser").args([how, "--skip-cache"]).arg(file.path()).status().unwrap();
        assert!(status.success(), "apparmor_parser {how}: {status}");
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        Profile::parse(&self.0, "--remove");
    }
}

#[test]
fn the_profile_holds_for_the_program_and_for_those_that_are_added() {
    if !apparmor_is_on() {
        skip!("AppArmor is not at work on this kernel");
    }
    once(|t| {
        let name = format!("corten-test-{}", std::process::id());
        let _profile = Profile::load(&name);
        let script = "cat /proc/self/attr/current; mkdir -p /forbidden; echo x >/forbidden/x && echo written";
        for (no_new_privileges, user_namespace) in [(false, false), (true, false), (true, true)] {
            let bundle = if user_namespace { t.bundle().user_namespace(100_000) } else { t.bundle() };
            let bundle = bundle.set("/process/apparmorProfile", json!(name));
            let bundle = bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
            let bundle = bundle.set("/root/readonly", json!(false));
            let output = t.container(bundle.clone().sh(script)).command("run").run();
            assert_eq!(output.stdout(), format!("{name} (enforce)\n"), "{output}");
            let container = t.container(bundle.args(&["sleep", "1000"]));
            container.run_detached();
            let output = t.command("exec", &[container.id(), "sh", "-c", script]).run();
            assert_eq!(output.stdout(), format!("{name} (enforce)\n"), "{output}");
            let output =
                t.command("exec", &[container.id(), "sh", "-c", script]).option("--apparmor").option("unconfined");
            assert!(output.run().stdout().starts_with("unconfined\n"));
            container.command("delete").option("--force").ok();
        }
        t.assert_nothing_left();
    });
}

#[test]
fn a_profile_that_is_not_loaded_is_an_error() {
    if !apparmor_is_on() {
        skip!("AppArmor is not at work on this kernel");
    }
    once(|t| {
        let container = t.container(t.bundle().set("/process/apparmorProfile", json!("corten-test-not-loaded")));
        let output = container.command("run").fails(1);
        assert!(output.stderr().contains("apparmor"), "{output}");
        t.assert_nothing_left();
    });
}
