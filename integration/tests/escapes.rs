//! What an image or a configuration may try in order to reach the machine, each named after the class of the flaw it guards.

use corten_integration::{Bundle, Sandbox, on_every_view, once};
use std::path::Path;

/// A file of the machine, and a script that prints its contents if the working directory is outside the root.
fn bait(t: &Sandbox) -> String {
    let file = t.new_file("reached the machine\n");
    format!("cat ../../../../../../../../../..{0} ../../../..{0} .{0} 2>/dev/null; echo done", file.display())
}

/// CVE-2024-21626: a descriptor of the runtime as the working directory.
#[test]
fn a_working_directory_through_a_descriptor_of_the_runtime() {
    on_every_view(|t| {
        let script = bait(t);
        for number in 3..12 {
            let bundle = t.bundle().set("/process/cwd", format!("/proc/self/fd/{number}")).sh(&script);
            let container = t.container(bundle);
            let output = container.command("run").descriptor(9, t.new_directory().join("f")).run();
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
        let output = container.command("run").run();
        assert!(!output.stdout().contains("reached the machine"), "{output}");
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
        t.container(bundle).command("run").run();
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
        t.container(bundle).command("run").run();
        let metadata = std::fs::metadata(&linked).unwrap();
        assert!(metadata.is_file() && std::fs::read_to_string(&linked).unwrap() == "untouched");
        t.assert_nothing_left();
    });
}

/// CVE-2019-5736: the runtime's own program, reached as the interpreter of the container's program.
#[test]
fn the_runtime_cannot_be_opened_for_writing_from_inside() {
    once(|t| {
        let script =
            "for pid in /proc/[0-9]*; do (: >> $pid/exe) 2>/dev/null && echo opened $(readlink $pid/exe); done; true";
        let output = t.output_of(t.bundle().capabilities(&["CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"]).sh(script));
        assert!(!output.contains("opened"), "{output}");
        let itself = t.bundle().args(&["/proc/self/exe"]);
        let output = t.container(itself).command("run").run();
        assert!(!output.stdout().contains("reached"), "{output}");
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
