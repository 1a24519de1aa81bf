//! Every mount option, file system and mount point beside runc, in one run: what the kernel says of corten's mounts (attributes,
//! propagation, options of the file system, mode and owner) must be what it says of runc's.
//!
//! Runs when `RUNTIME` is corten and Debian's runc is installed. What differs stands in a row with the reason.

use corten_integration::{Bundle, HostView, Runtime, Sandbox, skip};
use std::collections::BTreeMap;
use std::path::Path;

/// Both runtimes, each in its own sandbox; skips the test when there is only one.
macro_rules! both {
    () => {{
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|dir| dir.join("runc").is_file());
        if Runtime::from_environment() != Runtime::Corten || !found {
            skip!("compares corten with runc");
        }
        [Sandbox::of(HostView::Native, Runtime::Corten), Sandbox::of(HostView::Native, Runtime::Runc)]
    }};
}

/// Options of the table that are tested elsewhere: they need mappings, or say what kind of mount it is.
const APART: [&str; 5] = ["idmap", "ridmap", "bind", "rbind", "remount"];

fn options(t: &Sandbox) -> Vec<String> {
    let features: serde_json::Value = serde_json::from_str(&t.command("features", &[]).ok().stdout()).unwrap();
    let names = features["mountOptions"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    names.filter(|name| !APART.contains(&name.as_str())).collect()
}

/// Words in order, as they come in different ones.
fn sorted(words: &str) -> String {
    let mut words: Vec<&str> = words.split(',').collect();
    words.sort_unstable();
    words.join(",")
}

/// What mountinfo says of the mounts at and below a point: attributes, propagation without the numbers, type and options.
fn mounts(mountinfo: &str, point: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in mountinfo.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let dash = fields.iter().position(|field| *field == "-").unwrap();
        if fields[4] == point || fields[4].starts_with(&format!("{point}/")) {
            let propagation: Vec<&str> = fields[6..dash].iter().map(|field| field.split(':').next().unwrap()).collect();
            // runc makes a tmpfs read-only by a second mount, so that its file system stays writable; nobody can tell.
            let of_file_system = fields[dash + 3].split(',').filter(|option| !matches!(*option, "ro" | "rw"));
            let of_file_system = sorted(&of_file_system.collect::<Vec<_>>().join(","));
            let text = format!("{} {propagation:?} {} {of_file_system}", sorted(fields[5]), fields[dash + 1]);
            found.insert(fields[4].strip_prefix(point).unwrap_or_default().to_owned(), text);
        }
    }
    found
}

/// What came of a bundle: what it printed, or that it was refused.
fn outcome(t: &Sandbox, bundle: Bundle) -> Option<String> {
    let output = t.container(bundle).command("run").run();
    (output.code() == 0).then(|| output.stdout())
}

/// A directory with a file system of its own with flags, and one more below it.
const TREE: &str = "mount -t tmpfs -o mode=755 x DIR && mkdir DIR/inner && mount -t tmpfs x DIR/inner && \
                    mount -o remount,bind,FLAGS DIR/inner && mount -o remount,bind,FLAGS DIR";

fn tree(t: &Sandbox, flags: &str) -> std::path::PathBuf {
    let directory = t.new_directory();
    t.host_shell(&TREE.replace("DIR", directory.to_str().unwrap()).replace("FLAGS", flags));
    directory
}

/// Adds the mount of a row, on a point.
type Add<'a> = &'a dyn Fn(&Sandbox, Bundle, &str, &[&str]) -> Bundle;

/// Why a row differs, if it is known to.
type Known<'k> = &'k dyn Fn(&[&str]) -> Option<&'static str>;

/// What comes of the mount of each row, on `/data/N`; `None` where it is refused. They are made all in one container, or in
/// halves if that is refused.
fn outcomes(t: &Sandbox, rows: &[Vec<&str>], mount: Add<'_>) -> Vec<Option<BTreeMap<String, String>>> {
    let numbered = rows.iter().enumerate();
    let bundle = numbered.fold(t.bundle().args(&["cat", "/proc/self/mountinfo"]), |bundle, (number, row)| {
        mount(t, bundle, &format!("/data/{number}."), row)
    });
    match (outcome(t, bundle), rows.len()) {
        (Some(info), count) => (0..count).map(|number| Some(mounts(&info, &format!("/data/{number}.")))).collect(),
        (None, 1) => vec![None],
        (None, count) => {
            let (first, second) = rows.split_at(count / 2);
            [outcomes(t, first, mount), outcomes(t, second, mount)].concat()
        }
    }
}

/// Compares the mounts that come of each row.
fn compare(pair: &[Sandbox; 2], what: &str, rows: &[Vec<String>], known: Known<'_>, mount: Add<'_>) {
    let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
    let [ours, theirs] = pair.each_ref().map(|t| outcomes(t, &rows, mount));
    let mut wrong = Vec::new();
    for ((row, ours), theirs) in rows.iter().zip(ours).zip(theirs) {
        let reason = known(row);
        if (ours == theirs) == reason.is_some() {
            wrong.push(format!("{row:?} ({reason:?})\n  corten: {ours:?}\n  runc:   {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{what}: {} of {} rows are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn single(options: &[String]) -> Vec<Vec<String>> {
    options.iter().map(|option| vec![option.clone()]).collect()
}

/// Options that take each other back, or come together.
fn combinations() -> Vec<Vec<String>> {
    [
        "ro rw",
        "rw ro",
        "nosuid suid",
        "suid nosuid",
        "nodev dev",
        "noexec exec",
        "noatime atime",
        "atime noatime",
        "noatime strictatime",
        "strictatime noatime",
        "nodiratime diratime",
        "relatime norelatime",
        "strictatime nostrictatime",
        "noatime nodiratime",
        "noatime relatime",
        "nosuid nodev noexec ro",
        "rro rrw",
        "rrw rro",
        "ro rrw",
        "rw rro",
        "rnosuid rsuid",
        "rnoexec exec",
        "noexec rexec",
        "rnoatime ratime",
        "rnoatime rrelatime",
        "rstrictatime noatime",
        "private slave",
        "slave shared",
        "shared private",
        "rprivate",
        "private rslave",
        "unbindable",
        "runbindable",
        "nosymfollow symfollow",
        "rnosymfollow rsymfollow",
        "sync async",
        "lazytime nolazytime",
        "dirsync sync",
    ]
    .into_iter()
    .map(|row| row.split(' ').map(str::to_owned).collect())
    .collect()
}

#[test]
fn every_option_on_a_new_tmpfs() {
    let pair = both!();
    let mut rows = single(&options(&pair[0]));
    // runc 1.1 hands it to the file system, which does not know it (differences.rs).
    rows.retain(|row| row[0] != "defaults");
    rows.extend(combinations());
    // It has recursive attributes for binds only: see the next test.
    let recursive = |option: &String| {
        let attribute =
            option.strip_prefix('r').is_some_and(|rest| options(&pair[0]).iter().any(|known| known == rest));
        attribute && !matches!(option.as_str(), "rprivate" | "rshared" | "rslave" | "runbindable")
    };
    rows.retain(|row| !row.iter().any(recursive));
    for row in ["size=64k", "size=64k,nr_inodes=20", "mode=1750", "uid=3 gid=4 mode=700", "nonsense", "size=nonsense"] {
        rows.push(row.split(' ').map(str::to_owned).collect());
    }
    compare(&pair, "tmpfs", &rows, &|_| None, &|_, bundle, point, row| bundle.mount(point, "tmpfs", "tmpfs", row));
}

/// On a new file system, which has no mounts below, a recursive attribute is what it is on a bind.
#[test]
fn recursive_attributes_of_new_file_systems() {
    let [t, _] = both!();
    let rows: [(&[&str], &str); 6] = [
        (&["rro"], "relatime,ro"),
        (&["ro", "rrw"], "relatime,rw"),
        (&["rnosuid", "rnodev", "rnoexec"], "nodev,noexec,nosuid,relatime,rw"),
        (&["noexec", "rexec"], "relatime,rw"),
        (&["rnoatime", "rnodiratime"], "noatime,nodiratime,rw"),
        (&["rstrictatime", "rnosymfollow"], "nosymfollow,rw"),
    ];
    for (options, expected) in rows {
        let info = t.output_of(t.bundle().mount("/data", "tmpfs", "x", options).args(&["cat", "/proc/self/mountinfo"]));
        let found = mounts(&info, "/data");
        assert!(found[""].starts_with(&format!("{expected} [")), "{options:?}: {found:?}");
    }
}

/// What differs of binds, with a source that has flags or not.
fn of_binds(row: &[&str], flagged: bool) -> Option<&'static str> {
    const OF_THE_FILE_SYSTEM: [&str; 7] = ["acl", "dirsync", "iversion", "lazytime", "mand", "silent", "sync"];
    const CLEAR: [&str; 9] =
        ["atime", "dev", "diratime", "exec", "nostrictatime", "rw", "suid", "symfollow", "norelatime"];
    match row {
        ["ratime" | "rnostrictatime"] => Some("it clears a part of the access times, which the kernel refuses"),
        ["rw", "rro"] if flagged => Some("1.1 leaves a bind as it is for what only takes flags away, 1.2 does not"),
        ["rro", "rrw"] | ["rnosuid", "rsuid"] | ["rnoatime", "ratime"] | ["rnosymfollow", "rsymfollow"] => {
            Some("of recursive options that take each other back the last does not count")
        }
        _ if !flagged => None,
        [.., last] if CLEAR.contains(last) => {
            Some("1.1 leaves a bind as it is for what only takes flags away, 1.2 does not")
        }
        [.., last] if OF_THE_FILE_SYSTEM.contains(last) => {
            Some("a flag of the file system, which a bind does not have, makes it take those of the source away")
        }
        _ => None,
    }
}

#[test]
fn every_option_on_a_bind() {
    let pair = both!();
    let sources = pair.each_ref().map(|t| {
        t.host_shell("mount --make-rshared /");
        (tree(t, "rw"), tree(t, "ro,nosuid,nodev,noexec,noatime"))
    });
    let source = |t: &Sandbox, flagged: bool| {
        let (plain, with_flags) = &sources[usize::from(t.runtime() == Runtime::Runc)];
        if flagged { with_flags.clone() } else { plain.clone() }
    };
    let mut rows = single(&options(&pair[0]));
    rows.extend(combinations());
    rows.push(Vec::new());
    for (what, flagged, bind) in [
        ("bind", false, "bind"),
        ("bind of flags", true, "bind"),
        ("rbind", false, "rbind"),
        ("rbind of flags", true, "rbind"),
    ] {
        compare(&pair, what, &rows, &|row| of_binds(row, flagged), &|t, bundle, point, row| {
            let row: Vec<&str> = row.iter().copied().chain([bind]).collect();
            bundle.mount(point, "bind", source(t, flagged), &row)
        });
    }
    for (t, (plain, with_flags)) in pair.iter().zip(&sources) {
        t.host_shell(&format!("umount -R {} && umount -R {}", plain.display(), with_flags.display()));
    }
}

#[test]
fn remounts() {
    let pair = both!();
    let rows: Vec<Vec<String>> = [
        "",
        "ro",
        "nosuid",
        "size=32k",
        "ro size=32k",
        "noatime",
        "bind ro",
        "bind",
        "bind nosuid noexec",
        "private",
        "nonsense",
    ]
    .into_iter()
    .map(|row| row.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect())
    .collect();
    compare(&pair, "remount of a tmpfs", &rows, &|_| None, &|t, bundle, point, row| {
        let row: Vec<&str> = row.iter().copied().chain(["remount"]).collect();
        let kind = if row.contains(&"bind") { "bind" } else { "tmpfs" };
        let source = if kind == "bind" { t.new_directory() } else { "tmpfs".into() };
        bundle.mount(point, "tmpfs", "tmpfs", &["nosuid", "nodev", "size=64k"]).mount(point, kind, source, &row)
    });
}

/// Runs a script in both, and compares what it prints.
fn same(pair: &[Sandbox; 2], what: &str, script: &str, bundle: impl Fn(&Sandbox) -> Bundle) -> Option<String> {
    let [ours, theirs] = pair.each_ref().map(|t| outcome(t, bundle(t).sh(script)));
    assert_eq!(ours, theirs, "{what}: corten, runc");
    ours
}

#[test]
fn the_mode_and_the_owner_of_a_tmpfs() {
    let pair = both!();
    // runc 1.1 gives the mode of what is covered even where another is asked for: that is tested in mounts.rs.
    let script = "stat -c '%a %u:%g' /data; cat /proc/self/mountinfo | grep ' /data ' | sed 's/.* - //; s/,mode=[0-9]*//; s/,[ug]id=[0-9]*//g'";
    for mode in [0o755, 0o700, 0o1777, 0o2755, 0o4711, 0o000] {
        for options in [&[][..], &["uid=5", "gid=6"], &["tmpcopyup"]] {
            for user in [false, true] {
                let bundle = |t: &Sandbox| {
                    let bundle = t.bundle().file("/data/file", "x", 0o600);
                    std::fs::set_permissions(
                        bundle.rootfs("/data"),
                        std::os::unix::fs::PermissionsExt::from_mode(mode),
                    )
                    .unwrap();
                    std::os::unix::fs::chown(bundle.rootfs("/data"), Some(100_007), Some(100_008)).unwrap();
                    let bundle = bundle.mount("/data", "tmpfs", "tmpfs", options);
                    if user { bundle.user_namespace(100_000) } else { bundle }
                };
                same(&pair, &format!("{mode:o} {options:?} user namespace: {user}"), script, bundle);
            }
        }
    }
    // Where there is nothing to cover.
    same(&pair, "made", script, |t| t.bundle().mount("/data", "tmpfs", "tmpfs", &[]));
}

#[test]
fn file_systems_of_all_kinds() {
    let pair = both!();
    let script = "grep ' /data' /proc/self/mountinfo | cut -d' ' -f5- | sed 's/master:[0-9]* //; s/tmp.corten-test[^,]*//g'; [ -d /data/1 ] || ls /data | sort | head -n 5";
    let hugetlbfs = std::fs::read_to_string("/proc/filesystems").unwrap().contains("hugetlbfs");
    let rows: [(&str, &str, &[&str]); 12] = [
        ("ramfs", "ramfs", &["noexec"]),
        ("mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        ("devpts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0600", "gid=7"]),
        ("devpts", "devpts", &["newinstance", "max=5"]),
        ("proc", "proc", &["nosuid", "hidepid=2"]),
        ("proc", "proc", &["ro", "subset=pid"]),
        ("sysfs", "sysfs", &["ro"]),
        ("hugetlbfs", "hugetlbfs", &["size=0"]),
        ("nonsense", "x", &[]),
        ("devpts", "devpts", &["mode=nonsense"]),
        ("debugfs", "debugfs", &["ro"]),
        ("tmpfs", "name of it", &["noexec"]),
    ];
    let mut mounted = 0;
    for (kind, source, options) in rows {
        if kind == "hugetlbfs" && !hugetlbfs {
            eprintln!("skipped: this kernel has no hugetlbfs");
            continue;
        }
        let what = format!("{kind} {options:?}");
        mounted +=
            usize::from(same(&pair, &what, script, |t| t.bundle().mount("/data", kind, source, options)).is_some());
    }
    assert!(mounted >= 8, "{mounted} could be mounted");
}

#[test]
fn overlays() {
    let pair = both!();
    let script =
        "cat /data/file; echo new > /data/file && cat /data/file; ls /data; grep -c ' - overlay ' /proc/self/mountinfo";
    let expected = ["lower\nnew\nfile\nother\n1\n", "lower\nlower\nfile\nother\n1\n"];
    for (writable, expected) in [(true, expected[0]), (false, expected[1])] {
        let bundle = |t: &Sandbox| {
            let base = t.new_directory();
            // An overlay on another one cannot be the upper layer.
            t.host_shell(&format!("mount -t tmpfs x {0} && cd {0} && mkdir one two upper work", base.display()));
            t.host_shell(&format!("echo lower > {0}/one/file; echo > {0}/two/other", base.display()));
            let lower = format!("lowerdir={0}/one:{0}/two", base.display());
            let upper = [format!("upperdir={}/upper", base.display()), format!("workdir={}/work", base.display())];
            let mut options = vec![lower.as_str()];
            if writable {
                options.extend(upper.iter().map(String::as_str));
            }
            t.bundle().mount("/data", "overlay", "overlay", &options)
        };
        let script = if writable { script.to_owned() } else { script.replace("echo new > /data/file && ", "") };
        assert_eq!(same(&pair, "overlay", &script, bundle).as_deref(), Some(expected));
    }
    for t in &pair {
        t.host_shell(
            "for m in $(grep -o '/tmp/corten-test[^ ]*directory[^ ]*' /proc/self/mountinfo); do umount $m; done",
        );
    }
}

/// Mount points over and below links of the image, which lead on inside, in circles, nowhere, or up.
#[test]
fn mount_points_over_links_of_the_image() {
    let pair = both!();
    let script = "grep -E 'first|second|third' /proc/self/mountinfo | awk '{ print $5, $(NF-1) }'";
    let links: [&[(&str, &str)]; 7] = [
        &[("/var/run", "/run")],
        &[("/var/run", "../run")],
        &[("/var", "somewhere/else")],
        &[("/var", "/run/../run/./var")],
        &[("/var", "/../../../../here")],
        &[("/run", "var"), ("/var/run", "/run/run2")],
        &[("/run", "/run")],
    ];
    for links in links {
        for points in [
            ["/run/a", "/var/run/b", "/var/run/b/c"],
            ["/var/run", "/run/x/y", "/var/run/x"],
            ["/var", "/var/run", "/run"],
        ] {
            let bundle = |t: &Sandbox| {
                let bundle = t.bundle().writable();
                let make = |bundle: Bundle, (link, to): &(&str, &str)| {
                    std::fs::create_dir_all(bundle.rootfs(link).parent().unwrap()).unwrap();
                    bundle.link(link, to)
                };
                let bundle = links.iter().fold(bundle, make);
                let name = ["first", "second", "third"];
                points
                    .iter()
                    .zip(name)
                    .fold(bundle, |bundle, (point, name)| bundle.mount(point, "tmpfs", Path::new(name), &[]))
            };
            same(&pair, &format!("{links:?} {points:?}"), script, bundle);
        }
    }
}
