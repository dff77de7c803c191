//! What the budget that is left means for changes: named levels with an action each, some of which hold releases back.
//!
//! In the flow: [`super::SloStatus::level`] says where an objective stands; `almenara slo gate`, the API and the page tell it.
//!
//! **Source.** The Site Reliability Workbook, appendix B, "Example Error Budget Policy".

use std::sync::Arc;

/// A level of the budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// For people and scripts.
    pub name: Arc<str>,
    /// It holds while less than this share of the budget is left.
    pub remaining_below: f64,
    /// What is to be done; may be empty.
    pub action: Arc<str>,
    /// Whether releases wait.
    pub blocks: bool,
}

/// More levels than this say nothing that fewer do not.
pub const LEVELS_MAX: usize = 16;

/// The level of a budget without a policy: releases wait while it is overspent.
pub(super) const DEFAULT_LEVEL: (&str, f64, &str) =
    ("exhausted", 0.0, "release only what brings the objective back: the error budget is spent");

/// The lowest level that holds, with `remaining` of the budget left. `levels` are in falling order.
pub fn level_of(levels: &[Level], remaining: Option<f64>) -> Option<Level> {
    let remaining = remaining?;
    if levels.is_empty() {
        let (name, below, action) = DEFAULT_LEVEL;
        let level = Level { name: name.into(), remaining_below: below, action: action.into(), blocks: true };
        return Some(level).filter(|level| remaining < level.remaining_below);
    }
    levels.iter().rev().find(|level| remaining < level.remaining_below).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_level_that_holds_counts() {
        let level =
            |name: &str, below, blocks| Level { name: name.into(), remaining_below: below, action: "".into(), blocks };
        let levels = [level("careful", 0.5, false), level("freeze", 0.1, true)];
        let name = |remaining| level_of(&levels, Some(remaining)).map(|level| level.name.to_string());
        assert_eq!(
            [0.6, 0.5, 0.2, 0.05, -3.0].map(name).map(Option::unwrap_or_default),
            ["", "", "careful", "freeze", "freeze"]
        );
        assert_eq!(level_of(&[], Some(-0.1)).map(|level| level.blocks), Some(true));
        assert_eq!((level_of(&[], Some(0.0)), level_of(&levels, None)), (None, None));
    }
}
