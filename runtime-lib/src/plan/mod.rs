//! The plan: what `create` will do, as data.

pub mod cgroup;

use serde::Serialize;

/// What `create` will do, section by section. Prints as text (`Display`) and serialises.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {}

impl std::fmt::Display for Plan {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
