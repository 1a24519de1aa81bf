//! Resources that run out, one after the other: what fails names the error and leaves nothing, and where there is just enough
//! everything works.

use corten_integration::{HostView, Runtime, Sandbox, on_every_view, once, skip};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// A runtime that was killed in the middle, or could not start a thread, may leave cgroups: corten's are found by the delete that
/// followed, runc's are not.
fn must_have_left_nothing(sandbox: &Sandbox) {
    if sandbox.runtime() != Runtime::Corten {
        sandbox.forgive();
    }
    sandbox.assert_nothing_left();
}

/// Runs a container that ends at once behind a shell script which has taken something away: whether that succeeded. If not, it
/// named one of the `reasons`; where there are none, it said anything, or a signal ended it. Nothing is left either way.
fn run_behind(sandbox: &Sandbox, script: &str, reasons: &[&str]) -> bool {
    let container = sandbox.container(sandbox.bundle().set("/process/args", json!(["true"])));
    let output = container.command("run").behind(script).run();
    if output.code() != 0 {
        let message = output.stderr();
        let named = reasons.iter().any(|reason| message.contains(reason));
        // Standard error is a file, too, for which there may be no room.
        let said = output.code() < 0 || !message.is_empty() || script.starts_with("ulimit -f");
        let told = named || reasons.is_empty() && said;
        assert!(told || sandbox.runtime() != Runtime::Corten, "{script}: {output}");
    }
    if output.code() != 0 && reasons.is_empty() {
        // It may have been killed in the middle.
        container.command("delete").option("--force").ok();
        must_have_left_nothing(sandbox);
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
        must_have_left_nothing(sandbox);
    });
}

#[test]
fn memory_of_the_runtime() {
    once(|sandbox| {
        let address_space = [1000, 3000, 5000, 8000, 12_000, 20_000, 2_000_000];
        let works = address_space.map(|limit| run_behind(sandbox, &format!("ulimit -v {limit}"), &[]));
        // The size of a file that may be written: SIGXFSZ.
        let no_file = run_behind(sandbox, "ulimit -f 0", &[]);
        let few = run_behind(sandbox, "ulimit -f 8", &[]);
        let enough = run_behind(sandbox, "ulimit -f 1000", &[]);
        if sandbox.runtime() == Runtime::Corten {
            assert!(!works[0] && works[works.len() - 1], "{works:?}");
            // The init is executed from a file, too.
            assert_eq!((no_file, few, enough), (false, false, true));
        }
        if sandbox.view().is_unified() || !sandbox.hierarchy("memory").exists() {
            skip!("there is no memory controller of version 1");
        }
        let outer = sandbox.hierarchy("memory").join(sandbox.unique_name());
        std::fs::create_dir(&outer).unwrap();
        let mut works = Vec::new();
        for kilobytes in [128, 256, 512, 1024, 2048, 8192, 262_144] {
            std::fs::write(outer.join("memory.limit_in_bytes"), format!("{kilobytes}K")).unwrap();
            let script = format!("echo $$ >{}/cgroup.procs", outer.display());
            let container = sandbox.container(sandbox.bundle().set("/process/args", json!(["true"])));
            works.push(container.command("run").behind(&script).run().code() == 0);
            container.command("delete").option("--force").ok();
        }
        assert!(!works[0] && works[works.len() - 1], "{works:?}");
        std::fs::remove_dir(&outer).unwrap();
        must_have_left_nothing(sandbox);
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
fn user_namespaces() {
    once(|sandbox| {
        let root_alone = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
        let bundle = sandbox.bundle().set("/process/args", json!(["true"])).namespace("user", "");
        let bundle = bundle.set("/linux/uidMappings", root_alone.clone()).set("/linux/gidMappings", root_alone);
        let container = sandbox.container(bundle);
        let script = "echo 0 >/proc/sys/user/max_user_namespaces";
        let output = container.command("run").in_user_namespace().behind(script).fails(1);
        let said = output.stderr();
        assert!(said.to_lowercase().contains("no space left on device"), "{output}");
        if sandbox.runtime() == Runtime::Corten {
            assert!(said.contains("linux.namespaces") && said.contains("/proc/sys/user/max_"), "{output}");
        }
        sandbox.assert_nothing_left();
    });
}

/// Takes all keys that a user may have, says so, and keeps them until its input ends.
const TAKE_KEYS: &str = "
import ctypes, os, platform, sys
libc, uid = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
add_key = {'x86_64': 248, 'aarch64': 217}[platform.machine()]
os.setresuid(uid, uid, uid)
count = 0
while libc.syscall(add_key, b'user', b'corten test %d' % count, b'x', ctypes.c_size_t(1), -2) >= 0:
    count += 1
print(os.strerror(ctypes.get_errno()), flush=True)
sys.stdin.read()
";

#[test]
fn keys() {
    /// Nobody's; root of the container is this user, and has as few keys as any.
    const USER: u32 = 1_737_000_000;
    if !Command::new("python3").args(["-c", "import ctypes"]).status().is_ok_and(|status| status.success()) {
        skip!("keys are taken by python3");
    }
    once(|sandbox| {
        let mut taker = Command::new("python3")
            .args(["-c", TAKE_KEYS, &USER.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut taken = String::new();
        BufReader::new(taker.stdout.take().unwrap()).read_line(&mut taken).unwrap();
        let container = sandbox.container(sandbox.bundle().set("/process/args", json!(["true"])).user_namespace(USER));
        let run = |options: &[&str]| {
            options.iter().fold(container.command("run"), |command, option| command.option(*option)).run()
        };
        let (refused, without) = (run(&[]), run(&["--no-new-keyring"]));
        drop(taker.stdin.take());
        taker.wait().unwrap();
        assert!(taken.contains("quota exceeded"), "{taken}");
        assert_ne!(refused.code(), 0, "{refused}");
        assert!(refused.stderr().to_lowercase().contains("quota exceeded"), "{refused}");
        if sandbox.runtime() == Runtime::Corten {
            assert!(refused.stderr().contains("join a new session keyring"), "{refused}");
        }
        assert_eq!(without.code(), 0, "{without}");
        sandbox.assert_nothing_left();
    });
}

#[test]
fn watches() {
    on_every_view(|sandbox| {
        if !sandbox.view().is_unified() || sandbox.runtime() != Runtime::Corten {
            skip!("what watches a cgroup of version 2 with inotify(7), and says so");
        }
        let container = sandbox.container(sandbox.bundle().set("/process/args", json!(["sleep", "1000"])));
        container.run_detached();
        let script = "echo 0 >/proc/sys/user/max_inotify_instances";
        let output = container.command("events").in_user_namespace().behind(script).fails(1);
        assert!(output.stderr().contains("memory.events: Too many open files"), "{output}");
        container.command("state").ok();
        container.command("delete").option("--force").ok();
        sandbox.assert_nothing_left();
    });
}

#[test]
fn a_read_only_run() {
    once(|sandbox| {
        let read_only = "exec unshare --mount --propagation private sh -c \
            'mount --bind /run /run && mount -o remount,bind,ro /run && exec \"$@\"' sh \"$@\"";
        let container = sandbox.container(sandbox.bundle().set("/process/args", json!(["true"])));
        let root = format!("/run/{}", sandbox.unique_name());
        let output = container.command("run").global("--root").global(&root).behind(read_only).fails(1);
        assert!(output.stderr().to_lowercase().contains("read-only file system"), "{output}");
        assert!(output.stderr().contains(&root), "{output}");
        assert!(!Path::new(&root).exists());
        // Whoever has the state elsewhere needs nothing of it.
        container.command("run").behind(read_only).ok();
        sandbox.assert_nothing_left();
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
