//! The program: its working directory, its path, its environment.

use crate::fault::{During, Fault, Step};
use crate::console::push_number;
use crate::path::PathBuf;
use crate::sys::{self, AT_FDCWD, Errno, open};
use crate::wire::{Op, Program};
use core::ffi::CStr;

/// A null-terminated vector of strings, as `execve(2)` wants it.
pub struct Vector {
    words: &'static mut [u8],
    count: usize,
}

impl Vector {
    /// The strings, and one more behind them.
    pub fn new<'a>(strings: impl Iterator<Item = &'a CStr> + Clone, last: Option<&CStr>) -> sys::Result<Vector> {
        let count = strings.clone().count() + usize::from(last.is_some());
        let words = sys::memory((count + 1) * size_of::<usize>())?;
        let pointers = strings.map(CStr::as_ptr).chain(last.map(CStr::as_ptr));
        for (place, pointer) in words.chunks_exact_mut(size_of::<usize>()).zip(pointers) {
            place.copy_from_slice(&(pointer as usize).to_ne_bytes());
        }
        Ok(Vector { words, count })
    }

    /// The pointers, with the null at the end.
    pub fn as_slice(&self) -> &[usize] {
        // SAFETY: `words` is a fresh mapping, hence aligned for usize, of (count + 1) * size_of::<usize>() bytes.
        unsafe { core::slice::from_raw_parts(self.words.as_ptr().cast(), self.count + 1) }
    }
}

/// Creates `process.cwd` where it is missing, as runc does.
pub fn make_cwd(root: crate::path::Root, cwd: &CStr) -> Step {
    if sys::statx(AT_FDCWD, cwd, 0).is_ok() {
        return Ok(());
    }
    root.ensure(cwd, crate::path::Missing::Directory).map(drop)
}

/// Enters the working directory and makes sure that it is inside: through /proc/self/fd/N it could be a directory of the
/// host that was left open (CVE-2024-21626).
pub fn enter_cwd(cwd: &CStr) -> Step {
    sys::chdir(cwd).during(Op::Whole)?;
    let mut path = [0u8; 4096];
    // What is too long to tell fails as well: the mark of what is outside could be what is too much.
    sys::getcwd(&mut path).during(Op::Outside)?;
    if path.first() == Some(&b'/') { Ok(()) } else { Err(Fault::new(Op::Outside, Errno::ENOENT)) }
}

/// Finds what `args[0]` means and leaves its path in `found`: a name without a slash is searched in PATH.
pub fn look_up(program: &Program<'_>, found: &mut PathBuf) -> Step {
    let name = program.args.iter().next().ok_or(Fault::new(Op::NotInPath, Errno::ENOENT))?;
    if name.to_bytes().contains(&b'/') {
        found.push(name.to_bytes()).during(Op::Whole)?;
        return check_program(found.as_cstr()).during(Op::Whole);
    }
    let mut refused = None;
    for directory in program.search_path.to_bytes().split(|byte| *byte == b':') {
        found.clear();
        // An empty element is the current directory, see execvp(3).
        let directory = if directory.is_empty() { b"." } else { directory };
        let candidate = found.push(directory).and_then(|()| found.push(b"/")).and_then(|()| found.push(name.to_bytes()));
        match candidate.and_then(|()| check_program(found.as_cstr())) {
            Ok(()) => return Ok(()),
            Err(Errno::EACCES) => refused = Some(Fault::new(Op::NotInPath, Errno::EACCES)),
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or(Fault::new(Op::NotInPath, Errno::ENOENT)))
}

fn check_program(path: &CStr) -> sys::Result {
    const S_IFDIR: u32 = 0o040000;
    // A seccomp filter may be in effect that does not know statx: then execve tells a directory from a program.
    if sys::statx(AT_FDCWD, path, 0).is_ok_and(|stat| stat.kind() == S_IFDIR) {
        return Err(Errno::EISDIR);
    }
    sys::executable(path)
}

/// Writes `HOME=…` of the user into `home`, from the container's /etc/passwd; `/` if it is not there.
pub fn find_home(uid: u32, home: &mut PathBuf) -> Step {
    let mut number = PathBuf::new();
    push_number(&mut number, uid).during(Op::Whole)?;
    home.push(b"HOME=").during(Op::Whole)?;
    if search_passwd(number.as_bytes(), home).is_err() || home.as_bytes() == b"HOME=" {
        home.clear();
        home.push(b"HOME=/").during(Op::Whole)?;
    }
    Ok(())
}

/// A field of a line that is longer than this is cut, and the line ignored.
const LINE: usize = 1024;
/// What lies behind so much of the image's file is not read: it can be a sparse one of exabytes.
const PASSWD_LIMIT: usize = 4 << 20;

fn search_passwd(uid: &[u8], home: &mut PathBuf) -> sys::Result {
    const S_IFREG: u32 = 0o100000;
    // O_NONBLOCK and the check: the image may have a FIFO or a device there, or a link to /proc/kmsg, which reading empties.
    let file = sys::openat(AT_FDCWD, c"/etc/passwd", open::RDONLY | open::NONBLOCK | open::NOCTTY)?;
    if sys::stat(file.0)?.kind() != S_IFREG || sys::is_in_procfs(file.0)? {
        return Err(Errno::EINVAL);
    }
    let mut line = [0u8; LINE];
    let mut length = 0;
    let mut buffer = [0u8; 4096];
    for _ in 0..PASSWD_LIMIT / buffer.len() {
        let count = sys::read(file.0, &mut buffer)?;
        for byte in buffer.get(..count).unwrap_or_default() {
            if *byte != b'\n' {
                if let Some(place) = line.get_mut(length) {
                    *place = *byte;
                }
                length += 1;
                continue;
            }
            if line.get(..length).is_some_and(|line| is_of(line, uid, home)) {
                return Ok(());
            }
            length = 0;
        }
        if count == 0 {
            let found = line.get(..length).is_some_and(|line| is_of(line, uid, home));
            return if found { Ok(()) } else { Err(Errno::ENOENT) };
        }
    }
    Err(Errno::ENOENT)
}

/// Whether the line of passwd(5) is that of `uid`; its home directory is appended then.
fn is_of(line: &[u8], uid: &[u8], home: &mut PathBuf) -> bool {
    let mut fields = line.split(|byte| *byte == b':');
    fields.nth(2) == Some(uid) && fields.nth(2).is_some_and(|directory| home.push(directory).is_ok())
}

/// Makes the stdio of the program and the descriptors passed on to it; everything else is closed by the exec.
pub fn place_descriptors(program: &Program<'_>, link: &mut crate::link::Link) -> Step {
    for (stdio, index) in [program.stdin, program.stdout, program.stderr].into_iter().enumerate() {
        if let Some(index) = index {
            sys::dup_to(link.fd(index)?, stdio as i32).during(Op::Whole)?;
        }
    }
    let first_free = 3 + program.preserved.len() as i32;
    sys::cloexec_range(3, u32::MAX).during(Op::Whole)?;
    if program.preserved.is_empty() {
        return Ok(());
    }
    // First all out of the way of the numbers to fill, then each into its place.
    link.move_above(first_free)?;
    for (target, index) in (3..).zip(program.preserved.iter()) {
        sys::dup_to(link.fd(index)?, target).during(Op::Whole)?;
    }
    Ok(())
}

/// Replaces this process by the program: only returns when that failed.
pub fn execute(program: &Program<'_>, path: &CStr, home: Option<&CStr>) -> Step {
    let args = Vector::new(program.args.iter(), None).during(Op::Whole)?;
    let env = Vector::new(program.env.iter(), home).during(Op::Whole)?;
    Err(sys::execve(path, args.as_slice(), env.as_slice())).during(Op::Whole)
}

