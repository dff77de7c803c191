//! The router's configuration: Alertmanager's file, checked.
//!
//! In the flow: text → nodes → [`RouterConfig`]; the driver hands it to [`super::Router`], and each integration's
//! raw `http_config` to the module that sends.
//!
//! **Invariants.** Every receiver that a route names exists; names are unique; the root route matches everything.
//! What we do not support yet is an error at its place, never accepted and dropped.
//! **Source.** Alertmanager 0.33 `config/config.go`; the error texts are its own.
//! **Differs:** `heartbeats` is a key of our own; the API shows the configuration without it, since `amtool` refuses what it
//! does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::heartbeat::{self, Heartbeat};
use super::inhibit::InhibitRule;
use super::receiver::{self, Global, Receiver};
use super::route::{self, Route};
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::{self, Node, NodeKind};
use crate::source::{Diagnostics, SourceFile, masked};

/// Keys at the top that Alertmanager does not have.
const OWN_KEYS: [&str; 1] = ["heartbeats"];

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// Alerts that come without an end live this long after their last arrival.
    pub resolve_timeout: Duration,
    /// The root of the tree.
    pub route: Route,
    /// In the order written.
    pub receivers: Vec<Receiver>,
    /// In the order written.
    pub inhibit_rules: Vec<InhibitRule>,
    /// In the order written.
    pub heartbeats: Vec<Heartbeat>,
    /// What was written, as YAML, secrets masked, without [`OWN_KEYS`].
    pub original: String,
}

impl RouterConfig {
    /// Reads a whole file. `None` when anything in it is an error.
    pub fn parse(source: &SourceFile) -> (Option<RouterConfig>, Diagnostics) {
        let (node, mut diagnostics) = yaml::parse(source);
        let Some(node) = node else { return (None, diagnostics) };
        let mut decoder = Decoder::new(source);
        let config = RouterConfig::decode(&mut decoder, &node);
        diagnostics.extend(decoder.finish());
        (config.filter(|_| !diagnostics.has_errors()), diagnostics)
    }

    /// Reads the mapping of an `alertmanager.yml`, or the same under `router` in another file. Reports all mistakes; a
    /// configuration may be returned together with errors and must not be used then.
    pub fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<RouterConfig> {
        let mut fields = decoder.fields(node, "router configuration")?;
        let global = fields.node("global");
        let global = Global::read(fields.decoder, global);
        let receivers = receiver::read_all(&mut fields, &global);
        let mut used = Vec::new();
        let route = match fields.node("route") {
            Some(node) => route::decode(fields.decoder, node, None, &mut used),
            None => {
                let span = fields.span;
                fields.decoder.error(span, "no route provided in config");
                None
            }
        };
        let names: BTreeSet<&str> = receivers.iter().map(|receiver| receiver.name.as_str()).collect();
        for (name, span) in used.iter().filter(|(name, _)| !names.contains(name.as_str())) {
            fields.decoder.error(*span, format!("undefined receiver {name:?} used in route"));
        }
        let inhibit_rules =
            fields.or("inhibit_rules", Vec::new(), |decoder, node| decoder.list(node, InhibitRule::decode));
        let heartbeats =
            fields.or("heartbeats", Vec::new(), |decoder, node| heartbeat::decode(decoder, node, &receivers));
        refuse_filled(&mut fields, "templates", "files of message templates are");
        refuse_filled(&mut fields, "time_intervals", "time intervals are");
        refuse_filled(&mut fields, "mute_time_intervals", "time intervals are");
        refuse_filled(&mut fields, "tracing", "tracing is");
        refuse_filled(&mut fields, "event_recorder", "the event recorder is");
        fields.finish();
        let mut route = route?;
        route.assign_ids(&mut BTreeMap::new());
        let resolve_timeout = global.resolve_timeout;
        let original = masked(&without_own_keys(node));
        Some(RouterConfig { resolve_timeout, route, receivers, inhibit_rules, heartbeats, original })
    }

    /// The receiver of that name.
    pub fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.name == name)
    }

    /// How many routes there are, the root included.
    pub fn route_count(&self) -> usize {
        let mut count = 0;
        self.route.walk(&mut |_| count += 1);
        count
    }
}

/// `amtool` reads the configuration that the API shows and refuses keys that it does not know.
fn without_own_keys(node: &Node) -> Node {
    let mut node = node.clone();
    if let NodeKind::Mapping(pairs) = &mut node.kind {
        pairs.retain(|(key, _)| key.as_str().is_none_or(|key| !OWN_KEYS.contains(&key)));
    }
    node
}

/// An empty list or mapping says nothing and is accepted; a filled one would be dropped silently and is not.
fn refuse_filled(fields: &mut Fields<'_, '_, '_>, key: &'static str, what: &str) {
    let Some(node) = fields.node(key) else { return };
    let is_empty = match &node.kind {
        NodeKind::Sequence(items) => items.is_empty(),
        NodeKind::Mapping(pairs) => pairs.is_empty(),
        _ => false,
    };
    if !is_empty {
        let span = fields.key_span(key).unwrap_or(node.span);
        fields.decoder.error(span, format!("the key {key:?} is not supported: {what} not built yet"));
    }
}
