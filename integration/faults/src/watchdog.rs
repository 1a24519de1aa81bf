//! Nothing waits for ever: a thread kills what does not end.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a command may take: the longest wait of corten's own is ten seconds, and machines are slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Watch {
    deadline: Option<Instant>,
    pids: Vec<i32>,
    fired: bool,
}

/// Kills the processes that it watches at a deadline.
#[derive(Clone)]
pub(crate) struct Watchdog(Arc<Mutex<Watch>>);

impl Watchdog {
    /// Starts the thread.
    pub(crate) fn new() -> Watchdog {
        let watchdog = Watchdog(Arc::default());
        let watch = watchdog.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_millis(500));
                watch.look();
            }
        });
        watchdog
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Watch) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn look(&self) {
        self.with(|watch| {
            if watch.deadline.is_some_and(|deadline| deadline < Instant::now()) {
                watch.fired = true;
                for pid in &watch.pids {
                    let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
                }
            }
        });
    }

    /// From now on there is a deadline for what is watched.
    pub(crate) fn arm(&self) {
        self.with(|watch| (watch.fired, watch.deadline) = (false, Some(Instant::now() + PATIENCE)));
    }

    /// One more process.
    pub(crate) fn watch(&self, pid: i32) {
        self.with(|watch| watch.pids.push(pid));
    }

    /// Everything has ended; whether it had to be killed.
    pub(crate) fn disarm(&self) -> bool {
        self.with(|watch| {
            (watch.deadline, watch.pids) = (None, Vec::new());
            watch.fired
        })
    }
}
