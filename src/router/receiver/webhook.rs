//! Webhooks: their settings, and the body, version 4.
//!
//! **Source.** Alertmanager 0.33 `notify/webhook/webhook.go`, `notify/webhook/config.go`, `template/template.go` (`Data`): the order of
//! keys, the escapes and the final line break are those of its JSON encoder.
//! **Differs:** times have milliseconds and stand in UTC. `routeLabels` (0.34) is not written, since routes have no labels here.

use super::{Global, Integration, Settings, read_common, read_url};
use crate::model::{Alert, Labels, Timestamp};
use crate::router::message::{Envelope, common, status};
use crate::router::{Message, gotext};
use crate::source::Secret;
use crate::source::decode::Decoder;
use crate::source::yaml::Node;

/// Go's zero time: the end of an alert that fires.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// A webhook of a receiver.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Where to POST.
    pub url: Secret,
    /// Most alerts in one message; 0 for no limit.
    pub max_alerts: u64,
}

pub(super) fn read(decoder: &mut Decoder<'_>, node: &Node, global: &Global) -> Option<Integration> {
    if node.is_null() {
        decoder.error(node.span, "missing webhook config");
        return None;
    }
    let mut fields = decoder.fields(node, "webhook config")?;
    let is_file = fields.key_span("url_file").is_some();
    let url = fields.optional("url", read_webhook_url);
    if fields.key_span("url").is_none() && !is_file {
        let span = fields.span;
        fields.decoder.error(span, "one of url or url_file must be configured");
    }
    fields.unsupported("url_file", "addresses from files are not built yet; write url");
    fields.unsupported("payload", "custom payloads are not built yet");
    let max_alerts = fields.or("max_alerts", 0, Decoder::count);
    let settings = Settings::Webhook(WebhookConfig { url: url.clone().unwrap_or_default(), max_alerts });
    let integration = read_common(&mut fields, global, true, settings);
    fields.finish();
    url.map(|_| integration)
}

fn read_webhook_url(decoder: &mut Decoder<'_>, node: &Node) -> Option<Secret> {
    let text = decoder.string(node)?;
    if text.is_empty() {
        decoder.error(node.span, "one of url or url_file must be configured");
        return None;
    }
    if text.contains("{{") {
        decoder.error(node.span, "templates in url are not built yet");
        return None;
    }
    read_url(decoder, node)
}

impl WebhookConfig {
    pub(super) fn message(&self, envelope: &Envelope<'_>, alerts: &[Alert]) -> Message {
        Message::Webhook { url: self.url.expose().to_owned(), body: body(envelope, alerts, self.max_alerts) }
    }
}

/// The body for `alerts`; at most `max_alerts` are shown, 0 for all.
fn body(envelope: &Envelope<'_>, alerts: &[Alert], max_alerts: u64) -> String {
    let max = usize::try_from(max_alerts).unwrap_or(usize::MAX);
    let shown = if max == 0 || alerts.len() <= max { alerts } else { &alerts[..max] };
    let is_firing = shown.iter().any(|alert| !alert.is_resolved_at(envelope.now));
    let mut out = String::with_capacity(512 * (shown.len() + 1));
    push_field(&mut out, "{\"receiver\":", &gotext::quote_meta(envelope.receiver));
    push_field(&mut out, ",\"status\":", status(!is_firing));
    out.push_str(",\"alerts\":[");
    for (index, alert) in shown.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_alert(&mut out, alert, envelope.now);
    }
    push_field(&mut out, "],\"notification_reason\":", envelope.reason);
    push_labels(&mut out, ",\"groupLabels\":", envelope.group_labels);
    push_labels(&mut out, ",\"commonLabels\":", &common(shown, |alert| &alert.labels));
    push_labels(&mut out, ",\"commonAnnotations\":", &common(shown, |alert| &alert.annotations));
    push_field(&mut out, ",\"externalURL\":", envelope.external_url);
    push_field(&mut out, ",\"version\":\"4\",\"groupKey\":", envelope.group_key);
    out.push_str(&format!(",\"truncatedAlerts\":{}}}\n", alerts.len() - shown.len()));
    out
}

fn push_alert(out: &mut String, alert: &Alert, now: Timestamp) {
    let is_resolved = alert.is_resolved_at(now);
    push_field(out, "{\"status\":", status(is_resolved));
    push_labels(out, ",\"labels\":", &alert.labels);
    push_labels(out, ",\"annotations\":", &alert.annotations);
    push_field(out, ",\"startsAt\":", &alert.starts_at.to_rfc3339());
    let ends_at = if is_resolved { alert.ends_at.to_rfc3339() } else { ZERO_TIME.to_owned() };
    push_field(out, ",\"endsAt\":", &ends_at);
    push_field(out, ",\"generatorURL\":", &alert.generator_url);
    push_field(out, ",\"fingerprint\":", &alert.fingerprint().to_string());
    out.push('}');
}

fn push_field(out: &mut String, key: &str, value: &str) {
    out.push_str(key);
    gotext::push_json(out, value);
}

fn push_labels(out: &mut String, key: &str, labels: &Labels) {
    out.push_str(key);
    out.push('{');
    for (index, label) in labels.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        gotext::push_json(out, &label.name);
        out.push(':');
        gotext::push_json(out, &label.value);
    }
    out.push('}');
}
