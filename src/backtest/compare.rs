//! Two versions of rule files side by side.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::model::{Labels, Timestamp};
use crate::rules::RuleKind;

use super::episode::{common, merged, total};
use super::figures::firing;
use super::{Replay, RuleReplay};

/// The alerting rules of two versions, paired.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// In the order of the new version, then what is gone.
    pub pairs: Vec<Pair>,
}

/// A rule before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Its place in the old version; `None`: it is new.
    pub before: Option<usize>,
    /// Its place in the new version; `None`: it is gone.
    pub after: Option<usize>,
    /// Time in which it fires in both.
    pub both: Duration,
    /// Time in which only the old one fires.
    pub only_before: Duration,
    /// Time in which only the new one fires.
    pub only_after: Duration,
}

impl Pair {
    /// Whether both versions fire at the same times.
    pub fn is_same(&self) -> bool {
        self.before.is_some() && self.after.is_some() && self.only_before.is_zero() && self.only_after.is_zero()
    }
}

/// What makes two rules the same one: name and labels as configured, or the name alone.
type Identity = (String, Option<Labels>);

impl Comparison {
    /// Pairs rules of the same name and labels in order, then those left of the same name.
    pub fn of(before: &Replay, after: &Replay, range: (Timestamp, Timestamp)) -> Comparison {
        let mut partners: Vec<Option<usize>> = vec![None; after.rules.len()];
        let mut left: Vec<usize> = alerts(before).collect();
        let exact = |rule: &RuleReplay| (rule.name.to_string(), Some(rule.labels.clone()));
        let by_name = |rule: &RuleReplay| (rule.name.to_string(), None);
        let identities: [&dyn Fn(&RuleReplay) -> Identity; 2] = [&exact, &by_name];
        for identity in identities {
            let mut free: BTreeMap<Identity, VecDeque<usize>> = BTreeMap::new();
            for index in left.drain(..) {
                free.entry(identity(&before.rules[index])).or_default().push_back(index);
            }
            for index in alerts(after).filter(|index| partners[*index].is_none()).collect::<Vec<_>>() {
                partners[index] = free.get_mut(&identity(&after.rules[index])).and_then(VecDeque::pop_front);
            }
            left.extend(free.into_values().flatten());
            left.sort_unstable();
        }
        let kept = alerts(after).map(|index| (partners[index], Some(index)));
        let gone = left.into_iter().map(|index| (Some(index), None));
        let times = |replay: &Replay, index: Option<usize>| {
            index.map_or_else(Vec::new, |index| merged(firing(&replay.rules[index], range)))
        };
        let pair = |(old, new): (Option<usize>, Option<usize>)| {
            let (a, b) = (times(before, old), times(after, new));
            let both = common(&a, &b);
            Pair { before: old, after: new, both, only_before: total(&a) - both, only_after: total(&b) - both }
        };
        Comparison { pairs: kept.chain(gone).map(pair).collect() }
    }
}

fn alerts(replay: &Replay) -> impl Iterator<Item = usize> {
    (0..replay.rules.len()).filter(|index| replay.rules[*index].kind == RuleKind::Alerting)
}
