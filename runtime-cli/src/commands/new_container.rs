//! What `create` and `run` have in common: their options, the bundle, and telling the caller which process it became.

use super::Context;
use crate::announcement::{Announcement, check_pid_file};
use crate::args::{option, switch, text};
use crate::failure::Failure;
use crate::notify;
use clap::{ArgMatches, Command};
use libcorten::spec::Namespace;
use libcorten::{Bundle, ContainerBuilder};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, socket};
use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The options of both verbs.
pub(super) fn options(command: Command) -> Command {
    command
        .arg(option("bundle", "DIR", "the bundle [default: the current directory]").short('b'))
        .arg(option("console-socket", "SOCKET", "AF_UNIX socket to send the terminal's master to"))
        .arg(option("pid-file", "FILE", "write the pid of the container's first process to FILE"))
        .arg(option("pidfd-socket", "SOCKET", "AF_UNIX socket to send a pidfd of that process to"))
        .arg(switch("no-pivot", "do not use pivot_root, for a rootfs on a ramdisk (less safe)"))
        .arg(switch("no-new-keyring", "keep the caller's session keyring"))
        .arg(
            option("preserve-fds", "N", "pass N descriptors more than stdio and $LISTEN_FDS [default: 0]")
                .value_parser(clap::value_parser!(u32)),
        )
}

/// A container that is to be made.
pub(super) struct NewContainer<'a> {
    context: &'a Context<'a>,
    bundle: Bundle,
    console_socket: Option<&'a OsStr>,
}

impl<'a> NewContainer<'a> {
    /// Loads the bundle that the options name, and logs what it warns of.
    pub(super) fn read(context: &'a Context<'a>) -> Result<NewContainer<'a>, Failure> {
        let bundle = context.bundle(text(&context.matches, "bundle").unwrap_or(OsStr::new(".")))?;
        Ok(NewContainer { context, bundle, console_socket: text(&context.matches, "console-socket") })
    }

    /// Whether the program is to have a terminal.
    pub(super) fn has_terminal(&self) -> bool {
        self.bundle.spec().process.terminal
    }

    /// A terminal needs somebody to keep its master: this process, or whoever listens at the console socket once this
    /// process has gone.
    pub(super) fn check_console(&self, detach: bool) -> Result<(), Failure> {
        match (detach && self.has_terminal(), self.console_socket) {
            (true, None) => {
                Err(Failure::new("cannot allocate tty if corten will detach without setting console socket"))
            }
            (false, Some(_)) => {
                Err(Failure::new("cannot use console socket if corten will not detach or allocate tty"))
            }
            _ => Ok(()),
        }
    }

    /// Whom to tell about the container's first process; sockets are connected now, while there is nothing to undo.
    pub(super) fn announcement(&self) -> Result<Announcement, Failure> {
        let matches = &self.context.matches;
        let pid_file = text(matches, "pid-file").map(PathBuf::from);
        pid_file.as_deref().map_or(Ok(()), check_pid_file)?;
        Ok(Announcement {
            pid_file,
            pidfd_socket: text(matches, "pidfd-socket").map(|path| connect("pidfd", path)).transpose()?,
        })
    }

    /// The library's builder, with all the options.
    pub(super) fn builder(self) -> Result<ContainerBuilder, Failure> {
        let Context { matches, .. } = self.context;
        // Its mount is the container's own or none.
        let notify = notify::is_wanted() && self.bundle.spec().namespaces.mount != Namespace::Host;
        let mut builder = self
            .context
            .builder(self.context.id())?
            .no_pivot(matches.get_flag("no-pivot"))
            .no_new_keyring(matches.get_flag("no-new-keyring"))
            .loaded_bundle(self.bundle);
        let (activated, asked) = preserved(matches)?;
        builder = builder.listen_fds(activated).preserve_fds(asked).notify_socket(notify);
        if let Some(path) = self.console_socket {
            builder = builder.console_socket(connect("console", path)?);
        }
        Ok(builder)
    }
}

/// How long a listener may take to accept connections that came before ours.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(10);

/// Connects to a listening socket. A listener that accepts nobody must not hang us: `connect(2)` waits while its queue is
/// full, so it is asked without blocking, again and again for a bounded time.
pub(super) fn connect(name: &str, path: &OsStr) -> Result<UnixStream, Failure> {
    let shown = Path::new(path).display();
    let failed = |errno: Errno| Failure::os(format_args!("connect to {name} socket {shown}"), &errno.into());
    let address = UnixAddr::new(Path::new(path)).map_err(failed)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(failed)?;
    let deadline = Instant::now() + BACKLOG_PATIENCE;
    loop {
        match nix::sys::socket::connect(socket.as_raw_fd(), &address) {
            Ok(()) => break,
            Err(Errno::EAGAIN) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            Err(Errno::EAGAIN) => {
                return Err(Failure::new(format!("connect to {name} socket {shown}: its listener accepts nobody")));
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false).map_err(|error| Failure::os(format_args!("set up {name} socket {shown}"), &error))?;
    Ok(stream)
}

/// How many descriptors from 3 on the program gets: those of socket activation, see `sd_listen_fds(3)`, and after them
/// those of `--preserve-fds`. Each must be one that our caller gave us.
pub(super) fn preserved(matches: &ArgMatches) -> Result<(u32, u32), Failure> {
    let asked = matches.get_one::<u32>("preserve-fds").copied().unwrap_or(0);
    let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse::<u32>().ok());
    let activated = match number("LISTEN_PID") {
        Some(pid) if pid == std::process::id() => number("LISTEN_FDS").unwrap_or(0),
        _ => 0,
    };
    let count = activated.checked_add(asked);
    let end = count.and_then(|count| count.checked_add(3)).filter(|end| i32::try_from(*end).is_ok());
    let Some(end) = end else {
        return Err(Failure::new(format!("--preserve-fds {asked}: more than a process can have")));
    };
    match (3..end).find(|number| !is_inherited(*number)) {
        Some(missing) => Err(Failure::new(format!("--preserve-fds {asked}: file descriptor {missing} is not open"))),
        None => Ok((activated, asked)),
    }
}

/// Whether a descriptor was open when this program began: those that it has opened itself since are close-on-exec.
fn is_inherited(number: u32) -> bool {
    let Ok(info) = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")) else {
        return false;
    };
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & libc::O_CLOEXEC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn inherited_means_open_and_not_cloexec() {
        let file = File::open("/dev/null").unwrap();
        assert!(!is_inherited(std::os::fd::AsRawFd::as_raw_fd(&file) as u32));
        assert!(!is_inherited(1_000_000));
        assert!(is_inherited(2));
    }
}
