//! Queries that are too large, too slow, or that nobody waits for any more; and what explains them.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::deployment::Deployment;
use super::process::{almenara, post_form, wait_for};

/// Holds some 200,000 numbers and sorts 300 million: minutes of work.
const SLOW: &str = "query=max_over_time(quantile_over_time(0.5,vector(time())[1h:1s])[1d:1s])";

fn start(flags: &[&str]) -> Deployment {
    Deployment::start(&[("almenara.yml", "scrape_configs: []\n")], flags)
}

fn active(deployment: &Deployment) -> f64 {
    deployment.metric("prometheus_engine_queries")
}

fn refused(deployment: &Deployment, path: &str, form: &str, (status, kind, text): (u16, &str, &str)) {
    let (code, body) = post_form(deployment.port, path, form);
    let expected = format!("{{\"status\":\"error\",\"errorType\":\"{kind}\",\"error\":\"{text}\"}}");
    assert_eq!((code, body), (status, expected), "{form}");
}

#[test]
fn a_query_holds_only_so_many_samples() {
    let deployment = start(&["--query.max-samples=1000"]);
    let too_many = "query processing would load too many samples into memory in query execution";
    let too_many = (422, "execution", too_many);
    refused(&deployment, "/api/v1/query", "query=max_over_time(vector(time())[1h:1s])", too_many);
    refused(&deployment, "/api/v1/query_range", "query=vector(1)&start=0&end=2000&step=1", too_many);
    assert_eq!(active(&deployment), 0.0);
}

#[test]
fn a_query_ends_when_its_time_is_up_or_nobody_waits() {
    let deployment = start(&["--query.max-concurrency=1"]);
    let timed_out = (503, "timeout", "query timed out in expression evaluation");
    refused(&deployment, "/api/v1/query", &format!("{SLOW}&timeout=50ms"), timed_out);
    assert_eq!(active(&deployment), 0.0);
    let mut client = TcpStream::connect(("127.0.0.1", deployment.port)).expect("connect");
    write!(client, "GET /api/v1/query?{SLOW} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("ask");
    wait_for("the query runs", || (active(&deployment) == 1.0).then_some(()));
    // The only slot is taken, so a second one waits in vain.
    let queued = (503, "timeout", "query timed out in query queue");
    refused(&deployment, "/api/v1/query", "query=1&timeout=100ms", queued);
    drop(client);
    let left = Instant::now();
    wait_for("the query ends", || (active(&deployment) == 0.0).then_some(()));
    assert!(left.elapsed() < Duration::from_secs(20), "{:?}", left.elapsed());
    assert_eq!(deployment.values("vector(7)"), [7.0]);
}

#[test]
fn flags_of_features_and_explanations() {
    let deployment = start(&["--enable-feature=promql-experimental-functions,promql-per-step-stats,no-such-thing"]);
    let log = deployment.daemon.output();
    assert!(log.contains("unknown option for --enable-feature") && log.contains("no-such-thing"), "{log}");
    let (status, body) = post_form(deployment.port, "/api/v1/query", "query=mad_over_time(up[5m])&stats=all&time=60");
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"totalQueryableSamplesPerStep\":[[60,0]]"), "{body}");
    let (status, body) = post_form(deployment.port, "/api/v1/query", "query=up+fill(0)+up");
    assert_eq!(status, 400, "{body}");

    let url = format!("http://127.0.0.1:{}", deployment.port);
    let explained = |arguments: &[&str]| {
        let output = almenara().arg("explain").args(arguments).output().expect("explain");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = explained(&["sum(rate(up[5m])) / sum(rate(up[5m]))", "--url", &url]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("sum  [static, bit-equal, 0 elements, shared by 2]"), "{text}");
    let folder = tempfile::tempdir().expect("folder");
    let samples = folder.path().join("samples.txt");
    std::fs::write(&samples, "up{job=\"a\"} 1 1000\nup{job=\"b\"} 0 1000\nup{job=\"a\"} 1 2000\n").expect("write");
    let rules = folder.path().join("rules.yml");
    std::fs::write(
        &rules,
        "groups:\n- name: g\n  rules:\n  - {alert: Down, expr: up == 0}\n  - {record: \"a:up\", expr: up}\n",
    )
    .expect("write");
    let both = [rules.to_str().expect("UTF-8"), "--file", samples.to_str().expect("UTF-8")];
    let (code, text) = explained(&both);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("g/Down: up == 0") && text.contains("#0 up (see above)"), "{text}");
    assert!(text.contains("2 series, 3 samples in (1969-12-31T23:55:02Z, 1970-01-01T00:00:02Z]"), "{text}");
    let (code, json) = explained(&[both[0], both[1], both[2], "--format=json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((code, &json["nodes"][0]["uses"]), (Some(0), &serde_json::json!(2)));
    assert_eq!(explained(&["sum("]).0, Some(1));
}
