//! Paths inside the rootfs.
//!
//! The image's owner chooses what is a symbolic link, and a process that shares a volume may swap directories while we
//! walk (CVE-2019-16884, CVE-2021-30465, CVE-2025-31133 and their kin). So every walk is one `openat2(2)` with
//! `RESOLVE_IN_ROOT` from a descriptor of the root, and what is found is used as a descriptor, never again by name.

use crate::fault::{During, Fault, Step};
use crate::sys::{self, Errno, Fd, RawFd, open, resolve};
use crate::wire::Op;
use core::ffi::CStr;

const PATH_MAX: usize = 4096;
const IN_ROOT: u64 = resolve::IN_ROOT | resolve::NO_MAGICLINKS;

/// A path that is put together piece by piece, always with a NUL behind it.
pub struct PathBuf {
    bytes: [u8; PATH_MAX],
    length: usize,
}

impl PathBuf {
    /// An empty one.
    pub fn new() -> PathBuf {
        PathBuf { bytes: [0; PATH_MAX], length: 0 }
    }

    /// Appends `piece`.
    pub fn push(&mut self, piece: &[u8]) -> sys::Result {
        let end = self.length.checked_add(piece.len()).filter(|end| *end < PATH_MAX).ok_or(Errno::ENAMETOOLONG)?;
        self.bytes.get_mut(self.length..end).ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(piece);
        self.length = end;
        if let Some(nul) = self.bytes.get_mut(end) {
            *nul = 0;
        }
        Ok(())
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.length = 0;
        if let Some(nul) = self.bytes.first_mut() {
            *nul = 0;
        }
    }

    /// What it holds.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// What it holds, up to the first NUL.
    pub fn as_cstr(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

/// The root of the container's file system, before and after it is `/`.
#[derive(Clone, Copy)]
pub struct Root(pub RawFd);

/// What a missing target becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A directory, and all directories above it.
    Directory,
    /// An empty file, in directories that are created as well.
    File,
}

impl Root {
    /// Opens what is at `path` with `O_PATH`.
    pub fn open(self, path: &CStr) -> sys::Result<Fd> {
        sys::openat2(self.0, path, open::PATH, 0, IN_ROOT)
    }

    /// Opens what is at `path` with `O_PATH`, refusing every symbolic link on the way.
    pub fn open_no_symlinks(self, path: &CStr) -> sys::Result<Fd> {
        sys::openat2(self.0, path, open::PATH, 0, IN_ROOT | resolve::NO_SYMLINKS)
    }

    /// Opens the directory that holds the last component of `path`, creating it where it is missing, and gives the
    /// component's name.
    pub fn open_parent(self, path: &CStr) -> Step<(Fd, &CStr)> {
        let bytes = path.to_bytes();
        let cut = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (parent, _) = bytes.split_at(cut);
        let name = path.to_bytes_with_nul().get(cut..).and_then(|name| CStr::from_bytes_with_nul(name).ok());
        let name = name.filter(|name| !name.is_empty()).ok_or(Fault::new(Op::OpenTarget, Errno::EINVAL))?;
        let mut buffer = PathBuf::new();
        buffer.push(b"/").and_then(|()| buffer.push(parent)).during(Op::OpenTarget)?;
        Ok((self.ensure(buffer.as_cstr(), Missing::Directory)?, name))
    }

    /// Opens what is at `path`, creating it where it is missing.
    pub fn ensure(self, path: &CStr, missing: Missing) -> Step<Fd> {
        match self.open(path) {
            Err(Errno::ENOENT) => self.create_missing(path, missing),
            result => result.during(Op::OpenTarget),
        }
    }

    /// Opens the file at `path`, creating it where it is missing, with no symbolic link on the way.
    pub fn ensure_file(self, path: &CStr) -> Step<Fd> {
        let link = Fault::new(Op::CheckTarget, Errno::ELOOP);
        match self.open_no_symlinks(path) {
            Err(Errno::ELOOP) => Err(link),
            Err(Errno::ENOENT) => {
                let (parent, name) = self.open_parent(path)?;
                match make(&parent, name, Missing::File) {
                    Err(Errno::EEXIST) => Err(link),
                    made => made.during(Op::CreateTarget),
                }
            }
            found => found.during(Op::OpenTarget),
        }
    }

    /// Creates `path`, which was just found missing: mostly only its last component is.
    pub fn create_missing(self, path: &CStr, missing: Missing) -> Step<Fd> {
        let bytes = path.to_bytes();
        let cut = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let name = path.to_bytes_with_nul().get(cut..).and_then(|name| CStr::from_bytes_with_nul(name).ok());
        let mut above = PathBuf::new();
        above.push(b"/").and_then(|()| above.push(bytes.get(..cut).unwrap_or_default())).during(Op::CreateTarget)?;
        match (self.open(above.as_cstr()), name) {
            (Ok(dir), Some(name)) if !matches!(name.to_bytes(), b"" | b"." | b"..") => match make(&dir, name, missing) {
                // A dangling link, or somebody else made it just now.
                Err(Errno::EEXIST) => self.create(path, missing),
                made => made.during(Op::CreateTarget),
            },
            _ => self.create(path, missing),
        }
    }

    /// Creates `path`. A dangling symbolic link on the way is followed, inside the root, as if its target existed:
    /// images have `/var/run -> /run` with no `/run`.
    fn create(self, path: &CStr, missing: Missing) -> Step<Fd> {
        let mut wanted = PathBuf::new();
        wanted.push(path.to_bytes()).during(Op::CreateTarget)?;
        for _ in 0..40 {
            let mut rest = PathBuf::new();
            match self.create_until_link(wanted.as_bytes(), missing, &mut rest).during(Op::CreateTarget)? {
                Some(file) => return Ok(file),
                None => {
                    wanted.clear();
                    wanted.push(rest.as_bytes()).during(Op::CreateTarget)?;
                }
            }
        }
        Err(Fault::new(Op::CreateTarget, Errno::ELOOP))
    }

    /// Creates the components of `path` one after another. At a dangling link it stops, with the path that the link
    /// leads to in `redirect`.
    fn create_until_link(self, path: &[u8], missing: Missing, redirect: &mut PathBuf) -> sys::Result<Option<Fd>> {
        let mut here = PathBuf::new();
        let mut dir = self.open(c"/")?;
        let mut rest = path;
        while let Some((component, after)) = next_component(rest) {
            let above = here.length;
            here.push(b"/").and_then(|()| here.push(component))?;
            let name = here.bytes.get(above + 1..).and_then(|name| CStr::from_bytes_until_nul(name).ok());
            let name = name.unwrap_or(c"");
            let kind = if next_component(after).is_none() { missing } else { Missing::Directory };
            dir = match self.open(here.as_cstr()) {
                Err(Errno::ENOENT) => match make(&dir, name, kind) {
                    Err(Errno::EEXIST) => {
                        let above = here.bytes.get(..above).unwrap_or_default();
                        if redirect_to(&dir, name, above, after, redirect)? {
                            return Ok(None);
                        }
                        // Not a link: somebody else made it just now.
                        self.open(here.as_cstr())?
                    }
                    made => made?,
                },
                found => found?,
            };
            rest = after;
        }
        Ok(Some(dir))
    }
}

/// The first component of `path` that is neither empty nor `.`, and what follows it.
fn next_component(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = path;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let (component, after) = rest.split_at_checked(end)?;
        rest = after.strip_prefix(b"/").unwrap_or(after);
        if !component.is_empty() && component != b"." {
            return Some((component, rest));
        }
    }
    None
}

/// Creates and opens `name` in `dir`; whatever is there already is `EEXIST`.
fn make(dir: &Fd, name: &CStr, kind: Missing) -> sys::Result<Fd> {
    match kind {
        Missing::Directory => {
            sys::mkdirat(dir.0, name, 0o755)?;
            sys::openat(dir.0, name, open::PATH | open::NOFOLLOW | open::DIRECTORY)
        }
        Missing::File => {
            sys::mknodat(dir.0, name, 0o100644, 0)?;
            sys::openat(dir.0, name, open::PATH | open::NOFOLLOW)
        }
    }
}

/// If `name` in `dir` is a symbolic link, puts where it leads, with `rest` behind, into `redirect`.
fn redirect_to(dir: &Fd, name: &CStr, above: &[u8], rest: &[u8], redirect: &mut PathBuf) -> sys::Result<bool> {
    let mut target = [0u8; PATH_MAX];
    let length = match sys::readlinkat(dir.0, name, &mut target) {
        Err(Errno::EINVAL) => return Ok(false),
        length => length?,
    };
    let target = target.get(..length).unwrap_or_default();
    if target.first() != Some(&b'/') {
        redirect.push(above)?;
        redirect.push(b"/")?;
    }
    redirect.push(target)?;
    redirect.push(b"/")?;
    redirect.push(rest)?;
    Ok(true)
}
