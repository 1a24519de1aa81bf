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
pub(super) const PRIVATE_BASE: u32 = 0x000f_0000;

impl Name {
    /// Finds a name; `None` if no architecture knows it.
    #[cfg(test)]
    pub(super) fn find(name: &str) -> Option<Name> {
        Finder::default().find(name)
    }

    /// A name that the tables must have, else this does not compile.
    #[allow(clippy::indexing_slicing, clippy::panic, reason = "the compiler evaluates it")]
    pub(super) const fn known(name: &str) -> Name {
        let mut index = 0;
        while index < names::COUNT {
            let (start, end) = (names::OFFSETS[index] as usize, names::OFFSETS[index + 1] as usize);
            let mut length = 0;
            while start + length < end
                && length < name.len()
                && names::TEXT.as_bytes()[start + length] == name.as_bytes()[length]
            {
                length += 1;
            }
            if length == name.len() && start + length == end {
                return Name(index as u16);
            }
            index += 1;
        }
        panic!("no such call")
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

/// Finds names one after the other. Profiles list them sorted, and most of all there are: a search that begins where the last
/// one ended and makes longer and longer steps takes two or three comparisons instead of nine.
#[derive(Default)]
pub(super) struct Finder {
    next: usize,
}

impl Finder {
    /// Finds a name; `None` if no architecture knows it.
    pub(super) fn find(&mut self, name: &str) -> Option<Name> {
        let (mut low, mut high, mut step) = (0, names::COUNT, 1);
        let mut probe = if self.next < high { self.next } else { 0 };
        while low < high {
            match text(probe).as_bytes().cmp(name.as_bytes()) {
                std::cmp::Ordering::Equal => {
                    self.next = probe + 1;
                    return u16::try_from(probe).ok().map(Name);
                }
                std::cmp::Ordering::Less => {
                    low = probe + 1;
                    probe += step;
                    step *= 2;
                }
                std::cmp::Ordering::Greater => {
                    high = probe;
                    step = names::COUNT;
                }
            }
            if probe < low || probe >= high {
                probe = low.midpoint(high);
            }
        }
        None
    }
}

fn text(index: usize) -> &'static str {
    let bounds = names::OFFSETS.get(index).zip(names::OFFSETS.get(index + 1));
    bounds.and_then(|(&start, &end)| names::TEXT.get(usize::from(start)..usize::from(end))).unwrap_or("")
}
