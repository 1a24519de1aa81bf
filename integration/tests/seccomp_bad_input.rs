//! linux.seccomp that is wrong or odd, row by row: what is refused, what is accepted, and, of corten's message, the element.

use corten_integration::{Runtime, Sandbox, on_every_view, once};
use serde_json::{Value, json};

/// What becomes of a section.
enum Outcome {
    Accepted,
    /// corten's message names this element.
    Refused(&'static str),
}
use Outcome::{Accepted, Refused};

struct Row {
    section: Value,
    outcome: Outcome,
    /// Why runc 1.1.5 decides the other way.
    runc_differs: Option<&'static str>,
}

fn row(section: Value, outcome: Outcome) -> Row {
    Row { section, outcome, runc_differs: None }
}

fn unlike_runc(section: Value, outcome: Outcome, reason: &'static str) -> Row {
    Row { section, outcome, runc_differs: Some(reason) }
}

/// A section that allows everything but for `elements`.
fn section(elements: Value) -> Value {
    let mut section = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    for (key, value) in elements.as_object().unwrap() {
        section[key] = value.clone();
    }
    section
}

fn rules(rules: Value) -> Value {
    section(json!({"syscalls": rules}))
}

/// A rule on umask(2), which fails no program, with one element more.
fn umask(key: &str, value: Value) -> Value {
    let mut rule = json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO"});
    rule[key] = value;
    rule
}

fn args(args: Value) -> Value {
    rules(json!([umask("args", args)]))
}

fn eq(index: i64, value: u64) -> Value {
    json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"})
}

fn words() -> Vec<Row> {
    vec![
        row(json!({"defaultAction": "SCMP_ACT_FOO"}), Refused("linux.seccomp.defaultAction")),
        row(json!({"defaultAction": "allow"}), Refused("linux.seccomp.defaultAction")),
        row(json!({"defaultAction": 5}), Refused("linux.seccomp.defaultAction")),
        row(section(json!({"architectures": ["SCMP_ARCH_FOO"]})), Refused("linux.seccomp.architectures[0]")),
        row(section(json!({"architectures": ["SCMP_ARCH_X86", "x86"]})), Refused("linux.seccomp.architectures[1]")),
        row(section(json!({"architectures": "SCMP_ARCH_X86"})), Refused("linux.seccomp.architectures")),
        row(section(json!({"architectures": ["SCMP_ARCH_S390X"]})), Refused("linux.seccomp.architectures[0]")),
        row(section(json!({"architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"]})), Accepted),
        row(section(json!({"flags": ["SECCOMP_FILTER_FLAG_FOO"]})), Refused("linux.seccomp.flags[0]")),
        row(section(json!({"flags": []})), Accepted),
        unlike_runc(section(json!({"flags": ["SECCOMP_FILTER_FLAG_LOG"]})), Accepted, "1.1.5 knows no flags; 1.2 does"),
        row(rules(json!([umask("action", json!("SCMP_ACT_FOO"))])), Refused("linux.seccomp.syscalls[0].action")),
        row(rules(json!([umask("action", json!(["SCMP_ACT_LOG"]))])), Refused("linux.seccomp.syscalls[0].action")),
        row(rules(json!([umask("names", json!("umask"))])), Refused("linux.seccomp.syscalls[0].names")),
        row(rules(json!([umask("names", json!(["getuid", ""]))])), Refused("linux.seccomp.syscalls[0].names[1]")),
        row(rules(json!([umask("names", json!(["nosuchcall", "no such call"]))])), Accepted),
        row(rules(json!([umask("names", json!([]))])), Accepted),
        row(section(json!({"syscalls": []})), Accepted),
        row(section(json!({"syscalls": {}})), Refused("linux.seccomp.syscalls")),
        row(section(json!({"somethingNew": 5})), Accepted),
    ]
}

fn conditions() -> Vec<Row> {
    let op = |op: &str| json!([{"index": 0, "value": 1, "op": op}]);
    vec![
        row(args(op("SCMP_CMP_FOO")), Refused("linux.seccomp.syscalls[0].args[0].op")),
        row(args(op("")), Refused("linux.seccomp.syscalls[0].args[0].op")),
        row(args(json!([eq(0, 1), eq(6, 1)])), Refused("linux.seccomp.syscalls[0].args[1].index")),
        row(args(json!([eq(4_294_967_296, 1)])), Refused("linux.seccomp.syscalls[0].args[0].index")),
        row(args(json!([eq(-1, 1)])), Refused("linux.seccomp.syscalls[0].args[0].index")),
        row(args(json!([eq(5, u64::MAX)])), Accepted),
        row(
            args(json!([{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}])),
            Refused("linux.seccomp.syscalls[0].args[0].value"),
        ),
        row(
            args(json!([{"index": 0, "value": 1e30, "op": "SCMP_CMP_EQ"}])),
            Refused("linux.seccomp.syscalls[0].args[0].value"),
        ),
        row(
            args(json!([{"index": 0, "value": "1", "op": "SCMP_CMP_EQ"}])),
            Refused("linux.seccomp.syscalls[0].args[0].value"),
        ),
        row(
            args(json!([{"index": 0, "value": 1, "valueTwo": -5, "op": "SCMP_CMP_MASKED_EQ"}])),
            Refused("linux.seccomp.syscalls[0].args[0].valueTwo"),
        ),
        row(args(json!([{"index": 0, "value": 8, "op": "SCMP_CMP_MASKED_EQ"}])), Accepted),
        row(args(json!([eq(0, 0x1234_5678), eq(0, 0x1234_5679), eq(1, 0x1234_5678)])), Accepted),
        // Not looked at where they have no effect: an unknown call, or the default action.
        row(rules(json!([{"names": ["nosuchcall"], "action": "SCMP_ACT_ERRNO", "args": [eq(6, 1)]}])), Accepted),
        row(rules(json!([{"names": ["umask"], "action": "SCMP_ACT_ALLOW", "args": [eq(6, 1)]}])), Accepted),
    ]
}

fn numbers() -> Vec<Row> {
    let errno = |number: i64| rules(json!([umask("errnoRet", json!(number))]));
    let with = |action: &str, number: u32| json!({"names": ["umask"], "action": action, "errnoRet": number});
    vec![
        row(errno(0), Accepted),
        row(errno(4094), Accepted),
        row(errno(4095), Refused("linux.seccomp.syscalls[0].errnoRet")),
        row(errno(65_535), Refused("linux.seccomp.syscalls[0].errnoRet")),
        row(errno(65_537), Accepted),
        row(errno(-1), Refused("linux.seccomp.syscalls[0].errnoRet")),
        unlike_runc(
            errno(4_294_967_296),
            Refused("linux.seccomp.syscalls[0].errnoRet"),
            "it reads 64 bits of what the specification gives 32, and cuts them to 16",
        ),
        // Actions that take no number.
        row(rules(json!([with("SCMP_ACT_LOG", 5000)])), Accepted),
        row(rules(json!([with("SCMP_ACT_KILL_PROCESS", 5)])), Accepted),
        row(rules(json!([with("SCMP_ACT_TRACE", 65_535)])), Accepted),
        row(section(json!({"defaultErrnoRet": 5000})), Accepted),
        row(
            json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095}),
            Refused("linux.seccomp.defaultErrnoRet"),
        ),
        row(section(json!({"defaultErrnoRet": -1})), Refused("linux.seccomp.defaultErrnoRet")),
    ]
}

fn contradictions() -> Vec<Row> {
    let when = |number: u32, args: Value| json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": number, "args": args});
    let far = || json!([eq(0, 0x1234_5678)]);
    vec![
        row(rules(json!([when(5, far()), when(5, far())])), Accepted),
        row(rules(json!([when(5, json!([])), when(5, json!([]))])), Accepted),
        row(rules(json!([when(5, far()), when(6, far())])), Refused("linux.seccomp.syscalls[1]")),
        row(rules(json!([when(5, far()), when(6, json!([]))])), Accepted),
        row(rules(json!([when(5, json!([])), when(6, json!([]))])), Accepted),
        row(rules(json!([when(5, json!([])), when(6, far())])), Accepted),
        row(rules(json!([when(5, far()), when(6, json!([eq(0, 0x1234_5679)]))])), Accepted),
    ]
}

fn listeners() -> Vec<Row> {
    let notify = |names: Value| json!([{"names": names, "action": "SCMP_ACT_NOTIFY"}]);
    let listening = |names: Value| section(json!({"listenerPath": "/nonexistent/agent", "syscalls": notify(names)}));
    vec![
        row(
            json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/nonexistent/agent"}),
            Refused("linux.seccomp.defaultAction"),
        ),
        row(listening(json!(["write"])), Refused("linux.seccomp.syscalls[0].names[0]")),
        row(listening(json!(["mkdir", "write"])), Refused("linux.seccomp.syscalls[0].names[1]")),
        row(rules(notify(json!(["mkdir"]))), Refused("linux.seccomp.listenerPath")),
        row(
            section(json!({"listenerPath": "", "syscalls": notify(json!(["mkdir"]))})),
            Refused("linux.seccomp.listenerPath"),
        ),
        row(listening(json!(["mkdir"])), Refused("linux.seccomp.listenerPath")),
        row(section(json!({"listenerPath": 5})), Refused("linux.seccomp.listenerPath")),
        // Nobody is asked, so nobody has to be there.
        row(section(json!({"listenerPath": "/nonexistent/agent", "listenerMetadata": "m"})), Accepted),
        row(section(json!({"listenerMetadata": "m"})), Accepted),
        // 1.1.5 refuses it because it knows no flags, later ones let the kernel refuse it.
        row(section(json!({"flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]})), Refused("linux.seccomp.flags[0]")),
    ]
}

fn decide(t: &Sandbox, row: &Row) {
    let what = row.section.to_string();
    let bundle = t.bundle().args(&["true"]).set("/linux/seccomp", row.section.clone());
    let output = t.container(bundle).command("run").run();
    let mut accepted = matches!(row.outcome, Accepted);
    let reason = row.runc_differs.filter(|_| t.runtime() == Runtime::Runc);
    if let Some(reason) = reason {
        accepted = !accepted;
        eprintln!("runc: {what}: {reason}");
    }
    assert_eq!(output.code(), i32::from(!accepted), "{what}: {output}");
    if let (Refused(element), Runtime::Corten) = (&row.outcome, t.runtime()) {
        let stderr = output.stderr();
        assert_eq!(stderr.lines().count(), 1, "{what}: one line: {output}");
        let names = stderr.find(element).map(|place| &stderr[place + element.len()..]);
        // The whole name and no longer one.
        assert!(names.is_some_and(|rest| !rest.starts_with(['.', '['])), "{what}: names {element}: {output}");
    }
    t.assert_nothing_left();
}

fn check(rows: fn() -> Vec<Row>) {
    once(|t| rows().iter().for_each(|row| decide(t, row)));
}

#[test]
fn unknown_words_and_wrong_types() {
    check(words);
}

#[test]
fn arguments() {
    check(conditions);
}

#[test]
fn errno_numbers() {
    check(numbers);
}

#[test]
fn duplicate_and_contradicting_rules() {
    check(contradictions);
}

#[test]
fn notifications_that_nobody_could_answer() {
    check(listeners);
}

/// With `create` too, on every view: no directory, cgroup or process is left, and the id is free.
#[test]
fn a_refused_profile_leaves_nothing() {
    on_every_view(|t| {
        let bad = t.bundle().args(&["true"]).set("/linux/seccomp", args(json!([eq(6, 1)])));
        let container = t.container(bad);
        container.command("create").fails(1);
        t.assert_nothing_left();
        let good = t.bundle().args(&["true"]);
        good.write();
        t.command("run", &[container.id()]).option("--bundle").option(good.path()).ok();
    });
}
