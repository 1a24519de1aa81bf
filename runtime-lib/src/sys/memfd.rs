//! Sealed anonymous files.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};

const MFD_EXEC: u32 = 0x10;

/// An executable file with `content` that nobody, not even root, can change any more.
pub(crate) fn sealed_program(name: &std::ffi::CStr, content: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // Kernels before 6.3 do not know MFD_EXEC; newer ones may be told (vm.memfd_noexec) to refuse execution without it.
    let fd = match memfd_create(name, flags | MFD_EXEC) {
        Err(Errno::EINVAL) => memfd_create(name, flags)?,
        fd => fd?,
    };
    let mut file = File::from(fd);
    file.write_all(content).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    let seals = SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

/// An anonymous file to write to and read back.
pub(crate) fn scratch(name: &std::ffi::CStr) -> Result<File, Errno> {
    memfd_create(name, libc::MFD_CLOEXEC).map(File::from)
}

fn memfd_create(name: &std::ffi::CStr, flags: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: the name is terminated; the call has no other memory effects.
    let fd = Errno::result(unsafe { libc::memfd_create(name.as_ptr(), flags) })?;
    // SAFETY: the kernel just made this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
