//! Container ids.
//!
//! An id becomes a directory name and a cgroup name, so a `/` or `..` in it would reach outside of them (CVE-2021-3121's
//! class). The alphabet is runc's.

use crate::error::{Error, ErrorKind, Result};
use std::fmt;

/// The id of a container: 1 to 1024 bytes of `[A-Za-z0-9_+.-]`, neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// Checks `id`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidId`] when it is empty, longer than 1024 bytes, `.` or `..`, or has another character.
    pub fn new(id: &str) -> Result<ContainerId> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_+.-".contains(&byte);
        let why = match id {
            "" => "is empty",
            "." | ".." => "is a directory reference",
            _ if id.len() > 1024 => "is longer than 1024 bytes",
            _ if !id.bytes().all(legal) => "has a character outside [A-Za-z0-9_+.-]",
            _ => return Ok(ContainerId(id.to_owned())),
        };
        let shown: String = id.chars().take(80).collect();
        Err(Error::new(ErrorKind::InvalidId, format!("invalid container ID format: {shown:?} {why}")))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ContainerId {
    type Error = Error;
    fn try_from(id: String) -> Result<ContainerId> {
        ContainerId::new(&id)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> String {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_runc_accepts_and_refuses_what_would_leave_the_state_directory() {
        for good in ["a", "web-1", "A.b_c+d", "..a", &"x".repeat(1024)] {
            assert_eq!(ContainerId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "../x", "a b", "ä", "a\0", "a\n", &"x".repeat(1025)] {
            assert_eq!(ContainerId::new(bad).unwrap_err().kind(), ErrorKind::InvalidId, "{bad:?}");
        }
    }
}
