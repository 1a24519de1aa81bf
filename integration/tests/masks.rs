//! maskedPaths and readonlyPaths.

use corten_integration::{on_every_view, once};
use serde_json::json;

#[test]
fn masked_files_are_empty_and_masked_directories_too() {
    on_every_view(|t| {
        let bundle = t.bundle().file("/secret/file", "secret", 0o644).file("/secret.txt", "secret", 0o644);
        let bundle = bundle.set("/linux/maskedPaths", json!(["/secret", "/secret.txt", "/proc/keys", "/proc/missing"]));
        let script = "ls -A /secret; cat /secret.txt /proc/keys; touch /secret/x 2>/dev/null && echo writable; ls -l /secret.txt | cut -c1; \
                      stat -c '%t %T' /secret.txt";
        assert_eq!(t.output_of(bundle.writable().sh(script)), "c\n1 3\n");
    });
}

#[test]
fn read_only_paths_are_read_only() {
    on_every_view(|t| {
        let bundle = t.bundle().file("/frozen/file", "old", 0o644).writable();
        let bundle = bundle.set("/linux/readonlyPaths", json!(["/frozen", "/proc/sys", "/missing"]));
        let script = "echo new 2>/dev/null > /frozen/file && echo written; touch /frozen/new 2>/dev/null && echo made; \
                      echo x 2>/dev/null > /proc/sys/kernel/hostname && echo set; cat /frozen/file; touch /free && echo free";
        assert_eq!(t.output_of(bundle.sh(script)), "oldfree\n");
    });
}

#[test]
fn the_default_masks_hold_in_a_user_namespace() {
    once(|t| {
        let script = "cat /proc/keys /proc/timer_list; echo h 2>/dev/null > /proc/sys/kernel/hostname && echo set; ls /sys/firmware";
        assert_eq!(t.output_of(t.bundle().user_namespace(100_000).sh(script)), "");
    });
}

/// A link means a file of the image, although the machine has one of that name as well.
#[test]
fn masks_do_not_follow_links_out_of_the_image() {
    once(|t| {
        let outside = t.new_file("untouched");
        let name = outside.to_str().unwrap();
        let bundle = t.bundle().file(name, "secret", 0o644).link("/link", name);
        let bundle = bundle.set("/linux/maskedPaths", json!(["/link"])).args(&["cat", name, "/link"]);
        assert_eq!(t.output_of(bundle), "");
        assert_eq!(std::fs::read_to_string(outside).unwrap(), "untouched");
    });
}
