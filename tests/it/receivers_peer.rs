//! Slack, PagerDuty and e-mail: the same configuration and alerts in the real Alertmanager and in our router must give the same
//! messages, field by field.
//!
//! Needs `prometheus-alertmanager` (0.33); see `peers`. Takes eight seconds, since the real one cannot be stepped.

// The figures go to the test's standard error.
#![allow(clippy::print_stderr)]

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use almenara::model::{Labels, Timestamp};
use almenara::router::{Event, Message, PostedAlert, Router, RouterConfig, SecretText};
use almenara::source::SourceFile;
use serde_json::Value;

use crate::alertmanager_peer::{Received, body, request, sink, start};
use crate::peers::peer;
use crate::smtp::{Manner, server};

const CONFIG: &str = r##"
global:
  slack_api_url: http://SINK/slack-default
  pagerduty_url: http://SINK/pd-default
  smtp_smarthost: 127.0.0.1:MAIL
  smtp_from: am@example.org
  smtp_require_tls: false
route:
  receiver: all
  group_by: [alertname, cluster]
  group_wait: 1s
  group_interval: 3s
receivers:
- name: all
  slack_configs:
  - {send_resolved: true}
  - api_url: http://SINK/slack-full
    send_resolved: true
    channel: '#{{ .CommonLabels.team }}'
    username: bot
    title: '{{ range .Alerts }}{{ .Labels.instance }}:{{ .Annotations.summary }};{{ end }} {{ .NotificationReason }}'
    title_link: 'http://x/?q={{ .CommonAnnotations.SortedPairs.Values | join "," | urlquery }}'
    text: >-
      {{ define "one" }}<{{ .Name }}> {{ .Value }}{{ end }}{{ range .CommonLabels.SortedPairs }}{{ template "one" . }} {{ end }}
      {{ .GroupLabels }} {{ .CommonLabels.Names }} {{ (.CommonLabels.Remove (stringSlice "team")).Values | join "+" }}
      {{ .Alerts.Firing | len }}/{{ .Alerts.Resolved | len }} {{ template "__text_alert_list_markdown" .Alerts.Firing }}
      {{ "a b" | title }} {{ " x " | trimSpace }} {{ reReplaceAll "(.)a" "$1b" "cat" }} {{ match "^a" "abc" }}
      {{ urlUnescape "a%20b+c" }} {{ list 1 "x" | toJson }}
      {{ dict "a" 1 "b" (list true) | toJson }} {{ append (list 1) 2 | toJson }} {{ humanizeDuration 3700 }}
      {{ (index .Alerts 0).StartsAt | tz "UTC" | date "Jan 2, 2006 15:04:05.000 MST" }} {{ .CommonLabels | toJson }} {{ .GroupLabels.Values }}
      {{ (index .Alerts 0).StartsAt.IsZero }} {{ .Alerts.Firing | toJson }} {{ .ExternalURL }} {{ .Receiver }} {{ .Status }}
    message_text: hello
    fallback: '{{ template "slack.default.fallback" . }}!'
    short_fields: true
    fields: [{title: T, value: '{{ .Status }}'}, {title: U, value: v, short: false}]
    actions:
    - {type: button, text: Go, url: 'http://go/{{ .Status }}', style: primary, name: dropped}
    - {type: button, text: Ask, name: n, value: v, confirm: {text: 'sure?', ok_text: 'yes!', title: t}}
    link_names: true
    mrkdwn_in: [text]
    image_url: http://i/
    footer: f
    color: '#123456'
    pretext: p
  - {api_url: 'http://SINK/slack-long', title: 'LONG{{ .Status }}'}
  pagerduty_configs:
  - routing_key: key-1
  - url: http://SINK/pd-full
    routing_key: '{{ .CommonLabels.team }}-key'
    client: c
    client_url: http://c/
    source: s
    severity: '{{ .CommonLabels.severity }}'
    class: cl
    component: '{{ .GroupLabels.cluster }}'
    group: g
    description: '{{ template "pagerduty.default.description" . }} {{ template "pagerduty.default.instances" .Alerts }}'
    details:
      empty: ''
      text: '[{{ .Status }}, 3]'
      number: '{{ len .Alerts }}'
      literal: 7
      yes: 'yes'
      nested: {list: ['{{ .Status }}', 2.5, true, null], deep: {x: '{{ .GroupLabels.alertname }}'}}
      num_firing: 'n={{ .Alerts.Firing | len }}'
    images: [{src: 'http://i/{{ .Status }}', alt: a, href: h}]
    links: [{href: 'http://l/', text: '{{ .Status }}'}]
  # The address of version 1 cannot be chosen, so the proxy is the one that answers.
  - service_key: key-2
    client: c1
    description: '{{ .Status }} of {{ .GroupLabels.cluster }}'
    details: {text: '{{ .Alerts.Firing | len }} firing'}
    http_config: {proxy_url: 'http://SINK', tls_config: {insecure_skip_verify: true}}
  email_configs:
  - {to: 'team@example.org', send_resolved: true}
  - to: 'a@example.org, "B, C" <b@example.org>'
    from: 'Alerts <from@example.org>'
    hello: me
    send_resolved: true
    headers: {subject: 'S {{ .Status }} ü', x-prio: '1', REPLY-TO: r@example.org}
    html: '{{ range .Alerts }}<p title="{{ .Annotations.summary }}">{{ .Annotations.summary }} {{ "<i>x</i>" | safeHtml }}</p>{{ end }}{{ .CommonLabels }}'
    text: '{{ range .Alerts }}{{ .Annotations.summary }} = {{ .Labels.instance }}; {{ end }} long {{ range .Alerts }}{{ .Fingerprint }}{{ end }}'
    threading: {enabled: true, thread_by_date: none}
"##;

/// What came to a path, in order.
type Messages = BTreeMap<String, Vec<Value>>;

fn alerts(now: Timestamp, is_end: bool) -> Vec<PostedAlert> {
    let instances: &[&str] = if is_end { &["b:2"] } else { &["a:1", "b:2"] };
    instances
        .iter()
        .map(|instance| PostedAlert {
            labels: Labels::from_pairs([
                ("alertname", "DiskFull"),
                ("cluster", "eu <1>"),
                ("instance", instance),
                ("severity", "critical"),
                ("team", "storage"),
            ]),
            annotations: Labels::from_pairs([("summary", "5 > 4 & \"ü\""), ("runbook", "http://run/?a=b&c")]),
            starts_at: Some(now),
            ends_at: Some(if is_end { now + Duration::from_millis(1) } else { now + Duration::from_secs(3600) }),
            generator_url: "http://prom/graph?g0.expr=a+%3E+1".to_owned(),
        })
        .collect()
}

/// The parts of an e-mail that both sides must agree on.
fn email_value(text: &str) -> Value {
    let unfolded = text.replace("\r\n ", " ").replace("\r\n\t", " ");
    let (head, _) = unfolded.split_once("\r\n\r\n").unwrap_or((&unfolded, ""));
    let mut headers = BTreeMap::new();
    for line in head.lines() {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name {
            "Date" | "Message-Id" => headers.insert(name.to_owned(), Value::from("there")),
            "Content-Type" => headers.insert(name.to_owned(), Value::from(value.split(';').next())),
            _ => headers.insert(name.to_owned(), Value::from(decoded_words(value))),
        };
    }
    let parts: Vec<Value> = text
        .split("\r\nContent-Type: text/")
        .skip(1)
        .map(|part| {
            let (head, body) = part.split_once("\r\n\r\n").unwrap();
            let body = body.split("\r\n--").next().unwrap();
            serde_json::json!([head.split(';').next(), unquoted(body)])
        })
        .collect();
    serde_json::json!({"headers": headers, "parts": parts})
}

/// Quoted-printable.
fn unquoted(text: &str) -> String {
    let joined = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'=' && after.len() >= 2 {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap().trim().to_owned()
}

/// RFC 2047: `=?utf-8?q?…?=` and `=?utf-8?b?…?=`.
fn decoded_words(text: &str) -> String {
    use base64::Engine;
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("=?utf-8?") {
        out.push_str(&rest[..at]);
        let word = &rest[at + 8..];
        let end = word[2..].find("?=").unwrap() + 2;
        match &word[..1] {
            "q" | "Q" => out.push_str(&unquoted_word(&word[2..end])),
            _ => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(&word[2..end]).unwrap();
                out.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        }
        rest = &word[end + 2..];
    }
    (out + rest).trim().to_owned()
}

fn unquoted_word(text: &str) -> String {
    // The space of an encoded word must not be trimmed away.
    let marked = format!("|{}|", text.replace('_', " "));
    unquoted(&marked).trim_matches('|').to_owned()
}

fn run_theirs(config: &str, got: &mpsc::Receiver<Received>) -> Option<(Messages, Timestamp, Timestamp)> {
    let program = peer("prometheus-alertmanager")?;
    let folder = tempfile::tempdir().unwrap();
    let (_running, address) = start(&program, folder.path(), config);
    let began = Instant::now();
    let first = almenara::clock::now();
    let post = |alerts: &[PostedAlert]| {
        let reply = request(&address, "POST", "/prefix/api/v2/alerts", &body(alerts));
        assert_eq!(reply, Some((200, String::new())));
    };
    post(&alerts(first, false));
    std::thread::sleep(Duration::from_millis(2500).saturating_sub(began.elapsed()));
    let second = almenara::clock::now();
    post(&ended(first, second));
    std::thread::sleep(Duration::from_millis(6000).saturating_sub(began.elapsed()));
    let mut messages = Messages::new();
    for (_, path, body) in got.try_iter() {
        messages.entry(path).or_default().push(serde_json::from_str(&body).unwrap());
    }
    Some((messages, first, second))
}

/// The second alert of those at `first`, which ends.
fn ended(first: Timestamp, now: Timestamp) -> Vec<PostedAlert> {
    alerts(first, true).into_iter().map(|alert| PostedAlert { ends_at: Some(now), ..alert }).collect()
}

fn run_ours(config: &str, first: Timestamp, second: Timestamp) -> Messages {
    let (config, diagnostics) = RouterConfig::parse(&SourceFile::new("router.yml", config));
    let mut router = Router::new(config.unwrap_or_else(|| panic!("{diagnostics}")), "http://am.example/prefix", first);
    let mut messages = Messages::new();
    router.ingest(first, vec![Event::Posted(alerts(first, false))]);
    for (now, event) in [
        (first + Duration::from_secs(1), None),
        (second, Some(Event::Posted(ended(first, second)))),
        (first + Duration::from_secs(4), None),
    ] {
        let delivered = router.step(now, event.into_iter().collect());
        let mut reports = Vec::new();
        for notification in delivered {
            reports.push(Event::Delivered(notification.id));
            let (path, body) = match notification.message {
                Message::Slack { url: SecretText::Inline(url), body } => (url.expose().to_owned(), body),
                Message::PagerDuty { url, body, .. } => (url.expose().to_owned(), body),
                Message::Email(_) => continue,
                other => panic!("{other:?}"),
            };
            let path = path.splitn(4, '/').nth(3).unwrap().to_owned();
            messages.entry(format!("/{path}")).or_default().push(serde_json::from_str(&body).unwrap());
        }
        router.ingest(now, reports);
    }
    messages
}

/// Places where two values differ.
fn differences(place: &str, theirs: &Value, ours: &Value, out: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let at = format!("{place}.{key}");
                differences(&at, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), out);
                if a.contains_key(key) != b.contains_key(key) {
                    out.push(format!("{at}: only on one side"));
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{place}[{index}]"), a, b, out);
            }
        }
        (a, b) if a == b => {}
        (a, b) => out.push(format!("{place}\n  theirs {a}\n  ours   {b}")),
    }
}

#[test]
fn messages_are_those_of_alertmanager() {
    let (address, got) = sink();
    let (mail_port, _, mails) = server(Manner::default());
    let config = CONFIG.replace("SINK", &address).replace("MAIL", &mail_port.to_string());
    let config = config.replace("LONG", &"ü".repeat(1100));
    let Some((theirs, first, second)) = run_theirs(&config, &got) else { return };
    let their_mails: Vec<Value> = mails.try_iter().map(|mail| email_value(&mail.text)).collect();
    let ours = run_ours(&config, first, second);
    let our_mails = our_mails(&config, first, second, &mails);
    let mut wrong = Vec::new();
    differences("", &serde_json::to_value(&theirs).unwrap(), &serde_json::to_value(&ours).unwrap(), &mut wrong);
    let sorted = |mut mails: Vec<Value>| {
        mails.sort_by_key(|mail| mail["headers"]["To"].to_string() + &mail["headers"]["Subject"].to_string());
        mails
    };
    let (their_mails, our_mails) = (sorted(their_mails), sorted(our_mails));
    assert_eq!((their_mails.len(), our_mails.len()), (4, 4));
    for (theirs, ours) in their_mails.iter().zip(&our_mails) {
        differences("mail.headers", &theirs["headers"], &ours["headers"], &mut wrong);
        // The page of the default is our own.
        let is_default = theirs["headers"]["To"] == "team@example.org";
        if !is_default {
            differences("mail.parts", &theirs["parts"], &ours["parts"], &mut wrong);
        }
    }
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (path, messages) in &theirs {
        let kind = if path.starts_with("/slack") { "Slack" } else { pagerduty_version(messages) };
        let (count, fields) = counts.entry(kind).or_default();
        *count += messages.len();
        *fields += messages.iter().map(fields_of).sum::<usize>();
    }
    for (kind, (messages, fields)) in &counts {
        eprintln!("{kind}: {messages} messages, {fields} fields compared, {} differ", wrong.len());
    }
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["PagerDuty v1", "PagerDuty v2", "Slack"]);
    assert!(theirs.values().map(Vec::len).sum::<usize>() >= 9, "{theirs:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Events of version 1 name their service by a key of that name.
fn pagerduty_version(messages: &[Value]) -> &'static str {
    if messages.iter().all(|message| message.get("service_key").is_some()) { "PagerDuty v1" } else { "PagerDuty v2" }
}

/// Values that are no containers.
fn fields_of(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields.values().map(fields_of).sum(),
        Value::Array(items) => items.iter().map(fields_of).sum(),
        _ => 1,
    }
}

/// Sends our e-mails to the same server and reads them as theirs are read.
fn our_mails(config: &str, first: Timestamp, second: Timestamp, got: &mpsc::Receiver<crate::smtp::Got>) -> Vec<Value> {
    use almenara::deliver::{DeliverConfig, Delivery};
    let (config, _) = RouterConfig::parse(&SourceFile::new("router.yml", config));
    let config = config.unwrap();
    let (delivery_config, diagnostics) = DeliverConfig::decode(&config);
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let mut router = Router::new(config, "http://am.example/prefix", first);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (delivery, _reports) = Delivery::new("test");
        delivery.apply(delivery_config).unwrap();
        router.ingest(first, vec![Event::Posted(alerts(first, false))]);
        for (now, event) in [
            (first + Duration::from_secs(1), None),
            (second, Some(Event::Posted(ended(first, second)))),
            (first + Duration::from_secs(4), None),
        ] {
            let notifications = router.step(now, event.into_iter().collect());
            router.ingest(now, notifications.iter().map(|notification| Event::Delivered(notification.id)).collect());
            for mut notification in notifications {
                // The router's time has passed already.
                notification.deadline = almenara::clock::now() + Duration::from_secs(20);
                if let Message::Email(_) = notification.message {
                    notification.group_key = format!("{}-{}", notification.group_key, notification.id.0);
                    delivery.send(notification);
                }
            }
        }
        delivery.shutdown(Duration::from_secs(20)).await;
    });
    got.try_iter().map(|mail| email_value(&mail.text)).collect()
}
