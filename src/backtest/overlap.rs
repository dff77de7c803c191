//! Alerts that fire together: what pages twice for one cause.

use std::time::Duration;

use crate::model::Timestamp;

use super::episode::{common, merged, total};
use super::figures::{at_once_max, firing};
use super::{PAIRS_MAX, Replay};

/// A pair is told if it fires together for this share of the time of the one that fires less.
const TOLD_RATIO_MIN: f64 = 0.5;
/// Pairs that are told, the closest first.
const TOLD_MAX: usize = 20;

/// Two rules that fire together.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlap {
    /// Their places in [`Replay::rules`]; the first fires less.
    pub rules: (usize, usize),
    /// For how long.
    pub together: Duration,
    /// Of the time in which the first one fires: 0 to 1.
    pub ratio: f64,
}

/// What fires at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overlaps {
    /// The closest pairs first.
    pub pairs: Vec<Overlap>,
    /// The most alerts at once, and when that was first.
    pub at_once_max: Option<(usize, Timestamp)>,
    /// Whether there were too many rules to compare all pairs.
    pub is_cut: bool,
}

impl Overlaps {
    /// Those of all rules of `replay` between `start` and `end`.
    pub fn of(replay: &Replay, range: (Timestamp, Timestamp)) -> Overlaps {
        let all: Vec<Vec<_>> = replay.rules.iter().map(|rule| firing(rule, range)).collect();
        let at_once_max = at_once_max(&all.concat());
        let mut overlaps = Overlaps { at_once_max, ..Overlaps::default() };
        let mut fired: Vec<(Duration, usize, Vec<_>)> = Vec::new();
        for (index, stretches) in all.into_iter().enumerate() {
            let stretches = merged(stretches);
            let time = total(&stretches);
            if !time.is_zero() {
                fired.push((time, index, stretches));
            }
        }
        fired.sort_unstable_by_key(|(time, index, _)| (*time, *index));
        let mut left = PAIRS_MAX;
        for (position, (time, less, a)) in fired.iter().enumerate() {
            for (_, more, b) in &fired[position + 1..] {
                if left == 0 {
                    overlaps.is_cut = true;
                    break;
                }
                left -= 1;
                let together = common(a, b);
                let ratio = together.as_secs_f64() / time.as_secs_f64();
                if ratio >= TOLD_RATIO_MIN {
                    overlaps.pairs.push(Overlap { rules: (*less, *more), together, ratio });
                }
            }
        }
        overlaps.pairs.sort_by(|a, b| b.ratio.total_cmp(&a.ratio).then(b.together.cmp(&a.together)));
        overlaps.pairs.truncate(TOLD_MAX);
        overlaps
    }
}
