//! Views of the cgroup hierarchies.
//!
//! A machine has one arrangement of cgroup mounts, but a runtime has to work on all of them. A private mount namespace, kept
//! alive by a process per sandbox, shows another arrangement without touching the machine; the runtime's commands enter it.

use crate::Runtime;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// An arrangement of the cgroup hierarchies below `/sys/fs/cgroup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostView {
    /// As the machine has it.
    Native,
    /// Version 2 only.
    V2,
    /// Version 1 only.
    V1,
}

/// Whether the machine itself has version 2 only.
fn machine_is_unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

impl HostView {
    /// The views that the runtime under test supports on this machine, limited by `VIEWS`.
    ///
    /// # Panics
    /// When nothing is left to test.
    pub fn available() -> Vec<HostView> {
        let possible = match (machine_is_unified(), Runtime::from_environment()) {
            (true, _) => vec![HostView::Native],
            // Another view of version 2 could not be looked into from here.
            (false, _) if !Path::new("/sys/fs/cgroup/unified").exists() => vec![HostView::Native],
            // Debian 12's crun refuses a hybrid arrangement, and needs CAP_SYS_RESOURCE on version 2.
            (false, Runtime::Crun) => vec![HostView::V1],
            (false, _) => vec![HostView::Native, HostView::V2],
        };
        let Ok(wanted) = std::env::var("VIEWS") else { return possible };
        let views: Vec<_> = [(HostView::Native, "native"), (HostView::V2, "v2"), (HostView::V1, "v1")]
            .into_iter()
            .filter(|(_, name)| wanted.split(',').any(|want| want == *name))
            .map(|(view, _)| view)
            .collect();
        assert!(!views.is_empty(), "VIEWS={wanted}: expected some of native,v2,v1");
        views
    }

    /// Whether cgroup version 2 is all that the runtime sees.
    pub fn is_unified(self) -> bool {
        self == HostView::V2 || (self == HostView::Native && machine_is_unified())
    }

    fn script(self) -> Option<&'static str> {
        match self {
            HostView::Native => None,
            HostView::V2 => Some("umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup"),
            HostView::V1 => Some("umount /sys/fs/cgroup/unified && mount -t tmpfs tmpfs /sys/fs/cgroup/unified"),
        }
    }
}

/// The process that keeps a view's mount namespace.
pub(crate) struct Holder(Option<Child>);

impl Holder {
    /// The view's own mounts where it needs any; the machine's mount namespace otherwise.
    pub(crate) fn new(view: HostView) -> Holder {
        view.script().map_or(Holder(None), |script| Holder::hold(view, script))
    }

    /// Gives the view a mount namespace of its own in any case.
    pub(crate) fn private(view: HostView) -> Holder {
        Holder::hold(view, view.script().unwrap_or("true"))
    }

    pub(crate) fn is_private(&self) -> bool {
        self.0.is_some()
    }

    fn hold(view: HostView, script: &str) -> Holder {
        // `cat` ends when the test does, because its standard input then ends.
        let mut child = Command::new("unshare")
            .args(["-m", "sh", "-c", &format!("{script} && echo ready && exec cat")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux)");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let holder = Holder(Some(child));
        assert_eq!(line, "ready\n", "cannot prepare the view {view:?}");
        holder
    }

    /// The command words that run the words after them in the view.
    pub(crate) fn prefix(&self) -> Vec<String> {
        match &self.0 {
            None => Vec::new(),
            Some(child) => ["nsenter", &format!("--mount=/proc/{}/ns/mnt", child.id()), "--"].map(String::from).into(),
        }
    }

    /// Where the view's mounts are listed.
    pub(crate) fn mountinfo(&self) -> PathBuf {
        let pid = self.0.as_ref().map_or_else(std::process::id, Child::id);
        format!("/proc/{pid}/mountinfo").into()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
