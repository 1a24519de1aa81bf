//! Many threads of one program, and the workers of a tokio runtime, do to a few containers whatever can be done to a container,
//! in a random order that its seed makes again: every call returns, what fails says so for a reason that the others
//! explain, and in the end nothing is left, in the machine or in the program.
//!
//! `MIX=n` is how many calls each thread makes, `SEED=n` the order: `just library-mix`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

#[allow(dead_code, reason = "other tests use the rest")]
mod caller;

use caller::{Caller, Place, alone};
use libcorten::{Container, Error, ErrorKind, ExitStatus, Force, Result, Status};
use oci_spec::runtime::{LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const THREADS: usize = 16;
const CONTAINERS: usize = 6;
/// No call may take longer, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn number_of(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect(variable))
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }
}

/// What has been done, how often it went well and what met others; and what it said then.
#[derive(Default)]
struct Tally {
    calls: BTreeMap<&'static str, (usize, usize)>,
    said: BTreeMap<String, usize>,
}

/// The containers that all work on. Whoever makes one is its parent, and so the one handle that can wait for it.
struct Crowd {
    place: Place,
    made: Mutex<Vec<Container>>,
    tally: Mutex<Tally>,
    /// What each thread is at, for the watchdog.
    under_way: Mutex<BTreeMap<usize, (Instant, String)>>,
}

/// Failures of a call that meets others on the same container.
fn is_explained(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::WrongStatus | ErrorKind::AlreadyExists => true,
        // A forced delete ends what a run or an exec waits for.
        ErrorKind::Internal => error.to_string().contains("killed by signal 9"),
        _ => false,
    }
}

impl Crowd {
    fn new(name: &str) -> Crowd {
        let crowd = Crowd {
            place: Place::new(name),
            made: Mutex::default(),
            tally: Mutex::default(),
            under_way: Mutex::default(),
        };
        (0..CONTAINERS).for_each(|number| crowd.run(&crowd.place.id(number)).unwrap());
        crowd
    }

    fn run(&self, id: &str) -> Result<()> {
        let null = || OwnedFd::from(File::options().read(true).write(true).open("/dev/null").unwrap());
        let builder = self.place.builder(id, self.place.config(id, "exec sleep 1000"));
        let container = builder.stdin(null()).stdout(null()).stderr(null()).run()?;
        self.made.lock().unwrap().push(container);
        Ok(())
    }

    /// The `number`th kind of call, on the container `id`.
    fn call(&self, number: usize, id: &str) -> (&'static str, Result<()>) {
        let load = || Container::load(self.place.state_root(), id);
        match number {
            0..=5 => ("exec", load().and_then(|container| exec(&container))),
            6 => ("pause", load().and_then(|container| container.pause().and_then(|()| container.resume()))),
            7 => ("update", load().and_then(|container| container.update(&pids(number as i64 * 1000 + 500)))),
            8 => ("state", load().and_then(|container| container.state()).map(drop)),
            9 => ("processes", load().and_then(|container| container.processes()).map(drop)),
            10 => ("stats", load().and_then(|container| container.stats()).map(drop)),
            11 => ("list", Container::list(self.place.state_root()).map(drop)),
            12 => (
                "kill",
                load().and_then(|container| container.kill(libc::SIGKILL)).and_then(|()| self.renew(id, load())),
            ),
            _ => ("renew", self.renew(id, load())),
        }
    }

    fn renew(&self, id: &str, found: Result<Container>) -> Result<()> {
        match found.and_then(|mut container| container.delete(Force::Yes)) {
            Ok(failed_hooks) => assert!(failed_hooks.is_empty()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.run(id)
    }

    /// One call that the random numbers choose.
    fn step(&self, thread: usize, random: &mut Random) {
        let (number, id) = (random.below(15), self.place.id(random.below(CONTAINERS)));
        self.under_way.lock().unwrap().insert(thread, (Instant::now(), format!("call {number} on {id}")));
        let (name, result) = self.call(number, &id);
        self.under_way.lock().unwrap().remove(&thread);
        if result.is_err() {
            // What is refused at once would otherwise be most of it, while others take their time to make containers.
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut tally = self.tally.lock().unwrap();
        match result {
            Ok(()) => tally.calls.entry(name).or_default().0 += 1,
            Err(error) if is_explained(&error) => {
                tally.calls.entry(name).or_default().1 += 1;
                *tally.said.entry(format!("{name}: {}", error.to_string().replace(&id, "ID"))).or_default() += 1;
            }
            Err(error) => panic!("{name} of {id}: {error:?}"),
        }
    }

    /// Ends the program when a call does not return: nobody else could.
    fn watch(&self, seed: u64) {
        for (thread, (since, what)) in &*self.under_way.lock().unwrap() {
            if since.elapsed() > PATIENCE {
                eprintln!("seed {seed}: thread {thread}: {what} does not return");
                std::process::abort();
            }
        }
    }

    /// Deletes what is left and waits for everything that was ever made.
    fn end(self, what: &str) {
        for number in 0..CONTAINERS {
            match Container::load(self.place.state_root(), &self.place.id(number))
                .and_then(|mut c| c.delete(Force::Yes))
            {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                deleted => assert!(deleted.unwrap().is_empty()),
            }
        }
        for mut container in self.made.into_inner().unwrap() {
            assert_eq!(container.wait().unwrap(), ExitStatus::Signaled(libc::SIGKILL));
        }
        self.place.assert_nothing_left();
        let Tally { calls, said } = self.tally.into_inner().unwrap();
        eprintln!("{what}: {calls:?} (well, met others), {said:#?}");
        let (well, met) = calls.values().fold((0, 0), |sum, (well, met)| (sum.0 + well, sum.1 + met));
        assert!(well * 10 >= well + met, "{what}: hardly anything went well");
    }
}

/// Runs a program and sees its output and its end, unless somebody else ends it first.
fn exec(container: &Container) -> Result<()> {
    let (reader, writer) = caller::pipe();
    let mut process = container.exec(["sh", "-c", "echo here; exit 7"]).stdout(writer).spawn()?;
    let (seen, ended) = (caller::read_all(reader), process.wait()?);
    match ended {
        ExitStatus::Exited(7) => assert_eq!(seen, "here\n"),
        other => assert_eq!(other, ExitStatus::Signaled(libc::SIGKILL)),
    }
    Ok(())
}

fn pids(limit: i64) -> LinuxResources {
    LinuxResourcesBuilder::default().pids(LinuxPidsBuilder::default().limit(limit).build().unwrap()).build().unwrap()
}

#[test]
fn sixteen_threads_do_everything_at_once() {
    let Some(_alone) = alone() else { return };
    let (calls, seed) = (number_of("MIX", 12), number_of("SEED", 1));
    let before = Caller::now();
    let crowd = Crowd::new("threads");
    std::thread::scope(|scope| {
        let crowd = &crowd;
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let mut random = Random::new(seed * 1000 + thread as u64);
                    (0..calls).for_each(|_| crowd.step(thread, &mut random));
                })
            })
            .collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            crowd.watch(seed);
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    crowd.end("16 threads");
    before.assert_unchanged();
}

#[test]
fn tasks_of_tokio_do_everything_at_once() {
    let Some(_alone) = alone() else { return };
    let (calls, seed) = (number_of("MIX", 12), number_of("SEED", 1));
    let before = Caller::now();
    let crowd = std::sync::Arc::new(Crowd::new("tokio"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let tasks: Vec<_> = (0..THREADS)
        .map(|thread| {
            let crowd = std::sync::Arc::clone(&crowd);
            runtime.spawn(async move {
                let mut random = Random::new(seed * 1000 + 500 + thread as u64);
                for _ in 0..calls {
                    // As a program should that has other things to do, and as one does that knows no better.
                    if random.below(2) == 0 {
                        crowd.step(thread, &mut random);
                        tokio::task::yield_now().await;
                    } else {
                        let again = std::sync::Arc::clone(&crowd);
                        let moved = move || {
                            again.step(thread, &mut random);
                            random
                        };
                        random = tokio::task::spawn_blocking(moved).await.unwrap();
                    }
                }
            })
        })
        .collect();
    while tasks.iter().any(|task| !task.is_finished()) {
        crowd.watch(seed);
        std::thread::sleep(Duration::from_millis(50));
    }
    tasks.into_iter().for_each(|task| runtime.block_on(task).unwrap());
    drop(runtime);
    std::sync::Arc::into_inner(crowd).unwrap().end("tokio");
    before.assert_unchanged();
}

/// Whatever an embedder holds can be held by any thread. Shown by compiling.
#[test]
fn everything_is_send_and_sync() {
    fn is_both<T: Send + Sync>() {}
    is_both::<(Container, libcorten::ContainerBuilder, libcorten::Bundle, libcorten::Plan)>();
    is_both::<(libcorten::ExecBuilder<'_>, libcorten::ExecProcess, libcorten::Events, Error, libcorten::Observer)>();
}

/// The handle that made a container and one that found it see the same.
#[test]
fn a_handle_that_was_sent_to_another_thread_works_there() {
    let Some(_alone) = alone() else { return };
    let crowd = Crowd::new("handles");
    let mut made = std::mem::take(&mut *crowd.made.lock().unwrap());
    let first = made.remove(0);
    let first = std::thread::spawn(move || {
        exec(&first).unwrap();
        assert_eq!(first.state().unwrap().status, Status::Running);
        first
    });
    *crowd.made.lock().unwrap() = made;
    let mut first = first.join().unwrap();
    assert!(first.delete(Force::Yes).unwrap().is_empty());
    crowd.end("handles");
}
