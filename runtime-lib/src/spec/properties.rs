//! The names that the specification has for the elements of `config.json`, to find those that are misspelt.
//!
//! A runtime has to ignore what it does not know, so that an old one reads what is written for a new one; a limit called
//! `memroy` is therefore no error, and no limit. `corten check` tells. (Go reads names in any case, `Args` as well as `args`,
//! and runc so takes some that are wrong.)

use serde_json::{Map, Value};

const ID_MAP: &[&str] = &["containerID", "hostID", "size"];
const RATE: &[&str] = &["major", "minor", "rate"];
const OFFSET: &[&str] = &["secs", "nanosecs"];

/// The names in each object whose names are fixed, by its place: `[]` is any item, `*` any name.
const OBJECTS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "ociVersion",
            "root",
            "process",
            "hostname",
            "domainname",
            "mounts",
            "hooks",
            "annotations",
            "linux",
            "freebsd",
            "solaris",
            "vm",
            "windows",
            "zos",
        ],
    ),
    ("root", &["path", "readonly"]),
    (
        "process",
        &[
            "terminal",
            "consoleSize",
            "user",
            "args",
            "commandLine",
            "env",
            "cwd",
            "capabilities",
            "rlimits",
            "noNewPrivileges",
            "apparmorProfile",
            "selinuxLabel",
            "oomScoreAdj",
            "scheduler",
            "ioPriority",
            "execCPUAffinity",
        ],
    ),
    ("process.consoleSize", &["height", "width"]),
    ("process.user", &["uid", "gid", "umask", "additionalGids", "username"]),
    ("process.capabilities", &["bounding", "effective", "inheritable", "permitted", "ambient"]),
    ("process.rlimits[]", &["type", "soft", "hard"]),
    ("process.scheduler", &["policy", "nice", "priority", "flags", "runtime", "deadline", "period"]),
    ("process.ioPriority", &["class", "priority"]),
    ("process.execCPUAffinity", &["initial", "final"]),
    ("mounts[]", &["destination", "source", "type", "options", "uidMappings", "gidMappings"]),
    ("mounts[].uidMappings[]", ID_MAP),
    ("mounts[].gidMappings[]", ID_MAP),
    ("hooks", &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]),
    ("hooks.*[]", &["path", "args", "env", "timeout"]),
    (
        "linux",
        &[
            "namespaces",
            "uidMappings",
            "gidMappings",
            "timeOffsets",
            "devices",
            "netDevices",
            "cgroupsPath",
            "resources",
            "rootfsPropagation",
            "seccomp",
            "sysctl",
            "maskedPaths",
            "readonlyPaths",
            "mountLabel",
            "intelRdt",
            "memoryPolicy",
            "personality",
        ],
    ),
    ("linux.namespaces[]", &["type", "path"]),
    ("linux.uidMappings[]", ID_MAP),
    ("linux.gidMappings[]", ID_MAP),
    ("linux.timeOffsets", &["monotonic", "boottime"]),
    ("linux.timeOffsets.*", OFFSET),
    ("linux.devices[]", &["type", "path", "major", "minor", "fileMode", "uid", "gid"]),
    ("linux.netDevices.*", &["name"]),
    (
        "linux.resources",
        &["devices", "memory", "cpu", "pids", "blockIO", "hugepageLimits", "network", "rdma", "unified"],
    ),
    ("linux.resources.devices[]", &["allow", "type", "major", "minor", "access"]),
    (
        "linux.resources.memory",
        &[
            "limit",
            "reservation",
            "swap",
            "kernel",
            "kernelTCP",
            "swappiness",
            "disableOOMKiller",
            "useHierarchy",
            "checkBeforeUpdate",
        ],
    ),
    (
        "linux.resources.cpu",
        &["shares", "quota", "burst", "period", "realtimeRuntime", "realtimePeriod", "cpus", "mems", "idle"],
    ),
    ("linux.resources.pids", &["limit"]),
    (
        "linux.resources.blockIO",
        &[
            "weight",
            "leafWeight",
            "weightDevice",
            "throttleReadBpsDevice",
            "throttleWriteBpsDevice",
            "throttleReadIOPSDevice",
            "throttleWriteIOPSDevice",
        ],
    ),
    ("linux.resources.blockIO.weightDevice[]", &["major", "minor", "weight", "leafWeight"]),
    ("linux.resources.blockIO.throttleReadBpsDevice[]", RATE),
    ("linux.resources.blockIO.throttleWriteBpsDevice[]", RATE),
    ("linux.resources.blockIO.throttleReadIOPSDevice[]", RATE),
    ("linux.resources.blockIO.throttleWriteIOPSDevice[]", RATE),
    ("linux.resources.hugepageLimits[]", &["pageSize", "limit"]),
    ("linux.resources.network", &["classID", "priorities"]),
    ("linux.resources.network.priorities[]", &["name", "priority"]),
    ("linux.resources.rdma.*", &["hcaHandles", "hcaObjects"]),
    (
        "linux.seccomp",
        &["defaultAction", "defaultErrnoRet", "architectures", "flags", "listenerPath", "listenerMetadata", "syscalls"],
    ),
    ("linux.seccomp.syscalls[]", &["names", "action", "errnoRet", "args"]),
    ("linux.seccomp.syscalls[].args[]", &["index", "value", "valueTwo", "op"]),
    // The last two until 1.2 of the specification.
    (
        "linux.intelRdt",
        &["closID", "l3CacheSchema", "memBwSchema", "schemata", "enableMonitoring", "enableCMT", "enableMBM"],
    ),
    ("linux.memoryPolicy", &["mode", "nodes", "flags"]),
    ("linux.personality", &["domain", "flags"]),
];

/// Every element that the specification does not have: its place, with what may have been meant.
pub(super) fn unknown(config: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look("", "", config, &mut found);
    found
}

/// `place` is that of `value`, `pattern` the same in the form of [`OBJECTS`]. The parser bounds the depth.
fn look(pattern: &str, place: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => look_at_members(pattern, place, members, found),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                look(&format!("{pattern}[]"), &format!("{place}[{index}]"), item, found);
            }
        }
        _ => {}
    }
}

fn look_at_members(pattern: &str, place: &str, members: &Map<String, Value>, found: &mut Vec<String>) {
    let names = OBJECTS.iter().find(|(of, _)| *of == pattern).map(|(_, names)| *names);
    let any = join(pattern, "*");
    let any_goes_on = OBJECTS.iter().any(|(of, _)| of.starts_with(&any));
    for (name, member) in members {
        let place = join(place, name);
        match names {
            Some(names) if !names.contains(&name.as_str()) => found.push(describe(&place, name, names)),
            Some(_) | None if any_goes_on => look(&any, &place, member, found),
            Some(_) => look(&join(pattern, name), &place, member, found),
            None => {}
        }
    }
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

fn describe(place: &str, name: &str, names: &[&str]) -> String {
    let close = names.iter().map(|known| (distance(name, known), known)).min();
    match close {
        // Of a short name little is left by two changes.
        Some((distance, known)) if distance <= 2 && distance * 2 <= name.len() => {
            format!("{place}: the specification has no such element, it is ignored: is {known} meant?")
        }
        _ => format!("{place}: the specification has no such element, it is ignored"),
    }
}

/// How many letters have to be put in, taken out or exchanged to make one of the other, in whatever case.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.to_lowercase(), other.to_lowercase());
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), line + 1);
        let mut left = line + 1;
        for (place, known) in row.iter_mut().skip(1).zip(other.chars()) {
            let change = diagonal + usize::from(letter != known);
            diagonal = *place;
            left = change.min(left + 1).min(*place + 1);
            *place = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn what_is_misspelt_is_found_with_what_is_meant() {
        let config = json!({
            "ociVersion": "1.3.0", "Root": {"path": "rootfs"},
            "process": {"argss": ["true"], "user": {"uid": 0}, "x": 1, "rlimits": [{"type": "RLIMIT_CORE", "sotf": 1}]},
            "annotations": {"anything": "goes"}, "hooks": {"prestart": [{"path": "/x", "timeuot": 5}]},
            "linux": {
                "sysctl": {"a.b": "c"}, "timeOffsets": {"monotonic": {"sec": 1}}, "netDevices": {"eth0": {"nam": "x"}},
                "resources": {"memroy": {"limit": 1}, "unified": {"memory.high": "1"}, "rdma": {"mlx": {"hcaHandle": 1}}},
            },
        });
        let found = unknown(&config);
        let found: Vec<_> = found.iter().map(|line| line.split_once(": ").unwrap()).collect();
        let meant = |name: &str| match name {
            "" => "the specification has no such element, it is ignored".to_owned(),
            name => format!("the specification has no such element, it is ignored: is {name} meant?"),
        };
        let expected = [
            ("Root", "root"),
            ("hooks.prestart[0].timeuot", "timeout"),
            ("linux.netDevices.eth0.nam", "name"),
            ("linux.resources.memroy", "memory"),
            ("linux.resources.rdma.mlx.hcaHandle", "hcaHandles"),
            ("linux.timeOffsets.monotonic.sec", "secs"),
            ("process.argss", "args"),
            ("process.rlimits[0].sotf", "soft"),
            ("process.x", ""),
        ];
        let expected: BTreeMap<_, _> = expected.iter().map(|(place, name)| (*place, meant(name))).collect();
        assert_eq!(
            found.iter().map(|(place, text)| (*place, (*text).to_owned())).collect::<BTreeMap<_, _>>(),
            expected
        );
        assert_eq!(found.len(), expected.len());
    }

    macro_rules! files {
        ($($name:literal)*) => {
            [$(($name, include_str!(concat!("../../tests/spec-samples/schema/", $name)))),*]
        };
    }

    const SCHEMA: [(&str, &str); 13] = files! {
        "config-freebsd.json"
        "config-linux.json"
        "config-schema.json"
        "config-solaris.json"
        "config-vm.json"
        "config-windows.json"
        "config-zos.json"
        "defs-freebsd.json"
        "defs-linux.json"
        "defs-vm.json"
        "defs-windows.json"
        "defs-zos.json"
        "defs.json"
    };

    /// The schema's names for every object, by place.
    struct Schema {
        files: BTreeMap<String, Value>,
        names: BTreeMap<String, BTreeSet<String>>,
    }

    impl Schema {
        fn read(&mut self, file: &str, node: &Value, place: &str, depth: usize) {
            if depth == 0 {
                return;
            }
            if let Some(target) = node["$ref"].as_str() {
                let (other, inside) = target.split_once('#').unwrap_or((target, ""));
                let file = if other.is_empty() { file } else { other };
                // Some have no slash in front.
                let inside = inside.trim_start_matches('/');
                let inside = if inside.is_empty() { String::new() } else { format!("/{inside}") };
                let node = self.files[file].pointer(&inside).unwrap().clone();
                self.read(file, &node, place, depth - 1);
            }
            for variant in ["allOf", "anyOf", "oneOf"].iter().filter_map(|key| node[*key].as_array()).flatten() {
                self.read(file, variant, place, depth - 1);
            }
            for (name, node) in node["properties"].as_object().into_iter().flatten() {
                self.names.entry(place.to_owned()).or_default().insert(name.clone());
                self.read(file, node, &join(place, name), depth - 1);
            }
            for node in node["patternProperties"].as_object().into_iter().flat_map(|patterns| patterns.values()) {
                self.read(file, node, &join(place, "*"), depth - 1);
            }
            if node["items"].is_object() {
                self.read(file, &node["items"], &format!("{place}[]"), depth - 1);
            }
            if node["additionalProperties"].is_object() {
                self.read(file, &node["additionalProperties"], &join(place, "*"), depth - 1);
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "reads the whole schema")]
    fn the_names_are_those_of_the_specifications_schema() {
        let files: BTreeMap<String, Value> =
            SCHEMA.iter().map(|(name, text)| ((*name).to_owned(), serde_json::from_str(text).unwrap())).collect();
        let root = files["config-schema.json"].clone();
        let mut schema = Schema { files, names: BTreeMap::new() };
        schema.read("config-schema.json", &root, "", 12);
        let elsewhere = ["freebsd", "solaris", "vm", "windows", "zos"];
        let of_linux = |place: &&String| !elsewhere.iter().any(|section| place.starts_with(section));
        let mut seen = 0;
        for place in schema.names.keys().filter(of_linux) {
            let (section, _) = place.split_once('.').unwrap_or((place, ""));
            let general =
                if section == "hooks" && place.ends_with("[]") { "hooks.*[]".to_owned() } else { place.clone() };
            let general =
                if general.starts_with("linux.timeOffsets.") { "linux.timeOffsets.*".to_owned() } else { general };
            let known = OBJECTS.iter().find(|(of, _)| *of == general).unwrap_or_else(|| panic!("{general}")).1;
            let mut known: BTreeSet<String> = known.iter().map(|name| (*name).to_owned()).collect();
            known.retain(|name| !["enableCMT", "enableMBM"].contains(&name.as_str()));
            assert_eq!(&known, &schema.names[place], "{place}");
            seen += 1;
        }
        assert!(seen > 40, "{seen}");
    }
}
