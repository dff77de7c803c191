//! Silences over Alertmanager's API: shapes, filters, refusals, and what they do to alerts.

use std::io;

use almenara::api::v2::{self, RouterHandle, SilenceWrites};
use almenara::model::Timestamp;
use almenara::router::{Router, RouterConfig};
use almenara::source::SourceFile;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

const CONFIG: &str = "
route: {receiver: team, group_by: [alertname]}
receivers: [{name: team, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]
inhibit_rules: [{source_matchers: [kind=src], target_matchers: [kind=dst]}]
";

fn noon() -> Timestamp {
    Timestamp::from_ms(1_700_049_600_000)
}

fn router() -> Router {
    let (config, diagnostics) = RouterConfig::parse(&SourceFile::new("router.yml", CONFIG));
    Router::new(config.unwrap_or_else(|| panic!("{diagnostics}")), "http://am", noon())
}

struct Api(axum::Router);

impl Api {
    fn new() -> Api {
        Api(v2::routes(RouterHandle::new(router(), noon), SilenceWrites::Allowed))
    }

    async fn send(&self, method: &str, path: &str, kind: &str, body: String) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).header("Content-Type", kind);
        let response = self.0.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() })
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        self.send(method, path, "application/json", body.to_string()).await
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// Posts a silence and gives its id.
    async fn silence(&self, body: &Value) -> String {
        let (status, answer) = self.call("POST", "/api/v2/silences", body).await;
        assert_eq!(status, StatusCode::OK, "{body}: {answer}");
        answer["silenceID"].as_str().unwrap().to_owned()
    }
}

/// From eleven o'clock for so many hours.
fn silence(name: &str, value: &str, hours: u32) -> Value {
    json!({
        "matchers": [{"name": name, "value": value, "isRegex": false}],
        "startsAt": "2023-11-15T11:00:00Z", "endsAt": format!("2023-11-15T{}:00:00+00:00", 11 + hours),
        "createdBy": "me", "comment": "why",
    })
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|silence| silence["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_silence_has_the_shape_of_alertmanager() {
    let api = Api::new();
    let mut body = silence("a", "b", 2);
    body["annotations"] = json!({"ticket": "X-1"});
    let id = api.silence(&body).await;
    let expected = json!({
        "id": id,
        "status": {"state": "active"},
        "updatedAt": "2023-11-15T12:00:00.000Z",
        "annotations": {"ticket": "X-1"},
        "comment": "why",
        "createdBy": "me",
        "endsAt": "2023-11-15T13:00:00.000Z",
        "matchers": [{"isEqual": true, "isRegex": false, "name": "a", "value": "b"}],
        "startsAt": "2023-11-15T12:00:00.000Z",
    });
    assert_eq!(api.get(&format!("/api/v2/silence/{id}")).await.to_string(), expected.to_string());
    assert_eq!(api.get("/api/v2/silences").await.to_string(), json!([expected]).to_string());
    let one = format!("/api/v2/silence/{id}");
    for _ in 0..2 {
        assert_eq!(api.call("DELETE", &one, &Value::Null).await, (StatusCode::OK, Value::Null));
        assert_eq!(api.get(&one).await["status"]["state"], "expired");
    }
}

#[tokio::test]
async fn lists_are_ordered_and_filtered() {
    let api = Api::new();
    let long = api.silence(&silence("a", "b", 9)).await;
    let short = api.silence(&silence("a", "c", 2)).await;
    let mut body = silence("a", "b", 5);
    body["startsAt"] = json!("2023-11-15T14:00:00Z");
    body["matchers"][0]["isEqual"] = json!(false);
    let pending = api.silence(&body).await;
    let expired = api.silence(&silence("a", "b", 3)).await;
    api.call("DELETE", &format!("/api/v2/silence/{expired}"), &Value::Null).await;
    let (long, short, pending, expired) = (long.as_str(), short.as_str(), pending.as_str(), expired.as_str());
    for (query, expected) in [
        ("", vec![short, long, pending, expired]),
        ("filter=a%3D%22b%22", vec![long, expired]),
        ("filter=a%3Db&expired=false", vec![long]),
        ("filter=a!%3Db", vec![pending]),
        ("filter=a%3D~%22b%22", vec![]),
        ("active=false&pending=true", vec![pending, expired]),
        ("pending=false", vec![short, long, expired]),
    ] {
        assert_eq!(ids(&api.get(&format!("/api/v2/silences?{query}")).await), expected, "{query}");
    }
    let bad = api.call("GET", "/api/v2/silences?filter=a", &Value::Null).await;
    assert_eq!(bad, (StatusCode::BAD_REQUEST, json!("bad matcher format: a")));
}

#[tokio::test]
async fn a_silenced_alert_is_suppressed() {
    let api = Api::new();
    let alerts = json!([
        {"labels": {"alertname": "A", "kind": "src"}},
        {"labels": {"alertname": "B", "kind": "dst"}},
        {"labels": {"alertname": "C"}},
    ]);
    assert_eq!(api.call("POST", "/api/v2/alerts", &alerts).await.0, StatusCode::OK);
    let mut ids = [api.silence(&silence("alertname", "B", 2)).await, api.silence(&silence("kind", "dst", 2)).await];
    ids.sort();
    let list = api.get("/api/v2/alerts?filter=alertname%3DB").await;
    assert_eq!(list[0]["status"]["state"], "suppressed");
    assert_eq!(list[0]["status"]["silencedBy"], json!(ids));
    assert_eq!(list[0]["status"]["inhibitedBy"].as_array().map(Vec::len), Some(1));
    let silenced = api.silence(&silence("alertname", "C", 2)).await;
    for (query, expected) in [
        ("", vec!["A", "B", "C"]),
        ("silenced=false", vec!["A"]),
        ("active=false", vec!["B", "C"]),
        ("inhibited=false", vec!["A", "C"]),
        ("inhibited=false&active=false", vec!["C"]),
    ] {
        let names = |list: &Value| {
            let name = |alert: &Value| alert["labels"]["alertname"].as_str().unwrap().to_owned();
            let mut names: Vec<String> = list.as_array().unwrap().iter().map(name).collect();
            names.sort();
            names
        };
        assert_eq!(names(&api.get(&format!("/api/v2/alerts?{query}")).await), expected, "{query}");
        let groups = api.get(&format!("/api/v2/alerts/groups?{query}")).await;
        let in_groups: Vec<String> =
            groups.as_array().unwrap().iter().flat_map(|group| names(&group["alerts"])).collect();
        assert_eq!(in_groups, expected, "groups, {query}");
    }
    api.call("DELETE", &format!("/api/v2/silence/{silenced}"), &Value::Null).await;
    assert_eq!(api.get("/api/v2/alerts?filter=alertname%3DC").await[0]["status"]["state"], "active");
}

#[tokio::test]
async fn what_is_wrong_is_told_as_alertmanager_tells_it() {
    let api = Api::new();
    let coded = |code: u16, message: &str| json!({"code": code, "message": message});
    let without = |key: &str| {
        let mut body = silence("a", "b", 2);
        body.as_object_mut().unwrap().remove(key);
        body
    };
    let with = |key: &str, value: Value| {
        let mut body = silence("a", "b", 2);
        body[key] = value;
        body
    };
    for (body, status, answer) in [
        (json!({}), 422, coded(602, "comment in body is required")),
        (Value::Null, 422, coded(602, "comment in body is required")),
        (without("startsAt"), 422, coded(602, "startsAt in body is required")),
        (without("matchers"), 422, coded(602, "matchers in body is required")),
        (with("matchers", json!([])), 422, coded(612, "matchers in body should have at least 1 items")),
        (
            with("matchers", json!([{"name": "a", "value": "b"}])),
            422,
            coded(602, "matchers.0.isRegex in body is required"),
        ),
        (
            with("endsAt", json!("2023-11-15T11:00:00Z")),
            400,
            json!("Failed to create silence: start time must be before end time"),
        ),
        (with("id", json!("f47ac10b-58cc-4372-a567-0e02b2c3d479")), 404, json!("silence not found")),
        (with("id", json!("nope")), 404, json!("silence not found")),
        (
            silence("a", "", 2),
            400,
            json!("invalid silence: matcher set 0: at least one matcher must not match the empty string"),
        ),
    ] {
        let (found, text) = api.call("POST", "/api/v2/silences", &body).await;
        assert_eq!((found.as_u16(), text), (status, answer), "{body}");
    }
    for body in ["[]", "{", r#"{"comment": 1}"#, r#"{"endsAt": "soon"}"#] {
        let (status, answer) = api.send("POST", "/api/v2/silences", "application/json", body.to_owned()).await;
        assert_eq!((status.as_u16(), &answer["code"]), (400, &json!(400)), "{body}: {answer}");
    }
    let (status, _) = api.send("POST", "/api/v2/silences", "text/plain", silence("a", "b", 2).to_string()).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for method in ["GET", "DELETE"] {
        let unknown = api.call(method, "/api/v2/silence/f47ac10b-58cc-4372-a567-0e02b2c3d479", &Value::Null).await;
        assert_eq!(unknown, (StatusCode::NOT_FOUND, Value::Null));
        let (status, answer) = api.call(method, "/api/v2/silence/nope", &Value::Null).await;
        assert_eq!((status.as_u16(), answer), (422, coded(601, "silenceID in path must be of type uuid: \"nope\"")));
    }
    assert_eq!(api.get("/api/v2/silences").await, json!([]));
}

#[tokio::test]
async fn where_anybody_may_ask_nobody_may_silence() {
    let api = Api(v2::routes(RouterHandle::new(router(), noon), SilenceWrites::Refused));
    for (method, path) in [("POST", "/api/v2/silences"), ("DELETE", "/api/v2/silence/x")] {
        let (status, answer) = api.call(method, path, &silence("a", "b", 2)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method}");
        assert!(answer.as_str().is_some_and(|text| text.contains("--web.enable-lifecycle")), "{answer}");
    }
    assert_eq!(api.get("/api/v2/silences").await, json!([]));
}

#[tokio::test]
async fn a_silence_that_cannot_be_kept_is_not_made() {
    let keep = Box::new(|_: &_| Err(io::Error::other("no space left")));
    let api = Api(v2::routes(RouterHandle::keeping(router(), noon, keep), SilenceWrites::Allowed));
    let expected = json!("silences are as before, since they cannot be stored: no space left");
    let refused = api.call("POST", "/api/v2/silences", &silence("a", "b", 2)).await;
    assert_eq!(refused, (StatusCode::INTERNAL_SERVER_ERROR, expected));
    assert_eq!(api.get("/api/v2/silences").await, json!([]));
}
