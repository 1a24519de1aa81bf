//! Black-box tests over the command line: the harness.
//!
//! A test knows only the command line of a runtime, so the same suite says what corten does and what runc and crun do:
//! `RUNTIME=corten|runc|crun` picks the program (`CORTEN=/path` names corten's). [`on_every_view`] runs one check on every
//! arrangement of the cgroup hierarchies that machine and runtime can offer, each time in a fresh [`Sandbox`], which at its
//! end, also after a panic, takes everything away and fails the test if anything had been left behind.
//!
//! The tests need root, busybox (Debian's `busybox-static`), and util-linux's `unshare` and `nsenter`.
//!
//! | variable | meaning |
//! |---|---|
//! | `RUNTIME` | `corten` (default), `runc` or `crun` |
//! | `CORTEN` | path of the corten binary; default: beside the test's own target directory |
//! | `MISSING` | system calls that are not there to corten: `MISSING=mount_setattr` is a kernel before 5.12 |
//! | `VIEWS` | comma-separated subset of `native`, `v2`, `v1` |
//! | `PATIENCE` | seconds after which a command counts as hung, default 30 |
//! | `LOOPS` | rounds of the tests that look for rare hangs, default 200 |

mod apparmor;
mod bundle;
mod container;
mod differences;
mod host_view;
mod inside;
mod invocation;
mod leftovers;
mod runtime;
mod sandbox;
mod schema;
mod terminal;

pub use apparmor::{Profile, apparmor_is_on, label_of};
pub use bundle::Bundle;
pub use container::Container;
pub use differences::DIFFERENCES;
pub use host_view::HostView;
pub use inside::{Disagreement, Inside};
pub use invocation::{Invocation, Output, Running};
pub use leftovers::cgroup_mount_points;
pub use runtime::Runtime;
pub use sandbox::{Guard, Sandbox};
pub use schema::assert_valid;
pub use terminal::{ConsoleSocket, Terminal};

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Runs `check` in a fresh sandbox on every view of the cgroup hierarchies that the runtime supports here.
///
/// # Panics
/// When a check panics or leaves something behind on any view; the message names the views.
pub fn on_every_view(check: impl Fn(&Sandbox)) {
    if differences::is_left_out() {
        return;
    }
    let mut failed = Vec::new();
    for view in HostView::available() {
        eprintln!("--- {} on {view:?}", Runtime::from_environment().name());
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&Sandbox::new(view))));
        if outcome.is_err() {
            failed.push(view);
        }
    }
    assert!(failed.is_empty(), "failed on {failed:?}");
}

/// Runs `check` in one sandbox, on the first view: for what has nothing to do with cgroups.
///
/// # Panics
/// When the check panics or leaves something behind.
pub fn once(check: impl FnOnce(&Sandbox)) {
    if differences::is_left_out() {
        return;
    }
    check(&Sandbox::new(HostView::available()[0]));
}

/// How long a test waits for anything before it calls it hung: `PATIENCE` seconds, or thirty.
pub fn patience() -> Duration {
    let seconds = std::env::var("PATIENCE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(30))
}

/// Waits until `condition` holds, for [`patience`] at most.
///
/// # Panics
/// When it does not hold in time; the message names `what`.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Leaves the test with a reason that `--nocapture` shows.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        eprintln!("skipped: {}", format!($($reason)*));
        return;
    }};
}
