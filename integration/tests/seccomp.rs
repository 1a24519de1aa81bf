//! linux.seccomp: what a program observes of its filter.

use corten_integration::{Container, Output, Runtime, Sandbox, once, skip};
use serde_json::{Value, json};
use std::process::Command;

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

/// What `exec mkdir` comes to under each action, in both moments of loading.
#[test]
fn every_action_has_its_effect() {
    const CANNOT: &str = "mkdir: can't create directory '/new': ";
    once(|t| {
        for (action, code, output) in [
            ("SCMP_ACT_KILL", 128 + 31, ""),
            ("SCMP_ACT_KILL_THREAD", 128 + 31, ""),
            ("SCMP_ACT_KILL_PROCESS", 128 + 31, ""),
            ("SCMP_ACT_TRAP", 128 + 31, ""),
            ("SCMP_ACT_ERRNO", 1, "Operation not permitted"),
            // Nobody traces: the call does not exist.
            ("SCMP_ACT_TRACE", 1, "Function not implemented"),
            ("SCMP_ACT_LOG", 0, ""),
        ] {
            for no_new_privileges in [true, false] {
                let rules = json!([{"names": ["mkdir", "mkdirat"], "action": action}]);
                let bundle = t.bundle().writable().set("/linux/seccomp", allowing(rules));
                let bundle = bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
                let container = t.container(bundle.sh("exec mkdir /new 2>&1"));
                let result = container.command("run").run();
                let expected = if output.is_empty() { String::new() } else { format!("{CANNOT}{output}\n") };
                assert_eq!((result.code(), result.stdout()), (code, expected), "{action} {no_new_privileges}");
                assert_eq!(container.bundle().rootfs("/new").exists(), code == 0, "{action}");
            }
        }
    });
}

/// The runtime's own process inside is under the profile as well, and may be forbidden even to exit.
#[test]
fn a_profile_that_allows_nothing_ends_in_an_error_and_leaves_nothing() {
    once(|t| {
        for action in ["SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
            for no_new_privileges in [true, false] {
                let bundle = t.bundle().set("/linux/seccomp", json!({"defaultAction": action}));
                let bundle = bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
                let container = t.container(bundle.args(&["true"]));
                let output = container.command("run").fails(1);
                let named = output.stderr().contains("linux.seccomp: ") || t.differs("names of elements");
                assert!(named, "{action} {no_new_privileges}: {output}");
                container.command("state").fails(1);
            }
        }
    });
}

/// Compiles a program without a C library: `_start` makes the call `NUMBER("/new", 0755)` and exits with its errno.
fn caller(t: &Sandbox, bits: u8, number: u32) -> Option<Vec<u8>> {
    let (source, program) = (t.new_path("source"), t.new_path("program"));
    let (trap, first, second, exit) = if bits == 32 { ("int $0x80", "b", "c", 1) } else { ("syscall", "D", "S", 60) };
    let text = format!(
        "void _start(void) {{ long r; __asm__ volatile(\"{trap}\" : \"=a\"(r) : \"a\"({number}L), \"{first}\"(\"/new\"), \
         \"{second}\"(0755L) : \"memory\", \"rcx\", \"r11\"); __asm__ volatile(\"{trap}\" : : \"a\"({exit}L), \
         \"{first}\"(-r)); for (;;); }}\n"
    );
    let text = if bits == 32 { text.replace(", \"rcx\", \"r11\"", "") } else { text };
    std::fs::write(&source, text).unwrap();
    let options = ["-x", "c", "-O1", "-nostdlib", "-static", "-no-pie", "-fno-stack-protector", "-ffreestanding"];
    let built = Command::new("gcc").arg(format!("-m{bits}")).args(options).arg("-o").args([&program, &source]).status();
    built.is_ok_and(|status| status.success()).then(|| std::fs::read(program).unwrap())
}

/// The exit code of a [`caller`] under a profile.
fn exit_of(t: &Sandbox, program: &[u8], profile: Value) -> i32 {
    let bundle = t.bundle().writable().args(&["/caller"]).set("/linux/seccomp", profile);
    std::fs::write(bundle.rootfs("/caller"), program).unwrap();
    std::fs::set_permissions(bundle.rootfs("/caller"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    t.container(bundle).command("run").run().code()
}

#[test]
fn a_program_of_32_bits_has_numbers_of_its_own() {
    once(|t| {
        let Some(program) = caller(t, 32, 39) else { skip!("gcc cannot make a 32-bit program") };
        let profile = |archs: Value| {
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": archs,
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]})
        };
        if exit_of(t, &program, Value::Null) == 255 {
            skip!("this kernel runs no 32-bit programs");
        }
        assert_eq!(exit_of(t, &program, profile(json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]))), 28);
        // Not listed: nothing of it is allowed.
        assert_eq!(exit_of(t, &program, profile(json!(["SCMP_ARCH_X86_64"]))), 128 + 31);
    });
}

/// What a program of [`caller`] needs, and the inits of corten and crun before it.
const NEEDED: &[&str] = &[
    "execve",
    "exit",
    "read",
    "write",
    "close",
    "futex",
    "rt_sigreturn",
    "setuid",
    "openat",
    "fcntl",
    "fstat",
    "newfstatat",
    "getdents64",
    "prctl",
    "epoll_ctl",
    "epoll_pwait",
    "nanosleep",
    "getpid",
    "tgkill",
    "rt_sigprocmask",
    "rt_sigaction",
    "sigaltstack",
    "capset",
    "capget",
    "setgid",
    "setgroups",
    "chdir",
    "getcwd",
    "fchdir",
    "getppid",
    "faccessat2",
    "faccessat",
    "statx",
    "mmap",
    "munmap",
    "madvise",
    "pipe2",
    "umask",
    "fchown",
    "close_range",
    "readlinkat",
    "clone",
    "clone3",
    "sched_yield",
    "lseek",
];

/// A profile that allows nothing else.
fn allowing_little() -> Value {
    json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
        "syscalls": [{"names": NEEDED, "action": "SCMP_ACT_ALLOW"}]})
}

/// So that a C library falls back to older calls.
#[test]
fn calls_that_are_newer_than_the_profile_do_not_exist() {
    once(|t| {
        // epoll_pwait2, which the kernel has and the profile is older than, would fail otherwise.
        for (number, errno) in [(102, 1), (441, 38), (4095, 38)] {
            let Some(program) = caller(t, 64, number) else { skip!("gcc cannot make a program") };
            assert_eq!(exit_of(t, &program, allowing_little()), errno, "call {number}");
        }
    });
}

#[test]
fn a_call_without_a_rule_fails_with_the_errno_of_the_default() {
    once(|t| {
        // getuid
        let Some(program) = caller(t, 64, 102) else { skip!("gcc cannot make a program") };
        for (errno, expected) in [(Value::Null, 1), (json!(28), 28), (json!(38), 38)] {
            let mut profile = allowing_little();
            profile["defaultErrnoRet"] = errno;
            assert_eq!(exit_of(t, &program, profile.clone()), expected, "{}", profile["defaultErrnoRet"]);
        }
    });
}

/// What ends a command when seccomp(2) fails; `ran` is what the program leaves, `made` what its filter forbids.
fn must_not_run(t: &Sandbox, container: &Container<'_>, what: &str, output: &Output) {
    let made = |name: &str| container.bundle().rootfs(name).exists();
    assert!(!made("/made"), "{what}: the program runs without its filter: {output}");
    // The C library of the others tries prctl(2) as well, which is there.
    if t.runtime() == Runtime::Corten {
        assert!(output.stderr().contains("linux.seccomp"), "{what}: {output}");
        assert!(!made("/ran"), "{what}: {output}");
    }
}

/// Neither run nor create and start nor exec begins a program whose filter the kernel does not take, in either moment of loading.
#[test]
fn a_filter_that_cannot_be_loaded_ends_the_start() {
    const SCRIPT: &str = "echo >/ran; mkdir /made";
    let rules = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]);
    once(|t| {
        let corten = t.runtime() == Runtime::Corten;
        for (errno, no_new_privileges) in
            [libc::EINVAL, libc::EACCES, libc::ENOMEM, libc::ENOSYS].into_iter().flat_map(|e| [(e, true), (e, false)])
        {
            let what = |verb: &str| format!("{verb}, errno {errno}, noNewPrivileges: {no_new_privileges}");
            let bundle = t.bundle().writable().set("/linux/seccomp", allowing(rules.clone()));
            let bundle = bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
            let container = t.container(bundle.sh(SCRIPT));
            let output = container.command("run").without_calls("seccomp", errno).run();
            must_not_run(t, &container, &what("run"), &output);
            assert!(!corten || output.code() == 1, "{output}");

            let created = container.command("create").without_calls("seccomp", errno).run();
            assert!(!corten || created.code() == 1, "{created}");
            let output = if created.code() == 0 { container.command("start").run() } else { created };
            must_not_run(t, &container, &what("start"), &output);
            container.command("delete").option("--force").run();

            let waiting = t.bundle().writable().set("/linux/seccomp", allowing(rules.clone())).args(&["sleep", "1000"]);
            let container = t.container(waiting.set("/process/noNewPrivileges", json!(no_new_privileges)));
            container.run_detached();
            let exec = container.command("exec").without_calls("seccomp", errno);
            let output = exec.operand("sh").operand("-c").operand(SCRIPT).run();
            must_not_run(t, &container, &what("exec"), &output);
            assert!(!corten || output.code() == 255, "{output}");
            container.command("delete").option("--force").ok();
            t.assert_nothing_left();
        }
    });
}

/// `plan --seccomp`, which needs neither a machine nor privileges.
#[test]
fn the_plan_shows_decisions_and_program() {
    once(|t| {
        if t.runtime() != Runtime::Corten {
            skip!("only corten has plan");
        }
        let condition = json!([{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}]);
        let rules = json!([{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["umask"], "action": "SCMP_ACT_TRAP", "args": condition}]);
        let bundle = t.bundle().set("/linux/seccomp", allowing(rules));
        bundle.write();
        let plan = t.command("plan", &[bundle.path().to_str().unwrap()]).option("--seccomp").ok().stdout();
        let expected = [
            "SCMP_ARCH_X86_64 (audit 0xc000003e)",
            "errno ENOSPC, 1 calls:\n    mkdir\n",
            "umask: trap if args[0] == 0x7; else allow",
            "any other architecture: kill-thread",
            "0: load arch",
            "return errno ENOSPC",
            "return trap",
        ];
        for line in expected {
            assert!(plan.contains(line), "{line} is not in\n{plan}");
        }
        let none = t.bundle();
        none.write();
        let plan = t.command("plan", &[none.path().to_str().unwrap()]).option("--seccomp").ok();
        assert_eq!(plan.stdout(), "no seccomp profile\n");
    });
}
