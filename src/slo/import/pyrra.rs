//! Pyrra's `ServiceLevelObjective`, `pyrra.dev/v1alpha1`.
//!
//! **Source.** Pyrra main (2026-08) `kubernetes/api/v1alpha1`, `slo/rules.go`.
//! **Differs:** latencies of native histograms are evaluated as queries over each window, with Pyrra's expression; the alert on absent metrics is our
//! `SLONotMeasured`.

use std::sync::Arc;
use std::time::Duration;

use crate::model::LabelsBuilder;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

use super::super::decode_alerting::warn_of_unreachable;
use super::super::policy::{AlertTexts, NotMeasured, Policy, Severity, Tier};
use super::super::query::{Queried, Query};
use super::super::spec::{About, Budgeting, Indicator, PartIs, Selector, Slo, Term};
use super::super::window::Window;
use super::super::{decode, selector};
use super::{labels, objective};

/// Pyrra's windows for 28 days: name, severity, `for`, short and long as parts of the window, factor.
const TIERS: [(&str, &str, Severity, u32, u32, u32, f64); 4] = [
    ("fast", "critical", Severity::Page, 28 * 24 * 30, 28 * 24 * 12, 28 * 24, 14.0),
    ("medium", "critical", Severity::Page, 28 * 24 * 4, 28 * 24 * 2, 28 * 4, 7.0),
    ("slow", "warning", Severity::Ticket, 28 * 24, 28 * 12, 28, 2.0),
    ("long-term", "warning", Severity::Ticket, 28 * 8, 28 * 4, 7, 1.0),
];

/// The keys of `severities`, in the order of [`TIERS`].
const SEVERITIES: [&str; 4] = ["fastBurn", "mediumBurn", "slowBurn", "longTermBurn"];

/// Labels and annotations with this prefix go to the alerts, without it.
const PREFIX: &str = "pyrra.dev/";

/// Reads a document.
pub(super) fn read(decoder: &mut Decoder<'_>, root: &Node) -> Option<Slo> {
    let mut fields = decoder.fields(root, "ServiceLevelObjective")?;
    for key in ["apiVersion", "kind", "status"] {
        fields.node(key);
    }
    let metadata = fields.required("metadata", |decoder, node| metadata(decoder, node));
    let spec = fields.required("spec", spec);
    fields.finish();
    let (name, texts) = metadata?;
    let mut slo = spec?;
    slo.name = name;
    slo.labels = texts.labels;
    slo.policy.page.annotations = texts.annotations.clone();
    slo.policy.ticket.annotations = texts.annotations;
    Some(slo)
}

/// The name, and what is passed on. All else there is of Kubernetes.
fn metadata(decoder: &mut Decoder<'_>, node: &Node) -> Option<(Arc<str>, AlertTexts)> {
    let mut fields = decoder.fields(node, "metadata")?;
    let name = fields.required("name", Decoder::non_empty_string);
    let passed_on = |pairs: Vec<(String, String)>| {
        let mut labels = LabelsBuilder::default();
        for (name, value) in &pairs {
            if let Some(name) = name.strip_prefix(PREFIX) {
                labels.set(name, value.as_str());
            }
        }
        labels.build()
    };
    let labels = passed_on(fields.or("labels", Vec::new(), labels));
    let annotations = passed_on(fields.or("annotations", Vec::new(), super::annotations));
    Some((name?.into(), AlertTexts { labels, annotations }))
}

/// The specification, without name and labels.
fn spec(decoder: &mut Decoder<'_>, node: &Node) -> Option<Slo> {
    let mut fields = decoder.fields(node, "spec")?;
    let target = fields.required("target", |decoder, node| {
        let text = decoder.non_empty_string(node)?;
        let Ok(percent) = text.parse::<f64>() else {
            decoder.error_with_help(node.span, format!("{text:?} is not a target"), "write percent, such as \"99.5\"");
            return None;
        };
        objective(decoder, node, percent)
    });
    let window = fields.required("window", |decoder, node| {
        let window = decoder.positive_duration(node)?;
        if !(decode::WINDOW_MIN..=decode::WINDOW_MAX).contains(&window) {
            decoder.error(node.span, "a window lasts from 1h to 90d");
            return None;
        }
        Some(window)
    });
    let description = fields.or("description", String::new(), Decoder::string);
    let indicator = fields.required("indicator", indicator);
    let alerting = fields.or("alerting", Alerting::default(), alerting);
    // How Pyrra would lay out and label rules: there are none here.
    for key in ["partial_response_strategy", "performanceOverAccuracy", "ruleOutput"] {
        fields.node(key);
    }
    fields.finish();
    let window = window?;
    let tiers = if alerting.has_burn_rates { tiers(window, &alerting.severities) } else { Vec::new() };
    let (indicator, group_by) = indicator?;
    let objective = target?;
    warn_of_unreachable(decoder, node.get("target").map_or(node.span, |node| node.span), &tiers, objective);
    Some(Slo {
        name: "".into(),
        about: About { description, ..About::default() },
        labels: Default::default(),
        indicator,
        group_by,
        copies: Default::default(),
        objective,
        window: Window::Rolling(window),
        budgeting: Budgeting::Occurrences,
        policy: Policy { tiers, not_measured: alerting.not_measured, ..Policy::default() },
        exclusions: Default::default(),
        levels: Vec::new(),
    })
}

fn tiers(window: Duration, severities: &[Option<String>; 4]) -> Vec<Tier> {
    let scaled = |part: u32| rounded_to_minutes(window / part);
    let tier = |(index, &(name, called, severity, hold, short, long, factor)): (usize, &(_, _, _, _, _, _, _))| Tier {
        hold: scaled(hold),
        severity_text: Some(severities[index].clone().unwrap_or_else(|| str::to_owned(called)).into()),
        ..Tier::new(str::to_owned(name), severity, (scaled(short), scaled(long)), factor)
    };
    // A short objective has windows that round to nothing, for which Pyrra writes rules that do not load.
    TIERS.iter().enumerate().map(tier).filter(|tier: &Tier| !tier.short.is_zero()).collect()
}

/// To the nearest minute, half a minute up, as Go rounds durations.
fn rounded_to_minutes(duration: Duration) -> Duration {
    let minute_ns = 60_000_000_000;
    let minutes = (duration.as_nanos() + minute_ns / 2) / minute_ns;
    Duration::from_secs(60 * u64::try_from(minutes).unwrap_or(u64::MAX / 60))
}

type Sli = (Indicator, Vec<Arc<str>>);

fn indicator(decoder: &mut Decoder<'_>, node: &Node) -> Option<Sli> {
    let mut fields = decoder.fields(node, "indicator")?;
    let span = fields.span;
    let ratio = fields.optional("ratio", |decoder, node| counted(decoder, node, "errors", PartIs::Bad));
    let latency = fields.optional("latency", |decoder, node| counted(decoder, node, "success", PartIs::Good));
    let gauge = fields.optional("bool_gauge", |decoder, node| {
        let mut fields = decoder.fields(node, "bool_gauge")?;
        let metric = fields.required("metric", selector::read);
        let group_by = grouping(&mut fields);
        fields.finish();
        Some((Indicator::Availability(metric?), group_by))
    });
    let native = fields.optional("latencyNative", native);
    let kinds = ["ratio", "latency", "bool_gauge", "latencyNative"];
    if kinds.into_iter().filter(|kind| fields.key_span(kind).is_some()).count() != 1 {
        fields.decoder.error(span, "an indicator is one of ratio, latency, latencyNative and bool_gauge");
    }
    fields.finish();
    ratio.or(latency).or(gauge).or(native)
}

/// A native histogram: which of its events are fast enough is estimated between the bounds of buckets, by the query that Pyrra writes.
fn native(decoder: &mut Decoder<'_>, node: &Node) -> Option<Sli> {
    let mut fields = decoder.fields(node, "latencyNative")?;
    let span = fields.span;
    let total = fields.required("total", metric);
    let limit = fields.required("latency", Decoder::positive_duration);
    let group_by = grouping(&mut fields);
    fields.finish();
    let (total, limit_secs) = (total?, limit?.as_secs_f64());
    let by = if group_by.is_empty() { String::new() } else { format!(" by ({})", group_by.join(", ")) };
    let text = format!("1 - histogram_fraction(0, {limit_secs}, sum{by} (rate({}[$window])))", total.text);
    let message = "a native histogram is evaluated as a query over each window, and not counted event by event";
    decoder.warning(span, message);
    Some((Indicator::Queried(Queried::Ratio(Query::new(&text))), group_by))
}

fn counted(decoder: &mut Decoder<'_>, node: &Node, part_key: &'static str, part_is: PartIs) -> Option<Sli> {
    let mut fields = decoder.fields(node, "indicator")?;
    let part = fields.required(part_key, metric);
    let total = fields.required("total", metric);
    let group_by = grouping(&mut fields);
    fields.finish();
    let terms = |selector: Selector| vec![Term::from(selector)];
    Some((Indicator::Errors { part: terms(part?), part_is, total: terms(total?) }, group_by))
}

fn metric(decoder: &mut Decoder<'_>, node: &Node) -> Option<Selector> {
    let mut fields = decoder.fields(node, "query")?;
    let metric = fields.required("metric", selector::read);
    fields.finish();
    metric.map(selector::with_any_spelling)
}

fn grouping(fields: &mut Fields<'_, '_, '_>) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> =
        fields.or("grouping", Vec::new(), Decoder::strings).into_iter().map(Arc::from).collect();
    names.sort();
    names.dedup();
    names
}

struct Alerting {
    has_burn_rates: bool,
    not_measured: NotMeasured,
    severities: [Option<String>; 4],
}

impl Default for Alerting {
    fn default() -> Self {
        Alerting { has_burn_rates: true, not_measured: NotMeasured::Alert, severities: Default::default() }
    }
}

fn alerting(decoder: &mut Decoder<'_>, node: &Node) -> Option<Alerting> {
    let mut fields = decoder.fields(node, "alerting")?;
    let is_disabled = fields.or("disabled", false, Decoder::bool);
    let has_burn_rates = fields.or("burnrates", true, Decoder::bool) && !is_disabled;
    let has_absent = fields.or("absent", true, Decoder::bool) && !is_disabled;
    fields.optional("name", Decoder::string);
    fields.optional("absentName", Decoder::string);
    let severities = fields.optional("severities", |decoder, node| {
        let mut fields = decoder.fields(node, "severities")?;
        let severities = SEVERITIES.map(|key| fields.optional(key, Decoder::non_empty_string));
        fields.optional("absent", Decoder::string);
        fields.finish();
        Some(severities)
    });
    fields.finish();
    Some(Alerting {
        has_burn_rates,
        not_measured: if has_absent { NotMeasured::Alert } else { NotMeasured::StateOnly },
        severities: severities.unwrap_or_default(),
    })
}
