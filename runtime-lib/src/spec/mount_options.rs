//! The mount options of the specification, see its *Linux mount options* table and `mount(8)`.

use super::mounts::{MountAttrs, Propagation, PropagationKind};

/// What an option of the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MountOption {
    /// Sets (`true`) or clears an attribute of the mount.
    Attribute(bool, u64),
    /// The same for all mounts below as well.
    RecursiveAttribute(bool, u64),
    /// Sets (`true`) or clears a flag of the file system.
    Superblock(bool, u64),
    /// How the mount spreads.
    Propagation(Propagation),
    /// A bind mount, with all mounts below (`true`) or not.
    Bind(bool),
    /// Changes an existing mount.
    Remount,
    /// `tmpcopyup`.
    CopyUp,
    /// `ridmap` (`true`) and `idmap`.
    IdMap(bool),
    /// Nothing: what a mount has anyway.
    Default,
}

use MountOption::{Attribute, Bind, CopyUp, Default, IdMap, RecursiveAttribute, Remount, Superblock};

const fn spread(kind: PropagationKind, recursive: bool) -> MountOption {
    MountOption::Propagation(Propagation { kind, recursive })
}

/// The table, sorted by name.
const TABLE: &[(&str, MountOption)] = &[
    ("acl", Superblock(true, libc::MS_POSIXACL)),
    ("async", Superblock(false, libc::MS_SYNCHRONOUS)),
    ("atime", Attribute(false, libc::MS_NOATIME)),
    ("bind", Bind(false)),
    ("defaults", Default),
    ("dev", Attribute(false, libc::MS_NODEV)),
    ("diratime", Attribute(false, libc::MS_NODIRATIME)),
    ("dirsync", Superblock(true, libc::MS_DIRSYNC)),
    ("exec", Attribute(false, libc::MS_NOEXEC)),
    ("idmap", IdMap(false)),
    ("iversion", Superblock(true, libc::MS_I_VERSION)),
    ("lazytime", Superblock(true, libc::MS_LAZYTIME)),
    ("loud", Superblock(false, libc::MS_SILENT)),
    ("mand", Superblock(true, libc::MS_MANDLOCK)),
    ("noacl", Superblock(false, libc::MS_POSIXACL)),
    ("noatime", Attribute(true, libc::MS_NOATIME)),
    ("nodev", Attribute(true, libc::MS_NODEV)),
    ("nodiratime", Attribute(true, libc::MS_NODIRATIME)),
    ("noexec", Attribute(true, libc::MS_NOEXEC)),
    ("noiversion", Superblock(false, libc::MS_I_VERSION)),
    ("nolazytime", Superblock(false, libc::MS_LAZYTIME)),
    ("nomand", Superblock(false, libc::MS_MANDLOCK)),
    ("norelatime", Attribute(false, libc::MS_RELATIME)),
    ("nostrictatime", Attribute(false, libc::MS_STRICTATIME)),
    ("nosuid", Attribute(true, libc::MS_NOSUID)),
    ("nosymfollow", Attribute(true, libc::MS_NOSYMFOLLOW)),
    ("private", spread(PropagationKind::Private, false)),
    ("ratime", RecursiveAttribute(false, libc::MS_NOATIME)),
    ("rbind", Bind(true)),
    ("rdev", RecursiveAttribute(false, libc::MS_NODEV)),
    ("rdiratime", RecursiveAttribute(false, libc::MS_NODIRATIME)),
    ("relatime", Attribute(true, libc::MS_RELATIME)),
    ("remount", Remount),
    ("rexec", RecursiveAttribute(false, libc::MS_NOEXEC)),
    ("ridmap", IdMap(true)),
    ("rnoatime", RecursiveAttribute(true, libc::MS_NOATIME)),
    ("rnodev", RecursiveAttribute(true, libc::MS_NODEV)),
    ("rnodiratime", RecursiveAttribute(true, libc::MS_NODIRATIME)),
    ("rnoexec", RecursiveAttribute(true, libc::MS_NOEXEC)),
    ("rnorelatime", RecursiveAttribute(false, libc::MS_RELATIME)),
    ("rnostrictatime", RecursiveAttribute(false, libc::MS_STRICTATIME)),
    ("rnosuid", RecursiveAttribute(true, libc::MS_NOSUID)),
    ("rnosymfollow", RecursiveAttribute(true, libc::MS_NOSYMFOLLOW)),
    ("ro", Attribute(true, libc::MS_RDONLY)),
    ("rprivate", spread(PropagationKind::Private, true)),
    ("rrelatime", RecursiveAttribute(true, libc::MS_RELATIME)),
    ("rro", RecursiveAttribute(true, libc::MS_RDONLY)),
    ("rrw", RecursiveAttribute(false, libc::MS_RDONLY)),
    ("rshared", spread(PropagationKind::Shared, true)),
    ("rslave", spread(PropagationKind::Slave, true)),
    ("rstrictatime", RecursiveAttribute(true, libc::MS_STRICTATIME)),
    ("rsuid", RecursiveAttribute(false, libc::MS_NOSUID)),
    ("rsymfollow", RecursiveAttribute(false, libc::MS_NOSYMFOLLOW)),
    ("runbindable", spread(PropagationKind::Unbindable, true)),
    ("rw", Attribute(false, libc::MS_RDONLY)),
    ("shared", spread(PropagationKind::Shared, false)),
    ("silent", Superblock(true, libc::MS_SILENT)),
    ("slave", spread(PropagationKind::Slave, false)),
    ("strictatime", Attribute(true, libc::MS_STRICTATIME)),
    ("suid", Attribute(false, libc::MS_NOSUID)),
    ("symfollow", Attribute(false, libc::MS_NOSYMFOLLOW)),
    ("sync", Superblock(true, libc::MS_SYNCHRONOUS)),
    ("tmpcopyup", CopyUp),
    ("unbindable", spread(PropagationKind::Unbindable, false)),
];

/// The names of all options, sorted.
pub(crate) fn mount_options() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

/// What `name` says; `None` for an option of the file system's own.
pub(super) fn look_up(name: &str) -> Option<MountOption> {
    let place = TABLE.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    TABLE.get(place).map(|&(_, option)| option)
}

impl MountAttrs {
    /// The last word counts: setting takes back an earlier clearing, and the reverse.
    pub(super) fn change(&mut self, set: bool, flag: u64) {
        let (to, from) = if set { (&mut self.set, &mut self.clear) } else { (&mut self.clear, &mut self.set) };
        *to |= flag;
        *from &= !flag;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        // The names of the specification's table (1.3), tmpcopyup, and those of runc's own.
        let specified = "acl noacl async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime \
             nodev nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private \
             rbind relatime remount ro rprivate rshared rslave runbindable rw shared silent slave strictatime suid \
             symfollow sync tmpcopyup unbindable ratime rdev rdiratime rexec rnoatime rnodev rnodiratime rnoexec \
             rnorelatime rnostrictatime rnosuid rnosymfollow rrelatime rro rrw rstrictatime rsuid rsymfollow idmap \
             ridmap";
        let mut names: Vec<&str> = specified.split_whitespace().collect();
        names.sort_unstable();
        assert_eq!(names, TABLE.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    #[test]
    fn an_option_means_the_flag_of_its_name() {
        assert_eq!(look_up("rrw"), Some(RecursiveAttribute(false, libc::MS_RDONLY)));
        assert_eq!(look_up("nosymfollow"), Some(Attribute(true, libc::MS_NOSYMFOLLOW)));
        assert_eq!(look_up("rslave"), Some(spread(PropagationKind::Slave, true)));
        assert_eq!(look_up("mode=755"), None);
        assert_eq!(look_up(""), None);
    }
}
