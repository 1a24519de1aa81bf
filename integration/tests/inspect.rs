//! `plan` and `check`: what corten can tell about a bundle without running it. The other runtimes have no such commands.

use corten_integration::{Runtime, Sandbox, on_every_view, once, skip};
use serde_json::{Value, json};

macro_rules! corten_only {
    () => {
        if Runtime::from_environment() != Runtime::Corten {
            skip!("plan and check are corten's own commands");
        }
    };
}

fn bundle_for_nobody(t: &Sandbox) -> corten_integration::Bundle {
    t.bundle().args(&["true"])
}

#[test]
fn plan_needs_no_privileges_and_has_no_effects() {
    corten_only!();
    on_every_view(|t| {
        let bundle = bundle_for_nobody(t);
        bundle.write();
        let before = std::fs::read_dir(bundle.rootfs("/")).unwrap().count();
        let output = t.command("plan", &[bundle.path().to_str().unwrap()]).unprivileged().ok();
        assert!(output.stdout().contains("/proc") && output.stdout().contains("true"), "{output}");
        assert_eq!(std::fs::read_dir(bundle.rootfs("/")).unwrap().count(), before);
        assert!(!t.state_root().exists());
        t.assert_nothing_left();
    });
}

#[test]
fn plan_in_json_has_the_sections() {
    corten_only!();
    once(|t| {
        let bundle = bundle_for_nobody(t).set("/hostname", "planned");
        bundle.write();
        let output = t.command("plan", &[bundle.path().to_str().unwrap()]).option("--format").option("json").ok();
        let plan: Value = serde_json::from_str(&output.stdout()).unwrap();
        assert!(plan.is_object() && plan.to_string().contains("planned"), "{output}");
    });
}

#[test]
fn plan_takes_the_working_directory_by_default() {
    corten_only!();
    once(|t| {
        let bundle = bundle_for_nobody(t);
        bundle.write();
        t.command("plan", &[]).directory(bundle.path()).ok();
        t.command("plan", &[]).directory(t.new_directory()).fails(1);
    });
}

#[test]
fn check_tells_all_faults_at_once_each_with_its_place() {
    corten_only!();
    once(|t| {
        let bundle = t
            .bundle()
            .set("/process/args", json!([]))
            .set("/process/cwd", "relative")
            .set("/process/rlimits/0/type", "RLIMIT_FOO")
            .set("/linux/namespaces/0/type", "foo");
        bundle.write();
        let output = t.command("check", &[bundle.path().to_str().unwrap()]).run();
        let text = output.stdout() + &output.stderr();
        assert_ne!(output.code(), 0, "{output}");
        for place in ["process.args", "process.cwd", "process.rlimits[0].type", "linux.namespaces[0].type"] {
            assert!(text.contains(place), "{place} in {output}");
        }
        t.assert_nothing_left();
    });
}

#[test]
fn check_tells_all_that_the_machine_cannot_honour() {
    corten_only!();
    once(|t| {
        let bundle = t
            .bundle()
            .set("/root/path", "no-rootfs")
            .add(
                "/mounts",
                json!({"destination": "/a", "type": "bind", "source": "/nonexistent/a", "options": ["bind"]}),
            )
            .set("/linux/namespaces/0/path", "/nonexistent/namespace")
            .set(
                "/hooks",
                json!({"createRuntime": [{"path": "/dev/null"}], "poststop": [{"path": "/nonexistent/hook"}]}),
            );
        bundle.write();
        let output = t.command("check", &[bundle.path().to_str().unwrap()]).fails(1);
        let lines: Vec<_> = output.stdout().lines().map(|line| line.split(": ").next().unwrap().to_owned()).collect();
        let last = bundle.config["mounts"].as_array().unwrap().len() - 1;
        let source = format!("mounts[{last}].source");
        let expected =
            ["root.path", "linux.namespaces[0].path", &source, "hooks.createRuntime[0].path", "hooks.poststop[0].path"];
        assert_eq!(lines, expected, "{output}");
        t.assert_nothing_left();
    });
}

#[test]
fn check_knows_what_the_caller_may_not_do() {
    corten_only!();
    once(|t| {
        let bundle = t
            .bundle()
            .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 1, "hard": u64::MAX}]))
            .set("/process/capabilities/permitted", json!(["CAP_SYS_ADMIN"]));
        bundle.write();
        let output = t.command("check", &[bundle.path().to_str().unwrap()]).unprivileged().fails(1);
        for place in ["linux.namespaces", "process.rlimits[0].hard", "process.capabilities.permitted"] {
            assert!(output.stdout().lines().any(|line| line.starts_with(&format!("{place}: "))), "{place} in {output}");
        }
        t.assert_nothing_left();
    });
}

#[test]
fn check_is_content_with_a_good_bundle() {
    corten_only!();
    on_every_view(|t| {
        let bundle = t.bundle().args(&["true"]);
        bundle.write();
        let output = t.command("check", &[bundle.path().to_str().unwrap()]).ok();
        assert_eq!(output.stdout() + &output.stderr(), "");
        t.assert_nothing_left();
    });
}

/// The specification has them ignored: they are no faults.
#[test]
fn check_warns_of_elements_that_do_not_exist() {
    corten_only!();
    once(|t| {
        let bundle = t.bundle().args(&["true"]).set("/linux/resources", json!({"memroy": {"limit": 1 << 26}}));
        bundle.write();
        let output = t.command("check", &[bundle.path().to_str().unwrap()]).ok();
        let warned = output.stderr().contains("level=warning msg=\"linux.resources.memroy: ");
        assert!(warned && output.stderr().contains("is memory meant?"), "{output}");
        assert_eq!(t.output_of(bundle.sh("echo runs")), "runs\n");
        t.assert_nothing_left();
    });
}
