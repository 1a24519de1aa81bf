//! A root file system of real size: Debian, with dynamic programs, a merged /usr, absolute links and its own users.
//!
//! `DEBIAN_ROOT` names its directory, which the tests leave as it is; `.ci/run` makes one:
//! `mmdebstrap --variant=essential bookworm DIR`.

use corten_integration::{Bundle, Sandbox, once};
use serde_json::json;

/// A bundle on the Debian root, read-only, or none without one.
fn debian(t: &Sandbox) -> Option<Bundle> {
    let Some(root) = std::env::var_os("DEBIAN_ROOT") else {
        eprintln!("left out: DEBIAN_ROOT names no Debian root file system");
        return None;
    };
    let bundle = t.bundle().set("/root/path", root.to_str().unwrap());
    let bundle = bundle.set("/process/env/0", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    Some(bundle.mount("/run", "tmpfs", "tmpfs", &["nosuid", "nodev"]).mount("/tmp", "tmpfs", "tmpfs", &[]))
}

#[test]
fn dynamic_programs_and_the_package_database_work() {
    once(|t| {
        let Some(bundle) = debian(t) else { return };
        let script = "perl -e 'print 6 * 7, \"\\n\"'; dpkg-query -W -f '${Status}\\n' dpkg; readlink -f /bin/sh; head -c 3 /dev/urandom | wc -c";
        assert_eq!(t.output_of(bundle.args(&["sh", "-c", script])), "42\ninstall ok installed\n/usr/bin/dash\n3\n");
    });
}

#[test]
fn users_and_homes_are_those_of_the_root() {
    once(|t| {
        let Some(bundle) = debian(t) else { return };
        let bundle = bundle.set("/process/user", json!({"uid": 33, "gid": 33, "additionalGids": [4]}));
        let bundle = bundle.args(&["sh", "-c", "id -un; id -Gn; echo $HOME; touch /x 2>/dev/null || echo read-only"]);
        assert_eq!(t.output_of(bundle), "www-data\nwww-data adm\n/var/www\nread-only\n");
    });
}

#[test]
fn root_becomes_another_user_with_the_capabilities_for_it_only() {
    once(|t| {
        for (capabilities, expected) in [(&["CAP_SETUID", "CAP_SETGID"][..], "nobody\n"), (&[][..], "")] {
            let Some(bundle) = debian(t) else { return };
            let script = "setpriv --reuid=65534 --regid=65534 --clear-groups id -un 2>/dev/null; true";
            let output = t.output_of(bundle.capabilities(capabilities).args(&["sh", "-c", script]));
            assert_eq!(output, expected, "{capabilities:?}");
        }
    });
}

/// /var/run is an absolute link to /run, and /bin one to usr/bin.
#[test]
fn mounts_follow_the_links_of_the_root_inside_it() {
    once(|t| {
        let Some(bundle) = debian(t) else { return };
        let (source, tool) = (t.new_directory(), t.new_file("#!/bin/sh\necho tool\n"));
        std::fs::write(source.join("file"), "seen").unwrap();
        t.host_shell(&format!("chmod 755 {}", tool.display()));
        let bundle = bundle.bind(&source, "/var/run/data", &["rbind", "ro"]).bind(&tool, "/bin/true", &["bind", "ro"]);
        let output = t.output_of(bundle.args(&["sh", "-c", "cat /run/data/file; echo; /usr/bin/true"]));
        assert_eq!(output, "seen\ntool\n");
    });
}

#[test]
fn it_runs_in_a_user_namespace() {
    once(|t| {
        let Some(bundle) = debian(t) else { return };
        let script = "id -u; stat -c %U /usr/bin/perl; touch /etc/x 2>/dev/null || echo read-only";
        let output = t.output_of(bundle.user_namespace(100_000).args(&["sh", "-c", script]));
        assert_eq!(output, "0\nnobody\nread-only\n");
    });
}
