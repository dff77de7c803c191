//! Alerts as Alertmanager's API v2 takes them.
//!
//! **Units.** Instants are RFC 3339 in UTC with milliseconds.
//! **Source.** Alertmanager 0.28 `api/v2/openapi.yaml`, `postableAlert`.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::model::{Alert, Labels, Timestamp};

/// 9999-12-30T00:00:00Z: later years have five digits, which RFC 3339 has no room for; two days less for every zone.
const LAST_MS: i64 = 253_402_128_000_000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert<'a> {
    #[serde(serialize_with = "as_map")]
    annotations: &'a Labels,
    ends_at: String,
    starts_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
    #[serde(serialize_with = "as_map")]
    labels: &'a Labels,
}

fn as_map<S: Serializer>(labels: &&Labels, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(labels.len()))?;
    for label in *labels {
        map.serialize_entry(&*label.name, &*label.value)?;
    }
    map.end()
}

/// The body of one request.
pub(super) fn encode(alerts: &[Arc<Alert>]) -> Bytes {
    let postable: Vec<PostableAlert<'_>> = alerts
        .iter()
        .map(|alert| PostableAlert {
            annotations: &alert.annotations,
            ends_at: rfc3339_ms(alert.ends_at),
            starts_at: rfc3339_ms(alert.starts_at),
            generator_url: &alert.generator_url,
            labels: &alert.labels,
        })
        .collect();
    serde_json::to_vec(&postable).expect("BUG: texts always make JSON").into()
}

fn rfc3339_ms(instant: Timestamp) -> String {
    let ms = instant.as_ms().clamp(0, LAST_MS);
    let instant = jiff::Timestamp::from_millisecond(ms).expect("BUG: clamped to years that have four digits");
    format!("{instant:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_alertmanager_reads() {
        let alert = Alert {
            labels: Labels::from_pairs([("alertname", "A"), ("x", "\"é\n")]),
            annotations: Labels::empty(),
            starts_at: Timestamp::from_ms(1_767_225_600_000),
            ends_at: Timestamp::from_ms(1_767_225_600_250),
            generator_url: String::new(),
        };
        let later = Alert { ends_at: Timestamp::MAX, generator_url: "http://x/g".to_owned(), ..alert.clone() };
        let body = encode(&[Arc::new(alert), Arc::new(later)]);
        assert_eq!(
            std::str::from_utf8(&body).unwrap(),
            concat!(
                r#"[{"annotations":{},"endsAt":"2026-01-01T00:00:00.250Z","startsAt":"2026-01-01T00:00:00.000Z","#,
                r#""labels":{"alertname":"A","x":"\"é\n"}},"#,
                r#"{"annotations":{},"endsAt":"9999-12-30T00:00:00.000Z","startsAt":"2026-01-01T00:00:00.000Z","#,
                r#""generatorURL":"http://x/g","labels":{"alertname":"A","x":"\"é\n"}}]"#
            )
        );
    }
}
