//! What is refused, what is ignored, and which element is named: runc 1.1.5 accepts and refuses the same, except where a
//! case says otherwise.

use super::*;
use serde_json::{Value, json};

fn rule(names: Value, action: &str) -> Value {
    json!({"names": names, "action": action})
}

/// The rule with one more element.
fn with(mut rule: Value, key: &str, value: Value) -> Value {
    rule[key] = value;
    rule
}

fn section(elements: Value) -> Value {
    let mut section = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []});
    for (key, value) in elements.as_object().unwrap() {
        section[key] = value.clone();
    }
    section
}

fn eq(index: usize, value: u64) -> Value {
    json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"})
}

#[test]
fn refused() {
    let allow = |names| rule(names, "SCMP_ACT_ALLOW");
    let errno = |number: u32| with(rule(json!(["getuid"]), "SCMP_ACT_ERRNO"), "errnoRet", json!(number));
    let on = |rule, args| with(rule, "args", args);
    let cases = [
        (
            json!({"architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_S390X"]}),
            "linux.seccomp.architectures[1]",
            "byte order",
        ),
        (json!({"architectures": ["SCMP_ARCH_NATIVE"]}), "linux.seccomp.architectures[0]", "SCMP_ARCH_NATIVE"),
        (json!({"defaultErrnoRet": 4095}), "linux.seccomp.defaultErrnoRet", "below 4095"),
        (json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "linux.seccomp.defaultAction", "SCMP_ACT_NOTIFY"),
        (
            json!({"listenerPath": "/run/agent", "syscalls": [allow(json!(["read"])), rule(json!(["read", "write"]), "SCMP_ACT_NOTIFY")]}),
            "linux.seccomp.syscalls[1].names[1]",
            "SCMP_ACT_NOTIFY cannot be used for write",
        ),
        (json!({"syscalls": [rule(json!(["mkdir"]), "SCMP_ACT_NOTIFY")]}), "linux.seccomp.listenerPath", "required"),
        (json!({"syscalls": [allow(json!(["read", ""]))]}), "linux.seccomp.syscalls[0].names[1]", "empty"),
        (json!({"syscalls": [rule(json!([""]), "SCMP_ACT_ERRNO")]}), "linux.seccomp.syscalls[0].names[0]", "empty"),
        (json!({"syscalls": [errno(4095)]}), "linux.seccomp.syscalls[0].errnoRet", "below 4095"),
        (json!({"syscalls": [errno(u32::MAX)]}), "linux.seccomp.syscalls[0].errnoRet", "below 4095"),
        (
            json!({"syscalls": [on(allow(json!(["read"])), json!([eq(0, 1), eq(6, 1)]))]}),
            "linux.seccomp.syscalls[0].args[1].index",
            "is 6",
        ),
        (
            json!({"syscalls": [on(errno(5), json!([eq(0, 1)])), on(errno(6), json!([eq(0, 1)]))]}),
            "linux.seccomp.syscalls[1]",
            "contradicts syscalls[0] on getuid: errno EIO and errno ENXIO",
        ),
        (
            json!({"syscalls": [on(errno(5), json!([eq(0, 1), eq(1, 1)])), on(errno(6), json!([eq(0, 1)]))]}),
            "linux.seccomp.syscalls[1]",
            "contradicts syscalls[0]",
        ),
        // runc 1.1.5 refuses all flags; later ones let the kernel refuse this one.
        (json!({"flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}), "linux.seccomp.flags[0]", "SCMP_ACT_NOTIFY"),
    ];
    for (elements, location, words) in cases {
        let error = compile(&profile(section(elements.clone())), Arch::X86_64).expect_err(&elements.to_string());
        assert_eq!(error.kind(), crate::ErrorKind::InvalidConfig);
        assert_eq!(error.location(), Some(location), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn accepted() {
    let allow = |names| rule(names, "SCMP_ACT_ALLOW");
    let errno = |number: u32| with(rule(json!(["getuid"]), "SCMP_ACT_ERRNO"), "errnoRet", json!(number));
    let on = |rule, args| with(rule, "args", args);
    for elements in [
        json!({}),
        json!({"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86_64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_ARM"]}),
        json!({"syscalls": [allow(json!([]))]}),
        json!({"syscalls": [errno(4094)]}),
        json!({"syscalls": [errno(65537)]}),
        json!({"syscalls": [with(allow(json!(["getuid"])), "errnoRet", json!(5000))]}),
        // Looked at only where they count: for a known name with another action than the default.
        json!({"syscalls": [on(allow(json!(["nosuchcall"])), json!([eq(6, 1)]))]}),
        json!({"syscalls": [on(rule(json!(["getuid"]), "SCMP_ACT_ERRNO"), json!([eq(6, 1)]))]}),
        json!({"syscalls": [with(rule(json!(["nosuchcall"]), "SCMP_ACT_ERRNO"), "errnoRet", json!(5000))]}),
        json!({"syscalls": [errno(5), allow(json!(["getuid"]))]}),
        json!({"syscalls": [on(errno(5), json!([eq(0, 1)])), on(errno(5), json!([eq(0, 1)]))]}),
        json!({"syscalls": [on(errno(5), json!([eq(0, 1)])), on(errno(6), json!([eq(0, 1), eq(1, 2)]))]}),
        // What would contradict the third rule is covered by the second.
        json!({"syscalls": [on(errno(5), json!([eq(0, 1), eq(1, 1)])), on(errno(5), json!([eq(1, 1)])), on(errno(6), json!([eq(0, 1)]))]}),
        json!({"listenerPath": "/run/agent", "listenerMetadata": "x"}),
        json!({"listenerMetadata": "x"}),
        json!({"listenerPath": "/run/agent", "syscalls": [rule(json!(["sendmsg"]), "SCMP_ACT_NOTIFY")]}),
    ] {
        compiled(&profile(section(elements)), Arch::X86_64);
    }
}

#[test]
fn unknown_names_are_ignored_and_reported() {
    let names = json!(["read", "nosuchcall", "riscv_flush_icache", "semop", "cacheflush"]);
    let filter = compiled(&profile(section(json!({"syscalls": [rule(names, "SCMP_ACT_ALLOW")]}))), Arch::X86_64);
    assert_eq!(filter.ignored_names, ["nosuchcall"]);
}

#[test]
fn flags_and_listener() {
    let notify = rule(json!(["mkdir"]), "SCMP_ACT_NOTIFY");
    let flags = |list: Value, rules: Value| {
        let elements = json!({"flags": list, "syscalls": rules, "listenerPath": "/run/agent", "listenerMetadata": "m"});
        compiled(&profile(section(elements)), Arch::X86_64)
    };
    let name = |flag: &str| format!("SECCOMP_FILTER_FLAG_{flag}");
    assert_eq!(flags(Value::Null, json!([])).flags, Filter::SPEC_ALLOW);
    assert_eq!(flags(json!([]), json!([])).flags, 0);
    let all = json!([name("TSYNC"), name("LOG"), name("SPEC_ALLOW")]);
    assert_eq!(flags(all, json!([])).flags, Filter::TSYNC | Filter::LOG | Filter::SPEC_ALLOW);
    assert_eq!(flags(json!([]), json!([notify])).flags, Filter::NEW_LISTENER);
    let listening = flags(json!([name("TSYNC"), name("WAIT_KILLABLE_RECV")]), json!([notify]));
    assert_eq!(listening.flags, Filter::NEW_LISTENER | Filter::WAIT_KILLABLE_RECV);
    assert!(listening.notify);
    assert_eq!(listening.listener_path.as_deref(), Some("/run/agent"));
    assert_eq!(listening.listener_metadata.as_deref(), Some("m"));
}
