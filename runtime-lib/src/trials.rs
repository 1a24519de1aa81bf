//! How many cases the tests try. miri(1), which interprets them (`just miri`), takes some thousand times as long for each as the
//! machine does: there a test that loops over thousands is given a few, evenly over all, instead of being left out.

use std::iter::StepBy;

/// Whether all cases are tried: what a test says of their sum holds only then.
pub(crate) const ALL: bool = !cfg!(miri);

/// The cases of a test: all of them, or under miri at most `few`, the first among them and the same distance between each two.
pub(crate) fn thinned<I>(all: I, few: usize) -> StepBy<I::IntoIter>
where
    I: IntoIterator<IntoIter: ExactSizeIterator>,
{
    let all = all.into_iter();
    let step = if ALL { 1 } else { all.len().div_ceil(few).max(1) };
    all.step_by(step)
}
