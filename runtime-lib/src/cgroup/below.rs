//! Cgroups that are not the container's own but lie below it: for programs that are added to a running container.

use super::{Cgroup, CgroupDirectory, CgroupPaths, files};
use crate::error::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// The cgroups below the container's that a program is to run in. They must exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubCgroup {
    /// The same path in every hierarchy.
    Everywhere(String),
    /// A path for each of these version 1 controllers; the container's own in the others.
    Controllers(BTreeMap<String, String>),
}

impl Cgroup {
    /// The cgroups below these that `sub` names.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`]: a path that leads out of the container's cgroup, a controller that it does not have.
    pub(crate) fn below(&self, sub: &SubCgroup) -> Result<Cgroup> {
        let mut below = self.clone_if_ours()?;
        match sub {
            SubCgroup::Everywhere(path) => {
                below.paths.directories_mut().into_iter().try_for_each(|directory| descend(directory, path))?;
            }
            SubCgroup::Controllers(paths) => {
                for (controller, path) in paths {
                    let mut directories = below.paths.directories_mut().into_iter();
                    let unknown = || {
                        let text = format!("unknown controller {controller} in SubCgroupPaths");
                        Error::new(ErrorKind::InvalidArgument, text)
                    };
                    let directory = directories.find(|d| d.controllers.contains(controller)).ok_or_else(unknown)?;
                    descend(directory, path)?;
                }
            }
        }
        Ok(below)
    }

    /// These cgroups, but in version 2's hierarchy the one that the process `pid` is in now.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn where_process_is(&self, pid: i32) -> Result<Cgroup> {
        let path = format!("/proc/{pid}/cgroup");
        let text = std::fs::read_to_string(&path).map_err(|error| Error::os(format!("read {path}"), error))?;
        let own = text.lines().find_map(|line| line.strip_prefix("0::"));
        let mut found = self.clone_if_ours()?;
        let unified = match &mut found.paths {
            CgroupPaths::Hybrid { unified: directory, .. } | CgroupPaths::V2 { directory } => Some(directory),
            CgroupPaths::V1 { .. } | CgroupPaths::Unmanaged => None,
        };
        if let (Some(unified), Some(own)) = (unified, own) {
            own.clone_into(&mut unified.path);
        }
        Ok(found)
    }

    /// To be changed: what is below a unit that is ours has no mark of its own.
    fn clone_if_ours(&self) -> Result<Cgroup> {
        self.must_be_ours()?;
        Ok(Cgroup { scope: None, ..self.clone() })
    }

    /// Whether all of them exist, as the first that does not.
    pub(crate) fn first_missing(&self) -> Option<std::path::PathBuf> {
        self.paths.directories().map(CgroupDirectory::absolute).find(|path| files::open_directory(path).is_err())
    }
}

fn descend(directory: &mut CgroupDirectory, path: &str) -> Result<()> {
    let components: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    if components.contains(&"..") || path.contains('\0') {
        return Err(Error::new(ErrorKind::InvalidArgument, format!("{path} is not a sub cgroup path")));
    }
    for component in components {
        directory.path.push('/');
        directory.path.push_str(component);
    }
    Ok(())
}
