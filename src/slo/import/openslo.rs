//! OpenSLO `openslo/v1`: SLOs, with the indicators, alert policies and conditions that they name or hold.
//!
//! **Source.** OpenSLO v1 (2025-09), its Go library for what the text leaves open: a month is 30 days, a quarter 90, a year 365 where they
//! roll; a bare number of a slice's window is minutes.
//! **Differs:** composites are refused. A raw ratio, and counts that are not made of counters, are evaluated as queries: over the
//! window that `{{.window}}` or `$window` stands for, or else as their mean over each window. A threshold metric is compared minute by minute, also
//! within slices of time, which OpenSLO may ask once each. An SLO with several objectives is several, told apart by the
//! label `objective`. A condition that burns *below* a threshold is taken at its word, with a warning: early examples had it by mistake.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::promql::ast::{Expr, ExprKind};
use crate::source::Span;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

use super::super::decode_alerting::warn_of_unreachable;
use super::super::decode_window;
use super::super::policy::{Comparison, Policy, Severity, Tier};
use super::super::spec::{About, Budgeting, Objective, PartIs, Slo};
use super::super::window::{Calendar, Unit, Window};
use super::measured::{self, Measured, Threshold};
use super::queried::{self, Given, Sli};
use super::{joined, objective, terms};

/// Documents by kind and name, so that others can name them.
type Index<'n> = BTreeMap<(&'n str, &'n str), &'n Node>;

/// The kinds that stand beside SLOs; they are read where an SLO names them, or are nothing to us.
const OTHER_KINDS: [&str; 6] =
    ["SLI", "AlertPolicy", "AlertCondition", "AlertNotificationTarget", "DataSource", "Service"];

/// Reads all SLOs among the documents.
pub(super) fn read(decoder: &mut Decoder<'_>, documents: &[&Node]) -> Vec<Slo> {
    let mut index = Index::new();
    for root in documents {
        let kind = root.get("kind").and_then(Node::as_str).unwrap_or_default();
        let name = root.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::as_str);
        if kind != "SLO" && !OTHER_KINDS.contains(&kind) {
            let help = format!("OpenSLO v1 has SLO, {}", OTHER_KINDS.join(", "));
            decoder.error_with_help(root.get("kind").unwrap_or(root).span, format!("{kind:?} is not a kind"), help);
        } else if let Some(name) = name {
            index.insert((kind, name), root);
        } else {
            decoder.error(root.span, format!("the {kind} has no metadata.name"));
        }
    }
    let slos = documents.iter().filter(|root| root.get("kind").and_then(Node::as_str) == Some("SLO"));
    slos.filter_map(|root| slo(decoder, root, &index)).flatten().collect()
}

fn slo(decoder: &mut Decoder<'_>, root: &Node, index: &Index<'_>) -> Option<Vec<Slo>> {
    let name = root.get("metadata")?.get("name")?.as_str()?;
    let mut fields = decoder.fields(root, "SLO")?;
    for key in ["apiVersion", "kind", "metadata"] {
        fields.node(key);
    }
    let slos = fields.required("spec", |decoder, node| spec(decoder, node, name, index));
    fields.finish();
    slos
}

fn spec(decoder: &mut Decoder<'_>, node: &Node, name: &str, index: &Index<'_>) -> Option<Vec<Slo>> {
    let mut fields = decoder.fields(node, "spec")?;
    let span = fields.span;
    let description = fields.or("description", String::new(), Decoder::string);
    let service = fields.optional("service", Decoder::non_empty_string);
    let own = fields.node("indicator");
    let named = fields.optional("indicatorRef", |decoder, node| referred(decoder, node, index, "SLI"));
    let sli = own.or(named);
    if sli.is_none() && fields.key_span("indicatorRef").is_none() {
        let help = "write indicator or indicatorRef; composites, with indicators at the objectives, are not read";
        fields.decoder.error_with_help(span, "the SLO has no indicator", help);
    }
    let measured = sli.and_then(|node| indicator(fields.decoder, node));
    let window = fields.or("timeWindow", Window::Rolling(Duration::from_secs(30 * 86_400)), time_window);
    let method = fields.required("budgetingMethod", method);
    let method_span = fields.key_span("budgetingMethod").unwrap_or(span);
    let objectives = fields.required("objectives", |decoder, node| {
        decoder
            .list(node, |decoder, node| read_objective(decoder, node, method.as_deref(), (&window, measured.as_ref())))
    });
    let objectives_span = fields.key_span("objectives").unwrap_or(fields.span);
    let tiers = fields.or("alertPolicies", Vec::new(), |decoder, node| {
        decoder.list(node, |decoder, node| alert_policy(decoder, node, index))
    });
    fields.finish();
    let (Some(measured), Some(objectives)) = (measured, objectives) else { return None };
    if matches!(measured, Measured::Threshold(_)) && objectives.len() > 1 {
        let help = "write an SLO for each";
        decoder.error_with_help(objectives_span, "with a thresholdMetric OpenSLO has one objective", help);
    }
    let indicators = indicators(decoder, &measured, &objectives, method_span);
    let is_several = objectives.len() > 1;
    for Target { objective, .. } in &objectives {
        warn_of_unreachable(decoder, objectives_span, &tiers, *objective);
    }
    let slo = |(Target { objective, budgeting, .. }, sli): (Target, Option<Sli>)| {
        let (indicator, group_by) = sli?;
        let told_apart = is_several.then(|| ("objective".to_owned(), objective.percent().to_string()));
        Some(Slo {
            name: name.into(),
            about: About { description: description.clone(), ..About::default() },
            labels: joined(&[told_apart.as_slice()], service.as_deref()),
            indicator,
            group_by,
            copies: Default::default(),
            objective,
            window: window.clone(),
            budgeting,
            policy: Policy { tiers: tiers.clone(), ..Policy::default() },
            exclusions: Default::default(),
            levels: Vec::new(),
        })
    };
    objectives.into_iter().zip(indicators).map(slo).collect()
}

fn method(decoder: &mut Decoder<'_>, node: &Node) -> Option<String> {
    let method = decoder.non_empty_string(node)?;
    let is_known = ["Occurrences", "Timeslices", "RatioTimeslices"].contains(&method.as_str());
    if !is_known {
        let help = "OpenSLO has Occurrences, Timeslices and RatioTimeslices";
        decoder.error_with_help(node.span, format!("{method:?} is not a budgeting method"), help);
    }
    is_known.then_some(method)
}

/// The indicator of each objective; those of one budgeting have one, which is told of once.
fn indicators(decoder: &mut Decoder<'_>, measured: &Measured, objectives: &[Target], span: Span) -> Vec<Option<Sli>> {
    let mut made: Vec<(Budgeting, Option<Sli>)> = Vec::new();
    let of = |Target { budgeting, threshold, .. }: &Target| {
        if let Some((_, sli)) = made.iter().find(|(known, _)| known == budgeting) {
            return sli.clone();
        }
        let sli = measured::indicator(decoder, measured, *threshold, (*budgeting, span));
        made.push((*budgeting, sli.clone()));
        sli
    };
    objectives.iter().map(of).collect()
}

/// The document that `node` names.
fn referred<'n>(decoder: &mut Decoder<'_>, node: &Node, index: &Index<'n>, kind: &str) -> Option<&'n Node> {
    let name = decoder.non_empty_string(node)?;
    let found = index.iter().find(|((of, called), _)| *of == kind && *called == name).map(|(_, root)| *root);
    if found.is_none() {
        let help = format!("add a document `kind: {kind}` of that name to this file");
        decoder.error_with_help(node.span, format!("there is no {kind} {name:?}"), help);
    }
    found
}

/// The specification of an inline object or of a document; what else it has is passed over.
fn spec_of<'n>(decoder: &mut Decoder<'_>, node: &'n Node, what: &'static str) -> Option<&'n Node> {
    let spec = node.get("spec");
    if spec.is_none() {
        decoder.error(node.span, format!("the {what} has no spec"));
    }
    spec
}

fn indicator(decoder: &mut Decoder<'_>, node: &Node) -> Option<Measured> {
    let spec = spec_of(decoder, node, "indicator")?;
    let mut fields = decoder.fields(spec, "indicator")?;
    fields.optional("description", Decoder::string);
    let span = fields.span;
    let ratio = fields.optional("ratioMetric", ratio_metric);
    let value = fields.optional("thresholdMetric", metric).map(Measured::Threshold);
    if fields.key_span("ratioMetric").is_some() == fields.key_span("thresholdMetric").is_some() {
        fields.decoder.error(span, "an indicator has a ratioMetric or a thresholdMetric");
    }
    fields.finish();
    ratio.or(value)
}

fn ratio_metric(decoder: &mut Decoder<'_>, node: &Node) -> Option<Measured> {
    let mut fields = decoder.fields(node, "ratioMetric")?;
    let span = fields.span;
    let is_counter = fields.or("counter", false, Decoder::bool);
    let good = fields.optional("good", metric);
    let bad = fields.optional("bad", metric);
    let total = fields.optional("total", metric);
    let raw = fields.optional("raw", metric);
    let is_success = fields.optional("rawType", raw_type);
    let is_given = |key: &str| fields.key_span(key).is_some();
    let (is_raw, is_counts) = (is_given("raw"), is_given("total") && is_given("good") != is_given("bad"));
    if is_raw == (is_counts || is_given("good") || is_given("bad") || is_given("total")) || !is_raw && !is_counts {
        fields.decoder.error(span, "a ratio has good or bad, and total; or raw alone");
    } else if is_raw && !is_given("rawType") {
        let help = "write rawType: success where it is the share of good events, failure where it is that of bad ones";
        fields.decoder.error_with_help(span, "a raw ratio has a rawType", help);
    }
    fields.finish();
    match (good, bad, total, raw) {
        (Some(good), None, Some(total), None) => {
            counts(decoder, node, [&good, &total], PartIs::Good, is_counter).map(Measured::Events)
        }
        (None, Some(bad), Some(total), None) => {
            counts(decoder, node, [&bad, &total], PartIs::Bad, is_counter).map(Measured::Events)
        }
        (None, None, None, Some(ratio)) => Some(Measured::Raw { ratio, is_success: is_success? }),
        _ => None,
    }
}

/// Whether a raw ratio is the share of good events.
fn raw_type(decoder: &mut Decoder<'_>, node: &Node) -> Option<bool> {
    match node.as_str() {
        Some("success") => Some(true),
        Some("failure") => Some(false),
        _ => {
            decoder.error_with_help(node.span, "not a rawType", "write success or failure");
            None
        }
    }
}

/// Counters where they are, else queries: over a window that they name themselves, or their means.
fn counts(decoder: &mut Decoder<'_>, node: &Node, both: [&Given; 2], part_is: PartIs, is_counter: bool) -> Option<Sli> {
    let [part, total] = both;
    let is_rate = |given: &Given| terms::count(&given.expr).is_ok_and(|count| count.grouping.is_some());
    if is_counter && both.iter().all(|given| terms::count(&given.expr).is_ok()) || both.into_iter().all(is_rate) {
        return queried::events(decoder, node, part, part_is, total);
    }
    if both.iter().all(|given| given.has_window()) {
        return queried::events(decoder, node, part, part_is, total);
    }
    for given in both {
        if is_counter && !reads_ranges(&given.expr) {
            let help = "write a plain selector of the counter, or its rate, such as `sum(rate(requests_total[5m]))`";
            decoder.error_with_help(given.span, "an expression of counters is no counter", help);
            return None;
        }
        given.tell_of_mean(decoder);
    }
    queried::asked(decoder, node, (part, part.mean()), part_is, (total, total.mean()))
}

/// Whether an expression has a range vector in it.
fn reads_ranges(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::MatrixSelector { .. } | ExprKind::Subquery(_) => true,
        ExprKind::Call(call) => call.args.iter().any(reads_ranges),
        ExprKind::Aggregate(aggregate) => reads_ranges(&aggregate.expr),
        ExprKind::Binary(binary) => reads_ranges(&binary.lhs) || reads_ranges(&binary.rhs),
        ExprKind::Unary { operand, .. } => reads_ranges(operand),
        ExprKind::Paren(inner) => reads_ranges(inner),
        _ => false,
    }
}

/// The query of a metric source. Its specification is free; Prometheus's has `query`.
fn metric(decoder: &mut Decoder<'_>, node: &Node) -> Option<Given> {
    let source = node.get("metricSource").and_then(|source| source.get("spec"));
    let query = source.and_then(|spec| spec.get("query").or_else(|| spec.get("promql")));
    let Some(query) = query else {
        let help = "write metricSource: {type: Prometheus, spec: {query: requests_total}}";
        decoder.error_with_help(node.span, "the metric has no query", help);
        return None;
    };
    Given::read(decoder, query)
}

fn time_window(decoder: &mut Decoder<'_>, node: &Node) -> Option<Window> {
    let mut windows = decoder.list(node, |decoder, node| {
        let mut fields = decoder.fields(node, "timeWindow")?;
        let duration =
            fields.required("duration", |decoder, node| units(decoder, node).map(|units| (units, node.span)));
        let is_calendar = fields.or("isCalendar", false, Decoder::bool);
        let is_rolling = fields.or("isRolling", false, Decoder::bool);
        let calendar = fields.optional("calendar", calendar);
        let has_calendar = fields.key_span("calendar").is_some();
        let span = fields.span;
        if is_calendar && is_rolling {
            fields.decoder.error(span, "a window rolls or follows a calendar, not both");
        }
        fields.finish();
        let ((count, unit), duration_span) = duration?;
        if !is_calendar {
            return rolling(decoder, duration_span, count, unit).map(Window::Rolling);
        }
        if !has_calendar {
            decoder.error(span, "a calendar window needs calendar with startTime and timeZone");
        }
        let (anchor, zone) = calendar?;
        let Some(unit) = Unit::ALL.into_iter().find(|known| known.letter() == unit) else {
            let help = "write days (d), weeks (w), months (M), quarters (Q) or years (Y)";
            decoder.error_with_help(duration_span, "a calendar has no such period", help);
            return None;
        };
        Some(Window::Calendar(Calendar { count, unit, anchor, zone }))
    })?;
    if windows.len() > 1 {
        decoder.error(node.span, "an SLO has one time window");
    }
    windows.pop()
}

/// `28d` as a count and a unit.
fn units(decoder: &mut Decoder<'_>, node: &Node) -> Option<(u16, char)> {
    let text = decoder.non_empty_string(node)?;
    let unit = text.chars().last().filter(|unit| "mhdwMQY".contains(*unit));
    let count = text.get(..text.len() - 1).and_then(|count| count.parse::<u16>().ok()).filter(|count| *count > 0);
    let units = count.zip(unit);
    if units.is_none() {
        let help = "write a number and m, h, d, w, M, Q or Y, such as 28d";
        decoder.error_with_help(node.span, format!("{text:?} is not a duration of OpenSLO"), help);
    }
    units
}

fn length((count, unit): (u16, char)) -> Duration {
    let unit_secs = match unit {
        'm' => 60,
        'h' => 3600,
        unit => {
            let unit = Unit::ALL.into_iter().find(|known| known.letter() == unit).expect("BUG: a unit was not checked");
            86_400 * unit.nominal_days()
        }
    };
    Duration::from_secs(u64::from(count) * unit_secs)
}

fn rolling(decoder: &mut Decoder<'_>, span: Span, count: u16, unit: char) -> Option<Duration> {
    use super::super::decode::{WINDOW_MAX, WINDOW_MIN};
    let window = length((count, unit));
    if !(WINDOW_MIN..=WINDOW_MAX).contains(&window) {
        decoder.error(span, "a rolling window lasts from 1h to 90d");
        return None;
    }
    Some(window)
}

fn calendar(decoder: &mut Decoder<'_>, node: &Node) -> Option<(DateTime, TimeZone)> {
    let mut fields = decoder.fields(node, "calendar")?;
    let start = fields.required("startTime", |decoder, node| {
        let text = decoder.non_empty_string(node)?;
        let start = text.replacen(' ', "T", 1).parse::<DateTime>();
        if start.is_err() {
            let help = "write YYYY-MM-DD hh:mm:ss";
            decoder.error_with_help(node.span, format!("{text:?} is not a local time"), help);
        }
        start.ok()
    });
    let zone = fields.required("timeZone", decode_window::zone);
    fields.finish();
    Some((start?, zone?))
}

/// What an objective says.
struct Target {
    objective: Objective,
    budgeting: Budgeting,
    /// Of a measured value.
    threshold: Option<Threshold>,
}

fn read_objective(
    decoder: &mut Decoder<'_>,
    node: &Node,
    method: Option<&str>,
    (window, measured): (&Window, Option<&Measured>),
) -> Option<Target> {
    let mut fields = decoder.fields(node, "objective")?;
    fields.optional("displayName", Decoder::string);
    let target = fields.optional("target", |decoder, node| {
        let ratio = decoder.float(node)?;
        objective(decoder, node, ratio * 100.0)
    });
    let target_percent = fields.optional("targetPercent", |decoder, node| {
        let percent = decoder.float(node)?;
        objective(decoder, node, percent)
    });
    let span = fields.span;
    if fields.key_span("target").is_some() == fields.key_span("targetPercent").is_some() {
        fields.decoder.error(span, "an objective has target or targetPercent");
    }
    let slice_target = fields.optional("timeSliceTarget", |decoder, node| {
        let ratio = decoder.float(node)?;
        let is_ratio = ratio > 0.0 && ratio <= 1.0;
        if !is_ratio {
            decoder.error(node.span, "timeSliceTarget lies above 0 and at most at 1");
        }
        is_ratio.then_some(ratio)
    });
    let slice = fields.optional("timeSliceWindow", |decoder, node| slice(decoder, node, window));
    let threshold = threshold(&mut fields, measured);
    for key in ["indicator", "indicatorRef", "compositeWeight"] {
        fields.unsupported(key, "composites are not read");
    }
    let missing = |fields: &mut Fields<'_, '_, '_>, key: &str| {
        if fields.key_span(key).is_none() {
            fields.decoder.error(span, format!("{} needs {key}", method.unwrap_or_default()));
        }
    };
    let budgeting = match method? {
        "Timeslices" => {
            missing(&mut fields, "timeSliceTarget");
            missing(&mut fields, "timeSliceWindow");
            slice_target.zip(slice).map(|(target_ratio, slice)| Budgeting::TimeSlices { slice, target_ratio })
        }
        "RatioTimeslices" => {
            missing(&mut fields, "timeSliceWindow");
            slice.map(|slice| Budgeting::RatioTimeSlices { slice })
        }
        _ => Some(Budgeting::Occurrences),
    };
    fields.finish();
    Some(Target { objective: target.or(target_percent)?, budgeting: budgeting?, threshold: threshold? })
}

/// `op` and `value`, which a measured value needs and nothing else has; the outer `None` where they are wrong.
fn threshold(fields: &mut Fields<'_, '_, '_>, measured: Option<&Measured>) -> Option<Option<Threshold>> {
    if !matches!(measured, None | Some(Measured::Threshold(_))) {
        for key in ["op", "value"] {
            fields.unsupported(key, "they are of threshold metrics");
        }
        return Some(None);
    }
    let comparison = fields.optional("op", comparison);
    let value = fields.optional("value", Decoder::float);
    measured?; // else what it is has been told to be wrong
    for key in ["op", "value"] {
        if fields.key_span(key).is_none() {
            let span = fields.span;
            fields.decoder.error(span, format!("the objective of a thresholdMetric needs {key}"));
        }
    }
    Some(Some(Threshold { comparison: comparison?, value: value? }))
}

/// A bare number is minutes.
fn slice(decoder: &mut Decoder<'_>, node: &Node, window: &Window) -> Option<Duration> {
    let minutes = node.as_str().and_then(|text| text.parse::<u32>().ok()).filter(|minutes| *minutes > 0);
    let slice = match minutes {
        Some(minutes) => Duration::from_secs(60 * u64::from(minutes)),
        None => length(units(decoder, node)?),
    };
    if slice > window.nominal() / 2 {
        decoder.error(node.span, format!("a slice is at most half of the window ({window})"));
        return None;
    }
    Some(slice)
}

/// A policy, written here or named, as one tier. The tier has the name of the policy.
fn alert_policy(decoder: &mut Decoder<'_>, node: &Node, index: &Index<'_>) -> Option<Tier> {
    let reference = node.get("alertPolicyRef");
    let policy = match reference {
        Some(reference) => referred(decoder, reference, index, "AlertPolicy")?,
        None => node,
    };
    let name = policy.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::as_str);
    let Some(name) = name else {
        decoder.error(policy.span, "the alert policy has no metadata.name");
        return None;
    };
    let spec = spec_of(decoder, policy, "alert policy")?;
    let mut fields = decoder.fields(spec, "alert policy")?;
    let span = fields.span;
    for key in ["description", "alertWhenResolved", "alertWhenNoData", "notificationTargets"] {
        fields.node(key);
    }
    let is_wanted = fields.or("alertWhenBreaching", true, Decoder::bool);
    let conditions = fields.required("conditions", |decoder, node| {
        decoder.list(node, |decoder, node| condition(decoder, node, name, index))
    });
    fields.finish();
    let mut conditions = conditions?;
    if conditions.len() != 1 {
        decoder.error(span, "an alert policy has one condition");
    }
    conditions.pop().filter(|_| is_wanted)
}

fn condition(decoder: &mut Decoder<'_>, node: &Node, name: &str, index: &Index<'_>) -> Option<Tier> {
    let condition = match node.get("conditionRef") {
        Some(reference) => referred(decoder, reference, index, "AlertCondition")?,
        None => node,
    };
    let spec = spec_of(decoder, condition, "alert condition")?;
    let mut fields = decoder.fields(spec, "alert condition")?;
    fields.node("description");
    let called = fields.required("severity", Decoder::non_empty_string);
    let burn = fields.required("condition", |decoder, node| {
        let mut fields = decoder.fields(node, "condition")?;
        fields.required("kind", |decoder, node| {
            let is_known = node.as_str() == Some("burnrate");
            if !is_known {
                decoder.error_with_help(node.span, "not a kind of condition", "write burnrate");
            }
            is_known.then_some(())
        });
        let comparison = fields.or("op", Comparison::Above, |decoder, node| {
            let comparison = comparison(decoder, node)?;
            if matches!(comparison, Comparison::Below | Comparison::AtMost) {
                decoder.warning(node.span, "this alert holds while the budget burns slowly; gt or gte may be meant");
            }
            Some(comparison)
        });
        let factor = fields.required("threshold", Decoder::float);
        let lookback = fields.required("lookbackWindow", units).map(length);
        let hold = fields.or("alertAfter", Duration::ZERO, |decoder, node| {
            if node.as_str() == Some("0m") { Some(Duration::ZERO) } else { units(decoder, node).map(length) }
        });
        fields.finish();
        Some((comparison, factor?, lookback?, hold))
    });
    fields.finish();
    let ((comparison, factor, lookback, hold), called) = (burn?, called?);
    let urgent = ["page", "critical", "high"].iter().any(|word| called.to_ascii_lowercase().contains(word));
    let severity = if urgent { Severity::Page } else { Severity::Ticket };
    Some(Tier {
        comparison,
        hold,
        severity_text: Some(called.into()),
        ..Tier::new(name, severity, (lookback, lookback), factor)
    })
}

fn comparison(decoder: &mut Decoder<'_>, node: &Node) -> Option<Comparison> {
    match node.as_str() {
        Some("gt") => Some(Comparison::Above),
        Some("gte") => Some(Comparison::AtLeast),
        Some("lt") => Some(Comparison::Below),
        Some("lte") => Some(Comparison::AtMost),
        _ => {
            decoder.error_with_help(node.span, "not an operator", "write gt, gte, lt or lte");
            None
        }
    }
}
