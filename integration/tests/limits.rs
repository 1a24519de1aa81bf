//! Sizes at and just beyond what the kernel takes: what is accepted, what is refused, and that runc decides the same. Nothing
//! is cut, nothing hangs, and what is refused leaves nothing.

use corten_integration::{Bundle, Sandbox, once};
use serde_json::{Value, json};

/// Whether the container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Runs,
    Refused,
}
use Decision::{Refused, Runs};

/// `count` strings that differ.
fn many(count: usize, text: impl Fn(usize) -> String) -> Value {
    (0..count).map(text).collect()
}

/// Components of 100 bytes, `length` in all.
fn deep(length: usize) -> String {
    let text = format!("/{}", "d".repeat(99)).repeat(length.div_ceil(100));
    text[..length].to_owned()
}

fn args(first: &str, more: Value) -> Value {
    let mut args = vec![json!(first)];
    args.extend(more.as_array().unwrap().iter().cloned());
    Value::Array(args)
}

/// The name, what to set where, and the decision.
fn cases() -> Vec<(&'static str, &'static str, Value, Decision)> {
    let unlimited = |kind: &str| json!([{"type": kind, "soft": u64::MAX, "hard": u64::MAX}]);
    let tmpfs = |destination: String| json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"});
    vec![
        // sethostname(2)
        ("64 bytes of hostname", "/hostname", json!("h".repeat(64)), Runs),
        ("65 bytes of hostname", "/hostname", json!("h".repeat(65)), Refused),
        // MAX_ARG_STRLEN and the stack's share, execve(2)
        ("an argument of 131071 bytes", "/process/args", json!(["true", "a".repeat(131_071)]), Runs),
        ("an argument of 131072 bytes", "/process/args", json!(["true", "a".repeat(131_072)]), Refused),
        ("100,000 arguments", "/process/args", args("true", many(100_000, |n| format!("{n:06}"))), Runs),
        ("300,000 arguments", "/process/args", args("true", many(300_000, |n| format!("{n:06}"))), Refused),
        ("100,000 variables", "/process/env", many(100_000, |n| format!("V{n}=")), Runs),
        ("300,000 variables", "/process/env", many(300_000, |n| format!("V{n}=")), Refused),
        ("a program's name of 255 bytes", "/process/args", json!(["p".repeat(255)]), Refused),
        ("a program's path of 4095 bytes", "/process/args", json!([deep(4095)]), Refused),
        ("a program's path of 4096 bytes", "/process/args", json!([deep(4096)]), Refused),
        // NGROUPS_MAX
        ("65,536 groups", "/process/user/additionalGids", (0..65_536).collect::<Vec<u32>>().into(), Runs),
        ("65,537 groups", "/process/user/additionalGids", (0..65_537).collect::<Vec<u32>>().into(), Refused),
        ("the last group", "/process/user/additionalGids", json!([u32::MAX]), Refused),
        ("the last but one user", "/process/user/uid", json!(u32::MAX - 1), Runs),
        ("the last user", "/process/user/uid", json!(u32::MAX), Refused),
        ("a user of 33 bits", "/process/user/uid", json!(1_u64 << 32), Refused),
        // setrlimit(2); the number of descriptors alone cannot be unlimited
        ("an unlimited core", "/process/rlimits", unlimited("RLIMIT_CORE"), Runs),
        ("unlimited descriptors", "/process/rlimits", unlimited("RLIMIT_NOFILE"), Refused),
        ("a limit of 65 bits", "/process/rlimits/0/hard", json!(18_446_744_073_709_551_616_f64), Refused),
        // NAME_MAX and PATH_MAX
        ("a mount on 255 bytes", "/mounts/1", tmpfs(format!("/tmp/{}", "m".repeat(255))), Runs),
        ("a mount on 256 bytes", "/mounts/1", tmpfs(format!("/tmp/{}", "m".repeat(256))), Refused),
        ("a mount on a path of 3000 bytes", "/mounts/1", tmpfs(deep(3000)), Runs),
        ("a mount on a path of 5000 bytes", "/mounts/1", tmpfs(deep(5000)), Refused),
        ("a working directory of 3000 bytes", "/process/cwd", json!(deep(3000)), Runs),
        ("a working directory of 4096 bytes", "/process/cwd", json!(deep(4096)), Refused),
        ("a cgroup of 256 bytes", "/linux/cgroupsPath", json!(format!("/{}", "c".repeat(256))), Runs),
        // A page for mount(2)
        ("4000 bytes of mount options", "/mounts/1/options", json!(["size=1m,".repeat(499) + "mode=700"]), Runs),
        ("paths to mask that are not there", "/linux/maskedPaths", many(5000, |n| format!("/not/there/{n}")), Runs),
        (
            "paths to protect that are not there",
            "/linux/readonlyPaths",
            many(5000, |n| format!("/not/there/{n}")),
            Runs,
        ),
        ("an annotation of a megabyte", "/annotations", json!({"a": "x".repeat(1 << 20)}), Runs),
        ("a sysctl of 5000 bytes", "/linux/sysctl", json!({"kernel.domainname": "s".repeat(5000)}), Runs),
        ("oomScoreAdj of 1001", "/process/oomScoreAdj", json!(1001), Refused),
    ]
}

/// Written, so that a mount of this name can be made.
fn bundle(t: &Sandbox) -> Bundle {
    let mut bundle = t.bundle().writable().args(&["/bin/true"]);
    bundle.config["mounts"].as_array_mut().unwrap().insert(1, json!({"destination": "/tmp", "type": "tmpfs"}));
    bundle
}

#[test]
fn sizes_at_the_limits_of_the_kernel() {
    once(|t| {
        let mut wrong = Vec::new();
        for (name, pointer, value, expected) in cases() {
            if t.differs(name) {
                continue;
            }
            let container = t.container(bundle(t).set(pointer, value));
            eprintln!("{name}");
            let output = container.command("run").run();
            let decision = if output.code() == 0 { Runs } else { Refused };
            let text = output.stderr();
            if decision != expected || text.contains("panic") || (decision == Refused && text.is_empty()) {
                let end: String = text.chars().take(400).collect();
                wrong.push(format!("{name}: {decision:?}: exit code {}: {end}", output.code()));
            }
            t.assert_nothing_left();
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// `sun_path` has 108 bytes.
#[test]
fn paths_of_sockets() {
    use std::os::unix::net::UnixListener;
    once(|t| {
        let bundle = t.bundle().args(&["true"]).set("/process/terminal", true);
        let directory = t.new_directory();
        let room = 107 - directory.to_str().unwrap().len() - 1;
        let longest = directory.join("s".repeat(room));
        let _listener = UnixListener::bind(&longest).unwrap();
        let container = t.container(bundle);
        let create = |path: &std::path::Path| container.command("create").option("--console-socket").option(path).run();
        let longer = create(&directory.join("s".repeat(room + 1)));
        assert!(longer.code() != 0 && !longer.stderr().is_empty(), "{longer}");
        t.assert_nothing_left();
        assert_eq!(create(&longest).code(), 0);
        container.delete();
    });
}
