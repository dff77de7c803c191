//! PagerDuty: Events API v2 with a routing key, v1 with a service key.
//!
//! **Source.** Alertmanager 0.33 `notify/pagerduty/config.go`, `notify/pagerduty/pagerduty.go`: keys, defaults, and which of them are
//! left out when empty. A detail whose text reads as YAML other than a text is sent as that value, as there.
//! **Limits.** [`SUMMARY_CHARS_MAX`], [`EVENT_BYTES_MAX`].
//! **Differs:** as in 0.34, a detail that reads as a mapping keeps its keys (0.33 loses them). A key in a file is not a template; what a failed template says is one more detail, `template_error`. Several links
//! or images are all sent, each whole.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Global, Integration, SecretText, Settings, read_common, read_secret, read_url};
use crate::router::Message;
use crate::router::message::{Envelope, Renderer, TextTemplate, truncated};
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::{self, Node, NodeKind};
use crate::source::{Secret, SourceFile};

/// What the service takes.
const SUMMARY_CHARS_MAX: usize = 1024;
/// Bytes of an event that the service takes; details beyond it are replaced by a note.
const EVENT_BYTES_MAX: usize = 512_000;

const V1_URL: &str = "https://events.pagerduty.com/generic/2010-04-15/create_event.json";

const DETAILS: [(&str, &str); 4] = [
    ("firing", "{{ .Alerts.Firing | toJson }}"),
    ("resolved", "{{ .Alerts.Resolved | toJson }}"),
    ("num_firing", "{{ len .Alerts.Firing }}"),
    ("num_resolved", "{{ len .Alerts.Resolved }}"),
];
const CLIENT: &str = r#"{{ template "pagerduty.default.client" . }}"#;

/// Which API a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagerDutyApi {
    /// With a service key.
    V1,
    /// With a routing key.
    V2,
}

impl PagerDutyApi {
    /// The name of the key in the body.
    pub fn key_name(self) -> &'static str {
        match self {
            PagerDutyApi::V1 => "service_key",
            PagerDutyApi::V2 => "routing_key",
        }
    }
}

/// PagerDuty's settings of a receiver.
#[derive(Clone, Debug)]
pub struct PagerDutyConfig {
    api: PagerDutyApi,
    key: Key,
    url: Secret,
    description: TextTemplate,
    client: TextTemplate,
    client_url: TextTemplate,
    source: TextTemplate,
    severity: TextTemplate,
    /// `class`, `component` and `group`.
    marks: Vec<(&'static str, TextTemplate)>,
    details: Vec<(String, Detail)>,
    images: Vec<Vec<(&'static str, TextTemplate)>>,
    links: Vec<Vec<(&'static str, TextTemplate)>>,
}

#[derive(Clone, Debug)]
enum Key {
    Inline(TextTemplate),
    File(String),
}

/// A value of the details: texts in it are templates.
#[derive(Clone, Debug)]
enum Detail {
    Text(TextTemplate),
    List(Vec<Detail>),
    Map(Vec<(TextTemplate, Detail)>),
    Literal(Value),
}

pub(super) fn read(decoder: &mut Decoder<'_>, node: &Node, global: &Global) -> Option<Integration> {
    if node.is_null() {
        decoder.error(node.span, "missing pagerduty config");
        return None;
    }
    let mut fields = decoder.fields(node, "pagerduty config")?;
    let routing_key = read_key(&mut fields, ("routing_key", "routing_key_file"));
    let service_key = read_key(&mut fields, ("service_key", "service_key_file"));
    let api = if service_key.is_some() { PagerDutyApi::V1 } else { PagerDutyApi::V2 };
    let Some(key) = service_key.or(routing_key) else {
        let span = fields.span;
        fields.decoder.error(span, "missing service or routing key in PagerDuty config");
        return None;
    };
    let description = r#"{{ template "pagerduty.default.description" . }}"#;
    let client = TextTemplate::read(&mut fields, "client", CLIENT);
    let client_url = r#"{{ template "pagerduty.default.clientURL" . }}"#;
    let source = TextTemplate::read(&mut fields, "source", "");
    let severity = TextTemplate::read(&mut fields, "severity", "error");
    let url = fields.or("url", global.pagerduty_url.clone(), read_url);
    let config = PagerDutyConfig {
        api,
        key,
        url: if api == PagerDutyApi::V1 { Secret::new(V1_URL) } else { url },
        description: TextTemplate::read(&mut fields, "description", description),
        source: if source.is_empty() { client.clone() } else { source },
        client,
        client_url: TextTemplate::read(&mut fields, "client_url", client_url),
        severity: if severity.is_empty() { TextTemplate::of_default("severity", "error") } else { severity },
        marks: ["class", "component", "group"].map(|key| (key, TextTemplate::read(&mut fields, key, ""))).to_vec(),
        details: read_details(&mut fields),
        images: fields
            .or("images", Vec::new(), |d, node| d.list(node, |d, node| read_texts(d, node, &["src", "alt", "href"]))),
        links: fields.or("links", Vec::new(), |d, node| d.list(node, |d, node| read_texts(d, node, &["href", "text"]))),
    };
    let integration = read_common(&mut fields, global, true, Settings::PagerDuty(Box::new(config)));
    fields.finish();
    Some(integration)
}

fn read_key(fields: &mut Fields<'_, '_, '_>, keys: (&'static str, &'static str)) -> Option<Key> {
    match read_secret(fields, keys)? {
        SecretText::File(file) => Some(Key::File(file)),
        SecretText::Inline(secret) => match TextTemplate::parse(keys.0, secret.expose(), "") {
            Ok(template) => Some(Key::Inline(template)),
            // The error's text would show the key.
            Err(_) => {
                let span = fields.key_span(keys.0).unwrap_or(fields.span);
                fields.decoder.error(span, format!("the template in {} cannot be parsed", keys.0));
                Some(Key::Inline(TextTemplate::of_default(keys.0, "")))
            }
        },
    }
}

fn read_texts(
    decoder: &mut Decoder<'_>,
    node: &Node,
    keys: &[&'static str],
) -> Option<Vec<(&'static str, TextTemplate)>> {
    let mut fields = decoder.fields(node, "pagerduty link or image")?;
    let texts = keys.iter().map(|key| (*key, TextTemplate::read(&mut fields, key, ""))).collect();
    fields.finish();
    Some(texts)
}

/// The details written, and the usual ones that are not among them.
fn read_details(fields: &mut Fields<'_, '_, '_>) -> Vec<(String, Detail)> {
    let written = fields.or("details", Vec::new(), |decoder, node| decoder.map(node, read_detail));
    let mut details: Vec<(String, Detail)> = written.into_iter().map(|(key, _, detail)| (key, detail)).collect();
    for (key, default) in DETAILS {
        if !details.iter().any(|(written, _)| written == key) {
            details.push((key.to_owned(), Detail::Text(TextTemplate::of_default(key, default))));
        }
    }
    details
}

fn read_detail(decoder: &mut Decoder<'_>, node: &Node) -> Option<Detail> {
    let template = |decoder: &mut Decoder<'_>, node: &Node| {
        let text = decoder.string(node)?;
        TextTemplate::parse("details", &text, "").map_err(|error| decoder.error(node.span, error)).ok()
    };
    Some(match &node.kind {
        NodeKind::Scalar { .. } if scalar(node).is_string() => Detail::Text(template(decoder, node)?),
        NodeKind::Null | NodeKind::Scalar { .. } => Detail::Literal(scalar(node)),
        NodeKind::Sequence(items) => Detail::List(items.iter().filter_map(|item| read_detail(decoder, item)).collect()),
        NodeKind::Mapping(pairs) => Detail::Map(
            pairs
                .iter()
                .filter_map(|(key, value)| Some((template(decoder, key)?, read_detail(decoder, value)?)))
                .collect(),
        ),
    })
}

/// A plain value as YAML 1.1 reads it.
fn scalar(node: &Node) -> Value {
    let NodeKind::Scalar { text, plain: true, .. } = &node.kind else {
        return node.as_str().map_or(Value::Null, Value::from);
    };
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => true.into(),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => false.into(),
        text if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) => text.into(),
        text => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) if number.is_finite() => number.into(),
            _ => text.into(),
        },
    }
}

/// What a rendered text says, if it reads as YAML other than a text.
fn read_as_yaml(text: String) -> Value {
    let (node, diagnostics) = yaml::parse(&SourceFile::new("details", text.as_str()));
    match node {
        Some(node) if !diagnostics.has_errors() && !plain(&node).is_string() => plain(&node),
        Some(_) => text.into(),
        None if diagnostics.has_errors() => text.into(),
        None => Value::Null,
    }
}

fn plain(node: &Node) -> Value {
    match &node.kind {
        NodeKind::Null | NodeKind::Scalar { .. } => scalar(node),
        NodeKind::Sequence(items) => items.iter().map(plain).collect(),
        NodeKind::Mapping(pairs) => {
            pairs.iter().filter_map(|(key, value)| Some((key.as_str()?.to_owned(), plain(value)))).collect()
        }
    }
}

impl PagerDutyConfig {
    pub(super) fn message(&self, envelope: &Envelope<'_>, is_resolved: bool, renderer: &mut Renderer<'_>) -> Message {
        let details = self.details.iter().map(|(key, value)| (key.clone(), detail(value, renderer))).collect();
        let mut event = match self.api {
            PagerDutyApi::V1 => self.event_v1(envelope, is_resolved, renderer),
            PagerDutyApi::V2 => self.event_v2(envelope, is_resolved, renderer),
        };
        self.put_details(&mut event, details);
        if let Some(problems) = renderer.problems() {
            self.details_of(&mut event).insert("template_error".to_owned(), problems.into());
        }
        let mut body = Value::Object(event.clone()).to_string();
        if body.len() > EVENT_BYTES_MAX {
            let note = "Custom details have been removed because the original event exceeds the maximum size of 512KB";
            self.put_details(&mut event, Map::from_iter([("error".to_owned(), note.into())]));
            body = Value::Object(event).to_string();
        }
        let key_file = match &self.key {
            Key::File(file) => Some(file.clone()),
            Key::Inline(_) => None,
        };
        Message::PagerDuty { api: self.api, url: self.url.clone(), key_file, body }
    }

    fn put_details(&self, event: &mut Map<String, Value>, details: Map<String, Value>) {
        *self.details_of(event) = details;
    }

    fn details_of<'e>(&self, event: &'e mut Map<String, Value>) -> &'e mut Map<String, Value> {
        let holder = match self.api {
            PagerDutyApi::V1 => event.entry("details"),
            PagerDutyApi::V2 => {
                let payload = event.get_mut("payload").and_then(Value::as_object_mut);
                payload.expect("BUG: an event has its payload").entry("custom_details")
            }
        };
        holder.or_insert_with(|| Map::new().into()).as_object_mut().expect("BUG: details are a mapping")
    }

    fn event_v1(&self, envelope: &Envelope<'_>, is_resolved: bool, renderer: &mut Renderer<'_>) -> Map<String, Value> {
        let mut event = Map::new();
        self.put_key(&mut event, renderer);
        event.insert("incident_key".to_owned(), dedup_key(envelope.group_key).into());
        event.insert("event_type".to_owned(), action(is_resolved).into());
        put(&mut event, "description", truncated(renderer.text(&self.description), SUMMARY_CHARS_MAX));
        event.insert("event_action".to_owned(), "".into());
        event.insert("payload".to_owned(), Value::Null);
        if !is_resolved {
            put(&mut event, "client", renderer.text(&self.client));
            put(&mut event, "client_url", renderer.text(&self.client_url));
        }
        event
    }

    fn event_v2(&self, envelope: &Envelope<'_>, is_resolved: bool, renderer: &mut Renderer<'_>) -> Map<String, Value> {
        let mut event = Map::new();
        self.put_key(&mut event, renderer);
        event.insert("dedup_key".to_owned(), dedup_key(envelope.group_key).into());
        event.insert("event_action".to_owned(), action(is_resolved).into());
        let mut payload = json!({
            "summary": truncated(renderer.text(&self.description), SUMMARY_CHARS_MAX),
            "source": renderer.text(&self.source),
            "severity": renderer.text(&self.severity),
        });
        let fields = payload.as_object_mut().expect("BUG: the payload is a mapping");
        for (key, template) in &self.marks {
            put(fields, key, renderer.text(template));
        }
        event.insert("payload".to_owned(), payload);
        put(&mut event, "client", renderer.text(&self.client));
        put(&mut event, "client_url", renderer.text(&self.client_url));
        for (key, list) in [("images", &self.images), ("links", &self.links)] {
            let shown: Vec<Value> = list.iter().filter_map(|texts| attached(texts, renderer)).collect();
            if !shown.is_empty() {
                event.insert(key.to_owned(), shown.into());
            }
        }
        event
    }

    fn put_key(&self, event: &mut Map<String, Value>, renderer: &mut Renderer<'_>) {
        if let Key::Inline(template) = &self.key {
            event.insert(self.api.key_name().to_owned(), renderer.text(template).into());
        }
    }
}

/// The incident that notifications of a group belong to.
fn dedup_key(group_key: &str) -> String {
    Sha256::digest(group_key).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn action(is_resolved: bool) -> &'static str {
    if is_resolved { "resolve" } else { "trigger" }
}

fn put(out: &mut Map<String, Value>, key: &str, text: String) {
    if !text.is_empty() {
        out.insert(key.to_owned(), text.into());
    }
}

/// A link or an image; `None` where its first text, the address, is empty.
fn attached(texts: &[(&'static str, TextTemplate)], renderer: &mut Renderer<'_>) -> Option<Value> {
    let shown: Map<String, Value> =
        texts.iter().map(|(key, template)| ((*key).to_owned(), renderer.text(template).into())).collect();
    let address = shown.values().next().and_then(Value::as_str).unwrap_or_default();
    (!address.is_empty()).then(|| shown.clone().into())
}

fn detail(value: &Detail, renderer: &mut Renderer<'_>) -> Value {
    match value {
        Detail::Text(template) => read_as_yaml(renderer.text(template)),
        Detail::List(items) => items.iter().map(|item| detail(item, renderer)).collect(),
        Detail::Map(pairs) => pairs.iter().map(|(key, value)| (renderer.text(key), detail(value, renderer))).collect(),
        Detail::Literal(value) => value.clone(),
    }
}
