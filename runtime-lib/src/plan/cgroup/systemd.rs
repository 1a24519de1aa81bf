//! What systemd is asked for: the transient scope, its slice and its properties.
//!
//! systemd applies a unit's properties to the unit's cgroup, again after `systemctl daemon-reload`: a limit that it
//! is not told would be taken back then. So every limit that it has a property for is given as one as well as written
//! by file, derived from the very write; the others it leaves alone (systemd.resource-control(5), the D-Bus interface
//! in org.freedesktop.systemd1(5)). Paths and names are runc's, so that engines find the unit where they expect it.

mod properties;

pub(crate) use properties::IDLE;
pub use properties::{device_properties, properties_of};

use super::{CgroupPaths, paths};
use crate::error::{Error, ErrorKind, Result};
use crate::host::HostCgroups;
use crate::id::ContainerId;
use serde::Serialize;
use std::collections::BTreeMap;

/// Annotations of this prefix are properties of the unit.
const ANNOTATION: &str = "org.systemd.property.";
const LOCATION: &str = "linux.cgroupsPath";
/// systemd's own limit of a unit's name.
const LONGEST_NAME: usize = 255;

/// A transient scope.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SystemdScope {
    /// Its name, such as `corten-web.scope`.
    pub unit: String,
    /// The slice it is in, such as `system.slice`.
    pub slice: String,
    /// The socket of the bus on which its manager is: the system's, or a user's.
    pub bus: String,
    /// Whether the manager is a user's.
    pub user: bool,
    /// What `org.systemd.property.*` annotations ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<(String, Value)>,
}

/// The value of a property, by its D-Bus type.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// `s`
    Text(String),
    /// `b`
    Bool(bool),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `as`
    Texts(Vec<String>),
    /// `ay`
    Bytes(Vec<u8>),
    /// `au`
    Pids(Vec<u32>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
    /// `a(st)`
    Rates(Vec<(String, u64)>),
}

impl SystemdScope {
    /// The scope that `configured`, in the form `slice:prefix:name`, means, and the cgroups: systemd makes
    /// the one of version 2, and on version 1 that of its own hierarchy and some more; the runtime makes the rest.
    pub(super) fn choose(
        configured: Option<&str>,
        host: &HostCgroups,
        id: &ContainerId,
        user_bus: Option<&str>,
    ) -> Result<(SystemdScope, CgroupPaths)> {
        let default_slice = if user_bus.is_some() { "user.slice" } else { "system.slice" };
        let (slice, prefix, name) = match configured {
            None => (default_slice, "corten", id.as_str()),
            Some(path) => {
                let parts: Vec<&str> = path.split(':').collect();
                let &[slice, prefix, name] = parts.as_slice() else {
                    let text = format!(
                        "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {path:?} instead"
                    );
                    return Err(Error::config(LOCATION, text));
                };
                (if slice.is_empty() { default_slice } else { slice }, prefix, name)
            }
        };
        let unit = unit_name(prefix, name)?;
        let above = match (user_bus, &host.v2) {
            (None, _) => String::new(),
            (Some(_), Some(v2)) if host.is_unified() => user_manager(&v2.own_path)?,
            (Some(_), _) => {
                let text = "a user's systemd manages no cgroups of version 1: this takes a host with version 2 only";
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
        };
        let path = format!("{above}{}/{unit}", expand_slice(slice)?);
        let paths = paths::same_in_all(host, &path);
        if paths.of_systemd().is_none() {
            let text = "systemd's cgroup hierarchy (name=systemd, or version 2) is not mounted";
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let scope = SystemdScope {
            unit,
            slice: slice.to_owned(),
            bus: user_bus.unwrap_or("/run/dbus/system_bus_socket").to_owned(),
            user: user_bus.is_some(),
            properties: Vec::new(),
        };
        Ok((scope, paths))
    }
}

/// `prefix-name.scope`, which has to be a name that systemd takes.
fn unit_name(prefix: &str, name: &str) -> Result<String> {
    let fault = |text: String| Err(Error::config(LOCATION, text));
    if name.is_empty() {
        return fault("the name of the systemd unit is empty".to_owned());
    }
    if name.ends_with(".slice") {
        return fault(format!("{name:?}: a container cannot be a slice of systemd, only a scope"));
    }
    let separator = if prefix.is_empty() { "" } else { "-" };
    let unit = format!("{prefix}{separator}{name}.scope");
    if let Some(bad) = unit.chars().find(|c| !c.is_ascii_alphanumeric() && !":-_.\\".contains(*c)) {
        return fault(format!("{unit:?}: {bad:?} cannot be in the name of a systemd unit"));
    }
    if unit.len() > LONGEST_NAME {
        return fault(format!("{unit:?}: the name of a systemd unit has at most {LONGEST_NAME} bytes"));
    }
    Ok(unit)
}

/// The cgroup of a slice: `a-b.slice` is in `a.slice`, and `-.slice` is the root.
fn expand_slice(slice: &str) -> Result<String> {
    let fault = || Err(Error::config(LOCATION, format!("invalid slice name: {slice}")));
    let Some(name) = slice.strip_suffix(".slice").filter(|name| !name.is_empty()) else { return fault() };
    if name == "-" {
        return Ok(String::new());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\".contains(c);
    if !name.chars().all(allowed) || slice.len() > LONGEST_NAME {
        return fault();
    }
    let (mut path, mut prefix) = (String::new(), String::new());
    for component in name.split('-') {
        if component.is_empty() {
            return fault();
        }
        path += &format!("/{prefix}{component}.slice");
        prefix += &format!("{component}-");
    }
    Ok(path)
}

/// The cgroup of the user manager that the caller belongs to.
fn user_manager(own_path: &str) -> Result<String> {
    let mut path = String::new();
    let mut user_slice = None;
    for component in own_path.split('/').skip(1) {
        path += &format!("/{component}");
        if component.starts_with("user@") && component.ends_with(".service") {
            return Ok(path);
        }
        if let Some(uid) = component.strip_prefix("user-").and_then(|rest| rest.strip_suffix(".slice")) {
            // A login session, which lies beside the manager.
            user_slice = Some(format!("{path}/user@{uid}.service"));
        }
    }
    user_slice.ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, format!("the caller's cgroup {own_path} is not in a user's session"))
            .hint("run it in a login session, or under systemd-run --user")
    })
}

/// The properties that annotations ask for.
pub(super) fn annotated(annotations: &BTreeMap<String, String>) -> Result<Vec<(String, Value)>> {
    let mut properties = Vec::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(ANNOTATION) else { continue };
        let fault = |why: &str| Error::config(format!("annotations[{key:?}]"), why.to_owned());
        let mut letters = name.chars();
        if name.len() < 3
            || !letters.next().is_some_and(|c| c.is_ascii_uppercase())
            || !letters.all(|c| c.is_ascii_alphanumeric())
        {
            return Err(fault("invalid systemd property name"));
        }
        let value = parse(text).ok_or_else(|| {
            fault(&format!(
                "{text:?} is no value: expected a GVariant text such as uint64 5, true, 'text' or ['a', 'b']"
            ))
        })?;
        // As runc: what the unit files have in seconds, D-Bus has in microseconds.
        match name.strip_suffix("Sec").filter(|_| !name.ends_with("USec")) {
            Some(stem) => {
                let value = in_microseconds(&value).ok_or_else(|| fault("a time in seconds must be a number"))?;
                properties.push((format!("{stem}USec"), value));
            }
            None => properties.push((name.to_owned(), value)),
        }
    }
    Ok(properties)
}

fn in_microseconds(value: &Value) -> Option<Value> {
    let seconds = match *value {
        Value::I32(value) => u64::try_from(value).ok()?,
        Value::U32(value) => value.into(),
        Value::I64(value) => u64::try_from(value).ok()?,
        Value::U64(value) => value,
        _ => return None,
    };
    seconds.checked_mul(1_000_000).map(Value::U64)
}

/// The part of GVariant's text format that properties of scopes need.
fn parse(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let items = inside.trim();
        if items.is_empty() {
            return None; // its type could not be known
        }
        return quoted_list(items).map(Value::Texts);
    }
    if text.starts_with(['\'', '"']) {
        return match quoted(text)? {
            (value, "") => Some(Value::Text(value)),
            _ => None,
        };
    }
    match text.split_once(char::is_whitespace) {
        Some((kind, number)) => {
            let number = number.trim();
            match kind {
                "int32" | "@i" => number.parse().ok().map(Value::I32),
                "uint32" | "@u" => number.parse().ok().map(Value::U32),
                "int64" | "@x" => number.parse().ok().map(Value::I64),
                "uint64" | "@t" => number.parse().ok().map(Value::U64),
                "boolean" | "@b" => number.parse().ok().map(Value::Bool),
                _ => None,
            }
        }
        None => match text {
            "true" | "false" => Some(Value::Bool(text == "true")),
            number => number.parse().ok().map(Value::I32),
        },
    }
}

fn quoted_list(mut rest: &str) -> Option<Vec<String>> {
    let mut items = Vec::new();
    loop {
        let (item, after) = quoted(rest)?;
        items.push(item);
        match after.trim_start().strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if after.trim().is_empty() => return Some(items),
            None => return None,
        }
    }
}

/// A string at the beginning of `text`, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut characters = text.char_indices();
    let (_, quote) = characters.next().filter(|(_, c)| matches!(c, '\'' | '"'))?;
    let mut value = String::new();
    while let Some((place, c)) = characters.next() {
        match c {
            '\0' => return None,
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                c @ ('\\' | '\'' | '"') => value.push(c),
                _ => return None,
            },
            c if c == quote => return Some((value, text.get(place + 1..)?)),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests;
