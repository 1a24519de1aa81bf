//! The window size of terminals, see `ioctl_tty(2)`: nix has no safe function for it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Rows and columns of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// `TIOCGWINSZ`.
///
/// # Errors
/// `ENOTTY` when `terminal` is none.
pub fn window_size(terminal: BorrowedFd<'_>) -> io::Result<WindowSize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize through the pointer, which is to a live local of that type.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    nix::errno::Errno::result(result)?;
    Ok(WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// `TIOCSWINSZ`; the programs on the terminal get a `SIGWINCH` when the size changes.
///
/// # Errors
/// `ENOTTY` when `terminal` is none.
pub fn set_window_size(terminal: BorrowedFd<'_>, size: WindowSize) -> io::Result<()> {
    let size = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize through the pointer, which is to a live local of that type.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    nix::errno::Errno::result(result)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_size_set_on_the_master_is_that_of_the_slave() {
        let pair = nix::pty::openpty(None, None).unwrap();
        let size = WindowSize { rows: 33, columns: 101 };
        set_window_size(pair.master.as_fd(), size).unwrap();
        assert_eq!(window_size(pair.slave.as_fd()).unwrap(), size);
    }

    #[test]
    fn what_is_no_terminal_is_an_error() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert_eq!(window_size(file.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }
}
