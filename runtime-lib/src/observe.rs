//! How long the phases of a verb take, for those who ask: `corten --debug` logs it. Who does not ask pays nothing, not
//! even a look at the clock.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Is told of each phase when it is over.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&'static str, Duration) + Send + Sync>);

impl Observer {
    /// Calls `told` with the name of a phase and how long it took, in the thread that carries the verb out.
    pub fn new(told: impl Fn(&'static str, Duration) + Send + Sync + 'static) -> Observer {
        Observer(Arc::new(told))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// Measures phases that follow one another.
pub(crate) struct Stopwatch<'a> {
    observer: Option<&'a Observer>,
    begin: Cell<Option<Instant>>,
}

impl<'a> Stopwatch<'a> {
    pub(crate) fn start(observer: Option<&'a Observer>) -> Stopwatch<'a> {
        Stopwatch { observer, begin: Cell::new(observer.map(|_| Instant::now())) }
    }

    /// `phase` is over, and the next begins.
    pub(crate) fn lap(&self, phase: &'static str) {
        let (Some(observer), Some(begin)) = (self.observer, self.begin.get()) else { return };
        let now = Instant::now();
        self.begin.set(Some(now));
        (observer.0)(phase, now.duration_since(begin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn every_phase_is_told_in_order() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        let observer = Observer::new(move |phase, _| list.lock().unwrap().push(phase));
        let watch = Stopwatch::start(Some(&observer));
        watch.lap("one");
        watch.lap("two");
        Stopwatch::start(None).lap("nobody asked");
        assert_eq!(*told.lock().unwrap(), ["one", "two"]);
    }
}
