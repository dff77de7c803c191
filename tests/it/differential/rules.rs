//! What accounts for a difference, by what was answered: nothing here looks at the words of a query.
//!
//! We follow Prometheus 3.14, and the peer is 3.5, so most rules name what has changed between the two, as `docs/src/differences.md` does
//! for users. A rule is asked about one node of an expression whose operands got equal answers from both servers.

use std::collections::{BTreeMap, BTreeSet};

use almenara::model::{Matcher, is_legacy_name, quote};
use almenara::promql::Expr;
use almenara::promql::ast::{Aggregate, AggregateOp, AtModifier, Binary, BinaryOp, Call, ExprKind};
use almenara::promql::functions::FunctionId;
use serde_json::Value as Json;

use super::answer::{self, Metric, Point, Read};
use super::inquiry::{Both, Inquiry, Node, Pair, Rules, Times};
use super::numbers;
use super::texts;

// What a map of Go decides.
pub(super) const ORDER: &str = "order of a vector or of annotations";
const WHICH_DUPLICATE: &str = "which of several duplicates a message names";
pub(super) const ADDED_UP: &str = "last digits of what was added up in another order";
const TIES: &str = "which of equal elements topk and bottomk keep, and which elements limitk keeps";
const ZEROS: &str = "which of the zeros of both signs min and max give";

// What has changed since 3.5.
const BAD_PARAMETER: &str = "newer: a parameter that cannot be used is an error by itself";
const DROPPED_MATCH: &str = "newer: elements that a comparison drops count as matches";
const SORTED_PAIR: &str = "newer: a message names two duplicates in order";
pub(super) const COMPENSATED: &str = "newer: sums of native histograms are compensated, which shows in the last digits";
pub(super) const RATE: &str = "newer: rates of native histograms are not extrapolated below zero (prometheus#15976)";
const FRACTION: &str = "newer: histogram_fraction() of classic histograms in the lowest bucket (prometheus#17367)";
const MAD: &str = "newer: mad_over_time() of NaN is NaN";
const INFO: &str = "newer: info() keeps series that have the labels already (prometheus#17817), and looks at the same time as what gets them";

const JOINED: &str = "newer: label_replace() and label_join() join series that get the same labels at different times";

// What we do otherwise.
const UNEXPECTED: &str = "a message about what 3.5 calls an unexpected error";
pub(super) const ADDS_UP: &str =
    "an average of native histograms whose buckets do not add up to its count in 3.5, but do here";
const CHANGES: &str = "changes() over a subquery counts the changes of native histograms as both print them, 3.5 fewer";
/// In 3.5 what stands below these functions is read without buckets, whatever else looks at it.
pub(super) const STATISTICS: &str =
    "below histogram_count, _sum and _avg 3.5 reads counts and sums only, also for == and for resets";
const ABSENT: &str = "absent() and absent_over_time() go by the matchers as they are written, 3.5 by another order";
const TIMESTAMP: &str = "timestamp() of a selector with both @ and offset: 3.5 selects by both and then reads at @";
const UNLABELLED: &str =
    "sort_by_label() leaves elements without the label where they stood in 3.5, and puts them first here";
const EQUAL: &str = "native histograms are equal whether empty buckets are written or not";

/// Both refuse the text, or one of them does.
pub(super) fn of_refusals(query: &str, pair: &Pair) -> Option<&'static str> {
    let (theirs, ours) = (pair.theirs.error(), pair.ours.error());
    if theirs.contains("experimental duration expression is not enabled") && !ours.contains("is not enabled") {
        return Some(texts::COMPUTED);
    }
    if theirs.ends_with(": unexpected error") && ours.contains("parse error") {
        return Some(UNEXPECTED);
    }
    let both = pair.theirs.error.as_ref()?.0 == pair.ours.error.as_ref()?.0;
    (both && theirs.contains("parse error")).then(|| texts::of_parse_errors(query, theirs, ours))?
}

/// What both hold is the same; the order of elements may only differ where nobody asked for one.
pub(super) fn of_order(expr: &Expr, both: &Both) -> Option<&'static str> {
    let is_sorted = matches!(&expr.kind, ExprKind::Call(call) if sorts(call.function.id));
    let is_other = is_sorted && answer::values(&both.theirs) != answer::values(&both.ours);
    let rule = match is_other {
        false => ORDER,
        true if sorts_by_absent_label(expr, &both.ours) => UNLABELLED,
        true => return None,
    };
    (in_order(&both.theirs.1)? == in_order(&both.ours.1)?).then_some(rule)
}

/// Whether elements are sorted by a label that one of them has not.
fn sorts_by_absent_label(expr: &Expr, answer: &answer::Answer) -> bool {
    let ExprKind::Call(call) = &expr.kind else { return false };
    if !matches!(call.function.id, FunctionId::SortByLabel | FunctionId::SortByLabelDesc) {
        return false;
    }
    let json: Json = serde_json::from_str(&answer.1).unwrap_or_default();
    let elements = json["data"]["result"].as_array().cloned().unwrap_or_default();
    call.args.iter().any(|arg| match &arg.kind {
        ExprKind::String(name) => elements.iter().any(|element| element["metric"].get(&**name).is_none()),
        _ => false,
    })
}

fn sorts(id: FunctionId) -> bool {
    matches!(id, FunctionId::Sort | FunctionId::SortDesc | FunctionId::SortByLabel | FunctionId::SortByLabelDesc)
}

/// With vectors and annotations in order of their text.
fn in_order(answer: &str) -> Option<Json> {
    let mut answer: Json = serde_json::from_str(answer).ok()?;
    let sort = |list: &mut Json, key: fn(&Json) -> String| {
        if let Some(list) = list.as_array_mut() {
            list.sort_by_key(key);
        }
    };
    if answer["data"]["resultType"] == "vector" {
        sort(&mut answer["data"]["result"], |element| element["metric"].to_string());
    }
    for key in ["warnings", "infos"] {
        if let Some(list) = answer.get_mut(key) {
            sort(list, ToString::to_string);
        }
    }
    Some(answer)
}

/// What accounts for the answers at `node`, whose operands have equal ones.
pub(super) fn of_node(inquiry: &mut Inquiry<'_>, node: &Node<'_>) -> Option<Rules> {
    let Pair { theirs, ours } = node.pair;
    let mut rules = Rules::new();
    match (&theirs.error, &ours.error) {
        (Some(theirs), Some(ours)) if theirs.0 == ours.0 => return of_errors(node, &theirs.1, &ours.1).map(one),
        (None, Some((_, error))) => return of_new_error(inquiry, node, error).map(one),
        (Some((_, error)), None) => return of_old_error(node, error).map(one),
        (None, None) => {}
        _ => return None,
    }
    if reads_statistics(inquiry, node) {
        return Some(one(STATISTICS));
    }
    if theirs.annotations != ours.annotations {
        rules.extend(texts::of_annotations(node)?);
    }
    if !theirs.has_data_of(ours) {
        rules.insert(of_data(inquiry, node)?);
    }
    Some(rules)
}

fn one(rule: &'static str) -> Rules {
    Rules::from([rule])
}

fn of_errors(node: &Node<'_>, theirs: &str, ours: &str) -> Option<&'static str> {
    if let Some(rule) = of_parameter(node, ours) {
        return Some(rule);
    }
    let (their_pair, our_pair) = (texts::Duplicates::of(theirs)?, texts::Duplicates::of(ours)?);
    if their_pair.sorted() == our_pair {
        return Some(SORTED_PAIR);
    }
    // Another group of duplicates, or others of the same: whatever is named has to be there.
    let is_there = |duplicates: &texts::Duplicates<'_>| {
        let series: BTreeSet<String> =
            node.parts.iter().flat_map(|part| part.read.series.keys()).map(go_labels).collect();
        duplicates.series.iter().all(|one| series.contains(*one) && duplicates.has_group(one))
    };
    (is_there(&their_pair) && is_there(&our_pair)).then_some(WHICH_DUPLICATE)
}

/// As messages write labels.
fn go_labels(metric: &Metric) -> String {
    let name = |name: &str| if is_legacy_name(name) { name.to_owned() } else { quote(name) };
    let labels: Vec<String> = metric.iter().map(|(label, value)| format!("{}={}", name(label), quote(value))).collect();
    format!("{{{}}}", labels.join(", "))
}

/// Our error about the number before the elements of an aggregation: the number is as it says.
fn of_parameter(node: &Node<'_>, error: &str) -> Option<&'static str> {
    let ExprKind::Aggregate(aggregate) = &node.expr.kind else { return None };
    let param = aggregate.param.as_ref()?;
    let part = node.parts.iter().find(|part| std::ptr::eq(part.expr, param));
    let literal = match &param.unparenthesised().kind {
        ExprKind::Number(value) | ExprKind::Duration(value) => Some(*value),
        _ => None,
    };
    let of_part = part.into_iter().flat_map(|part| part.read.series.values().flat_map(|points| points.values()));
    let mut values = of_part.filter_map(Point::number).chain(literal);
    let limit = 9_223_372_036_854_775_808.0;
    let holds = match error {
        "Parameter value is NaN" | "Ratio value is NaN" => values.any(f64::is_nan),
        _ if error.ends_with("overflows int64") => values.any(|value| value >= limit),
        _ if error.ends_with("underflows int64") => values.any(|value| value <= -limit),
        _ => false,
    };
    holds.then_some(BAD_PARAMETER)
}

/// They have a result and we an error.
fn of_new_error(inquiry: &mut Inquiry<'_>, node: &Node<'_>, error: &str) -> Option<&'static str> {
    match &node.expr.kind {
        ExprKind::Aggregate(_) => of_parameter(node, error),
        // With `bool` nothing is dropped, and 3.5 has the same error.
        ExprKind::Binary(binary) if binary.op.is_comparison() && !binary.return_bool => {
            let mut kept = (**binary).clone();
            kept.return_bool = true;
            let kept = Expr { span: node.expr.span, kind: ExprKind::Binary(Box::new(kept)) };
            let answer = inquiry.ask(&kept.to_string(), node.times).theirs;
            (Read::of(&answer)?.error() == error).then_some(DROPPED_MATCH)
        }
        _ => None,
    }
}

/// An error that only 3.5 has.
fn of_old_error(node: &Node<'_>, error: &str) -> Option<&'static str> {
    let ExprKind::Call(call) = &node.expr.kind else { return None };
    let relabels = matches!(call.function.id, FunctionId::LabelReplace | FunctionId::LabelJoin);
    let is_of_range = matches!(node.times, Times::Steps { .. });
    (relabels && is_of_range && error == "vector cannot contain metrics with the same labelset").then_some(JOINED)
}

/// The values of an answer differ.
fn of_data(inquiry: &mut Inquiry<'_>, node: &Node<'_>) -> Option<&'static str> {
    match &node.expr.kind {
        ExprKind::Aggregate(aggregate) => of_aggregation(node, aggregate),
        ExprKind::Binary(binary) => of_operator(node, binary),
        ExprKind::Call(call) => of_call(inquiry, node, call),
        _ => None,
    }
}

fn of_aggregation(node: &Node<'_>, aggregate: &Aggregate) -> Option<&'static str> {
    use AggregateOp::{Avg, Bottomk, Limitk, Max, Min, Stddev, Stdvar, Sum, Topk};
    let is_zero = |point: Option<&Point>| point.and_then(Point::number) == Some(0.0);
    match aggregate.op {
        Min | Max => {
            let differ = differing(node.pair);
            differ.into_iter().all(|(_, _, theirs, ours)| is_zero(theirs) && is_zero(ours)).then_some(ZEROS)
        }
        Topk | Bottomk | Limitk => is_tie(node, aggregate).then_some(TIES),
        Sum | Avg | Stddev | Stdvar => numbers::of_sums(node, aggregate),
        _ => None,
    }
}

/// The labels of the group of `metric`.
pub(super) fn group(aggregate: &Aggregate, metric: &Metric) -> Metric {
    let is_listed = |name: &String| aggregate.grouping.iter().any(|label| **label == **name);
    let stays = |name: &String| match aggregate.without {
        true => !is_listed(name) && name != "__name__",
        false => is_listed(name),
    };
    metric.iter().filter(|(name, _)| stays(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether both keep equally many elements of each group, with the same values, which for `limitk` may be any.
fn is_tie(node: &Node<'_>, aggregate: &Aggregate) -> bool {
    let Some(members) = node.parts.last().map(|part| &part.read) else { return false };
    let Pair { theirs, ours } = node.pair;
    let times: BTreeSet<&str> = theirs.times().into_iter().chain(ours.times()).collect();
    times.into_iter().all(|time| {
        let kept = |read: &Read| -> Option<Vec<(Metric, String)>> {
            let mut kept = Vec::new();
            for (metric, point) in read.at(time) {
                if members.get(metric, time) != Some(point) {
                    return None;
                }
                let value = match (aggregate.op, point) {
                    (AggregateOp::Limitk, _) => String::new(),
                    // Zeros of both signs are equal.
                    (_, point) => format!("{:?}", point.number()? + 0.0),
                };
                kept.push((group(aggregate, metric), value));
            }
            kept.sort();
            Some(kept)
        };
        kept(theirs).is_some_and(|theirs| Some(theirs) == kept(ours))
    })
}

/// An element stays on one side only, or compares otherwise, since two histograms that print alike are not equal in 3.5.
fn of_operator(node: &Node<'_>, binary: &Binary) -> Option<&'static str> {
    if !matches!(binary.op, BinaryOp::Eq | BinaryOp::Ne) {
        return None;
    }
    let [left, right] = node.parts else { return None };
    let Pair { theirs, ours } = node.pair;
    let times: BTreeSet<&str> = theirs.times().into_iter().chain(ours.times()).collect();
    let is_alike = |time: &str, point: Option<&Point>| {
        let alike = |one: &Point, other: &Point| one.histogram().is_some() && one == other;
        match (binary.return_bool, point) {
            (false, Some(point)) => {
                [left, right].iter().all(|part| part.read.at(time).any(|(_, one)| alike(one, point)))
            }
            _ => left.read.at(time).any(|(_, one)| right.read.at(time).any(|(_, other)| alike(one, other))),
        }
    };
    let holds = times.iter().all(|time| {
        let metrics: BTreeSet<&Metric> = theirs.at(time).chain(ours.at(time)).map(|(metric, _)| metric).collect();
        metrics.into_iter().all(|metric| {
            let (theirs, ours) = (theirs.get(metric, time), ours.get(metric, time));
            theirs == ours || is_alike(time, theirs.or(ours))
        })
    });
    holds.then_some(EQUAL)
}

fn of_call(inquiry: &mut Inquiry<'_>, node: &Node<'_>, call: &Call) -> Option<&'static str> {
    use FunctionId::{
        Absent, AbsentOverTime, AvgOverTime, Changes, HistogramAvg, HistogramCount, HistogramFraction, HistogramSum,
        Increase, Info, MadOverTime, Rate, SumOverTime, TimestampOf,
    };
    match call.function.id {
        HistogramFraction => in_lowest_bucket(node, call).then_some(FRACTION),
        HistogramAvg | HistogramCount | HistogramSum => is_of_statistics(node, call).then_some(STATISTICS),
        Changes => counts_changes(node, call).then_some(CHANGES),
        Absent | AbsentOverTime => is_of_repeated_label(node, call).then_some(ABSENT),
        Info => of_info(inquiry, node, call),
        MadOverTime => holds_nan(inquiry, node, call).then_some(MAD),
        SumOverTime | AvgOverTime => numbers::of_windows(inquiry, node, call),
        Rate | Increase => numbers::of_rates(node),
        TimestampOf => is_of_fixed_offset(call).then_some(TIMESTAMP),
        _ => None,
    }
}

fn is_of_fixed_offset(call: &Call) -> bool {
    let ExprKind::VectorSelector(selector) = &call.args[0].unparenthesised().kind else { return false };
    selector.at.is_some() && selector.offset_ms != 0
}

/// Whether a figure of histograms among the operands is another one to 3.5 as soon as something is done with it.
fn reads_statistics(inquiry: &mut Inquiry<'_>, node: &Node<'_>) -> bool {
    let is_figure = |expr: &Expr| {
        use FunctionId::{HistogramAvg, HistogramCount, HistogramSum};
        matches!(&expr.unparenthesised().kind, ExprKind::Call(call)
            if matches!(call.function.id, HistogramAvg | HistogramCount | HistogramSum))
    };
    node.parts.iter().filter(|part| is_figure(part.expr)).any(|part| {
        let more = format!("({}) * 1", part.expr.unparenthesised());
        let more = Read::of(&inquiry.ask(&more, node.times).theirs).unwrap_or_default();
        more.series != part.read.series
    })
}

/// Whether ours is the number of changes from point to point in the window, as both have them.
fn counts_changes(node: &Node<'_>, call: &Call) -> bool {
    let (ExprKind::Subquery(subquery), [part]) = (&call.args[0].unparenthesised().kind, node.parts) else {
        return false;
    };
    let fixed = match subquery.at {
        Some(AtModifier::Time(at)) => Some(at.as_ms()),
        _ => None,
    };
    let ms = |time: &str| (answer::number(time) * 1000.0).round() as i64;
    differing(node.pair).into_iter().all(|(metric, time, _, ours)| {
        let end = fixed.unwrap_or(ms(time)) - subquery.offset_ms;
        let of_series = part.read.series.iter().filter(|(one, _)| numbers::nameless(one) == numbers::nameless(metric));
        let mut points: Vec<(i64, &Point)> =
            of_series.flat_map(|(_, points)| points.iter().map(|(time, point)| (ms(time), point))).collect();
        points.retain(|(at, _)| (end - subquery.range_ms + 1..=end).contains(at));
        points.sort_by_key(|(at, _)| *at);
        let changes = points.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
        points.iter().any(|(_, point)| point.histogram().is_some())
            && ours.and_then(Point::number) == Some(changes as f64)
    })
}

/// Whether each element that differs is the figure of what is below, as both have it.
fn is_of_statistics(node: &Node<'_>, call: &Call) -> bool {
    let Some(below) = node.parts.first().map(|part| &part.read) else { return false };
    let figure = |point: &Point| {
        let histogram = point.histogram()?;
        Some(match call.function.id {
            FunctionId::HistogramCount => histogram.count,
            FunctionId::HistogramSum => histogram.sum,
            _ => histogram.sum / histogram.count,
        })
    };
    differing(node.pair).into_iter().all(|(metric, time, _, ours)| {
        let of_it = below.at(time).filter(|(one, _)| numbers::nameless(one) == numbers::nameless(metric));
        of_it.filter_map(|(_, point)| figure(point)).next() == ours.and_then(Point::number)
    })
}

/// Whether the answers are the same but for labels that several matchers are about.
fn is_of_repeated_label(node: &Node<'_>, call: &Call) -> bool {
    let matchers = match &call.args[0].unparenthesised().kind {
        ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => &selector.matchers,
        _ => return false,
    };
    let is_repeated = |name: &String| matchers.iter().filter(|matcher| *matcher.name == **name).count() > 1;
    let without = |read: &Read| -> Vec<_> {
        let labels = |metric: &Metric| {
            metric
                .iter()
                .filter(|(name, _)| !is_repeated(name))
                .map(|(a, b)| (a.clone(), b.clone()))
                .collect::<Metric>()
        };
        read.series.iter().map(|(metric, points)| (labels(metric), points.clone())).collect()
    };
    without(&node.pair.theirs) == without(&node.pair.ours)
}

/// The two points of each series that differ.
pub(super) fn differing(pair: &Pair) -> Vec<(&Metric, &str, Option<&Point>, Option<&Point>)> {
    let Pair { theirs, ours } = pair;
    let metrics: BTreeSet<&Metric> = theirs.series.keys().chain(ours.series.keys()).collect();
    let times: BTreeSet<&str> = theirs.times().into_iter().chain(ours.times()).collect();
    let all = metrics.into_iter().flat_map(|metric| times.iter().map(move |time| (metric, *time)));
    all.map(|(metric, time)| (metric, time, theirs.get(metric, time), ours.get(metric, time)))
        .filter(|(_, _, theirs, ours)| theirs != ours)
        .collect()
}

/// Whether one of the bounds lies within the lowest bucket of each histogram whose answers differ.
fn in_lowest_bucket(node: &Node<'_>, call: &Call) -> bool {
    let bound = |index: usize, time: &str| match &call.args[index].unparenthesised().kind {
        ExprKind::Number(value) => Some(*value),
        _ => {
            let part = node.parts.iter().find(|part| std::ptr::eq(part.expr, &call.args[index]))?;
            part.read.at(time).next()?.1.number()
        }
    };
    let Some(buckets) = node.parts.last().map(|part| &part.read) else { return false };
    let without = |metric: &Metric| -> Metric {
        metric
            .iter()
            .filter(|(name, _)| !["le", "__name__"].contains(&name.as_str()))
            .map(|(a, b)| (a.clone(), b.clone()))
            .collect()
    };
    differing(node.pair).into_iter().all(|(metric, time, theirs, ours)| {
        let of_it = buckets.at(time).filter(|(one, _)| without(one) == *metric);
        let lowest = of_it.filter_map(|(one, _)| Some(answer::number(one.get("le")?))).fold(f64::INFINITY, f64::min);
        let is_within = |index| bound(index, time).is_some_and(|bound| bound < lowest);
        theirs.is_some() && ours.is_some() && (is_within(0) || is_within(1))
    })
}

/// `info()`: what we have at each step that differs is what the function is defined to give of what it gets and of `target_info`, as they
/// have both.
fn of_info(inquiry: &mut Inquiry<'_>, node: &Node<'_>, call: &Call) -> Option<&'static str> {
    let base = &node.parts.first()?.read;
    let matchers = match call.args.get(1).map(|arg| &arg.unparenthesised().kind) {
        Some(ExprKind::VectorSelector(selector)) => selector.matchers.as_slice(),
        _ => &[],
    };
    let (fixed, offset) = first_selector_time(&call.args[0]).unwrap_or((None, 0));
    let times: BTreeSet<&str> = differing(node.pair).into_iter().map(|(_, time, _, _)| time).collect();
    for time in times {
        let at = fixed.unwrap_or((answer::number(time) * 1000.0).round() as i64) - offset;
        let infos = Read::of(&inquiry.ask("target_info", Times::At(at)).theirs)?;
        let defined = base.at(time).filter_map(|(metric, point)| Some((informed(metric, &infos, matchers)?, point)));
        if defined.collect::<BTreeMap<Metric, &Point>>()
            != node.pair.ours.at(time).map(|(a, b)| (a.clone(), b)).collect()
        {
            return None;
        }
    }
    Some(INFO)
}

/// `metric` with the labels of its target's info; `None` where it goes, since the labels asked for are missing.
fn informed(metric: &Metric, infos: &Read, matchers: &[Matcher]) -> Option<Metric> {
    let is = |one: &Metric, name: &str| one.get(name).cloned().unwrap_or_default();
    if is(metric, "__name__") == "target_info" {
        return Some(metric.clone());
    }
    let passes = |info: &&Metric| matchers.iter().all(|matcher| matcher.matches(&is(info, &matcher.name)));
    let is_of_target = |info: &&Metric| ["instance", "job"].iter().all(|name| is(info, name) == is(metric, name));
    match infos.series.keys().filter(passes).find(is_of_target) {
        Some(info) => {
            let is_wanted = |name: &String| {
                name != "__name__" && (matchers.is_empty() || matchers.iter().any(|matcher| *matcher.name == **name))
            };
            let wanted =
                info.iter().filter(|(name, _)| is_wanted(name)).map(|(name, value)| (name.clone(), value.clone()));
            Some(wanted.chain(metric.clone()).collect())
        }
        None => matchers.iter().all(Matcher::matches_empty).then(|| metric.clone()),
    }
}

/// `@` and offset of the first selector, those of the subqueries around it included up to the first that has `@`.
fn first_selector_time(expr: &Expr) -> Option<(Option<i64>, i64)> {
    let fixed = |at: Option<AtModifier>| match at {
        Some(AtModifier::Time(at)) => Some(at.as_ms()),
        _ => None,
    };
    match &expr.unparenthesised().kind {
        ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => {
            Some((fixed(selector.at), selector.offset_ms))
        }
        ExprKind::Subquery(subquery) => match first_selector_time(&subquery.expr)? {
            (None, offset) => Some((fixed(subquery.at), offset + subquery.offset_ms)),
            inner => Some(inner),
        },
        ExprKind::Call(call) => call.args.iter().find_map(first_selector_time),
        ExprKind::Aggregate(aggregate) => {
            first_selector_time(&aggregate.expr).or_else(|| aggregate.param.as_ref().and_then(first_selector_time))
        }
        ExprKind::Binary(binary) => first_selector_time(&binary.lhs).or_else(|| first_selector_time(&binary.rhs)),
        ExprKind::Unary { operand, .. } => first_selector_time(operand),
        _ => None,
    }
}

/// Whether each window whose answers differ holds a NaN, of which we say NaN.
fn holds_nan(inquiry: &mut Inquiry<'_>, node: &Node<'_>, call: &Call) -> bool {
    differing(node.pair).into_iter().all(|(metric, time, _, ours)| {
        let window = inquiry.window(&call.args[0], time);
        let mut of_series = window.iter().filter(|(one, _)| numbers::nameless(one) == numbers::nameless(metric));
        let has_nan = of_series.any(|(_, points)| points.iter().any(|point| point.number().is_some_and(f64::is_nan)));
        has_nan && ours.and_then(Point::number).is_some_and(f64::is_nan)
    })
}

/// Whether the elements of what is added up come in another order to each server.
pub(super) fn comes_in_any_order(node: &Node<'_>) -> bool {
    let orders = |part: &super::inquiry::Part<'_>| answer::order(&part.both.theirs) != answer::order(&part.both.ours);
    matches!(node.times, Times::Steps { .. }) || node.parts.iter().any(orders)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Each rule stands on the page that tells users of it.
    #[test]
    fn the_page_names_every_rule() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a file of the project");
        let page = read("docs/src/prometheus-3.5.md");
        let mut rules = 0;
        for file in ["rules.rs", "texts.rs", "inquiry.rs"] {
            let source = read(&format!("tests/it/differential/{file}"));
            let source = source.split("#[cfg(test)]").next().unwrap_or_default();
            for declaration in source.split("const ").skip(1).filter_map(|rest| rest.split_once(": &str =")) {
                let text = declaration.1.split('"').nth(1).expect("a text");
                assert!(page.contains(&format!("\n- {text}")), "{}: {text}", declaration.0);
                rules += 1;
            }
        }
        assert!(rules > 20, "only {rules} rules are found");
    }
}
