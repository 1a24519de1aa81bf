//! What a step says when it fails.

use crate::sys::Errno;
use crate::wire::{Op, Phase, Report};

/// A failure within a step; the step itself is added by [`main`](crate::main).
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What failed.
    pub op: Op,
    /// Why.
    pub errno: Errno,
    /// Which element of the step's list.
    pub index: u32,
    /// See [`Report::detail`].
    pub detail: i64,
}

impl Fault {
    /// A failure that is not a system call's.
    pub fn new(op: Op, errno: Errno) -> Fault {
        Fault { op, errno, index: 0, detail: 0 }
    }

    /// As the launcher gets it.
    pub fn report(self, phase: Phase) -> Report {
        Report { phase, op: self.op, index: self.index, errno: self.errno.0, detail: self.detail }
    }
}

/// The result of a step.
pub type Step<T = ()> = Result<T, Fault>;

/// Names what a system call was for.
pub trait During<T> {
    /// The call was for `op`.
    fn during(self, op: Op) -> Step<T>;
}

impl<T> During<T> for crate::sys::Result<T> {
    fn during(self, op: Op) -> Step<T> {
        self.map_err(|errno| Fault::new(op, errno))
    }
}

/// Names the element of a list.
pub trait OfElement<T> {
    /// The failure, if any, is of the element `index`.
    fn of(self, index: usize) -> Step<T>;
}

impl<T> OfElement<T> for Step<T> {
    fn of(self, index: usize) -> Step<T> {
        self.map_err(|fault| Fault { index: index as u32, ..fault })
    }
}
