//! `linux.resources.devices`: the rules, brought into the form that both versions can carry out.
//!
//! The specification's list is a sequence of commands to the version 1 device cgroup (cgroup-v1/devices.rst): each
//! rule adds or takes away. Replaying it here gives one default and a set of exceptions to it, which version 1 takes as
//! writes and version 2 as an eBPF program, so that a list means the same on both.

use crate::error::{Error, Result};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// The default, and the exceptions to it in the order of type, major and minor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DevicePolicy {
    /// Whether a device without an exception may be used.
    pub allow_by_default: bool,
    /// What is allowed when the default is to deny, and denied when it is to allow.
    pub exceptions: Vec<DeviceRule>,
}

/// Some accesses to some devices; prints as the kernel's form `c 1:* rwm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Character or block.
    pub kind: DeviceType,
    /// `None` is any.
    pub major: Option<u32>,
    /// `None` is any.
    pub minor: Option<u32>,
    /// At least one.
    pub access: Access,
}

/// The two types that a device cgroup knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceType {
    /// `b`.
    Block,
    /// `c`.
    Char,
}

/// A set of read, write and mknod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the accesses' names")]
pub struct Access {
    pub read: bool,
    pub write: bool,
    pub mknod: bool,
}

/// A place for exceptions: one set of accesses each.
type Key = (DeviceType, Option<u32>, Option<u32>);

/// What every container may use, whatever its rules: mknod of anything (using the node is another matter), the devices
/// that the specification requires, terminals, and as runc 1.1 the tun device.
const ALWAYS: [(DeviceType, Option<u32>, Option<u32>, &str); 11] = [
    (DeviceType::Char, None, None, "m"),
    (DeviceType::Block, None, None, "m"),
    (DeviceType::Char, Some(1), Some(3), "rwm"),
    (DeviceType::Char, Some(1), Some(8), "rwm"),
    (DeviceType::Char, Some(1), Some(7), "rwm"),
    (DeviceType::Char, Some(5), Some(0), "rwm"),
    (DeviceType::Char, Some(1), Some(5), "rwm"),
    (DeviceType::Char, Some(1), Some(9), "rwm"),
    (DeviceType::Char, Some(136), None, "rwm"),
    (DeviceType::Char, Some(5), Some(2), "rwm"),
    (DeviceType::Char, Some(10), Some(200), "rwm"),
];

impl DevicePolicy {
    pub(super) fn lower(rules: &[LinuxDeviceCgroup]) -> Result<DevicePolicy> {
        let mut replay = Replay { allow_by_default: false, exceptions: BTreeMap::new() };
        for (index, rule) in rules.iter().enumerate() {
            replay.apply(rule).map_err(|fault| fault.at(format!("linux.resources.devices[{index}]")))?;
        }
        for (kind, major, minor, access) in ALWAYS {
            replay.change((kind, major, minor), Access::parse(access), true)?;
        }
        let exceptions = replay.exceptions.into_iter();
        Ok(DevicePolicy {
            allow_by_default: replay.allow_by_default,
            exceptions: exceptions
                .map(|((kind, major, minor), access)| DeviceRule { kind, major, minor, access })
                .collect(),
        })
    }

    /// Whether it forbids anything.
    pub fn denies_something(&self) -> bool {
        !self.allow_by_default || !self.exceptions.is_empty()
    }
}

/// The state of a device cgroup while rules are written to it.
struct Replay {
    allow_by_default: bool,
    exceptions: BTreeMap<Key, Access>,
}

impl Replay {
    fn apply(&mut self, rule: &LinuxDeviceCgroup) -> Result<()> {
        let access = match rule.access().as_deref() {
            None | Some("") => return Err(fault("device access field cannot be empty")),
            Some(text) => Access::parse(text),
        };
        let kind = match rule.typ() {
            // Whatever else such a rule says, the kernel takes it for all devices and forgets the exceptions.
            None | Some(LinuxDeviceType::A) => {
                self.allow_by_default = rule.allow();
                self.exceptions.clear();
                return Ok(());
            }
            Some(LinuxDeviceType::B) => DeviceType::Block,
            Some(LinuxDeviceType::C) => DeviceType::Char,
            Some(other) => return Err(fault(format!("invalid cgroup device type {:?}", other.as_str()))),
        };
        let key = (kind, number(rule.major(), "major")?, number(rule.minor(), "minor")?);
        if access == Access::default() {
            return Ok(());
        }
        self.change(key, access, rule.allow())
    }

    fn change(&mut self, key: Key, access: Access, allow: bool) -> Result<()> {
        if allow != self.allow_by_default {
            let entry = self.exceptions.entry(key).or_default();
            *entry = entry.union(access);
            return Ok(());
        }
        let (kind, major, minor) = key;
        for wider in [(kind, None, minor), (kind, major, None), (kind, None, None)] {
            let overlaps = self.exceptions.get(&wider).is_some_and(|held| held.intersects(access));
            if wider != key && overlaps {
                let (_, major, minor) = wider;
                let held =
                    DeviceRule { kind, major, minor, access: self.exceptions.get(&wider).copied().unwrap_or_default() };
                return Err(fault(format!("cannot punch a hole into the wider rule \"{held}\"")));
            }
        }
        if let Some(held) = self.exceptions.get_mut(&key) {
            *held = held.without(access);
            if *held == Access::default() {
                self.exceptions.remove(&key);
            }
        }
        Ok(())
    }
}

fn fault(text: impl Into<String>) -> Error {
    Error::new(crate::error::ErrorKind::InvalidConfig, text)
}

/// A device number as the specification has it: absent and -1 are any.
fn number(value: Option<i64>, name: &str) -> Result<Option<u32>> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => match u32::try_from(value) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(fault(format!("invalid {name} number {value}"))),
        },
    }
}

impl Access {
    fn parse(text: &str) -> Access {
        let mut access = Access::default();
        for letter in text.chars() {
            match letter {
                'r' => access.read = true,
                'w' => access.write = true,
                'm' => access.mknod = true,
                // As runc: the specification's check has warned of it.
                _ => {}
            }
        }
        access
    }

    fn union(self, other: Access) -> Access {
        Access { read: self.read || other.read, write: self.write || other.write, mknod: self.mknod || other.mknod }
    }

    /// What it has and `other` has not.
    pub(crate) fn without(self, other: Access) -> Access {
        Access { read: self.read && !other.read, write: self.write && !other.write, mknod: self.mknod && !other.mknod }
    }

    fn intersects(self, other: Access) -> bool {
        self.without(other) != self
    }

    /// Whether it is all three.
    pub fn is_full(self) -> bool {
        self.read && self.write && self.mknod
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (held, letter) in [(self.read, "r"), (self.write, "w"), (self.mknod, "m")] {
            f.write_str(if held { letter } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let kind = match self.kind {
            DeviceType::Block => 'b',
            DeviceType::Char => 'c',
        };
        write!(f, "{kind} {}:{} {}", number(self.major), number(self.minor), self.access)
    }
}

impl Serialize for DeviceRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
