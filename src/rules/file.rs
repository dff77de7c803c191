//! Rule files: YAML to checked groups.
//!
//! In the flow: a file becomes [`GroupConfig`]s; [`super::Group::new`] makes each one ready to run. All mistakes of a file are
//! reported at once, each at its place: an expression's at the very character.
//!
//! **Source.** Prometheus 3.14 `model/rulefmt/rulefmt.go`: keys, checks and messages.
//! **Differs:** Prometheus stops at mistakes of YAML before it checks rules, and names only some places; a negative `limit` is
//! refused; an unknown key or a wrong type is told in our own words.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::METRIC_NAME;
use crate::promql::{self, Expr, Features};
use crate::source::decode::{Decoder, Fields, UnknownKeys};
use crate::source::yaml::{self, Node};
use crate::source::{Diagnostic, Diagnostics, SourceFile, Span};
use crate::template::{ALERT_FUNCTIONS, ALERT_PREAMBLE, Template, alert_prelude};

use super::place::place_of;
use super::policy::{self, Policy};

/// A rule file.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// Its name and text.
    pub source: SourceFile,
    /// In file order.
    pub groups: Vec<GroupConfig>,
}

/// A group as written.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// Unique in its file.
    pub name: Arc<str>,
    /// Where the name stands.
    pub name_span: Span,
    /// `None` takes `global.evaluation_interval`.
    pub interval: Option<Duration>,
    /// `None` takes `global.rule_query_offset`.
    pub query_offset: Option<Duration>,
    /// The most series or alerts of a rule; 0 is no limit.
    pub limit: u64,
    /// Whether what the rules record at a slot is stored only if none of them fails.
    pub all_or_nothing: bool,
    /// In file order.
    pub rules: Vec<RuleConfig>,
}

/// A rule as written, checked.
#[derive(Clone, Debug)]
pub struct RuleConfig {
    /// Recording or alerting.
    pub kind: RuleKind,
    /// The metric recorded, or the alert's name.
    pub name: Arc<str>,
    /// Where the name stands.
    pub name_span: Span,
    /// What is evaluated.
    pub expr: Expr,
    /// The expression as written; its places are found with [`RuleConfig::expr_place`].
    pub expr_node: Node,
    /// Added to each result; those of the group first, then the rule's own. An alert's values are templates.
    pub labels: Vec<Entry>,
    /// Of an alert; templates.
    pub annotations: Vec<Entry>,
    /// `for`.
    pub hold_duration: Duration,
    /// `keep_firing_for`.
    pub keep_firing_for: Duration,
    /// Of an alert: what it does where Prometheus has no choice.
    pub policy: Policy,
    /// Of an alert: `recover_when`. What fires ends only once this gives its labels.
    pub recover_when: Option<Expr>,
}

/// What a rule makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RuleKind {
    /// `record:` a series.
    Recording,
    /// `alert:` alerts.
    Alerting,
}

/// A label or annotation.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: Arc<str>,
    /// Its value as written.
    pub value: Arc<str>,
    /// The value with its place; of a label of the group, the place there.
    pub node: Node,
    /// The parsed value, where it calls for more than itself.
    pub template: Option<Template>,
}

impl RuleFile {
    /// Reads a rule file. The file is `None` when there are errors; there may be warnings beside it.
    pub fn parse(source: &SourceFile) -> (Option<RuleFile>, Diagnostics) {
        Self::parse_with(source, UnknownKeys::Refuse, Features::DEFAULT)
    }

    /// As [`RuleFile::parse`], with a choice about keys that rules do not have and about the language.
    pub fn parse_with(
        source: &SourceFile,
        unknown_keys: UnknownKeys,
        features: Features,
    ) -> (Option<RuleFile>, Diagnostics) {
        let (root, mut diagnostics) = yaml::parse(source);
        let Some(root) = root else { return (None, diagnostics) };
        let mut decoder = Decoder::with_unknown_keys(source, unknown_keys);
        let groups = decode_root(&mut decoder, &root, features);
        let has_errors = decoder.has_errors();
        diagnostics.extend(decoder.finish());
        let file = (!has_errors).then(|| RuleFile { source: source.clone(), groups });
        (file, diagnostics)
    }

    /// As [`RuleFile::parse_with`], for who wants to know whether the file is good and see each rule once: `look` gets those of a group in file
    /// order, those of a file with errors too, and none is kept. Gives what it noted of each group. Groups are read on as many threads as
    /// `each_below` has.
    pub fn survey<T: Default + Send>(
        source: &SourceFile,
        (unknown_keys, features): (UnknownKeys, Features),
        each_below: &EachBelow<'_>,
        look: impl Fn(&mut T, &RuleConfig) + Sync,
    ) -> (Vec<T>, Diagnostics) {
        let (root, mut diagnostics) = yaml::parse(source);
        let Some(root) = root else { return (Vec::new(), diagnostics) };
        let mut decoder = Decoder::with_unknown_keys(source, unknown_keys);
        let mut notes = Vec::new();
        if let Some(mut fields) = decoder.fields(&root, "rule file") {
            let groups = fields.optional("groups", |decoder, node| {
                let groups = decoder.list(node, |_, node| Some(node))?;
                Some(survey_groups(decoder, &groups, (unknown_keys, features), (each_below, &look)))
            });
            fields.finish();
            notes = groups.unwrap_or_default();
        }
        diagnostics.extend(decoder.finish());
        (notes, diagnostics)
    }
}

/// Calls a function with each number below another one, on as many threads as it likes, and returns when all calls have.
pub type EachBelow<'a> = dyn Fn(usize, &(dyn Fn(usize) + Sync)) + 'a;

/// What was noted of each group.
fn survey_groups<T: Default + Send>(
    decoder: &mut Decoder<'_>,
    groups: &[&Node],
    (unknown_keys, features): (UnknownKeys, Features),
    (each_below, look): (&EachBelow<'_>, &(impl Fn(&mut T, &RuleConfig) + Sync)),
) -> Vec<T> {
    let source = decoder.source();
    type Surveyed<T> = (T, Option<GroupConfig>, Diagnostics);
    let surveyed: Vec<Mutex<Option<Surveyed<T>>>> = groups.iter().map(|_| Mutex::new(None)).collect();
    each_below(groups.len(), &|index| {
        let mut notes = T::default();
        let mut decoder = Decoder::with_unknown_keys(source, unknown_keys);
        let mut each = |rule: RuleConfig| {
            look(&mut notes, &rule);
            None
        };
        let group = decode_group(&mut decoder, groups[index], (features, &mut each));
        *surveyed[index].lock() = Some((notes, group, decoder.finish()));
    });
    let mut all = Vec::with_capacity(groups.len());
    let mut read = Vec::new();
    for (notes, group, diagnostics) in surveyed.into_iter().filter_map(Mutex::into_inner) {
        diagnostics.into_iter().for_each(|diagnostic| decoder.report(diagnostic));
        read.extend(group);
        all.push(notes);
    }
    check_names(decoder, &read);
    all
}

/// Keeps a rule, or does not.
type Each<'a> = dyn FnMut(RuleConfig) -> Option<RuleConfig> + 'a;

impl RuleConfig {
    /// Where byte `offset` of the expression stands in the file.
    pub fn expr_place(&self, source: &SourceFile, offset: usize) -> Span {
        place_of(source, &self.expr_node, offset)
    }
}

fn decode_root(decoder: &mut Decoder<'_>, root: &Node, features: Features) -> Vec<GroupConfig> {
    let Some(mut fields) = decoder.fields(root, "rule file") else { return Vec::new() };
    let groups = fields.optional("groups", |decoder, node| {
        let groups = decoder.list(node, |decoder, node| decode_group(decoder, node, (features, &mut Some)))?;
        check_names(decoder, &groups);
        Some(groups)
    });
    fields.finish();
    groups.unwrap_or_default()
}

/// Groups of a file have names of their own.
fn check_names(decoder: &mut Decoder<'_>, groups: &[GroupConfig]) {
    let mut names = HashSet::new();
    for group in groups.iter().filter(|group| !group.name.is_empty()) {
        if !names.insert(&group.name) {
            let text = format!("groupname: \"{}\" is repeated in the same file", group.name);
            decoder.error_with_help(group.name_span, text, "rename one of the groups or join them");
        }
    }
}

fn decode_group(
    decoder: &mut Decoder<'_>,
    node: &Node,
    (features, each): (Features, &mut Each<'_>),
) -> Option<GroupConfig> {
    let mut fields = decoder.fields(node, "group")?;
    let name_node = fields.node("name");
    let name_span = name_node.map_or(fields.span, |node| node.span);
    let name = match name_node {
        Some(node) => fields.decoder.string(node).unwrap_or_default(),
        None => String::new(),
    };
    if name.is_empty() {
        let help = "give the group a name that no other group of this file has";
        fields.decoder.error_with_help(name_span, "Groupname must not be empty", help);
    }
    let interval = fields.optional("interval", Decoder::duration).filter(|interval| !interval.is_zero());
    let query_offset = fields.optional("query_offset", Decoder::duration);
    let limit = fields.or("limit", 0, Decoder::count);
    let all_or_nothing = fields.or("all_or_nothing", false, Decoder::bool);
    let policy = Policy::read(&mut fields, Policy::default());
    let labels = fields.optional("labels", |decoder, node| decode_labels(decoder, node, "")).unwrap_or_default();
    let mut number = 0;
    let rules = fields.optional("rules", |decoder, node| {
        decoder.list(node, |decoder, node| {
            number += 1;
            let context = Context { group: &name, number, group_labels: &labels, policy, features };
            decode_rule(decoder, node, &context).and_then(&mut *each)
        })
    });
    fields.finish();
    let rules = rules.unwrap_or_default();
    Some(GroupConfig { name: name.into(), name_span, interval, query_offset, limit, all_or_nothing, rules })
}

/// Where a rule stands, for messages and inherited labels.
struct Context<'a> {
    group: &'a str,
    /// From 1.
    number: usize,
    group_labels: &'a [Entry],
    policy: Policy,
    features: Features,
}

impl Context<'_> {
    /// `group "g", rule 1, "Name": `, as Prometheus begins its messages.
    fn prefix(&self, rule: &str) -> String {
        format!("group {:?}, rule {}, {rule:?}: ", self.group, self.number)
    }
}

fn decode_rule(decoder: &mut Decoder<'_>, node: &Node, context: &Context<'_>) -> Option<RuleConfig> {
    let mut fields = decoder.fields(node, "rule")?;
    let record = fields.node("record").filter(|node| node.as_str() != Some(""));
    let alert = fields.node("alert").filter(|node| node.as_str() != Some(""));
    let name = alert.or(record).and_then(|node| fields.decoder.string(node)).unwrap_or_default();
    let prefix = context.prefix(&name);
    match (record, alert) {
        (Some(_), Some(alert)) => {
            let text = format!("{prefix}only one of 'record' and 'alert' must be set");
            fields.decoder.error_with_help(alert.span, text, "split this into two rules");
        }
        (None, None) => {
            let text = format!("{prefix}one of 'record' or 'alert' must be set");
            fields.decoder.error_with_help(fields.span, text, "add `alert: NAME` or `record: NAME`");
        }
        _ => {}
    }
    let expr_node = fields.node("expr").filter(|node| node.as_str() != Some(""));
    let expr = match expr_node {
        Some(node) => decode_expr(fields.decoder, node, (&prefix, context.features)),
        None => {
            let text = format!("{prefix}field 'expr' must be set in rule");
            fields.decoder.error_with_help(fields.span, text, "add `expr:` with a PromQL expression");
            None
        }
    };
    let hold_duration = fields.or("for", Duration::ZERO, Decoder::duration);
    let keep_firing_for = fields.or("keep_firing_for", Duration::ZERO, Decoder::duration);
    let policy = Policy::read(&mut fields, context.policy);
    let recovery_prefix = format!("{prefix}recover_when: ");
    let when =
        |decoder: &mut Decoder<'_>, node: &Node| decode_expr(decoder, node, (&recovery_prefix, context.features));
    let recover_when = fields.optional("recover_when", when);
    let mut labels = context.group_labels.to_vec();
    let own = fields.optional("labels", |decoder, node| decode_labels(decoder, node, &prefix)).unwrap_or_default();
    let own_names: HashSet<&str> = own.iter().map(|entry| &*entry.name).collect();
    labels.retain(|inherited| !own_names.contains(&*inherited.name));
    labels.extend(own);
    let mut annotations =
        fields.optional("annotations", |decoder, node| decode_annotations(decoder, node, &prefix)).unwrap_or_default();
    if let Some(record) = record {
        check_record(fields.decoder, record, &prefix);
        let only_alerts = [
            ("annotations", !annotations.is_empty()),
            ("for", !hold_duration.is_zero()),
            ("keep_firing_for", !keep_firing_for.is_zero()),
            ("recover_when", recover_when.is_some()),
        ];
        refuse_keys_of_alerts(&mut fields, &only_alerts, &prefix);
    }
    if alert.is_some() {
        for (what, entries) in [("label", &mut labels), ("annotation", &mut annotations)] {
            for entry in entries {
                parse_template(fields.decoder, entry, &name, (&prefix, what));
            }
        }
    }
    fields.finish();
    Some(RuleConfig {
        kind: if alert.is_some() { RuleKind::Alerting } else { RuleKind::Recording },
        name: name.into(),
        name_span: alert.or(record)?.span,
        expr: expr?,
        expr_node: expr_node?.clone(),
        labels,
        annotations,
        hold_duration,
        keep_firing_for,
        policy,
        recover_when,
    })
}

fn decode_expr(decoder: &mut Decoder<'_>, node: &Node, (prefix, features): (&str, Features)) -> Option<Expr> {
    let text = decoder.string(node)?;
    match promql::parse_with(&text, features) {
        Ok(expr) => Some(expr),
        Err(errors) => {
            for error in errors {
                let at = place_of(decoder.source(), node, error.span.start).start;
                let end = place_of(decoder.source(), node, error.span.end).start.max(at);
                let text = format!("{prefix}could not parse expression: {error}");
                let mut diagnostic = Diagnostic::error(decoder.source(), Span::new(at, end), text);
                diagnostic.help = error.help;
                decoder.report(diagnostic);
            }
            None
        }
    }
}

/// Reports the keys that only alerts have, those of `only_alerts` where they are set.
fn refuse_keys_of_alerts(fields: &mut Fields<'_, '_, '_>, only_alerts: &[(&'static str, bool)], prefix: &str) {
    let policies = policy::KEYS.map(|key| (key, fields.key_span(key).is_some()));
    for (key, _) in only_alerts.iter().chain(&policies).filter(|(_, is_set)| *is_set) {
        let span = fields.key_span(key).unwrap_or(fields.span);
        let text = format!("{prefix}invalid field '{key}' in recording rule");
        fields.decoder.error_with_help(span, text, format!("remove `{key}`: only alerts have it"));
    }
}

/// What the name of a recorded metric may not be.
fn check_record(decoder: &mut Decoder<'_>, node: &Node, prefix: &str) {
    let Some(name) = node.as_str() else { return };
    if name.contains(['{', '}']) {
        let text = format!("{prefix}braces present in the recording rule name; should it be in expr?: {name}");
        decoder.error_with_help(node.span, text, "write the metric name alone; labels go under `labels:`");
    }
}

fn decode_labels(decoder: &mut Decoder<'_>, node: &Node, prefix: &str) -> Option<Vec<Entry>> {
    decode_entries(decoder, node, |decoder, name, span| {
        if name.is_empty() || name == METRIC_NAME {
            decoder.error_with_help(
                span,
                format!("{prefix}invalid label name: {name}"),
                match name {
                    "" => "give the label a name",
                    _ => "the metric name is not a label to set; a recording rule's is its `record:`",
                },
            );
        }
    })
}

fn decode_annotations(decoder: &mut Decoder<'_>, node: &Node, prefix: &str) -> Option<Vec<Entry>> {
    decode_entries(decoder, node, |decoder, name, span| {
        if name.is_empty() {
            decoder.error_with_help(
                span,
                format!("{prefix}invalid annotation name: {name}"),
                "give the annotation a name",
            );
        }
    })
}

fn decode_entries(
    decoder: &mut Decoder<'_>,
    node: &Node,
    check_name: impl Fn(&mut Decoder<'_>, &str, Span),
) -> Option<Vec<Entry>> {
    let entries = decoder.map(node, |decoder, value| Some((decoder.string(value)?, value.clone())))?;
    let mut decoded = Vec::with_capacity(entries.len());
    for (name, span, (value, node)) in entries {
        check_name(decoder, &name, span);
        decoded.push(Entry { name: name.into(), value: value.into(), node, template: None });
    }
    Some(decoded)
}

/// Parses the value of a label or annotation as the template that it is.
fn parse_template(decoder: &mut Decoder<'_>, entry: &mut Entry, rule: &str, (prefix, what): (&str, &str)) {
    if !entry.value.contains("{{") {
        return;
    }
    let text = format!("{ALERT_PREAMBLE}{}", entry.value);
    match Template::parse_after(alert_prelude(), &format!("__alert_{rule}"), text, ALERT_FUNCTIONS) {
        Ok(template) => entry.template = Some(template),
        Err(error) => {
            let message = format!("{prefix}{what} {:?}: {error}", entry.name);
            let span = template_place(decoder.source(), entry, error.offset);
            let mut diagnostic = Diagnostic::error(decoder.source(), span, message);
            diagnostic.help = help_for(&error.to_string());
            decoder.report(diagnostic);
        }
    }
}

fn template_place(source: &SourceFile, entry: &Entry, offset: Option<usize>) -> Span {
    match offset.and_then(|offset| offset.checked_sub(ALERT_PREAMBLE.len())) {
        Some(offset) => place_of(source, &entry.node, offset),
        None => entry.node.span,
    }
}

/// What to write instead of an unknown variable or function.
fn help_for(message: &str) -> Option<String> {
    let quoted = |after: &str| message.split_once(after).and_then(|(_, rest)| rest.split('"').nth(1));
    if let Some(name) = quoted("undefined variable ") {
        let known = ["$labels", "$externalLabels", "$externalURL", "$value"];
        let near = crate::source::suggest::nearest(name, known);
        return Some(match near {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", known.join(", ")),
        });
    }
    let name = quoted(": function ")?;
    let known = ALERT_FUNCTIONS.iter().map(|function| function.name).chain(["printf", "println", "index", "urlquery"]);
    crate::source::suggest::nearest(name, known).map(|near| format!("did you mean {near}?"))
}
