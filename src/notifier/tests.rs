//! Decoding, and the URLs that discovery gives.

use super::set::resolve;
use super::*;
use crate::source::decode::Decoder;
use crate::source::{SourceFile, yaml};

fn decode(text: &str) -> (AlertingConfig, Vec<String>) {
    let source = SourceFile::new("f.yml", text);
    let node = yaml::parse(&source).0.expect("the test's YAML is fine");
    let mut decoder = Decoder::new(&source);
    let config = AlertingConfig::decode(&mut decoder, &node).unwrap_or_default();
    (config, decoder.finish().iter().map(ToString::to_string).collect())
}

#[test]
fn refuses_with_a_place() {
    for (text, expected) in [
        (
            "alertmanagers: [{api_version: v1}]",
            "f.yml:1:31: expected Alertmanager api version to be one of [v2] but got v1",
        ),
        ("alertmanagers: [{scheme: ftp}]", r#"f.yml:1:26: unknown scheme "ftp"; write http or https"#),
        ("alertmanagers: [{timeout: 0s}]", "must be longer than zero"),
        (
            "alertmanagers: [{consul_sd_configs: []}]",
            r#"the key "consul_sd_configs" in Alertmanager config is not supported"#,
        ),
        ("alertmanagers: [{static_configs: [{targets: ['a/b']}]}]", r#""a/b" is not a valid hostname"#),
        ("alertmanagers: [{sigv4: {}}]", r#"the key "sigv4" in Alertmanager config is not supported"#),
        ("alertmanagers: [{relabel_configs: [~]}]", "empty or null Alertmanager target relabeling rule"),
        ("alert_relabel_configs: [~]", "f.yml:1:25: empty or null alert relabeling rule"),
        ("alertmanagers: [{alert_relabel_configs: [{action: foo}]}]", r#"unknown relabel action "foo""#),
        ("alertmanager: []", r#"did you mean "alertmanagers"?"#),
    ] {
        let (_, errors) = decode(text);
        assert!(errors.len() == 1 && errors[0].contains(expected), "{text}: {errors:?}");
    }
}

#[test]
fn gives_the_urls_that_prometheus_gives() {
    for (text, active, dropped) in [
        (
            "static_configs: [{targets: ['127.0.0.1', '[::1]:80']}]",
            "http://127.0.0.1/api/v2/alerts http://[::1]:80/api/v2/alerts",
            "",
        ),
        (
            "static_configs: [{targets: [a, 'host:1', a]}], \
             relabel_configs: [{source_labels: [__address__], regex: host.*, action: drop}]",
            "http://a/api/v2/alerts",
            "http://host:1/api/v2/alerts",
        ),
        (
            "scheme: https, path_prefix: /foo//x/../, static_configs: [{targets: ['a:1']}]",
            "https://a:1/foo/api/v2/alerts",
            "",
        ),
        (
            "static_configs: [{targets: [a], labels: {am: b, __scheme__: https}}], \
             relabel_configs: [{source_labels: [am], target_label: __alerts_path__, replacement: /$1}]",
            "https://a/b",
            "",
        ),
    ] {
        let (config, errors) = decode(&format!("alertmanagers: [{{{text}}}]"));
        assert!(errors.is_empty(), "{errors:?}");
        let config = &config.alertmanagers[0];
        let urls = resolve(config, &config.discovery.static_groups);
        assert_eq!((urls.0.join(" "), urls.1.join(" ")), (active.to_owned(), dropped.to_owned()), "{text}");
    }
}

#[test]
fn external_labels_fill_gaps_before_relabelling() {
    let (config, errors) = decode(
        "alert_relabel_configs: [{source_labels: [replica], regex: b, action: drop}, {regex: replica, action: labeldrop}]",
    );
    assert!(errors.is_empty(), "{errors:?}");
    let external_labels = Labels::from_pairs([("cluster", "x"), ("replica", "a")]);
    let work = Work { external_labels, relabel: config.relabel, sets: Vec::new() };
    let prepared = |pairs: &[(&'static str, &'static str)]| {
        let alert = Alert {
            labels: Labels::from_pairs(pairs.iter().copied()),
            annotations: Labels::empty(),
            starts_at: crate::model::Timestamp::EPOCH,
            ends_at: crate::model::Timestamp::EPOCH,
            generator_url: String::new(),
        };
        work.prepared(alert).map(|alert| alert.labels.to_string())
    };
    assert_eq!(prepared(&[("alertname", "A")]).as_deref(), Some(r#"{alertname="A",cluster="x"}"#));
    assert_eq!(prepared(&[("cluster", "y")]).as_deref(), Some(r#"{cluster="y"}"#));
    assert_eq!(prepared(&[("alertname", "A"), ("replica", "b")]), None);
}
