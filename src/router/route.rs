//! The route tree: which receivers an alert goes to, how it is grouped, and at what pace.
//!
//! In the flow: [`super::RouterConfig`] holds the root; the dispatcher asks [`Route::matching`] for every alert.
//!
//! **Invariants.** Options are resolved: what a child does not set it has from its parent. Every route has an identity
//! ([`Route::id`]) that does not change when other routes are added, so that a reload leaves its groups alone.
//! **Cost.** Matching is linear in the routes visited.
//! **Source.** Alertmanager 0.33 `dispatch/route.go`, `config/config.go`.
//! **Differs:** upstream's text key of a route is the same for siblings with equal matchers; our identity adds the receiver
//! and a count, so that two such routes never share a group or its log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::matchers;
use crate::model::{Alert, Labels, MatchOp, Matcher, is_legacy_name};
use crate::source::Span;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::{Node, NodeKind};

/// Stands between the parts of [`Route::id`]: text key, receiver, count among equals. YAML does not allow it in a text.
pub(super) const ID_SEPARATOR: char = '\u{0}';

/// Which labels form a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// These; none puts all alerts of a route into one group.
    Labels(BTreeSet<String>),
    /// Every label: each alert is its own group (`...`).
    All,
}

impl GroupBy {
    /// The labels of the group that `alert` belongs to.
    pub fn group_labels(&self, alert: &Alert) -> Labels {
        match self {
            GroupBy::All => alert.labels.clone(),
            GroupBy::Labels(names) => alert.labels.filtered(|label| names.contains(&*label.name)),
        }
    }
}

/// How alerts of a route are grouped and paced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOptions {
    /// Name of the receiver; it exists.
    pub receiver: String,
    /// What forms a group.
    pub group_by: GroupBy,
    /// From a group's first alert to its first notification.
    pub group_wait: Duration,
    /// Between notifications of a group; above zero.
    pub group_interval: Duration,
    /// Until an unchanged group is notified again; above zero.
    pub repeat_interval: Duration,
}

impl Default for RouteOptions {
    fn default() -> Self {
        RouteOptions {
            receiver: String::new(),
            group_by: GroupBy::Labels(BTreeSet::new()),
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(5 * 60),
            repeat_interval: Duration::from_secs(4 * 3600),
        }
    }
}

/// A node of the route tree.
#[derive(Clone, Debug)]
pub struct Route {
    /// Options, inherited ones included.
    pub options: RouteOptions,
    /// All must pass; sorted as Alertmanager prints them.
    pub matchers: Vec<Matcher>,
    /// Whether siblings after this one are tried too when it matched.
    pub continues: bool,
    /// Children, tried in order.
    pub routes: Vec<Route>,
    /// Alertmanager's text form of the path from the root; begins the group key.
    pub key: Arc<str>,
    /// Identity within one configuration and across reloads.
    pub id: Arc<str>,
}

impl Route {
    /// The routes that `labels` go to: depth first, a node itself only if none of its children matched.
    pub fn matching<'a>(&'a self, labels: &Labels) -> Vec<&'a Route> {
        let mut found = Vec::new();
        self.collect_matching(labels, &mut found);
        found
    }

    fn collect_matching<'a>(&'a self, labels: &Labels, found: &mut Vec<&'a Route>) -> bool {
        if !self.matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
            return false;
        }
        let mut is_child_matched = false;
        for route in &self.routes {
            let is_matched = route.collect_matching(labels, found);
            is_child_matched |= is_matched;
            if is_matched && !route.continues {
                break;
            }
        }
        if !is_child_matched {
            found.push(self);
        }
        true
    }

    /// This route and all below it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Route)) {
        visit(self);
        self.routes.iter().for_each(|route| route.walk(visit));
    }

    /// Names every route of a finished tree.
    pub(super) fn assign_ids(&mut self, seen: &mut BTreeMap<String, u32>) {
        let name = format!("{}{ID_SEPARATOR}{}", self.key, self.options.receiver);
        let count = seen.entry(name.clone()).or_insert(0);
        self.id = format!("{name}{ID_SEPARATOR}{count}").into();
        *count += 1;
        self.routes.iter_mut().for_each(|route| route.assign_ids(seen));
    }
}

/// Reads a route and all below it. `receivers` collects every use of a receiver's name with its place.
pub(super) fn decode(
    decoder: &mut Decoder<'_>,
    node: &Node,
    parent: Option<&Route>,
    receivers: &mut Vec<(String, Span)>,
) -> Option<Route> {
    let mut fields = decoder.fields(node, "route")?;
    let mut options = parent.map(|parent| parent.options.clone()).unwrap_or_default();
    read_receiver(&mut fields, &mut options, receivers);
    if let Some(group_by) = fields.optional("group_by", read_group_by) {
        options.group_by = group_by;
    }
    options.group_wait = fields.or("group_wait", options.group_wait, Decoder::duration);
    options.group_interval = read_interval(&mut fields, "group_interval", options.group_interval);
    options.repeat_interval = read_interval(&mut fields, "repeat_interval", options.repeat_interval);
    if options.repeat_interval < options.group_interval {
        let span = fields.key_span("repeat_interval").or(fields.key_span("group_interval")).unwrap_or(node.span);
        let text = "repeat_interval is less than group_interval: notifications repeat at the next group_interval only";
        fields.decoder.warning(span, text);
    }
    let matchers = read_matchers(&mut fields);
    let continues = fields.or("continue", false, Decoder::bool);
    if parent.is_none() {
        refuse_at_root(&mut fields, &options, continues);
    }
    for key in ["mute_time_intervals", "active_time_intervals"] {
        fields.unsupported(key, "time intervals are not built yet");
    }
    fields.unsupported("labels", "labels of routes are not built yet");
    let children = fields.node("routes");
    fields.finish();
    let list = matchers::list_text(&matchers);
    let key = parent.map_or(list.clone(), |parent| format!("{}/{list}", parent.key));
    let mut route = Route { options, matchers, continues, routes: Vec::new(), key: key.into(), id: Arc::from("") };
    if let Some(children) = children {
        let routes = decoder.list(children, |decoder, node| decode(decoder, node, Some(&route), receivers));
        route.routes = routes.unwrap_or_default();
    }
    Some(route)
}

fn read_receiver(fields: &mut Fields<'_, '_, '_>, options: &mut RouteOptions, receivers: &mut Vec<(String, Span)>) {
    let Some(node) = fields.node("receiver") else { return };
    if let Some(name) = fields.decoder.string(node).filter(|name| !name.is_empty()) {
        receivers.push((name.clone(), node.span));
        options.receiver = name;
    }
}

fn refuse_at_root(fields: &mut Fields<'_, '_, '_>, options: &RouteOptions, continues: bool) {
    let matcher_key = ["match", "match_re", "matchers"].iter().find_map(|key| fields.key_span(key));
    let span = fields.span;
    if options.receiver.is_empty() {
        fields.decoder.error(span, "root route must specify a default receiver");
    }
    if let Some(span) = matcher_key {
        fields.decoder.error(span, "root route must not have any matchers");
    }
    if continues {
        let span = fields.key_span("continue").unwrap_or(span);
        fields.decoder.error(span, "cannot have continue in root route");
    }
}

fn read_interval(fields: &mut Fields<'_, '_, '_>, key: &'static str, inherited: Duration) -> Duration {
    let Some(node) = fields.node(key) else { return inherited };
    match fields.decoder.duration(node) {
        Some(Duration::ZERO) => {
            fields.decoder.error(node.span, format!("{key} cannot be zero"));
            inherited
        }
        Some(duration) => duration,
        None => inherited,
    }
}

fn read_group_by(decoder: &mut Decoder<'_>, node: &Node) -> Option<GroupBy> {
    let mut names = BTreeSet::new();
    let mut is_all = false;
    let items = decoder.list(node, |decoder, item| Some((decoder.string(item)?, item.span)))?;
    for (name, span) in items {
        if name == "..." {
            is_all = true;
        } else if name.is_empty() {
            decoder.error(span, format!("invalid label name {name:?} in group_by list"));
        } else if !names.insert(name.clone()) {
            decoder.error(span, format!("duplicated label {name:?} in group_by"));
        }
    }
    if is_all && !names.is_empty() {
        decoder.error(node.span, "cannot have wildcard group_by (`...`) and other labels at the same time");
    }
    Some(if is_all { GroupBy::All } else { GroupBy::Labels(names) })
}

/// `matchers` and the older `match` and `match_re`, together and sorted.
fn read_matchers(fields: &mut Fields<'_, '_, '_>) -> Vec<Matcher> {
    let keys = MatcherKeys { list: "matchers", equal: "match", regex: "match_re" };
    let mut all = keys.read(fields);
    matchers::sort(&mut all);
    all
}

/// The three keys that a set of matchers may be spread over.
pub(super) struct MatcherKeys {
    /// The list of matcher texts.
    pub(super) list: &'static str,
    /// Older: label and value.
    pub(super) equal: &'static str,
    /// Older: label and regular expression.
    pub(super) regex: &'static str,
}

impl MatcherKeys {
    /// All matchers under the three keys.
    pub(super) fn read(&self, fields: &mut Fields<'_, '_, '_>) -> Vec<Matcher> {
        let mut all = Vec::new();
        for (key, op) in [(self.equal, MatchOp::Equal), (self.regex, MatchOp::Regex)] {
            all.extend(fields.optional(key, |decoder, node| read_pairs(decoder, node, op)).unwrap_or_default());
        }
        all.extend(fields.optional(self.list, read_list).unwrap_or_default());
        all
    }
}

fn read_pairs(decoder: &mut Decoder<'_>, node: &Node, op: MatchOp) -> Option<Vec<Matcher>> {
    let pairs = decoder.map(node, |decoder, value| Some((decoder.string(value)?, value.span)))?;
    let mut all = Vec::new();
    for (name, span, (value, value_span)) in pairs {
        if !is_legacy_name(&name) || name.contains(':') {
            decoder.error(span, format!("invalid label name {name:?}"));
        }
        match Matcher::new(op, name, value) {
            Ok(matcher) => all.push(matcher),
            Err(error) => decoder.error(value_span, error.to_string()),
        }
    }
    Some(all)
}

fn read_list(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<Matcher>> {
    if let NodeKind::Scalar { text, .. } = &node.kind {
        let help = format!("write a list: [{}]", crate::model::quote(text));
        decoder.error_with_help(node.span, "expected a list, found a plain value", help);
        return None;
    }
    let lists = decoder.list(node, |decoder, item| {
        let text = decoder.string(item)?;
        match matchers::parse_list(&text) {
            Ok(parsed) => {
                if let Some(warning) = parsed.warning {
                    decoder.warning(item.span, warning);
                }
                Some(parsed.matchers)
            }
            Err(error) => {
                decoder.error_with_help(item.span, error, "write label=\"value\", with one of = != =~ !~");
                None
            }
        }
    })?;
    Some(lists.into_iter().flatten().collect())
}
