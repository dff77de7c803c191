//! What receivers are told; the texts themselves are compared with Alertmanager's in `tests/it/receivers_peer.rs`.

use std::time::Duration;

use serde_json::{Value, json};

use super::timeline::config;
use crate::model::{Labels, Timestamp};
use crate::router::{Event, Message, Notification, PagerDutyApi, PostedAlert, Router, SecretText};

const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

fn posted(summary: &str, ends_at: Timestamp) -> Event {
    Event::Posted(vec![PostedAlert {
        labels: Labels::from_pairs([("alertname", "A")]),
        annotations: Labels::from_pairs([("summary", summary.to_owned())]),
        starts_at: Some(NOW),
        ends_at: Some(ends_at),
        generator_url: String::new(),
    }])
}

/// The first notifications by a receiver of these integrations.
fn first(integrations: &str, summary: &str) -> Vec<Notification> {
    let text = format!(
        "route: {{receiver: r, group_by: [alertname], group_wait: 0s}}\nreceivers: [{{name: r, {integrations}}}]\n"
    );
    let mut router = Router::new(config(&text), "http://am", NOW);
    router.step(NOW, vec![posted(summary, NOW + Duration::from_secs(600))])
}

fn pagerduty(settings: &str, summary: &str) -> (PagerDutyApi, String, Option<String>, Value) {
    let notifications = first(&format!("pagerduty_configs: [{settings}]"), summary);
    let Message::PagerDuty { api, url, key_file, body } = &notifications[0].message else { panic!() };
    (*api, url.expose().to_owned(), key_file.clone(), serde_json::from_str(body).unwrap())
}

#[test]
fn each_integration_has_its_own_place_and_default_for_ends() {
    let text = "global: {slack_api_url: 'http://slack/', smtp_smarthost: 'mail:25', smtp_from: a@b.c}\n\
                route: {receiver: r, group_wait: 0s, group_interval: 10s}\n\
                receivers:\n- name: r\n  slack_configs: [{}, {send_resolved: true}]\n  email_configs: [{to: x@y.z}]\n  \
                pagerduty_configs: [{routing_key: k}]\n  webhook_configs: [{url: 'http://h/'}]\n";
    let mut router = Router::new(config(text), "http://am", NOW);
    let places = |notifications: &[Notification]| -> Vec<String> {
        notifications.iter().map(|n| format!("{}[{}]", n.integration.0, n.integration.1)).collect()
    };
    let begun = router.step(NOW, vec![posted("s", NOW + Duration::from_secs(600))]);
    assert_eq!(places(&begun), ["webhook[0]", "email[0]", "pagerduty[0]", "slack[0]", "slack[1]"]);
    router.ingest(NOW, begun.iter().map(|notification| Event::Delivered(notification.id)).collect());
    let later = NOW + Duration::from_secs(5);
    router.ingest(later, vec![posted("s", later)]);
    let ended = router.step(NOW + Duration::from_secs(10), Vec::new());
    assert_eq!(places(&ended), ["webhook[0]", "pagerduty[0]", "slack[1]"]);
}

#[test]
fn another_kind_before_it_does_not_move_an_integration() {
    let text = |more: &str| {
        format!(
            "route: {{receiver: r, group_wait: 0s}}\nreceivers: [{{name: r, slack_configs: [{{api_url: 'http://s/'}}]{more}}}]\n"
        )
    };
    let mut router = Router::new(config(&text("")), "http://am", NOW);
    let begun = router.step(NOW, vec![posted("s", NOW + Duration::from_secs(3600))]);
    router.ingest(NOW, vec![Event::Delivered(begun[0].id)]);
    router.apply(config(&text(", webhook_configs: [{url: 'http://h/'}]")), NOW + Duration::from_secs(1));
    let next = router.step(NOW + Duration::from_secs(300), Vec::new());
    let told: Vec<&str> = next.iter().map(|notification| notification.integration.0).collect();
    assert_eq!(told, ["webhook"], "Slack knows already");
}

#[test]
fn pagerduty_speaks_two_versions() {
    let (api, url, key_file, event) = pagerduty("{routing_key: k}", "s");
    assert_eq!((api, url.as_str(), key_file), (PagerDutyApi::V2, "https://events.pagerduty.com/v2/enqueue", None));
    // printf '{}:{alertname="A"}' | sha256sum
    assert_eq!(event["dedup_key"], json!("ad4b39d3af6c5f089ddb8504a474cd124febe3ef322f263d58074fb0c51dc572"));
    assert_eq!((&event["routing_key"], &event["event_action"]), (&json!("k"), &json!("trigger")));
    assert_eq!(event["payload"]["custom_details"]["num_firing"], json!(1));

    let (api, url, key_file, event) = pagerduty("{service_key_file: /key}", "s");
    assert_eq!((api, key_file.as_deref()), (PagerDutyApi::V1, Some("/key")));
    assert!(url.ends_with("/generic/2010-04-15/create_event.json"));
    assert_eq!((&event["event_type"], &event["service_key"]), (&json!("trigger"), &Value::Null));
    assert_eq!(event["description"], json!("[FIRING:1] A "));
    assert!(event["details"]["firing"].is_array() && event["incident_key"].is_string());
}

#[test]
fn details_that_are_too_long_are_replaced() {
    let (.., event) = pagerduty("{routing_key: k}", &"x".repeat(520_000));
    let note = "Custom details have been removed because the original event exceeds the maximum size of 512KB";
    assert_eq!(event["payload"]["custom_details"], json!({"error": note}));
}

#[test]
fn failed_templates_do_not_lose_the_message() {
    let (.., event) = pagerduty("{routing_key: k, description: '{{ .Nope }}'}", "s");
    assert_eq!(event["payload"]["summary"], json!("[FIRING:1] A "));
    let said = event["payload"]["custom_details"]["template_error"].as_str().unwrap();
    assert!(said.starts_with("template error: description: template: description:1:"), "{said}");

    let slack = first("slack_configs: [{api_url_file: /url, title: '{{ .Nope }}', text: hello}]", "s");
    let Message::Slack { url, body } = &slack[0].message else { panic!() };
    assert_eq!(*url, SecretText::File("/url".to_owned()));
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["attachments"][0]["title"], json!("[FIRING:1] A "));
    assert!(body["attachments"][0]["text"].as_str().unwrap().starts_with("hello\n(template error: title: "), "{body}");

    let email = first("email_configs: [{to: x@y.z, from: a@b.c, smarthost: 'm:25', html: '{{ .Nope }}'}]", "<s>");
    let Message::Email(email) = &email[0].message else { panic!() };
    assert!(email.html.contains("summary = &lt;s&gt;") && email.html.contains("(template error: html: "), "{email:?}");
    assert!(email.text.contains(" - summary = <s>\n"), "{email:?}");
}

#[test]
fn no_secret_is_shown() {
    let text = "global: {slack_app_token: s3cret, smtp_smarthost: 'mail:25', smtp_from: a@b.c, smtp_auth_username: u, \
                smtp_auth_password: s3cret, smtp_auth_secret: s3cret}\nroute: {receiver: r}\nreceivers:\n- name: r\n  slack_configs: \
                [{}, {api_url: 'http://h/s3cret'}]\n  email_configs: [{to: x@y.z, auth_password: s3cret}]\n  pagerduty_configs: \
                [{routing_key: s3cret}, {service_key: s3cret}]\n";
    let config = config(text);
    assert!(!config.original.contains("s3cret"), "{}", config.original);
    assert!(!format!("{config:?}").contains("s3cret"));
    let mut router = Router::new(config, "http://am", NOW);
    let slack: Vec<Message> = router
        .step(NOW + Duration::from_secs(60), vec![posted("s", NOW + Duration::from_secs(600))])
        .into_iter()
        .map(|notification| notification.message)
        .filter(|message| matches!(message, Message::Slack { .. }))
        .collect();
    let [Message::Slack { url: SecretText::Inline(app), .. }, _] = slack.as_slice() else { panic!("{slack:?}") };
    assert_eq!(app.expose(), "https://slack.com/api/chat.postMessage");
    assert!(!format!("{slack:?}").contains("s3cret"));
}
