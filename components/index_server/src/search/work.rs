//! How much work a query may still cause.

/// What is left of the work that one query may cause.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SearchWork {
    /// Arcs that may still be looked at.
    pub(crate) left: usize,
    /// A search ended before it was done.
    pub(crate) cut: bool,
}

impl SearchWork {
    pub(crate) fn new(work: usize) -> Self {
        SearchWork { left: work, cut: false }
    }

    /// Takes `work` for looking at so many arcs. False when there is not enough; then nothing is left.
    pub(crate) fn take(&mut self, work: usize) -> bool {
        match self.left.checked_sub(work) {
            Some(left) => self.left = left,
            None => {
                (self.left, self.cut) = (0, true);
                return false;
            }
        }
        true
    }

    /// Whether no further arc may be looked at.
    pub(crate) fn is_used_up(&self) -> bool {
        self.left == 0
    }

    /// Splits off at most `work` of what is left, for a search that must not take more. It ends with
    /// [`SearchWork::give_back`].
    pub(crate) fn split_off(&mut self, work: usize) -> SearchWork {
        let part = self.left.min(work);
        self.left -= part;
        SearchWork { left: part, cut: false }
    }

    /// Adds what is left of a part that was split off, and whether it was enough.
    pub(crate) fn give_back(&mut self, part: SearchWork) {
        self.left += part.left;
        self.cut |= part.cut;
    }
}
