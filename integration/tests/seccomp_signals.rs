//! What a tracer, a signal handler and the kernel's log see of a filter.

use corten_integration::{Runtime, Sandbox, eventually, once, skip};
use serde_json::{Value, json};
use std::process::Command;

/// A static program of `programs/seccomp-observer.c`, if there is a compiler for it.
fn observer(t: &Sandbox) -> Option<Vec<u8>> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/seccomp-observer.c");
    let program = t.new_path("observer");
    let built = Command::new("gcc").args(["-O1", "-static", "-o"]).arg(&program).arg(source).status();
    built.is_ok_and(|status| status.success()).then(|| std::fs::read(program).unwrap())
}

fn allowing(rules: Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules})
}

/// The standard output of the observer in `mode`, under a rule on mkdir(2).
fn observed(t: &Sandbox, program: &[u8], mode: &str, rule: Value, no_new_privileges: bool) -> String {
    let bundle = t.bundle().writable().args(&["/observer", mode]).set("/linux/seccomp", allowing(json!([rule])));
    std::fs::write(bundle.rootfs("/observer"), program).unwrap();
    std::fs::set_permissions(bundle.rootfs("/observer"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    t.output_of(bundle.set("/process/noNewPrivileges", json!(no_new_privileges)))
}

fn rule(action: &str, number: u32) -> Value {
    json!({"names": ["mkdir", "mkdirat"], "action": action, "errnoRet": number})
}

/// The tracer is told the number of the rule and decides: here, that the call goes on.
#[test]
fn a_tracer_is_asked() {
    once(|t| {
        let Some(program) = observer(t) else { skip!("gcc cannot make a static program") };
        for no_new_privileges in [true, false] {
            let seen = observed(t, &program, "trace", rule("SCMP_ACT_TRACE", 77), no_new_privileges);
            assert_eq!(seen, "event 77\nmkdir 0\n");
        }
    });
}

/// The handler is told which call of which architecture it was. (The number of the rule is not part of it: libseccomp's
/// TRAP has none.)
#[test]
fn a_signal_handler_is_told() {
    once(|t| {
        let Some(program) = observer(t) else { skip!("gcc cannot make a static program") };
        for no_new_privileges in [true, false] {
            let seen = observed(t, &program, "trap", rule("SCMP_ACT_TRAP", 77), no_new_privileges);
            assert_eq!(seen, "SIGSYS code 1 call 83 arch 0xc000003e errno 0\n");
        }
    });
}

/// The kernel logs the calls of umask(2) in a container with `code`.
fn is_logged(t: &Sandbox, profile: Value, code: &str) {
    let bundle = t.bundle().set("/linux/seccomp", profile).sh("while :; do umask 022; sleep 0.2; done");
    let container = t.container(bundle);
    container.run_detached();
    let pid = format!(" pid={} ", container.pid());
    let logged = || {
        let output = Command::new("dmesg").output().unwrap();
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        log.lines().any(|line| {
            line.contains("type=1326") && line.contains(&pid) && line.contains(" syscall=95 ") && line.contains(code)
        })
    };
    // The log of a busy kernel leaves lines out: the calls go on until one is there.
    eventually("the kernel has logged the call", logged);
    container.command("delete").option("--force").ok();
}

#[test]
fn the_kernel_logs_what_is_to_be_logged() {
    once(|t| {
        let logs = Command::new("dmesg")
            .output()
            .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("audit: type="));
        if !logs {
            skip!("this kernel's log has no audit lines");
        }
        let umask = |action: &str| json!([{"names": ["umask"], "action": action}]);
        is_logged(t, allowing(umask("SCMP_ACT_LOG")), " code=0x7ffc0000");
        if t.runtime() == Runtime::Corten {
            // With the flag, every action but ALLOW.
            let mut profile = allowing(umask("SCMP_ACT_ERRNO"));
            profile["flags"] = json!(["SECCOMP_FILTER_FLAG_LOG"]);
            is_logged(t, profile, " code=0x50000");
        }
    });
}
