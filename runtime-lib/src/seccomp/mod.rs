//! `linux.seccomp` compiled to a filter for `seccomp(2)`.
//!
//! libseccomp needs milliseconds for the profile that engines use by default, more than everything else that starting a
//! container takes, and it brings a C library. This compiler is a few pure functions: the profile is checked by runc's
//! rules (`profile`), lowered for each architecture to a decision per number (`policy`), turned into one decision graph
//! (`lower`, `graph`), optimised (`graph`, `thread`, `emit`) and written as classic BPF. It is meant to mean what libseccomp
//! 2.5 as driven by runc means, and is tested against it; where they differ on purpose:
//!
//! - Where two rules with conditions and different actions match the same call, the first in the profile decides. In
//!   libseccomp it depends on the shape of its tree.
//! - `ENOSYS` for calls newer than the profile is part of the search for the number. In runc it is a second program in front.
//!   As in runc since 1.2 the native architecture has it even if the profile does not list it.
//! - Mistakes of libseccomp 2.5.4 that the tests ran into are not repeated: a tree that loses or widens rules when one
//!   call has several with inequalities or with several arguments; a program that never loads the number when an
//!   architecture's first call is one it does not have; far jumps in the wrong byte order on big-endian architectures; profiles on
//!   which it does not come back.
//!
//! Each of these is a row of `tests/intended.rs`. With the cargo feature `libseccomp` the C library writes the program in
//! place of the compiler ([`Backend`]); the profile is checked, refused and explained in the same way.

mod arch;
pub mod bpf;
mod emit;
mod explain;
mod graph;
#[cfg(feature = "libseccomp")]
mod libseccomp;
mod lower;
pub mod machine;
mod policy;
mod profile;
mod tables;
#[cfg(test)]
mod tests;
mod thread;
mod verdict;

pub use arch::Arch;
pub use bpf::Insn;
pub use explain::explain;
pub use verdict::Verdict;

use crate::Result;
use oci_spec::runtime::LinuxSeccomp;
use policy::Policy;
use serde::Serialize;
use std::fmt;

/// A compiled profile: all that loading it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// The program, 1 to 4096 instructions.
    pub program: Vec<Insn>,
    /// `SECCOMP_FILTER_FLAG_*` to load it with, [`NEW_LISTENER`](Filter::NEW_LISTENER) included.
    pub flags: u32,
    /// Whether a rule asks an agent, so that loading gives a listener to send to `listener_path`.
    pub notify: bool,
    /// `listenerPath`: present if `notify`.
    pub listener_path: Option<String>,
    /// `listenerMetadata`.
    pub listener_metadata: Option<String>,
    /// Names that no architecture knows: ignored, as runc does.
    pub ignored_names: Vec<String>,
}

impl Filter {
    /// `SECCOMP_FILTER_FLAG_TSYNC`.
    pub const TSYNC: u32 = 1 << 0;
    /// `SECCOMP_FILTER_FLAG_LOG`.
    pub const LOG: u32 = 1 << 1;
    /// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`.
    pub const SPEC_ALLOW: u32 = 1 << 2;
    /// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
    pub const NEW_LISTENER: u32 = 1 << 3;
    /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`.
    pub const WAIT_KILLABLE_RECV: u32 = 1 << 5;

    /// The specification's flags, each with what the kernel is asked for to find out whether it knows it.
    pub(crate) const FLAGS: [(&str, u32); 4] = [
        ("SECCOMP_FILTER_FLAG_TSYNC", Filter::TSYNC),
        ("SECCOMP_FILTER_FLAG_LOG", Filter::LOG),
        ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", Filter::SPEC_ALLOW),
        // The kernel takes it only with a listener.
        ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", Filter::WAIT_KILLABLE_RECV | Filter::NEW_LISTENER),
    ];

    /// The program as an array of `struct sock_filter`, in this machine's byte order.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.program.iter().flat_map(|insn| insn.to_bytes()).collect()
    }
}

/// The disassembled program, one instruction on a line.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, insn) in self.program.iter().enumerate() {
            write!(f, "{place:4}: ")?;
            insn.write(f, place)?;
            writeln!(f)?;
        }
        Ok(())
    }
}

/// What turns a profile into a program. The profile is read, checked and refused in the same way for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// The compiler of this module.
    Own,
    /// The C library, driven as runc drives it; only with the cargo feature `libseccomp`.
    #[cfg(feature = "libseccomp")]
    Libseccomp {
        /// Whether it sorts the calls into a binary tree (`SCMP_FLTATR_CTL_OPTIMIZE` 2) instead of a list.
        tree: bool,
    },
}

impl Backend {
    /// The one that [`compile`] uses: chosen when the library is built.
    #[cfg(not(feature = "libseccomp"))]
    pub const BUILT_IN: Backend = Backend::Own;
    /// The one that [`compile`] uses: chosen when the library is built.
    #[cfg(feature = "libseccomp")]
    pub const BUILT_IN: Backend = Backend::Libseccomp { tree: false };

    /// The version of the C library, if that is what this back end is.
    pub fn library_version(self) -> Option<String> {
        match self {
            Backend::Own => None,
            #[cfg(feature = "libseccomp")]
            Backend::Libseccomp { .. } => libseccomp::version(),
        }
    }

    /// The profile without the names that the back end does not know, which are ignored like those nobody knows.
    fn known_to(self, profile: profile::Profile) -> profile::Profile {
        match self {
            Backend::Own => profile,
            #[cfg(feature = "libseccomp")]
            Backend::Libseccomp { .. } => libseccomp::known(profile),
        }
    }

    #[cfg_attr(not(feature = "libseccomp"), expect(unused_variables, reason = "only libseccomp reads the section"))]
    fn program(self, section: &LinuxSeccomp, profile: &profile::Profile, policies: &[Policy]) -> Result<Vec<Insn>> {
        match self {
            Backend::Own => {
                let (graph, root) = lower::graph(policies)?;
                let (graph, root) = thread::optimise(graph, root);
                emit::program(&graph, root)
            }
            #[cfg(feature = "libseccomp")]
            Backend::Libseccomp { tree } => libseccomp::program(section, profile, policies, tree),
        }
    }
}

/// Compiles `linux.seccomp` for a machine whose own architecture is `native`: it is part of every filter, listed or not.
///
/// # Errors
/// [`InvalidConfig`](crate::ErrorKind::InvalidConfig) naming the element: what runc refuses, and a profile that needs more
/// instructions than the kernel takes.
pub fn compile(section: &LinuxSeccomp, native: Arch) -> Result<Filter> {
    compile_with(section, native, Backend::BUILT_IN)
}

/// As [`compile`], with a back end of the caller's choice.
///
/// # Errors
/// As for [`compile`].
pub fn compile_with(section: &LinuxSeccomp, native: Arch, backend: Backend) -> Result<Filter> {
    let flags = profile::flags(section)?;
    let (profile, policies) = resolve(section, native, backend)?;
    let program = backend.program(section, &profile, &policies)?;
    let listener_path = section.listener_path().as_ref().map(|path| path.to_string_lossy().into_owned());
    Ok(Filter {
        program,
        flags,
        notify: profile::notifies(section),
        listener_path,
        listener_metadata: section.listener_metadata().clone(),
        ignored_names: profile.ignored,
    })
}

/// The checked profile and, for each of its architectures, what it says.
fn resolve(section: &LinuxSeccomp, native: Arch, backend: Backend) -> Result<(profile::Profile, Vec<Policy>)> {
    let profile = backend.known_to(profile::check(section, native)?);
    let policies = profile.archs.iter().map(|arch| policy::lower(&profile, *arch)).collect::<Result<Vec<_>>>()?;
    Ok((profile, policies))
}
