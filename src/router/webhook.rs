//! The webhook body, version 4.
//!
//! **Source.** Alertmanager 0.33 `notify/webhook/webhook.go`, `template/template.go` (`Data`): the order of keys, the
//! escapes and the final line break are those of its JSON encoder.
//! **Differs:** times have milliseconds and stand in UTC. `routeLabels` (0.34) is not written, since routes have no labels here.

use super::gotext;
use crate::model::{Alert, Labels, Timestamp};

/// Go's zero time: the end of an alert that fires.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// What a webhook body says of its group.
pub(crate) struct Envelope<'a> {
    pub(crate) receiver: &'a str,
    pub(crate) reason: &'static str,
    pub(crate) group_key: &'a str,
    pub(crate) group_labels: &'a Labels,
    pub(crate) external_url: &'a str,
    /// Most alerts to write; 0 for all.
    pub(crate) max_alerts: u64,
    pub(crate) now: Timestamp,
}

/// The body for `alerts`, which are in the order they are shown.
pub(crate) fn body(envelope: &Envelope<'_>, alerts: &[Alert]) -> String {
    let max = usize::try_from(envelope.max_alerts).unwrap_or(usize::MAX);
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

fn status(is_resolved: bool) -> &'static str {
    if is_resolved { "resolved" } else { "firing" }
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

/// The pairs that all of `alerts` share.
fn common(alerts: &[Alert], of: impl Fn(&Alert) -> &Labels) -> Labels {
    let Some((first, others)) = alerts.split_first() else { return Labels::empty() };
    of(first).filtered(|label| others.iter().all(|alert| of(alert).get(&label.name) == Some(&*label.value)))
}
