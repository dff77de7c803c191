//! From YAML to checked specifications, with every mistake of a file at its place.
//!
//! In the flow: `slo_files` of the configuration, `almenara check slo` and the backtest hand in a file. The form:
//!
//! ```yaml
//! interval: 30s                 # of evaluation; default: global.evaluation_interval
//! slos:
//!   - name: checkout-requests   # required; unique in the file
//!     service: checkout         # short for a label
//!     description: Checkouts succeed.
//!     owner: team-checkout
//!     runbook: https://runbooks.example.org/checkout
//!     labels: {area: shop}      # on all series and alerts
//!     objective: 99.9           # required; percent, also "99.9%"
//!     window: 30d               # default 30d; rolling, 1h to 90d; or day, week, month, quarter, year
//!     time_zone: Europe/Madrid  # of a calendar's boundaries; default UTC
//!     budgeting: occurrences    # or {time_slices: {slice: 5m, target: 99}}, {ratio_time_slices: {slice: 5m}}
//!     group_by: [region]        # one budget for each
//!     indicator:                # required; exactly one of
//!       errors:                 #   counters: bad or good, and total
//!         bad: http_requests_total{job="checkout",code=~"5.."}
//!         total: http_requests_total{job="checkout"}
//!       # availability: up{job="checkout"}   # a gauge of 0 and 1; each sample is an event
//!       # latency: {histogram: http_request_duration_seconds, threshold: 300ms}   # see `decode_latency`
//!     alerting:
//!       labels: {team: shop}
//!       annotations: {dashboard: https://grafana.example.org/d/slo}
//!       page: {disable: false, labels: {}, annotations: {}}
//!       ticket: {disable: true}
//!       not_measured: {disable: false}   # the alert for an objective whose targets nobody scrapes
//!       tiers:                  # default: the four of `policy::default_tiers`
//!         - {name: fast, severity: page, short: 5m, long: 1h, factor: 14.4}
//! ```
//!
//! **Limits.** [`WINDOW_MIN`] to [`WINDOW_MAX`]; [`TIERS_MAX`] tiers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::model::Labels;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::{self, Node};
use crate::source::{Diagnostics, SourceFile, Span};

use super::decode_alerting::policy;
use super::decode_latency::{Implied, latency};
use super::decode_window;
use super::import;
use super::selector;
use super::spec::{About, Budgeting, Indicator, Objective, PartIs, Slo};

/// The shortest window of an objective: below it the fastest tier has no room.
pub const WINDOW_MIN: Duration = Duration::from_secs(3600);
/// The longest window: a quarter. Memory grows with it.
pub const WINDOW_MAX: Duration = Duration::from_secs(90 * 86_400);
/// The usual window.
const WINDOW_DEFAULT: Duration = Duration::from_secs(30 * 86_400);
/// More tiers than this for one objective say nothing that fewer do not.
pub const TIERS_MAX: usize = 16;

/// Labels that we set, so that nobody else may.
pub(super) const RESERVED_LABELS: [&str; 7] = ["alertname", "alertstate", "severity", "slo", "state", "window", "le"];

/// A checked file.
#[derive(Clone, Debug)]
pub struct SloFile {
    /// As the user wrote it.
    pub path: Arc<str>,
    /// The distance of evaluations, if the file names one.
    pub interval: Option<Duration>,
    /// In order of the file.
    pub slos: Vec<Slo>,
}

/// Reads a file in our own form, or in that of Sloth, Pyrra or OpenSLO ([`super::import`]). It can be used unless there is an error among
/// the diagnostics.
pub fn parse_file(source: &SourceFile) -> (Option<SloFile>, Diagnostics) {
    let (mut documents, mut diagnostics) = yaml::parse_documents(source);
    if diagnostics.has_errors() {
        return (None, diagnostics);
    }
    let mut decoder = Decoder::new(source);
    let file = if documents.iter().any(|document| import::Form::of(document).is_some()) {
        Some(imported(&mut decoder, documents))
    } else {
        if let Some(second) = documents.get(1) {
            decoder.warning(second.span, "only the first YAML document of a file is read");
        }
        let empty = Node { span: Span::new(0, 0), kind: yaml::NodeKind::Null };
        slo_file(&mut decoder, &documents.drain(..).next().unwrap_or(empty))
    };
    let is_usable = file.is_some() && !decoder.has_errors();
    diagnostics.extend(decoder.finish());
    (file.filter(|_| is_usable), diagnostics)
}

/// The documents of another tool's file. One in our form among them is a mistake.
fn imported(decoder: &mut Decoder<'_>, documents: Vec<Node>) -> SloFile {
    let mut foreign = Vec::new();
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        match import::Form::of(&document) {
            Some(form) => foreign.push((form, document)),
            None => decoder.error(document.span, "this document is not in the form of the others of the file"),
        }
    }
    let slos = import::read(decoder, &foreign);
    SloFile { path: decoder.source().name.clone(), interval: None, slos }
}

fn slo_file(decoder: &mut Decoder<'_>, root: &Node) -> Option<SloFile> {
    let path = decoder.source().name.clone();
    let mut fields = decoder.fields(root, "SLO file")?;
    let interval = fields.optional("interval", Decoder::positive_duration);
    let mut names: HashSet<Arc<str>> = HashSet::new();
    let slos =
        fields.required("slos", |decoder, node| decoder.list(node, |decoder, node| slo(decoder, node, &mut names)));
    for key in ["version", "service", "labels", "apiVersion", "kind", "metadata", "spec"] {
        let form = "of other tools' forms, those of Sloth (version: prometheus/v1), Pyrra (apiVersion: pyrra.dev/v1alpha1) and OpenSLO \
                    (apiVersion: openslo/v1) are read";
        fields.unsupported(key, form);
    }
    fields.finish();
    Some(SloFile { path, interval, slos: slos? })
}

fn slo(decoder: &mut Decoder<'_>, node: &Node, names: &mut HashSet<Arc<str>>) -> Option<Slo> {
    let mut fields = decoder.fields(node, "SLO")?;
    let name = fields.required("name", |decoder, node| name(decoder, node, names));
    let about = about(&mut fields);
    let service = fields.optional("service", |decoder, node| Some((decoder.non_empty_string(node)?, node.span)));
    let own_labels = fields.or("labels", Vec::new(), labels);
    let labels = with_service(fields.decoder, own_labels, service);
    let (indicator, implied) = fields.required("indicator", |decoder, node| Some(indicator(decoder, node))).unzip();
    let implied = implied.flatten();
    let objective = read_objective(&mut fields, implied);
    let window = decode_window::read(&mut fields, WINDOW_DEFAULT);
    let budgeting = fields
        .or("budgeting", Budgeting::Occurrences, |decoder, node| decode_window::budgeting(decoder, node, &window));
    let group_by = fields.or("group_by", Vec::new(), |decoder, node| group_by(decoder, node, &labels));
    let alerting = fields.node("alerting");
    // The policy needs an objective to judge its tiers by; a wrong one has been reported already.
    let judged_by = objective.unwrap_or_else(|| Objective::from_percent(99.9).expect("BUG: 99.9 is an objective"));
    let implied_span = implied.map_or(fields.span, |(_, _, span)| span);
    let objective_span = node.get("objective").map_or(implied_span, |node| node.span);
    let policy = policy(fields.decoder, alerting, (judged_by, objective_span), window.nominal());
    fields.unsupported("calendar", "write window: month (day, week, quarter, year)");
    fields.unsupported("time_slices", "write budgeting: {time_slices: {slice: 5m, target: 99}}");
    fields.unsupported("exclusions", "not built yet");
    for key in ["timeWindow", "sli"] {
        fields.unsupported(key, "it is of another tool's form; write window and indicator");
    }
    fields.finish();
    Some(Slo {
        name: name?,
        about,
        labels: Labels::from_pairs(labels.into_iter().map(|(name, _, value)| (name, value))),
        indicator: indicator.flatten()?,
        group_by,
        objective: objective?,
        window,
        budgeting,
        policy: policy?,
    })
}

/// `[A-Za-z0-9]`, then also `-`, `_`, `.` and `:`, at most 128 characters: names stand in labels, links and file names.
fn name(decoder: &mut Decoder<'_>, node: &Node, names: &mut HashSet<Arc<str>>) -> Option<Arc<str>> {
    const LENGTH_MAX: usize = 128;
    let text = decoder.non_empty_string(node)?;
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if text.len() > LENGTH_MAX || !text.chars().all(is_legal) || !text.starts_with(|c: char| c.is_ascii_alphanumeric())
    {
        let help = "start with a letter or digit and go on with letters, digits, \"-\", \"_\", \".\" or \":\"";
        decoder.error_with_help(node.span, format!("{text:?} is not a name of an SLO"), help);
        return None;
    }
    let name: Arc<str> = text.into();
    if !names.insert(name.clone()) {
        decoder.error(node.span, format!("the name {name:?} stands twice in this file"));
        return None;
    }
    Some(name)
}

fn about(fields: &mut Fields<'_, '_, '_>) -> About {
    About {
        description: fields.or("description", String::new(), Decoder::string),
        owner: fields.or("owner", String::new(), Decoder::string),
        runbook: fields.or("runbook", String::new(), Decoder::string),
    }
}

/// Labels of people's choice: legal, and none of those that we set.
pub(super) fn labels(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<(String, Span, String)>> {
    let mut labels = decoder.map(node, Decoder::string)?;
    labels.retain(|(name, span, _)| is_free_label(decoder, name, *span));
    Some(labels)
}

fn is_free_label(decoder: &mut Decoder<'_>, name: &str, span: Span) -> bool {
    let is_legal = crate::model::is_legacy_name(name) && !name.contains(':') && !name.starts_with("__");
    if !is_legal {
        let help = "use letters, digits and \"_\", not a digit first, nor \"__\"";
        decoder.error_with_help(span, format!("{name:?} cannot be a label of an SLO"), help);
        return false;
    }
    if RESERVED_LABELS.contains(&name) {
        decoder.error(span, format!("the label {name:?} is set by Almenara and cannot be chosen"));
        return false;
    }
    true
}

fn with_service(
    decoder: &mut Decoder<'_>,
    mut labels: Vec<(String, Span, String)>,
    service: Option<(String, Span)>,
) -> Vec<(String, Span, String)> {
    let Some((service, span)) = service else { return labels };
    if let Some((_, label_span, _)) = labels.iter().find(|(name, _, _)| name == "service") {
        decoder.error_with_help(
            *label_span,
            "the label \"service\" is also set by the key \"service\"",
            "keep one of them",
        );
        return labels;
    }
    labels.push(("service".to_owned(), span, service));
    labels
}

/// The objective as written, or the one that the indicator's short form stands for; not both.
fn read_objective(fields: &mut Fields<'_, '_, '_>, implied: Option<Implied>) -> Option<Objective> {
    let Some((implied, key, _)) = implied else { return fields.required("objective", objective) };
    if let Some(node) = fields.node("objective") {
        let message = format!("the indicator's {key} is an objective of {}% already", implied.percent());
        fields.decoder.error_with_help(
            node.span,
            message,
            "leave out one of them, or write threshold in the indicator",
        );
    }
    Some(implied)
}

/// `99.9`, `99.9%` or `"99.9%"`.
fn objective(decoder: &mut Decoder<'_>, node: &Node) -> Option<Objective> {
    let help = "write percent, such as 99.9";
    let Some(text) = node.as_str() else {
        decoder.error_with_help(node.span, format!("expected an objective, found {}", node.kind_name()), help);
        return None;
    };
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    let Ok(percent) = number.parse::<f64>() else {
        decoder.error_with_help(node.span, format!("{text:?} is not an objective"), help);
        return None;
    };
    let objective = Objective::from_percent(percent);
    if objective.is_none() {
        let help = if percent >= 100.0 {
            "an objective of 100 leaves no budget, so a single bad event breaches it: choose what users would not notice, such as 99.99"
        } else if percent > 99.0 {
            "what is left for the budget is below our precision: write at most nine decimals"
        } else {
            help
        };
        decoder.error_with_help(node.span, "an objective lies above 0 and below 100 percent", help);
    }
    objective
}

fn group_by(decoder: &mut Decoder<'_>, node: &Node, labels: &[(String, Span, String)]) -> Option<Vec<Arc<str>>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    decoder.list(node, |decoder, node| {
        let name = decoder.non_empty_string(node)?;
        if !is_free_label(decoder, &name, node.span) {
            return None;
        }
        if labels.iter().any(|(label, _, _)| *label == name) {
            decoder.error(
                node.span,
                format!("the label {name:?} is also set by this SLO, so groups would not differ in it"),
            );
        } else if names.iter().any(|other| **other == *name) {
            decoder.error(node.span, format!("the label {name:?} stands twice in group_by"));
        } else {
            names.push(name.into());
        }
        Some(())
    })?;
    Some(names)
}

fn indicator(decoder: &mut Decoder<'_>, node: &Node) -> (Option<Indicator>, Option<Implied>) {
    let Some(mut fields) = decoder.fields(node, "indicator") else { return (None, None) };
    let span = fields.span;
    let kinds = ["availability", "errors", "latency"];
    let given = kinds.into_iter().filter(|kind| fields.node(kind).is_some()).count();
    let availability =
        fields.optional("availability", |decoder, node| Some(Indicator::Availability(selector::read(decoder, node)?)));
    let errors = fields.optional("errors", errors);
    let latency = fields.optional("latency", |decoder, node| Some(latency(decoder, node)));
    for key in ["query", "ratio", "freshness", "threshold", "composite", "events", "raw", "plugin"] {
        fields.unsupported(key, "this indicator is not built yet; availability, errors and latency are");
    }
    let is_other = matches!(&node.kind, yaml::NodeKind::Mapping(pairs) if !pairs.is_empty()) && given == 0;
    match given {
        0 if !is_other => fields.decoder.error(span, "an indicator needs availability, errors or latency"),
        0 | 1 => {}
        _ => fields.decoder.error(span, "an indicator is one of availability, errors and latency, not several"),
    }
    fields.finish();
    let (latency, implied) = latency.unwrap_or_default();
    (availability.or(errors).or(latency), implied)
}

fn errors(decoder: &mut Decoder<'_>, node: &Node) -> Option<Indicator> {
    let mut fields = decoder.fields(node, "errors indicator")?;
    let span = fields.span;
    let given = [fields.node("bad").is_some(), fields.node("good").is_some()];
    let bad = fields.optional("bad", selector::read);
    let good = fields.optional("good", selector::read);
    let total = fields.required("total", selector::read);
    match given {
        [true, true] => fields.decoder.error(span, "write bad or good, not both: the other is the rest of total"),
        [false, false] => fields.decoder.error(span, "the counter of bad or of good events is missing"),
        _ => {}
    }
    fields.finish();
    let (part, part_is) = match (bad, good) {
        (Some(bad), None) => (bad, PartIs::Bad),
        (None, Some(good)) => (good, PartIs::Good),
        _ => return None,
    };
    Some(Indicator::Errors { part: vec![part.into()], part_is, total: vec![total?.into()] })
}
