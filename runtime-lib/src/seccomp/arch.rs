//! The architectures a filter can speak of, as data.

use super::tables::{self, Name, Numbers};
use oci_spec::runtime::Arch as OciArch;
use serde::Serialize;

/// An architecture (strictly, a system call ABI) of `linux.seccomp.architectures`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the specification's names")]
pub enum Arch {
    X86,
    #[serde(rename = "x86_64")]
    X86_64,
    X32,
    Arm,
    Aarch64,
    Mips,
    Mips64,
    Mips64n32,
    Mipsel,
    Mipsel64,
    Mipsel64n32,
    Ppc,
    Ppc64,
    Ppc64le,
    S390,
    S390x,
    Parisc,
    Parisc64,
    Riscv64,
    Loongarch64,
    M68k,
    Sh,
    Sheb,
}

/// The bit in a call's number that tells x32 from x86_64; their `AUDIT_ARCH` is the same.
pub(super) const X32_BIT: u32 = 0x4000_0000;
/// `__AUDIT_ARCH_64BIT` of linux/audit.h.
const WORD_64: u32 = 0x8000_0000;
/// `__AUDIT_ARCH_LE` of linux/audit.h.
const LITTLE_ENDIAN: u32 = 0x4000_0000;

impl Arch {
    /// All, in the specification's order.
    pub const ALL: [Arch; 23] = [
        Arch::X86,
        Arch::X86_64,
        Arch::X32,
        Arch::Arm,
        Arch::Aarch64,
        Arch::Mips,
        Arch::Mips64,
        Arch::Mips64n32,
        Arch::Mipsel,
        Arch::Mipsel64,
        Arch::Mipsel64n32,
        Arch::Ppc,
        Arch::Ppc64,
        Arch::Ppc64le,
        Arch::S390,
        Arch::S390x,
        Arch::Parisc,
        Arch::Parisc64,
        Arch::Riscv64,
        Arch::Loongarch64,
        Arch::M68k,
        Arch::Sh,
        Arch::Sheb,
    ];

    /// The architecture this code was compiled for, `None` if the table above does not have it.
    pub fn native() -> Option<Arch> {
        let little = cfg!(target_endian = "little");
        Some(match std::env::consts::ARCH {
            "x86" => Arch::X86,
            "x86_64" if cfg!(target_pointer_width = "32") => Arch::X32,
            "x86_64" => Arch::X86_64,
            "arm" => Arch::Arm,
            "aarch64" => Arch::Aarch64,
            "mips" if little => Arch::Mipsel,
            "mips" => Arch::Mips,
            "mips64" if little => Arch::Mipsel64,
            "mips64" => Arch::Mips64,
            "powerpc" => Arch::Ppc,
            "powerpc64" if little => Arch::Ppc64le,
            "powerpc64" => Arch::Ppc64,
            "s390x" => Arch::S390x,
            "riscv64" => Arch::Riscv64,
            "loongarch64" => Arch::Loongarch64,
            "m68k" => Arch::M68k,
            _ => return None,
        })
    }

    /// The architecture of a name in the specification. `None` for `SCMP_ARCH_NATIVE`, which runc refuses too.
    pub(super) fn from_oci(arch: OciArch) -> Option<Arch> {
        Some(match arch {
            OciArch::ScmpArchNative => return None,
            OciArch::ScmpArchX86 => Arch::X86,
            OciArch::ScmpArchX86_64 => Arch::X86_64,
            OciArch::ScmpArchX32 => Arch::X32,
            OciArch::ScmpArchArm => Arch::Arm,
            OciArch::ScmpArchAarch64 => Arch::Aarch64,
            OciArch::ScmpArchMips => Arch::Mips,
            OciArch::ScmpArchMips64 => Arch::Mips64,
            OciArch::ScmpArchMips64n32 => Arch::Mips64n32,
            OciArch::ScmpArchMipsel => Arch::Mipsel,
            OciArch::ScmpArchMipsel64 => Arch::Mipsel64,
            OciArch::ScmpArchMipsel64n32 => Arch::Mipsel64n32,
            OciArch::ScmpArchPpc => Arch::Ppc,
            OciArch::ScmpArchPpc64 => Arch::Ppc64,
            OciArch::ScmpArchPpc64le => Arch::Ppc64le,
            OciArch::ScmpArchS390 => Arch::S390,
            OciArch::ScmpArchS390x => Arch::S390x,
            OciArch::ScmpArchParisc => Arch::Parisc,
            OciArch::ScmpArchParisc64 => Arch::Parisc64,
            OciArch::ScmpArchRiscv64 => Arch::Riscv64,
            OciArch::ScmpArchLoongarch64 => Arch::Loongarch64,
            OciArch::ScmpArchM68k => Arch::M68k,
            OciArch::ScmpArchSh => Arch::Sh,
            OciArch::ScmpArchSheb => Arch::Sheb,
        })
    }

    /// The specification's name, such as `SCMP_ARCH_X86_64`.
    pub fn oci_name(self) -> &'static str {
        self.facts().1
    }

    /// The value of `seccomp_data.arch`: `AUDIT_ARCH_*` of linux/audit.h.
    pub fn audit(self) -> u32 {
        self.facts().0
    }

    /// A call's number as the kernel hands it to the filter; `None` if the architecture does not have the call.
    pub(super) fn number(self, name: Name) -> Option<u32> {
        self.numbers()(name)
    }

    /// As [`number`](Arch::number), for many names.
    pub(super) fn numbers(self) -> impl Fn(Name) -> Option<u32> {
        let base = if self == Arch::X32 { X32_BIT } else { 0 };
        let numbers = self.facts().2;
        move |name| name.number(numbers).map(|number| base + number)
    }

    /// The architecture's calls, by name, each with its number as the kernel hands it to a filter.
    pub fn calls(self) -> impl Iterator<Item = (&'static str, u32)> {
        let number = self.numbers();
        Name::all().filter_map(move |name| Some((name.as_str(), number(name)?)))
    }

    /// Whether arguments are compared as 64-bit values; otherwise only their lower halves count (x32 and n32 included:
    /// their registers are 64 bits wide but libseccomp takes them as 32-bit architectures).
    pub(super) fn wide_arguments(self) -> bool {
        self.audit() & WORD_64 != 0 && !matches!(self, Arch::X32 | Arch::Mips64n32 | Arch::Mipsel64n32)
    }

    /// Whether the lower half of an argument comes first in `struct seccomp_data`.
    pub(super) fn little_endian(self) -> bool {
        self.audit() & LITTLE_ENDIAN != 0
    }

    /// Whether socketcall(2) and ipc(2) do the work of other calls, and libseccomp treats them so.
    pub(super) fn multiplexes(self) -> bool {
        use Arch::{M68k, Mips, Mipsel, Ppc, Ppc64, Ppc64le, S390, S390x, Sh, Sheb, X86};
        matches!(self, X86 | Mips | Mipsel | S390 | S390x | Ppc | Ppc64 | Ppc64le | M68k | Sh | Sheb)
    }

    /// Whether the kernel shows a number beyond its table as 0 (`setup`), so that a filter cannot see what was called.
    pub(super) fn hides_unknown_numbers(self) -> bool {
        matches!(self, Arch::S390 | Arch::S390x)
    }

    fn facts(self) -> (u32, &'static str, &'static Numbers) {
        match self {
            Arch::X86 => (0x4000_0003, "SCMP_ARCH_X86", &tables::X86),
            Arch::X86_64 => (0xc000_003e, "SCMP_ARCH_X86_64", &tables::X86_64),
            Arch::X32 => (0xc000_003e, "SCMP_ARCH_X32", &tables::X32),
            Arch::Arm => (0x4000_0028, "SCMP_ARCH_ARM", &tables::ARM),
            Arch::Aarch64 => (0xc000_00b7, "SCMP_ARCH_AARCH64", &tables::AARCH64),
            Arch::Mips => (0x0000_0008, "SCMP_ARCH_MIPS", &tables::MIPS_O32),
            Arch::Mips64 => (0x8000_0008, "SCMP_ARCH_MIPS64", &tables::MIPS_N64),
            Arch::Mips64n32 => (0xa000_0008, "SCMP_ARCH_MIPS64N32", &tables::MIPS_N32),
            Arch::Mipsel => (0x4000_0008, "SCMP_ARCH_MIPSEL", &tables::MIPS_O32),
            Arch::Mipsel64 => (0xc000_0008, "SCMP_ARCH_MIPSEL64", &tables::MIPS_N64),
            Arch::Mipsel64n32 => (0xe000_0008, "SCMP_ARCH_MIPSEL64N32", &tables::MIPS_N32),
            Arch::Ppc => (0x0000_0014, "SCMP_ARCH_PPC", &tables::PPC),
            Arch::Ppc64 => (0x8000_0015, "SCMP_ARCH_PPC64", &tables::PPC64),
            Arch::Ppc64le => (0xc000_0015, "SCMP_ARCH_PPC64LE", &tables::PPC64),
            Arch::S390 => (0x0000_0016, "SCMP_ARCH_S390", &tables::S390),
            Arch::S390x => (0x8000_0016, "SCMP_ARCH_S390X", &tables::S390X),
            Arch::Parisc => (0x0000_000f, "SCMP_ARCH_PARISC", &tables::PARISC),
            Arch::Parisc64 => (0x8000_000f, "SCMP_ARCH_PARISC64", &tables::PARISC64),
            Arch::Riscv64 => (0xc000_00f3, "SCMP_ARCH_RISCV64", &tables::RISCV64),
            Arch::Loongarch64 => (0xc000_0102, "SCMP_ARCH_LOONGARCH64", &tables::LOONGARCH64),
            Arch::M68k => (0x0000_0004, "SCMP_ARCH_M68K", &tables::M68K),
            Arch::Sh => (0x4000_002a, "SCMP_ARCH_SH", &tables::SH),
            Arch::Sheb => (0x0000_002a, "SCMP_ARCH_SHEB", &tables::SH),
        }
    }
}
