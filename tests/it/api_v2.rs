//! Alertmanager's API over the embedded router: JSON shapes, and the real `amtool` where there is one.
//!
//! That one needs `amtool`; see `peers`.

use std::process::Command;

use almenara::api::v2::{self, RouterHandle, SilenceWrites};
use almenara::model::Timestamp;
use almenara::router::{Router, RouterConfig};
use almenara::source::SourceFile;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::peers::peer;

const CONFIG: &str = r#"
route:
  receiver: team
  group_by: [alertname]
  routes:
  - {matchers: [severity="page"], receiver: pager, continue: true}
  - {matchers: [severity="page"]}
receivers:
- {name: team, webhook_configs: [{url: 'http://127.0.0.1:1/s3cret'}]}
- {name: pager, labels: {owner: sre}}
inhibit_rules:
- {source_matchers: [severity=page], target_matchers: [severity=ticket]}
"#;

fn noon() -> Timestamp {
    Timestamp::from_ms(1_700_049_600_000)
}

fn handle(now: fn() -> Timestamp) -> RouterHandle {
    let (config, diagnostics) = RouterConfig::parse(&SourceFile::new("router.yml", CONFIG));
    let config = config.unwrap_or_else(|| panic!("{diagnostics}"));
    RouterHandle::new(Router::new(config, "http://am", now()), now)
}

struct Api(axum::Router);

impl Api {
    fn new() -> Api {
        Api(v2::routes(handle(noon), SilenceWrites::Allowed))
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder().method(method).uri(path).header("Content-Type", "application/json");
        let request = request.body(Body::from(body)).unwrap();
        let response = self.0.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() })
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn post_three(&self) {
        let body = json!([
            {"labels": {"alertname": "A", "severity": "page", "empty": ""}, "annotations": {"text": "<a>"},
             "startsAt": "2023-11-15T11:00:00.25Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://g/"},
            {"labels": {"alertname": "B", "severity": "ticket"}, "endsAt": "2023-11-15T13:00:00+01:00"},
            {"labels": {"alertname": "C", "severity": "ticket"}, "startsAt": "2023-11-15T12:00:00Z"},
        ]);
        assert_eq!(self.call("POST", "/api/v2/alerts", &body).await, (StatusCode::OK, Value::Null));
    }
}

fn names(alerts: &Value) -> Vec<&str> {
    alerts.as_array().unwrap().iter().map(|alert| alert["labels"]["alertname"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn alerts_have_the_shape_of_alertmanager() {
    let api = Api::new();
    api.post_three().await;
    let alerts = api.get("/api/v2/alerts").await;
    let page = alerts.as_array().unwrap().iter().find(|alert| alert["labels"]["alertname"] == "A").unwrap();
    let expected = json!({
        "annotations": {"text": "<a>"},
        "endsAt": "2023-11-15T12:05:00.000Z",
        "fingerprint": page["fingerprint"],
        "receivers": [{"name": "pager"}, {"name": "team"}],
        "startsAt": "2023-11-15T11:00:00.250Z",
        "status": {"inhibitedBy": [], "mutedBy": [], "silencedBy": [], "state": "active"},
        "updatedAt": "2023-11-15T12:00:00.000Z",
        "generatorURL": "http://g/",
        "labels": {"alertname": "A", "severity": "page"},
    });
    assert_eq!(page.to_string(), expected.to_string());
    // B had ended when it came; C is inhibited by A.
    let ticket = alerts.as_array().unwrap().iter().find(|alert| alert["labels"]["alertname"] == "C").unwrap();
    assert_eq!(ticket["status"]["state"], "suppressed");
    assert_eq!(ticket["status"]["inhibitedBy"], json!([page["fingerprint"]]));
    assert_eq!(alerts.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn lists_are_filtered() {
    let api = Api::new();
    api.post_three().await;
    for (query, expected) in [
        ("inhibited=false", vec!["A"]),
        ("active=false", vec!["C"]),
        ("filter=severity%3D%22page%22", vec!["A"]),
        ("filter=alertname%3D~%22A%7CC%22&filter=severity!%3Dpage", vec!["C"]),
        ("receiver=pag.*", vec!["A"]),
        ("receiver_matchers=owner%3Dsre", vec!["A"]),
        ("receiver=nobody", vec![]),
    ] {
        assert_eq!(names(&api.get(&format!("/api/v2/alerts?{query}")).await), expected, "{query}");
    }
    for query in ["filter=a", "active=maybe", "receiver=("] {
        let (status, body) = api.call("GET", &format!("/api/v2/alerts?{query}"), &Value::Null).await;
        assert!(status == StatusCode::BAD_REQUEST && body.is_string(), "{query}: {status} {body}");
    }
}

#[tokio::test]
async fn groups_show_who_is_told_of_what() {
    let api = Api::new();
    api.post_three().await;
    let groups = api.get("/api/v2/alerts/groups").await;
    let shown: Vec<_> = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (group["labels"].to_string(), group["receiver"].to_string(), names(&group["alerts"])))
        .collect();
    let expected = [("A", "pager"), ("A", "team"), ("C", "team")].map(|(alert, receiver)| {
        (format!("{{\"alertname\":\"{alert}\"}}"), format!("{{\"name\":\"{receiver}\"}}"), vec![alert])
    });
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn status_and_receivers() {
    let api = Api::new();
    let status = api.get("/api/v2/status").await;
    assert_eq!(status["cluster"], json!({"peers": [], "status": "disabled"}));
    let original = status["config"]["original"].as_str().unwrap();
    assert!(original.contains("group_by:") && original.contains("<secret>") && !original.contains("s3cret"));
    let receivers = api.get("/api/v2/receivers").await;
    let expected = json!([{"labels": {"name": "team"}, "name": "team"}, {"labels": {"name": "pager", "owner": "sre"}, "name": "pager"}]);
    assert_eq!(receivers, expected);
    assert_eq!(api.get("/api/v2/silences").await, json!([]));
}

#[tokio::test]
async fn bad_alerts_are_refused_and_good_ones_kept() {
    let api = Api::new();
    let body = json!([
        {"labels": {"alertname": "good"}},
        {"labels": {}},
        {"labels": {"alertname": "x"}, "startsAt": "2023-11-15T12:00:00Z", "endsAt": "2023-11-15T11:00:00Z"},
    ]);
    let expected = json!("at least one label pair required\nstart time must be before end time");
    assert_eq!(api.call("POST", "/api/v2/alerts", &body).await, (StatusCode::BAD_REQUEST, expected));
    assert_eq!(names(&api.get("/api/v2/alerts").await), ["good"]);
    for body in
        [json!({}), json!([1]), json!([{"labels": {"a": 1}}]), json!([{"labels": {"a": "b"}, "endsAt": "soon"}])]
    {
        assert_eq!(api.call("POST", "/api/v2/alerts", &body).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_amtool_works() {
    let Some(amtool) = peer("amtool") else {
        return;
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("--alertmanager.url=http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        axum::serve(listener, v2::routes(handle(almenara::clock::now), SilenceWrites::Allowed)).await
    });
    let run = |arguments: &[&str]| {
        let output = Command::new(&amtool).arg(&url).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{errors}");
        assert_eq!(errors, "", "{arguments:?}");
        text
    };
    run(&["alert", "add", "alertname=Disk", "severity=page", "--annotation=summary=it is full"]);
    run(&["alert", "add", "Net", "severity=ticket"]);
    let list = run(&["alert", "query"]);
    assert!(list.contains("Disk") && list.contains("it is full") && list.contains("active"), "{list}");
    assert!(!list.contains("Net"), "inhibited alerts are not listed by default: {list}");
    let all: Value = serde_json::from_str(&run(&["-o", "json", "alert", "query", "--inhibited"])).unwrap();
    assert_eq!(names(&all), ["Net"]);
    assert_eq!(
        names(&serde_json::from_str(&run(&["-o", "json", "alert", "query", "severity=~p.*"])).unwrap()),
        ["Disk"]
    );
    assert!(run(&["config", "routes", "show"]).contains("severity=\"page\""));
    assert_eq!(run(&["config", "routes", "test", "severity=page"]).trim(), "pager,team");
    assert!(run(&["config", "show"]).contains("receiver: team"));
    assert!(run(&["cluster", "show"]).contains("disabled"));
    server.abort();
}
