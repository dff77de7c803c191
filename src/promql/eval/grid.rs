//! The instants at which a node is evaluated.

use crate::model::Timestamp;

/// `start`, `start + step`, … up to and including `end`. A subquery's grid may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::promql) struct Grid {
    pub(in crate::promql) start: Timestamp,
    pub(in crate::promql) end: Timestamp,
    pub(in crate::promql) step_ms: i64,
}

impl Grid {
    pub(in crate::promql) fn instant(at: Timestamp) -> Self {
        Grid { start: at, end: at, step_ms: 1 }
    }

    /// A grid whose end is moved back to the last step.
    pub(in crate::promql) fn range(start: Timestamp, end: Timestamp, step_ms: i64) -> Self {
        let step_ms = step_ms.max(1);
        let end = if end < start { end } else { end.plus_ms(-(end.ms_since(start) % step_ms)) };
        Grid { start, end, step_ms }
    }

    /// The grid of a subquery whose windows end between `first` and `last`: the multiples of `step_ms` after the start of
    /// the first window.
    pub(in crate::promql) fn subquery(first: Timestamp, last: Timestamp, range_ms: i64, step_ms: i64) -> Self {
        let step_ms = step_ms.max(1);
        let window_start = first.plus_ms(-range_ms).as_ms();
        // Go's division truncates towards zero, so a negative quotient may lie after the window's start already.
        let mut start = step_ms * (window_start / step_ms);
        if start <= window_start {
            start += step_ms;
        }
        Grid::range(Timestamp::from_ms(start), last, step_ms)
    }

    pub(in crate::promql) fn is_empty(self) -> bool {
        self.end < self.start
    }

    pub(in crate::promql) fn is_single(self) -> bool {
        self.start == self.end
    }

    pub(in crate::promql) fn len(self) -> usize {
        if self.is_empty() {
            return 0;
        }
        usize::try_from(self.end.ms_since(self.start) / self.step_ms).expect("BUG: a negative grid") + 1
    }

    pub(in crate::promql) fn steps(self) -> impl Iterator<Item = Timestamp> + Clone {
        (0..self.len()).map(move |index| self.start.plus_ms(index as i64 * self.step_ms))
    }
}
