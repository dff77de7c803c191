//! Reading configurations that are right; wrong ones are fixtures.

use std::collections::BTreeSet;
use std::time::Duration;

use super::timeline::config;
use crate::model::Labels;
use crate::router::{GroupBy, Settings};

const FULL: &str = r#"
global:
  resolve_timeout: 10m
  http_config: {follow_redirects: false}
route:
  receiver: default
  group_by: [alertname, cluster]
  repeat_interval: 12h
  routes:
  - matchers: [severity="page", 'team=~"a|b"']
    group_by: []
    group_wait: 0s
    continue: true
    routes:
    - match: {tier: db}
      match_re: {region: eu-.*}
      receiver: db
  - matchers: [severity="page"]
    group_by: ['...']
    receiver: default
receivers:
- name: default
  webhook_configs:
  - {url: 'http://h/1'}
  - {url: 'http://h/2', send_resolved: false, max_alerts: 5, timeout: 3s, http_config: {enable_http2: false}}
- {name: db, labels: {owner: dba}}
- {name: unused}
templates: []
inhibit_rules:
- {source_match: {severity: page}, target_matchers: [severity=ticket], equal: [cluster]}
"#;

#[test]
fn children_inherit() {
    let config = config(FULL);
    assert_eq!(config.resolve_timeout, Duration::from_secs(600));
    assert_eq!(config.route_count(), 4);
    let first = &config.route.routes[0];
    assert_eq!(first.options.receiver, "default");
    assert_eq!(first.options.group_by, GroupBy::Labels(BTreeSet::new()));
    assert_eq!(first.options.group_wait, Duration::ZERO);
    assert_eq!(first.options.repeat_interval, Duration::from_secs(12 * 3600));
    assert_eq!(&*first.routes[0].key, r#"{}/{severity="page",team=~"a|b"}/{region=~"eu-.*",tier="db"}"#);
    assert_eq!(config.route.routes[1].options.group_by, GroupBy::All);
    assert_eq!(config.inhibit_rules[0].source[0].to_string(), r#"severity="page""#);
}

#[test]
fn webhooks_take_the_global_client_settings_unless_they_have_their_own() {
    let config = config(FULL);
    let webhooks = &config.receiver("default").unwrap().integrations;
    let keys = |index: usize| webhooks[index].http_config.as_ref().map(|raw| raw.node.get("enable_http2").is_some());
    assert_eq!((keys(0), keys(1)), (Some(false), Some(true)));
    assert!(webhooks[0].send_resolved && !webhooks[1].send_resolved);
    let Settings::Webhook(second) = &webhooks[1].settings else { panic!("{webhooks:?}") };
    assert_eq!((second.max_alerts, webhooks[1].timeout), (5, Some(Duration::from_secs(3))));
    assert_eq!(config.receiver("db").unwrap().labels["name"], "db");
}

#[test]
fn matches_depth_first() {
    let config = config(FULL);
    let check = |pairs: &[(&'static str, &'static str)], expected: &[&str]| {
        let labels = Labels::from_pairs(pairs.iter().copied());
        let found: Vec<&str> = config.route.matching(&labels).iter().map(|route| &*route.key).collect();
        assert_eq!(found, expected, "{labels}");
    };
    let page = r#"{}/{severity="page",team=~"a|b"}"#;
    check(&[], &["{}"]);
    check(&[("severity", "page")], &[r#"{}/{severity="page"}"#]);
    check(&[("severity", "page"), ("team", "a")], &[page, r#"{}/{severity="page"}"#]);
    check(
        &[("severity", "page"), ("team", "b"), ("tier", "db"), ("region", "eu-1")],
        &[&format!(r#"{page}/{{region=~"eu-.*",tier="db"}}"#), r#"{}/{severity="page"}"#],
    );
}

#[test]
fn siblings_with_equal_matchers_have_their_own_identity() {
    let text = "route: {receiver: a, routes: [{matchers: [x=y], continue: true}, {matchers: [x=y]}, {matchers: [x=y], \
                receiver: b}]}\nreceivers: [{name: a}, {name: b}]\n";
    let config = config(text);
    let mut ids = BTreeSet::new();
    config.route.walk(&mut |route| assert!(ids.insert(route.id.clone())));
}
