//! The five capability sets, read back from the kernel.

use corten_integration::{Bundle, on_every_view, once};

const SETS: [(&str, &str); 5] = [
    ("inheritable", "CapInh"),
    ("permitted", "CapPrm"),
    ("effective", "CapEff"),
    ("bounding", "CapBnd"),
    ("ambient", "CapAmb"),
];
const CHOWN: u64 = 1 << 0;
const KILL: u64 = 1 << 5;
const NET_BIND_SERVICE: u64 = 1 << 10;
const SYS_CHROOT: u64 = 1 << 18;

fn masks(status: &str) -> Vec<u64> {
    let mask =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t")).unwrap().to_owned();
    SETS.iter().map(|(_, name)| u64::from_str_radix(&mask(name), 16).unwrap()).collect()
}

fn with_sets(bundle: Bundle, sets: [&[&str]; 5]) -> Bundle {
    let bundle = bundle.args(&["cat", "/proc/self/status"]);
    SETS.iter()
        .zip(sets)
        .fold(bundle, |bundle, ((name, _), set)| bundle.set(&format!("/process/capabilities/{name}"), set))
}

#[test]
fn each_set_is_what_the_configuration_says() {
    on_every_view(|t| {
        let (chown, kill, bind, chroot) = ("CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT");
        // Of root: permitted and effective after exec are the bounding set and the inheritable one, so they say the same here.
        let all: &[&str] = &[chown, kill, bind];
        let status = t.output_of(with_sets(t.bundle(), [&[kill], all, all, all, &[]]));
        assert_eq!(
            masks(&status),
            [
                KILL,
                CHOWN | KILL | NET_BIND_SERVICE,
                CHOWN | KILL | NET_BIND_SERVICE,
                CHOWN | KILL | NET_BIND_SERVICE,
                0
            ]
        );
        // Of another user: ambient is what remains.
        let user = with_sets(t.bundle(), [&[kill, bind], &[kill, bind], &[kill, bind], &[kill, bind, chroot], &[bind]]);
        let status = t.output_of(user.set("/process/user/uid", 1000));
        assert_eq!(
            masks(&status),
            [
                KILL | NET_BIND_SERVICE,
                NET_BIND_SERVICE,
                NET_BIND_SERVICE,
                KILL | NET_BIND_SERVICE | SYS_CHROOT,
                NET_BIND_SERVICE
            ]
        );
    });
}

#[test]
fn no_capabilities_means_none() {
    once(|t| {
        for bundle in [t.bundle().capabilities(&[]), t.bundle().set("/process/capabilities", serde_json::json!({}))] {
            let status = t.output_of(bundle.args(&["cat", "/proc/self/status"]));
            assert_eq!(masks(&status), [0; 5]);
        }
    });
}

#[test]
fn a_dropped_capability_has_no_effect() {
    once(|t| {
        let bundle = t.bundle().writable().sh("touch /f && chown 5:5 /f 2>/dev/null && echo yes || echo no");
        assert_eq!(t.output_of(bundle.clone()), "no\n");
        assert_eq!(t.output_of(bundle.capabilities(&["CAP_CHOWN"])), "yes\n");
    });
}
