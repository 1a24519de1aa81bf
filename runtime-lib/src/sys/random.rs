//! `getrandom(2)`.

use nix::errno::Errno;

/// Sixteen bytes that nobody guesses.
pub(crate) fn bytes() -> Result<[u8; 16], Errno> {
    let mut bytes = [0u8; 16];
    // SAFETY: the kernel writes at most the length given into the live local.
    let length = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    // Up to 256 bytes come in one piece, once the kernel's pool is ready.
    if Errno::result(length)?.unsigned_abs() == bytes.len() { Ok(bytes) } else { Err(Errno::EIO) }
}
