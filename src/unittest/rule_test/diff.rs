//! `--diff`: expected and firing alerts as JSON laid over each other, in promtool's colours.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::quote;

use super::alerts::ShownAlert;

const ADDED: &str = "\u{1b}[0;32m";
const REMOVED: &str = "\u{1b}[0;31m";
const CHANGED: &str = "\u{1b}[0;33m";
const PLAIN: &str = "\u{1b}[0m";
const STEP: usize = 4;

/// Both lists, position by position; lines after the first are indented by `indent`.
pub(super) fn of_alerts(mut expected: Vec<ShownAlert>, mut got: Vec<ShownAlert>, indent: usize) -> String {
    for list in [&mut expected, &mut got] {
        if list.is_empty() {
            list.push(ShownAlert { labels: BTreeMap::new(), annotations: BTreeMap::new() });
        }
    }
    let count = expected.len().max(got.len());
    let mut lines = vec!["[".to_owned()];
    for index in 0..count {
        let comma = if index + 1 < count { "," } else { "" };
        let depth = indent + STEP;
        match (expected.get(index), got.get(index)) {
            (Some(expected), Some(got)) => changed(expected, got, depth, comma, &mut lines),
            (Some(alert), None) => whole(alert, REMOVED, depth, comma, &mut lines),
            (None, Some(alert)) => whole(alert, ADDED, depth, comma, &mut lines),
            (None, None) => unreachable!("BUG: neither list is so long"),
        }
    }
    lines.push(format!("{}]", " ".repeat(indent)));
    lines.join("\n")
}

fn changed(expected: &ShownAlert, got: &ShownAlert, depth: usize, comma: &str, lines: &mut Vec<String>) {
    let indent = " ".repeat(depth);
    lines.push(format!("{indent}{{"));
    changed_map("Annotations", (&expected.annotations, &got.annotations), depth + STEP, ",", lines);
    changed_map("Labels", (&expected.labels, &got.labels), depth + STEP, "", lines);
    lines.push(format!("{indent}}}{comma}"));
}

type Texts = BTreeMap<String, String>;

fn changed_map(name: &str, (expected, got): (&Texts, &Texts), depth: usize, comma: &str, lines: &mut Vec<String>) {
    let indent = " ".repeat(depth);
    let keys: BTreeSet<&String> = expected.keys().chain(got.keys()).collect();
    if keys.is_empty() {
        lines.push(format!("{indent}\"{name}\": {{}}{comma}"));
        return;
    }
    lines.push(format!("{indent}\"{name}\": {{"));
    let last = keys.len() - 1;
    for (index, key) in keys.into_iter().enumerate() {
        let pair = |value: &str| format!("{}: {}", quote(key), quote(value));
        let text = match (expected.get(key), got.get(key)) {
            (Some(expected), Some(got)) if expected == got => pair(got),
            (Some(expected), Some(got)) => {
                format!("{}: {CHANGED}{} => {}{PLAIN}", quote(key), quote(expected), quote(got))
            }
            (Some(expected), None) => format!("{REMOVED}{}{PLAIN}", pair(expected)),
            (None, got) => format!("{ADDED}{}{PLAIN}", pair(got.map_or("", String::as_str))),
        };
        let comma = if index < last { "," } else { "" };
        lines.push(format!("{indent}{}{text}{comma}", " ".repeat(STEP)));
    }
    lines.push(format!("{indent}}}{comma}"));
}

/// An alert that only one side has.
fn whole(alert: &ShownAlert, colour: &str, depth: usize, comma: &str, lines: &mut Vec<String>) {
    let line = |depth: usize, text: &str| format!("{}{colour}{text}{PLAIN}", " ".repeat(depth));
    lines.push(line(depth, "{"));
    for (name, map, comma) in [("Annotations", &alert.annotations, ","), ("Labels", &alert.labels, "")] {
        if map.is_empty() {
            lines.push(line(depth + STEP, &format!("\"{name}\": {{}}{comma}")));
            continue;
        }
        lines.push(line(depth + STEP, &format!("\"{name}\": {{")));
        for (index, (key, value)) in map.iter().enumerate() {
            let comma = if index + 1 < map.len() { "," } else { "" };
            lines.push(line(depth + 2 * STEP, &format!("{}: {}{comma}", quote(key), quote(value))));
        }
        lines.push(line(depth + STEP, &format!("}}{comma}")));
    }
    lines.push(format!("{}{comma}", line(depth, "}")));
}
