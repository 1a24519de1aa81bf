//! `run` and `exec` without `--detach`: stays as the container's parent, forwards signals, copies the terminal, and ends as the
//! program ends.
//!
//! Everything that can happen is a descriptor in one poll: the pidfd of the container's first process, a signalfd
//! with every signal (blocked before the container exists, so that none is lost and none ends this process before it
//! has cleaned up), and the ends of the terminal. So a program that has ended before we look is seen all the same.

use crate::announcement::{Announcement, delete_after};
use crate::failure::Failure;
use crate::log::Log;
use crate::notify::Notify;
use crate::terminal::{End, HostTerminal, Relay};
use libcorten::{Container, ContainerBuilder, ErrorKind, ExecBuilder, ExecProcess, ExitStatus, Force, console};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

/// The container's terminal has been sent before `create` returns; this bounds only the wait for one that is broken.
const MASTER_TIMEOUT: Duration = Duration::from_secs(10);

/// How soon a terminal that nobody has open is looked at again, in milliseconds.
const HUNG_UP_PAUSE: u16 = 50;

/// How to run in the foreground.
pub(crate) struct Foreground<'a> {
    /// Do not delete the container afterwards.
    pub(crate) keep: bool,
    /// Adopt the orphans of the container's processes.
    pub(crate) subreaper: bool,
    pub(crate) log: &'a Log,
}

impl Foreground<'_> {
    /// Runs with the standard streams of this process.
    pub(crate) fn run(&self, builder: ContainerBuilder, announcement: Announcement) -> Result<ExitCode, Failure> {
        let signals = self.prepare()?;
        let (container, notify) = Notify::listen_to_new(builder.run()?)?;
        self.attend(announcement.make(container)?, &signals, notify, None)
    }

    /// Runs with a terminal of its own that is shown on the caller's.
    pub(crate) fn run_on_terminal(
        &self,
        builder: ContainerBuilder,
        announcement: Announcement,
    ) -> Result<ExitCode, Failure> {
        let mut host = HostTerminal::find()?;
        let signals = self.prepare()?;
        let (ours, theirs) = UnixStream::pair().map_err(|error| Failure::os("make a console socket", &error))?;
        // Created and started apart: the terminal has its size before the program can ask for it.
        let mut container = builder.console_socket(theirs).create()?;
        let (input, output) = (std::io::stdin(), std::io::stdout());
        let prepared = console::receive_master(ours.as_fd(), MASTER_TIMEOUT)
            .map_err(Failure::from)
            .and_then(|master| Relay::new(master, input.as_fd(), output.as_fd()))
            .and_then(|relay| {
                host.copy_size(relay.master());
                host.set_raw()?;
                let notify = Notify::listen(&mut container)?;
                container.start()?;
                Ok((relay, notify))
            });
        match prepared {
            Ok((relay, notify)) => {
                let container = announcement.make(container)?;
                self.attend(container, &signals, notify, Some(Screen { host, relay }))
            }
            Err(failure) => Err(delete_after(container, failure)),
        }
    }

    fn prepare(&self) -> Result<SignalFd, Failure> {
        if self.subreaper {
            set_child_subreaper(true).map_err(|errno| Failure::os("become a subreaper", &errno.into()))?;
        }
        block_signals()
    }

    /// Waits for the program, then cleans up.
    fn attend(
        &self,
        mut container: Container,
        signals: &SignalFd,
        notify: Option<Notify>,
        screen: Option<Screen<'_>>,
    ) -> Result<ExitCode, Failure> {
        let first = container.pid();
        let watch = Watch { program: &mut container, signals, notify, screen, first, log: self.log };
        let status = watch.until_end();
        let status = match status {
            Ok(status) => status,
            Err(failure) => return Err(delete_after(container, failure)),
        };
        let deleted = if self.keep { Ok(Vec::new()) } else { container.delete(Force::Yes) };
        // The program's exit code matters more to the caller.
        let deleted = match deleted {
            // Somebody else deleted it.
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            deleted => deleted.unwrap_or_else(|error| vec![error]),
        };
        for error in deleted {
            self.log.error(&format!("{error:#}"));
        }
        Ok(exit_code(status))
    }
}

/// Runs a program that is added to a container, with the standard streams of this process.
pub(crate) fn exec(builder: ExecBuilder<'_>, announcement: Announcement, log: &Log) -> Result<ExitCode, Failure> {
    let signals = block_signals()?;
    let process = announcement.make_of_added(builder.spawn()?)?;
    attend_added(process, &signals, None, log)
}

/// The same with a terminal of its own that is shown on the caller's.
pub(crate) fn exec_on_terminal(
    builder: ExecBuilder<'_>,
    announcement: Announcement,
    log: &Log,
) -> Result<ExitCode, Failure> {
    let mut host = HostTerminal::find()?;
    let signals = block_signals()?;
    let (ours, theirs) = UnixStream::pair().map_err(|error| Failure::os("make a console socket", &error))?;
    let builder = match host.size() {
        Some(size) => builder.console_size(size),
        None => builder,
    };
    // The program may write before we have the terminal: its newlines are plain from the beginning.
    let mut process = builder.console_socket(theirs).plain_newlines(true).spawn()?;
    let (input, output) = (std::io::stdin(), std::io::stdout());
    let prepared = console::receive_master(ours.as_fd(), MASTER_TIMEOUT)
        .map_err(Failure::from)
        .and_then(|master| Relay::new(master, input.as_fd(), output.as_fd()))
        .and_then(|relay| host.set_raw().map(|()| relay));
    match prepared {
        Ok(relay) => {
            let process = announcement.make_of_added(process)?;
            attend_added(process, &signals, Some(Screen { host, relay }), log)
        }
        Err(failure) => {
            // It may have ended by itself.
            let _ = process.signal(libc::SIGKILL);
            let _ = process.wait();
            Err(failure)
        }
    }
}

fn attend_added(
    mut process: ExecProcess,
    signals: &SignalFd,
    screen: Option<Screen<'_>>,
    log: &Log,
) -> Result<ExitCode, Failure> {
    let first = Some(process.pid());
    let watch = Watch { program: &mut process, signals, notify: None, screen, first, log };
    watch.until_end().map(exit_code)
}

fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(u8::try_from(status.code() & 0xff).unwrap_or(u8::MAX))
}

/// What is waited for.
trait Program {
    /// `None` when it has ended before it was looked for.
    fn pidfd(&self) -> Option<BorrowedFd<'_>>;
    fn signal(&self, signal: i32) -> libcorten::Result<()>;
    fn wait(&mut self) -> libcorten::Result<ExitStatus>;
}

impl Program for Container {
    fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        Container::pidfd(self)
    }

    fn signal(&self, signal: i32) -> libcorten::Result<()> {
        self.kill(signal)
    }

    fn wait(&mut self) -> libcorten::Result<ExitStatus> {
        Container::wait(self)
    }
}

impl Program for ExecProcess {
    fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        Some(ExecProcess::pidfd(self))
    }

    fn signal(&self, signal: i32) -> libcorten::Result<()> {
        ExecProcess::signal(self, signal)
    }

    fn wait(&mut self) -> libcorten::Result<ExitStatus> {
        ExecProcess::wait(self)
    }
}

/// Blocks every signal, and gives the descriptor to read them from.
///
/// A fault of this process itself still ends it: the kernel lets nobody block the signal of that.
fn block_signals() -> Result<SignalFd, Failure> {
    let signals = SigSet::all();
    let descriptor = || {
        signals.thread_block()?;
        SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
    };
    descriptor().map_err(|errno| Failure::os("block signals", &errno.into()))
}

/// The caller's terminal and the container's.
struct Screen<'a> {
    relay: Relay<'a>,
    host: HostTerminal,
}

/// What is ready.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Signal,
    Ended,
    Notify,
    Terminal(End),
}

struct Watch<'a, 'b> {
    program: &'a mut dyn Program,
    signals: &'a SignalFd,
    /// While a manager waits until the container is ready.
    notify: Option<Notify>,
    screen: Option<Screen<'b>>,
    /// Its pid.
    first: Option<i32>,
    log: &'a Log,
}

impl Watch<'_, '_> {
    /// Handles events until the program has ended and all its output is shown.
    fn until_end(mut self) -> Result<ExitStatus, Failure> {
        let mut ended = self.program.pidfd().is_none();
        loop {
            if ended && self.screen.as_mut().is_none_or(|screen| screen.relay.is_drained()) {
                break;
            }
            for event in self.wait(ended)? {
                match event {
                    Event::Ended => ended = true,
                    Event::Notify => self.take_notice(),
                    Event::Terminal(end) => {
                        if let Some(screen) = &mut self.screen {
                            screen.relay.on_event(end);
                        }
                    }
                    Event::Signal => {
                        let impatient = self.take_signals(ended)?;
                        if ended && impatient {
                            self.screen = None;
                        }
                    }
                }
            }
        }
        let status = self.program.wait()?;
        // Orphans that ended with the container; those that end later become somebody else's.
        reap(None)?;
        Ok(status)
    }

    fn wait(&mut self, ended: bool) -> Result<Vec<Event>, Failure> {
        let hung_up = self.screen.as_mut().is_some_and(|screen| screen.relay.take_hung_up());
        let mut events = vec![Event::Signal];
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if let Some(pidfd) = self.program.pidfd().filter(|_| !ended) {
            events.push(Event::Ended);
            fds.push(PollFd::new(pidfd, PollFlags::POLLIN));
        }
        if let Some(notify) = self.notify.as_ref().filter(|_| !ended) {
            events.push(Event::Notify);
            fds.push(PollFd::new(notify.as_fd(), PollFlags::POLLIN));
        }
        if let Some(screen) = &self.screen {
            for (end, fd) in screen.relay.interests(!hung_up && !ended) {
                // What is typed after the end has nobody to read it.
                if !(ended && end == End::Input) {
                    events.push(Event::Terminal(end));
                    fds.push(fd);
                }
            }
        }
        let drained_by_caller = ended && fds.len() == 1;
        let timeout = match (drained_by_caller, hung_up) {
            (true, _) => PollTimeout::ZERO,
            (false, true) => PollTimeout::from(HUNG_UP_PAUSE),
            (false, false) => PollTimeout::NONE,
        };
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Vec::new()),
            Err(errno) => return Err(Failure::os("poll the container", &errno.into())),
        }
        let ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
        Ok(events.iter().zip(ready).filter(|(_, ready)| *ready).map(|(event, _)| *event).collect())
    }

    /// The process to watch is this one, as with runc: it ends as the program ends.
    fn take_notice(&mut self) {
        let ready = self.notify.as_ref().and_then(Notify::ready);
        if let Some((notify, ready)) = ready.and_then(|ready| Some((self.notify.take()?, ready))) {
            notify.pass_on(&ready, std::process::id(), self.log);
        }
    }

    fn next_signal(&self) -> Result<Option<siginfo>, Failure> {
        self.signals.read_signal().map_err(|errno| Failure::os("read a signal", &errno.into()))
    }

    /// Acts on every signal that has arrived; true when one asked this process to end.
    fn take_signals(&mut self, ended: bool) -> Result<bool, Failure> {
        let mut impatient = false;
        while let Some(info) = self.next_signal()? {
            let Ok(number) = i32::try_from(info.ssi_signo) else { continue };
            match number {
                libc::SIGCHLD => self.reap_others()?,
                libc::SIGWINCH if self.screen.is_some() => {
                    if let Some(screen) = &self.screen {
                        screen.host.copy_size(screen.relay.master());
                    }
                }
                // Raised by our own write to a closed pipe.
                libc::SIGPIPE if info.ssi_pid == std::process::id() => {}
                _ if ended => {
                    impatient |= [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM].contains(&number);
                }
                _ => {
                    if let Err(error) = self.program.signal(number) {
                        // It may have ended meanwhile.
                        self.log.debug(&format!("forward signal {number}: {error:#}"));
                    }
                }
            }
        }
        Ok(impatient)
    }

    /// Reaps adopted processes that have ended, up to the container's first one: its status is for `wait`.
    fn reap_others(&self) -> Result<(), Failure> {
        match self.first {
            Some(first) => reap(Some(first)),
            None => Ok(()),
        }
    }
}

fn reap(until: Option<i32>) -> Result<(), Failure> {
    let next = || libcorten::next_zombie().map_err(|error| Failure::os("look for ended processes", &error));
    while let Some(pid) = next()? {
        if Some(pid) == until {
            break;
        }
        // Any other error than ECHILD is nix's, which cannot represent an end by a real-time signal: it is reaped.
        if waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) == Err(Errno::ECHILD) {
            break;
        }
    }
    Ok(())
}
