//! Names that an expression has already: its labels and metrics come again and again, and one text serves all their places.

use std::sync::Arc;

/// The names kept; one more takes the place of the oldest. Few expressions have more.
const NAMES_MAX: usize = 8;

/// The last names that were read.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: [Option<Arc<str>>; NAMES_MAX],
    /// Where the next new one goes.
    next: usize,
}

impl Names {
    /// `name`, shared with where it stood before.
    pub(super) fn of(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.iter().flatten().find(|known| &***known == name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        self.known[self.next] = Some(Arc::clone(&new));
        self.next = (self.next + 1) % NAMES_MAX;
        new
    }
}
