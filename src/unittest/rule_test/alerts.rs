//! Are the alerts that fire those expected?

use std::collections::BTreeMap;

use crate::model::Labels;
use crate::rules::{AlertState, AlertStatus, RuleConfig};
use crate::source::format_duration;

use super::go_text::labels_text;
use super::{AlertTest, Matching, diff};

/// An alert as it is compared and shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ShownAlert {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl ShownAlert {
    fn of(alert: &AlertStatus, rule: &RuleConfig) -> Self {
        let texts =
            |labels: &Labels| labels.iter().map(|label| (label.name.to_string(), label.value.to_string())).collect();
        let mut annotations: BTreeMap<String, String> = texts(&alert.annotations);
        // Empty ones are not kept with the alert, but promtool compares them.
        for entry in &rule.annotations {
            annotations.entry(entry.name.to_string()).or_default();
        }
        ShownAlert { labels: texts(&alert.labels), annotations }
    }
}

/// Those of `alerts` that fire.
pub(super) fn firing<'a>(
    alerts: &'a [AlertStatus],
    rule: &'a RuleConfig,
) -> impl Iterator<Item = ShownAlert> + use<'a> {
    alerts.iter().filter(|alert| alert.state == AlertState::Firing).map(|alert| ShownAlert::of(alert, rule))
}

/// How to tell a difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// All of what is expected, then all of what fires.
    Whole,
    /// What differs, in colours.
    Diff,
}

/// promtool's text about `test`, in the test group `group`, where `got` is not what it expects.
pub(super) fn difference(test: &AlertTest, group: &str, mut got: Vec<ShownAlert>, style: Style) -> Option<String> {
    let mut expected: Vec<ShownAlert> = test
        .expected
        .iter()
        .map(|alert| {
            let mut labels = alert.labels.clone();
            labels.insert(crate::model::ALERT_NAME.to_owned(), test.alertname.clone());
            ShownAlert { labels, annotations: alert.annotations.clone() }
        })
        .collect();
    got.sort();
    expected.sort();
    let is_met = match test.matching {
        Matching::Exact => expected == got,
        Matching::Partial => are_covered(&expected, &got),
    };
    if is_met {
        return None;
    }
    let name = if group.is_empty() { String::new() } else { format!("    name: {group},\n") };
    let head = format!("{name}    alertname: {}, time: {}, \n", test.alertname, format_duration(test.eval_time));
    Some(match style {
        Style::Whole => format!("{head}        exp:{}, \n        got:{}", list_text(&expected), list_text(&got)),
        Style::Diff => format!("{head}        diff: {}", diff::of_alerts(expected, got, 12)),
    })
}

/// Whether each of `expected` has an alert of its own that has at least its labels and annotations, and none is left over.
fn are_covered(expected: &[ShownAlert], got: &[ShownAlert]) -> bool {
    if expected.len() != got.len() {
        return false;
    }
    let covers = |expected: &ShownAlert, got: &ShownAlert| {
        let has = |all: &BTreeMap<String, String>, some: &BTreeMap<String, String>| {
            some.iter().all(|(name, value)| all.get(name).is_some_and(|found| found == value))
        };
        has(&got.labels, &expected.labels) && has(&got.annotations, &expected.annotations)
    };
    // `owner[i]` is the expected alert to which `got[i]` is given; augmenting paths find a full assignment if there is one.
    let mut owner: Vec<Option<usize>> = vec![None; got.len()];
    (0..expected.len()).all(|index| {
        let mut tried = vec![false; got.len()];
        let mut path = vec![(index, 0)];
        // Depth first without recursion: each entry is an expected alert and the next alert to try for it.
        while let Some((wanting, next)) = path.pop() {
            let free = (next..got.len()).find(|at| !tried[*at] && covers(&expected[wanting], &got[*at]));
            let Some(at) = free else { continue };
            tried[at] = true;
            path.push((wanting, at + 1));
            match owner[at] {
                Some(holder) => path.push((holder, 0)),
                None => {
                    // Each on the path takes what it tried last; its former one goes to the next on the path.
                    for (taker, next) in path {
                        owner[next - 1] = Some(taker);
                    }
                    return true;
                }
            }
        }
        false
    })
}

fn list_text(alerts: &[ShownAlert]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let items: Vec<String> = alerts
        .iter()
        .enumerate()
        .map(|(index, alert)| {
            let (labels, annotations) = (text(&alert.labels), text(&alert.annotations));
            format!("            {index}:\n              Labels:{labels}\n              Annotations:{annotations}")
        })
        .collect();
    format!("[\n{}\n            ]", items.join(",\n"))
}

fn text(map: &BTreeMap<String, String>) -> String {
    labels_text(map.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(labels: &str) -> ShownAlert {
        let labels = labels.split(' ').filter_map(|pair| pair.split_once('='));
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        ShownAlert { labels, annotations: BTreeMap::new() }
    }

    #[test]
    fn partial_matching_finds_an_assignment_where_there_is_one() {
        let check = |expected: &[&str], got: &[&str], is_met: bool| {
            let alerts = |texts: &[&str]| texts.iter().map(|text| alert(text)).collect::<Vec<_>>();
            assert_eq!(are_covered(&alerts(expected), &alerts(got)), is_met, "{expected:?} {got:?}");
        };
        check(&[], &[], true);
        check(&["a=1"], &["a=1 b=2"], true);
        check(&["a=1"], &["a=1", "a=1 b=2"], false);
        check(&["a=1", "b=2"], &["a=1 b=2", "a=1 b=2"], true);
        // The first must give way to the second, and that to the third.
        check(&["a=1", "b=2", "c=3"], &["a=1 b=2", "a=1 b=2 c=3", "a=1"], true);
        check(&["", "a=1", "a=1 b=2"], &["a=1 b=2", "a=1", "c=1"], true);
        check(&["a=1 b=2", "a=1", ""], &["c=1", "a=1 b=2", "a=1 b=2"], true);
        check(&["a=1 b=2", "a=1 b=2", ""], &["c=1", "a=1 b=2", "a=1"], false);
    }
}
