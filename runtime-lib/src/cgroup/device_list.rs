//! Version 1's device rules in the place of others.
//!
//! The list of a new cgroup is written from its beginning: the first rule sets the default and forgets the exceptions. While
//! programs run, that would deny them everything for a moment, and the kernel refuses it in a cgroup that has others below
//! (cgroup-v1/devices.rst, *Hierarchy*). So what is in effect is read, and only the differences are written, what is added
//! before what is taken away.

use super::Cgroup;
use super::create::is_rootless;
use super::files::{self, ControlFile};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::cgroup::{Access, DevicePolicy, DeviceRule, DeviceType};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::path::Path;

type Key = (DeviceType, Option<u32>, Option<u32>);

/// What a device cgroup says of itself: of one that allows by default it does not tell the exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeviceList {
    /// All, but for exceptions.
    AllowAll,
    /// Nothing but these.
    Only(BTreeMap<Key, Access>),
}

impl DeviceList {
    /// The list in effect; none where the cgroup has no rules.
    pub(super) fn read(directory: &Path) -> Result<Option<DeviceList>> {
        let path = directory.join("devices.list");
        let nonsense = |line: &str| Error::new(ErrorKind::Os, format!("{} has the line {line:?}", path.display()));
        match files::read(&path) {
            Ok(text) => parse(&text).map(Some).map_err(nonsense),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(Error::os(format!("read {}", path.display()), e)),
        }
    }

    /// The writes that lead from this list to `policy`: files and values.
    pub(super) fn changes(&self, policy: &DevicePolicy) -> Vec<(&'static str, String)> {
        match self {
            DeviceList::Only(now) if !policy.allow_by_default => differences(now, &by_key(policy)),
            _ => from_the_beginning(policy),
        }
    }

    /// As a policy, to come back to.
    pub(super) fn policy(&self) -> DevicePolicy {
        let exceptions = match self {
            DeviceList::AllowAll => Vec::new(),
            DeviceList::Only(rules) => rules.iter().map(|(&key, &access)| rule(key, access)).collect(),
        };
        DevicePolicy { allow_by_default: *self == DeviceList::AllowAll, exceptions }
    }
}

impl Cgroup {
    /// Where version 1 has no hierarchy for them, rules would keep nobody from a device, and root of a container can make
    /// the node of any. Who is root nowhere but in a user namespace cannot.
    ///
    /// # Errors
    /// The rules deny something, and nothing would.
    pub(crate) fn must_keep_from_devices(&self, rules: &DevicePolicy) -> Result<()> {
        let can = !self.is_version_1() || self.paths.of_controller("devices").is_some();
        if can || !rules.denies_something() || is_rootless() {
            return Ok(());
        }
        let text = "this host has no cgroup v1 controller devices: the container could use every device";
        Err(Error::new(ErrorKind::Unsupported, text).at("linux.resources.devices"))
    }
}

/// Puts `policy` in the place of what is in effect in `directory`. A rootless caller, who may not, goes without.
pub(super) fn replace(directory: &Path, policy: &DevicePolicy) -> Result<()> {
    let Some(now) = DeviceList::read(directory)? else { return Ok(()) };
    for (file, value) in now.changes(policy) {
        let path = directory.join(file);
        match ControlFile::open(&path).and_then(|file| file.put(&value)) {
            Ok(()) => {}
            Err(Errno::EPERM | Errno::EACCES) if is_rootless() => return Ok(()),
            Err(e) => return Err(refused(directory, &path, &value, e)),
        }
    }
    Ok(())
}

fn refused(directory: &Path, path: &Path, value: &str, e: Errno) -> Error {
    let error = Error::os(format!("write {value:?} to {}", path.display()), e).at("linux.resources.devices");
    if value == "a" && e == Errno::EINVAL && !files::subdirectories(directory).is_empty() {
        return error.hint("what is the default can change only while no cgroups are below");
    }
    error
}

fn by_key(policy: &DevicePolicy) -> BTreeMap<Key, Access> {
    policy.exceptions.iter().map(|rule| ((rule.kind, rule.major, rule.minor), rule.access)).collect()
}

fn rule((kind, major, minor): Key, access: Access) -> DeviceRule {
    DeviceRule { kind, major, minor, access }
}

fn differences(now: &BTreeMap<Key, Access>, then: &BTreeMap<Key, Access>) -> Vec<(&'static str, String)> {
    let more = |here: &BTreeMap<Key, Access>, there: &BTreeMap<Key, Access>, file: &'static str| {
        let here = here.iter().map(|(key, access)| (*key, access.without(there.get(key).copied().unwrap_or_default())));
        let here = here.filter(|(_, access)| *access != Access::default());
        here.map(|(key, access)| (file, rule(key, access).to_string())).collect::<Vec<_>>()
    };
    let mut writes = more(then, now, "devices.allow");
    writes.extend(more(now, then, "devices.deny"));
    writes
}

fn from_the_beginning(policy: &DevicePolicy) -> Vec<(&'static str, String)> {
    let (default, exception) =
        if policy.allow_by_default { ("devices.allow", "devices.deny") } else { ("devices.deny", "devices.allow") };
    let exceptions = policy.exceptions.iter().map(|rule| (exception, rule.to_string()));
    std::iter::once((default, "a".to_owned())).chain(exceptions).collect()
}

/// Gives the line that cannot be read.
fn parse(text: &str) -> Result<DeviceList, &str> {
    let mut rules = BTreeMap::new();
    for line in text.lines() {
        if line.starts_with("a ") {
            return Ok(DeviceList::AllowAll);
        }
        let (key, access) = parse_rule(line).ok_or(line)?;
        rules.insert(key, access);
    }
    Ok(DeviceList::Only(rules))
}

fn parse_rule(line: &str) -> Option<(Key, Access)> {
    let mut words = line.split(' ');
    let kind = match words.next()? {
        "b" => DeviceType::Block,
        "c" => DeviceType::Char,
        _ => return None,
    };
    let (major, minor) = words.next()?.split_once(':')?;
    let number = |text: &str| if text == "*" { Some(None) } else { text.parse().ok().map(Some) };
    let access = words.next()?;
    let access = Access { read: access.contains('r'), write: access.contains('w'), mknod: access.contains('m') };
    Some(((kind, number(major)?, number(minor)?), access))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> DeviceList {
        parse(text).unwrap()
    }

    fn changes(from: &str, to: &str) -> String {
        let writes = list(from).changes(&list(to).policy());
        writes.iter().map(|(file, value)| format!("{file}={value}")).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn only_differences_are_written_and_what_is_added_comes_first() {
        for (from, to, writes) in [
            ("c 1:3 rwm\nb *:* m\n", "b *:* m\nc 1:3 rwm\n", ""),
            ("c 1:3 rwm\n", "c 1:3 r\nc 1:5 rw\n", "devices.allow=c 1:5 rw; devices.deny=c 1:3 wm"),
            ("", "c 10:* r\n", "devices.allow=c 10:* r"),
            ("c 10:* rw\nc 10:229 r\n", "c 10:229 rw\n", "devices.allow=c 10:229 w; devices.deny=c 10:* rw"),
            // A change of the default begins anew.
            ("a *:* rwm\n", "c 1:3 rwm\n", "devices.deny=a; devices.allow=c 1:3 rwm"),
            ("c 1:3 rwm\n", "a *:* rwm\n", "devices.allow=a"),
            ("a *:* rwm\n", "a *:* rwm\n", "devices.allow=a"),
        ] {
            assert_eq!(changes(from, to), writes, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn what_the_kernel_does_not_print_is_not_read() {
        for line in ["x 1:3 rwm", "c 1 rwm", "c 1:x rwm", "c 1:3", "", "c -1:3 r"] {
            assert_eq!(parse(&format!("c 1:5 r\n{line}\n")), Err(line), "{line:?}");
        }
    }
}
