//! With whom a container talks: the receiver of its terminal, its seccomp agent, its service manager. Each is a thread; each takes
//! what comes and asks nothing.

use crate::bundle::Kind;
use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Where they are, and where that is written which comes over a terminal.
pub(crate) struct Partners {
    directory: PathBuf,
    /// Which try it is: what comes late from the terminal of the one before is not of this one.
    round: Arc<AtomicUsize>,
}

impl Partners {
    /// Those that a container of the kind needs, in `directory`; `state` is the container's state directory.
    pub(crate) fn start(directory: &Path, kind: Kind, state: &Path) -> Partners {
        let partners = Partners { directory: directory.to_owned(), round: Arc::default() };
        match kind {
            Kind::Terminal => {
                let listener = UnixListener::bind(partners.console()).expect("a console socket");
                let (directory, round) = (directory.to_owned(), Arc::clone(&partners.round));
                std::thread::spawn(move || {
                    for stream in listener.incoming().flatten() {
                        let output = output(&directory, round.load(Ordering::SeqCst));
                        std::thread::spawn(move || {
                            received(&stream).into_iter().for_each(|terminal| copy(terminal.into(), &output));
                        });
                    }
                });
            }
            Kind::Agent => {
                let listener = UnixListener::bind(partners.agent()).expect("the agent's socket");
                std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(received(&stream))));
            }
            Kind::Notify => {
                let manager = UnixDatagram::bind(partners.manager()).expect("the manager's socket");
                // A descriptor that comes with a message is closed by its being read without room for it: the barrier of sd_notify(3).
                std::thread::spawn(move || while manager.recv(&mut [0; 4096]).is_ok() {});
                let socket = state.join("notify/notify.sock");
                std::thread::spawn(move || say_ready(&socket));
            }
            _ => {}
        }
        partners
    }

    /// The path for `--console-socket`.
    pub(crate) fn console(&self) -> PathBuf {
        self.directory.join("console")
    }

    /// The path for `listenerPath`.
    pub(crate) fn agent(&self) -> PathBuf {
        self.directory.join("agent")
    }

    /// The path for `NOTIFY_SOCKET`.
    pub(crate) fn manager(&self) -> PathBuf {
        self.directory.join("manager")
    }

    /// What has come over the terminal in this round.
    pub(crate) fn output(&self) -> PathBuf {
        output(&self.directory, self.round.load(Ordering::SeqCst))
    }

    /// Begins another round.
    pub(crate) fn forget(&self) {
        let _ = std::fs::remove_file(self.output());
        self.round.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes what comes from a terminal that the command has.
    pub(crate) fn follow(&self, terminal: OwnedFd) {
        let output = self.output();
        std::thread::spawn(move || copy(terminal.into(), &output));
    }
}

fn output(directory: &Path, round: usize) -> PathBuf {
    directory.join(format!("terminal.{round}"))
}

/// Until the other end is closed.
fn copy(mut terminal: File, output: &Path) {
    let Ok(mut output) = File::options().create(true).append(true).open(output) else { return };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = terminal.read(&mut buffer) {
        if output.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// The descriptors that come with the first message, if one comes.
fn received(stream: &UnixStream) -> Vec<OwnedFd> {
    let mut bytes = [0; 65536];
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let mut space = cmsg_space!([i32; 4]);
    let message = recvmsg::<UnixAddr>(stream.as_raw_fd(), &mut buffers, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC);
    let messages = message.into_iter().flat_map(|message| message.cmsgs().into_iter().flatten().collect::<Vec<_>>());
    let numbers = messages.flat_map(|message| match message {
        ControlMessageOwned::ScmRights(numbers) => numbers,
        _ => Vec::new(),
    });
    // SAFETY: the kernel has just made these descriptors for this process, and nothing else knows of them.
    numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect()
}

/// For the program of the container, again and again: it cannot know when somebody begins to listen.
fn say_ready(path: &Path) {
    loop {
        if let Ok(socket) = UnixDatagram::unbound() {
            let _ = socket.set_nonblocking(true);
            let _ = socket.send_to(b"READY=1", path);
        }
        std::thread::sleep(Duration::from_millis(4));
    }
}
