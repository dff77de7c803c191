//! What message templates see: the group, its alerts, and the methods of label sets.
//!
//! **Source.** Alertmanager 0.33 `template/template.go` (`Data`, `Alert`, `KV`, `Pairs`).
//! **Differs:** times have milliseconds and stand in UTC; `.RouteLabels` (0.34) is always empty, since routes have no labels here.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{Alert, Labels, Timestamp};
use crate::router::gotext;
use crate::template::{Map, Method, Param, Type, Value};

/// Go's zero time: the end of an alert that fires.
const ZERO_TIME: Timestamp = Timestamp::from_ms(-62_135_596_800_000);
/// Stands first among sorted labels.
const ALERT_NAME: &str = "alertname";

/// What is said of a group besides its alerts.
pub(crate) struct Envelope<'a> {
    pub(crate) receiver: &'a str,
    pub(crate) reason: &'static str,
    pub(crate) group_key: &'a str,
    pub(crate) group_labels: &'a Labels,
    pub(crate) external_url: &'a str,
    pub(crate) now: Timestamp,
}

static DATA: Type = Type { name: "*template.Data", methods: &[] };
static ALERT: Type = Type { name: "template.Alert", methods: &[] };
static PAIR: Type = Type { name: "template.Pair", methods: &[] };

static ALERTS: Type = Type {
    name: "template.Alerts",
    methods: &[
        Method { name: "Firing", params: &[], call: |alerts, _| Ok(with_status(alerts, "firing")) },
        Method { name: "Resolved", params: &[], call: |alerts, _| Ok(with_status(alerts, "resolved")) },
    ],
};

/// A list of texts.
pub(super) static STRINGS: Type = Type {
    name: "[]string",
    methods: &[Method {
        name: "Join",
        params: &[Param::String],
        call: |list, args| Ok(Value::string(texts(list).join(args[0].as_str().unwrap_or_default()))),
    }],
};

static PAIRS: Type = Type {
    name: "template.Pairs",
    methods: &[
        Method { name: "Names", params: &[], call: |pairs, _| Ok(column(pairs, "Name")) },
        Method { name: "Values", params: &[], call: |pairs, _| Ok(column(pairs, "Value")) },
        Method { name: "String", params: &[], call: |pairs, _| Ok(Value::string(pairs_text(pairs))) },
    ],
};

static KV: Type = Type {
    name: "template.KV",
    methods: &[
        Method { name: "SortedPairs", params: &[], call: |kv, _| Ok(sorted_pairs(kv)) },
        Method { name: "Remove", params: &[Param::Of(&STRINGS)], call: |kv, args| Ok(remove(kv, &args[0])) },
        Method { name: "Names", params: &[], call: |kv, _| Ok(column(&sorted_pairs(kv), "Name")) },
        Method { name: "Values", params: &[], call: |kv, _| Ok(column(&sorted_pairs(kv), "Value")) },
        Method { name: "String", params: &[], call: |kv, _| Ok(Value::string(pairs_text(&sorted_pairs(kv)))) },
    ],
};

/// The dot of every message template.
pub(super) fn data(envelope: &Envelope<'_>, alerts: &[Alert]) -> Value {
    let is_firing = alerts.iter().any(|alert| !alert.is_resolved_at(envelope.now));
    Value::fields(
        &DATA,
        vec![
            ("Receiver", Value::string(gotext::quote_meta(envelope.receiver))),
            ("Status", Value::string(status(!is_firing))),
            ("Alerts", Value::list(&ALERTS, alerts.iter().map(|alert| alert_value(alert, envelope.now)).collect())),
            ("NotificationReason", Value::string(envelope.reason)),
            ("GroupLabels", kv(envelope.group_labels)),
            ("CommonLabels", kv(&common(alerts, |alert| &alert.labels))),
            ("CommonAnnotations", kv(&common(alerts, |alert| &alert.annotations))),
            ("RouteLabels", kv(&Labels::empty())),
            ("ExternalURL", Value::string(envelope.external_url)),
        ],
    )
}

/// Go's JSON name of a field of these types.
pub(super) fn json_name(ty: &'static Type, field: &str) -> String {
    if std::ptr::eq(ty, &PAIR) {
        return field.to_owned();
    }
    match field {
        "NotificationReason" => "notification_reason".to_owned(),
        "ExternalURL" => "externalURL".to_owned(),
        field => field[..1].to_ascii_lowercase() + &field[1..],
    }
}

/// The pairs that all of `alerts` share.
pub(crate) fn common(alerts: &[Alert], of: impl Fn(&Alert) -> &Labels) -> Labels {
    let Some((first, others)) = alerts.split_first() else { return Labels::empty() };
    of(first).filtered(|label| others.iter().all(|alert| of(alert).get(&label.name) == Some(&*label.value)))
}

pub(crate) fn status(is_resolved: bool) -> &'static str {
    if is_resolved { "resolved" } else { "firing" }
}

fn alert_value(alert: &Alert, now: Timestamp) -> Value {
    let is_resolved = alert.is_resolved_at(now);
    Value::fields(
        &ALERT,
        vec![
            ("Status", Value::string(status(is_resolved))),
            ("Labels", kv(&alert.labels)),
            ("Annotations", kv(&alert.annotations)),
            ("StartsAt", Value::Time(alert.starts_at)),
            ("EndsAt", Value::Time(if is_resolved { alert.ends_at } else { ZERO_TIME })),
            ("GeneratorURL", Value::string(&*alert.generator_url)),
            ("Fingerprint", Value::string(alert.fingerprint().to_string())),
        ],
    )
}

fn kv(labels: &Labels) -> Value {
    let entries = labels.iter().map(|label| (Arc::from(&*label.name), Value::string(&*label.value))).collect();
    kv_of(entries)
}

fn kv_of(entries: std::collections::BTreeMap<Arc<str>, Value>) -> Value {
    Value::Map(Arc::new(Map { ty: &KV, zero: Value::string(""), entries }))
}

fn items(list: &Value) -> &[Value] {
    match list {
        Value::List(list) => &list.items,
        other => unreachable!("BUG: a method of lists was called on {other:?}"),
    }
}

fn entries(kv: &Value) -> &std::collections::BTreeMap<Arc<str>, Value> {
    match kv {
        Value::Map(map) => &map.entries,
        other => unreachable!("BUG: a method of label sets was called on {other:?}"),
    }
}

/// The texts among the items of a list.
pub(super) fn texts(list: &Value) -> Vec<&str> {
    items(list).iter().filter_map(Value::as_str).collect()
}

fn with_status(alerts: &Value, status: &str) -> Value {
    let is_asked_for = |alert: &&Value| alert.field("Status").and_then(Value::as_str) == Some(status);
    Value::list(&ALERTS, items(alerts).iter().filter(is_asked_for).cloned().collect())
}

/// In order of name, but the alert's name first.
fn sorted_pairs(kv: &Value) -> Value {
    let pair = |(name, value): (&Arc<str>, &Value)| {
        Value::fields(&PAIR, vec![("Name", Value::String(name.clone())), ("Value", value.clone())])
    };
    let (first, rest): (Vec<_>, Vec<_>) = entries(kv).iter().partition(|(name, _)| &***name == ALERT_NAME);
    Value::list(&PAIRS, first.into_iter().chain(rest).map(pair).collect())
}

fn remove(kv: &Value, names: &Value) -> Value {
    let names: BTreeSet<&str> = texts(names).into_iter().collect();
    let left = entries(kv).iter().filter(|(name, _)| !names.contains(&***name));
    kv_of(left.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn column(pairs: &Value, field: &str) -> Value {
    Value::list(&STRINGS, items(pairs).iter().filter_map(|pair| pair.field(field).cloned()).collect())
}

fn pairs_text(pairs: &Value) -> String {
    let text = |pair: &Value, field: &str| pair.field(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let written: Vec<String> =
        items(pairs).iter().map(|pair| format!("{}={}", text(pair, "Name"), text(pair, "Value"))).collect();
    written.join(", ")
}
