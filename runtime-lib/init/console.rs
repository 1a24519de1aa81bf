//! `process.terminal`: a pseudo-terminal of the container's own devpts.
//!
//! Everything that is opened here lies in a file system that the image or a volume may have a hand in
//! (CVE-2025-52565: links in place of /dev/pts/N and /dev/console), so links are refused, the multiplexer must be that of
//! a devpts, and the slave is opened through the master (`TIOCGPTPEER`), not by name.

use crate::fault::{During, Fault, Step};
use crate::link::Link;
use crate::mounts;
use crate::path::{PathBuf, Root};
use crate::sys::{self, Errno, RawFd, open, resolve};
use crate::wire::{self, Op};

const TIOCSPTLCK: usize = 0x4004_5431;
const TIOCGPTN: usize = 0x8004_5430;
const TIOCGPTPEER: usize = 0x5441;
const TIOCSWINSZ: usize = 0x5414;
const TIOCSCTTY: usize = 0x540e;
const TCGETS: usize = 0x5401;
const TCSETS: usize = 0x5402;
/// Output maps a newline to carriage return and newline.
const ONLCR: u32 = 0o4;
const S_IFCHR: u32 = 0o020000;

/// The kernel's `struct termios`, 36 bytes on both architectures.
#[repr(C)]
struct Termios {
    input: u32,
    output: u32,
    rest: [u32; 7],
}

/// Makes the terminal of the container's first process, which is its /dev/console as well.
pub fn set_up(root: Root, console: &wire::Console, uid: u32, link: &Link) -> Step {
    make(root, console, uid, link, true)
}

/// Makes one more terminal in a container.
pub fn add(root: Root, console: &wire::Console, uid: u32, link: &Link) -> Step {
    make(root, console, uid, link, false)
}

/// Makes the terminal, sends its master away, and makes it the stdio and the controlling terminal of this process.
fn make(root: Root, console: &wire::Console, uid: u32, link: &Link, first: bool) -> Step {
    let how = resolve::IN_ROOT | resolve::NO_SYMLINKS;
    let master = sys::openat2(root.0, c"/dev/pts/ptmx", open::RDWR | open::NOCTTY, 0, how).during(Op::OpenTarget)?;
    let stat = sys::stat(master.0).during(Op::OpenTarget)?;
    if stat.kind() != S_IFCHR || (stat.rdev_major, stat.rdev_minor) != (5, 2) {
        return Err(Fault::new(Op::CheckTarget, Errno::ENODEV));
    }
    let mut number = 0u32;
    sys::ioctl_with(master.0, TIOCSPTLCK, &mut 0u32).during(Op::OpenTarget)?;
    sys::ioctl_with(master.0, TIOCGPTN, &mut number).during(Op::OpenTarget)?;
    // What is given here stays with the file, close-on-exec as well, and the program sees it (F_GETFL): what open(2) would leave.
    // The descriptor is closed at the end of this function.
    let flags = (open::RDWR | open::NOCTTY | open::LARGEFILE) as usize;
    let slave = sys::Fd(sys::ioctl(master.0, TIOCGPTPEER, flags).during(Op::OpenTarget)? as RawFd);
    if console.width != 0 && console.height != 0 {
        let mut size = [console.height, console.width, 0, 0];
        sys::ioctl_with(slave.0, TIOCSWINSZ, &mut size).during(Op::Whole)?;
    }
    if console.plain_newlines {
        let mut settings = Termios { input: 0, output: 0, rest: [0; 7] };
        sys::ioctl_with(slave.0, TCGETS, &mut settings).during(Op::Whole)?;
        settings.output &= !ONLCR;
        sys::ioctl_with(slave.0, TCSETS, &mut settings).during(Op::Whole)?;
    }
    sys::fchown(slave.0, uid, u32::MAX).during(Op::Chown)?;
    if first {
        mounts::bind_file(root, slave.0, c"/dev/console")?;
    }
    let mut name = PathBuf::new();
    name.push(b"/dev/pts/").and_then(|()| push_number(&mut name, number)).during(Op::Send)?;
    sys::send_fd(link.fd(console.socket)?, name.as_bytes(), master.0).during(Op::Send)?;
    sys::ioctl(slave.0, TIOCSCTTY, 0).during(Op::Whole)?;
    for stdio in 0..3 {
        sys::dup_to(slave.0, stdio).during(Op::Whole)?;
    }
    Ok(())
}

/// Appends a number in decimal.
pub fn push_number(path: &mut PathBuf, number: u32) -> sys::Result {
    if number >= 10 {
        push_number(path, number / 10)?;
    }
    path.push(&[b'0' + (number % 10) as u8])
}
