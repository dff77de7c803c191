//! The router's configuration: Alertmanager's file, checked.
//!
//! In the flow: text → nodes → [`RouterConfig`]; the driver hands it to [`super::Router`], and each webhook's raw
//! `http_config` to the module that sends.
//!
//! **Invariants.** Every receiver that a route names exists; names are unique; the root route matches everything.
//! What we do not support yet is an error at its place, never accepted and dropped.
//! **Source.** Alertmanager 0.33 `config/config.go`, `notify/webhook/config.go`; the error texts are its own.
//! **Differs:** `heartbeats` is a key of our own; the API shows the configuration without it, since `amtool` refuses what it
//! does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::heartbeat::{self, Heartbeat};
use super::inhibit::InhibitRule;
use super::route::{self, Route};
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::{self, Node, NodeKind};
use crate::source::{Diagnostics, Secret, SourceFile, Span, masked};

/// Alerts that come without an end live this long after their last arrival, unless the file says otherwise.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Receiver kinds of Alertmanager that are not built yet.
const UNBUILT_RECEIVERS: [&str; 17] = [
    "discord_configs",
    "email_configs",
    "incidentio_configs",
    "jira_configs",
    "mattermost_configs",
    "msteams_configs",
    "msteamsv2_configs",
    "opsgenie_configs",
    "pagerduty_configs",
    "pushover_configs",
    "rocketchat_configs",
    "slack_configs",
    "sns_configs",
    "telegram_configs",
    "victorops_configs",
    "webex_configs",
    "wechat_configs",
];

/// Settings under `global` for those receivers.
const UNBUILT_GLOBALS: [&str; 39] = [
    "jira_api_url",
    "mattermost_webhook_url",
    "mattermost_webhook_url_file",
    "opsgenie_api_key",
    "opsgenie_api_key_file",
    "opsgenie_api_url",
    "pagerduty_url",
    "rocketchat_api_url",
    "rocketchat_token",
    "rocketchat_token_file",
    "rocketchat_token_id",
    "rocketchat_token_id_file",
    "slack_api_url",
    "slack_api_url_file",
    "slack_app_token",
    "slack_app_token_file",
    "slack_app_url",
    "smtp_auth_identity",
    "smtp_auth_password",
    "smtp_auth_password_file",
    "smtp_auth_secret",
    "smtp_auth_secret_file",
    "smtp_auth_username",
    "smtp_force_implicit_tls",
    "smtp_from",
    "smtp_hello",
    "smtp_require_tls",
    "smtp_smarthost",
    "smtp_tls_config",
    "telegram_api_url",
    "telegram_bot_token",
    "telegram_bot_token_file",
    "victorops_api_key",
    "victorops_api_key_file",
    "victorops_api_url",
    "webex_api_url",
    "wechat_api_corp_id",
    "wechat_api_secret",
    "wechat_api_secret_file",
];

/// Keys at the top that Alertmanager does not have.
const OWN_KEYS: [&str; 1] = ["heartbeats"];

/// A piece of a file that another module decodes.
#[derive(Clone, Debug)]
pub struct RawConfig {
    /// The file, for positions.
    pub source: SourceFile,
    /// The piece.
    pub node: Arc<Node>,
}

/// A webhook of a receiver.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Where to POST.
    pub url: Secret,
    /// Whether resolved alerts are sent.
    pub send_resolved: bool,
    /// Most alerts in one message; 0 for no limit.
    pub max_alerts: u64,
    /// Longest time for one attempt, if limited.
    pub timeout: Option<Duration>,
    /// The HTTP client's settings: the webhook's own, else the global ones.
    pub http_config: Option<RawConfig>,
}

/// Who is told.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Unique.
    pub name: String,
    /// For filters of the API; `name` is always among them.
    pub labels: BTreeMap<String, String>,
    /// In the order written; the index is part of a notification's identity.
    pub webhooks: Vec<WebhookConfig>,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// See [`RESOLVE_TIMEOUT`].
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
        let (resolve_timeout, http_config) = read_global(fields.decoder, global);
        let receivers = read_receivers(&mut fields, http_config.as_ref());
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
        refuse_filled(&mut fields, "templates", "message templates are");
        refuse_filled(&mut fields, "time_intervals", "time intervals are");
        refuse_filled(&mut fields, "mute_time_intervals", "time intervals are");
        refuse_filled(&mut fields, "tracing", "tracing is");
        refuse_filled(&mut fields, "event_recorder", "the event recorder is");
        fields.finish();
        let mut route = route?;
        route.assign_ids(&mut BTreeMap::new());
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

fn read_global(decoder: &mut Decoder<'_>, node: Option<&Node>) -> (Duration, Option<RawConfig>) {
    let Some(node) = node else { return (RESOLVE_TIMEOUT, None) };
    let Some(mut fields) = decoder.fields(node, "global") else { return (RESOLVE_TIMEOUT, None) };
    let resolve_timeout = fields.or("resolve_timeout", RESOLVE_TIMEOUT, Decoder::duration);
    let http_config = read_http_config(&mut fields);
    for key in UNBUILT_GLOBALS {
        fields.unsupported(key, "only webhook receivers are built yet");
    }
    fields.finish();
    (resolve_timeout, http_config)
}

fn read_http_config(fields: &mut Fields<'_, '_, '_>) -> Option<RawConfig> {
    let node = fields.node("http_config")?;
    Some(RawConfig { source: fields.decoder.source().clone(), node: Arc::new(node.clone()) })
}

fn read_receivers(fields: &mut Fields<'_, '_, '_>, http_config: Option<&RawConfig>) -> Vec<Receiver> {
    let (mut receivers, mut names): (Vec<Receiver>, BTreeSet<String>) = Default::default();
    let read = fields.optional("receivers", |decoder, node| {
        decoder.list(node, |decoder, node| read_receiver(decoder, node, http_config))
    });
    for (receiver, span) in read.unwrap_or_default() {
        if names.insert(receiver.name.clone()) {
            receivers.push(receiver);
        } else {
            fields.decoder.error(span, format!("notification config name {:?} is not unique", receiver.name));
        }
    }
    receivers
}

fn read_receiver(decoder: &mut Decoder<'_>, node: &Node, http_config: Option<&RawConfig>) -> Option<(Receiver, Span)> {
    let mut fields = decoder.fields(node, "receiver")?;
    let name_node = fields.node("name");
    let name = name_node.and_then(|node| fields.decoder.string(node)).unwrap_or_default();
    let span = name_node.map_or(fields.span, |node| node.span);
    if name.is_empty() {
        fields.decoder.error(span, "missing name in receiver");
    }
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    let written = fields.optional("labels", |decoder, node| decoder.map(node, Decoder::string));
    for (label, span, value) in written.unwrap_or_default() {
        if label == "name" && value != name {
            let (name, value) = (crate::model::quote(&name), crate::model::quote(&value));
            let message = format!("receiver label \"name\" must match receiver name {name}, got {value}");
            fields.decoder.error(span, message);
        }
        labels.insert(label, value);
    }
    labels.insert("name".to_owned(), name.clone());
    let webhooks = fields.or("webhook_configs", Vec::new(), |decoder, node| {
        decoder.list(node, |decoder, node| read_webhook(decoder, node, http_config))
    });
    for key in UNBUILT_RECEIVERS {
        fields.unsupported(key, format!("receiver kind {key} is not built yet; supported: webhook_configs"));
    }
    fields.finish();
    (!name.is_empty()).then_some((Receiver { name, labels, webhooks }, span))
}

fn read_webhook(decoder: &mut Decoder<'_>, node: &Node, http_config: Option<&RawConfig>) -> Option<WebhookConfig> {
    if node.is_null() {
        decoder.error(node.span, "missing webhook config");
        return None;
    }
    let mut fields = decoder.fields(node, "webhook config")?;
    let is_file = fields.key_span("url_file").is_some();
    let url = fields.optional("url", read_url);
    if fields.key_span("url").is_none() && !is_file {
        let span = fields.span;
        fields.decoder.error(span, "one of url or url_file must be configured");
    }
    fields.unsupported("url_file", "addresses from files are not built yet; write url");
    fields.unsupported("payload", "custom payloads are not built yet");
    let send_resolved = fields.or("send_resolved", true, Decoder::bool);
    let max_alerts = fields.or("max_alerts", 0, Decoder::count);
    let timeout = fields.optional("timeout", Decoder::duration).filter(|timeout| !timeout.is_zero());
    let http_config = read_http_config(&mut fields).or_else(|| http_config.cloned());
    fields.finish();
    Some(WebhookConfig { url: url?, send_resolved, max_alerts, timeout, http_config })
}

fn read_url(decoder: &mut Decoder<'_>, node: &Node) -> Option<Secret> {
    let text = decoder.string(node)?;
    if text.is_empty() {
        decoder.error(node.span, "one of url or url_file must be configured");
        return None;
    }
    if text.contains("{{") {
        decoder.error(node.span, "templates in url are not built yet");
        return None;
    }
    // The address is secret, so that no message repeats it.
    let problem = match url::Url::parse(&text) {
        Err(error) => Some(error.to_string()),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            Some(format!("unsupported scheme {:?} for URL", url.scheme()))
        }
        Ok(url) if url.host_str().is_none_or(str::is_empty) => Some("missing host for URL".to_owned()),
        Ok(_) => None,
    };
    if let Some(problem) = problem {
        decoder.error_with_help(node.span, format!("invalid URL: {problem}"), "write http://host:port/path");
        return None;
    }
    Some(Secret::new(text))
}
