//! Extended attributes of what is named by a path of ours, such as a cgroup.

use nix::errno::Errno;
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `setxattr(2)`, making or replacing it.
pub(crate) fn set(path: &Path, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: both strings end with a NUL, and the value is read for exactly its length; all outlive the call.
    let done = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(done).map(drop)
}

/// `getxattr(2)`: whether it is there with this value. A longer one is another one.
pub(crate) fn is(path: &Path, name: &CStr, value: &[u8]) -> Result<bool, Errno> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let mut found = [0u8; 64];
    // SAFETY: both strings end with a NUL, and the kernel writes at most the length given into the live local.
    let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), found.as_mut_ptr().cast(), found.len()) };
    match Errno::result(length) {
        Ok(length) => Ok(found.get(..length.unsigned_abs()) == Some(value)),
        Err(Errno::ENODATA | Errno::ERANGE) => Ok(false),
        Err(e) => Err(e),
    }
}
