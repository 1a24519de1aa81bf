//! The programs in `examples/` do what they say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

#[allow(dead_code, reason = "other tests use the rest")]
mod caller;
#[path = "../examples/capture.rs"]
mod capture;
#[path = "../examples/concurrent.rs"]
mod concurrent;
#[path = "../examples/limits.rs"]
mod limits;

use caller::{Place, alone};
use libcorten::{Container, ErrorKind, ExitStatus, Force};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_command_is_captured_and_ended_in_time() {
    let Some(_alone) = alone() else { return };
    let place = Place::new("capture");
    let run = |number, script: &str, limit| {
        let args = ["sh", "-c", script].map(str::to_owned);
        capture::capture(place.dir(), &place.id(number), &place.state_root(), &args, limit).unwrap()
    };
    let captured = run(0, "echo out; echo err >&2; exit 3", LONG);
    assert_eq!((captured.exit, captured.output.as_str()), (ExitStatus::Exited(3), "out\nerr\n"));
    assert!(!captured.timed_out && !captured.exit.success());
    let begin = Instant::now();
    let captured = run(1, "sleep 1000 & sleep 1000", Duration::from_millis(100));
    assert_eq!((captured.exit, captured.timed_out), (ExitStatus::Signaled(9), true));
    assert!(begin.elapsed() < Duration::from_secs(500));
    assert_eq!(captured.exit.to_string(), "killed by signal 9");
    place.assert_nothing_left();
}

#[test]
fn a_container_is_limited_and_watched() {
    let Some(_alone) = alone() else { return };
    let place = Place::new("limits");
    let id = place.id(0);
    let mut container = place.builder(&id, place.config(&id, "exec sleep 1000")).run().unwrap();
    let has = |controller: &str| std::path::Path::new("/sys/fs/cgroup").join(controller).join(&id).exists();
    if has("memory") && has("pids") {
        limits::limit(&container, 256 << 20, 100).unwrap();
        let stats = container.stats().unwrap();
        assert_eq!((stats.memory.usage.limit, stats.pids.limit), (256 << 20, 100));
    } else {
        eprintln!("skipped: version 1 of memory and pids is not here");
    }
    let mut told = 0;
    let observed = Container::load(place.state_root(), &id).unwrap();
    limits::watch(&observed, Duration::from_millis(10), |_| {
        told += 1;
        if told == 2 {
            container.kill(9).unwrap();
        }
    })
    .unwrap();
    assert!(told >= 2);
    assert_eq!(container.wait().unwrap(), ExitStatus::Signaled(9));
    container.delete(Force::No).unwrap();
    place.assert_nothing_left();
}

#[test]
fn containers_run_beside_each_other_from_async_code() {
    let Some(_alone) = alone() else { return };
    let place = Place::new("concurrent");
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        let start = |number: usize| {
            let id = place.id(number);
            let bundle = place.bundle(place.config(&id, &format!("exit {number}")));
            tokio::spawn(concurrent::run(bundle, id, place.state_root(), LONG))
        };
        let tasks: Vec<_> = (0..8).map(start).collect();
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap().unwrap().unwrap(), ExitStatus::Exited(number as i32));
        }
    });
    place.assert_nothing_left();
}

#[test]
fn everything_may_go_to_any_thread() {
    fn any<T: Send + Sync>() {}
    any::<libcorten::ContainerBuilder>();
    any::<libcorten::ExecBuilder<'static>>();
    any::<(Container, libcorten::ExecProcess, libcorten::Events)>();
    any::<(libcorten::Bundle, libcorten::Plan, libcorten::Observer, libcorten::Error)>();
}

/// The kernel tells the end of a child once.
#[test]
fn an_end_is_waited_for_as_often_as_one_likes_and_only_by_who_can() {
    let Some(_alone) = alone() else { return };
    let place = Place::new("waits");
    let id = place.id(0);
    let mut container = place.builder(&id, place.config(&id, "exec sleep 1000")).run().unwrap();
    assert_eq!(container.wait_timeout(Duration::ZERO).unwrap(), None);
    let mut process = container.exec(["sh", "-c", "exit 7"]).spawn().unwrap();
    assert_eq!(process.wait_timeout(LONG).unwrap(), Some(ExitStatus::Exited(7)));
    for _ in 0..2 {
        assert_eq!(process.wait().unwrap(), ExitStatus::Exited(7));
        assert_eq!(process.wait_timeout(Duration::ZERO).unwrap(), Some(ExitStatus::Exited(7)));
    }
    let mut process = container.exec(["sleep", "1000"]).spawn().unwrap();
    assert_eq!(process.wait_timeout(Duration::from_millis(50)).unwrap(), None);
    assert_eq!(process.signal(1000).unwrap_err().kind(), ErrorKind::InvalidArgument);
    process.signal(9).unwrap();
    assert_eq!(process.wait_timeout(LONG).unwrap(), Some(ExitStatus::Signaled(9)));
    assert_eq!(process.signal(9).unwrap_err().errno(), Some(libc::ESRCH));
    assert_eq!(container.kill(-1).unwrap_err().kind(), ErrorKind::InvalidArgument);
    container.kill(9).unwrap();
    assert_eq!(container.wait_timeout(LONG).unwrap(), Some(ExitStatus::Signaled(9)));
    assert_eq!(container.wait().unwrap(), ExitStatus::Signaled(9));
    let mut other = Container::load(place.state_root(), &id).unwrap();
    assert_eq!(other.wait().unwrap_err().errno(), Some(libc::ECHILD));
    assert_eq!(other.wait_timeout(LONG).unwrap_err().errno(), Some(libc::ECHILD));
    container.delete(Force::No).unwrap();
    place.assert_nothing_left();
}
