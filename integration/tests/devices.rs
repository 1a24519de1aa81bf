//! Device nodes: the default ones, the configured ones, and the links of /dev.

use corten_integration::{on_every_view, once};
use serde_json::json;

#[test]
fn the_default_devices() {
    on_every_view(|t| {
        let names = "null zero full random urandom tty";
        let script = format!("cd /dev; for i in {names}; do stat -c '%n %F %t %T %a %u %g' $i; done");
        let expected = "null character special file 1 3 666 0 0\n\
                        zero character special file 1 5 666 0 0\n\
                        full character special file 1 7 666 0 0\n\
                        random character special file 1 8 666 0 0\n\
                        urandom character special file 1 9 666 0 0\n\
                        tty character special file 5 0 666 0 0\n";
        assert_eq!(t.output_of(t.bundle().sh(&script)), expected);
    });
}

#[test]
fn the_default_devices_work() {
    on_every_view(|t| {
        let script = "echo x > /dev/null && head -c 4 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c; \
                      echo x 2>/dev/null > /dev/full || echo full";
        assert_eq!(t.output_of(t.bundle().sh(script)), "4\n4\nfull\n");
    });
}

#[test]
fn the_links_of_dev() {
    once(|t| {
        let script = "cd /dev; for i in fd stdin stdout stderr ptmx; do echo $i $(readlink $i); done; \
                      [ -e /proc/kcore ] && [ ! -L core ] && echo no core; stat -L -c '%t %T %a' ptmx";
        let output = t.output_of(t.bundle().sh(script));
        let links =
            "fd /proc/self/fd\nstdin /proc/self/fd/0\nstdout /proc/self/fd/1\nstderr /proc/self/fd/2\nptmx pts/ptmx\n";
        assert!(output.starts_with(links), "{output}");
        assert!(output.ends_with("5 2 666\n"), "{output}");
    });
}

#[test]
fn configured_devices() {
    on_every_view(|t| {
        let devices = json!([
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o622, "uid": 7, "gid": 8},
            {"path": "/dev/loop", "type": "b", "major": 7, "minor": 200, "fileMode": 0o640, "uid": 3, "gid": 4},
            {"path": "/dev/sub/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o600},
            {"path": "/dev/u", "type": "u", "major": 1, "minor": 3, "fileMode": 0o666}
        ]);
        let script = "cd /dev; for i in pipe loop sub/kmsg u; do stat -c '%n %F %t %T %a %u %g' $i; done";
        let expected = "pipe fifo 0 0 622 7 8\n\
                        loop block special file 7 c8 640 3 4\n\
                        sub/kmsg character special file 1 b 600 0 0\n\
                        u character special file 1 3 666 0 0\n";
        assert_eq!(t.output_of(t.bundle().set("/linux/devices", devices).sh(script)), expected);
    });
}

#[test]
fn a_configured_device_replaces_a_default_one() {
    once(|t| {
        let devices =
            json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 5, "gid": 6}]);
        // Its rule in the device cgroup is no longer implied.
        let allowed = json!({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"});
        let bundle = t.bundle().set("/linux/devices", devices).add("/linux/resources/devices", allowed);
        let output = t.output_of(bundle.args(&["stat", "-c", "%a %u %g", "/dev/null"]));
        assert_eq!(output, "600 5 6\n");
    });
}

#[test]
fn a_bound_dev_gets_no_devices() {
    once(|t| {
        let source = t.new_directory();
        t.host_shell(&format!("mknod -m 666 {}/null c 1 3", source.display()));
        let mut bundle = t.bundle();
        bundle.config["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
        let bundle = bundle.bind(&source, "/dev", &[]).args(&["ls", "/dev"]);
        assert_eq!(t.output_of(bundle), "null\n");
        assert_eq!(std::fs::read_dir(source).unwrap().count(), 1);
    });
}

#[test]
fn only_allowed_devices_can_be_made_and_opened() {
    on_every_view(|t| {
        // 10:229 is FUSE's device, whose opening has no other conditions or effects.
        let script = "mknod /tmp/fuse c 10 229 2>/dev/null && echo made fuse; \
                      mknod /tmp/null c 1 3 2>/dev/null && echo made null && echo x > /tmp/null && echo wrote null; \
                      (exec 3< /dev/fuse) 2>/dev/null && echo opened fuse; true";
        let node = json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]);
        let bundle = |rules| {
            let bundle = t.bundle().writable().capabilities(&["CAP_MKNOD"]).set("/linux/devices", node.clone());
            bundle.set("/linux/resources/devices", rules).sh(script)
        };
        let denied = t.output_of(bundle(json!([{"allow": false, "access": "rwm"}])));
        assert_eq!(denied, "made fuse\nmade null\nwrote null\n", "mknod is allowed for all, opening is not");
        let one = json!([
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "r"}
        ]);
        assert_eq!(t.output_of(bundle(one)), "made fuse\nmade null\nwrote null\nopened fuse\n");
        let all = json!([{"allow": true, "access": "rwm"}]);
        assert_eq!(t.output_of(bundle(all)), "made fuse\nmade null\nwrote null\nopened fuse\n");
    });
}
