//! What `create` and `run` have in common: their options, the bundle, and telling the caller which process it became.

use super::Context;
use crate::args::{option, switch, text};
use crate::failure::Failure;
use crate::log::os_text;
use clap::{ArgMatches, Command};
use libcorten::{Bundle, Container, ContainerBuilder, Force, console};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

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
        let bundle = Bundle::open(text(&context.matches, "bundle").unwrap_or(OsStr::new(".")))?;
        for warning in &bundle.spec().warnings {
            context.log.warning(warning);
        }
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
        Ok(Announcement {
            pid_file: text(matches, "pid-file").map(PathBuf::from),
            pidfd_socket: text(matches, "pidfd-socket").map(|path| connect("pidfd", path)).transpose()?,
        })
    }

    /// The library's builder, with all the options.
    pub(super) fn builder(self) -> Result<ContainerBuilder, Failure> {
        let Context { globals, matches, .. } = self.context;
        let mut builder = Container::builder(self.context.id())?
            .state_root(&globals.root)
            .systemd_cgroup(globals.systemd_cgroup)
            .no_pivot(matches.get_flag("no-pivot"))
            .no_new_keyring(matches.get_flag("no-new-keyring"))
            .preserve_fds(preserved(matches)?)
            .loaded_bundle(self.bundle);
        if let Some(path) = self.console_socket {
            builder = builder.console_socket(connect("console", path)?.into());
        }
        Ok(builder)
    }
}

fn connect(name: &str, path: &OsStr) -> Result<UnixStream, Failure> {
    let shown = Path::new(path).display();
    let failed = |error| Failure::new(format!("connect to {name} socket {shown}: {}", os_text(&error)));
    UnixStream::connect(path).map_err(failed)
}

/// How many descriptors from 3 on the program gets: those of socket activation, see `sd_listen_fds(3)`, and
/// `--preserve-fds`. Each must be one that our caller gave us.
fn preserved(matches: &ArgMatches) -> Result<u32, Failure> {
    let asked = matches.get_one::<u32>("preserve-fds").copied().unwrap_or(0);
    let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse::<u32>().ok());
    let activated = match number("LISTEN_PID") {
        Some(pid) if pid == std::process::id() => number("LISTEN_FDS").unwrap_or(0),
        _ => 0,
    };
    let count = activated.checked_add(asked);
    let end = count.and_then(|count| count.checked_add(3)).filter(|end| i32::try_from(*end).is_ok());
    let (Some(count), Some(end)) = (count, end) else {
        return Err(Failure::new(format!("--preserve-fds {asked}: more than a process can have")));
    };
    match (3..end).find(|number| !is_inherited(*number)) {
        Some(missing) => Err(Failure::new(format!("--preserve-fds {asked}: file descriptor {missing} is not open"))),
        None => Ok(count),
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

/// What tells the caller about the container's first process.
pub(crate) struct Announcement {
    pid_file: Option<PathBuf>,
    pidfd_socket: Option<UnixStream>,
}

impl Announcement {
    /// Tells; when that fails, nobody knows of the container, so it is deleted again.
    pub(crate) fn make(self, container: Container) -> Result<Container, Failure> {
        match self.tell(&container) {
            Ok(()) => Ok(container),
            Err(failure) => Err(delete_after(container, failure)),
        }
    }

    fn tell(self, container: &Container) -> Result<(), Failure> {
        let gone = || Failure::new("the container ended before its pid was known");
        if let Some(path) = &self.pid_file {
            write_pid_file(path, container.pid().ok_or_else(gone)?)?;
        }
        if let Some(socket) = &self.pidfd_socket {
            // The name that runc gives to the message of a container's first process.
            console::send_fd(socket.as_fd(), "standard", container.pidfd().ok_or_else(gone)?)?;
        }
        Ok(())
    }
}

/// Deletes a container after a failure, which stays the one to report.
pub(crate) fn delete_after(container: Container, failure: Failure) -> Failure {
    match container.delete(Force::Yes) {
        Ok(()) => failure,
        Err(error) => Failure::new(format!("{}; delete the container: {error:#}", failure.message())),
    }
}

/// Writes the number alone, through a temporary file: who sees the file sees all of it.
fn write_pid_file(path: &Path, pid: i32) -> Result<(), Failure> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = File::create_new(&temporary)
        .and_then(|mut file| file.write_all(pid.to_string().as_bytes()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| {
        // It may not exist: then there is nothing to remove.
        let _ = std::fs::remove_file(&temporary);
        Failure::new(format!("write pid file {}: {}", path.display(), os_text(&error)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_is_replaced_and_nothing_else_is_left() {
        let dir = std::env::temp_dir().join(format!("corten-pid-test-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("pid");
        std::fs::write(&path, "a longer text").unwrap();
        write_pid_file(&path, 42).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "42");
        std::fs::create_dir(dir.join("directory")).unwrap();
        let failure = write_pid_file(&dir.join("directory"), 42).unwrap_err();
        let left = std::fs::read_dir(&dir).unwrap().count();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(failure.message(), format!("write pid file {}/directory: Is a directory", dir.display()));
        assert_eq!(left, 2);
    }

    #[test]
    fn inherited_means_open_and_not_cloexec() {
        let file = File::open("/dev/null").unwrap();
        assert!(!is_inherited(std::os::fd::AsRawFd::as_raw_fd(&file) as u32));
        assert!(!is_inherited(1_000_000));
        assert!(is_inherited(2));
    }
}
