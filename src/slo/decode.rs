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
//!     replica_labels: [prometheus_replica]   # copies of the same counters differ in these
//!     target_labels: [cluster]  # what tells targets apart beside job and instance
//!     indicator:                # required; exactly one kind, see `decode_indicator`
//!       errors:                 #   counters: bad or good, and total
//!         bad: http_requests_total{job="checkout",code=~"5.."}
//!         total: http_requests_total{job="checkout"}
//!     alerting:
//!       labels: {team: shop}
//!       annotations: {dashboard: https://grafana.example.org/d/slo}
//!       page: {disable: false, labels: {}, annotations: {}}
//!       ticket: {disable: true}
//!       not_measured: {disable: false}   # the alert for an objective whose targets nobody scrapes
//!       partly_measured: {disable: false}   # the ticket for windows that we saw in part only
//!       tiers:                  # default: the four of `policy::default_tiers`
//!         - {name: fast, severity: page, short: 5m, long: 1h, factor: 14.4}
//!       guard: {bad_events: 5, confidence: 95}   # what a long window must have seen
//!       budget:                 # alerts on what is left, however fast it went
//!         - {severity: ticket, remaining_below: 25}
//!     budget_policy:            # what the budget that is left means for changes
//!       - {name: freeze, remaining_below: 10, block: true, action: Only fixes go out.}
//! defaults: {}                  # under every objective, see `decode_template`
//! templates: {}
//! exclusions: []                # times that do not count, see `decode_exclusion`
//! ```
//!
//! **Limits.** [`WINDOW_MIN`] to [`WINDOW_MAX`]; [`TIERS_MAX`] tiers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::model::Labels;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::{self, Node};
use crate::source::{Diagnostics, SourceFile, Span, suggest};

use super::decode_alerting::policy;
use super::decode_copies;
use super::decode_exclusion;
use super::decode_indicator::{self, Read};
use super::decode_latency::Implied;
use super::decode_query;
use super::decode_template::Templates;
use super::decode_window;
use super::exclusion::Exclusion;
use super::guard::Guard;
use super::import;
use super::levels::{LEVELS_MAX, Level};
use super::policy::{NotMeasured, Policy};
use super::spec::{About, Budgeting, Indicator, Objective, Slo};

/// The shortest window of an objective: below it the fastest tier has no room.
pub const WINDOW_MIN: Duration = Duration::from_secs(3600);
/// The longest window: a quarter. Memory grows with it.
pub const WINDOW_MAX: Duration = Duration::from_secs(90 * 86_400);
/// The usual window.
const WINDOW_DEFAULT: Duration = Duration::from_secs(30 * 86_400);
/// More tiers than this for one objective say nothing that fewer do not.
pub const TIERS_MAX: usize = 16;

/// Labels that we set, so that nobody else may.
pub(super) const RESERVED_LABELS: [&str; 8] =
    ["alertname", "alertstate", "severity", "slo", "slo_file", "state", "window", "le"];

/// A checked file.
#[derive(Clone, Debug)]
pub struct SloFile {
    /// As the user wrote it.
    pub path: Arc<str>,
    /// The distance of evaluations, if the file names one.
    pub interval: Option<Duration>,
    /// In order of the file.
    pub slos: Vec<Slo>,
    /// Times that do not count; those of a file without objectives are for the objectives of all files ([`share_exclusions`]).
    pub exclusions: Vec<Exclusion>,
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
    SloFile { path: decoder.source().name.clone(), interval: None, slos, exclusions: Vec::new() }
}

fn slo_file(decoder: &mut Decoder<'_>, root: &Node) -> Option<SloFile> {
    let path = decoder.source().name.clone();
    let mut fields = decoder.fields(root, "SLO file")?;
    let interval = fields.optional("interval", Decoder::positive_duration);
    let (defaults, named) = (fields.node("defaults"), fields.node("templates"));
    let templates = Templates::of(fields.decoder, defaults, named);
    let mut names: HashSet<Arc<str>> = HashSet::new();
    let has_exclusions = fields.node("exclusions").is_some();
    let mut read = |decoder: &mut Decoder<'_>, node: &Node| {
        decoder.list(node, |decoder, node| {
            let full = templates.expand(decoder, node)?;
            objectives(decoder, &full)
                .into_iter()
                .map(|node| slo(decoder, &node, &mut names))
                .collect::<Option<Vec<Slo>>>()
        })
    };
    let slos =
        if has_exclusions { Some(fields.or("slos", Vec::new(), &mut read)) } else { fields.required("slos", read) };
    let exclusions = fields.or("exclusions", Vec::new(), decode_exclusion::exclusions);
    for key in ["version", "service", "labels", "apiVersion", "kind", "metadata", "spec"] {
        let form = "of other tools' forms, those of Sloth (version: prometheus/v1), Pyrra (apiVersion: pyrra.dev/v1alpha1) and OpenSLO \
                    (apiVersion: openslo/v1) are read";
        fields.unsupported(key, form);
    }
    fields.finish();
    let slos: Vec<Slo> = slos?.into_iter().flatten().collect();
    check_names(decoder, root, &slos, &exclusions);
    let mut file =
        SloFile { path, interval, slos, exclusions: exclusions.into_iter().map(|(exclusion, _)| exclusion).collect() };
    let own: Arc<[Exclusion]> = file.exclusions.as_slice().into();
    exclude(&mut file.slos, &own);
    Some(file)
}

/// Gives `exclusions` to all objectives whose windows can be cut.
fn exclude(slos: &mut [Slo], exclusions: &Arc<[Exclusion]>) {
    slos.iter_mut().filter(|slo| !slo.indicator.is_queried()).for_each(|slo| slo.exclusions = exclusions.clone());
}

/// Reads a policy for `slo` from a file with what stands under `alerting`, with or without that key.
pub fn parse_policy(source: &SourceFile, slo: &Slo) -> (Option<Policy>, Diagnostics) {
    let (root, mut diagnostics) = yaml::parse(source);
    if diagnostics.has_errors() {
        return (None, diagnostics);
    }
    let root = root.unwrap_or(Node { span: Span::new(0, 0), kind: yaml::NodeKind::Null });
    let node = root.get("alerting").unwrap_or(&root);
    let mut decoder = Decoder::new(source);
    let default = default_policy(Some(&slo.indicator), slo.budgeting);
    let mut policy = policy(&mut decoder, Some(node), (slo.objective, node.span), slo.window.nominal(), default);
    policy.iter_mut().for_each(|policy| decode_query::without_counters(&mut decoder, node, slo, policy));
    let is_usable = !decoder.has_errors();
    diagnostics.extend(decoder.finish());
    (policy.filter(|_| is_usable), diagnostics)
}

/// What is excluded in files without objectives holds for those of all files.
pub fn share_exclusions(files: &mut [SloFile]) {
    let everywhere: Vec<Exclusion> =
        files.iter().filter(|file| file.slos.is_empty()).flat_map(|file| file.exclusions.clone()).collect();
    if everywhere.is_empty() {
        return;
    }
    for file in files {
        let all: Arc<[Exclusion]> = file.exclusions.iter().chain(&everywhere).cloned().collect();
        exclude(&mut file.slos, &all);
    }
}

/// Names that composites and exclusions give must be those of objectives of the file. A file without objectives may exclude for others.
fn check_names(decoder: &mut Decoder<'_>, root: &Node, slos: &[Slo], exclusions: &[(Exclusion, Span)]) {
    let known = || slos.iter().map(|slo| &*slo.name);
    let mut check = |name: &str, span: Span| {
        if !known().any(|known| known == name) {
            let help = suggest::nearest(name, known())
                .map_or("name an SLO of this file".to_owned(), |near| format!("did you mean {near:?}?"));
            decoder.error_with_help(span, format!("there is no SLO {name:?} in this file"), help);
        }
    };
    if !slos.is_empty() {
        exclusions.iter().for_each(|(exclusion, span)| exclusion.slos.iter().for_each(|name| check(name, *span)));
    }
    let list_span = root.get("slos").map_or(root.span, |node| node.span);
    for slo in slos {
        let Indicator::Composite { members, .. } = &slo.indicator else { continue };
        let span = place_of(root, &slo.name).unwrap_or(list_span);
        members.iter().for_each(|member| check(&member.slo, span));
    }
    let why_not = |name: &str| match slos.iter().find(|slo| &*slo.name == name)?.indicator {
        Indicator::Composite { .. } => Some("is itself a composite: name what it is made of"),
        Indicator::Queried(_) => Some("is a query, and a composite joins counted events"),
        _ => None,
    };
    for slo in slos {
        let Indicator::Composite { members, .. } = &slo.indicator else { continue };
        for (member, why) in members.iter().filter_map(|member| Some((member, why_not(&member.slo)?))) {
            let span = place_of(root, &slo.name).unwrap_or(list_span);
            decoder.error(span, format!("the member {:?} {why}", member.slo));
        }
    }
    decode_query::check_exclusions(decoder, slos, exclusions);
}

/// Where the objective of that name stands.
fn place_of(root: &Node, name: &str) -> Option<Span> {
    let yaml::NodeKind::Sequence(nodes) = &root.get("slos")?.kind else { return None };
    nodes.iter().filter_map(|node| node.get("name")).find(|node| node.as_str() == Some(name)).map(|node| node.span)
}

/// An entry with several objectives as one entry each: what stands in the list `objectives` is laid over the rest, names are joined by `-`.
fn objectives(decoder: &mut Decoder<'_>, node: &Node) -> Vec<Node> {
    let (yaml::NodeKind::Mapping(pairs), Some(list)) = (&node.kind, node.get("objectives")) else {
        return vec![node.clone()];
    };
    let yaml::NodeKind::Sequence(entries) = &list.kind else {
        decoder.error_with_help(list.span, "expected a list", "write objectives: [{name: strict, objective: 99.9}, …]");
        return Vec::new();
    };
    let rest = || pairs.iter().filter(|(key, _)| key.as_str() != Some("objectives")).cloned();
    let base = node.get("name").and_then(Node::as_str).unwrap_or_default();
    let one = |entry: &Node| {
        let yaml::NodeKind::Mapping(own) = &entry.kind else {
            decoder.error(entry.span, "expected a mapping with name and objective");
            return None;
        };
        let Some(suffix) = entry.get("name").filter(|name| name.as_str().is_some()) else {
            decoder.error(entry.span, "each of several objectives needs a name");
            return None;
        };
        if let Some((key, _)) = own.iter().find(|(key, _)| {
            !matches!(
                key.as_str(),
                Some("name" | "objective" | "window" | "time_zone" | "budgeting" | "alerting" | "budget_policy")
            )
        }) {
            decoder.error(key.span, "of several objectives each has name, objective, window, time_zone, budgeting, alerting and budget_policy of its own");
            return None;
        }
        let mut all: Vec<(Node, Node)> =
            rest().filter(|(key, _)| entry.get(key.as_str().unwrap_or_default()).is_none()).collect();
        all.extend(own.iter().cloned().map(|(key, mut value)| {
            if key.as_str() == Some("name")
                && let yaml::NodeKind::Scalar { text, .. } = &mut value.kind
            {
                *text = format!("{base}-{}", suffix.as_str().unwrap_or_default());
            }
            (key, value)
        }));
        Some(Node { span: node.span, kind: yaml::NodeKind::Mapping(all) })
    };
    entries.iter().filter_map(one).collect()
}

fn slo(decoder: &mut Decoder<'_>, node: &Node, names: &mut HashSet<Arc<str>>) -> Option<Slo> {
    let mut fields = decoder.fields(node, "SLO")?;
    let name = fields.required("name", |decoder, node| name(decoder, node, names));
    let about = about(&mut fields);
    let service = fields.optional("service", |decoder, node| Some((decoder.non_empty_string(node)?, node.span)));
    let own_labels = fields.or("labels", Vec::new(), labels);
    let labels = with_service(fields.decoder, own_labels, service);
    let window = decode_window::read(&mut fields, WINDOW_DEFAULT);
    let Read { indicator, implied, budgeting: own_budgeting } = fields
        .required("indicator", |decoder, node| Some(decode_indicator::indicator(decoder, node, &window)))
        .unwrap_or_default();
    let objective = read_objective(&mut fields, implied);
    let budgeting = fields
        .or("budgeting", Budgeting::Occurrences, |decoder, node| decode_window::budgeting(decoder, node, &window));
    let group_by = fields.or("group_by", Vec::new(), |decoder, node| group_by(decoder, node, &labels));
    let copies = decode_copies::read(&mut fields, &group_by, indicator.as_ref());
    let alerting = fields.node("alerting");
    decode_query::check_group_by(fields.decoder, node.get("group_by"), indicator.as_ref());
    decode_query::check_alerting(fields.decoder, alerting, indicator.as_ref());
    let levels = fields.or("budget_policy", Vec::new(), levels);
    for (key, why) in misfits(indicator.as_ref(), own_budgeting.is_some(), budgeting) {
        if let Some(span) = fields.key_span(key) {
            fields.decoder.error(span, format!("{key} does not go with this indicator: {why}"));
        }
    }
    // The policy needs an objective to judge its tiers by; a wrong one has been reported already.
    let judged_by = objective.unwrap_or_else(|| Objective::from_percent(99.9).expect("BUG: 99.9 is an objective"));
    let implied_span = implied.map_or(fields.span, |(_, _, span)| span);
    let objective_span = node.get("objective").map_or(implied_span, |node| node.span);
    let budgeting = own_budgeting.unwrap_or(budgeting);
    let default = default_policy(indicator.as_ref(), budgeting);
    let policy = policy(fields.decoder, alerting, (judged_by, objective_span), window.nominal(), default);
    fields.unsupported("calendar", "write window: month (day, week, quarter, year)");
    fields.unsupported("time_slices", "write budgeting: {time_slices: {slice: 5m, target: 99}}");
    fields.unsupported("exclusions", "write them beside slos, each with the slos that it is for");
    for key in ["timeWindow", "sli"] {
        fields.unsupported(key, "it is of another tool's form; write window and indicator");
    }
    fields.finish();
    Some(Slo {
        name: name?,
        about,
        labels: Labels::from_pairs(labels.into_iter().map(|(name, _, value)| (name, value))),
        indicator: indicator?,
        group_by,
        copies,
        objective: objective?,
        window,
        budgeting,
        policy: policy?,
        exclusions: Arc::default(),
        levels,
    })
}

/// The keys that do not go with an indicator, with the reason.
fn misfits(
    indicator: Option<&Indicator>,
    brings_budgeting: bool,
    budgeting: Budgeting,
) -> Vec<(&'static str, &'static str)> {
    let own_budgeting = ("budgeting", "the indicator brings its own");
    match indicator {
        Some(Indicator::Composite { .. }) => {
            vec![own_budgeting, ("group_by", "a composite joins all groups of its members")]
        }
        Some(Indicator::Queried(_)) if budgeting.is_of_slices() => {
            vec![("budgeting", "a query gives one figure for a whole window, and none for its slices")]
        }
        _ if brings_budgeting => vec![own_budgeting],
        _ => Vec::new(),
    }
}

/// The policy where nothing is written, but for the tiers. A composite leaves blindness and little traffic to its members.
fn default_policy(indicator: Option<&Indicator>, budgeting: Budgeting) -> Policy {
    let Some(indicator) = indicator else { return Policy::default() };
    if matches!(indicator, Indicator::Composite { .. }) {
        return Policy { not_measured: NotMeasured::StateOnly, ..Policy::default() };
    }
    if indicator.is_queried() {
        return Policy::default(); // how many events there were is not known, so that no guard can tell, nor what was seen
    }
    let is_of_time = indicator.is_of_time() || budgeting.is_of_slices();
    let guard = Some(if is_of_time { Guard::OF_TIME } else { Guard::OF_EVENTS });
    Policy { guard, tells_partly_measured: true, ..Policy::default() }
}

/// What the budget that is left means for changes.
fn levels(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<Level>> {
    let mut levels: Vec<Level> = decoder.list(node, |decoder, node| {
        let mut fields = decoder.fields(node, "level of a budget policy")?;
        let name = fields.required("name", Decoder::non_empty_string);
        let below = fields.required("remaining_below", Decoder::float);
        let action = fields.or("action", String::new(), Decoder::string);
        let blocks = fields.or("block", false, Decoder::bool);
        fields.finish();
        if below? > 100.0 {
            decoder.error_with_help(
                node.span,
                "more than 100 percent of a budget are never left",
                "write percent, such as 25",
            );
        }
        Some(Level { name: name?.into(), remaining_below: below? / 100.0, action: action.into(), blocks })
    })?;
    if levels.len() > LEVELS_MAX {
        decoder.error(node.span, format!("more than {LEVELS_MAX} levels"));
    }
    levels.sort_by(|a, b| b.remaining_below.total_cmp(&a.remaining_below));
    Some(levels)
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
