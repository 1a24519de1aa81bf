//! The inside view of a container, as the probe (`probe/main.rs`) tells it, and what differs between two of them.
//!
//! A view is made comparable first: names and numbers that are new in every container (namespaces, peer groups of mounts,
//! process ids, paths of the sandbox) become words that say what they are. Mounts and environment are keyed, so that a
//! difference has a place such as `mounts./dev/shm.options`.

use crate::Container;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What a process inside sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Inside(Value);

/// One place where two views differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement {
    /// Such as `mounts./dev/shm.options`.
    pub place: String,
    /// What the first view has there; null if nothing.
    pub ours: Value,
    /// What the second has.
    pub theirs: Value,
}

impl std::fmt::Display for Disagreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} | {}", self.place, self.ours, self.theirs)
    }
}

impl Inside {
    /// What the probe has written in `container`. `None` when it is not a report.
    pub fn read(text: &str, container: &Container<'_>) -> Option<Inside> {
        let bundle = container.bundle();
        let cgroup = bundle.config["linux"]["cgroupsPath"].as_str().unwrap_or_default().trim_start_matches('/');
        let sandbox = bundle.path().parent()?.to_str()?;
        // The longest first: what is random in the sandbox's name may begin as the number in the container's does.
        let mut text =
            text.replace(bundle.path().to_str()?, "BUNDLE").replace(sandbox, "SANDBOX").replace(container.id(), "ID");
        if !cgroup.is_empty() {
            text = text.replace(cgroup, "CGROUP");
        }
        // The directory is the sandbox's name, which ends with a dot, and something random.
        let (name, _) = Path::new(sandbox).file_name()?.to_str()?.rsplit_once('.')?;
        text = text.replace(&format!("{name}."), "SANDBOX");
        let mut view: Value = serde_json::from_str(&text).ok()?;
        namespaces(&mut view["namespaces"]);
        if view["namespaces"]["net"] == "the host's" {
            // Others come and go there.
            view["network"] = json!("the host's");
        }
        processes(&mut view);
        descriptors(&mut view["descriptors"]);
        mounts(&mut view["mounts"]);
        uncounted(&mut view);
        if let Some(Value::String(rules)) = view["files"].get_mut("/sys/fs/cgroup/devices/devices.list") {
            // A set, in the order in which it was written.
            let mut sorted: Vec<&str> = rules.lines().collect();
            sorted.sort_unstable();
            *rules = sorted.join("\n");
        }
        Some(Inside(view))
    }

    /// The same with one word for what hides these paths, which a runtime can do in several ways, and without the file system's own
    /// options of a tmpfs that only repeat its mode and that it is read-only. What can be done with what is seen there stays to be
    /// compared.
    pub fn with_masks_alike(mut self, masked: &[String]) -> Inside {
        let (mut files, mut directories) = (Vec::new(), Vec::new());
        for (at, mount) in self.0["mounts"].as_object_mut().into_iter().flatten() {
            let of_tmpfs = mount["type"] == "tmpfs";
            if let Some(options) = mount["system_options"].as_array_mut().filter(|_| of_tmpfs) {
                let repeats = |option: &str| option.starts_with("mode=") || matches!(option, "ro" | "rw");
                options.retain(|option| !option.as_str().is_some_and(repeats));
            }
            let place = at.split(" (no.").next().unwrap_or_default();
            if !masked.iter().any(|path| path == place) {
                continue;
            }
            let read_only = mount["options"].as_array().is_some_and(|options| options.contains(&json!("ro")));
            if mount["root"] == "/null" {
                *mount = json!("hides a file");
                files.push(place.to_owned());
            } else if mount["type"] == "tmpfs" && read_only {
                *mount = json!("hides a directory");
                directories.push(place.to_owned());
            }
        }
        for part in ["paths", "devices"] {
            for (path, about) in self.0[part].as_object_mut().into_iter().flatten() {
                let Some(about) = about.as_object_mut() else { continue };
                if directories.contains(path) {
                    about.remove("mode");
                } else if files.contains(path) {
                    // Whose null device it is depends on the runtime.
                    about.retain(|name, _| name == "device");
                }
            }
        }
        self
    }

    /// The element at a JSON pointer.
    pub fn get(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// Everything that differs.
    pub fn disagreements(&self, other: &Inside) -> Vec<Disagreement> {
        let mut found = Vec::new();
        compare(&self.0, &other.0, String::new(), &mut found);
        found
    }
}

fn compare(ours: &Value, theirs: &Value, place: String, found: &mut Vec<Disagreement>) {
    let below = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let mut names: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let of = |members: &Map<String, Value>| members.get(name).cloned().unwrap_or_default();
                compare(&of(ours), &of(theirs), below(name), found);
            }
        }
        (ours, theirs) if ours == theirs => {}
        (ours, theirs) => found.push(Disagreement { place, ours: ours.clone(), theirs: theirs.clone() }),
    }
}

/// Takes away how many entries there are where that depends on what else the machine does.
fn uncounted(view: &mut Value) {
    // As many as there are processes, and cgroups of others.
    let is_shared = |kind: &Value| ["proc", "cgroup", "cgroup2"].iter().any(|shared| kind == shared);
    let mounts = view["mounts"].as_object().into_iter().flatten();
    let mut at: Vec<String> = mounts.filter(|(_, mount)| is_shared(&mount["type"])).map(|(at, _)| at.clone()).collect();
    at.push("/proc".to_owned());
    for path in at {
        for part in ["paths", "devices"] {
            if let Some(about) = view[part].get_mut(&path).and_then(Value::as_object_mut) {
                about.remove("entries");
            }
        }
        // Processes and cgroups are no devices, also where they are mounted below /dev.
        if let Some(devices) = view["devices"].as_object_mut() {
            devices.retain(|name, _| !name.starts_with(&format!("{path}/")));
        }
    }
}

/// Whether each is the test's own.
fn namespaces(namespaces: &mut Value) {
    for (name, namespace) in namespaces.as_object_mut().into_iter().flatten() {
        let host = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap_or_default();
        let is_host = host.to_str() == namespace.as_str();
        *namespace = json!(if is_host { "the host's" } else { "another" });
    }
}

/// Which ids are the process's own, and which are none in its namespace.
fn processes(view: &mut Value) {
    let own = view["process"]["id"].to_string();
    for field in ["parent", "group", "session", "foreground"] {
        let value = view["process"][field].as_str().unwrap_or_default().to_owned();
        let word = match value.as_str() {
            "0" => "outside",
            "-1" => "none",
            value if value == own => "own",
            _ => "other",
        };
        view["process"][field] = json!(word);
    }
    if own != "1" {
        view["process"]["id"] = json!("not the first");
    }
    for field in ["NStgid", "NSpgid", "NSsid"] {
        // The last is that in the innermost namespace: one of those above.
        let Some(ids) = view["status"].get_mut(field) else { continue };
        *ids = json!(ids.as_str().map_or(0, |ids| ids.split(' ').count()));
    }
}

/// What kind of thing, where the name is a number.
fn descriptors(descriptors: &mut Value) {
    for (_, descriptor) in descriptors.as_object_mut().into_iter().flatten() {
        let of = descriptor["of"].as_str().unwrap_or_default();
        let of = of.split(":[").next().unwrap_or_default();
        let of = of.trim_end_matches(|c: char| c.is_ascii_digit());
        // The list of the descriptors itself: it has the number of the process.
        let of = if of.starts_with("/proc/") && of.ends_with("/fd") { "/proc/PID/fd" } else { of };
        descriptor["of"] = json!(of);
    }
}

/// From a list to an object by mount point, with peer groups numbered as they come.
fn mounts(mounts: &mut Value) {
    let Some(list) = mounts.as_array() else { return };
    let mut groups = BTreeMap::new();
    let mut found = Map::new();
    for mount in list {
        let mut mount = mount.clone();
        let tags = mount["propagation"].as_array().cloned().unwrap_or_default();
        let rename = |tag: &Value| {
            let tag = tag.as_str().unwrap_or_default();
            let Some((word, group)) = tag.split_once(':') else { return tag.to_owned() };
            let next = groups.len() + 1;
            format!("{word}:{}", groups.entry(group.to_owned()).or_insert(next))
        };
        mount["propagation"] = tags.iter().map(rename).collect();
        let at = mount["at"].as_str().unwrap_or_default().to_owned();
        let mut key = at.clone();
        for number in 2.. {
            if !found.contains_key(&key) {
                break;
            }
            key = format!("{at} (no. {number})");
        }
        if let Some(members) = mount.as_object_mut() {
            members.remove("at");
        }
        found.insert(key, mount);
    }
    *mounts = Value::Object(found);
}
