//! A copy of what is stored, made while scraping goes on.

use std::fs;

use crate::real::deployment::Deployment;
use crate::real::process::{almenara, exchange_json, post_form, wait_for};
use crate::real::server::{Behaviour, Server};

const BODY: &str = "# HELP m Two of it.\n# TYPE m gauge\nm{x=\"1\"} 1\nm{x=\"2\"} 2\n";

fn configuration(target: u16) -> String {
    format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
         scrape_configs: [{{job_name: j, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
    )
}

#[test]
fn a_copy_is_whole_and_another_daemon_starts_from_it() {
    let target = Server::start(Behaviour::Answers(BODY));
    let config = configuration(target.port);
    let deployment = Deployment::start(&[("almenara.yml", &*config)], &["--web.enable-admin-api"]);
    let count =
        |deployment: &Deployment| deployment.values("sum(count_over_time(m[1h]))").first().copied().unwrap_or(0.0);
    wait_for("some scrapes", || (count(&deployment) >= 6.0).then_some(()));
    let silence = r#"{"matchers":[{"name":"a","value":"b","isRegex":false,"isEqual":true}],"startsAt":"2020-01-01T00:00:00Z",
        "endsAt":"2100-01-01T00:00:00Z","createdBy":"me","comment":"c"}"#;
    assert_eq!(exchange_json(deployment.port, "POST", "/api/v2/silences", silence).0, 200);

    let before = count(&deployment);
    let name = |path: &str| {
        let (status, body) = post_form(deployment.port, path, "");
        assert_eq!(status, 200, "{body}");
        let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        json["data"]["name"].as_str().expect("a name").to_owned()
    };
    let names = [name("/api/v1/admin/tsdb/snapshot"), name("/api/v1/admin/snapshot?skip_head=false")];
    assert_ne!(names[0], names[1]);
    let after = count(&deployment);
    wait_for("scraping to go on", || (count(&deployment) > after).then_some(()));

    let copy = deployment.path("data/snapshots").join(&names[0]);
    let verified = almenara().args(["store", "verify", "--storage.path"]).arg(&copy).output().expect("verify");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let other = Deployment::start(&[("almenara.yml", "{}")], &[&format!("--storage.path={}", copy.display())]);
    let copied = count(&other);
    assert!((before..=after).contains(&copied), "{copied} samples, {before} before and {after} after");
    assert_eq!(copied as u64 % 2, 0, "half of a scrape is in the copy");
    assert!(other.text("/api/v2/silences").contains("\"comment\":\"c\""), "silences are in the copy");
    assert!(
        other.text("/api/v1/metadata").contains("Two of it."),
        "types and help texts outlive the process that was told them"
    );
    assert!(!fs::exists(deployment.path("data/snapshots").join(format!("{}.unfinished", names[0]))).expect("exists"));
}

#[test]
fn copies_need_the_flag() {
    let deployment = Deployment::start(&[("almenara.yml", "{}")], &[]);
    for path in ["/api/v1/admin/tsdb/snapshot", "/api/v1/admin/snapshot", "/api/v1/admin/tsdb/delete_series"] {
        let answer = post_form(deployment.port, path, "");
        let expected = r#"{"status":"error","errorType":"unavailable","error":"admin APIs disabled"}"#;
        assert_eq!(answer, (503, expected.to_owned()), "{path}");
    }
}
