//! What the program may do and is: limits that cannot be had, capabilities that the machine has not, the session keyring,
//! no_new_privs together with a filter, groups, and HOME by number.

use corten_integration::{Bundle, Container, Runtime, Sandbox, on_every_view, once};
use serde_json::{Value, json};

fn line(text: &str, name: &str) -> String {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    found.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

fn own_status() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap()
}

const SYS_RESOURCE: u64 = 1 << 24;

/// Whether the tests have a capability.
fn holds(capability: u64) -> bool {
    u64::from_str_radix(&line(&own_status(), "CapEff"), 16).unwrap() & capability != 0
}

fn refused(t: &Sandbox, bundle: Bundle, location: &str) {
    let container = t.container(bundle.args(&["true"]));
    for verb in ["create", "run"] {
        let output = container.command(verb).fails(1);
        assert!(output.stderr().contains(location) || t.differs("names of elements"), "{location}: {output}");
        t.assert_nothing_left();
    }
}

#[test]
fn limits_that_cannot_be_set_are_refused() {
    once(|t| {
        let set = |limits: Value| t.bundle().set("/process/rlimits", limits);
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let hard: u64 = files.split_whitespace().nth(4).unwrap().parse().unwrap();
        if !holds(SYS_RESOURCE) {
            let above = json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}, {"type": "RLIMIT_NOFILE", "soft": 1, "hard": hard + 1}]);
            refused(t, set(above), "process.rlimits[1]");
        }
        let low = json!([{"type": "RLIMIT_NOFILE", "soft": 11, "hard": 10}]);
        refused(t, set(low.clone()), "process.rlimits[0]");
        refused(t, set(json!([{"type": "RLIMIT_PAPER", "soft": 1, "hard": 1}])), "process.rlimits[0]");
        if !t.differs("limits that are given twice") {
            let twice =
                json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
            refused(t, set(twice), "process.rlimits[1]");
        }
        // Of an exec as well.
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.run_detached();
        let process = json!({"cwd": "/", "args": ["true"], "env": [], "user": {"uid": 0, "gid": 0}, "rlimits": low});
        let file = t.new_file(&process.to_string());
        let output = t.command("exec", &[container.id()]).option("--process").option(file).run();
        assert_ne!(output.code(), 0, "{output}");
    });
}

#[test]
fn unknown_capabilities_are_left_out_with_a_warning_and_what_the_runtime_has_not_is_an_error() {
    on_every_view(|t| {
        let status = |names: &[&str]| {
            let container = t.container(t.bundle().capabilities(names).args(&["cat", "/proc/self/status"]));
            let output = container.command("run").ok();
            let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
            let sets = sets.map(|name| u64::from_str_radix(&line(&output.stdout(), name), 16).unwrap());
            (sets, output.stderr())
        };
        let kill = 1 << 5;
        let (sets, said) = status(&["CAP_KILL", "CAP_OF_TOMORROW"]);
        assert_eq!(sets, [kill; 5]);
        assert!(said.contains("level=warning") && said.contains("CAP_OF_TOMORROW"), "{said}");
        // What the runtime itself has not is an error.
        if !holds(SYS_RESOURCE) {
            let container = t.container(t.bundle().capabilities(&["CAP_KILL", "CAP_SYS_RESOURCE"]).args(&["true"]));
            let output = container.command("run").fails(1);
            assert!(output.stderr().contains("unable to apply caps"), "{output}");
            t.assert_nothing_left();
        }
    });
}

#[test]
fn ambient_capabilities_need_the_inheritable_and_permitted_ones() {
    once(|t| {
        let with = |inheritable: &[&str], permitted: &[&str]| {
            let sets = json!({"bounding": ["CAP_KILL"], "permitted": permitted, "effective": permitted,
                "inheritable": inheritable, "ambient": ["CAP_KILL"]});
            t.bundle().set("/process/capabilities", sets).set("/process/user/uid", 1000)
        };
        let both = t.output_of(with(&["CAP_KILL"], &["CAP_KILL"]).args(&["cat", "/proc/self/status"]));
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(line(&both, set), "0000000000000020", "{set}");
        }
        // runc warns and goes on without.
        for (inheritable, permitted) in [(&["CAP_KILL"][..], &[][..]), (&[], &["CAP_KILL"])] {
            let container = t.container(with(inheritable, permitted).args(&["cat", "/proc/self/status"]));
            let output = container.command("run").run();
            assert!(output.code() != 0 || line(&output.stdout(), "CapAmb") == "0000000000000000", "{output}");
        }
    });
}

/// How the session keyring of a container is listed.
fn keyring(container: &Container<'_>, t: &Sandbox) -> String {
    let prefix = if t.differs("the name of the session keyring") { " " } else { "_ses." };
    format!("{prefix}{}:", container.id())
}

#[test]
fn a_session_keyring_of_its_own_unless_the_callers_is_asked_for() {
    if !std::path::Path::new("/proc/keys").exists() {
        corten_integration::skip!("this kernel has no keyrings");
    }
    once(|t| {
        for (own, option) in [(true, None), (false, Some("--no-new-keyring"))] {
            let bundle = t.bundle().remove("/linux/maskedPaths").args(&["cat", "/proc/keys"]);
            let container = t.container(bundle);
            let command = container.command("run");
            let command = if let Some(option) = option { command.option(option) } else { command };
            let keys = command.ok().stdout();
            assert_eq!(keys.contains(&keyring(&container, t)), own, "{keys}");
        }
        // A program that is added has that of the container.
        let container = t.container(t.bundle().remove("/linux/maskedPaths").args(&["sleep", "1000"]));
        container.run_detached();
        let keys = t.command("exec", &[container.id(), "cat", "/proc/keys"]).ok().stdout();
        assert_eq!(keys.matches(&keyring(&container, t)).count(), 1, "{keys}");
    });
}

#[test]
fn a_filter_is_in_effect_with_and_without_no_new_privileges() {
    on_every_view(|t| {
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
        ]});
        for no_new_privileges in [true, false] {
            for user in [0, 1000] {
                for capabilities in [&[][..], &["CAP_SYS_ADMIN"]] {
                    let bundle = t.bundle().set("/linux/seccomp", profile.clone()).capabilities(capabilities);
                    let bundle =
                        bundle.set("/process/noNewPrivileges", no_new_privileges).set("/process/user/uid", user);
                    let script = "mkdir /dev/shm/x 2>&1; cat /proc/self/status";
                    let shown = t.output_of(bundle.sh(script));
                    let what = format!("{no_new_privileges} {user} {capabilities:?}: {shown}");
                    assert!(shown.contains("not supported"), "{what}");
                    assert_eq!(line(&shown, "NoNewPrivs"), if no_new_privileges { "1" } else { "0" }, "{what}");
                    assert_eq!(line(&shown, "Seccomp"), "2", "{what}");
                }
            }
        }
    });
}

#[test]
fn home_is_that_of_the_number_in_the_containers_passwd() {
    once(|t| {
        let passwd = "# a comment\n\nbroken\nshort:x:2000\nfirst:x:2001:1::/first:/bin/sh\nsecond:x:2001:1::/second:/bin/sh\n\
                      empty:x:2002:1:::/bin/sh\n2003:x:9:1::/by-name:/bin/sh\nlast:x:2004:1::/last:/bin/sh";
        let home = |uid: u32| {
            let bundle = t.bundle().file("/etc/passwd", passwd, 0o644).set("/process/user/uid", uid);
            t.output_of(bundle.sh("echo $HOME")).trim_end().to_owned()
        };
        for (uid, expected) in [(2001, "/first"), (2003, "/"), (2004, "/last"), (1000, "/")] {
            let nothing = expected == "/" && t.differs("HOME without an entry") && home(uid).is_empty();
            assert!(nothing || home(uid) == expected, "{uid}: {}", home(uid));
        }
        // Of an entry without a directory, and of a line that is no entry and of which runc makes one of user 0.
        for uid in [2002, 0] {
            let nothing = t.differs("HOME of no directory") && home(uid).is_empty();
            assert!(nothing || home(uid) == "/", "{uid}: {}", home(uid));
        }
        // Without the file.
        let bundle = t.bundle();
        std::fs::remove_file(bundle.rootfs("/etc/passwd")).unwrap();
        let home = t.output_of(bundle.set("/process/user/uid", 2001).sh("echo $HOME"));
        assert!(home == "/\n" || t.differs("HOME without an entry") && home == "\n", "{home}");
    });
}

#[test]
fn many_additional_groups_and_none_of_the_callers() {
    once(|t| {
        let groups = |list: Value| {
            let user = json!({"uid": 1000, "gid": 1000, "additionalGids": list});
            let status = t.output_of(t.bundle().set("/process/user", user).args(&["cat", "/proc/self/status"]));
            let mut groups: Vec<u32> =
                line(&status, "Groups").split_whitespace().map(|gid| gid.parse().unwrap()).collect();
            groups.retain(|gid| *gid != 1000);
            groups
        };
        let many: Vec<u32> = (2000..3000).collect();
        assert_eq!(groups(json!(many)), many);
        assert_eq!(groups(json!([])), [0u32; 0]);
        assert_eq!(groups(json!([0, 2_147_483_647u32])), [0, 2_147_483_647]);
    });
}

/// Nobody runs with the groups of a caller who cannot drop them.
#[test]
fn a_caller_without_the_right_to_drop_its_groups() {
    let without = |groups: &str| format!("exec setpriv {groups} --bounding-set -setgid --inh-caps -setgid -- \"$@\"");
    once(|t| {
        let bundle = || t.bundle().set("/process/capabilities", json!({})).args(&["cat", "/proc/self/status"]);
        let failed = t.container(bundle()).command("run").behind(&without("--groups 4242,4243")).fails(1);
        let words = if t.runtime() == Runtime::Corten {
            "process.user: set groups []: Operation"
        } else {
            "setgroups: operation"
        };
        assert!(failed.stderr().contains(&format!("{words} not permitted")), "{failed}");
        t.assert_nothing_left();
        if !t.differs("no groups to drop") {
            let output = t.container(bundle()).command("run").behind(&without("--clear-groups")).ok();
            assert_eq!(line(&output.stdout(), "Groups").trim(), "", "{output}");
        }
    });
}

#[test]
fn an_oom_score_below_the_callers_takes_a_right() {
    once(|t| {
        let own: i32 = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
        let shown = |bundle: Bundle| t.output_of(bundle.args(&["cat", "/proc/self/oom_score_adj"]));
        assert_eq!(shown(t.bundle()), format!("{own}\n"), "that of the caller");
        assert_eq!(shown(t.bundle().set("/process/oomScoreAdj", 1000)), "1000\n");
        assert_eq!(shown(t.bundle().user_namespace(100_000).set("/process/oomScoreAdj", 700)), "700\n");
        let low = t.bundle().set("/process/oomScoreAdj", -1000);
        if holds(SYS_RESOURCE) {
            assert_eq!(shown(low), "-1000\n");
        } else {
            refused(t, low, "process.oomScoreAdj");
        }
        for wrong in [1001, -1001] {
            refused(t, t.bundle().set("/process/oomScoreAdj", wrong), "process.oomScoreAdj");
        }
    });
}
