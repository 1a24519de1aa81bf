//! What runc and crun are known to do otherwise than this suite expects, each with the reason.
//!
//! A test asks [`crate::Sandbox::differs`] and then leaves the point out or checks what the other runtime does. corten has no
//! entry: where it differs from the suite, one of them is wrong.

use crate::Runtime;

/// The runtime, the key that the tests ask for, and the reason.
pub const DIFFERENCES: &[(Runtime, &str, &str)] = &[];

pub(crate) fn difference(runtime: Runtime, key: &str) -> Option<&'static str> {
    DIFFERENCES.iter().find(|(who, what, _)| *who == runtime && *what == key).map(|(_, _, reason)| *reason)
}
