//! What is in a pipe, see `pipe(7)`: nix has no safe function for it.

use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `FIONREAD`: whether there are bytes in it that nobody has read. Either end may ask.
pub(crate) fn has_unread(pipe: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int through the pointer, which is to a live local of that type.
    Errno::result(unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut count) })?;
    Ok(count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn what_was_written_is_unread_until_it_is_read() {
        let (read, write) = nix::unistd::pipe().unwrap();
        assert!(!has_unread(write.as_fd()).unwrap());
        nix::unistd::write(&write, b"s").unwrap();
        assert!(has_unread(write.as_fd()).unwrap());
        nix::unistd::read(&read, &mut [0]).unwrap();
        assert!(!has_unread(write.as_fd()).unwrap());
        nix::unistd::write(&write, b"s").unwrap();
        drop(read);
        assert!(has_unread(write.as_fd()).unwrap());
    }
}
