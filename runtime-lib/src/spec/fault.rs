//! What is wrong with a configuration, collected so that all of it can be told at once.

use crate::error::{Error, Result};
use std::fmt::Display;
use std::path::Path;

/// The longest path that the kernel takes, `PATH_MAX` without the terminating NUL.
const LONGEST_PATH: usize = 4095;

/// An element without a valid meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The element, such as `mounts[3].options[1]`.
    pub(super) location: String,
    /// Why.
    pub(super) message: String,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        Error::config(fault.location, fault.message)
    }
}

/// The faults and warnings found so far. Locations are passed as [`Display`] so that they are only put into words when
/// something is wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    found: Vec<Fault>,
    warnings: Vec<String>,
}

impl Faults {
    /// Records a fault.
    pub(super) fn add(&mut self, location: impl Display, message: impl Into<String>) {
        self.found.push(Fault { location: location.to_string(), message: message.into() });
    }

    /// Records something that is ignored although it is written.
    pub(super) fn warn(&mut self, location: impl Display, message: impl Display) {
        self.warnings.push(format!("{location}: {message}"));
    }

    /// The warnings, once.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// All faults.
    pub(super) fn into_found(self) -> Vec<Fault> {
        self.found
    }

    /// `value`, if nothing was wrong; the first fault otherwise.
    pub(super) fn first_or<T>(self, value: Option<T>) -> Result<T> {
        match (self.found.into_iter().next(), value) {
            (Some(fault), _) => Err(fault.into()),
            (None, Some(value)) => Ok(value),
            (None, None) => Err(Error::config("config.json", "has no valid meaning")),
        }
    }

    /// Checks a string that becomes a C string.
    pub(super) fn text(&mut self, location: impl Display, text: &str) -> String {
        if text.contains('\0') {
            self.add(location, "contains a NUL byte");
        }
        text.to_owned()
    }

    /// Checks the strings of a list that become C strings.
    pub(super) fn texts(&mut self, location: impl Display, texts: &[String]) -> Vec<String> {
        texts.iter().enumerate().map(|(i, text)| self.text(format_args!("{location}[{i}]"), text)).collect()
    }

    /// Checks a path, absolute or not.
    pub(super) fn path(&mut self, location: impl Display, path: &Path) -> String {
        let Some(text) = path.to_str() else {
            self.add(location, "is not UTF-8");
            return String::new();
        };
        if text.is_empty() {
            self.add(location, "is empty");
        } else if text.len() > LONGEST_PATH {
            self.add(location, format!("is longer than {LONGEST_PATH} bytes"));
        } else if text.contains('\0') {
            self.add(location, "contains a NUL byte");
        }
        text.to_owned()
    }

    /// Checks a path that must be absolute.
    pub(super) fn absolute(&mut self, location: impl Display, path: &Path) -> String {
        let before = self.found.len();
        let text = self.path(&location, path);
        if self.found.len() == before && !text.starts_with('/') {
            self.add(location, format!("{text:?} is not an absolute path"));
        }
        text
    }
}
