//! What an image or a configuration may try in order to reach the machine, each named after the class of the flaw it guards.

use corten_integration::{Bundle, Runtime, Sandbox, on_every_view, once, skip};
use rustix::fs::{SealFlags, StatVfsMountFlags, fcntl_get_seals, fstatvfs};
use serde_json::json;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A file of the machine, and a script that prints its contents if the working directory is outside the root.
fn bait(t: &Sandbox) -> String {
    let file = t.new_file("reached the machine\n");
    format!("cat ../../../../../../../../../..{0} ../../../..{0} .{0} 2>/dev/null; echo done", file.display())
}

/// CVE-2024-21626: a descriptor of the runtime, or a directory that its caller left open, as the working directory.
#[test]
fn a_working_directory_through_a_descriptor_of_the_runtime() {
    on_every_view(|t| {
        let script = bait(t);
        for number in 3..12 {
            let bundle = t.bundle().set("/process/cwd", format!("/proc/self/fd/{number}")).sh(&script);
            let container = t.container(bundle);
            let output = container.command("run").behind("exec 8</ 9<.").run();
            assert!(!output.stdout().contains("reached the machine"), "{number}: {output}");
        }
        t.assert_nothing_left();
    });
}

#[test]
fn a_working_directory_through_a_link_stays_inside() {
    once(|t| {
        let script = bait(t);
        let container =
            t.container(t.bundle().link("/away", "/../../../..").set("/process/cwd", "/away/tmp").sh(&script));
        let output = container.command("run").ok();
        assert_eq!(output.stdout(), "done\n", "{output}");
    });
}

/// CVE-2019-16884, CVE-2019-19921: something else than procfs where procfs is expected.
#[test]
fn proc_and_sys_are_not_mounted_through_links() {
    on_every_view(|t| {
        for point in ["/proc", "/sys"] {
            let container = t.container(t.bundle().link(point, "/tmp").args(&["true"]));
            container.command("run").fails(1);
            t.assert_nothing_left();
        }
    });
}

#[test]
fn nothing_is_mounted_over_parts_of_proc() {
    on_every_view(|t| {
        let directory = t.new_directory();
        let cases: [fn(Bundle, &Path) -> Bundle; 3] = [
            |bundle, directory| bundle.bind(directory, "/proc/self/attr", &[]),
            |bundle, directory| bundle.bind(directory, "/proc/sys", &[]),
            |bundle, directory| bundle.link("/alias", "/proc").bind(directory, "/alias/tty", &[]),
        ];
        for case in cases {
            t.container(case(t.bundle(), &directory).args(&["true"])).command("run").fails(1);
            t.assert_nothing_left();
        }
    });
}

/// Links of the image where the runtime makes its own links and nodes in /dev.
#[test]
fn dev_of_the_image_does_not_lead_out() {
    once(|t| {
        let outside = t.new_directory();
        let target = outside.to_str().unwrap();
        let mut bundle = t.bundle().link("/dev", target).args(&["true"]);
        bundle.config["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
        let output = t.container(bundle).command("run").run();
        assert!(output.code() == 0 || t.differs("a link at /dev of the image"), "{output}");
        let made = std::fs::read_dir(&outside).unwrap().count();
        assert!(made == 0 || t.differs("a link at /dev of the image"), "{made} files made outside");

        let linked = t.new_file("untouched");
        let mut bundle = t.bundle().writable().file("/dev/keep", "", 0o644).args(&["true"]);
        for name in ["null", "console", "ptmx", "stdin", "fd"] {
            bundle = bundle.link(&format!("/dev/{name}"), linked.to_str().unwrap());
        }
        bundle.config["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
        let output = t.container(bundle).command("run").run();
        assert!(output.code() == 0 || t.differs("a link at /dev of the image"), "{output}");
        let metadata = std::fs::metadata(&linked).unwrap();
        assert!(metadata.is_file() && std::fs::read_to_string(&linked).unwrap() == "untouched");
        t.assert_nothing_left();
    });
}

/// CVE-2019-5736: what the runtime executes inside, kept open by a process of the container until nobody executes it any more.
#[test]
fn what_the_runtime_executes_inside_cannot_be_written_to() {
    if Runtime::from_environment() != Runtime::Corten {
        skip!("the program of the others ends at once when it is executed so");
    }
    once(|t| {
        let script = r#"
            find() { for pid in /proc/[0-9]*; do
                [ "$(tr '\0' ' ' < $pid/cmdline)" = "/proc/self/exe 0 " ] && exec 3< $pid/exe && return 0
            done 2>/dev/null; return 1; }
            until find; do sleep 0.01; done
            kill -KILL ${pid#/proc/} && while [ -e $pid/fd/0 ]; do sleep 0.01; done
            # Not "text file busy": nobody executes it any more.
            (echo overwritten > /proc/self/fd/3) 2>&1 && echo written; readlink /proc/self/fd/3"#;
        let container = t.container(t.bundle().capabilities(&["CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"]).sh(script));
        let output = container.run_detached();
        // Executed again, the init waits for orders on its standard input, of which there are none.
        let (ours, theirs) = UnixStream::pair().unwrap();
        let exec = t.command("exec", &[container.id(), "/proc/self/exe", "0"]).stdin(theirs).run();
        drop(ours);
        container.wait_for("stopped");
        let said = output.stdout();
        assert!(exec.code() == 137 && said.contains("memfd:corten-init"), "{exec}\n{output}");
        assert!(!said.contains("written") && !said.contains("busy"), "{output}");
    });
}

/// CVE-2019-5736: what the waiting init, and a container that executes `/proc/self/exe`, are executed from is not the runtime's own
/// file, or cannot be written to: it is sealed, or of a mount that is read-only.
#[test]
fn the_runtime_cannot_be_opened_for_writing_from_inside() {
    once(|t| {
        let cannot_be_written_to = |pid: i64, what: &str| {
            let executed = File::open(format!("/proc/{pid}/exe")).unwrap();
            let sealed =
                fcntl_get_seals(&executed).is_ok_and(|seals| seals.contains(SealFlags::WRITE | SealFlags::SEAL));
            let read_only = fstatvfs(&executed).unwrap().f_flag.contains(StatVfsMountFlags::RDONLY);
            let name = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
            assert!(sealed || read_only, "{what}: {} can be written to", name.display());
        };
        let waiting = t.container(t.bundle().args(&["true"]));
        waiting.create();
        cannot_be_written_to(waiting.pid(), "the init that waits");
        waiting.command("delete").option("--force").ok();
        let itself = t.container(t.bundle().args(&["/proc/self/exe"]));
        itself.create();
        cannot_be_written_to(itself.pid(), "the init that waits to execute itself");
        itself.command("delete").option("--force").ok();
        // From inside: of all processes that are seen there.
        let script = "for pid in /proc/[0-9]*; do (: >> $pid/exe) 2>/dev/null && echo opened $(readlink $pid/exe); done; echo tried $pid";
        let output = t.output_of(t.bundle().capabilities(&["CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"]).sh(script));
        assert!(output.starts_with("tried /proc/"), "{output}");
        t.assert_nothing_left();
    });
}

/// Something else on /proc would answer for the kernel.
#[test]
fn only_a_procfs_can_be_bound_on_proc() {
    once(|t| {
        let fake = t.new_directory();
        let bundle = t.bundle().args(&["true"]).bind(&fake, "/proc", &["rbind"]);
        t.container(bundle).command("run").fails(1);
        let bundle = t.bundle().sh("head -n 1 /proc/meminfo | cut -d: -f1").bind("/proc", "/proc", &["rbind"]);
        assert_eq!(t.output_of(bundle), "MemTotal\n");
    });
}

/// CVE-2025-52565's kin: the multiplexer of an image or volume, behind a link.
#[test]
fn a_terminal_is_not_opened_through_links() {
    on_every_view(|t| {
        for link in ["/dev/pts", "/dev/pts/ptmx"] {
            let bundle = t.bundle().remove("/mounts/4").remove("/mounts/3").set("/process/terminal", true);
            // A devpts of its own is where the link leads.
            let bundle = bundle.file("/victim/file", "", 0o644).args(&["true"]);
            let options = &["newinstance", "ptmxmode=0666", "mode=0620"];
            let mut bundle =
                bundle.remove("/mounts/2").remove("/mounts/1").mount("/victim", "devpts", "devpts", options);
            if link == "/dev/pts/ptmx" {
                bundle = bundle.file("/dev/pts/file", "", 0o644).link(link, "/victim/ptmx");
            } else {
                bundle = bundle.file("/dev/file", "", 0o644).link(link, "/victim");
            }
            let socket = t.new_path("console");
            let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            let output = t.container(bundle).command("create").option("--console-socket").option(&socket).fails(1);
            assert!(output.stderr().contains("process.terminal") || t.differs("names of elements"), "{link}: {output}");
            t.assert_nothing_left();
        }
    });
}

/// What can be standard input and output, the command that makes it, and whether it is given to a user that is not root: a pipe is, for
/// the program to open /dev/stdout again; what the caller has redirected its output to stays the caller's.
const STREAMS: [(&str, &str, u32); 3] =
    [("a file", "touch PATH", 0), ("a device", "mknod PATH c 1 5", 0), ("a pipe", "mkfifo PATH", 1000)];

/// CVE-2024-45310's kin: the owner of a file of the machine changed, because the file was a standard stream.
#[test]
fn only_pipes_among_the_standard_streams_are_given_to_the_user() {
    once(|t| {
        for (what, make, expected) in STREAMS {
            if expected == 0 && t.differs("files as standard streams") {
                continue;
            }
            let path = t.new_path("stream");
            t.host_shell(&make.replace("PATH", path.to_str().unwrap()));
            // All three, so that nothing else is at stake.
            let redirect = format!("exec 0<>{0} 1<>{0} 2<>{0}", path.display());
            let owner = || std::fs::metadata(&path).unwrap().uid();
            let user = json!({"uid": 1000, "gid": 1000});
            let container = t.container(t.bundle().set("/process/user", user).args(&["sleep", "1000"]));
            container.command("run").option("--detach").behind(&redirect).ok();
            assert_eq!(owner(), expected, "run: {what}");
            std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
            // Detached as well: in the foreground runc has pipes of its own.
            container.command("exec").option("--detach").operand("true").behind(&redirect).ok();
            let unchanged = expected != 0 && t.differs("the owner of a pipe of exec");
            assert_eq!(owner(), if unchanged { 0 } else { expected }, "exec: {what}");
            container.command("delete").option("--force").ok();
        }
        t.assert_nothing_left();
    });
}

/// Says of each cgroup mount whether anything of it can be changed.
const CGROUPS: &str =
    "grep -E '^[^ ]+ /sys/fs/cgroup[^ ]* cgroup2? ' /proc/self/mounts | while read -r _ at kind options _; do
    can=seen
    case ,$options, in *,ro,*) ;; *) can=$options ;; esac
    if (: >> $at/cgroup.procs) 2>/dev/null; then can=opened; fi
    if mkdir $at/made-inside 2>/dev/null; then rmdir $at/made-inside; can=made; fi
    echo $can
done | sort | uniq";

/// CVE-2023-25809: root of a user namespace may not mount the cgroup tree without a cgroup namespace of its own; what is bound in its
/// place was not as read-only as the mount was to be, and root, if it is the machine's, could write to it.
#[test]
fn without_a_cgroup_namespace_root_of_a_user_namespace_cannot_change_cgroups() {
    on_every_view(|t| {
        let bundle = || {
            let bundle = t.bundle().without_namespace("cgroup").remove("/linux/resources").remove("/process/rlimits");
            // Of the ids only root's is mapped.
            bundle.set("/mounts/2/options", json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666"])).sh(CGROUPS)
        };
        let of = |user: u32, bundle: Bundle| {
            let mapping = json!([{"containerID": 0, "hostID": user, "size": 1}]);
            let bundle = bundle.namespace("user", "").set("/linux/uidMappings", mapping.clone());
            bundle.set("/linux/gidMappings", mapping)
        };
        let run = |bundle| t.container(bundle).command("run");
        assert_eq!(run(bundle()).in_user_namespace().ok().stdout(), "seen\n", "in a user namespace that is there");
        assert_eq!(run(of(0, bundle())).ok().stdout(), "seen\n", "in a new one");
        let nobody = of(65534, bundle()).remove("/linux/cgroupsPath");
        let state = t.new_directory();
        for path in [nobody.path(), &state, &nobody.rootfs("/")] {
            std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
        }
        let output = run(nobody).global("--root").global(&state).unprivileged().ok();
        assert_eq!(output.stdout(), "seen\n", "of an ordinary user");
        t.assert_nothing_left();
    });
}
