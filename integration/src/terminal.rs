//! Terminals: the receiving end of `--console-socket`, and a pseudoterminal for a runtime in the foreground.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The master end of a pseudoterminal.
pub struct Terminal {
    master: std::fs::File,
    seen: String,
}

impl Terminal {
    /// A new pseudoterminal.
    ///
    /// # Panics
    /// When the machine has none.
    pub fn new() -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        Terminal { master: master.into(), seen: String::new() }
    }

    /// The device of the other end.
    pub fn device(&self) -> PathBuf {
        ptsname(&self.master, Vec::new()).unwrap().into_string().unwrap().into()
    }

    /// Sets the window size; the processes at the other end get SIGWINCH.
    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    /// The window size: rows, columns.
    pub fn size(&self) -> (u16, u16) {
        let size = tcgetwinsize(&self.master).unwrap();
        (size.ws_row, size.ws_col)
    }

    /// Types.
    pub fn write(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `text` has come, and returns all that has come so far.
    ///
    /// # Panics
    /// When nothing more comes for half a minute.
    pub fn read_until(&mut self, text: &str) -> &str {
        let mut deadline = Instant::now() + crate::patience();
        // Only the end of it can be new.
        let mut searched = 0;
        while !self.seen.get(searched..).unwrap_or(&self.seen).contains(text) {
            searched = self.seen.len().saturating_sub(text.len());
            assert!(Instant::now() < deadline, "{text:?} did not come, only {:?}", self.seen);
            let timeout = rustix::time::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            if poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&timeout)).unwrap() == 0 {
                continue;
            }
            let mut buffer = [0; 4096];
            match self.master.read(&mut buffer) {
                Ok(count) => {
                    self.seen += &String::from_utf8_lossy(&buffer[..count]);
                    deadline = Instant::now() + crate::patience();
                }
                // The other end is closed: by the container's end, or not open yet.
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        &self.seen
    }
}

impl Terminal {
    /// Reads until nobody has the other end open, and returns all that has come.
    ///
    /// # Panics
    /// When it is still open after half a minute in which nothing came.
    pub fn read_to_end(&mut self) -> String {
        let timeout = rustix::time::Timespec { tv_sec: crate::patience().as_secs() as i64, tv_nsec: 0 };
        let mut bytes = Vec::new();
        let mut buffer = [0; 65536];
        loop {
            let ready = poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&timeout)).unwrap();
            assert_ne!(ready, 0, "the terminal is still open, and only this came: {}", String::from_utf8_lossy(&bytes));
            match self.master.read(&mut buffer) {
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                // EIO: the other end is closed, and everything has been read.
                Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
            }
        }
    }
}

impl Default for Terminal {
    fn default() -> Terminal {
        Terminal::new()
    }
}

/// A socket on which the runtime hands over the master end of a container's terminal.
pub struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    /// A socket bound at `path`.
    pub fn new(path: PathBuf) -> ConsoleSocket {
        ConsoleSocket { listener: UnixListener::bind(&path).unwrap(), path }
    }

    /// The path for `--console-socket`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the terminal that has been handed over; call it when the command has ended.
    ///
    /// # Panics
    /// When there is none.
    pub fn receive(&self) -> Terminal {
        Terminal { master: self.receive_descriptor().into(), seen: String::new() }
    }

    /// Takes a pidfd that has been handed over, and gives the pid that it is of.
    ///
    /// # Panics
    /// When there is none.
    pub fn receive_pidfd(&self) -> i32 {
        use std::os::fd::AsRawFd;
        let descriptor = self.receive_descriptor();
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd())).unwrap();
        info.lines().find_map(|line| line.strip_prefix("Pid:")).expect("a pidfd").trim().parse().unwrap()
    }

    fn receive_descriptor(&self) -> OwnedFd {
        self.listener.set_nonblocking(true).unwrap();
        let (stream, _) = self.listener.accept().expect("the runtime has connected");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut data = [0; 4096];
        recvmsg(&stream, &mut [IoSliceMut::new(&mut data)], &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
        let descriptors: Vec<OwnedFd> = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        assert_eq!(descriptors.len(), 1, "one descriptor comes over the console socket");
        descriptors.into_iter().next().unwrap()
    }
}
