//! How often an alert fired, for how long, and how restlessly.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::{Labels, Timestamp};

use super::RuleReplay;
use super::episode::{merged, total};

/// An alert that fires again so soon after its end flaps: its receivers have heard "resolved" and "firing" within a coffee break.
pub(super) const FLAP_WITHIN: Duration = Duration::from_secs(15 * 60);

/// One rule in numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Lives of alerts that began to fire.
    pub fired: usize,
    /// Lives that ended while they were pending.
    pub only_pending: usize,
    /// Time in which at least one alert of the rule fired.
    pub firing_for: Duration,
    /// That, of the time asked about: 0 to 1.
    pub firing_ratio: f64,
    /// The longest that one alert fired.
    pub longest: Duration,
    /// Times that an alert fired again within 15 minutes of its end.
    pub flaps: usize,
    /// The most alerts of the rule that fired at once.
    pub at_once_max: usize,
    /// Alerts that still fired at the end.
    pub still_firing: usize,
    /// Label sets that fired.
    pub instances: usize,
}

impl Figures {
    /// Those of `rule` between `start` and `end`.
    pub fn of(rule: &RuleReplay, (start, end): (Timestamp, Timestamp)) -> Figures {
        let firing: Vec<_> = firing(rule, (start, end));
        let mut last_end: HashMap<&Labels, Timestamp> = HashMap::new();
        let mut figures = Figures::default();
        for episode in &rule.episodes {
            let Some((from, to)) = episode.firing(end) else {
                figures.only_pending += usize::from(episode.ended_at.is_some());
                continue;
            };
            figures.fired += 1;
            figures.still_firing += usize::from(episode.ended_at.is_none());
            figures.longest = figures.longest.max(to.since(from));
            if let Some(ended) = last_end.insert(&episode.labels, to) {
                figures.flaps += usize::from(from.since(ended) <= FLAP_WITHIN);
            }
        }
        figures.instances = last_end.len();
        figures.at_once_max = at_once_max(&firing).map_or(0, |(count, _)| count);
        figures.firing_for = total(&merged(firing));
        let asked = end.since(start).as_secs_f64();
        figures.firing_ratio = if asked > 0.0 { figures.firing_for.as_secs_f64() / asked } else { 0.0 };
        figures
    }
}

/// When alerts of `rule` fired, within `start` and `end`.
pub(super) fn firing(rule: &RuleReplay, (start, end): (Timestamp, Timestamp)) -> Vec<(Timestamp, Timestamp)> {
    let inside = |(from, to): (Timestamp, Timestamp)| (from.max(start), to.min(end));
    rule.episodes.iter().filter_map(|episode| episode.firing(end).map(inside)).collect()
}

/// The most stretches at one time, and when that was first.
pub(super) fn at_once_max(stretches: &[(Timestamp, Timestamp)]) -> Option<(usize, Timestamp)> {
    // What ends at an instant makes room for what begins there.
    let mut edges: Vec<(Timestamp, i32)> = stretches.iter().flat_map(|(from, to)| [(*from, 1), (*to, -1)]).collect();
    edges.sort_unstable();
    let (mut now, mut most) = (0_i32, None);
    for (at, change) in edges {
        now += change;
        let count = usize::try_from(now).unwrap_or(0);
        if count > most.map_or(0, |(count, _)| count) {
            most = Some((count, at));
        }
    }
    most
}
