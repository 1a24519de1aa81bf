//! Resources that run out, one after the other: what fails names the error and leaves nothing, and where there is just enough
//! everything works.

use corten_integration::{HostView, Runtime, Sandbox, on_every_view, once, skip};
use serde_json::json;

/// Runs a container that ends at once behind a shell script which has taken something away: whether that succeeded. If not, it
/// named one of the `reasons`, or was ended by a signal where there are none. Nothing is left either way.
fn run_behind(sandbox: &Sandbox, script: &str, reasons: &[&str]) -> bool {
    let container = sandbox.container(sandbox.bundle().set("/process/args", json!(["true"])));
    let output = container.command("run").behind(script).run();
    if output.code() != 0 && !reasons.is_empty() {
        let message = output.stderr();
        assert!(reasons.iter().any(|reason| message.contains(reason)), "{script}: {output}");
    }
    if output.code() != 0 && reasons.is_empty() {
        // It may have been killed in the middle.
        container.command("delete").option("--force").ok();
    }
    sandbox.assert_nothing_left();
    output.code() == 0
}

#[test]
fn descriptors() {
    once(|sandbox| {
        if sandbox.runtime() != Runtime::Corten {
            skip!("Go raises the limit by itself");
        }
        // Less than this and the C library's own start fails.
        let enough =
            (6..80).find(|limit| run_behind(sandbox, &format!("ulimit -Sn {limit}"), &["Too many open files"]));
        assert!(enough.is_some_and(|enough| enough > 8), "{enough:?}");
    });
}

#[test]
fn room_in_the_state_directory() {
    once(|sandbox| {
        let state = sandbox.state_root().display().to_string();
        let mount =
            |options: &str| sandbox.host_shell(&format!("mkdir -p {state}; mount -t tmpfs -o {options} tmpfs {state}"));
        let full = ["no space left on device", "No space left on device"];
        let works = |options: &str, reasons: &[&str]| {
            mount(options);
            let container = sandbox.container(sandbox.bundle().set("/process/args", json!(["true"])));
            let output = container.command("run").run();
            let named = reasons.iter().any(|reason| output.stderr().contains(reason));
            // runc 1.1 says "unable to store init state: %!w(<nil>)" at one of the numbers.
            assert!(output.code() == 0 || named || sandbox.runtime() != Runtime::Corten, "{options}: {output}");
            sandbox.host_shell(&format!("test -z \"$(ls -A {state})\"; umount {state}"));
            output.code() == 0
        };
        let enough = (1..20).find(|inodes| works(&format!("nr_inodes={inodes}"), &full));
        assert!(enough.is_some_and(|enough| enough > 2), "{enough:?}");
        assert!(!works("size=4k", &full));
        assert!(works("size=1m", &full));
        assert!(!works("ro", &["ead-only file system"]));
    });
}

#[test]
fn processes() {
    once(|sandbox| {
        if sandbox.view() != HostView::Native || sandbox.view().is_unified() {
            skip!("there is no pids controller of version 1");
        }
        let outer = sandbox.hierarchy("pids").join(sandbox.unique_name());
        std::fs::create_dir(&outer).unwrap();
        let works = |limit: u32| {
            std::fs::write(outer.join("pids.max"), limit.to_string()).unwrap();
            let script = format!("echo $$ >{}/cgroup.procs", outer.display());
            let container = sandbox.container(sandbox.bundle().set("/process/args", json!(["true"])));
            let output = container.command("run").behind(&script).run();
            let said = output.stderr();
            let known = said.contains("esource temporarily unavailable") || said.contains("Try again");
            assert!(output.code() == 0 || known || sandbox.runtime() != Runtime::Corten, "{limit}: {output}");
            container.command("delete").option("--force").run();
            output.code() == 0
        };
        let enough = (1..60).find(|limit| works(*limit));
        std::fs::remove_dir(&outer).unwrap();
        assert!(enough.is_some_and(|enough| enough > 1), "{enough:?}");
        if sandbox.runtime() != Runtime::Corten {
            // runc leaves its cgroups when it cannot start a thread.
            sandbox.forgive();
        }
        sandbox.assert_nothing_left();
    });
}

#[test]
fn memory_of_the_runtime() {
    once(|sandbox| {
        for limit in [1000, 3000, 5000, 8000, 12_000, 20_000] {
            run_behind(sandbox, &format!("ulimit -v {limit}"), &[]);
        }
        // The size of a file that may be written: SIGXFSZ.
        run_behind(sandbox, "ulimit -f 0", &[]);
        run_behind(sandbox, "ulimit -f 8", &[]);
        if sandbox.view().is_unified() || !sandbox.hierarchy("memory").exists() {
            skip!("there is no memory controller of version 1");
        }
        let outer = sandbox.hierarchy("memory").join(sandbox.unique_name());
        std::fs::create_dir(&outer).unwrap();
        for kilobytes in [128, 256, 512, 1024, 2048, 8192] {
            std::fs::write(outer.join("memory.limit_in_bytes"), format!("{kilobytes}K")).unwrap();
            let script = format!("echo $$ >{}/cgroup.procs", outer.display());
            let container = sandbox.container(sandbox.bundle().set("/process/args", json!(["true"])));
            container.command("run").behind(&script).run();
            container.command("delete").option("--force").ok();
        }
        std::fs::remove_dir(&outer).unwrap();
        sandbox.assert_nothing_left();
    });
}

#[test]
fn namespaces() {
    once(|sandbox| {
        for kind in ["mnt", "pid", "net", "ipc", "uts"] {
            let script = format!("echo 0 >/proc/sys/user/max_{kind}_namespaces");
            let container = sandbox.container(sandbox.bundle().set("/process/args", json!(["true"])));
            let output = container.command("run").in_user_namespace().behind(&script).fails(1);
            let said = output.stderr();
            assert!(said.to_lowercase().contains("no space left on device"), "{kind}: {output}");
            if sandbox.runtime() == Runtime::Corten {
                assert!(said.contains("linux.namespaces") && said.contains("/proc/sys/user/max_"), "{kind}: {output}");
            }
            sandbox.assert_nothing_left();
        }
    });
}

#[test]
fn cgroups_below_a_cgroup() {
    on_every_view(|sandbox| {
        if !sandbox.view().is_unified() {
            skip!("of version 2");
        }
        let name = sandbox.unique_name();
        let outer = sandbox.hierarchy("unified").join(&name);
        std::fs::create_dir(&outer).unwrap();
        let bundle =
            sandbox.bundle().set("/process/args", json!(["true"])).set("/linux/cgroupsPath", format!("/{name}/inside"));
        let container = sandbox.container(bundle);
        for limit in ["cgroup.max.descendants", "cgroup.max.depth"] {
            std::fs::write(outer.join(limit), "0").unwrap();
            let output = container.command("run").fails(1);
            let said = output.stderr();
            assert!(said.contains("temporarily unavailable") || said.contains("Try again"), "{limit}: {output}");
            assert!(sandbox.runtime() != Runtime::Corten || said.contains("linux.cgroupsPath"), "{limit}: {output}");
            std::fs::write(outer.join(limit), "max").unwrap();
        }
        container.command("run").ok();
        std::fs::remove_dir(&outer).unwrap();
    });
}
