//! What is said in words: errors and annotations.

use std::collections::BTreeSet;

use almenara::promql::ast::ExprKind;
use almenara::promql::functions::FunctionId;

use super::answer::{Histogram, Point};
use super::inquiry::{Node, Pair, Rules, Times};
use super::rules::STATISTICS;

const OMITTED: &str = "which ten of many annotations are told";
const MISMATCH: &str = "which of several mismatched types of an operator are told";

const SUBQUERY_TEXT: &str = "newer: a message names what subqueries may hold";
const SORT_WARNING: &str = "newer: a warning says that sorting has no effect";
const TEXT: &str = "newer: the text of an annotation";
const NEGATED: &str = "newer: a negated native histogram is a gauge";
const LEXER: &str = "newer: what a range may hold";
pub(super) const COMPUTED: &str = "newer: durations may be computed without a feature flag";
const HELP: &str = "our help after a parse error";
const PLACE: &str = "the place of a message or annotation: 3.5 points at parentheses, at 1:1 for subqueries, and at an earlier parenthesis";
const TOKEN: &str = "a token that 3.5 has no name for";

/// Both refuse a text.
pub(super) fn of_parse_errors(query: &str, theirs: &str, ours: &str) -> Option<&'static str> {
    let has_help = |text: &str| ours.strip_prefix(text).is_some_and(|help| help.is_empty() || help.starts_with("; "));
    if has_help(theirs) {
        return Some(HELP);
    }
    let told = theirs
        .replace(", expected number or duration or ", ", expected number, duration, step(), range(), or ")
        .replace(", expected number or duration", ", expected number, duration, step(), or range()");
    let newer = told.replace("in subquery selector,", "in subquery or range selector,");
    if has_help(&newer) || has_help(&told) {
        return Some(SUBQUERY_TEXT);
    }
    let is_of_range =
        theirs.contains("unexpected colon ") || theirs.contains("unexpected character in duration expression");
    if is_of_range && (ours.contains(", expected ':'") || ours.contains("in subquery or range selector, expected")) {
        return Some(LEXER);
    }
    if let Some((head, tail)) = newer.split_once("\"<Item ")
        && let Some((_, tail)) = tail.split_once("\" ")
    {
        return has_help(&format!("{head}{tail}")).then_some(TOKEN);
    }
    let (place, message) = theirs.split_once("parse error: ")?;
    let column: usize = place.rsplit(':').nth(1)?.parse().ok()?;
    let is_after_parenthesis = query.get(..column - 1)?.trim_end().ends_with(')');
    let is_said = ours.split_once("parse error: ")?.1.starts_with(message);
    (is_said && is_after_parenthesis).then_some(PLACE)
}

/// A message about two series of one match group on the side that should have one.
#[derive(Debug, PartialEq)]
pub(super) struct Duplicates<'t> {
    group: &'t str,
    side: &'t str,
    pub(super) series: [&'t str; 2],
}

impl<'t> Duplicates<'t> {
    pub(super) fn of(text: &'t str) -> Option<Self> {
        let rest = text.strip_prefix("found duplicate series for the match group ")?;
        let (group, rest) = rest.split_once(" on the ")?;
        let (side, rest) = rest.split_once(" hand-side of the operation: [")?;
        let (pair, _) = rest.split_once("];many-to-many matching not allowed")?;
        let middle = pair.find("}, {")?;
        Some(Duplicates { group, side, series: [&pair[..=middle], &pair[middle + 3..]] })
    }

    pub(super) fn sorted(&self) -> Self {
        let mut series = self.series;
        series.sort_unstable();
        Duplicates { series, ..*self }
    }

    /// Whether `series` has the labels of the group.
    pub(super) fn has_group(&self, series: &str) -> bool {
        let labels = self.group.trim_matches(['{', '}']);
        labels.is_empty() || labels.split(", ").all(|label| series.contains(label))
    }
}

/// The rules under which annotations are equal; `None` where they are not.
pub(super) fn of_annotations(node: &Node<'_>) -> Option<Rules> {
    let Pair { theirs, ours } = node.pair;
    let (mut theirs, mut ours) = (theirs.annotations.clone(), ours.annotations.clone());
    let mut rules = Rules::new();
    if theirs.iter().chain(&ours).any(|text| text.ends_with("annotations omitted")) {
        return (told(&theirs) == told(&ours)).then(|| Rules::from([OMITTED]));
    }
    let is_sorted_range = matches!(node.times, Times::Steps { .. })
        && matches!(&node.expr.kind, ExprKind::Call(call) if matches!(call.function.id,
            FunctionId::Sort | FunctionId::SortDesc | FunctionId::SortByLabel | FunctionId::SortByLabelDesc));
    let is_sort_warning = |text: &String| text.contains("sort is ineffective for range queries");
    if is_sorted_range && !theirs.iter().any(is_sort_warning) && ours.iter().any(is_sort_warning) {
        ours.retain(|text| !is_sort_warning(text));
        rules.insert(SORT_WARNING);
    }
    if let ExprKind::Binary(binary) = &node.expr.kind
        && theirs != ours
    {
        let mismatch = format!("incompatible sample types encountered for binary operator {:?}", binary.op.as_str());
        // Of all elements that an operator gives up 3.5 tells the last.
        let layout = format!("incompatible bucket layout encountered for binary operator {}", binary.op.as_str());
        let is_mismatch = |text: &String| text.contains(&mismatch) || text.contains(&layout);
        if theirs.iter().any(is_mismatch) && ours.iter().any(is_mismatch) {
            theirs.retain(|text| !is_mismatch(text));
            ours.retain(|text| !is_mismatch(text));
            rules.insert(MISMATCH);
        }
    }
    if theirs == ours {
        return Some(rules);
    }
    let is_statistic = matches!(&node.expr.kind, ExprKind::Call(call) if matches!(call.function.id,
        FunctionId::HistogramAvg | FunctionId::HistogramCount | FunctionId::HistogramSum));
    let is_reset = |text: &String| text.contains("conflicting counter resets during histogram");
    if is_statistic && theirs.iter().chain(&ours).any(is_reset) {
        theirs.retain(|text| !is_reset(text));
        ours.retain(|text| !is_reset(text));
        rules.insert(STATISTICS);
        if theirs == ours {
            return Some(rules);
        }
    }
    let simplify = |texts: &BTreeSet<String>, simpler: fn(&str) -> String| -> BTreeSet<String> {
        texts.iter().map(|text| simpler(text)).collect()
    };
    let (theirs, ours) = (simplify(&theirs, without_details), simplify(&ours, without_details));
    if theirs == ours {
        rules.insert(TEXT);
        return Some(rules);
    }
    let without_place: fn(&str) -> String = |text| text.rsplit_once(" (").map_or(text, |(text, _)| text).to_owned();
    let (mut theirs, mut ours) = (simplify(&theirs, without_place), simplify(&ours, without_place));
    if theirs == ours && node.pair.theirs.annotations.iter().all(|text| is_odd_place(text, node)) {
        rules.insert(PLACE);
        return Some(rules);
    }
    // Something in the window is negative as a whole, so that it can only have been negated; or it stands under a minus.
    let holds_negated = node.parts.iter().any(|part| {
        let is_below_minus = matches!(part.expr.unparenthesised().kind, ExprKind::Unary { .. });
        let is_negated = |histogram: &Histogram| is_below_minus || histogram.count < 0.0;
        part.read.series.values().flat_map(|all| all.values()).filter_map(Point::histogram).any(is_negated)
    });
    ours.retain(|text| !text.contains("this native histogram metric is not a counter") || theirs.contains(text));
    theirs.retain(|text| !text.contains("this native histogram metric is not a gauge") || ours.contains(text));
    if holds_negated && theirs == ours {
        rules.insert(NEGATED);
        return Some(rules);
    }
    None
}

/// Whether 3.5 says that something is at a parenthesis, or at the start of the whole; or we say the same.
fn is_odd_place(text: &str, node: &Node<'_>) -> bool {
    let place = text.rsplit_once(" (1:").and_then(|(_, place)| place.strip_suffix(')')?.parse::<usize>().ok());
    let is_odd = |column| column == 1 || node.text.as_bytes().get(column - 1) == Some(&b'(');
    node.pair.ours.annotations.contains(text) || place.is_some_and(is_odd)
}

/// How many annotations there are, those that are only counted included.
fn told(texts: &BTreeSet<String>) -> usize {
    let count = |text: &String| match text.strip_suffix(" annotations omitted") {
        Some(head) => head.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0),
        None => 1,
    };
    texts.iter().map(count).sum()
}

/// Without the metric's name, which newer versions say only where it has one, without how far buckets were from monotonic, and without
/// which step's quantile was out of range.
fn without_details(text: &str) -> String {
    let (text, place) = text.rsplit_once(" (").unwrap_or((text, ""));
    let text = text.split(" between 0 and 1, got ").next().unwrap_or_default();
    let text = text.split(" for metric name ").next().unwrap_or_default();
    let text = text.split(", from buckets ").next().unwrap_or_default();
    format!("{text} ({place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_parsing_differ_by_help_and_odd_places_only() {
        let of = |theirs: &str, ours: &str| of_parse_errors("sum(a) == b", theirs, ours);
        assert_eq!(of("1:1: parse error: a", "1:1: parse error: a; write b"), Some(HELP));
        assert_eq!(of("1:1: parse error: a", "1:1: parse error: b"), None);
        assert_eq!(of("invalid: 1:7: parse error: a", "invalid: 1:8: parse error: a"), Some(PLACE));
        assert_eq!(of("invalid: 1:6: parse error: a", "invalid: 1:8: parse error: a"), None);
    }

    #[test]
    fn duplicates_are_taken_from_their_message() {
        let text = "found duplicate series for the match group {a=\"1\"} on the right hand-side of the operation: \
                    [{a=\"1\", b=\"2\"}, {a=\"1\", b=\"1\"}];many-to-many matching not allowed: matching labels must be unique \
                    on one side";
        let duplicates = Duplicates::of(text).expect("such a message");
        assert_eq!(duplicates.series, ["{a=\"1\", b=\"2\"}", "{a=\"1\", b=\"1\"}"]);
        assert_eq!(duplicates.sorted().series, ["{a=\"1\", b=\"1\"}", "{a=\"1\", b=\"2\"}"]);
        assert!(duplicates.has_group(duplicates.series[0]) && !duplicates.has_group("{b=\"2\"}"));
    }
}
