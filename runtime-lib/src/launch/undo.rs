//! Effects and how to take them back.

/// What to do if the operation fails, last effect first. Dropped without [`defuse`](Undo::defuse), it does it.
#[derive(Default)]
pub(crate) struct Undo<'a>(Vec<Box<dyn FnOnce() + 'a>>);

impl<'a> Undo<'a> {
    /// Takes note of how to take back the effect that was just made.
    pub(crate) fn push(&mut self, undo: impl FnOnce() + 'a) {
        self.0.push(Box::new(undo));
    }

    /// The operation has succeeded.
    pub(crate) fn defuse(mut self) {
        self.0.clear();
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        while let Some(undo) = self.0.pop() {
            undo();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Undo;
    use std::cell::RefCell;

    #[test]
    fn effects_are_taken_back_in_reverse_unless_defused() {
        let log = RefCell::new(Vec::new());
        let mut undo = Undo::default();
        undo.push(|| log.borrow_mut().push("first"));
        undo.push(|| log.borrow_mut().push("second"));
        drop(undo);
        assert_eq!(*log.borrow(), ["second", "first"]);
        let mut undo = Undo::default();
        undo.push(|| log.borrow_mut().push("never"));
        undo.defuse();
        assert_eq!(log.borrow().len(), 2);
    }
}
