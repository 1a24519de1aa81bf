//! The library inside a threaded program that does other things meanwhile: containers work, and the program does not
//! notice that it made any.
//!
//! A runtime that forks its caller hangs here sooner or later (a lock of malloc, stdio or the environment was held by
//! another thread at the fork), or leaves the caller with a changed signal mask, a descriptor too many, a zombie.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

#[allow(dead_code, reason = "other tests use the rest")]
mod caller;

use caller::{Caller, HAMMERED, Place, alone, descriptors, links, pipe, read_all};
use libcorten::{Container, ErrorKind, Force, Status};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const CONTAINERS: usize = 50;
const THREADS: usize = 8;
/// In the caller's environment and memory, and to be found nowhere else. Written in two halves, so that the program's
/// own text is no hit.
const SECRET: [&str; 2] = ["embedder's-secret", "-6b1f0c"];

/// Does something until told to stop.
type Hammer = fn(&AtomicBool);

/// What the other threads of the program do.
fn hammers() -> [(&'static str, Hammer); 5] {
    [
        ("malloc", |stop| {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                // Small ones from the arena, large ones by mmap.
                kept.extend([16, 100, 5000, 200_000].map(|size| vec![1; size]));
                if kept.len() > 400 {
                    kept.clear();
                }
            }
        }),
        ("environment", |stop| {
            let mut round = 0u32;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                // SAFETY: whoever reads the environment in this program does it through std, which has a lock.
                #[allow(clippy::disallowed_methods, reason = "the program's own thread does what the library must not")]
                unsafe {
                    std::env::set_var(HAMMERED, round.to_string());
                    assert!(std::env::vars_os().count() > 0);
                    std::env::remove_var(HAMMERED);
                }
            }
        }),
        ("stdio", |stop| {
            while !stop.load(Ordering::Relaxed) {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(b"").unwrap();
                stdout.flush().unwrap();
                // SAFETY: a null stream means all of them.
                unsafe { libc::fflush(std::ptr::null_mut()) };
            }
        }),
        ("descriptors", |stop| {
            while !stop.load(Ordering::Relaxed) {
                let file = File::open("/dev/null").unwrap();
                drop(file.try_clone().unwrap());
            }
        }),
        ("signals", |stop| {
            while !stop.load(Ordering::Relaxed) {
                // To the process: any thread that does not block it may be interrupted.
                nix::sys::signal::kill(nix::unistd::getpid(), Signal::SIGUSR2).unwrap();
                std::thread::sleep(Duration::from_micros(500));
            }
        }),
    ]
}

static INTERRUPTIONS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn interrupted(_signal: i32) {
    INTERRUPTIONS.fetch_add(1, Ordering::Relaxed);
}

/// Gives the process properties that nobody has by accident.
fn become_peculiar() {
    // No SA_RESTART: system calls of the library fail with EINTR.
    let action = SigAction::new(SigHandler::Handler(interrupted), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only touches an atomic.
    unsafe { sigaction(Signal::SIGUSR2, &action) }.unwrap();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o027));
}

/// The life of one container of the crowd; the script prints what it sees, and ends with a code of its own.
fn live(place: &Place, number: usize) {
    let id = place.id(number);
    let script = format!("echo {id}; cat /proc/1/environ; ls -l /proc/1/fd; exit {}", number % 120);
    let mut config = place.config(&id, &script);
    if number % 3 == 0 {
        let hook = json!([{"path": "/bin/true"}]);
        config["hooks"] = json!({"createRuntime": hook, "poststart": hook, "poststop": hook});
    }
    if number % 5 == 0 {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "cgroup"}));
    }
    let ((output, writer), (errors, error_writer)) = (pipe(), pipe());
    let stdin = File::open("/dev/null").unwrap();
    let builder = place.builder(&id, config).stdin(stdin).stdout(writer).stderr(error_writer);
    let mut container = if number % 2 == 0 {
        builder.run().unwrap()
    } else {
        let mut container = builder.create().unwrap();
        assert_eq!(container.state().unwrap().status, Status::Created);
        container.start().unwrap();
        container
    };
    assert_eq!(container.wait().unwrap().code(), (number % 120) as i32);
    assert_eq!(container.state().unwrap().status, Status::Stopped);
    assert!(container.delete(Force::No).unwrap().is_empty());
    let (output, errors) = (read_all(output), read_all(errors));
    assert!(output.starts_with(&format!("{id}\n")) && errors.is_empty(), "{output}{errors}");
    assert!(!output.contains(&SECRET.concat()), "{output}");
    let open: BTreeSet<&str> =
        output.lines().filter_map(|line| line.split_once(" -> ")?.0.rsplit(' ').next()).collect();
    assert_eq!(open, BTreeSet::from(["0", "1", "2"]), "{output}");
}

#[test]
fn fifty_containers_from_eight_threads_of_a_busy_program() {
    let Some(_alone) = alone() else { return };
    let place = Place::new("crowd");
    become_peculiar();
    let hidden = Hidden::make();
    let before = Caller::now();
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (next, stop, place) = (&next, &stop, &place);
        let others = hammers().map(|(name, hammer)| (name, scope.spawn(move || hammer(stop))));
        let worker = move |thread: usize| {
            let mut mask = SigSet::empty();
            mask.add([Signal::SIGWINCH, Signal::SIGUSR1][thread % 2]);
            mask.thread_swap_mask(SigmaskHow::SIG_BLOCK).unwrap();
            let mask = SigSet::thread_get_mask().unwrap();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= CONTAINERS {
                    break;
                }
                live(place, number);
                assert_eq!(SigSet::thread_get_mask().unwrap(), mask);
            }
        };
        let workers: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || worker(thread))).collect();
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        stop.store(true, Ordering::Relaxed);
        for (name, other) in others {
            assert!(other.join().is_ok(), "{name}");
        }
        assert!(results.iter().all(Result::is_ok));
    });
    assert!(INTERRUPTIONS.load(Ordering::Relaxed) > 0);
    before.assert_unchanged();
    place.assert_nothing_left();
    drop(hidden);
}

/// What an embedder does not want to see in a container: a variable, bytes on the heap, a descriptor that is
/// inheritable by accident.
struct Hidden {
    heap: Vec<u8>,
    inheritable: OwnedFd,
}

impl Hidden {
    fn make() -> Hidden {
        let secret = SECRET.concat();
        // SAFETY: whoever reads the environment in this program does it through std, which has a lock.
        #[allow(clippy::disallowed_methods, reason = "the embedder's own variable")]
        unsafe {
            std::env::set_var("CORTEN_EMBED_SECRET", &secret);
        }
        let file = tempfile::tempfile().unwrap();
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
        Hidden { heap: secret.repeat(1000).into_bytes(), inheritable: file.into() }
    }

    /// Nothing of it is anywhere in the process, to which only standard streams of the caller have come.
    fn assert_unknown_to(&self, pid: u32) {
        let secret = SECRET.concat();
        let found = has_in_memory(std::process::id(), secret.as_bytes());
        assert!(found, "the search finds nothing: {:?}", self.heap.len());
        assert!(!has_in_memory(pid, secret.as_bytes()));
        for file in ["environ", "cmdline", "comm", "status"] {
            let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
            assert!(!String::from_utf8_lossy(&text).contains(&secret), "{file}");
        }
        let own = std::fs::read_link(format!("/proc/self/fd/{}", self.inheritable.as_raw_fd())).unwrap();
        assert!(!links(&format!("/proc/{pid}/fd")).values().any(|target| Path::new(target) == own));
    }
}

/// Whether `word` is anywhere in the memory of the process.
fn has_in_memory(pid: u32, word: &[u8]) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let found = |line: &str| {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with('r') || line.contains("[vvar") || line.contains("[vsyscall]") {
            return false;
        }
        let (start, end) = range.split_once('-').unwrap();
        let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        let mut bytes = vec![0; (end - start) as usize];
        // A region that has gone meanwhile, or that cannot be read, shows nothing.
        memory.read_at(&mut bytes, start).is_ok_and(|count| bytes[..count].windows(word.len()).any(|part| part == word))
    };
    maps.lines().any(found)
}

#[test]
fn the_waiting_init_knows_nothing_of_its_caller() {
    let Some(_alone) = alone() else { return };
    let place = Place::new("secrets");
    let hidden = Hidden::make();
    let before = Caller::now();
    let id = place.id(0);
    let mut container = place.builder(&id, place.config(&id, "true")).create().unwrap();
    let pid = container.pid().unwrap() as u32;
    hidden.assert_unknown_to(pid);
    // Created and never started: delete ends it, and leaves no zombie to a caller who drops the handle.
    assert!(container.delete(Force::No).unwrap().is_empty());
    drop(container);
    before.assert_unchanged();
    place.assert_nothing_left();
}

/// Ends the other threads, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The program of a container and one that is added, while other threads have the secret on their stacks and heaps.
#[test]
fn programs_know_nothing_of_the_caller() {
    let Some(_alone) = alone() else { return };
    let place = Place::new("programs");
    let hidden = Hidden::make();
    let before = Caller::now();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::black_box((SECRET.concat(), [SECRET; 8]));
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
        }
        let id = place.id(0);
        let mut container = place.builder(&id, place.config(&id, "exec sleep 1000")).run().unwrap();
        let mut added = container.exec(["sleep", "1000"]).spawn().unwrap();
        for pid in [container.pid().unwrap(), added.pid()] {
            // Whether it is the init still or the program already.
            hidden.assert_unknown_to(pid as u32);
            let name = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
            let deadline = std::time::Instant::now() + Duration::from_secs(30);
            while name() != "sleep\n" {
                assert!(std::time::Instant::now() < deadline, "{}", name());
                std::thread::sleep(Duration::from_millis(1));
            }
            hidden.assert_unknown_to(pid as u32);
            let open: Vec<String> = links(&format!("/proc/{pid}/fd")).into_keys().collect();
            assert_eq!(open, ["0", "1", "2"]);
        }
        added.signal(libc::SIGKILL).unwrap();
        added.wait().unwrap();
        assert!(container.delete(Force::Yes).unwrap().is_empty());
    });
    before.assert_unchanged();
    place.assert_nothing_left();
}

/// Runs `exec` in `container` as the `number`th and checks what comes out.
fn add(container: &Container, number: usize) {
    let (reader, writer) = pipe();
    let script = format!("echo {number}; exit {}", number % 100);
    let mut process = container.exec(["sh", "-c", &script]).stdout(writer).spawn().unwrap();
    let seen = read_all(reader);
    assert_eq!((seen, process.wait().unwrap().code()), (format!("{number}\n"), (number % 100) as i32));
}

#[test]
fn exec_from_eight_threads_and_from_tokio() {
    let Some(_alone) = alone() else { return };
    let place = Place::new("exec");
    let id = place.id(0);
    let container = place.builder(&id, place.config(&id, "exec sleep 1000")).run().unwrap();
    let before = descriptors();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let container = &container;
            scope.spawn(move || (0..10).for_each(|round| add(container, thread * 10 + round)));
        }
    });
    assert_eq!(descriptors(), before);
    let container = std::sync::Arc::new(container);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..40)
            .map(|number| {
                let container = std::sync::Arc::clone(&container);
                tokio::spawn(async move {
                    add(&container, number);
                    tokio::task::yield_now().await;
                    number
                })
            })
            .collect();
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), number);
        }
    });
    drop(runtime);
    assert_eq!(descriptors(), before);
    std::sync::Arc::into_inner(container).unwrap().delete(Force::Yes).unwrap();
    // Every child was waited for.
    assert_eq!(nix::sys::wait::waitpid(None, None), Err(nix::errno::Errno::ECHILD));
    place.assert_nothing_left();
}

/// By the handle that made the container, and by one that found it.
#[test]
fn a_delete_that_failed_is_tried_again_with_the_same_handle() {
    let Some(_alone) = alone() else { return };
    let place = Place::new("again");
    let before = Caller::now();
    let id = place.id(0);
    let log = place.state_root().parent().unwrap().join("poststop.log");
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("echo ran >>{}", log.display())]}]);
    for is_found in [false, true] {
        let mut config = place.config(&id, "exec sleep 1000");
        config["hooks"] = json!({ "poststop": hook });
        let mut maker = place.builder(&id, config).run().unwrap();
        let mut found = is_found.then(|| Container::load(place.state_root(), &id).unwrap());
        let container = found.as_mut().unwrap_or(&mut maker);
        assert_eq!(container.delete(Force::No).unwrap_err().kind(), ErrorKind::WrongStatus);
        assert_eq!(container.state().unwrap().status, Status::Running);
        // A directory that somebody else has put something into cannot be removed: all else is gone by then.
        let foreign = place.state_root().join(&id).join("foreign");
        std::fs::write(&foreign, "").unwrap();
        assert_eq!(container.delete(Force::Yes).unwrap_err().errno(), Some(libc::ENOTEMPTY));
        assert!(!log.exists());
        std::fs::remove_file(foreign).unwrap();
        assert!(container.delete(Force::No).unwrap().is_empty());
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "ran\n");
        std::fs::remove_file(&log).unwrap();
        // There is nothing more to delete, to ask or to run in.
        assert_eq!(container.delete(Force::Yes).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(container.state().unwrap_err().to_string(), "container does not exist");
        assert!(container.exec(["true"]).spawn().is_err());
        assert_eq!(maker.wait().unwrap().code(), 128 + libc::SIGKILL);
    }
    before.assert_unchanged();
    place.assert_nothing_left();
}

#[test]
fn a_running_container_that_is_deleted_by_force_leaves_no_zombie() {
    let Some(_alone) = alone() else { return };
    let place = Place::new("force");
    let before = Caller::now();
    let id = place.id(0);
    let run = || place.builder(&id, place.config(&id, "sleep 100 & sleep 100")).run().unwrap();
    let mut container = run();
    assert_eq!(container.state().unwrap().status, Status::Running);
    assert!(container.delete(Force::Yes).unwrap().is_empty());
    drop(container);
    before.assert_unchanged();
    place.assert_nothing_left();
    // By another handle: the one that made the container can still ask how it ended.
    let mut container = run();
    let other = || Container::load(place.state_root(), &id).unwrap();
    assert_eq!(other().delete(Force::No).unwrap_err().kind(), ErrorKind::WrongStatus);
    assert!(other().delete(Force::Yes).unwrap().is_empty());
    assert_eq!(container.wait().unwrap().code(), 128 + libc::SIGKILL);
    drop(container);
    before.assert_unchanged();
    place.assert_nothing_left();
}

#[test]
fn what_fails_leaves_nothing_and_the_id_is_free_again() {
    let Some(_alone) = alone() else { return };
    let place = Place::new("errors");
    let id = place.id(0);
    let before = Caller::now();
    let with = |pointer: &str, value: Value| {
        let mut config = place.config(&id, "true");
        match config.pointer_mut(pointer) {
            Some(Value::Array(items)) => items.push(value),
            Some(other) => *other = value,
            None => panic!("{pointer}"),
        }
        config
    };
    let mut failing_hook = place.config(&id, "true");
    failing_hook["hooks"] = json!({"createRuntime": [{"path": "/bin/false"}]});
    let mut inner_hook = place.config(&id, "true");
    inner_hook["hooks"] = json!({"startContainer": [{"path": "/bin/nothing"}]});
    let bind = |source: &str, target: &str| {
        with("/mounts", json!({"type": "bind", "source": source, "destination": target, "options": ["bind"]}))
    };
    let missing = "/nonexistent/corten";
    let net = json!({"type": "cgroup", "path": "/proc/self/ns/net"});
    let mut program = place.config(&id, "");
    program["process"]["args"] = json!(["no-such-program"]);
    let mut sysctl = place.config(&id, "true");
    sysctl["linux"]["sysctl"] = json!({"kernel.shm_rmid_forced": "no number"});
    let cases = [
        (with("/root/path", json!(missing)), "root.path", ErrorKind::Os),
        (bind(missing, "/tmp"), "mounts[7]", ErrorKind::Os),
        (bind("/dev/null", "/proc/self/exe"), "mounts[7].destination", ErrorKind::InvalidConfig),
        (with("/linux/namespaces", net), "linux.namespaces[5].path", ErrorKind::InvalidConfig),
        (sysctl, "linux.sysctl[\"kernel.shm_rmid_forced\"]", ErrorKind::Os),
        (program, "process.args[0]", ErrorKind::ProgramNotFound),
        (failing_hook, "hooks.createRuntime[0]", ErrorKind::Hook),
    ];
    for (config, location, kind) in cases {
        for run in [true, false] {
            let builder = place.builder(&id, config.clone()).stdout(pipe().1);
            let error = if run { builder.run() } else { builder.create() }.expect_err(location);
            assert_eq!((error.location(), error.kind()), (Some(location), kind), "{error:#}");
            before.assert_unchanged();
            place.assert_nothing_left();
        }
    }
    // What only start can find: the container stays, stopped, and is deleted like any other.
    let mut container = place.builder(&id, inner_hook.clone()).create().unwrap();
    let error = container.start().unwrap_err();
    assert_eq!(error.location(), Some("hooks.startContainer[0]"), "{error:#}");
    container.wait().unwrap();
    assert!(container.delete(Force::Yes).unwrap().is_empty());
    drop(container);
    let error = place.builder(&id, inner_hook).run().unwrap_err();
    assert_eq!(error.location(), Some("hooks.startContainer[0]"), "{error:#}");
    before.assert_unchanged();
    place.assert_nothing_left();
}
