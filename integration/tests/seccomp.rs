//! linux.seccomp: what a program observes of its filter.

use corten_integration::once;
use serde_json::{Value, json};

/// A profile that allows everything but what `rules` say.
fn allowing(rules: Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules})
}

/// With and without noNewPrivileges the filter is loaded at different moments.
#[test]
fn a_forbidden_call_fails_with_the_errno_of_the_rule() {
    once(|t| {
        for no_new_privileges in [true, false] {
            let rules = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]);
            let bundle = t.bundle().writable().set("/linux/seccomp", allowing(rules));
            let bundle = bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
            let script = "mkdir /new 2>&1; sed -n 's/^Seccomp:[[:space:]]*//p' /proc/self/status";
            let expected = "mkdir: can't create directory '/new': No space left on device\n2\n";
            assert_eq!(t.output_of(bundle.sh(script)), expected, "noNewPrivileges: {no_new_privileges}");
        }
    });
}

#[test]
fn a_killing_rule_ends_the_program_by_sigsys() {
    once(|t| {
        let rules = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]);
        let bundle = t.bundle().writable().set("/linux/seccomp", allowing(rules));
        // exec: the shell itself becomes mkdir, the container's first process.
        assert_eq!(t.container(bundle.sh("exec mkdir /new")).command("run").run().code(), 128 + 31);
    });
}

#[test]
fn conditions_look_at_the_arguments() {
    once(|t| {
        let condition = json!([{"index": 0, "value": 0o17, "valueTwo": 0o10, "op": "SCMP_CMP_MASKED_EQ"}]);
        let rules = json!([{"names": ["umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": condition}]);
        let bundle = t.bundle().set("/linux/seccomp", allowing(rules));
        // umask(2) cannot fail: a refused call looks like an old mask of -1 and changes nothing.
        let script = "umask 0077; umask 0010; umask";
        assert_eq!(t.output_of(bundle.sh(script)), "0077\n");
    });
}

#[test]
fn a_broken_profile_is_refused_and_leaves_nothing() {
    once(|t| {
        let condition = json!([{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]);
        let rules = json!([{"names": ["umask"], "action": "SCMP_ACT_ERRNO", "args": condition}]);
        let bundle = t.bundle().args(&["true"]).set("/linux/seccomp", allowing(rules));
        t.container(bundle).command("run").fails(1);
    });
}
