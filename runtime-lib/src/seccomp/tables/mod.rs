//! The names and numbers of every architecture's system calls, from the kernel's uapi headers.
//!
//! One sorted list of names is shared by all architectures; each architecture then needs two bytes for a name. The data
//! is generated: `tools/seccomp-tables.py` says how.

mod names;
mod numbers;
#[cfg(test)]
mod tests;

pub(super) use numbers::*;

/// A name that at least one architecture knows, as its place in the sorted list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(u16);

/// What an architecture calls the names: a number, or [`ABSENT`].
pub(super) type Numbers = [u16; names::COUNT];

/// The architecture does not have the call.
const ABSENT: u16 = 0xffff;
/// From here on, the calls that only ARM has, see arch/arm/include/uapi/asm/unistd.h: [`PRIVATE_BASE`] + n is stored as
/// `PRIVATE` + n.
const PRIVATE: u16 = 0xf000;
const PRIVATE_BASE: u32 = 0x000f_0000;

impl Name {
    /// Finds a name; `None` if no architecture knows it.
    pub(super) fn find(name: &str) -> Option<Name> {
        let (mut low, mut high) = (0, names::COUNT);
        while low < high {
            let middle = low.midpoint(high);
            match text(middle).as_bytes().cmp(name.as_bytes()) {
                std::cmp::Ordering::Equal => return u16::try_from(middle).ok().map(Name),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The name.
    pub(super) fn as_str(self) -> &'static str {
        text(usize::from(self.0))
    }

    /// The number in a table, without the x32 bit.
    pub(super) fn number(self, numbers: &Numbers) -> Option<u32> {
        match *numbers.get(usize::from(self.0))? {
            ABSENT => None,
            private @ PRIVATE.. => Some(PRIVATE_BASE + u32::from(private - PRIVATE)),
            number => Some(u32::from(number)),
        }
    }

    /// Every name, sorted.
    pub(super) fn all() -> impl Iterator<Item = Name> {
        (0..u16::try_from(names::COUNT).unwrap_or(u16::MAX)).map(Name)
    }
}

fn text(index: usize) -> &'static str {
    let bounds = names::OFFSETS.get(index).zip(names::OFFSETS.get(index + 1));
    bounds.and_then(|(&start, &end)| names::TEXT.get(usize::from(start)..usize::from(end))).unwrap_or("")
}
