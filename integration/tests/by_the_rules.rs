//! Random id-mapped mounts and clocks against the rules of the kernel, which runc 1.1 has neither of: the test works out what a
//! container has to see, so that any runtime that has them can be asked.
//!
//! `SEED` and `CASES` choose what is tried: case n of a run is case 0 of the run with the seed `SEED + n`.

use corten_integration::{Sandbox, once};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many cases are tried when nobody says, and how long that may take on a slow machine.
const CASES: u64 = 40;
const TIME: Duration = Duration::from_secs(20);

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Asks `check` about as many values as are wanted, all of which it is shown before any fault fails the test.
fn each<T: Debug>(values: impl Strategy<Value = T>, mut check: impl FnMut(&T) -> Result<bool, String>) {
    let seed = number("SEED").unwrap_or(20_261_130);
    let wanted = number("CASES");
    let began = Instant::now();
    let (mut faults, mut tried, mut accepted) = (Vec::new(), 0, 0);
    for case in 0..wanted.unwrap_or(CASES) {
        if wanted.is_none() && began.elapsed() > TIME {
            break;
        }
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.wrapping_add(case).to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let value = values.new_tree(&mut TestRunner::new_with_rng(Config::default(), rng)).unwrap().current();
        match check(&value) {
            Ok(good) => accepted += u32::from(good),
            Err(fault) => faults.push(format!("SEED={} CASES=1: {value:?}\n    {fault}", seed.wrapping_add(case))),
        }
        tried += 1;
    }
    println!("SEED={seed}: {tried} cases, {accepted} accepted, {} differ", faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// An extent of a mapping: of a mount the first number is an id of the file system and the second what it becomes on this
/// machine; of a user namespace they are the ids in the container and on this machine.
type Extent = (u32, u32, u32);
/// Users and groups.
type Maps = [Vec<Extent>; 2];

fn as_json(map: &[Extent]) -> Value {
    map.iter().map(|(inside, outside, size)| json!({"containerID": inside, "hostID": outside, "size": size})).collect()
}

/// From the first numbers to the second.
fn forth(map: &[Extent], id: u32) -> Option<u32> {
    let extent = map.iter().find(|(first, _, size)| id >= *first && id - first < *size)?;
    Some(extent.1 + (id - extent.0))
}

fn back(map: &[Extent], id: u32) -> Option<u32> {
    let turned: Vec<Extent> = map.iter().map(|(first, second, size)| (*second, *first, *size)).collect();
    forth(&turned, id)
}

/// Whether two extents of a map have an id in common, which the kernel refuses.
fn overlaps(map: &[Extent]) -> bool {
    let meet = |a: u32, b: u32, (size, other): (u32, u32)| a < b + other && b < a + size;
    map.iter().enumerate().any(|(place, one)| {
        map.iter().skip(place + 1).any(|two| meet(one.0, two.0, (one.2, two.2)) || meet(one.1, two.1, (one.2, two.2)))
    })
}

#[derive(Clone, Debug)]
struct Mapped {
    /// The mappings of the container's user namespace, if it has one.
    container: Option<Maps>,
    /// Those of the mount, or of the container where there are none.
    mount: Option<Maps>,
    option: Option<&'static str>,
    recursive: bool,
    read_only: bool,
}

fn mapped_mounts() -> impl Strategy<Value = Mapped> {
    let extents = vec![
        (0, 100_000, 10),
        (0, 1000, 5000),
        (5, 100_005, 1),
        (6, 7, 1),
        (5000, 100_000, 5000),
        (6000, 200_000, 1),
        (70_000, 0, 100_000),
        (0, 0, 1),
        (4, 100_300, 3),
    ];
    let map = move || subsequence(extents.clone(), 1..4).prop_shuffle();
    let container = select(vec![
        None,
        Some([vec![(0, 100_000, 65_536)], vec![(0, 100_000, 65_536)]]),
        Some([vec![(0, 100_000, 100), (5000, 1000, 5000)], vec![(0, 100_000, 65_536)]]),
    ]);
    let mount = prop_oneof![1 => Just(None), 4 => (map(), map()).prop_map(|(users, groups)| Some([users, groups]))];
    let option = select(vec![None, Some("idmap"), Some("ridmap")]);
    let case = (container, mount, option, any::<bool>(), any::<bool>());
    case.prop_map(|(container, mount, option, recursive, read_only)| {
        // Without mappings of either there is nothing to map by; without mappings of its own a mount is mapped when it is asked for.
        let mount =
            if container.is_none() && mount.is_none() { Some([vec![(0, 1000, 10)], vec![(5, 0, 9)]]) } else { mount };
        let option = if mount.is_none() { option.or(Some("idmap")) } else { option };
        Mapped { container, mount, option, recursive, read_only }
    })
}

const OWNERS: [(u32, u32); 4] = [(0, 0), (5, 6), (5000, 6000), (70_000, 80_000)];
/// What the kernel says of an id without a counterpart.
const NOBODY: u32 = 65_534;

/// A directory of root that everybody may write to, with a file of each owner.
fn files(t: &Sandbox) -> PathBuf {
    let source = t.new_directory();
    std::fs::set_permissions(&source, PermissionsExt::from_mode(0o777)).unwrap();
    for (name, (uid, gid)) in ["a", "b", "c", "d"].into_iter().zip(OWNERS) {
        std::fs::write(source.join(name), "").unwrap();
        chown(source.join(name), Some(uid), Some(gid)).unwrap();
    }
    source
}

impl Mapped {
    /// What `stat` has to say of the files, and the owner that a new one has to have on this machine.
    fn expected(&self) -> (String, Option<(u32, u32)>) {
        let id = |kind: usize, id: u32| {
            let own = self.container.as_ref().map(|maps| maps[kind].as_slice());
            let map = self.mount.as_ref().map(|maps| maps[kind].as_slice()).or(own).unwrap_or_default();
            let on_machine = forth(map, id)?;
            own.map_or(Some(on_machine), |own| back(own, on_machine))
        };
        let seen =
            |(uid, gid): (u32, u32)| format!("{}:{}\n", id(0, uid).unwrap_or(NOBODY), id(1, gid).unwrap_or(NOBODY));
        let new = |kind: usize| {
            let own = self.container.as_ref().map(|maps| maps[kind].as_slice());
            let map = self.mount.as_ref().map(|maps| maps[kind].as_slice()).or(own).unwrap_or_default();
            // Nobody may write to a directory whose owner has no counterpart: its times would have to be written as well.
            let is_owned = forth(map, 0).is_some();
            let root = own.map_or(Some(0), |own| forth(own, 0))?;
            back(map, root).filter(|_| is_owned)
        };
        let new = new(0).zip(new(1)).filter(|_| !self.read_only);
        (OWNERS.into_iter().map(seen).collect(), new)
    }

    fn check(&self, t: &Sandbox, source: &Path) -> Result<bool, String> {
        if self.mount.is_none() && self.option == Some("ridmap") && t.differs("ridmap by the container's mappings") {
            return Ok(false);
        }
        let options = [if self.recursive { "rbind" } else { "bind" }, if self.read_only { "ro" } else { "rw" }];
        let options: Vec<&str> = options.into_iter().chain(self.option).collect();
        let mut mount = json!({"destination": "/data", "type": "bind", "source": source, "options": options});
        if let Some([users, groups]) = &self.mount {
            mount["uidMappings"] = as_json(users);
            mount["gidMappings"] = as_json(groups);
        }
        let mut bundle = t.bundle().sh("cd /data && stat -c %u:%g a b c d && { echo >new && echo made; } 2>/dev/null");
        if let Some([users, groups]) = &self.container {
            chown(bundle.rootfs("/"), Some(100_000), Some(100_000)).unwrap();
            bundle = bundle.namespace("user", "").set("/linux/uidMappings", as_json(users));
            bundle = bundle.set("/linux/gidMappings", as_json(groups));
        }
        let container = t.container(bundle.add("/mounts", mount));
        let output = container.command("run").run();
        let new = source.join("new");
        let made = new.symlink_metadata().ok().map(|new| (new.uid(), new.gid()));
        let _ = std::fs::remove_file(&new);
        std::fs::remove_dir_all(container.bundle().path()).unwrap();
        if self.mount.iter().flatten().any(|map| overlaps(map)) {
            let refused = output.code() != 0 && output.stdout().is_empty();
            return if refused { Ok(false) } else { Err(format!("extents that overlap are not refused: {output}")) };
        }
        let (owners, owner) = self.expected();
        let words = if owner.is_some() { format!("{owners}made\n") } else { owners };
        if output.stdout() != words || made != owner {
            return Err(format!("expected {words:?} and a new file of {owner:?}, not of {made:?}: {output}"));
        }
        Ok(true)
    }
}

#[test]
fn random_mappings_of_mounts_are_those_of_the_kernel() {
    once(|t| {
        let source = files(t);
        each(mapped_mounts(), |case| case.check(t, &source));
    });
}

#[derive(Clone, Debug)]
struct Clocks {
    /// Seconds and nanoseconds by name.
    offsets: Vec<(&'static str, Option<i64>, Option<u32>)>,
    in_user_namespace: bool,
}

fn clocks() -> impl Strategy<Value = Clocks> {
    let seconds =
        vec![0, 1, -1, 86_400, 1_000_000_000, 4_611_000_000, 4_612_000_000, -10_000_000_000, i64::MIN, i64::MAX];
    let offset = |name| {
        let seconds = || select(seconds.clone()).prop_map(Some);
        let nanoseconds = || select(vec![0, 1, 5, 999_999_999, 1_000_000_001, u32::MAX]).prop_map(Some);
        let pair = prop_oneof![
            4 => seconds().prop_map(|seconds| (seconds, None)), 3 => (seconds(), nanoseconds()),
            1 => nanoseconds().prop_map(|nanoseconds| (None, nanoseconds)), 1 => Just((None, None)),
        ];
        pair.prop_map(move |(seconds, nanoseconds)| (name, seconds, nanoseconds)).boxed()
    };
    let both = (offset("monotonic"), offset("boottime")).prop_map(|(one, two)| vec![one, two]);
    let one = prop_oneof![offset("monotonic"), offset("boottime")].prop_map(|one| vec![one]);
    (prop_oneof![2 => both, 1 => one, 1 => Just(Vec::new())], any::<bool>())
        .prop_map(|(offsets, in_user_namespace)| Clocks { offsets, in_user_namespace })
}

/// The seconds since the machine's boot.
fn uptime() -> i64 {
    std::fs::read_to_string("/proc/uptime").unwrap().split('.').next().unwrap().parse().unwrap()
}

impl Clocks {
    /// Half of the latest time of a clock is the latest that it may be set to, and none is before the boot.
    fn is_good(&self) -> bool {
        const LATEST: i64 = i64::MAX / 1_000_000_000;
        let now = uptime();
        self.offsets.iter().all(|(_, seconds, nanoseconds)| {
            let seconds = seconds.unwrap_or_default();
            (-LATEST..=LATEST).contains(&seconds)
                && (0..=LATEST / 2).contains(&(now + seconds))
                && nanoseconds.is_none_or(|nanoseconds| nanoseconds < 1_000_000_000)
        })
    }

    fn of(&self, name: &str) -> (i64, u32) {
        let found = self.offsets.iter().find(|(clock, ..)| *clock == name);
        found.map_or((0, 0), |(_, seconds, nanoseconds)| (seconds.unwrap_or_default(), nanoseconds.unwrap_or_default()))
    }

    fn check(&self, t: &Sandbox) -> Result<bool, String> {
        let mut bundle =
            t.bundle().namespace("time", "").sh("tr -s ' ' < /proc/self/timens_offsets; cut -d. -f1 /proc/uptime");
        for (name, seconds, nanoseconds) in &self.offsets {
            let mut offset = json!({});
            seconds.iter().for_each(|seconds| offset["secs"] = json!(seconds));
            nanoseconds.iter().for_each(|nanoseconds| offset["nanosecs"] = json!(nanoseconds));
            bundle = bundle.set(&format!("/linux/timeOffsets/{name}"), offset);
        }
        if self.in_user_namespace {
            bundle = bundle.user_namespace(100_000);
        }
        let container = t.container(bundle);
        let before = uptime();
        let output = container.command("run").run();
        std::fs::remove_dir_all(container.bundle().path()).unwrap();
        if !self.is_good() {
            let refused = output.code() != 0 && output.stdout().is_empty();
            let named = output.stderr().contains("linux.timeOffsets") || t.differs("names of elements");
            return if refused && named { Ok(false) } else { Err(format!("is to be refused: {output}")) };
        }
        let (monotonic, boottime) = (self.of("monotonic"), self.of("boottime"));
        let told = output.stdout();
        let lines: Vec<&str> = told.lines().collect();
        let expected =
            [format!("monotonic {} {}", monotonic.0, monotonic.1), format!("boottime {} {}", boottime.0, boottime.1)];
        let clock = lines.get(2).and_then(|text| text.parse::<i64>().ok()).unwrap_or_default() - boottime.0;
        if lines.get(..2) != Some(&[expected[0].as_str(), expected[1].as_str()])
            || !(before..=uptime() + 1).contains(&clock)
        {
            return Err(format!("expected {expected:?}, and {before} seconds after the boot: {output}"));
        }
        Ok(true)
    }
}

#[test]
fn random_offsets_of_clocks_are_those_of_the_kernel() {
    once(|t| {
        if t.differs("time namespaces") {
            return;
        }
        each(clocks(), |case| case.check(t));
    });
}
