//! CVE-2016-9962: a process that joins a container has the runtime's rights, descriptors and namespaces until it executes its program.
//! Whoever may trace it then, or open what `/proc` has of it, is out of the container. The attacker is the container's first process
//! (`attacker/main.rs`), with every right that the joining process is going to have; it never rests while processes join.

use corten_integration::{Bundle, Container, Output, Sandbox, once};
use std::time::{Duration, Instant};

/// So many processes have to be attacked while they join; what is tried with each is a score of system calls, again and again.
const ENOUGH: usize = 30;
/// And so much has to be tried.
const TRIES: u64 = 10_000;
/// On a busy machine the attacker may miss most of them; then these are enough after [`PATIENCE`].
const LEAST: usize = 5;
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs the attacker in a container of `bundle` and lets processes join by `join` until it has attacked enough of them.
fn attacked(t: &Sandbox, what: &str, bundle: Bundle, join: impl Fn(&Container<'_>) -> Output) {
    std::fs::copy(env!("CARGO_BIN_EXE_attacker"), bundle.rootfs("/bin/attacker")).unwrap();
    let container = t.container(bundle.args(&["attacker", "true"]));
    let output = container.run_detached();
    let begin = Instant::now();
    let seen = || output.stdout().lines().filter(|line| line.starts_with("saw ")).count();
    let tried = || {
        let said = output.stdout();
        let last = said.lines().rfind(|line| line.starts_with("saw "));
        last.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    while (seen() < ENOUGH || tried() < TRIES) && begin.elapsed() < PATIENCE && !output.stdout().contains("won ") {
        let joined = join(&container);
        // What succeeds ends the attacker, the first process, and so all others.
        assert!(joined.code() == 0 || output.stdout().contains("won "), "{what}: {joined}");
    }
    std::fs::write(container.bundle().rootfs("/stop"), "").unwrap();
    container.wait_for("stopped");
    let said = output.stdout();
    let last = said.lines().last().unwrap_or_default();
    eprintln!("{what}: {} attacked, {last}, in {:?}", seen(), begin.elapsed());
    assert!(!said.contains("won "), "{what}: won: {last}");
    assert!(last.starts_with("tried ") && seen() >= LEAST, "{what}: {said}");
    container.delete();
}

fn exec(container: &Container<'_>) -> Output {
    container.command("exec").operand("true").run()
}

/// Root of a user namespace, with the right to trace whatever is in it.
fn tracer(t: &Sandbox) -> Bundle {
    t.bundle().user_namespace(100_000).capabilities(&["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"])
}

#[test]
fn what_is_added_by_exec_cannot_be_traced_or_looked_into() {
    once(|t| {
        attacked(t, "root with the same capabilities", t.bundle(), exec);
        attacked(t, "root of a user namespace, who may trace", tracer(t), exec);
        t.assert_nothing_left();
    });
}

/// As the containers of a pod do.
#[test]
fn a_container_that_joins_namespaces_cannot_be_traced_or_looked_into() {
    once(|t| {
        let join = |first: &Container<'_>| {
            let path = |kind: &str| first.proc_file(&format!("ns/{kind}")).to_str().unwrap().to_owned();
            let bundle = tracer(t).args(&["true"]);
            let bundle = bundle.namespace("user", &path("user")).namespace("pid", &path("pid"));
            t.container(bundle).command("run").run()
        };
        attacked(t, "root of a joined user namespace, who may trace", tracer(t), join);
        t.assert_nothing_left();
    });
}
