//! `http_sd_configs`.

use almenara::discovery::META_URL;

use super::{metric, start, until};
use crate::loopback::{Server, eventually, response};

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn asks_again_and_keeps_the_last_good_groups() {
    let server = Server::start(|number, _| {
        Some(match number {
            0 => response("503 Service Unavailable", "", ""),
            1 => response("200 OK", JSON, r#"[{"targets": ["a:1"], "labels": {"env": "x"}}, {"targets": ["b:1"]}]"#),
            2 => response("200 OK", "content-type: text/html\r\n", "[]"),
            3 => response("200 OK", JSON, r#"[{"targets": ["c:1"]}, null]"#),
            _ => response("200 OK", JSON, r#"[{"targets": ["d:1"]}]"#),
        })
    })
    .await;
    let (discovery, metrics) = start(&format!(
        "static_configs: [{{targets: [s]}}]\n\
         http_sd_configs: [{{url: 'http://{}/t?x=1', refresh_interval: 500ms, basic_auth: {{username: u, password: p}}}}]",
        server.address
    ));
    until(&discovery, &["s", "a:1", "b:1"]).await;
    let first = discovery.groups()[1].clone();
    assert_eq!(first.labels.get(META_URL), Some(format!("http://{}/t?x=1", server.address).as_str()));
    assert_eq!(first.labels.get("env"), Some("x"));
    // Two bad answers lie between: the groups of the second request stay until the fifth.
    let mut groups = discovery.subscribe();
    groups.mark_unchanged();
    groups.changed().await.unwrap();
    until(&discovery, &["s", "d:1"]).await;
    assert!(server.requests().len() >= 5);
    assert_eq!(metric(&metrics, "prometheus_sd_http_failures_total", ""), 3.0);
    assert_eq!(metric(&metrics, "prometheus_sd_refresh_failures_total", "http"), 3.0);

    let head = server.requests()[0].head.clone();
    assert!(head.starts_with("get /t?x=1 "), "{head}");
    for line in ["x-prometheus-refresh-interval-seconds: 0.5", "accept: application/json", "authorization: basic "] {
        assert!(head.contains(line), "{line} in {head}");
    }
    drop(discovery);
    assert!(groups.changed().await.is_err(), "the task ends with the handle");
}

#[tokio::test]
async fn a_client_that_cannot_be_made_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let server = Server::start(|_, _| Some(response("200 OK", JSON, r#"[{"targets": ["a:1"]}]"#))).await;
    let (discovery, metrics) = start(&format!(
        "http_sd_configs: [{{url: 'http://{}/', refresh_interval: 100ms, tls_config: {{ca_file: '{}'}}}}]",
        server.address,
        ca.display()
    ));
    eventually("a failure is counted", || metric(&metrics, "prometheus_sd_http_failures_total", "") >= 1.0).await;
    assert!(discovery.groups().is_empty());
    std::fs::write(&ca, rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem()).unwrap();
    until(&discovery, &["a:1"]).await;
}
