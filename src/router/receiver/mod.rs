//! Receivers: who is told, and how.
//!
//! In the flow: [`super::RouterConfig`] holds the receivers; a flush asks each [`Integration`] for its message; `deliver` takes the
//! transport's settings from it.
//! **Invariants.** Among the integrations of a receiver each pair of kind and index is there once. Addresses and keys are secret.
//! **Source.** Alertmanager 0.33 `config/config.go`, `config/notifiers.go`, `notify/*/config.go`; the error texts are its own.
//! **Differs:** relative names of secret files are relative to the configuration file, as those of `http_config` are.

mod email;
mod global;
mod pagerduty;
mod slack;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use email::{EmailConfig, EmailMessage, Smtp};
pub(super) use global::Global;
pub use pagerduty::{PagerDutyApi, PagerDutyConfig};
pub use slack::SlackConfig;
pub use webhook::WebhookConfig;

use super::Message;
use super::message::{Envelope, Renderer, TextTemplate};
use crate::model::Alert;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;
use crate::source::{Secret, SourceFile, Span};

/// Receiver kinds of Alertmanager that are not built yet.
const UNBUILT: [&str; 14] = [
    "discord_configs",
    "incidentio_configs",
    "jira_configs",
    "mattermost_configs",
    "msteams_configs",
    "msteamsv2_configs",
    "opsgenie_configs",
    "pushover_configs",
    "rocketchat_configs",
    "sns_configs",
    "telegram_configs",
    "victorops_configs",
    "webex_configs",
    "wechat_configs",
];

/// A piece of a file that another module decodes.
#[derive(Clone, Debug)]
pub struct RawConfig {
    /// The file, for positions.
    pub source: SourceFile,
    /// The piece.
    pub node: Arc<Node>,
}

/// A secret, or the file that holds it and is read at each use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretText {
    /// As written.
    Inline(Secret),
    /// The file's name.
    File(String),
}

/// Who is told.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Unique.
    pub name: String,
    /// For filters of the API; `name` is always among them.
    pub labels: BTreeMap<String, String>,
    /// By kind, each kind in the order written.
    pub integrations: Vec<Integration>,
}

/// Kinds of integrations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// `webhook_configs`
    Webhook,
    /// `email_configs`
    Email,
    /// `pagerduty_configs`
    PagerDuty,
    /// `slack_configs`
    Slack,
}

impl Kind {
    /// As metrics and logs name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Webhook => "webhook",
            Kind::Email => "email",
            Kind::PagerDuty => "pagerduty",
            Kind::Slack => "slack",
        }
    }
}

/// Which of a receiver's integrations: the kind and the index in its list, which are part of a notification's identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct IntegrationId {
    pub(super) kind: Kind,
    pub(super) index: usize,
}

impl IntegrationId {
    pub(super) const MIN: IntegrationId = IntegrationId { kind: Kind::Webhook, index: 0 };
    pub(super) const MAX: IntegrationId = IntegrationId { kind: Kind::Slack, index: usize::MAX };
}

/// One way to tell a receiver.
#[derive(Clone, Debug)]
pub struct Integration {
    /// From 0 among those of its kind.
    pub index: usize,
    /// Whether resolved alerts are sent.
    pub send_resolved: bool,
    /// Longest time for one attempt, if limited.
    pub timeout: Option<Duration>,
    /// The HTTP client's settings: the integration's own, else the global ones.
    pub http_config: Option<RawConfig>,
    /// What is particular to its kind.
    pub settings: Settings,
}

/// What is particular to a kind.
#[derive(Clone, Debug)]
pub enum Settings {
    /// See [`WebhookConfig`].
    Webhook(WebhookConfig),
    /// See [`EmailConfig`].
    Email(Box<EmailConfig>),
    /// See [`PagerDutyConfig`].
    PagerDuty(Box<PagerDutyConfig>),
    /// See [`SlackConfig`].
    Slack(Box<SlackConfig>),
}

impl Integration {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self.settings {
            Settings::Webhook(_) => Kind::Webhook,
            Settings::Email(_) => Kind::Email,
            Settings::PagerDuty(_) => Kind::PagerDuty,
            Settings::Slack(_) => Kind::Slack,
        }
    }

    pub(super) fn id(&self) -> IntegrationId {
        IntegrationId { kind: self.kind(), index: self.index }
    }

    /// The message about `alerts`, which are in the order they are shown.
    pub(super) fn message(&self, envelope: &Envelope<'_>, alerts: &[Alert]) -> Message {
        let renderer = || Renderer::new(envelope, alerts);
        match &self.settings {
            Settings::Webhook(config) => config.message(envelope, alerts),
            Settings::Email(config) => config.message(envelope, &mut renderer()),
            Settings::PagerDuty(config) => {
                let is_resolved = alerts.iter().all(|alert| alert.is_resolved_at(envelope.now));
                config.message(envelope, is_resolved, &mut renderer())
            }
            Settings::Slack(config) => config.message(&mut renderer()),
        }
    }
}

/// Reads the list of receivers.
pub(super) fn read_all(fields: &mut Fields<'_, '_, '_>, global: &Global) -> Vec<Receiver> {
    let (mut receivers, mut names): (Vec<Receiver>, BTreeSet<String>) = Default::default();
    let read = fields.optional("receivers", |decoder, node| {
        decoder.list(node, |decoder, node| read_receiver(decoder, node, global))
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

fn read_receiver(decoder: &mut Decoder<'_>, node: &Node, global: &Global) -> Option<(Receiver, Span)> {
    let mut fields = decoder.fields(node, "receiver")?;
    let name_node = fields.node("name");
    let name = name_node.and_then(|node| fields.decoder.string(node)).unwrap_or_default();
    let span = name_node.map_or(fields.span, |node| node.span);
    if name.is_empty() {
        fields.decoder.error(span, "missing name in receiver");
    }
    let labels = read_labels(&mut fields, &name);
    let mut integrations = Vec::new();
    let kinds: [(&'static str, ReadIntegration); 4] = [
        ("webhook_configs", webhook::read),
        ("email_configs", email::read),
        ("pagerduty_configs", pagerduty::read),
        ("slack_configs", slack::read),
    ];
    for (key, read) in kinds {
        let list =
            fields.or(key, Vec::new(), |decoder, node| decoder.list(node, |decoder, node| read(decoder, node, global)));
        integrations.extend(list.into_iter().enumerate().map(|(index, read)| Integration { index, ..read }));
    }
    for key in UNBUILT {
        let built = "webhook_configs, email_configs, pagerduty_configs and slack_configs";
        fields.unsupported(key, format!("receiver kind {key} is not built yet; supported: {built}"));
    }
    fields.finish();
    (!name.is_empty()).then_some((Receiver { name, labels, integrations }, span))
}

/// The index is filled in by the caller.
type ReadIntegration = fn(&mut Decoder<'_>, &Node, &Global) -> Option<Integration>;

fn read_labels(fields: &mut Fields<'_, '_, '_>, name: &str) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    let written = fields.optional("labels", |decoder, node| decoder.map(node, Decoder::string));
    for (label, span, value) in written.unwrap_or_default() {
        if label == "name" && value != name {
            let (name, value) = (crate::model::quote(name), crate::model::quote(&value));
            let message = format!("receiver label \"name\" must match receiver name {name}, got {value}");
            fields.decoder.error(span, message);
        }
        labels.insert(label, value);
    }
    labels.insert("name".to_owned(), name.to_owned());
    labels
}

/// Another module's part of the file, under `key`.
fn read_raw(fields: &mut Fields<'_, '_, '_>, key: &'static str) -> Option<RawConfig> {
    let node = fields.node(key)?;
    Some(RawConfig { source: fields.decoder.source().clone(), node: Arc::new(node.clone()) })
}

/// What most integrations have besides their settings.
fn read_common(
    fields: &mut Fields<'_, '_, '_>,
    global: &Global,
    send_resolved: bool,
    settings: Settings,
) -> Integration {
    Integration {
        index: 0,
        send_resolved: fields.or("send_resolved", send_resolved, Decoder::bool),
        timeout: fields.optional("timeout", Decoder::duration).filter(|timeout| !timeout.is_zero()),
        http_config: read_raw(fields, "http_config").or_else(|| global.http_config.clone()),
        settings,
    }
}

impl TextTemplate {
    /// The field `key`, or its default where it is not written.
    fn read(fields: &mut Fields<'_, '_, '_>, key: &'static str, default: &'static str) -> TextTemplate {
        let read = fields.optional(key, |decoder, node| {
            let text = decoder.string(node)?;
            TextTemplate::parse(key, &text, default).map_err(|error| decoder.error(node.span, error)).ok()
        });
        read.unwrap_or_else(|| TextTemplate::of_default(key, default))
    }
}

/// A secret that is written under `keys.0`, or in the file that `keys.1` names.
fn read_secret(fields: &mut Fields<'_, '_, '_>, keys: (&'static str, &'static str)) -> Option<SecretText> {
    let inline = fields.optional(keys.0, Decoder::secret).filter(|secret| !secret.expose().is_empty());
    read_secret_or(fields, inline, keys)
}

/// As [`read_secret`] for an address.
fn read_secret_url(fields: &mut Fields<'_, '_, '_>, keys: (&'static str, &'static str)) -> Option<SecretText> {
    let inline = fields.optional(keys.0, read_url);
    read_secret_or(fields, inline, keys)
}

fn read_secret_or(
    fields: &mut Fields<'_, '_, '_>,
    inline: Option<Secret>,
    (key, key_file): (&'static str, &'static str),
) -> Option<SecretText> {
    let file = fields.optional(key_file, Decoder::string).filter(|file| !file.is_empty());
    if let (true, true, Some(span)) = (inline.is_some(), file.is_some(), fields.key_span(key_file)) {
        fields.decoder.error(span, format!("at most one of {key} & {key_file} must be configured"));
    }
    let directory = Path::new(&*fields.decoder.source().name).parent().unwrap_or(Path::new("")).to_owned();
    let file = file.map(|file| SecretText::File(directory.join(file).to_string_lossy().into_owned()));
    inline.map(SecretText::Inline).or(file)
}

/// An address; it is secret, so that no message repeats it.
fn read_url(decoder: &mut Decoder<'_>, node: &Node) -> Option<Secret> {
    let text = decoder.string(node)?;
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
