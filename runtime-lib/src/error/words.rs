//! What an errno is called.
//!
//! Users look a message up, and engines match on it: it has to be what the C library, and with it every other program, says. nix has
//! the words of another one (`Try again` for EAGAIN, `Not a typewriter` for ENOTTY); asking the C library itself would depend on
//! the locale of the program that embeds this one.

use nix::errno::Errno;

/// The words of an errno, as `strerror(3)` puts them without a locale.
pub fn errno_in_words(errno: i32) -> &'static str {
    match Errno::from_raw(errno) {
        Errno::EAGAIN => "Resource temporarily unavailable",
        Errno::EBADF => "Bad file descriptor",
        Errno::EBADMSG => "Bad message",
        Errno::EDEADLK => "Resource deadlock avoided",
        Errno::EDOM => "Numerical argument out of domain",
        Errno::EDQUOT => "Disk quota exceeded",
        Errno::EILSEQ => "Invalid or incomplete multibyte or wide character",
        Errno::EIO => "Input/output error",
        Errno::ELOOP => "Too many levels of symbolic links",
        Errno::EMULTIHOP => "Multihop attempted",
        Errno::ENETRESET => "Network dropped connection on reset",
        Errno::ENFILE => "Too many open files in system",
        Errno::ENODATA => "No data available",
        Errno::ENOLCK => "No locks available",
        Errno::ENOLINK => "Link has been severed",
        Errno::ENOMEM => "Cannot allocate memory",
        Errno::ENOSR => "Out of streams resources",
        Errno::ENOSTR => "Device not a stream",
        Errno::ENOTTY => "Inappropriate ioctl for device",
        Errno::EOPNOTSUPP => "Operation not supported",
        Errno::EOVERFLOW => "Value too large for defined data type",
        Errno::EOWNERDEAD => "Owner died",
        Errno::ERANGE => "Numerical result out of range",
        Errno::EREMOTE => "Object is remote",
        Errno::ESTALE => "Stale file handle",
        Errno::ETIME => "Timer expired",
        Errno::EXDEV => "Invalid cross-device link",
        other => other.desc(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// musl has other words for some.
    #[cfg(target_env = "gnu")]
    #[test]
    fn they_are_those_of_the_c_library() {
        let mut different = Vec::new();
        for errno in 1..=133 {
            let theirs = std::io::Error::from_raw_os_error(errno).to_string();
            let theirs = theirs.trim_end_matches(&format!(" (os error {errno})"));
            let ours = errno_in_words(errno);
            if !theirs.eq_ignore_ascii_case(ours) && !theirs.starts_with("Unknown error") {
                different.push((errno, theirs.to_owned(), ours));
            }
        }
        assert!(different.is_empty(), "{different:#?}");
    }
}
